"""Mends single blocks while the node runs: a read that met a damaged record is refused, and the block fetched again.

What reads state or indexes cannot be helped in this way; it stops the node, which then mends everything
(``node.data.starting``).
"""

from __future__ import annotations

import asyncio
from typing import Final

import structlog

from ledger.errors import StorageFault
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
        if height in self._waiting or len(self._waiting) >= MAX_WAITING or not 0 < height <= self._chain.tip.height:
            return
        log.error("block_damaged", height=height)
        self._waiting[height] = None
        self._found.set()

    async def run(self) -> None:
        """Mends until cancelled."""
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
        """Fetches one block again; True when it is whole (again) or cannot be mended in this way."""
        store = self._chain.store
        if height < store.retained_height or fault_of(store, height) is None:
            return True
        try:
            validators = self._chain.seats_at(height).validators
            batch = await refetched(store, height, validators, self._peers)
        except StorageFault as error:
            log.exception("block_not_mended", height=height, why=error.message)
            return True
        if batch is None:
            return False
        await self._chain.put_back(batch)
        self.mended += 1
        return True
