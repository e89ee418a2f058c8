"""Several nodes of one chain as one gateway: when the node in use cannot be reached, the next one is asked.

Everything that a ``Gateway`` does can be repeated (submission is idempotent), so nobody notices but by the delay. The
event stream goes on at the next height wherever it is read.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Final, TypeVar

from ledger.block import Header
from ledger.encoding import Record
from ledger.errors import LocalMisuse, RpcUnavailable
from ledger.transaction import Transaction
from ledger.types import Hash32, OutPoint, TxId
from node.client import BulkAnswer, Client
from node.gateway import BlockEvents, ChainInfo, Outcome, Unspent

R = TypeVar("R", bound=Record)
T = TypeVar("T")

SILENT_S: Final = 25.0
"""A node that shows no block for so long, though an idle chain makes empty ones, is left for the next."""
PAUSE_S: Final = 0.2


class FailoverGateway:
    """See the module.

    Args:
        clients: at least one; the first is preferred until it fails.
    """

    def __init__(self, clients: Sequence[Client]) -> None:
        if not clients:
            raise LocalMisuse("a gateway needs a node")
        self._clients = list(clients)
        self._place = 0
        self._moved = asyncio.Event()

    async def __aenter__(self) -> FailoverGateway:
        return self

    async def __aexit__(self, *unused: object) -> None:
        del unused
        for client in self._clients:
            await client.close()

    def _leave(self, client: Client) -> None:
        if self._clients[self._place] is client and len(self._clients) > 1:
            self._place = (self._place + 1) % len(self._clients)
            self._moved.set()
            self._moved = asyncio.Event()

    async def _try(self, ask: Callable[[Client], Awaitable[T]]) -> T:
        for attempt in range(len(self._clients)):
            client = self._clients[self._place]
            try:
                return await ask(client)
            except RpcUnavailable:
                self._leave(client)
                if attempt == len(self._clients) - 1:
                    raise
        raise AssertionError("the last attempt returns or raises")

    async def info(self) -> ChainInfo:
        """See ``Gateway``."""
        return await self._try(lambda client: client.info())

    async def submit(self, transaction: Transaction) -> TxId:
        """See ``Gateway``."""
        return await self._try(lambda client: client.submit(transaction))

    async def submit_and_wait(self, transaction: Transaction, timeout_s: float = 30.0) -> Outcome:
        """See ``Gateway``."""
        return await self._try(lambda client: client.submit_and_wait(transaction, timeout_s))

    async def submit_many(self, wires: Sequence[bytes], wait_ms: int = 0) -> list[BulkAnswer]:
        """See ``Client.submit_many``."""
        return await self._try(lambda client: client.submit_many(wires, wait_ms))

    async def outcome(self, tx_id: bytes) -> Outcome:
        """See ``Gateway``."""
        return await self._try(lambda client: client.outcome(tx_id))

    async def transaction(self, tx_id: bytes) -> Transaction:
        """See ``Gateway``."""
        return await self._try(lambda client: client.transaction(tx_id))

    async def unspent(
        self, lock: str, *, asset: str | None = None, after: OutPoint | None = None, limit: int = 200
    ) -> list[Unspent]:
        """See ``Gateway``."""
        return await self._try(lambda client: client.unspent(lock, asset=asset, after=after, limit=limit))

    async def view(self, contract: str, name: str, arguments: Record, result: type[R]) -> R:
        """See ``Gateway``."""
        return await self._try(lambda client: client.view(contract, name, arguments, result))

    async def header(self, height: int) -> tuple[Header, Hash32]:
        """See ``Gateway``."""
        return await self._try(lambda client: client.header(height))

    async def events(self, from_height: int) -> AsyncIterator[BlockEvents]:
        """See ``Gateway``: from whichever node is in use; never ends but by cancellation."""
        height = from_height
        while True:
            client, moved = self._clients[self._place], self._moved
            stream = client.events(height)
            try:
                while (block := await self._next(stream, moved)) is not None:
                    yield block
                    height = block.height + 1
            except RpcUnavailable:
                self._leave(client)
                await asyncio.sleep(PAUSE_S)
            else:
                if moved is self._moved:
                    self._leave(client)
            finally:
                with contextlib.suppress(RuntimeError):
                    await stream.aclose()  # type: ignore[attr-defined]

    async def _next(self, stream: AsyncIterator[BlockEvents], moved: asyncio.Event) -> BlockEvents | None:
        """The next block, or None when another node should be asked."""
        coming = asyncio.ensure_future(anext(stream))
        leaving = asyncio.ensure_future(moved.wait())
        silent_s = SILENT_S if len(self._clients) > 1 else None
        try:
            await asyncio.wait((coming, leaving), timeout=silent_s, return_when=asyncio.FIRST_COMPLETED)
            return await coming if coming.done() else None
        finally:
            leaving.cancel()
            if not coming.done():
                coming.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await coming
