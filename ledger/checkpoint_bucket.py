"""Buckets of the checkpoint tree: their bytes, their roots, and the keys that they are stored under.

See ledger/checkpoint.py for how they fit together.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from hashlib import sha256
from typing import Final

from ledger.errors import StorageFault
from ledger.merkle import EMPTY_ROOT, leaf_hash, root
from ledger.store import Kind, Reader
from ledger.types import Hash32

HASH_BYTES: Final = 32
ENTRY_BYTES: Final = 2 * HASH_BYTES
"""A leaf inside a bucket: SHA-256 of the state key, then the leaf hash of ``change_leaf(key, value)``."""
GROUPS: Final = 256
GROUP_BUCKETS: Final = 256
BUCKETS: Final = GROUPS * GROUP_BUCKETS
NO_LEAF: Final = bytes(HASH_BYTES)
"""Stands for a deletion among staged changes; no SHA-256 is known to be zero."""
EMPTY_BUCKET_LEAF: Final = bytes(leaf_hash(EMPTY_ROOT))
"""Leaf hash, in the upper tree, of a bucket without records."""
EMPTY_GROUP: Final = EMPTY_BUCKET_LEAF * GROUP_BUCKETS
"""Record of a group without records."""

_CHANGES: Final = Kind.BUCKET + b"c"
_BUCKET: Final = Kind.BUCKET + b"b"
_GROUP: Final = Kind.BUCKET + b"g"
_TOP: Final = Kind.BUCKET + b"t"


def key_hash(key: bytes) -> bytes:
    """SHA-256 of a state key; its first byte names the group, its first two the bucket."""
    return sha256(key).digest()


def changes_prefix(group: int) -> bytes:
    """Beginning of the keys of a group's staged changes."""
    return _CHANGES + bytes((group,))


def changes_key(group: int, height: int) -> bytes:
    """Key of what block ``height`` changed in a group."""
    return changes_prefix(group) + height.to_bytes(8, "big")


def bucket_prefix(bucket: int) -> bytes:
    """Beginning of the keys of a bucket's versions."""
    return _BUCKET + bucket.to_bytes(2, "big")


def group_prefix(group: int) -> bytes:
    """Beginning of the keys of a group's versions."""
    return _GROUP + bytes((group,))


def top_key(height: int) -> bytes:
    """Key of the group roots at a checkpoint."""
    return _TOP + height.to_bytes(8, "big")


def version_key(prefix: bytes, height: int) -> bytes:
    """Key of the version that was made for the checkpoint ``height``."""
    return prefix + height.to_bytes(8, "big")


def version_at(reader: Reader, prefix: bytes, height: int) -> bytes | None:
    """The newest version made for ``height`` or before, or None: empty then."""
    for _, record in reader.iterate(prefix, start=version_key(prefix, height), limit=1, reverse=True):
        return record
    return None


def entries(record: bytes) -> Iterator[bytes]:
    """The 64-byte leaves of a bucket, or changes of a group.

    Raises:
        StorageFault: the length is not a multiple of 64.
    """
    if len(record) % ENTRY_BYTES:
        raise StorageFault("a record of the checkpoint tree has a wrong length")
    return (record[i : i + ENTRY_BYTES] for i in range(0, len(record), ENTRY_BYTES))


def apply_changes(record: bytes, changes: Mapping[bytes, bytes]) -> list[bytes]:
    """The bucket's leaves, sorted, after ``changes``: key hash → leaf hash, ``NO_LEAF`` where deleted."""
    leaves = {entry[:HASH_BYTES]: entry for entry in entries(record)}
    for name, leaf in changes.items():
        if leaf != NO_LEAF:
            leaves[name] = name + leaf
        else:
            leaves.pop(name, None)
    return sorted(leaves.values())


def bucket_leaf(leaves: list[bytes]) -> Hash32:
    """Leaf hash, in the upper tree, of the bucket with these sorted leaves."""
    return leaf_hash(root(leaves))
