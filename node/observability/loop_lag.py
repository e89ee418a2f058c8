"""How late the event loop is: a timer that fires four times a second and looks at the clock."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from time import perf_counter
from typing import Final

from node.observability.histogram import Histogram

INTERVAL_S: Final = 0.25
WINDOW: Final = 240
"""Samples that ``worst_s`` is of: one minute."""
LAG_S: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)


class LoopLag:
    """See the module.

    Args:
        clock: seconds, monotonic.

    Attributes:
        seconds: all samples.
    """

    def __init__(self, clock: Callable[[], float] = perf_counter) -> None:
        self._clock = clock
        self._recent: deque[float] = deque(maxlen=WINDOW)
        self._due = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self.seconds = Histogram(LAG_S)

    @property
    def worst_s(self) -> float:
        """The latest that it fired in the last minute."""
        return max(self._recent, default=0.0)

    def start(self) -> None:
        """Begins to sample on the running loop."""
        self._due = self._clock() + INTERVAL_S
        self._timer = asyncio.get_running_loop().call_later(INTERVAL_S, self._fire)

    def stop(self) -> None:
        """Ends it."""
        if self._timer is not None:
            self._timer.cancel()

    def _fire(self) -> None:
        late = max(0.0, self._clock() - self._due)
        self.seconds.observe(late)
        self._recent.append(late)
        self.start()
