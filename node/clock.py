"""The two clocks of a node: one that never jumps, for durations; one that people share, for block times.

Everything of a node that asks for the time asks here, so that simulation can put virtual time in (``replace_sources``).
"""

from __future__ import annotations

import time
from collections.abc import Callable

_monotonic_ns: Callable[[], int] = time.monotonic_ns
_wall_ns: Callable[[], int] = time.time_ns


def monotonic_ms() -> int:
    """Milliseconds of the monotonic clock."""
    return _monotonic_ns() // 1_000_000


def monotonic_s() -> float:
    """Seconds of the monotonic clock."""
    return _monotonic_ns() / 1e9


def wall_ms() -> int:
    """Milliseconds since 1970 UTC."""
    return _wall_ns() // 1_000_000


def replace_sources(
    monotonic_ns: Callable[[], int] = time.monotonic_ns, wall_ns: Callable[[], int] = time.time_ns
) -> None:
    """Takes the time from elsewhere from now on, for the whole process; without arguments from the system again.

    For simulation. Both give nanoseconds, the first since any moment, the second since 1970 UTC.
    """
    global _monotonic_ns, _wall_ns
    _monotonic_ns, _wall_ns = monotonic_ns, wall_ns
