"""Mends single blocks while the node runs: a read that met a damaged record is refused, and the block fetched again.

What reads state or indexes cannot be helped in this way, nor can the genesis block, which nobody sends: that stops the
node, which then mends everything and runs on (``node.data.starting``).
"""

from __future__ import annotations

import asyncio
from typing import Final

import structlog

from node.chain import Chain
from node.data.joining import Asked
from node.data.refetching import fault_of, refetched

log = structlog.get_logger(__name__)

MAX_WAITING: Final = 256
"""Damaged heights remembered; further ones are met again when they are read again."""
RETRY_S: Final = 5.0


class Mender:
    """See the module.

    Args:
        chain: whose blocks.
        peers: whom to ask.

    Attributes:
        mended: blocks put back since the start.
    """

    def __init__(self, chain: Chain, peers: Asked) -> None:
        self._chain = chain
        self._peers = peers
        self._waiting: dict[int, None] = {}
        self._found = asyncio.Event()
        self.mended = 0
        chain.store.on_damage = self.on_damage

    @property
    def waiting(self) -> int:
        """Damaged blocks that are not mended yet."""
        return len(self._waiting)

    def on_damage(self, height: int) -> None:
        """A record of that block was found damaged or missing."""
        if height in self._waiting or len(self._waiting) >= MAX_WAITING or not 0 <= height <= self._chain.tip.height:
            return
        log.error("block_damaged", height=height)
        self._waiting[height] = None
        self._found.set()

    async def run(self) -> None:
        """Mends until cancelled.

        Raises:
            StorageFault: something is damaged that single blocks from peers do not mend.
        """
        while True:
            await self._found.wait()
            self._found.clear()
            while self._waiting:
                for height in tuple(self._waiting):
                    if await self.mend(height):
                        del self._waiting[height]
                if self._waiting:
                    await asyncio.sleep(RETRY_S)

    async def mend(self, height: int) -> bool:
        """Fetches one block again; True when it is whole (again), False when no peer has it now.

        Raises:
            StorageFault: it cannot be mended in this way.
        """
        store = self._chain.store
        fault = fault_of(store, height) if height >= store.retained_height else None
        if fault is None:
            return True
        if height == 0:
            raise fault
        batch = await refetched(store, height, self._chain.seats_at(height).validators, self._peers)
        if batch is None:
            return False
        await self._chain.put_back(batch)
        self.mended += 1
        return True
