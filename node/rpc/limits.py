"""Bounds on clients: a budget of cost units each, places for requests under way, guesses at tokens."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from time import monotonic
from typing import Final

from ledger.errors import Overloaded

MAX_BUDGETS: Final = 4_096
"""Clients or addresses remembered; who was forgotten starts afresh."""
GUESSES_AT_ONCE: Final = 10
GUESSES_PER_SECOND: Final = 1
GUESSES_OF_ALL: Final = 100
"""Wrong tokens a second that are looked at and logged, from all addresses together."""


class Budgets:
    """A bucket of units for each name, filled evenly.

    Args:
        per_second: units that flow in.
        burst: units that a bucket holds.
        clock: seconds, monotonic.
    """

    def __init__(self, per_second: float, burst: float, clock: Callable[[], float] = monotonic) -> None:
        self._per_second = per_second
        self._burst = burst
        self._clock = clock
        self._buckets: OrderedDict[str, list[float]] = OrderedDict()

    def take(self, name: str, cost: float) -> float:
        """0 when ``cost`` was taken; otherwise the seconds until it is there, and nothing was taken.

        A cost above the burst is taken from a full bucket.
        """
        now = self._clock()
        bucket = self._buckets.get(name)
        if bucket is None:
            if len(self._buckets) >= MAX_BUDGETS:
                self._buckets.popitem(last=False)
            bucket = self._buckets[name] = [self._burst, now]
        units = min(self._burst, bucket[0] + (now - bucket[1]) * self._per_second)
        bucket[1] = now
        needed = min(cost, self._burst)
        if units < needed:
            bucket[0] = units
            return (needed - units) / self._per_second
        bucket[0] = units - cost if cost <= self._burst else 0.0
        return 0.0

    def charge(self, name: str, cost: float) -> None:
        """Takes ``cost``.

        Raises:
            Overloaded: with the time after which it would be there.
        """
        missing_s = self.take(name, cost)
        if missing_s:
            raise Overloaded(
                "too busy with this client's requests; retry after the time given",
                retry_after_ms=max(10, int(missing_s * 1000) + 1),
            )


def guess_budget(clock: Callable[[], float] = monotonic) -> Budgets:
    """Wrong tokens that an address may show."""
    return Budgets(GUESSES_PER_SECOND, GUESSES_AT_ONCE, clock)


class Places:
    """Requests under way: so many in all, and half of them for any one client of the network.

    Args:
        total: in all.
    """

    def __init__(self, total: int) -> None:
        self.total = total
        self.taken = 0
        self._by_client: dict[str, int] = {}

    def enter(self, name: str, *, trusted: bool) -> bool:
        """Takes a place for a client; False when there is none.

        Args:
            name: of the client.
            trusted: a local operator, who may take all.
        """
        own = self._by_client.get(name, 0)
        if self.taken >= self.total or (not trusted and own >= max(1, self.total // 2)):
            return False
        self.taken += 1
        self._by_client[name] = own + 1
        return True

    def leave(self, name: str) -> None:
        """Gives the place back."""
        self.taken -= 1
        own = self._by_client[name] - 1
        if own:
            self._by_client[name] = own
        else:
            del self._by_client[name]
