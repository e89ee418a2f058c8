"""A whole chain in memory behind the ``Gateway``: the real executor, one transaction a block, no consensus.

``Network`` joins several members' gateways and services the way the overlay does: a refusal travels as a code only.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence

from msgspec.msgpack import decode

from contracts.builtin import build_rules, genesis_block
from contracts.codes import Refusal
from contracts.executor import BlockExecution
from contracts.interface import BlockInfo, EndContext
from ledger.admission import AdmissionCertificate, sign_certificate
from ledger.block import Event, Header, Receipt, block_id, receipt_codec
from ledger.encoding import Record
from ledger.errors import NotFound, Overloaded, PeerRefused, PeerUnavailable, TidegateError
from ledger.genesis import (
    SUITE,
    AccountDoc,
    AssetDoc,
    CertificateDoc,
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
from ledger.state import StoredState
from ledger.store import Kind
from ledger.store_memory import MemoryStore
from ledger.transaction import Output, Transaction
from ledger.types import Height, OutPoint
from node.client import BulkAnswer
from node.gateway import BlockEvents, ChainInfo, Outcome, ServiceHandler, Unspent

CREATED_MS = 1_767_225_600_000
"""2026-01-01."""
BLOCK_MS = 1_000
VALIDITY_MS = 3_650 * 86_400_000


def seeded_key(name: str) -> SigningKey:
    """The same key for the same name, in every run."""
    return SigningKey(name.encode().ljust(32, b".")[:32])


def make_genesis(
    members: dict[str, SigningKey], supply: tuple[tuple[int, str], ...], accounts: tuple[AccountDoc, ...]
) -> Genesis:
    """A chain of ``members`` (organisation → key) with the currency CNY."""
    authority = seeded_key("authority")
    lock = f"key({key_text(authority.public)})"
    salt = "00" * 16
    chain_id = chain_id_of("test", CREATED_MS, salt, lock)
    validator = seeded_key("validator")

    def admit(
        serial: int, key: SigningKey, organisation: str, roles: tuple[str, ...], transport: bytes
    ) -> CertificateDoc:
        certificate = AdmissionCertificate(
            chain_id, serial, key.public, transport, organisation, roles, CREATED_MS, CREATED_MS + VALIDITY_MS
        )
        return certificate_doc(sign_certificate(certificate, (authority,)))

    certificates = [admit(1, validator, "Validators", ("validator",), bytes(32))]
    for serial, (organisation, key) in enumerate(members.items(), 2):
        certificates.append(admit(serial, key, organisation, ("member", "service"), b""))
    genesis = Genesis(
        name="test",
        created_ms=CREATED_MS,
        salt=salt,
        suite=SUITE,
        authority=lock,
        validators=(key_text(validator.public),),
        certificates=tuple(certificates),
        assets=(
            AssetDoc(
                asset="CNY",
                issuers=(),
                scale=2,
                supply=tuple(SupplyDoc(amount=amount, lock=text) for amount, text in supply),
            ),
        ),
        accounts=accounts,
        contracts=tuple(ContractDoc(address=k, kind=k) for k in ("admission", "accounts", "assets", "commission")),
        parameters=Parameters(),
    )
    return parse_genesis(format_genesis(genesis))


class FakeChain:
    """The chain itself.

    Attributes:
        height: of the last block.
        held: transactions handed in while ``hold`` is set; nothing of them is executed yet.
        hold: keep transactions waiting instead of executing them.
        overload: how many submissions are refused as ``Overloaded`` before the next is taken.
    """

    def __init__(self, genesis: Genesis) -> None:
        self.genesis = genesis
        self.rules = build_rules(genesis)
        self.store = MemoryStore()
        self.state = StoredState(self.store)
        self.headers: list[Header] = []
        self.blocks: list[BlockEvents] = []
        self.outcomes: dict[bytes, Outcome] = {}
        self.transactions: dict[bytes, Transaction] = {}
        self.held: list[Transaction] = []
        self.hold = False
        self.overload = 0
        self._changed = asyncio.Condition()
        header, result = genesis_block(genesis, self.rules, self.state)
        self._write(result.writes)
        self.headers.append(header)
        self.blocks.append(BlockEvents(0, block_id(header), header.time_ms, ()))

    @property
    def height(self) -> int:
        return len(self.headers) - 1

    @property
    def time_ms(self) -> int:
        return self.headers[-1].time_ms

    async def take(self, transaction: Transaction) -> None:
        """What a node does with a transaction: refuses, keeps, or (here) makes a block of it at once."""
        if transaction.tx_id in self.outcomes or transaction in self.held:
            return
        if self.overload:
            self.overload -= 1
            raise Overloaded("the mempool is full", retry_after_ms=10)
        if self.hold:
            self.held.append(transaction)
            return
        await self.make_block(transaction)

    async def release(self) -> None:
        """Executes what was held, each in a block; what cannot be in one any more is dropped."""
        self.hold, held, self.held = False, self.held, []
        for transaction in held:
            try:
                await self.make_block(transaction)
            except TidegateError:
                continue

    async def make_block(self, transaction: Transaction | None = None, *, after_ms: int = BLOCK_MS) -> None:
        """A block with that transaction, or an empty one, ``after_ms`` after the last."""
        height, time_ms = self.height + 1, self.time_ms + after_ms
        block = BlockInfo(self.rules.chain_id, Height(height), time_ms)
        execution = BlockExecution(self.rules, self.state, block)
        refusal: Refusal | None = None
        if transaction is not None:
            refusal = execution.add(transaction)
        result = execution.finish()
        receipts = [receipt_codec.decode(data) for data in result.receipts]
        previous = self.headers[-1]
        header = Header(
            **{
                **{name: getattr(previous, name) for name in previous.__struct_fields__},
                "height": height,
                "time_ms": time_ms,
                "parent": block_id(previous),
                "receipts_root": result.receipts_root,
            }
        )
        self._write(result.writes)
        self.headers.append(header)
        events = tuple((receipt.tx_id, event) for receipt in receipts for event in receipt.events)
        self.blocks.append(BlockEvents(height, block_id(header), time_ms, events))
        if transaction is not None:
            self._remember(transaction, receipts[0], height)
            assert (refusal is None) == (receipts[0].code == "ok")
        async with self._changed:
            self._changed.notify_all()

    def _remember(self, transaction: Transaction, receipt: Receipt, height: int) -> None:
        status = "committed" if receipt.code == "ok" else "refused"
        outcome = Outcome(transaction.tx_id, status, receipt.code, height, 0, receipt.events, receipt.results)
        self.outcomes[transaction.tx_id] = outcome
        self.transactions[transaction.tx_id] = transaction

    def _write(self, writes: dict[bytes, bytes | None]) -> None:
        self.store.write({Kind.STATE + key: value for key, value in writes.items()})

    async def wait_above(self, height: int) -> None:
        async with self._changed:
            await self._changed.wait_for(lambda: self.height >= height)

    def events_named(self, name: str) -> list[Event]:
        return [event for block in self.blocks for _, event in block.events if event.name == name]


class FakeGateway:
    """One node's ``Gateway`` to the chain (with bulk submission, as ``Client`` has)."""

    def __init__(self, chain: FakeChain) -> None:
        self.chain = chain

    async def info(self) -> ChainInfo:
        chain = self.chain
        last = chain.headers[-1]
        window = chain.genesis.parameters.expiry_window
        return ChainInfo("test", chain.rules.chain_id, chain.height, block_id(last), last.time_ms, window)

    async def submit(self, transaction: Transaction) -> bytes:
        await self.chain.take(transaction)
        return transaction.tx_id

    async def submit_and_wait(self, transaction: Transaction, timeout_s: float = 30.0) -> Outcome:
        await self.chain.take(transaction)
        return await self.outcome(transaction.tx_id)

    async def submit_many(self, wires: Sequence[bytes], wait_ms: int = 0) -> list[BulkAnswer]:
        answers = []
        for wire in wires:
            transaction = Transaction.decode(wire)
            await asyncio.sleep(0)
            try:
                await self.chain.take(transaction)
            except Overloaded:
                answers.append(BulkAnswer(transaction.tx_id, "overloaded", "overloaded"))
                continue
            except TidegateError as error:
                answers.append(BulkAnswer(transaction.tx_id, "rejected", error.code))
                continue
            found = await self.outcome(transaction.tx_id)
            answers.append(BulkAnswer(transaction.tx_id, found.status, found.code))
        return answers

    async def outcome(self, tx_id: bytes) -> Outcome:
        known = self.chain.outcomes.get(tx_id)
        if known is not None:
            return known
        status = "pending" if any(held.tx_id == tx_id for held in self.chain.held) else "unknown"
        return Outcome(tx_id, status, "", 0, 0, (), ())

    async def transaction(self, tx_id: bytes) -> Transaction:
        try:
            return self.chain.transactions[tx_id]
        except KeyError:
            raise NotFound("no such transaction") from None

    async def unspent(
        self, lock: str, *, asset: str | None = None, after: OutPoint | None = None, limit: int = 200
    ) -> list[Unspent]:
        found = []
        for key, data in self.chain.state.iterate(b"u"):
            output = decode(data, type=Output)
            if output.lock == lock and asset in (None, output.asset) and (after is None or key[1:] > after):
                found.append(Unspent(key[1:], output))
        return found[:limit]

    async def view(self, contract: str, name: str, arguments: Record, result: type) -> Record:
        chain = self.chain
        block = BlockInfo(chain.rules.chain_id, Height(chain.height), chain.time_ms)
        execution = BlockExecution(chain.rules, chain.state, block)
        found = chain.rules.contracts.get(contract)
        if found is None:
            raise NotFound(f"there is no contract {contract!r}")
        answer = found.views[name].run(found, EndContext(block, contract, execution.overlay, execution), arguments)
        assert isinstance(answer, result)
        return answer

    async def header(self, height: int) -> tuple[Header, bytes]:
        if not 0 <= height <= self.chain.height:
            raise NotFound("no such block")
        header = self.chain.headers[height]
        return header, block_id(header)

    async def events(self, from_height: int) -> AsyncIterator[BlockEvents]:
        height = from_height
        while True:
            await self.chain.wait_above(height)
            yield self.chain.blocks[height]
            height += 1


class FakeOverlay:
    """Calls between members: what ``ServiceLink`` promises, and no more."""

    def __init__(self) -> None:
        self.handlers: dict[tuple[str, str], ServiceHandler] = {}
        self.down: set[str] = set()
        self.requests: list[tuple[str, str, str]] = []

    def link(self, organisation: str) -> FakeLink:
        return FakeLink(self, organisation)


class FakeLink:
    """One member's end."""

    def __init__(self, overlay: FakeOverlay, organisation: str) -> None:
        self._overlay = overlay
        self._organisation = organisation

    async def request(self, node: str, service: str, payload: bytes, timeout_s: float = 10.0) -> bytes:
        self._overlay.requests.append((self._organisation, node, service))
        handler = self._overlay.handlers.get((node, service))
        if handler is None or node in self._overlay.down or node == self._organisation:
            raise PeerUnavailable(f"{node} is not connected")
        try:
            return await handler(self._organisation, payload)
        except TidegateError as error:
            raise PeerRefused("the peer refused", peer_code=error.code) from error

    def serve(self, service: str, handler: ServiceHandler) -> None:
        self._overlay.handlers[self._organisation, service] = handler
