"""Committed blocks as subscribers see them: read and decoded once for all who follow, only when somebody follows.

Each topic's entries of a block are made at the first question for them. Whatever is long yields to the loop: a follower
never keeps a vote waiting.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import lru_cache
from typing import Any, Final, TypeVar

import msgspec

from ledger.block import Event, Header, Receipt, block_id, receipt_codec
from ledger.errors import InvalidInput
from ledger.lock import AccountLock, parse_lock
from ledger.transaction import Output, Transaction
from ledger.types import Hash32
from node.chain import Chain

CACHED_BLOCKS: Final = 16
CACHED_SOURCES: Final = 8
"""Blocks, of at most 2 MiB, whose outputs were asked for last."""
YIELD_EVERY: Final = 32
"""Transactions or receipts decoded between two yields: under a millisecond."""

T = TypeVar("T")
_json = msgspec.json.Encoder()


class Entry:
    """One thing that a block has for a topic.

    Args:
        index: place within the block's entries of the topic, whatever the filter.
        subject: what filters look at.
        document: makes the JSON-able document.
    """

    __slots__ = ("_document", "_raw", "index", "subject")

    def __init__(self, index: int, subject: Any, document: Callable[[], Any]) -> None:
        self.index = index
        self.subject = subject
        self._document = document
        self._raw: msgspec.Raw | None = None

    @property
    def item(self) -> msgspec.Raw:
        """Its JSON, encoded once for all subscribers."""
        if self._raw is None:
            self._raw = msgspec.Raw(_json.encode(self._document()))
        return self._raw


class SharedBlock:
    """A block of the chain and what has been made of it so far.

    Args:
        chain: whose.
        height: of a committed block.

    Attributes:
        height: as given.
        header: of it.
        id: of it, 32 bytes.
    """

    def __init__(self, chain: Chain, height: int) -> None:
        self._chain = chain
        self.height = height
        self.header: Header = chain.store.header(height)
        self.id: Hash32 = block_id(self.header)
        self._made: dict[object, Any] = {}
        self._locks: dict[object, asyncio.Lock] = {}

    async def once(self, make: Callable[[SharedBlock], Awaitable[T]]) -> T:
        """What ``make`` makes of this block, made once however many ask; where it fails, the next one tries again."""
        async with self._locks.setdefault(make, asyncio.Lock()):
            if make not in self._made:
                self._made[make] = await make(self)
            found: T = self._made[make]
            return found

    async def receipts(self) -> list[Receipt]:
        """Decoded receipts: one for each transaction, then the end of the block's."""
        return await self.once(_receipts)

    async def transactions(self) -> list[Transaction]:
        """Decoded transactions, in order."""
        return await self.once(_transactions)

    async def events(self) -> list[tuple[bytes, Event]]:
        """(transaction id, event) in order; the id is zeros for the block's end."""
        receipts = await self.receipts()
        return [(receipt.tx_id, event) for receipt in receipts for event in receipt.events]

    @property
    def stored(self) -> Chain:
        """The chain that it is of."""
        return self._chain


async def _receipts(block: SharedBlock) -> list[Receipt]:
    stored = block.stored.store.receipts(block.height)
    return [receipt_codec.decode(data) async for data in slowly(stored)]


async def _transactions(block: SharedBlock) -> list[Transaction]:
    stored = block.stored.store.transactions(block.height)
    return [Transaction.decode(wire) async for wire in slowly(stored)]


async def slowly(items: list[T]) -> AsyncIterator[T]:
    """The items, with a yield to the loop now and then."""
    for count, item in enumerate(items, start=1):
        yield item
        if count % YIELD_EVERY == 0:
            await asyncio.sleep(0)


class BlockShelf:
    """The last blocks that subscribers looked at.

    Args:
        chain: whose.

    Attributes:
        decoded: blocks taken from the store so far.
    """

    def __init__(self, chain: Chain) -> None:
        self._chain = chain
        self._blocks: OrderedDict[int, SharedBlock] = OrderedDict()
        self.decoded = 0

    def block(self, height: int) -> SharedBlock:
        """A committed block.

        Raises:
            NotFound: above the tip, or ``pruned``.
            StorageFault: its records are damaged.
        """
        found = self._blocks.get(height)
        if found is not None:
            self._blocks.move_to_end(height)
            return found
        found = self._blocks[height] = SharedBlock(self._chain, height)
        self.decoded += 1
        if len(self._blocks) > CACHED_BLOCKS:
            self._blocks.popitem(last=False)
        return found

    def clear(self) -> None:
        """Forgets all: nobody follows any more."""
        self._blocks.clear()


class Outputs:
    """Finds the output that an outpoint names, which the state has forgotten once it is spent.

    Args:
        chain: whose.
    """

    def __init__(self, chain: Chain) -> None:
        self._chain = chain
        self._genesis: list[Output] = [
            Output(asset.asset, supply.amount, supply.lock) for asset in chain.genesis.assets for supply in asset.supply
        ]
        self._blocks: OrderedDict[int, list[bytes]] = OrderedDict()

    def find(self, outpoint: bytes) -> Output | None:
        """The output, or None when the block that made it is pruned here. Reads a whole block where it must."""
        tx_id, index = outpoint[:-4], int.from_bytes(outpoint[-4:], "big")
        if tx_id == self._chain.genesis.hash:
            return self._genesis[index]
        place = self._chain.store.find_transaction(tx_id)
        if place is None:
            return None
        try:
            wire = self._wires(place[0])[place[1]]
        except InvalidInput:
            return None
        return Transaction.decode(wire).body.outputs[index]

    def _wires(self, height: int) -> list[bytes]:
        found = self._blocks.get(height)
        if found is None:
            found = self._blocks[height] = self._chain.store.transactions(height)
            if len(self._blocks) > CACHED_SOURCES:
                self._blocks.popitem(last=False)
        else:
            self._blocks.move_to_end(height)
        return found

    def clear(self) -> None:
        """Forgets the blocks read."""
        self._blocks.clear()


@lru_cache(maxsize=4_096)
def accounts_of(lock: str) -> frozenset[str]:
    """Names of the accounts that a lock text mentions."""
    return frozenset(part.name for part in parse_lock(lock).walk() if isinstance(part, AccountLock))
