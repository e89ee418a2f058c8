"""The committed state with its hottest records in memory.

A transaction reads the same few records twice, when it is admitted and when it is executed, and often spends what the
last blocks created. Exact: ``committed`` replaces what a block has changed, so a cached record is never a stale one.
The base is a snapshot: while the next block is being written, records and listings both are those before it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

from ledger.state import StateReader

CACHED_RECORDS: Final = 32_768
"""Records in each of two generations: about 10 MB each at most."""


class CachedState:
    """A ``StateReader`` over another one.

    Args:
        base: the committed state.
        size: records in each generation; when the younger is full the older is forgotten.
    """

    __slots__ = ("_base_get", "_new", "_old", "_size", "base")

    def __init__(self, base: StateReader, size: int = CACHED_RECORDS) -> None:
        self.base = base
        self._base_get = base.get
        self._size = size
        self._new: dict[bytes, bytes | None] = {}
        self._old: dict[bytes, bytes | None] = {}

    def get(self, key: bytes) -> bytes | None:
        """See ``StateReader``; remembers absence too."""
        try:
            return self._new[key]
        except KeyError:
            pass
        value = self._old[key] if key in self._old else self._base_get(key)
        self._keep(key, value)
        return value

    def _keep(self, key: bytes, value: bytes | None) -> None:
        if len(self._new) >= self._size:
            self._old, self._new = self._new, {}
        self._new[key] = value

    def iterate(
        self, prefix: bytes, *, start: bytes | None = None, limit: int | None = None
    ) -> Iterator[tuple[bytes, bytes]]:
        """See ``StateReader``; reads the base."""
        return self.base.iterate(prefix, start=start, limit=limit)

    def committed(self, writes: Mapping[bytes, bytes | None], base: StateReader) -> None:
        """``base``, read from now on, has these changes. New records are likely to be read soon, deleted ones not."""
        self.base = base
        self._base_get = base.get
        # All that has changed goes first: keeping one record may turn the generations over.
        for generation in (self._old, self._new):
            for key in writes:
                generation.pop(key, None)
        for key, value in writes.items():
            if value:
                self._keep(key, value)
