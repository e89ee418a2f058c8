"""The store on disk: LevelDB by plyvel, with a checksum of our own in every record.

LevelDB returns flipped bits as good data unless told otherwise, and even then checks its blocks, not what a record was
written as. So its own checks are on (``paranoid_checks``, ``verify_checksums``), and each value is followed by a CRC-32
over key and value that every read verifies.

Two kinds of loss stay silent inside LevelDB: it takes a damaged end of the last log for a torn write, and a shortened
manifest makes it forget a whole log. The first returns to an earlier, consistent moment: the chain's recheck and the
signer's own record meet it. The second would leave a hole, and shows here: synced batches are numbered, and the numbers
must have no gap when the store is opened.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from struct import Struct
from typing import Any, Final
from zlib import crc32

import plyvel

from ledger.errors import HomeLocked, LocalMisuse, StorageFault
from ledger.store import Batch
from ledger.store_memory import prefix_end

CACHE_BYTES: Final = 1024 * 1024
"""Small: uncompressed tables are mapped and read in place, so that the page cache of the system does the caching."""
WRITE_BUFFER_BYTES: Final = 4 * 1024 * 1024
"""LevelDB holds up to two of these."""
BLOCK_BYTES: Final = 2 * 1024
"""Small: a point read verifies one whole block."""
TABLE_BYTES: Final = 4 * 1024 * 1024
MAX_OPEN_FILES: Final = 1_000
"""LevelDB maps as many tables and closes their descriptors; a table that is not open costs about 150 µs to read."""
BLOOM_BITS: Final = 10
NUMBERED_BATCHES: Final = 1 << 16
"""Batch numbers kept: more than the write buffers can hold batches, so that a lost log leaves a gap among them."""

_pack = Struct("<I").pack
_RESIDUE: Final = 0x2144DF1C  # CRC-32 of any bytes followed by their own CRC-32, little endian
_CHECKSUM_BYTES: Final = 4
_NUMBER_PREFIX: Final = b"\x00n"
_FIRST_KEY: Final = b"\x01"  # the store's own records lie below
_COPY_CHUNK_BYTES: Final = 1024 * 1024


def _closed_or(error: Exception, doing: str) -> Exception:
    # plyvel reports a closed database as RuntimeError.
    if isinstance(error, RuntimeError):
        return LocalMisuse(f"the store or snapshot is closed; cannot {doing}")
    return StorageFault(f"cannot {doing}: {error}")


def _damaged(key: bytes) -> StorageFault:
    return StorageFault(f"the record {key.hex()} does not match its checksum", key=key)


class _LevelReader:
    """Checked reads of a database or of a snapshot of it."""

    __slots__ = ("_get", "_handle", "_iterator")

    def __init__(self, handle: Any) -> None:
        self._handle = handle
        self._get = handle.get
        self._iterator = handle.iterator

    def get(self, key: bytes) -> bytes | None:
        """See ``Reader``."""
        try:
            record: bytes | None = self._get(key, verify_checksums=True)
        except (plyvel.Error, RuntimeError) as error:
            raise _read_fault(error, key) from error
        if record is None:
            return None
        if crc32(record, crc32(key)) != _RESIDUE:
            raise _damaged(key)
        return record[:-_CHECKSUM_BYTES]

    def iterate(
        self, prefix: bytes, *, start: bytes | None = None, limit: int | None = None, reverse: bool = False
    ) -> Iterator[tuple[bytes, bytes]]:
        """See ``Reader``; sees the records as they are at this call."""
        low, high, with_high = max(prefix, _FIRST_KEY), prefix_end(prefix), False
        if start is not None:
            if not reverse:
                low = max(low, start)
            elif high is None or start < high:
                high, with_high = start, True
        if (high is not None and low > high) or limit == 0:
            return iter(())
        # plyvel 1.5.1 loses the only key of a range when it walks backwards and that key is the range's start, so the
        # lower end is found here instead.
        records = _begin(
            self._iterator, start=None if reverse else low, stop=high, include_stop=with_high, reverse=reverse
        )
        return _checked(records, limit, low if reverse else b"")


def _read_fault(error: Exception, key: bytes) -> Exception:
    fault = _closed_or(error, f"read {key.hex()}")
    if isinstance(fault, StorageFault):
        fault.data["key"] = key
    return fault


def _begin(iterator: Any, **bounds: Any) -> Any:
    try:
        return iterator(verify_checksums=True, **bounds)
    except (plyvel.Error, RuntimeError) as error:
        raise _closed_or(error, "iterate") from error


def _checked(records: Any, limit: int | None, low: bytes = b"") -> Iterator[tuple[bytes, bytes]]:
    left = -1 if limit is None else limit
    key = b""
    try:
        # `with` frees LevelDB's iterator as soon as the caller stops: it pins memory and files.
        with records:
            for key, record in records:
                if key < low:
                    return
                if crc32(record, crc32(key)) != _RESIDUE:
                    raise _damaged(key)
                yield key, record[:-_CHECKSUM_BYTES]
                left -= 1
                if left == 0:
                    return
    except (plyvel.Error, RuntimeError) as error:
        raise _read_fault(error, key) from error


class _LevelSnapshot(_LevelReader):
    __slots__ = ()

    def close(self) -> None:
        """See ``Snapshot``."""
        self._handle.close()


class LevelStore(_LevelReader):
    """A ``Store`` in a directory. At most about 24 MB of memory, whatever its size.

    Args:
        path: the directory; made when missing, its parent must exist.
        create: False refuses a directory that holds no store.
        whole: False opens a store of which batches are lost, to read what is left; never to go on with it.

    Raises:
        HomeLocked: another process has it open.
        StorageFault: it cannot be opened, or LevelDB or the batch numbers report loss or damage.
    """

    __slots__ = ("_failed", "_number", "path")

    def __init__(self, path: str, *, create: bool = True, whole: bool = True) -> None:
        self.path = path
        self._failed = not whole
        super().__init__(_open(path, create=create))
        try:
            self._number = _last_number(self._handle) if whole else 0
        except StorageFault:
            self._handle.close()
            raise

    def snapshot(self) -> _LevelSnapshot:
        """See ``Store``."""
        try:
            return _LevelSnapshot(self._handle.snapshot())
        except (plyvel.Error, RuntimeError) as error:
            raise _closed_or(error, "take a snapshot") from error

    def write(self, batch: Batch, *, sync: bool = True) -> None:
        """See ``Store``. After a failure every further write is refused: what is on the disk is then unknown."""
        if self._failed:
            raise StorageFault("an earlier write failed; the store must be opened again")
        try:
            writing = self._handle.write_batch(sync=sync)
            put, delete, crc, pack = writing.put, writing.delete, crc32, _pack
            for key, value in batch.items():
                if value is None:
                    delete(key)
                else:
                    put(key, value + pack(crc(value, crc(key))))
            # An unsynced batch may be lost with the power and is therefore not numbered.
            if sync:
                number = self._number + 1
                key, value = _number_record(number)
                put(key, value + pack(crc(value, crc(key))))
            writing.write()
        except (plyvel.Error, OSError, RuntimeError) as error:
            self._failed = True
            raise _closed_or(error, "write") from error
        if sync:
            self._number = number

    def checkpoint_copy(self, path: str) -> None:
        """See ``Store``; reads and checks every record, and appears under ``path`` only when it is whole.

        Raises:
            LocalMisuse: ``path`` exists.
            StorageFault: a record is damaged, or the copy cannot be written.
        """
        target, partial = Path(path), Path(f"{path}.partial")
        if target.exists():
            raise LocalMisuse(f"{path} exists; a copy needs a new directory")
        view = self.snapshot()
        try:
            shutil.rmtree(partial, ignore_errors=True)
            copy = LevelStore(str(partial))
            try:
                for chunk in _chunks(view.iterate(b"")):
                    copy.write(chunk, sync=False)
                copy.write({}, sync=True)
            finally:
                copy.close()
            partial.rename(target)
            _sync_directory(target.parent)
        except OSError as error:
            raise StorageFault(f"cannot write a copy into {path}: {error}") from error
        finally:
            view.close()

    def verify(self) -> int:
        """See ``Store``."""
        return sum(1 for _ in self.iterate(b""))

    def close(self) -> None:
        """See ``Store``."""
        self._handle.close()

    @classmethod
    def compact(cls, path: str) -> None:
        """Gives the room of deleted records back to the disk; reads and writes everything once.

        Raises:
            HomeLocked, StorageFault: as the constructor, or the disk failed.
        """
        store = cls(path, create=False)
        try:
            # Without bounds plyvel does nothing.
            store._handle.compact_range(start=b"\x00", stop=b"\xff" * 64)
        except (plyvel.Error, OSError) as error:
            raise StorageFault(f"cannot compact the store {path}: {error}") from error
        finally:
            store.close()


def repair(path: str) -> None:
    """Makes the files of a store that does not open readable again; records may be lost, and old ones come back.

    Raises:
        StorageFault: nothing of it can be read.
    """
    try:
        plyvel.repair_db(path, paranoid_checks=True)
    except (plyvel.Error, OSError) as error:
        raise StorageFault(f"cannot repair the store {path}: {error}", path=path) from error


def _open(path: str, *, create: bool) -> Any:
    try:
        return plyvel.DB(
            path,
            create_if_missing=create,
            paranoid_checks=True,
            write_buffer_size=WRITE_BUFFER_BYTES,
            lru_cache_size=CACHE_BYTES,
            block_size=BLOCK_BYTES,
            max_file_size=TABLE_BYTES,
            max_open_files=MAX_OPEN_FILES,
            bloom_filter_bits=BLOOM_BITS,
            compression=None,  # keys, hashes and signatures do not shrink
        )
    except (plyvel.Error, OSError) as error:
        if "IO error: lock " in str(error):
            raise HomeLocked(f"another process uses the store {path}", path=path) from error
        raise StorageFault(f"cannot open the store {path}: {error}", path=path) from error


def _number_record(number: int) -> tuple[bytes, bytes]:
    return _NUMBER_PREFIX + (number % NUMBERED_BATCHES).to_bytes(4, "big"), number.to_bytes(8, "big")


def _last_number(handle: Any) -> int:
    """Number of the last synced batch, 0 in a new store.

    Raises:
        StorageFault: ``data["lost"]`` batches before it are missing.
    """
    records = _begin(handle.iterator, prefix=_NUMBER_PREFIX)
    numbers = {int.from_bytes(value, "big") for _, value in _checked(records, None)}
    last = max(numbers, default=0)
    lost = min(last, NUMBERED_BATCHES) - sum(1 for number in numbers if number > last - NUMBERED_BATCHES)
    if lost:
        raise StorageFault(f"{lost} batches written before the last one, {last}, are not in the store", lost=lost)
    return last


def _chunks(records: Iterator[tuple[bytes, bytes]]) -> Iterator[dict[bytes, bytes]]:
    chunk: dict[bytes, bytes] = {}
    size = 0
    for key, value in records:
        chunk[key] = value
        size += len(key) + len(value)
        if size >= _COPY_CHUNK_BYTES:
            yield chunk
            chunk, size = {}, 0
    yield chunk


def _sync_directory(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
