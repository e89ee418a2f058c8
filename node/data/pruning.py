"""Drops the contents of old blocks: transactions, receipts, changes (docs/data.md).

Headers, certificates, the history tree and the index of transactions stay: every header can be proved for ever, and who
asks for an old transaction hears that it was pruned, not that it never was. Kept in any case are the blocks that a
joining node needs after its checkpoint, and those whose packets wait for their answer from the other chain.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Final

import structlog

from contracts.bridge.records import ROLES
from contracts.bridge.state import item_codec, outbox_prefix
from ledger.chain_records import RETAINED_KEY, height_key
from ledger.chain_store import ChainStore
from ledger.state import contract_prefix
from ledger.store import Kind
from ledger.types import Height
from node.chain import Chain, Committed

log = structlog.get_logger(__name__)

SLICE_BLOCKS: Final = 64
"""Blocks whose contents go in one batch, beside the chain's growth: at most 192 records."""
PAUSE_S: Final = 0.05
"""Between two slices: 1,280 blocks a second at the most."""
SPARE_BLOCKS: Final = 64
"""Kept beyond two checkpoint intervals, for nodes that join while others prune."""
MAX_PACKETS: Final = 100_000
CONTENTS: Final = (Kind.TRANSACTIONS, Kind.RECEIPTS, Kind.CHANGES)


def least_retained(chain: Chain) -> int:
    """Fewest blocks below the tip whose contents a node may keep: what a joining node asks for after its checkpoint."""
    return 2 * chain.genesis.parameters.checkpoint_interval + SPARE_BLOCKS


def prunable_to(chain: Chain, retain: int) -> Height:
    """The retained height that ``retain`` blocks below the tip give, as far as nothing older is needed.

    Args:
        chain: whose.
        retain: blocks whose contents are wanted; fewer than ``least_retained`` count as that many.
    """
    lowest = chain.tip.height - max(retain, least_retained(chain)) + 1
    needed = _oldest_packet(chain)
    if needed is not None:
        lowest = min(lowest, needed)
    return Height(max(lowest, chain.store.retained_height))


def _oldest_packet(chain: Chain) -> int | None:
    """Lowest block with something that the other chain has not answered, the evidence that it names included."""
    address = chain.rules.address_of("bridge")
    if not address:
        return None
    found: list[int] = []
    for role in ROLES:
        prefix = contract_prefix(address) + outbox_prefix(role)
        for _, data in chain.state.iterate(prefix, limit=MAX_PACKETS):
            item = item_codec.decode(data)
            found.append(item.height)
            for tx_id in item.packet.evidence:
                place = chain.store.find_transaction(tx_id)
                if place is not None:
                    found.append(place[0])
    return min(found, default=None)


def removal(store: ChainStore, target: int) -> dict[bytes, bytes | None]:
    """The batch that drops at most ``SLICE_BLOCKS`` blocks' contents, from the lowest kept one up to ``target``.

    Args:
        store: whose ``retained_height`` is raised at once: readers hear ``pruned``, and never of a missing record.
        target: the retained height wanted.
    """
    first = store.retained_height
    end = min(target, first + SLICE_BLOCKS)
    batch: dict[bytes, bytes | None] = {
        height_key(kind, height): None for height in range(first, end) for kind in CONTENTS
    }
    batch[RETAINED_KEY] = end.to_bytes(8, "big")
    store.retained_height = Height(end)
    return batch


class Pruner:
    """Prunes while the node runs.

    Args:
        chain: whose blocks.
        retain: blocks below the tip whose contents are kept; 0: all.
        being_read: checkpoints that nodes are joining from: the blocks above them are wanted soon.

    Attributes:
        pruned: blocks whose contents were dropped since the start.
    """

    def __init__(self, chain: Chain, retain: int, being_read: Callable[[], Sequence[int]] = list) -> None:
        self._chain = chain
        self._being_read = being_read
        self._retain = retain
        self._grown = asyncio.Event()
        self._grown.set()
        self.pruned = 0

    def on_committed(self, committed: Committed) -> None:
        """A block was committed; every so many of them some can go."""
        if committed.height % SLICE_BLOCKS == 0:
            self._grown.set()

    async def run(self) -> None:
        """Prunes until cancelled."""
        if not self._retain:
            return
        while True:
            await self._grown.wait()
            self._grown.clear()
            await self.prune()

    async def prune(self) -> int:
        """Drops what may go now, in slices; blocks dropped."""
        store, before = self._chain.store, self._chain.store.retained_height
        target = min([prunable_to(self._chain, self._retain), *self._being_read()])
        while store.retained_height < target:
            await self._chain.put_back(removal(store, target))
            await asyncio.sleep(PAUSE_S)
        dropped = store.retained_height - before
        if dropped:
            self.pruned += dropped
            log.info("blocks_pruned", count=dropped, retained_height=store.retained_height)
        return dropped
