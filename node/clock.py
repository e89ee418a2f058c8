"""The two clocks of a node: one that never jumps, for durations; one that people share, for block times."""

from __future__ import annotations

import time


def monotonic_ms() -> int:
    """Milliseconds of the monotonic clock."""
    return time.monotonic_ns() // 1_000_000


def wall_ms() -> int:
    """Milliseconds since 1970 UTC."""
    return time.time_ns() // 1_000_000
