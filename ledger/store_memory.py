"""A store in memory, for tests and simulation: nothing survives the process, nothing is ever damaged."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Iterator
from pathlib import Path

import msgspec

from ledger.encoding import encode
from ledger.errors import LocalMisuse, StorageFault
from ledger.store import Batch

_COPY_FILE = "records.msgpack"
_copy_decoder = msgspec.msgpack.Decoder(list[tuple[bytes, bytes]])


def prefix_end(prefix: bytes) -> bytes | None:
    """The first key after every key that begins with ``prefix``; None when there is none."""
    stripped = prefix.rstrip(b"\xff")
    return stripped[:-1] + bytes((stripped[-1] + 1,)) if stripped else None


class _MemoryReader:
    __slots__ = ("_keys", "_records")

    def __init__(self, records: dict[bytes, bytes], keys: list[bytes]) -> None:
        self._records: dict[bytes, bytes] | None = records
        self._keys = keys

    def _open(self) -> dict[bytes, bytes]:
        if self._records is None:
            raise LocalMisuse("the store or snapshot is closed")
        return self._records

    def get(self, key: bytes) -> bytes | None:
        """See ``Reader``."""
        return self._open().get(key)

    def iterate(
        self, prefix: bytes, *, start: bytes | None = None, limit: int | None = None, reverse: bool = False
    ) -> Iterator[tuple[bytes, bytes]]:
        """See ``Reader``; sees the records as they are at this call."""
        records, keys = self._open(), self._keys
        end = prefix_end(prefix)
        low = bisect_left(keys, prefix)
        high = len(keys) if end is None else bisect_left(keys, end)
        if start is not None:
            if reverse:
                high = min(high, bisect_left(keys, start + b"\x00"))
            else:
                low = max(low, bisect_left(keys, start))
        if limit is not None and high - low > limit:
            low, high = (high - limit, high) if reverse else (low, low + limit)
        found = keys[low:high]
        if reverse:
            found.reverse()
        # Values are taken now, so that a later write does not show.
        return iter([(key, records[key]) for key in found])

    def close(self) -> None:
        """See ``Snapshot``."""
        self._records = None
        self._keys = []


class MemoryStore(_MemoryReader):
    """A ``Store`` in a dict with its keys kept sorted."""

    __slots__ = ("_shared",)

    def __init__(self) -> None:
        super().__init__({}, [])
        self._shared = False

    @classmethod
    def open_copy(cls, path: str) -> MemoryStore:
        """A store with what ``checkpoint_copy`` wrote into the directory ``path``.

        Raises:
            StorageFault: there is no copy, or it is damaged.
        """
        store = cls()
        try:
            store.write(dict(_copy_decoder.decode((Path(path) / _COPY_FILE).read_bytes())))
        except (OSError, msgspec.DecodeError) as error:
            raise StorageFault(f"cannot read the copy in {path}: {error}") from error
        return store

    def snapshot(self) -> _MemoryReader:
        """See ``Store``; costs nothing until the next write."""
        self._shared = True
        return _MemoryReader(self._open(), self._keys)

    def write(self, batch: Batch, *, sync: bool = True) -> None:
        """See ``Store``; ``sync`` changes nothing here."""
        del sync
        records = self._open()
        if self._shared:
            records, self._keys, self._shared = dict(records), list(self._keys), False
            self._records = records
        keys = self._keys
        bulk = len(batch) * 8 > len(keys)
        for key, value in batch.items():
            if value is not None:
                if not bulk and key not in records:
                    insort(keys, key)
                records[bytes(key)] = bytes(value)
            elif records.pop(key, None) is not None and not bulk:
                del keys[bisect_left(keys, key)]
        if bulk:
            self._keys = sorted(records)

    def checkpoint_copy(self, path: str) -> None:
        """See ``Store``; ``open_copy`` reads it.

        Raises:
            LocalMisuse: ``path`` exists.
            StorageFault: it could not be written.
        """
        records = self._open()
        try:
            Path(path).mkdir(parents=True)
            (Path(path) / _COPY_FILE).write_bytes(encode([(key, records[key]) for key in self._keys]))
        except FileExistsError as error:
            raise LocalMisuse(f"{path} exists; a copy needs a new directory") from error
        except OSError as error:
            raise StorageFault(f"cannot write a copy into {path}: {error}") from error

    def verify(self) -> int:
        """See ``Store``."""
        return len(self._open())
