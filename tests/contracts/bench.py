"""A chain in one process for the tests of this folder: real genesis, real executor, a state in memory."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence

import msgspec

from contracts.block_result import ExecutionResult
from contracts.builtin import build_rules, genesis_block
from contracts.executor import BlockExecution
from contracts.interface import BlockInfo, Contract, EndContext
from ledger.admission import AdmissionCertificate, sign_certificate
from ledger.block import Receipt, receipt_codec
from ledger.encoding import Codec, Record, encode
from ledger.genesis import (
    AccountDoc,
    AssetDoc,
    ContractDoc,
    Genesis,
    Parameters,
    SupplyDoc,
    certificate_doc,
    chain_id_of,
    format_genesis,
    parse_genesis,
)
from ledger.keys import SigningKey, key_text
from ledger.state import Overlay, StoredState
from ledger.state_root import state_root
from ledger.store import Kind
from ledger.store_memory import MemoryStore
from ledger.transaction import Body, Call, Output, Transaction, Witness, _Wire, build, outpoint, witness_hash
from ledger.types import MAX_AMOUNT, Height, TxRef

START_MS = 1_700_000_000_000
SALT = "00" * 16
CNY = "CNY"
BIG = "BIG"
SUPPLY = 1_000
WINDOW = 20

_output_codec = Codec(Output, 4_096)


def key_of(name: str) -> SigningKey:
    return SigningKey(name.encode().ljust(32, b"."))


AUTHORITY, VALIDATOR, ALICE, BOB, CAROL = map(key_of, ("authority", "validator", "alice", "bob", "carol"))
ISSUER = key_of("issuer")
STRANGER = key_of("nobody admitted this key")
EARLY, LATE = key_of("certificate not valid yet"), key_of("certificate that runs out")
EARLY_FROM_MS = START_MS + 5_000
LATE_UNTIL_MS = START_MS + 5_000
ADMITTED = {"alice": ALICE, "bob": BOB, "carol": CAROL, "issuer": ISSUER}


def lock(key: SigningKey) -> str:
    return f"key({key_text(key.public)})"


def certificates(chain_id: bytes) -> list[AdmissionCertificate]:
    far = 2**50
    made = [AdmissionCertificate(chain_id, 1, VALIDATOR.public, b"t" * 32, "validator", ("validator",), 0, far)]
    for serial, (name, key) in enumerate(ADMITTED.items(), 2):
        made.append(AdmissionCertificate(chain_id, serial, key.public, b"", name, ("member",), 0, far))
    made.append(AdmissionCertificate(chain_id, 90, EARLY.public, b"", "early", ("member",), EARLY_FROM_MS, far))
    made.append(AdmissionCertificate(chain_id, 91, LATE.public, b"", "late", ("member",), 0, LATE_UNTIL_MS))
    return made


def make_genesis(**changes: object) -> Genesis:
    """A genesis with two assets, three accounts and everybody above admitted."""
    authority = lock(AUTHORITY)
    chain_id = chain_id_of("bench", START_MS, SALT, authority)
    holders = [ALICE] * 6 + [BOB] * 4 + [STRANGER, EARLY, LATE]
    genesis = Genesis(
        name="bench",
        created_ms=START_MS,
        salt=SALT,
        suite="ed25519-sha256",
        authority=authority,
        validators=(key_text(VALIDATOR.public),),
        certificates=tuple(certificate_doc(sign_certificate(c, [AUTHORITY])) for c in certificates(chain_id)),
        assets=(
            AssetDoc(
                asset=CNY,
                issuers=(key_text(ISSUER.public),),
                supply=tuple(SupplyDoc(amount=SUPPLY, lock=lock(holder)) for holder in holders),
            ),
            AssetDoc(
                asset=BIG,
                issuers=(key_text(ISSUER.public),),
                supply=(SupplyDoc(amount=MAX_AMOUNT - 1, lock=lock(ALICE)), SupplyDoc(amount=1, lock=lock(ALICE))),
            ),
        ),
        accounts=(
            AccountDoc(name="shop", organisation="bob", lock=lock(BOB)),
            AccountDoc(name="both", organisation="alice", lock=f"all({lock(ALICE)},{lock(BOB)})"),
        ),
        contracts=tuple(ContractDoc(address=kind, kind=kind) for kind in ("admission", "accounts", "assets")),
        parameters=Parameters(expiry_window=WINDOW),
    )
    return parse_genesis(format_genesis(msgspec.structs.replace(genesis, **changes)))


ALICE_COINS, BOB_COINS, STRANGER_COIN, EARLY_COIN, LATE_COIN = range(6), range(6, 10), 10, 11, 12
BIG_COINS = (13, 14)
"""Numbers of the genesis outputs by holder."""


class Bench:
    """One chain: ``execute`` a block on top of the state and keep it."""

    def __init__(self, *extra: Contract, genesis: Genesis | None = None, window: int | None = None) -> None:
        self.genesis = genesis or make_genesis()
        self.rules = build_rules(self.genesis)
        self.store = MemoryStore()
        self.state = StoredState(self.store)
        _, result = genesis_block(self.genesis, self.rules, self.state)
        self._apply(result)
        contracts = {**self.rules.contracts, **{contract.address: contract for contract in extra}}
        self.rules = dataclasses.replace(
            self.rules, contracts=contracts, expiry_window=self.rules.expiry_window if window is None else window
        )
        self.height = 0
        self.nonces = 0

    def _apply(self, result: ExecutionResult) -> None:
        self.store.write({Kind.STATE + key: value for key, value in result.writes.items()})

    # --- transactions ---------------------------------------------------------------------------------------------

    def coin(self, number: int) -> bytes:
        """Outpoint of a genesis output."""
        return outpoint(self.genesis.hash, number)

    def body(self, sender: SigningKey = ALICE, **changes: object) -> Body:
        self.nonces += 1
        fields = {
            "version": 1,
            "chain_id": self.genesis.chain_id,
            "sender": sender.public,
            "expiry_height": self.height + WINDOW,
            "nonce": self.nonces.to_bytes(16, "big"),
            "inputs": (),
            "outputs": (),
            "calls": (),
            "attachments": (),
            "memo": b"",
        }
        return Body(**(fields | changes))

    def make(
        self,
        inputs: Sequence[bytes] = (),
        outputs: Sequence[Output] = (),
        *,
        calls: Sequence[Call] = (),
        sender: SigningKey = ALICE,
        keys: Iterable[SigningKey] | None = None,
        preimages: Iterable[bytes] = (),
        **changes: object,
    ) -> Transaction:
        body = self.body(sender, inputs=tuple(inputs), outputs=tuple(outputs), calls=tuple(calls), **changes)
        return build(body, [sender] if keys is None else keys, preimages)

    def pay(self, number: int = 0, sender: SigningKey = ALICE, to: str | None = None, **changes: object) -> Transaction:
        """Moves a whole genesis output of ``sender`` to the lock ``to``."""
        return self.make([self.coin(number)], [Output(CNY, SUPPLY, to or lock(BOB))], sender=sender, **changes)

    # --- blocks ---------------------------------------------------------------------------------------------------

    def next_block(self, time_ms: int | None = None) -> BlockInfo:
        height = self.height + 1
        return BlockInfo(self.rules.chain_id, Height(height), START_MS + height if time_ms is None else time_ms)

    def execution(self, time_ms: int | None = None) -> BlockExecution:
        return BlockExecution(self.rules, self.state, self.next_block(time_ms))

    def run(self, transactions: Iterable[Transaction], time_ms: int | None = None) -> ExecutionResult:
        """Executes a block without keeping it."""
        execution = self.execution(time_ms)
        for transaction in transactions:
            execution.add(fresh(transaction))
        return execution.finish()

    def block(self, *transactions: Transaction, time_ms: int | None = None) -> list[Receipt]:
        """Executes and keeps the next block; its receipts, the end of the block's last."""
        result = self.run(transactions, time_ms)
        self._apply(result)
        self.height += 1
        return [receipt_codec.decode(data) for data in result.receipts]

    def code(self, transaction: Transaction, time_ms: int | None = None) -> str:
        """Puts one transaction alone into the next block: its receipt's code."""
        return self.block(transaction, time_ms=time_ms)[0].code

    # --- what a user would look at ----------------------------------------------------------------------------------

    def output(self, outpoint_: bytes) -> Output | None:
        data = self.state.get(b"u" + outpoint_)
        return None if data is None else _output_codec.decode(data)

    def totals(self) -> dict[str, int]:
        """Unspent minor units of each asset."""
        totals: dict[str, int] = {}
        for _, data in self.state.iterate(b"u"):
            output = _output_codec.decode(data)
            totals[output.asset] = totals.get(output.asset, 0) + output.amount
        return totals

    def supply(self, asset: str) -> int:
        return self.view("assets", "asset", asset).supply

    def root(self) -> bytes:
        return state_root(self.state)

    def live_ids(self) -> int:
        return sum(1 for _ in self.state.iterate(b"i"))

    def view(self, address: str, name: str, *arguments: object) -> Record:
        """Asks a view; its argument record is made of ``arguments``."""
        contract = self.rules.contracts[address]
        view = contract.views[name]
        execution = BlockExecution(self.rules, self.state, self.next_block(), sweep=False)
        context = EndContext(self.next_block(), address, Overlay(self.state), execution)
        return view.run(contract, context, view.arguments.decode(encode(view.arguments_type(*arguments))))


def fresh(transaction: Transaction) -> Transaction:
    """The transaction as another node would have it: decoded from its bytes, nothing verified."""
    return Transaction.decode(transaction.wire)


def with_witness(
    transaction: Transaction, signatures: Iterable[tuple[bytes, bytes]], preimages: Iterable[bytes] = ()
) -> Transaction:
    """The same body with any witness, as a liar would hold it in memory: no rule of form is checked."""
    witness = Witness(tuple(signatures), tuple(preimages))
    data = encode(witness)
    ref = TxRef(transaction.tx_id + witness_hash(transaction.body.chain_id, data))
    return Transaction(encode(_Wire(encode(transaction.body), data)), transaction.body, witness, transaction.tx_id, ref)


def call(contract: str, method: str, *arguments: object) -> Call:
    """A call whose argument record has these fields in order."""
    return Call(contract, method, encode(arguments))
