"""When the overlay dies: rebuild it in the same process, and give up after several failures in a row."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import structlog

from ledger.errors import TransportFailed

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from p2p.bounds import TransportBounds

_log = structlog.get_logger(__name__)


class RebuildPolicy:
    """Counts failures in a row, and says how long to wait before the next attempt.

    Args:
        bounds: how many, and the times.
        clock: seconds, monotonic.
    """

    def __init__(self, bounds: TransportBounds, clock: Callable[[], float]) -> None:
        self._bounds = bounds
        self._clock = clock
        self._in_a_row = 0
        self._started_at = clock()

    def started(self) -> None:
        """The overlay is being built."""
        self._started_at = self._clock()

    def failed(self) -> float | None:
        """It died; seconds to wait before the next attempt, or None to give up."""
        if self._clock() - self._started_at >= self._bounds.rebuild_reset_s:
            self._in_a_row = 0
        self._in_a_row += 1
        if self._in_a_row > self._bounds.rebuilds_in_a_row:
            return None
        return self._bounds.rebuild_pause_s * 2.0 ** min(self._in_a_row - 1, 10)


async def keep_alive(
    run: Callable[[], Awaitable[None]], policy: RebuildPolicy, on_rebuild: Callable[[], None], *, node: str
) -> None:
    """Run the overlay again each time it fails; returns when ``run`` returns.

    Args:
        run: builds the overlay and runs it to its end.
        policy: how often.
        on_rebuild: called before each further attempt.
        node: our peer id, for the log.

    Raises:
        TransportFailed: the policy gave up.
    """
    while True:
        policy.started()
        try:
            await run()
        except Exception as error:
            pause_s = policy.failed()
            if pause_s is None:
                _log.critical("overlay_given_up", own_peer=node, error=type(error).__name__, exc_info=True)
                raise TransportFailed("the overlay died more often than it is rebuilt") from error
            _log.error("overlay_died", own_peer=node, error=type(error).__name__, pause_s=pause_s, exc_info=True)
            await asyncio.sleep(pause_s)
            on_rebuild()
        else:
            return
