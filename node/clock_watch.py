"""Notices a wall clock that jumps, and one that is off against those of the other validators.

A jump is seen against the monotonic clock, each second. How far off the clock is shows in the blocks of others: a
proposer puts its own time in, so block time and our clock differ by the way of the block plus the offset. Each
proposer's smallest difference is nearest to the offset; the median over the proposers is ours against theirs.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from statistics import median
from typing import Any, Final, NoReturn

import structlog

from ledger.keys import key_text
from node.clock import monotonic_ms, wall_ms

log = structlog.get_logger(__name__)

CHECK_S: Final = 1.0
JUMP_MS: Final = 500
"""Less than this between two checks is slewing, or a clock that is read a moment late."""
SAMPLES: Final = 3
"""Blocks of each proposer that are remembered: one that took several rounds is not alone, and a clock that was set
right is believed soon."""
MAX_PROPOSERS: Final = 256
FRESH_MS: Final = 300_000
"""Samples older than this say nothing about the clock as it is now."""


class ClockWatch:
    """See the module.

    Args:
        monotonic: milliseconds of a clock that never jumps.
        wall: milliseconds since 1970 UTC.

    Attributes:
        jumps: how often the wall clock jumped since the start.
        last_jump_ms: by how much at last, forwards positive; None: never.
    """

    def __init__(self, monotonic: Callable[[], int] = monotonic_ms, wall: Callable[[], int] = wall_ms) -> None:
        self._monotonic = monotonic
        self._wall = wall
        self._last: tuple[int, int] | None = None
        self._samples: dict[bytes, deque[tuple[int, int]]] = {}
        self._jumped_at: int | None = None
        self.jumps = 0
        self.last_jump_ms: int | None = None

    def check(self) -> int | None:
        """Compares the two clocks with what they were at the last check; how far the wall clock jumped, or None."""
        monotonic, wall = self._monotonic(), self._wall()
        last, self._last = self._last, (monotonic, wall)
        if last is None:
            return None
        jump = (wall - last[1]) - (monotonic - last[0])
        if abs(jump) < JUMP_MS:
            return None
        self.jumps += 1
        self.last_jump_ms, self._jumped_at = jump, monotonic
        # What was seen with the clock as it was says nothing any more.
        self._samples.clear()
        log.warning("clock_jumped", by_ms=jump, jumps=self.jumps)
        return jump

    async def run(self) -> NoReturn:
        """Looks each second until cancelled."""
        while True:
            self.check()
            await asyncio.sleep(CHECK_S)

    def on_block_time(self, proposer: bytes, time_ms: int, parent_time_ms: int) -> None:
        """A block of another validator has just come in.

        Args:
            proposer: who made it.
            time_ms: its time.
            parent_time_ms: of the block before. One millisecond above says nothing of the proposer's clock: it is the
                least that a block may have.
        """
        if time_ms <= parent_time_ms + 1 or (proposer not in self._samples and len(self._samples) >= MAX_PROPOSERS):
            return
        samples = self._samples.setdefault(proposer, deque(maxlen=SAMPLES))
        samples.append((self._monotonic(), self._wall() - time_ms))

    def offsets(self) -> dict[bytes, int]:
        """How far our clock is ahead of each proposer's, the way of the block included; milliseconds."""
        oldest = self._monotonic() - FRESH_MS
        found = {key: [ms for at, ms in samples if at >= oldest] for key, samples in self._samples.items()}
        return {key: min(values) for key, values in found.items() if values}

    @property
    def offset_ms(self) -> int | None:
        """How far our clock is ahead of those of the other validators; None while fewer than two have been seen."""
        found = self.offsets()
        return None if len(found) < 2 else round(median(found.values()))

    def document(self) -> dict[str, Any]:
        """``clock`` in ``node.status``."""
        ago = None if self._jumped_at is None else self._monotonic() - self._jumped_at
        return {
            "wall_ms": self._wall(),
            "offset_ms": self.offset_ms,
            "offsets": {key_text(key): ms for key, ms in self.offsets().items()},
            "jumps": self.jumps,
            "last_jump_ms": self.last_jump_ms,
            "jumped_ms_ago": ago,
        }
