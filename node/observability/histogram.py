"""A histogram in plain integers: what the daemon's parts count with, read when somebody asks for metrics."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from typing import Final

DISK_S: Final = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)
"""Bounds in seconds for what waits for a disk."""
STEP_S: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
"""Bounds in seconds for steps of consensus and intervals of blocks."""
WORK_S: Final = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0)
"""Bounds in seconds for what keeps a processor busy."""
REQUEST_S: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
"""Bounds in seconds for requests of clients."""


class Histogram:
    """Counts observations by upper bound. One writer at a time, from any thread; readers see whole numbers.

    Args:
        bounds: upper bounds, rising; what is above the last one is counted too.
    """

    __slots__ = ("_counts", "bounds", "sum")

    def __init__(self, bounds: Sequence[float]) -> None:
        self.bounds = tuple(bounds)
        self._counts = [0] * (len(self.bounds) + 1)
        self.sum = 0.0

    def observe(self, value: float) -> None:
        """Counts one observation."""
        self._counts[bisect_left(self.bounds, value)] += 1
        self.sum += value

    @property
    def count(self) -> int:
        """How many there were."""
        return sum(self._counts)

    def cumulative(self) -> list[tuple[str, int]]:
        """(bound, observations up to it) as Prometheus writes them, ``+Inf`` last."""
        found: list[tuple[str, int]] = []
        total = 0
        for bound, count in zip((*map(_text, self.bounds), "+Inf"), tuple(self._counts), strict=True):
            total += count
            found.append((bound, total))
        return found


def _text(bound: float) -> str:
    return repr(float(bound))
