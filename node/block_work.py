"""What consensus orders and takes time: building, checking and fetching blocks, as tasks that end with their height."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from itertools import islice
from typing import Any, Final

import structlog

from consensus import effects as fx
from consensus import inputs as on
from consensus.verify import verify_block
from contracts.codes import INPUT_MISSING
from ledger.block import block_codec, split_refs
from ledger.errors import InvalidBlock, InvalidInput, RemoteFault
from ledger.types import Hash32, Height, PublicKey, TxId
from node.chain import Chain
from node.clock import wall_ms
from node.fetch import Fetcher
from node.mempool import Mempool

log = structlog.get_logger(__name__)

RETRY_S: Final = 0.25
UNFIT_ALLOWANCE: Final = 2
"""Waiting transactions looked at for a block, in multiples of what fits: some may fit in no block any more."""


class BlockWork:
    """See the module.

    Args:
        chain: executes.
        mempool: where transactions for new blocks come from.
        fetcher: where those of others' blocks come from.
        feed: takes the answers.
        fail: takes what must stop the node.
    """

    def __init__(
        self,
        chain: Chain,
        mempool: Mempool,
        fetcher: Fetcher,
        *,
        feed: Callable[[on.Input], None],
        fail: Callable[[BaseException], None],
    ) -> None:
        self._chain = chain
        self._mempool = mempool
        self._fetcher = fetcher
        self._feed = feed
        self._fail = fail
        self._tasks: set[asyncio.Task[None]] = set()
        self._wanted: dict[Hash32, fx.FetchBlock] = {}
        """The newest order for each body that is being looked for."""

    @property
    def _height(self) -> Height:
        return Height(self._chain.tip.height + 1)

    def cancel(self) -> None:
        """The height is over: ends everything that is under way for it."""
        for task in self._tasks:
            task.cancel()

    def build(self, order: fx.BuildBlock, key: PublicKey | None) -> None:
        """Starts a block of our own; answers with ``BlockBuilt``."""
        if key is not None:
            self._spawn(self._build(order, key))

    def check(self, order: fx.CheckBlock) -> None:
        """Starts the check of a proposed block; answers with ``BlockChecked`` once its transactions are here."""
        self._spawn(self._check(order))

    def fetch(self, order: fx.FetchBlock) -> None:
        """Starts to look for a block's body; answers with ``BlockFetched``.

        Consensus orders it again and again while the body is missing: whoever looks for it already asks the sources
        of the newest order.
        """
        name, is_new = order.block_id, order.block_id not in self._wanted
        self._wanted[name] = order
        if is_new:
            task = self._spawn(self._fetch(order.height, name))
            task.add_done_callback(lambda _: self._wanted.pop(name, None))

    def _spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._on_done)
        return task

    def _on_done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self._fail(error)

    async def _build(self, order: fx.BuildBlock, key: PublicKey) -> None:
        if order.height != self._height:
            return
        unfit: list[tuple[TxId, str]] = []
        most = UNFIT_ALLOWANCE * self._chain.parameters.max_block_transactions
        candidate = await self._chain.build(
            list(islice(self._mempool.candidates(), most)),
            key,
            max(wall_ms(), order.after_ms + 1),
            lambda tx_id, code: unfit.append((tx_id, code)),
        )
        if order.height != self._height:
            return
        for tx_id, code in unfit:
            # What builds on a transaction that waits itself may fit once that one is in a decided block.
            if code != INPUT_MISSING or not self._mempool.has_waiting_parent(tx_id):
                self._mempool.drop(tx_id, code)
        empty = not candidate.transactions and not candidate.result.calls_made
        block = None if empty and not order.allow_empty else candidate.block
        self._feed(on.BlockBuilt(order.height, order.round, block))
        waiting = self._mempool.oldest_ms
        if block is None and waiting is not None:
            # It came while we were building, and would else wait for the next arrival.
            self._feed(on.WorkAvailable(waiting))

    async def _check(self, order: fx.CheckBlock) -> None:
        name, block = order.block.id, order.block.block
        if block.header.transactions_count > self._chain.parameters.max_block_transactions:
            self._feed(on.BlockChecked(order.height, name, ok=False, reason="block_too_large"))
            return
        while order.height == self._height:
            transactions = await self._fetcher.transactions(split_refs(block.refs), order.sources)
            if order.height != self._height:
                return
            if transactions is not None:
                try:
                    await self._chain.check(name, block, transactions)
                except InvalidBlock as error:
                    log.warning("block_refused", height=order.height, code=error.code, why=error.message)
                    self._feed(on.BlockChecked(order.height, name, ok=False, reason=error.code))
                else:
                    self._feed(on.BlockChecked(order.height, name, ok=True))
                return
            await asyncio.sleep(RETRY_S)

    async def _fetch(self, height: Height, name: Hash32) -> None:
        while height == self._height:
            for source in self._wanted[name].sources:
                try:
                    data = await self._fetcher.block(source, name)
                    block = verify_block(block_codec.decode(data))
                except (RemoteFault, InvalidInput) as error:
                    log.info("block_fetch_failed", code=error.code, height=height)
                    continue
                if block.id == name:
                    self._feed(on.BlockFetched(height, block))
                    return
            await asyncio.sleep(RETRY_S)
