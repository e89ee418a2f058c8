"""The daemon's log file: whole lines, put aside at a size, opened anew when an outer rotation asks for it.

A line is handed to the system in one piece at the end of the file, so that it is never torn by a rotation or by another
writer. A disk without room does not end the node: lines that could not be written are counted, and said in the log as
soon as it takes lines again.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
import threading
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from ledger.errors import InvalidConfig

MODE: Final = 0o640
_FLAGS: Final = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC


class LogFile:
    """A text stream of whole lines; safe to use from several threads.

    Args:
        path: the file; its directory exists.
        max_bytes: size at which it becomes ``NAME.1``, what was ``NAME.1`` becomes ``NAME.2``, …; 0: never.
        keep: files put aside that are kept.

    Attributes:
        lost_lines: that could not be written, since the start.

    Raises:
        InvalidConfig: ``log_unwritable``.
    """

    def __init__(self, path: Path, *, max_bytes: int = 0, keep: int = 1) -> None:
        self.path = path
        self.lost_lines = 0
        self._max_bytes = max_bytes
        self._keep = keep
        self._unsaid = 0
        self._guard = threading.RLock()
        try:
            self._file, self._size = _open(path)
        except OSError as error:
            raise InvalidConfig(
                f"the log file {path} cannot be written: {error.strerror}", code="log_unwritable", path=str(path)
            ) from error

    def write(self, text: str) -> int:
        """Adds whole lines; raises nothing."""
        data = text.encode("utf-8", errors="backslashreplace")
        with self._guard:
            if self._max_bytes and self._size and self._size + len(data) > self._max_bytes:
                self._put_aside()
            if self._unsaid:
                self._add(_lost_line(self._unsaid), said=True)
            self._add(data)
        return len(text)

    def flush(self) -> None:
        """Nothing is held back."""

    def reopen(self) -> None:
        """Opens the file by its name anew: an outer rotation has moved it. Raises nothing; the old one is kept then."""
        with self._guard:
            self._reopen()

    def close(self) -> None:
        """Closes the file; what is written afterwards goes to standard error."""
        with self._guard:
            if self._file >= 0:
                os.close(self._file)
                self._file = -1

    def _add(self, data: bytes, *, said: bool = False) -> None:
        if self._file < 0:
            sys.stderr.write(data.decode("utf-8", errors="replace"))
            return
        try:
            written = os.write(self._file, data)
            while written < len(data):  # a disk that is nearly full takes a part, and then says why
                written += os.write(self._file, data[written:])
        except OSError:
            with contextlib.suppress(OSError):
                os.ftruncate(self._file, self._size)  # no part of a line stays behind
            if not said:
                self.lost_lines += 1
                self._unsaid += 1
            return
        self._size += len(data)
        if said:
            self._unsaid = 0

    def _put_aside(self) -> None:
        names = [self.path.with_name(f"{self.path.name}.{number}") for number in range(1, self._keep + 1)]
        # From the first gap down, so that a rename never replaces a file but the oldest one.
        last = next((place for place, name in enumerate(names) if not name.exists()), self._keep - 1)
        with contextlib.suppress(OSError):
            for place in range(last, 0, -1):
                names[place - 1].replace(names[place])
            self.path.replace(names[0])
        self._reopen()

    def _reopen(self) -> None:
        try:
            fresh, size = _open(self.path)
        except OSError:
            return  # the old one still takes lines
        old, self._file, self._size = self._file, fresh, size
        if old >= 0:
            os.close(old)


def _open(path: Path) -> tuple[int, int]:
    descriptor = os.open(path, _FLAGS, MODE)
    try:
        size = os.fstat(descriptor).st_size
        if not size:
            os.fchmod(descriptor, MODE)  # whatever the umask says
        elif not _ends_with_newline(path):
            size += os.write(descriptor, b"\n")  # the torn line of a process that died stays one line of its own
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor, size


def _ends_with_newline(path: Path) -> bool:
    with path.open("rb") as file:
        file.seek(-1, os.SEEK_END)
        return file.read(1) == b"\n"


def _lost_line(count: int) -> bytes:
    now = datetime.now(UTC).isoformat()
    line = {"event": "log_lines_lost", "count": count, "level": "error", "timestamp": now}
    return json.dumps(line).encode() + b"\n"
