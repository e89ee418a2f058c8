"""Who is refused for how long: penalties that double with repetition and are forgotten after a quiet time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from p2p.bounds import TransportBounds
    from p2p.transport import PeerId


@dataclass(slots=True)
class _Record:
    count: int
    until: float
    last: float


class Penalties:
    """Remembers at most ``penalties_max`` peers; the one that was penalised longest ago is forgotten first.

    Args:
        bounds: the times.
        clock: seconds, monotonic.
    """

    def __init__(self, bounds: TransportBounds, clock: Callable[[], float]) -> None:
        self._bounds = bounds
        self._clock = clock
        self._records: dict[PeerId, _Record] = {}

    def penalise(self, peer: PeerId) -> float:
        """Refuse ``peer`` from now on; gives the seconds."""
        now = self._clock()
        record = self._records.pop(peer, None)
        if record is None or now - record.last > self._bounds.penalty_memory_s:
            record = _Record(0, now, now)
        # 2 ** count is capped before it is computed: the count itself has no bound.
        delay_s = min(self._bounds.penalty_min_s * 2.0 ** min(record.count, 30), self._bounds.penalty_max_s)
        self._records[peer] = _Record(record.count + 1, now + delay_s, now)
        if len(self._records) > self._bounds.penalties_max:
            del self._records[next(iter(self._records))]
        return delay_s

    def remaining_s(self, peer: PeerId) -> float:
        """Seconds until ``peer`` is no longer refused; 0 when it is not."""
        record = self._records.get(peer)
        return 0.0 if record is None else max(0.0, record.until - self._clock())
