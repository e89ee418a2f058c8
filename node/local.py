"""The gateway of the daemon itself: what RPC serves and what services inside the daemon use."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Final, TypeVar

from contracts.executor import BlockExecution
from contracts.interface import BlockInfo, Directory, EndContext
from ledger.block import Event, Header, Receipt, block_id, receipt_codec
from ledger.chain_records import TIP_KEY, read_tip
from ledger.encoding import Codec, Record, encode
from ledger.errors import InvalidInput, NotFound, Overloaded
from ledger.lock import parse_lock
from ledger.state import Overlay, StoredState, utxo_key
from ledger.state_root import state_root_slices
from ledger.transaction import Output, Transaction
from ledger.types import Hash32, Height, OutPoint, TxId
from node.chain import Chain, Committed, lock_index_prefix
from node.gateway import BlockEvents, ChainInfo, Outcome, Unspent
from node.intake import Intake
from node.mempool import RETRY_AFTER_MS, Mempool

R = TypeVar("R", bound=Record)

MAX_WAITERS: Final = 100_000
MAX_UNSPENT: Final = 1_000
SCAN_YIELD_EVERY: Final = 256
"""Outputs looked at between two yields, where an asset filter finds few."""
_output_codec = Codec(Output, 4_096, "output")


class LocalGateway:
    """``node.gateway.Gateway`` without a socket in between.

    Args:
        chain: committed chain.
        mempool: waiting transactions.
        intake: the way in.
    """

    def __init__(self, chain: Chain, mempool: Mempool, intake: Intake) -> None:
        self._chain = chain
        self._mempool = mempool
        self._intake = intake
        self._waiters: dict[TxId, list[asyncio.Future[Outcome]]] = {}
        self._next_block = asyncio.Event()
        self._released = False

    # --- what the daemon tells us -----------------------------------------------------------------------------------

    def on_committed(self, committed: Committed) -> None:
        """A block is on the disk: answers those who wait for its transactions, wakes those who wait for blocks."""
        waiters = self._waiters
        if waiters:
            receipts = committed.candidate.result.receipts
            for index, transaction in enumerate(committed.candidate.transactions):
                futures = waiters.pop(transaction.tx_id, None)
                if futures:
                    outcome = _outcome_of(receipt_codec.decode(receipts[index]), committed.height, index)
                    for future in futures:
                        if not future.done():
                            future.set_result(outcome)
        self._next_block.set()
        self._next_block = asyncio.Event()

    def on_dropped(self, tx_id: TxId, code: str) -> None:
        """A waiting transaction can be in no block any more."""
        for future in self._waiters.pop(tx_id, ()):
            if not future.done():
                future.set_result(Outcome(tx_id, "unknown", code, 0, 0, (), ()))

    @property
    def waiting(self) -> int:
        """Transactions whose outcome somebody waits for."""
        return len(self._waiters)

    def release(self) -> None:
        """The node ends: whoever waits for a block or an outcome gets what is known now, also from now on."""
        self._released = True
        # A new one at once: who follows events goes on waiting, until it is cancelled.
        self._next_block.set()
        self._next_block = asyncio.Event()
        for tx_id, futures in list(self._waiters.items()):
            status = "pending" if tx_id in self._mempool else "unknown"
            for future in futures:
                if not future.done():
                    future.set_result(Outcome(tx_id, status, "", 0, 0, (), ()))

    # --- Gateway ----------------------------------------------------------------------------------------------------

    async def info(self) -> ChainInfo:
        """See ``Gateway``."""
        tip = self._chain.tip
        genesis = self._chain.genesis
        return ChainInfo(
            genesis.name,
            self._chain.chain_id,
            tip.height,
            tip.block_id,
            tip.header.time_ms,
            genesis.parameters.expiry_window,
        )

    async def submit(self, transaction: Transaction) -> TxId:
        """See ``Gateway``."""
        self._intake.submit(transaction)
        return transaction.tx_id

    async def submit_and_wait(self, transaction: Transaction, timeout_s: float = 30.0) -> Outcome:
        """See ``Gateway``."""
        future = self.watch(transaction.tx_id)
        try:
            self._intake.submit(transaction)
            return await self._wait(transaction.tx_id, future, timeout_s)
        finally:
            self.unwatch(transaction.tx_id, future)

    async def wait(self, tx_id: bytes, timeout_s: float) -> Outcome:
        """The outcome once the transaction is in a block, or what is known after ``timeout_s``."""
        future = self.watch(TxId(tx_id))
        try:
            return await self._wait(TxId(tx_id), future, timeout_s)
        finally:
            self.unwatch(TxId(tx_id), future)

    def watch(self, tx_id: TxId) -> asyncio.Future[Outcome]:
        """A future of the outcome; give it back with ``unwatch`` when it is not wanted any more."""
        if len(self._waiters) >= MAX_WAITERS:
            raise Overloaded("too many clients wait for transactions; try again later", retry_after_ms=RETRY_AFTER_MS)
        future: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        self._waiters.setdefault(tx_id, []).append(future)
        return future

    def unwatch(self, tx_id: TxId, future: asyncio.Future[Outcome]) -> None:
        """Forgets a future of ``watch``."""
        futures = self._waiters.get(tx_id)
        if futures is not None and future in futures:
            futures.remove(future)
            if not futures:
                del self._waiters[tx_id]

    async def _wait(self, tx_id: TxId, future: asyncio.Future[Outcome], timeout_s: float) -> Outcome:
        if tx_id not in self._mempool:
            known = await self.outcome(tx_id)
            if known.height or known.code:
                return known
        if self._released:
            return await self.outcome(tx_id)
        try:
            async with asyncio.timeout(timeout_s):
                return await future
        except TimeoutError:
            return await self.outcome(tx_id)

    async def outcome(self, tx_id: bytes) -> Outcome:
        """See ``Gateway``."""
        if tx_id in self._mempool:
            return Outcome(tx_id, "pending", "", 0, 0, (), ())
        place = self._place(tx_id)
        if place is None:
            return Outcome(tx_id, "unknown", self._mempool.dropped_code(tx_id) or "", 0, 0, (), ())
        height, index = place
        return _outcome_of(receipt_codec.decode(self._chain.store.receipts(height)[index]), height, index)

    async def transaction(self, tx_id: bytes) -> Transaction:
        """See ``Gateway``."""
        waiting = self._mempool.get(tx_id)
        if waiting is not None:
            return waiting
        place = self._place(tx_id)
        if place is None:
            raise NotFound(f"transaction {tx_id.hex()} is not known here")
        height, index = place
        return Transaction.decode(self._chain.store.transactions(height)[index])

    def _place(self, tx_id: bytes) -> tuple[Height, int] | None:
        place = self._chain.store.find_transaction(tx_id)
        # A block that is being written is on the disk a moment before it is the tip.
        return None if place is None or place[0] > self._chain.tip.height else place

    async def unspent(
        self, lock: str, *, asset: str | None = None, after: OutPoint | None = None, limit: int = 200
    ) -> list[Unspent]:
        """See ``Gateway``."""
        parse_lock(lock)
        if not 0 < limit <= MAX_UNSPENT:
            raise InvalidInput(f"limit must be 1 to {MAX_UNSPENT}", code="limit_invalid")
        prefix = lock_index_prefix(lock)
        start = None if after is None else prefix + after + b"\x00"
        state = self._chain.state
        found: list[Unspent] = []
        for count, (key, _) in enumerate(self._chain.store.store.iterate(prefix, start=start), start=1):
            if count % SCAN_YIELD_EVERY == 0:
                await asyncio.sleep(0)
            outpoint = OutPoint(key[len(prefix) :])
            data = state.get(utxo_key(outpoint))
            if data is None:
                continue
            output = _output_codec.decode(data)
            if output.lock == lock and (asset is None or output.asset == asset):
                found.append(Unspent(outpoint, output))
                if len(found) >= limit:
                    break
        return found

    async def view(self, contract: str, name: str, arguments: Record, result: type[R]) -> R:
        """See ``Gateway``."""
        answer = self.run_view(contract, name, encode(arguments))
        if not isinstance(answer, result):
            raise InvalidInput(f"view {contract}.{name} answers {type(answer).__name__}", code="view_mismatch")
        return answer

    def run_view(self, contract: str, name: str, arguments: bytes) -> Record:
        """A view's answer to canonical argument bytes.

        Raises:
            NotFound: no such contract or view, or as the view says.
            InvalidInput: the arguments do not decode.
        """
        rules = self._chain.rules
        instance = rules.contracts.get(contract)
        if instance is None:
            raise NotFound(f"there is no contract {contract!r}; there are {', '.join(rules.contracts)}")
        view = instance.views.get(name)
        if view is None:
            raise NotFound(f"{contract} has no view {name!r}; it has {', '.join(instance.views)}")
        decoded = view.arguments.decode(arguments)
        tip = self._chain.tip
        block = BlockInfo(self._chain.chain_id, tip.height, tip.header.time_ms)
        directory: Directory = BlockExecution(rules, self._chain.state, block, sweep=False)
        overlay = Overlay(self._chain.state)
        answer = view.run(instance, EndContext(block, contract, overlay, directory), decoded)
        assert answer is not None
        return answer

    async def header(self, height: int) -> tuple[Header, Hash32]:
        """See ``Gateway``."""
        header = self._chain.store.header(height)
        return header, block_id(header)

    async def events(self, from_height: int) -> AsyncIterator[BlockEvents]:
        """See ``Gateway``."""
        height = from_height
        while True:
            coming = self._next_block
            while height <= self._chain.tip.height:
                yield self.block_events(height)
                height += 1
            await coming.wait()

    async def wait_for_height(self, height: int, timeout_s: float) -> bool:
        """True once ``height`` is committed; False after ``timeout_s``."""
        try:
            async with asyncio.timeout(timeout_s):
                while self._chain.tip.height < height:
                    if self._released:
                        return False
                    await self._next_block.wait()
        except TimeoutError:
            return False
        return True

    def block_events(self, height: int) -> BlockEvents:
        """What block ``height`` means to subscribers. Raises ``NotFound``."""
        store = self._chain.store
        header = store.header(height)
        events: list[tuple[bytes, Event]] = []
        for data in store.receipts(height):
            receipt = receipt_codec.decode(data)
            events.extend((receipt.tx_id, event) for event in receipt.events)
        return BlockEvents(height, block_id(header), header.time_ms, tuple(events))

    async def state_hash(self) -> tuple[Height, Hash32]:
        """Height and root of the whole state, computed now from a snapshot in slices."""
        snapshot = self._chain.store.store.snapshot()
        try:
            # Not the tip's: the next block may be on the disk and not yet be the tip.
            height = Height(read_tip(snapshot.get(TIP_KEY) or b"")[0])
            for root in state_root_slices(StoredState(snapshot)):
                if root is not None:
                    return height, root
                await asyncio.sleep(0)
        finally:
            snapshot.close()
        raise NotFound("the state has no root")


def _outcome_of(receipt: Receipt, height: int, index: int) -> Outcome:
    status = "committed" if receipt.code == "ok" else "refused"
    return Outcome(receipt.tx_id, status, receipt.code, height, index, receipt.events, receipt.results)
