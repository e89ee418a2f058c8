"""A business chain that is made of answers: what a flow client sees of it, with faults where a test wants them.

``FakeGateway`` keeps no contract. ``on_call`` decides what a transaction does: it returns events, or raises.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence

from contracts.flow.calls import Moved
from contracts.keyring import Published
from contracts.messages import KeyNotice
from ledger.block import Event
from ledger.encoding import Record, encode
from ledger.errors import NotFound, RemoteFault, TidegateError
from ledger.keys import SigningKey
from ledger.sealing_keys import DecryptionKey
from ledger.transaction import Output, Transaction, outpoint
from ledger.types import OutPoint
from node.client import BulkAnswer
from node.gateway import BlockEvents, ChainInfo, Outcome, Unspent

CHAIN_ID = bytes(range(32))
KEY = b"\x01" + bytes(32)
OnCall = Callable[[Transaction], Sequence[tuple[str, Record]]]


def moved(flow: bytes, stage: str = "file", **fields: object) -> Moved:
    """A step of a flow with nothing in it but what is given."""
    empty: dict[str, object] = dict.fromkeys(
        ("authorisation", "platform", "patient", "reviewer", "pharmacy", "payer", "hash", "token"), b""
    )
    rest: dict[str, object] = {
        "kind": "prescription", "attempt": 1, "filer": KEY, "deadline_ms": 0, "reason": "", "rule": "",
        "rule_version": 0,
    }  # fmt: skip
    return Moved(**{"flow": flow, "stage": stage, **empty, **rest, **fields})  # type: ignore[arg-type]


class FakeGateway:
    """See the module.

    Attributes:
        blocks: what was committed.
        unspent_outputs: by outpoint.
        views: (contract, view) → answer or exception, or a function of the arguments.
        asked: (contract, view) of every view that was asked.
        submitted: every transaction that was handed in.
        broken: the event stream fails that many times.
        hide_events: commits without telling the event stream.
    """

    def __init__(self, on_call: OnCall | None = None) -> None:
        self.on_call = on_call or (lambda _: ())
        self.blocks: list[BlockEvents] = [BlockEvents(0, bytes(32), 1_000, ())]
        self.outcomes: dict[bytes, Outcome] = {}
        self.unspent_outputs: dict[bytes, Output] = {}
        self.views: dict[tuple[str, str], object] = {}
        self.asked: list[tuple[str, str]] = []
        self.submitted: list[Transaction] = []
        self.infos = 0
        self.broken = 0
        self.hide_events = False
        self.streams = 0
        self._more = asyncio.Condition()

    @property
    def height(self) -> int:
        return len(self.blocks) - 1

    async def info(self) -> ChainInfo:
        self.infos += 1
        return ChainInfo("business", CHAIN_ID, self.height, bytes(32), 1_000, 500)

    async def emit(self, *events: tuple[str, Record], contract: str = "flow", tx_id: bytes = bytes(32)) -> None:
        """A block with these events."""
        found = tuple((tx_id, Event(contract, name, encode(data))) for name, data in events)
        self.blocks.append(BlockEvents(self.height + 1, bytes(32), 1_000 * (self.height + 2), found))
        async with self._more:
            self._more.notify_all()

    async def submit(self, transaction: Transaction) -> bytes:
        self.submitted.append(transaction)
        for name in transaction.body.inputs:
            if name not in self.unspent_outputs:
                from contracts.codes import INPUT_MISSING, Refusal

                raise Refusal(INPUT_MISSING, "an input is spent")
        events = self.on_call(transaction)
        for name in transaction.body.inputs:
            del self.unspent_outputs[name]
        for place, output in enumerate(transaction.body.outputs):
            self.unspent_outputs[outpoint(transaction.tx_id, place)] = output
        records = tuple(Event("flow", name, encode(data)) for name, data in events)
        self.outcomes[transaction.tx_id] = Outcome(
            transaction.tx_id, "committed", "ok", self.height + 1, 0, records, ()
        )
        await self.emit(*(() if self.hide_events else events), tx_id=transaction.tx_id)
        return transaction.tx_id

    async def submit_and_wait(self, transaction: Transaction, timeout_s: float = 30.0) -> Outcome:
        if transaction.tx_id not in self.outcomes:
            await self.submit(transaction)
        return self.outcomes[transaction.tx_id]

    async def outcome(self, tx_id: bytes) -> Outcome:
        return self.outcomes.get(tx_id, Outcome(tx_id, "unknown", "", 0, 0, (), ()))

    async def unspent(
        self, lock: str, *, asset: str | None = None, after: OutPoint | None = None, limit: int = 200
    ) -> list[Unspent]:
        found = [
            Unspent(name, output)
            for name, output in sorted(self.unspent_outputs.items())
            if output.lock == lock and output.asset == asset and (after is None or name > after)
        ]
        return found[:limit]

    async def view(self, contract: str, name: str, arguments: Record, result: type) -> Record:
        self.asked.append((contract, name))
        found = self.views.get((contract, name))
        if callable(found):
            found = found(arguments)
        if isinstance(found, TidegateError):
            raise found
        if found is None:
            raise NotFound(f"nothing is known of {contract}.{name}")
        assert isinstance(found, result)
        return found

    async def events(self, from_height: int) -> AsyncIterator[BlockEvents]:
        self.streams += 1
        height = from_height
        while True:
            async with self._more:
                while self.height < height and not self.broken:
                    await self._more.wait()
            if self.broken:
                self.broken -= 1
                raise RemoteFault("the stream broke")
            yield self.blocks[height]
            height += 1


class BulkFake(FakeGateway):
    """The same with bulk submission."""

    def __init__(self, on_call: OnCall | None = None) -> None:
        super().__init__(on_call)
        self.requests: list[int] = []
        self.overloads = 0

    async def submit_many(self, wires: Sequence[bytes], wait_ms: int = 0) -> list[BulkAnswer]:
        self.requests.append(len(wires))
        await asyncio.sleep(0)
        answers = []
        for wire in wires:
            transaction = Transaction.decode(wire)
            if self.overloads:
                self.overloads -= 1
                answers.append(BulkAnswer(transaction.tx_id, "overloaded", "overloaded"))
                continue
            try:
                await self.submit(transaction)
            except TidegateError as error:
                answers.append(BulkAnswer(b"", "rejected", error.code))
            else:
                answers.append(BulkAnswer(transaction.tx_id, "pending", ""))
        return answers


def published(owner: SigningKey, key: DecryptionKey) -> Published:
    """A key as the keyring shows it."""
    public = key.public
    notice = KeyNotice(bytes(owner.public), public.suite, public.epoch, public.public, retired=False)
    return Published(notice, bytes(32), 1)
