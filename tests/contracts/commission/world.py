"""A chain in one process for these tests: the real executor on a state in memory."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Iterable, Iterator

import msgspec

from contracts.block_result import ExecutionResult
from contracts.builtin import build_rules, genesis_block
from contracts.commission import answers as a
from contracts.commission import orders
from contracts.commission.calls import SettlementRequest
from contracts.commission.records import Agreement, MappingRow, Party, Sale, Triggers
from contracts.commission.views import CommissionViews
from contracts.executor import BlockExecution
from contracts.interface import BlockInfo, EndContext
from ledger.admission import AdmissionCertificate, sign_certificate
from ledger.block import Event, Receipt, receipt_codec
from ledger.encoding import Codec, Record, encode
from ledger.genesis import AccountDoc, AssetDoc, ContractDoc, Genesis, SupplyDoc, certificate_doc, chain_id_of
from ledger.keys import SigningKey, key_text
from ledger.lock import AccountLock, ContractLock, parse_lock
from ledger.state import Overlay
from ledger.transaction import Body, Output, Transaction, assemble, naming, outpoint, sign_body
from ledger.types import Height

ADDRESS = "commission"
START_MS = 1_700_000_000_000
CURRENCY = "CNY"
CLAIM = f"{ADDRESS}:claim:{CURRENCY}"
CLAWBACK = f"{ADDRESS}:clawback:{CURRENCY}"
PENDING = "B-health insurance-online sales-settlement pending"
SETTLED = "B-health insurance-online sales-settled"
CLAWED = "B-health insurance-online sales-clawback"
CASH = "B-cash"
FUNDS = 10**12

output_codec = Codec(Output, 4_096)


def key_of(name: str) -> SigningKey:
    return SigningKey(name.encode().ljust(32, b"."))


def lock_of(*keys: SigningKey) -> str:
    members = ",".join(f"key({key_text(key.public)})" for key in keys)
    return f"any({members})" if len(keys) > 1 else members


AUTHORITY, PLATFORM, INSURER, THIRD, OTHER, RIVAL = map(
    key_of, ("authority", "platform", "insurer", "third", "other insurer", "rival platform")
)
SPARE = key_of("spare platform key")
EXPIRING = key_of("platform key that expires")
ORGANISATIONS = {"B": PLATFORM, "C": INSURER, "pharmacy": THIRD, "D": OTHER, "R": RIVAL}
EXPIRING_UNTIL_MS = START_MS + 100_000


def claim_lock(account: str) -> str:
    return f"all(contract({ADDRESS}),account({account}))"


class DictState:
    """A sorted map with the interface of a state reader."""

    def __init__(self) -> None:
        self.values: dict[bytes, bytes] = {}
        self._keys: list[bytes] = []

    def get(self, key: bytes) -> bytes | None:
        return self.values.get(key)

    def iterate(self, prefix: bytes, *, start: bytes | None = None, limit: int | None = None) -> Iterator:
        position = bisect_left(self._keys, prefix if start is None else max(prefix, start))
        while position < len(self._keys) and self._keys[position].startswith(prefix) and limit != 0:
            yield self._keys[position], self.values[self._keys[position]]
            position += 1
            limit = None if limit is None else limit - 1

    def apply(self, writes) -> None:
        for key, value in writes.items():
            if value is None:
                if self.values.pop(key, None) is not None:
                    del self._keys[bisect_left(self._keys, key)]
            else:
                if key not in self.values:
                    insort(self._keys, key)
                self.values[key] = value


def genesis(accounts: Iterable[AccountDoc] = (), contracts: Iterable[ContractDoc] = ()) -> Genesis:
    salt = "00" * 16
    authority = lock_of(AUTHORITY)
    chain_id = chain_id_of("test", START_MS, salt, authority)
    people = [(key, name, START_MS * 2) for name, key in ORGANISATIONS.items()]
    people += [(SPARE, "B", START_MS * 2), (EXPIRING, "B", EXPIRING_UNTIL_MS)]
    certificates = tuple(
        certificate_doc(
            sign_certificate(
                AdmissionCertificate(chain_id, i + 1, key.public, bytes(32), name, ("member", "validator"), 0, until),
                [AUTHORITY],
            )
        )
        for i, (key, name, until) in enumerate(people)
    )
    supply = tuple(SupplyDoc(amount=FUNDS, lock=lock_of(key)) for key in (INSURER, INSURER, OTHER, PLATFORM))
    both = lock_of(PLATFORM, INSURER)
    return Genesis(
        name="test",
        created_ms=START_MS,
        salt=salt,
        suite="ed25519-sha256",
        authority=authority,
        validators=(key_text(PLATFORM.public),),
        certificates=certificates,
        assets=(
            AssetDoc(asset=CURRENCY, issuers=(key_text(THIRD.public),), supply=supply),
            AssetDoc(asset="EUR", issuers=(key_text(THIRD.public),)),
            AssetDoc(asset="X" * 50, issuers=(key_text(THIRD.public),)),
        ),
        accounts=(
            AccountDoc(name=PENDING, organisation="B", lock=both),
            AccountDoc(name=CLAWED, organisation="B", lock=lock_of(INSURER, PLATFORM)),
            AccountDoc(name=SETTLED, organisation="B", lock=lock_of(PLATFORM)),
            AccountDoc(name="B2-pending", organisation="B", lock=both),
            AccountDoc(name="B2-settled", organisation="B", lock=lock_of(PLATFORM)),
            AccountDoc(name="B2-clawback", organisation="C", lock=both),
            AccountDoc(name="BD-pending", organisation="B", lock=lock_of(PLATFORM, OTHER)),
            AccountDoc(name="BD-clawback", organisation="B", lock=lock_of(PLATFORM, OTHER)),
            AccountDoc(name="RC-pending", organisation="R", lock=lock_of(RIVAL, INSURER)),
            AccountDoc(name="RC-clawback", organisation="R", lock=lock_of(RIVAL, INSURER)),
            AccountDoc(name="R-settled", organisation="R", lock=lock_of(RIVAL)),
            AccountDoc(name="spare-pending", organisation="B", lock=lock_of(SPARE, INSURER)),
            AccountDoc(name="spare-clawback", organisation="B", lock=lock_of(SPARE, INSURER)),
            AccountDoc(name="expiring-pending", organisation="B", lock=lock_of(EXPIRING, INSURER)),
            AccountDoc(name="expiring-clawback", organisation="B", lock=lock_of(EXPIRING, INSURER)),
            AccountDoc(name=CASH, organisation="B", lock=lock_of(PLATFORM)),
            *accounts,
        ),
        contracts=(
            ContractDoc(address="admission", kind="admission"),
            ContractDoc(address="accounts", kind="accounts"),
            ContractDoc(address="assets", kind="assets"),
            ContractDoc(address=ADDRESS, kind="commission"),
            *contracts,
        ),
    )


def row(**changes) -> MappingRow:
    return msgspec.structs.replace(MappingRow("*", "*", "*", "*", PENDING, SETTLED, CLAWED), **changes)


def agreement(**changes) -> Agreement:
    """The agreement of PROTOCOL.md 1.4: 3 %, count ≥ 3, effective from height 3 on."""
    usual = Agreement(
        agreement="B-C health",
        version=1,
        platform=Party("B", PLATFORM.public, f"account({CASH})"),
        insurer=Party("C", INSURER.public, lock_of(INSURER)),
        currency=CURRENCY,
        scale=2,
        rate_ppm=30_000,
        base="premium",
        rounding="half_up",
        mapping=(row(),),
        conditions=(),
        triggers=Triggers(count=3),
        max_batch=1_000,
        clawback_window_s=1_000_000,
        activation_height=3,
    )
    return msgspec.structs.replace(usual, **changes)


def sale(policy: str = "C00100001", premium: int = 300_000, **changes) -> Sale:
    usual = Sale(policy, "B", "health insurance", "online sales", premium, 0, 20_200_131, insured=b"\x07" * 32)
    return msgspec.structs.replace(usual, **changes)


class World:
    """A chain whose blocks the test makes.

    Attributes:
        receipts: of the last block's transactions.
        ended: events of its end.
    """

    def __init__(self, doc: Genesis | None = None) -> None:
        self.genesis = doc or genesis()
        self.rules = build_rules(self.genesis)
        self.state = DictState()
        _, result = genesis_block(self.genesis, self.rules, self.state)
        self.state.apply(result.writes)
        self.chain_id = self.genesis.chain_id
        self.height = 0
        self.time_ms = START_MS
        self.nonces = 0
        self.keys = {key.public: key for key in (*ORGANISATIONS.values(), SPARE, EXPIRING)}
        self.receipts: list[Receipt] = []
        self.ended: tuple[Event, ...] = ()
        self.result: ExecutionResult | None = None
        self.history: list[tuple] = []

    # --- blocks ---------------------------------------------------------------------------------------------------

    def block(self, *transactions: Transaction, step_ms: int = 1_000) -> list[Receipt]:
        """Commits the next block, ``step_ms`` later."""
        self.height += 1
        self.time_ms += step_ms
        execution = BlockExecution(self.rules, self.state, BlockInfo(self.chain_id, Height(self.height), self.time_ms))
        for transaction in transactions:
            execution.add(transaction)
        self.result = execution.finish()
        self.state.apply(self.result.writes)
        self.history.append((self.height, self.result.receipts_root, self.result.changes_root))
        *receipts, end = [receipt_codec.decode(data) for data in self.result.receipts]
        self.receipts, self.ended = receipts, end.events
        return receipts

    def run(self, transaction: Transaction, code: str = "ok", *, step_ms: int = 1_000) -> Receipt:
        """Commits a block with one transaction whose receipt must have ``code``."""
        (receipt,) = self.block(transaction, step_ms=step_ms)
        assert receipt.code == code, f"{receipt.code}, not {code}"
        return receipt

    def refusal(self, transaction: Transaction) -> str:
        """Words of the refusal that the transaction would meet in the next block."""
        block = BlockInfo(self.chain_id, Height(self.height + 1), self.time_ms + 1_000)
        refused = BlockExecution(self.rules, self.state, block).add(transaction)
        assert refused is not None
        return f"{refused.code}: {refused.message}"

    # --- transactions ---------------------------------------------------------------------------------------------

    def frame(self, sender: SigningKey = PLATFORM, *cosigners: SigningKey) -> orders.Frame:
        self.nonces += 1
        nonce, expiry_height = self.nonces.to_bytes(16, "big"), self.height + 1_000
        return orders.Frame(
            self.chain_id, ADDRESS, sender.public, expiry_height, nonce, tuple(key.public for key in cosigners)
        )

    def sign(self, body: Body, *keys: SigningKey) -> Transaction:
        """The transaction of the body as it is; the sender and ``keys`` sign, and it must name just them."""
        return assemble(body, sign_body(body, {self.keys[body.sender], *keys}))

    def signed_only_by(self, body: Body, *keys: SigningKey) -> Transaction:
        """The transaction whose maker names just the sender and ``keys``, whoever else the order needs."""
        return self.sign(naming(body, [key.public for key in keys]), *keys)

    def proposal(self, terms: Agreement, party: str = "platform", *keys: SigningKey) -> Transaction:
        own = self.keys[terms.platform.key if party == "platform" else terms.insurer.key]
        return self.sign(orders.proposal_body(self.frame(own, *keys), terms, party), own, *keys)

    def signature(self, terms: Agreement, party: str = "insurer", *keys: SigningKey) -> Transaction:
        own = self.keys[terms.platform.key if party == "platform" else terms.insurer.key]
        return self.sign(orders.signature_body(self.frame(own, *keys), terms, party), own, *keys)

    def agree(self, terms: Agreement | None = None) -> Agreement:
        """Both parties sign; blocks pass until the version is in force."""
        terms = agreement() if terms is None else terms
        self.run(self.proposal(terms))
        self.run(self.signature(terms))
        while self.height + 1 < terms.activation_height:
            self.block()
        return terms

    def booking(self, terms: Agreement, sold: Sale, sender: SigningKey = PLATFORM) -> Transaction:
        body = orders.booking_body(self.frame(sender), terms, sold)
        return self.sign(body, self.keys[terms.platform.key])

    def cancellation(self, terms: Agreement, policy: str, sender: SigningKey = PLATFORM) -> Transaction:
        body = orders.cancellation_body(self.frame(sender), terms, self.booked(policy, terms.agreement))
        return self.sign(body, self.keys[terms.platform.key])

    def correction(self, terms: Agreement, sold: Sale, sender: SigningKey = PLATFORM) -> Transaction:
        booked = self.booked(sold.policy, terms.agreement)
        under = self.view("agreement", a.AgreementQuery(terms.agreement, booked.version)).agreement
        body = orders.correction_body(self.frame(sender), under, booked, sold)
        return self.sign(body, self.keys[terms.platform.key])

    def early(self, terms: Agreement, party: str = "platform") -> Transaction:
        key = self.keys[terms.platform.key if party == "platform" else terms.insurer.key]
        return self.sign(orders.request_body(self.frame(key), terms.agreement, party))

    def settlement(self, terms: Agreement, request: int = 1, sender: SigningKey | None = None) -> Transaction:
        plan = self.plan(terms, request)
        own = self.keys[terms.insurer.key]
        chosen = orders.choose_currency(self.unspent(CURRENCY, lock_of(own)), plan)
        return self.sign(orders.settlement_body(self.frame(sender or own), terms, plan, chosen), own)

    # --- questions ------------------------------------------------------------------------------------------------

    def view(self, name: str, arguments: Record):
        """A view over the committed state, at its height."""
        overlay = Overlay(self.state)
        block = BlockInfo(self.chain_id, Height(self.height), self.time_ms)
        execution = BlockExecution(self.rules, self.state, block)
        context = EndContext(block, ADDRESS, overlay, execution)
        declared = CommissionViews.views[name]
        answer = declared.run(self.rules.contracts[ADDRESS], context, arguments)
        assert not overlay.writes, "a view writes"
        assert Codec(declared.result, 2**24).decode(encode(answer)) == answer
        return answer

    def booked(self, policy: str = "C00100001", name: str = "B-C health") -> a.BookingView:
        return self.view("booking", a.BookingQuery(name, policy))

    def books(self, name: str = "B-C health") -> a.Books:
        return self.view("books", a.BooksQuery(name))

    def plan(self, terms: Agreement, request: int = 1) -> a.SettlementPlan:
        return self.view("settlement_plan", a.RequestQuery(terms.agreement, request))

    def requested(self) -> list[SettlementRequest]:
        """The settlement requests that the last block's end emitted."""
        codec = Codec(SettlementRequest, 64 * 1024)
        return [codec.decode(event.data) for event in self.ended if event.name == "settlement_requested"]

    def unspent(self, asset: str, lock: str | None = None) -> list[tuple[bytes, Output]]:
        found = [(key[1:], output_codec.decode(data)) for key, data in self.state.iterate(b"u")]
        return [item for item in found if item[1].asset == asset and lock in (None, item[1].lock)]

    def total(self, asset: str, account: str | None = None) -> int:
        """Sum of the unspent outputs of an asset, on one account."""
        return sum(
            output.amount
            for _, output in self.unspent(asset)
            if account is None or account in (output.lock, _account_in(output.lock))
        )

    def next_due_ms(self) -> int | None:
        block = BlockInfo(self.chain_id, Height(self.height), self.time_ms)
        state = EndContext(block, ADDRESS, Overlay(self.state), BlockExecution(self.rules, self.state, block)).state
        return self.rules.contracts[ADDRESS].next_due_ms(state)


def _account_in(text: str) -> str | None:
    parts = list(parse_lock(text).walk())
    if any(isinstance(part, ContractLock) for part in parts):
        return next((part.name for part in parts if isinstance(part, AccountLock)), None)
    return None


def altered(world: World, transaction: Transaction, *keys: SigningKey, **changes) -> Transaction:
    """The transaction with another body that names and has the signatures of the same keys and ``keys``."""
    body = msgspec.structs.replace(transaction.body, **changes)
    signers = [world.keys[key] for key, _ in transaction.witness.signatures]
    return world.signed_only_by(body, *signers, *keys)


def with_call(world: World, transaction: Transaction, arguments: Record, *keys: SigningKey) -> Transaction:
    """The transaction with other arguments of its call."""
    call = msgspec.structs.replace(transaction.body.calls[0], arguments=encode(arguments))
    return altered(world, transaction, *keys, calls=(call,))


def record_outpoint(transaction: Transaction, index: int = 0) -> bytes:
    return outpoint(transaction.tx_id, index)
