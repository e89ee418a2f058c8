"""State as contracts see it: one key space, read through an overlay that can be undone or thrown away.

Layout of state keys (below ``Kind.STATE`` in the store):

* ``u ‖ outpoint`` → canonical bytes of the unspent ``Output``;
* ``i ‖ u64 expiry height ‖ tx id`` → nothing: the live ids that make a replay impossible;
* ``c ‖ address ‖ 00 ‖ key`` → a contract's own records.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Final, Protocol

from ledger.errors import LocalMisuse
from ledger.store import Kind, Reader

UTXO_PREFIX: Final = b"u"
LIVE_ID_PREFIX: Final = b"i"
CONTRACT_PREFIX: Final = b"c"


def utxo_key(outpoint: bytes) -> bytes:
    """State key of an unspent output."""
    return b"u" + outpoint


def live_id_key(expiry_height: int, tx_id: bytes) -> bytes:
    """State key of a transaction id that may not be used again before it expires."""
    return b"i" + expiry_height.to_bytes(8, "big") + tx_id


def contract_prefix(address: str) -> bytes:
    """Beginning of every state key of the contract at ``address``."""
    return b"c" + address.encode() + b"\x00"


class StateReader(Protocol):
    """Reads of a state."""

    def get(self, key: bytes) -> bytes | None:
        """The value of a state key, or None."""
        ...

    def iterate(
        self, prefix: bytes, *, start: bytes | None = None, limit: int | None = None
    ) -> Iterator[tuple[bytes, bytes]]:
        """(key, value) of the keys that begin with ``prefix``, in byte order, from ``start`` (inclusive)."""
        ...


class StoredState:
    """The committed state, read from a store or a snapshot of it."""

    __slots__ = ("_get", "_iterate")

    def __init__(self, reader: Reader) -> None:
        self._get = reader.get
        self._iterate = reader.iterate

    def get(self, key: bytes) -> bytes | None:
        """See ``StateReader``."""
        return self._get(Kind.STATE + key)

    def iterate(
        self, prefix: bytes, *, start: bytes | None = None, limit: int | None = None
    ) -> Iterator[tuple[bytes, bytes]]:
        """See ``StateReader``."""
        begin = None if start is None else Kind.STATE + start
        for key, value in self._iterate(Kind.STATE + prefix, start=begin, limit=limit):
            yield key[1:], value


class Overlay:
    """Changes on top of a state, kept aside until they are committed with a block or dropped.

    ``mark`` and ``undo`` take back what was done since: a refused transaction leaves no trace.

    Attributes:
        writes: every key changed, with its new value or None where it is deleted.
    """

    __slots__ = ("_base_get", "_contract_keys", "_journal", "base", "writes")

    def __init__(self, base: StateReader) -> None:
        self.base = base
        self._base_get = base.get
        self.writes: dict[bytes, bytes | None] = {}
        self._journal: list[tuple[bytes, bool, bytes | None]] = []
        # Only contracts iterate over what a block has changed, and most of that is no contract's.
        self._contract_keys: set[bytes] = set()

    def get(self, key: bytes) -> bytes | None:
        """The value of ``key`` with the changes applied, or None."""
        if key in self.writes:
            return self.writes[key]
        return self._base_get(key)

    def put(self, key: bytes, value: bytes) -> None:
        """Sets ``key``."""
        writes = self.writes
        self._journal.append((key, key in writes, writes.get(key)))
        writes[key] = value
        if key[:1] == CONTRACT_PREFIX:
            self._contract_keys.add(key)

    def delete(self, key: bytes) -> None:
        """Removes ``key``; removing what is not there still counts as a change."""
        writes = self.writes
        self._journal.append((key, key in writes, writes.get(key)))
        writes[key] = None
        if key[:1] == CONTRACT_PREFIX:
            self._contract_keys.add(key)

    def iterate(
        self, prefix: bytes, *, start: bytes | None = None, limit: int | None = None
    ) -> Iterator[tuple[bytes, bytes]]:
        """See ``StateReader``; the changes are merged in. Collect before changing keys below ``prefix``."""
        first = prefix if start is None else max(prefix, start)
        writes = self.writes
        candidates = self._contract_keys if prefix[:1] == CONTRACT_PREFIX else writes
        changed = sorted(key for key in candidates if key.startswith(prefix) and key >= first and key in writes)
        if not changed:
            yield from self.base.iterate(prefix, start=start, limit=limit)
            return
        yield from islice(self._merge(changed, self.base.iterate(prefix, start=start)), limit)

    def _merge(self, changed: list[bytes], stored: Iterator[tuple[bytes, bytes]]) -> Iterator[tuple[bytes, bytes]]:
        position = 0
        for key, value in stored:
            while position < len(changed) and changed[position] < key:
                own = self.writes[changed[position]]
                if own is not None:
                    yield changed[position], own
                position += 1
            if position < len(changed) and changed[position] == key:
                own = self.writes[key]
                position += 1
                if own is not None:
                    yield key, own
            else:
                yield key, value
        for key in changed[position:]:
            own = self.writes[key]
            if own is not None:
                yield key, own

    def mark(self) -> int:
        """A point to ``undo`` to."""
        return len(self._journal)

    def undo(self, mark: int) -> None:
        """Takes back every change made since ``mark``."""
        if mark > len(self._journal):
            raise LocalMisuse("undo beyond what was done")
        while len(self._journal) > mark:
            key, was_there, value = self._journal.pop()
            if was_there:
                self.writes[key] = value
            else:
                del self.writes[key]
