"""Root of a whole state computed from scratch: what tests and operators compare nodes by.

The same tree as ``ledger.checkpoint``, made in one pass over a snapshot instead of incrementally.
"""

from __future__ import annotations

from collections.abc import Iterator

from ledger.block import change_leaf
from ledger.checkpoint_bucket import EMPTY_BUCKET_LEAF, bucket_leaf, key_hash
from ledger.merkle import leaf_hash, root_of_hashes
from ledger.state import StateReader
from ledger.types import Hash32

BUCKETS = 65_536


def state_root_slices(state: StateReader, every: int = 512) -> Iterator[Hash32 | None]:
    """Yields None after each ``every`` records, so that a caller can do other work between, and the root at last.

    Args:
        state: a stable view; it must not change while the iterator lives.
        every: records a slice.
    """
    buckets: dict[int, list[bytes]] = {}
    for count, (key, value) in enumerate(state.iterate(b"")):
        name = key_hash(key)
        entry = name + leaf_hash(change_leaf(key, value))
        buckets.setdefault(int.from_bytes(name[:2], "big"), []).append(entry)
        if count % every == every - 1:
            yield None
    leaves = [EMPTY_BUCKET_LEAF] * BUCKETS
    for count, (bucket, entries) in enumerate(buckets.items()):
        leaves[bucket] = bucket_leaf(sorted(entries))
        if count % every == every - 1:
            yield None
    yield root_of_hashes(leaves)


def state_root(state: StateReader) -> Hash32:
    """The root at once."""
    return next(root for root in state_root_slices(state) if root is not None)
