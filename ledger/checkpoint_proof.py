"""Proofs that a state key had some value, or was absent, at a checkpoint (DESIGN.md 2)."""

from __future__ import annotations

from itertools import pairwise
from typing import Annotated, Final

from msgspec import Meta

from ledger.block import change_leaf
from ledger.checkpoint_bucket import (
    BUCKETS,
    EMPTY_BUCKET_LEAF,
    EMPTY_GROUP,
    ENTRY_BYTES,
    GROUP_BUCKETS,
    HASH_BYTES,
    bucket_leaf,
    bucket_prefix,
    entries,
    group_prefix,
    key_hash,
    top_key,
    version_at,
)
from ledger.encoding import Codec, Record
from ledger.errors import InvalidProof, NotFound, StorageFault
from ledger.merkle import inclusion_proof, leaf_hash, root_of_hashes, verify_inclusion
from ledger.store import Reader
from ledger.types import Hash32

MAX_BUCKET_ENTRIES: Final = 16_384
"""About a thousand million records in the state; a longer bucket cannot be proved."""

_Hash = Annotated[bytes, Meta(min_length=32, max_length=32)]


class StateProof(Record, frozen=True):
    """The whole bucket of a key, and the bucket's place under the root.

    Attributes:
        bucket: the bucket's leaves, 64 bytes each, sorted, concatenated.
        path: 16 siblings in the tree over the 65,536 buckets, from the bucket upwards.
    """

    bucket: Annotated[bytes, Meta(max_length=ENTRY_BYTES * MAX_BUCKET_ENTRIES)]
    path: Annotated[tuple[_Hash, ...], Meta(min_length=16, max_length=16)]


state_proof_codec = Codec(StateProof, ENTRY_BYTES * MAX_BUCKET_ENTRIES + 1_024, "state proof")


def prove_state(reader: Reader, key: bytes, checkpoint_height: int) -> StateProof:
    """Proof of what ``key`` was, or that it was not, at a checkpoint.

    Args:
        reader: a snapshot of the store, or the store where nothing is written meanwhile.
        key: state key.
        checkpoint_height: as in the newest header that carries a checkpoint; older ones are gone.

    Raises:
        NotFound: nothing is kept for that checkpoint.
        StorageFault: a record is damaged.
    """
    top = reader.get(top_key(checkpoint_height)) if checkpoint_height > 0 else None
    if top is None:
        raise NotFound(f"no checkpoint of height {checkpoint_height} is kept", height=checkpoint_height)
    group, low = key_hash(key)[:2]
    bucket = version_at(reader, bucket_prefix(group * GROUP_BUCKETS + low), checkpoint_height) or b""
    roots = version_at(reader, group_prefix(group), checkpoint_height) or EMPTY_GROUP
    return StateProof(bucket, inclusion_proof(_hashes(roots), low) + inclusion_proof(_hashes(top), group))


def _hashes(joined: bytes) -> list[bytes]:
    return [joined[i : i + HASH_BYTES] for i in range(0, len(joined), HASH_BYTES)]


def verify_state(proof: StateProof, key: bytes, checkpoint_root: bytes) -> Hash32 | None:
    """Leaf hash of ``change_leaf(key, value)`` that the state held under ``key``, or None where it held nothing.

    Raises:
        InvalidProof: the bucket is malformed or not under that root.
    """
    if len(proof.bucket) % ENTRY_BYTES:
        raise InvalidProof("a bucket's leaves are 64 bytes each")
    leaves = list(entries(proof.bucket))
    name = key_hash(key)
    if any(a >= b for a, b in pairwise(leaves)) or any(leaf[:2] != name[:2] for leaf in leaves):
        raise InvalidProof("the bucket's leaves are not sorted, or not of this key's bucket")
    verify_inclusion(bucket_leaf(leaves), int.from_bytes(name[:2], "big"), BUCKETS, proof.path, checkpoint_root)
    for leaf in leaves:
        if leaf[:HASH_BYTES] == name:
            return Hash32(leaf[HASH_BYTES:])
    return None


def verify_state_value(proof: StateProof, key: bytes, value: bytes | None, checkpoint_root: bytes) -> None:
    """Checks that ``key`` had ``value`` at the checkpoint, or was absent when ``value`` is None.

    Raises:
        InvalidProof: it was something else, or the proof is wrong.
    """
    expected = None if value is None else leaf_hash(change_leaf(key, value))
    if verify_state(proof, key, checkpoint_root) != expected:
        raise InvalidProof("the state held something else under that key")


def check_checkpoint(reader: Reader, height: int, expected_root: bytes, *, buckets: bool = False) -> None:
    """Recomputes the upper tree of a kept checkpoint from its records; with ``buckets`` also every bucket's tree.

    Raises:
        StorageFault: a record is missing or damaged, or they do not give that root; ``data["key"]`` names the record.
    """
    key = top_key(height)
    top = reader.get(key)
    if top is None or root_of_hashes(_hashes(top)) != expected_root:
        raise StorageFault(f"the group roots of checkpoint {height} do not give its root", key=key)
    empty_root = root_of_hashes(_hashes(EMPTY_GROUP))
    for group, group_root in enumerate(_hashes(top)):
        roots = version_at(reader, group_prefix(group), height) or EMPTY_GROUP
        if group_root != (empty_root if roots == EMPTY_GROUP else root_of_hashes(_hashes(roots))):
            raise StorageFault(f"the bucket roots of group {group} are damaged", key=group_prefix(group))
        if buckets:
            _check_buckets(reader, group, height, _hashes(roots))


def _check_buckets(reader: Reader, group: int, height: int, roots: list[bytes]) -> None:
    newest: dict[int, bytes] = {}
    for key, record in reader.iterate(bucket_prefix(group * GROUP_BUCKETS)[:-1]):
        if int.from_bytes(key[-8:], "big") <= height:
            newest[key[-9]] = record
    for low, expected in enumerate(roots):
        leaves = newest.get(low)
        if (bucket_leaf(list(entries(leaves))) if leaves else EMPTY_BUCKET_LEAF) != expected:
            prefix = bucket_prefix(group * GROUP_BUCKETS + low)
            raise StorageFault(f"bucket {low} of group {group} is damaged", key=prefix)
