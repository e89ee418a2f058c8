"""Fetching announced items: from one announcer at a time, the next one after a time-out; bounded."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable

    from p2p.bounds import GossipBounds
    from p2p.gossip_wire import ItemId
    from p2p.transport import PeerId


class Cancellable(Protocol):
    """A pending timer, such as ``asyncio.TimerHandle``."""

    def cancel(self) -> None:
        """Make it never fire."""


@dataclass(slots=True)
class _Fetch:
    first: PeerId
    asked: PeerId
    waiting: list[PeerId] = field(default_factory=list)
    """Announcers that have not been asked yet."""
    timer: Cancellable | None = None


class Fetcher:
    """The items being fetched.

    Args:
        bounds: how many, how long.
        call_later: starts a timer.
        ask: sends FETCH of one item to a peer.
    """

    def __init__(
        self,
        bounds: GossipBounds,
        *,
        call_later: Callable[[float, Callable[[], None]], Cancellable],
        ask: Callable[[PeerId, ItemId], None],
    ) -> None:
        self._bounds = bounds
        self._call_later = call_later
        self._ask = ask
        self._fetches: dict[ItemId, _Fetch] = {}
        self._started_by: Counter[PeerId] = Counter()
        self.timeouts = 0
        self.refused = 0

    def __len__(self) -> int:
        return len(self._fetches)

    def __contains__(self, identity: ItemId) -> bool:
        return identity in self._fetches

    def is_waiting_for(self, peer: PeerId) -> bool:
        """Whether anything was asked of ``peer`` that has not come."""
        return any(fetch.asked == peer for fetch in self._fetches.values())

    def announced(self, peer: PeerId, identity: ItemId) -> None:
        """``peer`` has an item that we lack: ask it, or remember it for later."""
        fetch = self._fetches.get(identity)
        if fetch is not None:
            known = peer == fetch.asked or peer in fetch.waiting
            if not known and len(fetch.waiting) + 1 < self._bounds.announcers_max:
                fetch.waiting.append(peer)
            return
        full = len(self._fetches) >= self._bounds.fetching_max
        if full or self._started_by[peer] >= self._bounds.fetches_per_peer:
            self.refused += 1
            return
        self._started_by[peer] += 1
        fetch = self._fetches[identity] = _Fetch(first=peer, asked=peer)
        self._start(identity, fetch)

    def arrived(self, identity: ItemId) -> bool:
        """Finish a fetch; False when there was none."""
        fetch = self._fetches.pop(identity, None)
        if fetch is None:
            return False
        self._finish(fetch)
        return True

    def missing(self, peer: PeerId, identity: ItemId) -> None:
        """``peer`` does not have what we asked of it."""
        fetch = self._fetches.get(identity)
        if fetch is not None and fetch.asked == peer:
            self._next(identity, fetch)

    def on_disconnected(self, peer: PeerId) -> None:
        """Ask others for what ``peer`` was asked for."""
        for identity, fetch in list(self._fetches.items()):
            if peer in fetch.waiting:
                fetch.waiting.remove(peer)
            if fetch.asked == peer:
                self._next(identity, fetch)

    def stop(self) -> None:
        """Forget everything, and cancel the timers."""
        for identity in list(self._fetches):
            self.arrived(identity)

    def _start(self, identity: ItemId, fetch: _Fetch) -> None:
        fetch.timer = self._call_later(self._bounds.fetch_timeout_s, lambda: self._timed_out(identity, fetch))
        self._ask(fetch.asked, identity)

    def _timed_out(self, identity: ItemId, fetch: _Fetch) -> None:
        if self._fetches.get(identity) is fetch:
            self.timeouts += 1
            self._next(identity, fetch)

    def _next(self, identity: ItemId, fetch: _Fetch) -> None:
        if fetch.timer is not None:
            fetch.timer.cancel()
        if not fetch.waiting:
            # Forgotten, not remembered as failed: the next announcement starts anew.
            del self._fetches[identity]
            self._finish(fetch)
            return
        fetch.asked = fetch.waiting.pop(0)
        self._start(identity, fetch)

    def _finish(self, fetch: _Fetch) -> None:
        if fetch.timer is not None:
            fetch.timer.cancel()
        self._started_by[fetch.first] -= 1
        if self._started_by[fetch.first] <= 0:
            del self._started_by[fetch.first]
