"""Two chains in one process, without consensus: the executor's real rules, blocks with real certificates, and a relay.

    business, supervision = pair()                        # or Chain(…) twice, and ``introduce`` them
    receipt = business.run(business.tx(KEY, call("flow", "file", …)))
    carry(business, supervision)                          # every block that has something for the other, once
    settle(business, supervision)                         # … both ways, until nothing is left

Both have ``governance`` with three governors, two of whom are needed, and a fusion key. What else they have is given:
certificates, contracts by kind (from ``contracts.builtin.KINDS``) or as instances, policies, accounts, assets.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from hashlib import sha256

from contracts.bridge.records import (
    REGISTER_CLIENT,
    AttachmentQuery,
    Delivered,
    DeliveredQuery,
    OutboxQuery,
    RegisterClient,
    RoleQuery,
)
from contracts.builtin import build_rules, genesis_block
from contracts.executor import BlockExecution
from contracts.governance.calls import Propose
from contracts.interface import BlockInfo, Contract, EndContext
from contracts.rules import Rules
from contracts.validators.schedule import epoch_at
from ledger.admission import AdmissionCertificate, sign_certificate
from ledger.block import Event, Header, Receipt, block_id, receipt_codec, transactions_root
from ledger.certificate import CommitCertificate, VoteKind, vote_digest
from ledger.chain_proof import Inclusion, inclusion_of
from ledger.delivery import Carried, build_deliveries, items_in, tells_lane
from ledger.encoding import Codec, Record, encode
from ledger.errors import NotFound
from ledger.genesis import AccountDoc, AssetDoc, ContractDoc, Genesis, PolicyDoc, certificate_doc, chain_id_of
from ledger.keys import SigningKey, key_text
from ledger.merkle import GrowingTree, leaf_hash
from ledger.packet import AttachmentRef, Delivery, HeaderProof, Packet
from ledger.rotation import RotationDoc
from ledger.state import Overlay, contract_prefix
from ledger.transaction import Body, Call, Transaction, build
from ledger.types import ZERO_HASH, Height
from ledger.validators import ValidatorSet
from tests.contracts.commission.world import DictState

START_MS = 1_700_000_000_000
BRIDGE = "bridge"
PROBE = "probe"
SUPERVISION, BUSINESS = "supervision", "business"
BASE_KINDS = ("admission", "governance", "accounts", "assets", BRIDGE)


def key_of(name: str) -> SigningKey:
    """The key that a name stands for in tests."""
    return SigningKey(sha256(name.encode()).digest())


FUSION, OTHER_FUSION, MEMBER, AUTHORITY = map(key_of, ("fusion", "fusion 2", "member", "admission authority"))
GOVERNORS = tuple(key_of(f"governor {i}") for i in range(3))


def call(contract: str, name: str, arguments: Record) -> Call:
    """A call of a contract's method."""
    return Call(contract, name, encode(arguments))


def lock_of(*keys: SigningKey, needed: int = 1) -> str:
    """``key(…)``, or ``threshold(needed, …)``."""
    texts = [f"key({key_text(key.public)})" for key in sorted(keys, key=lambda key: key.public)]
    return texts[0] if len(texts) == 1 else f"threshold({needed},{','.join(texts)})"


class Chain:
    """A chain whose blocks the test makes.

    Args:
        name: of the chain.
        people: key → (organisation, roles), beside governors, ``MEMBER`` and the fusion keys.
        kinds: of built-in contracts, at addresses equal to their kinds, beside ``BASE_KINDS``.
        instances: contracts that are not built in, at their own addresses.
        policies: name → lock, beside ``governors``.
        accounts: named accounts.
        assets: assets.
        validators: their keys.
        rotation: their committees rotate; goes with the kind ``validators``.

    Attributes:
        validators: a test may set other ones: they decide from the block after the next one on.
        deciders: by height, the validators that decide it; of the next one too.
        headers, certificates, receipts: by height; receipts as canonical bytes, the end of the block's last.
        transactions: wire bytes by id.
        ended: events of the last block's end.
    """

    def __init__(
        self,
        name: str,
        *,
        people: Mapping[SigningKey, tuple[str, tuple[str, ...]]] | None = None,
        kinds: Sequence[str] = (),
        instances: Sequence[Contract] = (),
        policies: Mapping[str, str] | None = None,
        accounts: Sequence[AccountDoc] = (),
        assets: Sequence[AssetDoc] = (),
        validators: Sequence[SigningKey] | None = None,
        start_ms: int = START_MS,
        rotation: RotationDoc | None = None,
    ) -> None:
        self.name = name
        self.validators = validators or [key_of(f"{name} validator {i}") for i in range(4)]
        chosen: dict[SigningKey, tuple[str, tuple[str, ...]]] = {
            **{key: (f"validator {i}", ("validator",)) for i, key in enumerate(self.validators)},
            **{key: (f"governor {i}", ("member",)) for i, key in enumerate(GOVERNORS)},
            MEMBER: ("member", ("member",)),
            FUSION: ("fusion", ("fusion",)),
            OTHER_FUSION: ("fusion 2", ("fusion",)),
            **(people or {}),
        }
        self.keys = {key.public: key for key in chosen}
        salt, authority = "00" * 16, lock_of(AUTHORITY)
        chain_id = chain_id_of(name, start_ms, salt, authority)
        named = {"governors": lock_of(*GOVERNORS, needed=2), **(policies or {})}
        self.genesis = Genesis(
            name=name,
            created_ms=start_ms,
            salt=salt,
            suite="ed25519-sha256",
            authority=authority,
            validators=tuple(key_text(key.public) for key in self.validators),
            certificates=tuple(
                certificate_doc(
                    sign_certificate(
                        AdmissionCertificate(
                            chain_id,
                            number + 1,
                            key.public,
                            sha256(key.public).digest() if roles == ("validator",) else b"",
                            organisation,
                            tuple(sorted(roles)),
                            0,
                            start_ms * 2,
                        ),
                        [AUTHORITY],
                    )
                )
                for number, (key, (organisation, roles)) in enumerate(chosen.items())
            ),
            contracts=tuple(ContractDoc(address=kind, kind=kind) for kind in (*BASE_KINDS, *kinds)),
            policies=tuple(PolicyDoc(name=policy, lock=lock) for policy, lock in sorted(named.items())),
            accounts=tuple(accounts),
            assets=tuple(assets),
            rotation=rotation,
        )
        if rotation is not None:
            self.validators = [self.keys[key] for key in self.genesis.validator_set().keys]
        built = build_rules(self.genesis)
        extra = {contract.address: contract for contract in instances}
        self.rules = Rules(built.chain_id, {**built.contracts, **extra}, built.expiry_window)
        self.chain_id = self.rules.chain_id
        self.state = DictState()
        self.time_ms = start_ms
        self.deciders = [list(self.validators)]
        self.headers: list[Header] = []
        self.certificates: list[CommitCertificate] = []
        self.receipts: list[list[bytes]] = []
        self.transactions: dict[bytes, bytes] = {}
        self.ended: tuple[Event, ...] = ()
        self._history = GrowingTree()
        self._attachments: dict[bytes, bytes] = {}
        self._nonces = 0
        header, result = genesis_block(self.genesis, self.rules, self.state)
        self._commit(header, result.writes, result.receipts)

    # --- blocks ---------------------------------------------------------------------------------------------------

    @property
    def height(self) -> int:
        """Of the last block."""
        return len(self.headers) - 1

    @property
    def tip(self) -> Header:
        """Header of the last block."""
        return self.headers[-1]

    def block(self, *transactions: Transaction, step_ms: int = 1_000) -> list[Receipt]:
        """Commits the next block, ``step_ms`` later; the receipts of its transactions."""
        self.time_ms += step_ms
        if self.genesis.rotation is not None:
            self.validators = [self.keys[key] for key in epoch_at(self.state, "validators", self.height + 2).keys]
        execution = BlockExecution(self.rules, self.state, self._next(self.time_ms))
        for transaction in transactions:
            # As over a network: nothing that was verified once stays verified.
            execution.add(Transaction.decode(transaction.wire))
            self.transactions[bytes(transaction.tx_id)] = transaction.wire
        result = execution.finish()
        header = Header(
            version=1,
            chain_id=self.chain_id,
            height=self.height + 1,
            time_ms=self.time_ms,
            parent=block_id(self.tip),
            history_root=self._history.root(),
            history_size=self._history.size,
            proposer=self.validators[0].public,
            epoch=0,
            validators_hash=self.tip.next_validators_hash,
            next_validators_hash=ValidatorSet(key.public for key in self.validators).hash(self.chain_id),
            transactions_root=transactions_root([transaction.ref for transaction in transactions]),
            transactions_count=len(transactions),
            receipts_root=result.receipts_root,
            changes_root=result.changes_root,
            changes_count=len(result.change_hashes),
            checkpoint_height=0,
            checkpoint_root=ZERO_HASH,
        )
        self._commit(header, result.writes, result.receipts)
        *receipts, end = [receipt_codec.decode(data) for data in result.receipts]
        self.ended = end.events
        return receipts

    def run(self, transaction: Transaction, code: str = "ok", *, step_ms: int = 1_000) -> Receipt:
        """Commits a block with one transaction whose receipt must have ``code``."""
        (receipt,) = self.block(transaction, step_ms=step_ms)
        assert receipt.code == code, f"{receipt.code}, not {code}: {self.refusal(transaction)}"
        return receipt

    def refusal(self, transaction: Transaction) -> str:
        """Words of the refusal that a transaction like this would meet in the next block; empty where none."""
        body = transaction.body
        copy = self.tx(self.keys[body.sender], *body.calls, cosigners=[self.keys[key] for key in body.cosigners])
        refused = BlockExecution(self.rules, self.state, self._next(self.time_ms + 1_000)).add(copy)
        return "" if refused is None else f"{refused.code}: {refused.message}"

    def check(self, transaction: Transaction) -> None:
        """What a mempool does before it admits: raises what ``BlockExecution.check`` raises."""
        execution = BlockExecution(self.rules, self.state, self._next(self.time_ms + 1_000), sweep=False)
        execution.check(Transaction.decode(transaction.wire))

    def _next(self, time_ms: int) -> BlockInfo:
        return BlockInfo(self.chain_id, Height(self.height + 1), time_ms)

    def _commit(self, header: Header, writes: Mapping[bytes, bytes | None], receipts: list[bytes]) -> None:
        self.state.apply(writes)
        prefix = contract_prefix(BRIDGE) + b"a"
        self._attachments |= {sha256(v).digest(): v for k, v in writes.items() if v and k.startswith(prefix)}
        self.headers.append(header)
        self.certificates.append(certify(header, self.deciders[-1]))
        self.deciders.append(list(self.validators))
        self.receipts.append(receipts)
        self._history.append(block_id(header))

    # --- transactions and questions -------------------------------------------------------------------------------

    def tx(
        self, sender: SigningKey, *calls: Call, cosigners: Iterable[SigningKey] = (), memo: bytes = b""
    ) -> Transaction:
        """A signed transaction with these calls."""
        self._nonces += 1
        body = Body(
            version=1,
            chain_id=self.chain_id,
            sender=sender.public,
            expiry_height=self.height + 1_000,
            nonce=self._nonces.to_bytes(16, "big"),
            inputs=(),
            outputs=(),
            calls=calls,
            attachments=(),
            memo=memo,
        )
        return build(body, [sender, *cosigners])

    def govern(self, contract: str, action: str, order: Record, code: str = "ok") -> Receipt:
        """Has two governors propose and so execute a governed action."""
        proposal = Propose(contract, action, encode(order), "for a test")
        transaction = self.tx(GOVERNORS[0], call("governance", "propose", proposal), cosigners=[GOVERNORS[1]])
        return self.run(transaction, code)

    def view(self, contract: str, name: str, arguments: Record):
        """A view over the committed state."""
        instance = self.rules.contracts[contract]
        overlay = Overlay(self.state)
        block = BlockInfo(self.chain_id, Height(self.height), self.time_ms)
        context = EndContext(block, contract, overlay, BlockExecution(self.rules, self.state, block, sweep=False))
        answer = type(instance).views[name].run(instance, context, arguments)
        assert not overlay.writes, "a view writes"
        assert Codec(type(answer), 2**24).decode(encode(answer)) == answer
        return answer

    def context(self, contract: str) -> EndContext:
        """A context over the committed state, to call a contract's functions with; what it writes is lost."""
        block = BlockInfo(self.chain_id, Height(self.height), self.time_ms)
        execution = BlockExecution(self.rules, self.state, block, sweep=False)
        return EndContext(block, contract, execution.overlay, execution)

    def attachment(self, packet: Packet, ref: AttachmentRef, role: str) -> bytes:
        """Bytes of an attachment, from the view while it is kept, else as it once was."""
        try:
            found: bytes = self.view(BRIDGE, "attachment", AttachmentQuery(role, packet.sequence, ref.digest)).data
        except NotFound:
            found = self._attachments[ref.digest]
        return found

    def history_of(self, height: int, anchor: int) -> Inclusion:
        """Place of block ``height`` in the history of block ``anchor``."""
        return inclusion_of([leaf_hash(block_id(header)) for header in self.headers[:anchor]], height)


def certify(header: Header, keys: Iterable[SigningKey], *, round_: int = 0) -> CommitCertificate:
    """The certificate of a header that these keys sign."""
    name = block_id(header)
    signed = vote_digest(header.chain_id, header.epoch, VoteKind.COMMIT, header.height, round_, name)
    seals = sorted((bytes(key.public), key.sign(signed)) for key in keys)
    return CommitCertificate(header.height, header.epoch, round_, name, tuple(seals))


# --- between two chains ---------------------------------------------------------------------------------------------


def pair(*, supervision: Chain | None = None, business: Chain | None = None) -> tuple[Chain, Chain]:
    """(business, supervision) that know each other; by default each with a ``Probe``."""
    from tests.contracts.bridge.probe import Probe

    first = business or Chain("business", instances=[Probe(PROBE)])
    second = supervision or Chain("supervision", instances=[Probe(PROBE)])
    introduce(first, second, SUPERVISION)
    introduce(second, first, BUSINESS)
    return first, second


def registration(other: Chain, role: str, **changes) -> RegisterClient:
    """What governors are asked to register: the other chain from its newest block on."""
    fields = {
        "role": role,
        "name": other.name,
        "bridge": BRIDGE,
        "header": encode(other.tip),
        "validators": tuple(sorted(bytes(key.public) for key in other.deciders[-1])),
        "max_staleness_ms": 30_000,
    }
    return RegisterClient(**(fields | changes))


def introduce(chain: Chain, other: Chain, role: str) -> None:
    """Registers the client of ``other`` on ``chain``."""
    chain.govern(BRIDGE, REGISTER_CLIENT, registration(other, role))


def role_of(chain: Chain, other: Chain) -> str:
    """What ``other`` is to ``chain``."""
    for role in (SUPERVISION, BUSINESS):
        try:
            if chain.view(BRIDGE, "client", RoleQuery(role)).state.chain_id == other.chain_id:
                return role
        except NotFound:
            continue
    raise AssertionError(f"{chain.name} has no client of {other.name}")


def proof_of(source: Chain, destination: Chain, height: int) -> HeaderProof:
    """A header of ``source`` as the client on ``destination`` can check it now."""
    latest = destination.view(BRIDGE, "client", RoleQuery(role_of(destination, source))).state.latest.height
    header = source.headers[height]
    if height > latest:
        keys = tuple(sorted(bytes(key.public) for key in source.deciders[height]))
        return HeaderProof(header, source.certificates[height], keys, 0, None)
    if height == latest:
        return HeaderProof(header, None, (), 0, None)
    return HeaderProof(header, None, (), latest, source.history_of(height, latest))


def items(source: Chain, destination: Chain, height: int) -> list[Carried]:
    """Packets and answers of a block of ``source`` that are for ``destination``."""
    return items_in(source.receipts[height], bridge=BRIDGE, there=source.chain_id, here=destination.chain_id)


def relays(source: Chain, destination: Chain, height: int, chosen: Sequence[Carried] | None = None) -> list[Delivery]:
    """Deliveries with what a block of ``source`` has for ``destination``, or with the items chosen of it."""
    return build_deliveries(
        proof_of(source, destination, height),
        source.receipts[height],
        items(source, destination, height) if chosen is None else chosen,
        attachment=lambda packet, ref: source.attachment(packet, ref, role_of(source, destination)),
        transaction=lambda tx_id: source.transactions[tx_id],
        end=tells_lane(source.receipts[height], bridge=BRIDGE, here=destination.chain_id),
    )


def relay(source: Chain, destination: Chain, height: int | None = None) -> Delivery:
    """The one delivery with what a block of ``source``, by default the last one, has for ``destination``."""
    (delivery,) = relays(source, destination, source.height if height is None else height)
    return delivery


def deliver(
    destination: Chain, delivery: Delivery, code: str = "ok", *, by: SigningKey = FUSION, step_ms: int = 1_000
) -> Delivered:
    """Runs a delivery in a block of its own, whose receipt must have ``code``; what it came to (or zeros)."""
    receipt = destination.run(destination.tx(by, call(BRIDGE, "deliver", delivery)), code, step_ms=step_ms)
    return Codec(Delivered, 256).decode(receipt.results[0]) if code == "ok" else Delivered(0, 0, 0, 0, 0, False)


def carry(source: Chain, destination: Chain, *, step_ms: int = 1_000) -> int:
    """Brings everything new of ``source`` to ``destination``; how many deliveries that took."""
    role = role_of(destination, source)
    count = 0
    for height in range(source.height + 1):
        fresh = [item for item in items(source, destination, height) if _is_new(destination, role, item)]
        for index, _ in enumerate(relays(source, destination, height, fresh) if fresh else ()):
            # The client has moved on since the first one, so the proof is made anew.
            again = relays(source, destination, height, fresh)[index]
            deliver(destination, again, step_ms=step_ms)
            count += 1
    return count


def renew(source: Chain, destination: Chain, *, step_ms: int = 1_000) -> None:
    """Brings the newest header of ``source``, and what its block has, so that ``destination`` is not stale."""
    deliver(destination, relay(source, destination), step_ms=step_ms)


def settle(first: Chain, second: Chain, *, rounds: int = 32) -> None:
    """Carries both ways until neither has anything new."""
    for _ in range(rounds):
        if carry(first, second) + carry(second, first) == 0:
            return
    raise AssertionError("the two chains never come to rest")


def _is_new(destination: Chain, role: str, item: Carried) -> bool:
    if isinstance(item.item, Packet):
        query = DeliveredQuery(role, (item.item.sequence,))
        return not destination.view(BRIDGE, "delivered", query).taken[0]
    page = destination.view(BRIDGE, "outbox", OutboxQuery(role, item.item.sequence - 1, 1)).items
    return bool(page) and page[0].packet.sequence == item.item.sequence
