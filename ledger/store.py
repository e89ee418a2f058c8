"""The store: an ordered map of bytes with atomic batches, seen through a narrow interface.

Two implementations, one conformance and fault suite over both: ``ledger/store_memory.py``, ``ledger/store_leveldb.py``.
Keys begin with one byte that names their kind, so that kinds never mix (``Kind``).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final, Protocol

Batch = Mapping[bytes, bytes | None]
"""What to write: value, or None to delete. Applied whole or not at all."""


class Kind:
    """First byte of every key."""

    META: Final = b"m"
    """Facts about this store: format version, chain, tip, checkpoint progress."""
    STATE: Final = b"s"
    """State under the roots: ``s ‖ state key``."""
    BLOCK: Final = b"b"
    """``b ‖ u64 height`` → header and certificate."""
    TRANSACTIONS: Final = b"x"
    """``x ‖ u64 height`` → the block's refs and transactions, in order."""
    RECEIPTS: Final = b"r"
    """``r ‖ u64 height`` → the block's receipts in order."""
    CHANGES: Final = b"c"
    """``c ‖ u64 height`` → (state key, leaf hash, deleted) of each change, sorted by key."""
    TX_INDEX: Final = b"t"
    """``t ‖ tx id`` → height and index."""
    BLOCK_INDEX: Final = b"i"
    """``i ‖ block id`` → height."""
    BUCKET: Final = b"k"
    """Checkpoint tree over the whole state; its records are described in ledger/checkpoint.py."""
    LOCAL: Final = b"l"
    """What the node's services remember; under no root."""


class Reader(Protocol):
    """Reads of a store or of one of its snapshots.

    Every read checks the record's checksum and raises ``StorageFault`` (with ``data["key"]``) rather than return a
    damaged record.
    """

    def get(self, key: bytes) -> bytes | None:
        """The value of ``key``, or None."""
        ...

    def iterate(
        self, prefix: bytes, *, start: bytes | None = None, limit: int | None = None, reverse: bool = False
    ) -> Iterator[tuple[bytes, bytes]]:
        """(key, value) of the keys that begin with ``prefix``, in byte order.

        Args:
            prefix: common beginning.
            start: first key to return (whole, prefix included), inclusive; with ``reverse`` the last one, inclusive.
            limit: how many at most.
            reverse: from the last to the first.
        """
        ...


class Snapshot(Reader, Protocol):
    """The store as it was at one moment; close it."""

    def close(self) -> None:
        """Frees the snapshot; reading from it afterwards is ``LocalMisuse``."""
        ...


class Store(Reader, Protocol):
    """A whole store. Not safe for concurrent writers; ``write`` may run in a worker thread beside reads."""

    def snapshot(self) -> Snapshot:
        """A stable view of what is written now."""
        ...

    def write(self, batch: Batch, *, sync: bool = True) -> None:
        """Applies ``batch`` atomically; with ``sync`` it is on the disk when this returns.

        Raises:
            StorageFault: it could not be written. The store must not be used any more.
        """
        ...

    def checkpoint_copy(self, path: str) -> None:
        """Writes a consistent copy of the store, as it is now, into the new directory ``path``."""
        ...

    def verify(self) -> int:
        """Reads every record and checks its checksum; returns how many there are.

        Raises:
            StorageFault: at the first damaged record.
        """
        ...

    def close(self) -> None:
        """Closes the files; calling it twice is harmless."""
        ...
