"""Watches the room on the disks that a home writes to, and stops the node in order before its store is stuck.

LevelDB that finds no room in the middle of a compaction refuses every further write, and a restart may not even be
able to recover its log. So the node ends while there is a reserve, with an exit code of its own, and does not start
below it.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Final, NoReturn, Protocol

import structlog

from ledger.errors import DiskFull

log = structlog.get_logger(__name__)

CHECK_S: Final = 1.0
WARN_FACTOR: Final = 4
"""Warned is below so many times the reserve, once, and again when it has been above in between."""


class _Room(Protocol):
    """What ``os.statvfs`` gives, as far as it is looked at."""

    @property
    def f_bavail(self) -> int: ...
    @property
    def f_blocks(self) -> int: ...
    @property
    def f_frsize(self) -> int: ...


class DiskWatch:
    """See the module.

    Args:
        directories: that the node writes to; they exist. The fullest of their disks counts.
        min_free_bytes: the reserve (``storage.min_free_bytes``).
        statvfs: asks the system; tests give another one.

    Attributes:
        free_bytes: of the fullest disk, at the last check; None before the first.
        total_bytes: of that disk.
        directory: the one that is on it.
    """

    def __init__(
        self,
        directories: Iterable[Path],
        min_free_bytes: int,
        statvfs: Callable[[Path], _Room] = os.statvfs,
    ) -> None:
        self._directories = tuple(directories)
        self._statvfs = statvfs
        self._warned = False
        self.min_free_bytes = min_free_bytes
        self.free_bytes: int | None = None
        self.total_bytes: int | None = None
        self.directory: Path | None = None

    def check(self) -> None:
        """Looks once.

        Raises:
            DiskFull: less is free than the reserve. A disk that cannot be asked is left to whoever writes to it.
        """
        fullest: tuple[int, int, Path] | None = None
        for directory in self._directories:
            try:
                room = self._statvfs(directory)
            except OSError:
                continue
            found = (room.f_bavail * room.f_frsize, room.f_blocks * room.f_frsize, directory)
            if fullest is None or found[0] < fullest[0]:
                fullest = found
        if fullest is None:
            return
        self.free_bytes, self.total_bytes, self.directory = fullest
        if self.free_bytes < self.min_free_bytes:
            raise DiskFull(
                f"{megabytes(self.free_bytes)} are free on the disk of {self.directory}, less than the reserve of "
                f"{megabytes(self.min_free_bytes)} (storage.min_free_bytes): make room, then start the node again",
                free_bytes=self.free_bytes,
                min_free_bytes=self.min_free_bytes,
                directory=str(self.directory),
            )
        self._warn()

    def _warn(self) -> None:
        scarce = self.scarce
        if scarce and not self._warned:
            log.warning("disk_nearly_full", free_bytes=self.free_bytes, directory=str(self.directory))
        self._warned = scarce

    @property
    def scarce(self) -> bool:
        """Whether less than a few times the reserve is free."""
        return self.free_bytes is not None and self.free_bytes < WARN_FACTOR * self.min_free_bytes

    async def run(self) -> NoReturn:
        """Looks each second until cancelled.

        Raises:
            DiskFull: see ``check``.
        """
        while True:
            self.check()
            await asyncio.sleep(CHECK_S)

    def document(self) -> dict[str, Any]:
        """``disk`` in ``node.status``."""
        return {
            "free_bytes": self.free_bytes,
            "total_bytes": self.total_bytes,
            "min_free_bytes": self.min_free_bytes,
            "scarce": self.scarce,
        }


def megabytes(size_bytes: int) -> str:
    """A size for a person."""
    return f"{size_bytes / 1_000_000:,.1f} MB" if size_bytes < 10_000_000 else f"{size_bytes / 1_000_000:,.0f} MB"


__all__ = ["CHECK_S", "WARN_FACTOR", "DiskWatch", "megabytes"]
