"""What the gossip remembers: ids that it has seen, and whole items for a short time. Both bounded in count and age."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from p2p.gossip_wire import ItemId, ShortId

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from p2p.transport import PeerId


class SeenCache:
    """Item ids with the time at which they were first seen; the oldest are forgotten first.

    Args:
        entries_max: how many.
        age_s: for how long.
        clock: seconds, monotonic.
    """

    def __init__(self, entries_max: int, age_s: float, clock: Callable[[], float]) -> None:
        self._entries_max = entries_max
        self._age_s = age_s
        self._clock = clock
        self._first_seen: dict[ItemId, float] = {}

    def __len__(self) -> int:
        return len(self._first_seen)

    def __contains__(self, identity: ItemId) -> bool:
        since = self._first_seen.get(identity)
        return since is not None and self._clock() - since < self._age_s

    def add(self, identity: ItemId) -> None:
        """Remember an id from now on."""
        now = self._clock()
        seen = self._first_seen
        seen.pop(identity, None)
        seen[identity] = now
        # Two at a time shrink an aged cache while new ids come in, without a sweep.
        for _ in range(2):
            oldest = next(iter(seen))
            if len(seen) <= self._entries_max and now - seen[oldest] < self._age_s:
                break
            del seen[oldest]

    def forget(self, identity: ItemId) -> None:
        """As if it had never been seen."""
        self._first_seen.pop(identity, None)


@dataclass(slots=True)
class KeptItem:
    """An item with what is known about who has it."""

    topic: int
    identity: ItemId
    payload: bytes
    sender: PeerId | None
    """Who gave it to us; None for our own."""
    holders: set[PeerId]
    """Peers that have shown that they have it."""
    covered: frozenset[ShortId]
    """Peers that the sender says have it."""
    kept_at: float = 0.0
    served: dict[PeerId, int] = field(default_factory=dict)
    """How often each peer was given it on request."""


class ItemStore:
    """Items by id, bounded in bytes, count and age; the oldest leave first.

    Args:
        max_bytes: of payloads together.
        max_items: how many.
        age_s: for how long.
        clock: seconds, monotonic.
    """

    def __init__(self, max_bytes: int, max_items: int, age_s: float, clock: Callable[[], float]) -> None:
        self._max_bytes = max_bytes
        self._max_items = max_items
        self._age_s = age_s
        self._clock = clock
        self._items: dict[ItemId, KeptItem] = {}
        self.size_bytes = 0

    def __len__(self) -> int:
        return len(self._items)

    def __iter__(self) -> Iterator[KeptItem]:
        """Give the items, oldest first."""
        self._expire()
        return iter(tuple(self._items.values()))

    def get(self, identity: ItemId) -> KeptItem | None:
        """Give an item that is still kept."""
        self._expire()
        return self._items.get(identity)

    def add(self, item: KeptItem) -> None:
        """Keep an item; others leave if the bounds ask for it."""
        self.pop(item.identity)
        item.kept_at = self._clock()
        self._items[item.identity] = item
        self.size_bytes += len(item.payload)
        while self.size_bytes > self._max_bytes or len(self._items) > self._max_items:
            self.pop(next(iter(self._items)))
        self._expire()

    def pop(self, identity: ItemId) -> KeptItem | None:
        """Remove an item and give it."""
        item = self._items.pop(identity, None)
        if item is not None:
            self.size_bytes -= len(item.payload)
        return item

    def _expire(self) -> None:
        horizon = self._clock() - self._age_s
        while self._items:
            oldest = next(iter(self._items.values()))
            if oldest.kept_at > horizon:
                return
            self.pop(oldest.identity)
