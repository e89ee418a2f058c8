"""Transactions of many keys through one node: handed in together, and known to be in a block by the event stream.

A transaction of the flow contract always emits an event, so the client's one subscription says when it is committed:
no long poll per transaction, and many transactions a request. Whatever the stream does not tell in time is asked for.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from time import monotonic
from typing import Final, Protocol, cast

from contracts.flow import calls as flow_calls
from contracts.flow.calls import Moved, PaymentRequested, moved_codec, payment_codec
from ledger.block import Event
from ledger.encoding import Record, encode
from ledger.errors import InvalidInput, Overloaded, RemoteFault
from ledger.keys import SigningKey
from ledger.transaction import Body, Call, Output, Transaction, build
from ledger.types import OutPoint
from node.calling import CallRefused, CallUnresolved
from node.client import BulkAnswer
from node.flow.watcher import FLOW, FlowWatcher
from node.gateway import Gateway, Outcome

LIFETIME_BLOCKS: Final = 500
CHECK_S: Final = 3.0
"""A transaction that the event stream has not shown after so long is asked for by its id."""
GIVE_UP_S: Final = 120.0
RETRY_S: Final = 0.3
MAX_RETRY_S: Final = 5.0
MAX_BULK: Final = 256
MAX_BULK_REQUESTS: Final = 2
"""Bulk requests at a time: while they are under way the next one fills, so that load makes them larger, not more."""


class BulkGateway(Protocol):
    """A gateway that takes many transactions at once."""

    async def submit_many(self, wires: Sequence[bytes], wait_ms: int = 0) -> list[BulkAnswer]:
        """See ``Client.submit_many``."""
        ...


@dataclass(frozen=True, slots=True)
class Sent:
    """A transaction that took effect.

    Attributes:
        tx_id: its id.
        height: of its block.
        events: what it emitted.
    """

    tx_id: bytes
    height: int
    events: tuple[Event, ...]

    def moved(self) -> Moved:
        """The last step of a flow that it made."""
        return moved_codec.decode(self._last(lambda name: name != flow_calls.PAYMENT_REQUESTED).data)

    def payment(self) -> PaymentRequested:
        """The payment request that it made."""
        return payment_codec.decode(self._last(lambda name: name == flow_calls.PAYMENT_REQUESTED).data)

    def _last(self, wanted: Callable[[str], bool]) -> Event:
        for event in reversed(self.events):
            if event.contract == FLOW and wanted(event.name):
                return event
        raise RemoteFault("the node shows a call of the flow contract without its event", code="answer_malformed")


class Submitter:
    """Signs, hands in and waits, for any number of keys at once.

    Args:
        gateway: a node of the business chain.
        watcher: of the same chain; it knows the height too, so that nobody asks for it.
        on_commit: told of each committed call: method, milliseconds from handing in to seeing the block.
    """

    def __init__(
        self, gateway: Gateway, watcher: FlowWatcher, on_commit: Callable[[str, float], None] | None = None
    ) -> None:
        self._gateway = gateway
        self._watcher = watcher
        self._on_commit = on_commit
        self._bulk = _Bulk(cast(BulkGateway, gateway)) if hasattr(gateway, "submit_many") else None

    async def call(
        self,
        key: SigningKey,
        method: str,
        arguments: Record,
        *,
        contract: str = FLOW,
        cosigners: Iterable[SigningKey] = (),
        inputs: Sequence[OutPoint] = (),
        outputs: Sequence[Output] = (),
    ) -> Sent:
        """Calls a method and waits until it is in a block.

        Args:
            key: the sender's.
            method: name.
            arguments: its argument record.
            contract: address.
            cosigners: keys that sign too.
            inputs: outpoints to spend.
            outputs: outputs to create.

        Raises:
            CallRefused: it did not take effect; the code is the chain's.
            CallUnresolved: nobody can tell.
        """
        calls = (Call(contract, method, encode(arguments)),)
        return await self.send(key, calls, cosigners=cosigners, inputs=inputs, outputs=outputs)

    async def send(
        self,
        key: SigningKey,
        calls: Sequence[Call],
        *,
        cosigners: Iterable[SigningKey] = (),
        inputs: Sequence[OutPoint] = (),
        outputs: Sequence[Output] = (),
    ) -> Sent:
        """Sends a transaction with these calls, inputs and outputs; as ``call``."""
        await self._watcher.start()
        watcher = self._watcher
        body = Body(
            1,
            watcher.chain_id,
            key.public,
            watcher.height + min(LIFETIME_BLOCKS, watcher.expiry_window),
            secrets.token_bytes(16),
            tuple(inputs),
            tuple(outputs),
            tuple(calls),
            (),
            b"",
        )
        transaction = build(body, [key, *cosigners])
        begun = monotonic()
        sent = await (self._by_events(transaction) if calls else self._by_outcome(transaction, begun))
        if self._on_commit is not None:
            self._on_commit(calls[-1].method if calls else "transfer", (monotonic() - begun) * 1000)
        return sent

    # --- with events ------------------------------------------------------------------------------------------------

    async def _by_events(self, transaction: Transaction) -> Sent:
        tx_id = bytes(transaction.tx_id)
        begun = monotonic()
        future = self._watcher.expect(tx_id)
        try:
            await self._hand_in(transaction, begun)
            while True:
                try:
                    async with asyncio.timeout(CHECK_S):
                        height, events = await asyncio.shield(future)
                    return Sent(tx_id, height, events)
                except TimeoutError:
                    found = await self._ask(transaction, begun)
                    if found is not None:
                        return found
        finally:
            self._watcher.forget(tx_id)
            future.cancel()

    async def _hand_in(self, transaction: Transaction, begun: float) -> None:
        pause = RETRY_S
        while True:
            try:
                await self._submit(transaction)
            except (Overloaded, RemoteFault) as error:
                self._still_trying(transaction, begun, error)
                await asyncio.sleep(pause)
                pause = min(2 * pause, MAX_RETRY_S)
            except CallRefused:
                raise
            except InvalidInput as error:
                raise CallRefused(error.message, code=error.code, tx_id=transaction.tx_id) from error
            else:
                return

    async def _submit(self, transaction: Transaction) -> None:
        if self._bulk is None:
            await self._gateway.submit(transaction)
            return
        answer = await self._bulk.put(transaction.wire)
        if answer.status == "overloaded":
            raise Overloaded("the node is full", retry_after_ms=500)
        if answer.status in ("rejected", "refused"):
            raise CallRefused(f"the chain refuses the call: {answer.code}", code=answer.code, tx_id=transaction.tx_id)

    async def _ask(self, transaction: Transaction, begun: float) -> Sent | None:
        """What the node knows of a transaction that the event stream has not shown; None: go on waiting."""
        try:
            outcome = await self._gateway.outcome(transaction.tx_id)
        except RemoteFault as error:
            self._still_trying(transaction, begun, error)
            return None
        if outcome.status == "unknown":
            if self._watcher.height > transaction.body.expiry_height:
                raise CallRefused("the call's last block went by without it", code="expired", outcome=outcome)
            await self._hand_in(transaction, begun)
            return None
        return _decided(outcome)

    # --- without events (transfers) ---------------------------------------------------------------------------------

    async def _by_outcome(self, transaction: Transaction, begun: float) -> Sent:
        await self._hand_in(transaction, begun)
        while True:
            try:
                outcome = await self._gateway.submit_and_wait(transaction, 15.0)
            except (Overloaded, RemoteFault) as error:
                self._still_trying(transaction, begun, error)
                await asyncio.sleep(RETRY_S)
                continue
            except InvalidInput as error:
                raise CallRefused(error.message, code=error.code, tx_id=transaction.tx_id) from error
            found = _decided(outcome)
            if found is not None:
                return found
            if self._watcher.height > transaction.body.expiry_height:
                raise CallRefused("the transfer's last block went by without it", code="expired", outcome=outcome)

    def _still_trying(self, transaction: Transaction, begun: float, error: InvalidInput | RemoteFault) -> None:
        if monotonic() - begun > GIVE_UP_S:
            raise CallUnresolved(
                f"transaction {transaction.tx_id.hex()}: {error.message}", tx_id=transaction.tx_id
            ) from error


def _decided(outcome: Outcome) -> Sent | None:
    if outcome.status == "committed":
        return Sent(outcome.tx_id, outcome.height, outcome.events)
    if outcome.status == "refused" or outcome.code:
        raise CallRefused(
            f"the chain refused the call: {outcome.code}", code=outcome.code, outcome=outcome, tx_id=outcome.tx_id
        )
    return None


class _Bulk:
    """Puts what comes at the same time into one request."""

    def __init__(self, gateway: BulkGateway) -> None:
        self._gateway = gateway
        self._queue: list[tuple[bytes, asyncio.Future[BulkAnswer]]] = []
        self._tasks: set[asyncio.Task[None]] = set()

    async def put(self, wire: bytes) -> BulkAnswer:
        future: asyncio.Future[BulkAnswer] = asyncio.get_running_loop().create_future()
        self._queue.append((wire, future))
        if len(self._tasks) < MAX_BULK_REQUESTS:
            task = asyncio.create_task(self._work())
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        return await future

    async def _work(self) -> None:
        # One turn of the loop, so that flows that move on with the same block hand in together.
        await asyncio.sleep(0)
        while self._queue:
            batch, self._queue = self._queue[:MAX_BULK], self._queue[MAX_BULK:]
            try:
                answers = await self._gateway.submit_many([wire for wire, _ in batch])
            except (InvalidInput, RemoteFault) as error:
                for _, future in batch:
                    if not future.done():
                        future.set_exception(error)
                continue
            except BaseException:
                for _, future in batch:
                    future.cancel()
                raise
            for (_, future), answer in zip(batch, answers, strict=True):
                if not future.done():
                    future.set_result(answer)
