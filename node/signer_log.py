"""The signer log: what a validator must remember before a signature leaves it, as an append-only file.

Format, little endian: a header of ``magic | base (u64) | crc32 (u32)``, then frames of ``length (u32) | synced (u64) |
crc32 (u32) | payload``, the checksum over all but itself. ``base`` is the size that the file had when it was created
whole; ``synced`` how much of it was durable when the frame was written. So damage can be told from a crash: bytes below
``base``, or below ``synced`` of any later frame, were on the disk, and damage there raises; any other bad frame is a
write that was never synced, and is dropped on open with what follows it (a disk may write pages in any order).
What cannot be told apart is damage to the very last batch: peers return our latest message for that (DESIGN.md 3).
A damaged log is not repaired: ``set_aside`` keeps it for whoever wants to look, and the node observes until it is safe.

All calls block. The driver appends, and runs ``sync`` off the loop before anything that depends on it is sent.
"""

from __future__ import annotations

import os
import struct
import zlib
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import Final

from ledger.errors import LocalMisuse, StorageFault

MAGIC: Final = b"TGSIGN\x00\x01"
FILE_NAME: Final = "signer.log"
NEW_NAME: Final = "signer.log.new"
MAX_PAYLOAD_BYTES: Final = 1024 * 1024
"""Longer than any signer record (``consensus.records.MAX_RECORD_BYTES``)."""
DEFAULT_BOUND_BYTES: Final = 16 * 1024 * 1024
"""Size above which the driver should compact; a record or two of a block's body fit many times."""

_DAMAGED: Final = ".damaged-"
_HEADER: Final = struct.Struct("<8sQI")
_FRAME: Final = struct.Struct("<IQI")
_FRAME_START: Final = struct.Struct("<IQ")


class SignerLog:
    """An open signer log; at most one a directory (the home's lock sees to that).

    Args:
        directory: exists, on a file system that honours fsync.
        bound_bytes: ``needs_compaction`` above this size.

    Attributes:
        created: there was no log: this node has never signed, or its signer state is lost. The caller decides which.
        size_bytes: of the file, unsynced appends included.
    """

    __slots__ = ("_bound", "_directory", "_failed", "_file", "_records", "_synced_bytes", "created", "size_bytes")

    def __init__(self, directory: Path, *, bound_bytes: int = DEFAULT_BOUND_BYTES) -> None:
        self._directory = directory
        self._bound = bound_bytes
        self._failed = False
        self._file = -1
        path = directory / FILE_NAME
        try:
            (directory / NEW_NAME).unlink(missing_ok=True)  # a compaction that a crash interrupted
            self.created = not path.exists()
            if self.created:
                _write_new(directory, ())
                # The directory may be as new as the log.
                _sync_directory(directory.parent)
            data = path.read_bytes()
            self._records, good = _scan(data)
            self._file = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CLOEXEC)
            if good < len(data):
                _cut(self._file, good)
            # What a crashed process wrote may be in the page cache only: nothing is trusted before it is on the disk.
            _sync_file(self._file)
        except OSError as error:
            self.close()
            raise StorageFault(f"the signer log cannot be opened: {error}", path=str(path)) from error
        self.size_bytes = self._synced_bytes = good

    def take_records(self) -> list[bytes]:
        """The payloads found on open, oldest first; once, so that bodies do not stay in memory."""
        found, self._records = self._records, []
        return found

    @property
    def needs_compaction(self) -> bool:
        """Whether the file has outgrown its bound: ``compact`` with the live records."""
        return self.size_bytes > self._bound

    @property
    def is_synced(self) -> bool:
        """Whether everything appended is durable."""
        return self._synced_bytes == self.size_bytes

    def append(self, records: Sequence[bytes]) -> None:
        """Writes ``records``, in order; durable only after ``sync``.

        Raises:
            LocalMisuse: one is empty or too long; nothing was written.
            StorageFault: the write failed; the log takes nothing any more.
        """
        self._check_usable()
        data = b"".join(_frames(records, self._synced_bytes))
        try:
            _write_all(self._file, data)
        except OSError as error:
            raise self._fail("write", error) from error
        self.size_bytes += len(data)

    def sync(self) -> None:
        """Makes everything appended before the call durable. May run in a thread beside ``append``.

        Raises:
            StorageFault: it failed. A second attempt would report success for pages that the kernel has dropped, so
                the log takes nothing any more and the node has to stop.
        """
        self._check_usable()
        size = self.size_bytes
        try:
            os.fdatasync(self._file)
        except OSError as error:
            raise self._fail("fdatasync", error) from error
        self._synced_bytes = max(self._synced_bytes, size)

    def compact(self, records: Sequence[bytes]) -> None:
        """Replaces the log by one that holds ``records`` only; durable on return. Not beside ``append`` or ``sync``.

        A crash at any point leaves the old log or the new one, whole.

        Raises:
            LocalMisuse: a record is empty or too long; nothing has changed.
            StorageFault: it failed; the log takes nothing any more.
        """
        self._check_usable()
        try:
            size = _write_new(self._directory, records)
            fresh = os.open(self._directory / FILE_NAME, os.O_RDWR | os.O_APPEND | os.O_CLOEXEC)
            os.close(self._file)
        except OSError as error:
            raise self._fail("compaction", error) from error
        self._file = fresh
        self.size_bytes = self._synced_bytes = size

    def close(self) -> None:
        """Closes the file; idempotent. Unsynced records may be lost."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

    def _check_usable(self) -> None:
        if self._failed:
            raise StorageFault("the signer log failed earlier; the node has to stop")
        if self._file < 0:
            raise LocalMisuse("the signer log is closed")

    def _fail(self, action: str, error: OSError) -> StorageFault:
        self._failed = True
        return StorageFault(f"the signer log's {action} failed: {error}", errno=error.errno)


def set_aside(directory: Path, now: datetime) -> Path:
    """Gives a damaged log a dated name, durably, so that the next start makes a new one. Returns the new path.

    Raises:
        StorageFault: it cannot be renamed.
    """
    path = directory / FILE_NAME
    target = directory / f"{FILE_NAME}{_DAMAGED}{now:%Y%m%dT%H%M%S%fZ}"
    try:
        _rename(path, target)
        _sync_directory(directory)
    except OSError as error:
        raise StorageFault(f"the damaged signer log cannot be set aside: {error}", path=str(path)) from error
    return target


def read_signer_log(directory: Path) -> list[bytes]:
    """The payloads of a log that nobody has open, oldest first; changes nothing, and passes over a torn end.

    Raises:
        StorageFault: ``signer_log_damaged``.
        OSError: there is none, or it cannot be read.
    """
    return _scan((directory / FILE_NAME).read_bytes())[0]


def damaged_logs(directory: Path) -> list[str]:
    """Names of the logs that were set aside, oldest first."""
    return sorted(path.name for path in directory.glob(f"{FILE_NAME}{_DAMAGED}*"))


def _frames(records: Iterable[bytes], synced: int) -> Iterator[bytes]:
    for payload in records:
        if not 0 < len(payload) <= MAX_PAYLOAD_BYTES:
            raise LocalMisuse(f"a signer record has 1 to {MAX_PAYLOAD_BYTES} bytes, not {len(payload)}")
        yield _FRAME.pack(len(payload), synced, _checksum(payload, synced))
        yield payload


def _checksum(payload: bytes | memoryview, synced: int) -> int:
    return zlib.crc32(payload, zlib.crc32(_FRAME_START.pack(len(payload), synced)))


def _write_new(directory: Path, records: Iterable[bytes]) -> int:
    """Writes a whole log beside the current one and renames it into place: file, then name, then directory durable."""
    body = b"".join(_frames(records, 0))
    base = _HEADER.size + len(body)
    path = directory / NEW_NAME
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        _write_all(descriptor, _header(base) + body)
        _sync_file(descriptor)
    finally:
        os.close(descriptor)
    _rename(path, directory / FILE_NAME)
    _sync_directory(directory)
    return base


# Steps of their own: between any two of them the process may end, and tests make it end there.


def _write_all(descriptor: int, data: bytes) -> None:
    written = os.write(descriptor, data)
    while written < len(data):
        written += os.write(descriptor, data[written:])


def _cut(descriptor: int, size: int) -> None:
    os.ftruncate(descriptor, size)


def _sync_file(descriptor: int) -> None:
    os.fsync(descriptor)


def _rename(path: Path, target: Path) -> None:
    path.rename(target)


def _sync_directory(directory: Path) -> None:
    parent = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(parent)
    finally:
        os.close(parent)


def _header(base: int) -> bytes:
    start = _HEADER.pack(MAGIC, base, 0)[:-4]
    return start + zlib.crc32(start).to_bytes(4, "little")


def _scan(data: bytes) -> tuple[list[bytes], int]:
    """The payloads in ``data``, and how many of its bytes are good.

    Raises:
        StorageFault: ``signer_log_damaged``: bytes are wrong that had been synced.
    """
    base = _HEADER.unpack_from(data)[1] if len(data) >= _HEADER.size else 0
    if data[: _HEADER.size] != _header(base):
        # It is synced before the file gets its name: a crash cannot tear it.
        raise StorageFault("the signer log has no valid header", code="signer_log_damaged")
    view = memoryview(data)
    payloads: list[bytes] = []
    place = _HEADER.size
    while (frame := _frame_at(view, place)) is not None:
        payload, _ = frame
        payloads.append(bytes(payload))
        place += _FRAME.size + len(payload)
    if place < base or _synced_after(view, place):
        raise StorageFault(
            f"the signer log is damaged at byte {place}, which had been synced", code="signer_log_damaged", place=place
        )
    return payloads, place


def _frame_at(view: memoryview, place: int) -> tuple[memoryview, int] | None:
    """The good frame at ``place``: its payload, and how much was synced before it was written."""
    if place + _FRAME.size > len(view):
        return None
    length, synced, checksum = _FRAME.unpack_from(view, place)
    start = place + _FRAME.size
    if not 0 < length <= MAX_PAYLOAD_BYTES or start + length > len(view):
        return None
    payload = view[start : start + length]
    return (payload, synced) if _checksum(payload, synced) == checksum else None


def _synced_after(view: memoryview, place: int) -> bool:
    """Whether a good frame beyond ``place`` says that ``place`` was synced; the length there may be what is wrong."""
    start = place + 1
    while start + _FRAME.size < len(view):
        frame = _frame_at(view, start)
        if frame is None:
            start += 1
        elif frame[1] > place:
            return True
        else:
            start += _FRAME.size + len(frame[0])
    return False
