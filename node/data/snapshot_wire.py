"""What a node that joins from a snapshot asks its peers, and what they answer (docs/data.md).

The state of a checkpoint comes in two passes. First the leaves of the checkpoint tree, which a certified header's
``checkpoint_root`` confirms group by group and bucket by bucket; then keys and values in key order, each of which must
be one of those leaves. So a wrong part is found when it arrives, and whoever sent it is known.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Annotated, Final

from msgspec import Meta

from ledger.checkpoint_bucket import BUCKETS, ENTRY_BYTES, GROUP_BUCKETS, GROUPS, HASH_BYTES
from ledger.checkpoint_proof import MAX_BUCKET_ENTRIES
from ledger.encoding import Codec, Record
from ledger.packet import HeaderProof
from ledger.types import MAX_HEIGHT

PAGE_BYTES: Final = 256 * 1024
"""A page of leaves or of state ends with the record that reaches it; only the last one of its kind is shorter."""
MAX_PAGE_BYTES: Final = 3 * 1024 * 1024
"""With the one record that reaches the bound; below what a frame may have."""
MAX_KEY_BYTES: Final = 4_096
MAX_EPOCH_PROOFS: Final = 64
EPOCH_PAGE_BYTES: Final = 512 * 1024

_Hash = Annotated[bytes, Meta(min_length=HASH_BYTES, max_length=HASH_BYTES)]
_Height = Annotated[int, Meta(ge=0, le=MAX_HEIGHT)]


class Part(IntEnum):
    """Parts of a snapshot."""

    OFFER = 1
    """What this peer has; ``height`` is not looked at."""
    EPOCHS = 2
    """Headers that change the set of validators, from above ``number`` up to the one that carries the root."""
    TOP = 3
    """Headers of the checkpoint, peaks of the history below it, roots of the 256 groups."""
    LEAVES = 4
    """Leaves from bucket ``number`` (of 65,536) on."""
    STATE = 5
    """Keys and values from ``key`` on, inclusive."""


class SnapshotWanted(Record, frozen=True):
    """Asks for a part of the snapshot of the checkpoint ``height``; ``number`` and ``key`` as the part says."""

    part: Annotated[int, Meta(ge=1, le=5)]
    height: _Height
    number: _Height
    key: Annotated[bytes, Meta(max_length=MAX_KEY_BYTES)]


class SnapshotOffer(Record, frozen=True):
    """What a peer has.

    Attributes:
        tip_height: of its chain.
        retained_height: lowest block whose contents it keeps; 0: all.
        height: newest checkpoint whose state it can send; 0: none at present.
    """

    tip_height: _Height
    retained_height: _Height
    height: _Height


class EpochProofs(Record, frozen=True):
    """Certified headers that change the set, ascending; none when there is no further one."""

    proofs: Annotated[tuple[HeaderProof, ...], Meta(max_length=MAX_EPOCH_PROOFS)]


class SnapshotTop(Record, frozen=True):
    """The beginning of a snapshot.

    Attributes:
        own: header, with certificate, of the checkpoint's own block, which becomes the tip of the node that joins.
        carrier: header, with certificate, of the block that carries the checkpoint's root.
        between: certified headers between the two that change the set of validators, ascending.
        peaks: of the history tree over the blocks before the checkpoint's.
        groups: roots of the 256 groups, concatenated.
    """

    own: HeaderProof
    carrier: HeaderProof
    between: Annotated[tuple[HeaderProof, ...], Meta(max_length=MAX_EPOCH_PROOFS)]
    peaks: Annotated[tuple[_Hash, ...], Meta(max_length=64)]
    groups: Annotated[bytes, Meta(min_length=GROUPS * HASH_BYTES, max_length=GROUPS * HASH_BYTES)]


_Bucket = tuple[
    Annotated[int, Meta(ge=0, lt=GROUP_BUCKETS)],
    Annotated[bytes, Meta(min_length=ENTRY_BYTES, max_length=ENTRY_BYTES * MAX_BUCKET_ENTRIES)],
]


class GroupLeaves(Record, frozen=True):
    """Buckets of a group, or some of them.

    Attributes:
        roots: leaf hashes of the group's 256 bucket roots, concatenated; empty where the whole group is here.
        buckets: (number in the group, leaves) of those with records, ascending.
    """

    roots: Annotated[bytes, Meta(max_length=GROUP_BUCKETS * HASH_BYTES)]
    buckets: Annotated[tuple[_Bucket, ...], Meta(max_length=GROUP_BUCKETS)]


class SnapshotLeaves(Record, frozen=True):
    """Leaves of the groups from the first bucket asked for up to where the next page begins.

    Attributes:
        groups: in order; the first and the last may be in part.
        next_number: as ``SnapshotWanted.number`` of the next page; 65,536: complete.
    """

    groups: Annotated[tuple[GroupLeaves, ...], Meta(min_length=1, max_length=GROUPS)]
    next_number: Annotated[int, Meta(ge=1, le=BUCKETS)]


_Pair = tuple[Annotated[bytes, Meta(min_length=1, max_length=MAX_KEY_BYTES)], bytes]


class SnapshotState(Record, frozen=True):
    """Keys and values in key order; ``last``: there are no further ones."""

    pairs: Annotated[tuple[_Pair, ...], Meta(max_length=PAGE_BYTES)]
    last: bool


wanted_codec = Codec(SnapshotWanted, 8_192, "snapshot request")
offer_codec = Codec(SnapshotOffer, 256, "snapshot offer")
epochs_codec = Codec(EpochProofs, 2 * 1024 * 1024, "epoch headers")
top_codec = Codec(SnapshotTop, 2 * 1024 * 1024, "snapshot top")
leaves_codec = Codec(SnapshotLeaves, MAX_PAGE_BYTES, "snapshot leaves")
state_codec = Codec(SnapshotState, MAX_PAGE_BYTES, "snapshot state")
