"""Whether the daemon is alive in the sense that matters: its event loop turns, and its disk takes a synced write.

Feeds the service manager's watchdog; ``/livez`` asks the same object.
"""

from __future__ import annotations

import asyncio
import errno
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

import structlog

from node.clock import monotonic_s

log = structlog.get_logger(__name__)

FILE: Final = ".alive"
CHECK_S: Final = 5.0
STUCK_S: Final = 20.0
"""A synced write of a few bytes that takes longer is a disk that hangs."""


class Liveness:
    """Writes and syncs a few bytes beside the store every few seconds, off the loop.

    Args:
        directory: on the store's disk.
        check_s: seconds between two probes.
        on_alive: called after each probe that came back (the watchdog is fed here).

    Attributes:
        probe_s: how long the last finished probe took, seconds; None: none has finished.
    """

    def __init__(
        self, directory: Path, *, check_s: float = CHECK_S, on_alive: Callable[[], object] = lambda: None
    ) -> None:
        self._file = directory / FILE
        self._check_s = check_s
        self._on_alive = on_alive
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="liveness")
        self._began: float | None = None
        self.probe_s: float | None = None

    @property
    def stuck_s(self) -> float:
        """How long the present probe has been on its way, seconds; 0 while none is."""
        return 0.0 if self._began is None else monotonic_s() - self._began

    @property
    def writes(self) -> bool:
        """Whether the disk takes writes, as far as is known."""
        return self.stuck_s < STUCK_S

    def document(self) -> dict[str, float | None]:
        """``liveness`` in ``node.status``: seconds of the present probe and of the last finished one."""
        return {"stuck_s": round(self.stuck_s, 3), "probe_s": None if self.probe_s is None else round(self.probe_s, 4)}

    async def run(self) -> None:
        """Probes until cancelled."""
        loop, said = asyncio.get_running_loop(), False
        try:
            while True:
                self._began = monotonic_s()
                probe = loop.run_in_executor(self._pool, _touch, self._file)
                while not (await asyncio.wait([probe], timeout=STUCK_S))[0]:
                    if not said:
                        log.error("disk_stuck", seconds=round(self.stuck_s, 1), directory=str(self._file.parent))
                        said = True
                await probe
                self.probe_s, self._began, said = self.stuck_s, None, False
                self._on_alive()
                await asyncio.sleep(self._check_s)
        finally:
            self._pool.shutdown(wait=False, cancel_futures=True)


def _touch(file: Path) -> None:
    try:
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            os.pwrite(descriptor, b"alive\n", 0)
            os.fdatasync(descriptor)
        finally:
            os.close(descriptor)
    except OSError as error:
        # A full or failing disk answers: whoever needs it says what that means. Only one that hangs is dead.
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            log.warning("liveness_probe_failed", why=error.strerror)
