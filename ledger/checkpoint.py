"""Roots of the whole state at checkpoint heights, computed aside in small slices (DESIGN.md 2).

A state record's leaf is ``SHA-256(state key) ‖ leaf hash of change_leaf(key, value)``, 64 bytes. The first two bytes of
the key hash name its bucket; inside a bucket an RFC 6962 tree over the leaves sorted by key hash; above, one over the
65,536 bucket roots (an empty bucket has ``EMPTY_ROOT``).

With interval K there is a checkpoint at every multiple of K from K on; block C, a multiple of K from 2K on, carries the
root of height C − K. So there are K blocks' time for the work, which is done by group: the 256 buckets with the same
first byte. Each block's batch carries that block's changes, sorted into groups, and whatever buckets were finished
since; nothing is rebuilt after a crash, and memory holds one group at a time (about 5 MB at 10,000 changes a block).

Records, below ``Kind.BUCKET``, all versioned by height, so that the last checkpoint can be proved against while
the next one is made:

* ``c ‖ u8 group ‖ u64 height`` → changes of that block in that group, 64 bytes each; zeros for a leaf: deleted;
* ``b ‖ u16 bucket ‖ u64 checkpoint`` → the bucket's leaves;
* ``g ‖ u8 group ‖ u64 checkpoint`` → leaf hashes of its 256 bucket roots;
* ``t ‖ u64 checkpoint`` → roots of the 256 groups.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from hashlib import sha256
from typing import Final, NamedTuple

import msgspec

from ledger.chain_records import read
from ledger.checkpoint_bucket import (
    EMPTY_BUCKET_LEAF,
    EMPTY_GROUP,
    GROUP_BUCKETS,
    GROUPS,
    HASH_BYTES,
    NO_LEAF,
    apply_changes,
    bucket_leaf,
    bucket_prefix,
    changes_key,
    changes_prefix,
    entries,
    group_prefix,
    top_key,
    version_key,
)
from ledger.encoding import encode
from ledger.errors import LocalMisuse, StorageFault
from ledger.merkle import root_of_hashes
from ledger.store import Kind, Reader
from ledger.types import ZERO_HASH, Hash32, Height

DEFAULT_INTERVAL: Final = 256
PROGRESS_KEY: Final = Kind.META + b"checkpoint"
"""→ (interval, finished height, its root, groups done of the next)."""

_progress_decoder = msgspec.msgpack.Decoder(tuple[int, int, bytes, int])
_EMPTY_TOP: Final = bytes(root_of_hashes([EMPTY_BUCKET_LEAF] * GROUP_BUCKETS)) * GROUPS
EMPTY_STATE_ROOT: Final = root_of_hashes([_EMPTY_TOP[:HASH_BYTES]] * GROUPS)
"""Root of a state without records."""


class CheckpointTree:
    """The root of the whole state at the last checkpoint, and the work towards the next.

    For each block: ``header_fields`` when it is built or checked, ``block_records`` into its batch, ``committed`` when
    that is written; ``run_slice`` between, while ``behind``. It may read while a worker thread writes the batch.

    When a block that a quorum decided carries another root than ``header_fields`` gives, this node's own records are
    damaged: it must sync again.

    Args:
        reader: the store that the blocks' batches are written to.
        interval: K, blocks between checkpoints, from genesis.
        tip_height: last committed height, or −1 before the genesis block.

    Raises:
        LocalMisuse: the interval is not positive.
        StorageFault: the progress record is missing, damaged, or of another interval.
    """

    __slots__ = (
        "_done",
        "_group",
        "_moved",
        "_ready",
        "_staged",
        "_tip",
        "_top",
        "finished_height",
        "finished_root",
        "interval",
        "reader",
    )

    def __init__(self, reader: Reader, interval: int = DEFAULT_INTERVAL, tip_height: int = -1) -> None:
        if interval < 1:
            raise LocalMisuse("the checkpoint interval is at least 1 block")
        self.reader = reader
        self.interval = interval
        self._tip = tip_height
        self._staged = tip_height  # height of the last batch that records were taken for
        progress = _load_progress(reader, interval, tip_height)
        self.finished_height, self._done = progress.finished_height, progress.groups_done
        self.finished_root = Hash32(progress.finished_root)
        key = top_key(self._target if self._done else self.finished_height)
        top = reader.get(key)
        if top is None and (self.finished_height or self._done):
            raise StorageFault("the group roots of the checkpoint are missing", key=key)
        self._top = bytearray(top or _EMPTY_TOP)
        self._ready: dict[bytes, bytes | None] = {}
        self._moved = False  # groups were done since records were last taken
        self._group: _Group | None = None

    @property
    def _target(self) -> int:
        return self.finished_height + self.interval

    @property
    def behind(self) -> bool:
        """True when, at an even pace, more of the next checkpoint should be done by now."""
        return self._done * self.interval < (self._tip + 1 - self._target) * GROUPS

    # --- with each block ------------------------------------------------------------------------------------------

    def header_fields(self, height: int) -> tuple[Height, Hash32]:
        """``checkpoint_height`` and ``checkpoint_root`` of the header at ``height``: (0, zeros) where there is none.

        Finishes the work at once when slices have not; let them, since this may take seconds.

        Raises:
            LocalMisuse: the blocks that it needs are not committed, or it is of a past checkpoint.
        """
        due = height - self.interval
        if due <= 0 or height % self.interval:
            return Height(0), ZERO_HASH
        if self._target == due:
            while not self.run_slice(GROUP_BUCKETS):
                pass
        if self.finished_height != due:
            raise LocalMisuse(f"the checkpoint of height {due} cannot be computed at block {self._tip}")
        return Height(due), self.finished_root

    def block_records(self, height: int, changes: Iterable[tuple[bytes, bytes, bool]]) -> dict[bytes, bytes | None]:
        """Records for the batch of block ``height``: its changes by group, and the work done since the last batch.

        Args:
            height: the next to be committed; its batch will be written before ``committed(height)``.
            changes: (state key, leaf hash, deleted) of each change; each key once.

        Raises:
            LocalMisuse: another height is next.
        """
        if height != self._tip + 1 or self._staged != self._tip:
            raise LocalMisuse(f"block {height} does not follow {max(self._tip, self._staged)}")
        records = self._ready
        if self._moved or height == 0:
            records[PROGRESS_KEY] = encode((self.interval, self.finished_height, self.finished_root, self._done))
            records[top_key(self._target if self._done else self.finished_height)] = bytes(self._top)
        for group, found in _by_group(changes).items():
            records[changes_key(group, height)] = b"".join(found)
        self._ready, self._moved, self._staged = {}, False, height
        return records

    def committed(self, height: int) -> None:
        """The batch with ``block_records(height)`` is in the store."""
        if height != self._staged:
            raise LocalMisuse(f"the records of block {height} were not taken")
        self._tip = height

    # --- the work -------------------------------------------------------------------------------------------------

    def run_slice(self, max_buckets: int = 8) -> bool:
        """Works on at most ``max_buckets`` changed buckets, or reads the changes of as many blocks.

        A changed bucket takes about 40 µs with 10 records in it, and 2 µs more for each further one.

        Returns:
            True when there is nothing to do until more blocks are committed.

        Raises:
            StorageFault: a record is damaged.
        """
        group = self._group
        if group is None:
            # The next checkpoint builds on the records of the one before: they must all be in the store.
            if self._tip < self._target or (self._done == 0 and (self._moved or self._tip != self._staged)):
                return True
            self._group = _Group(self.reader, self._done, self._target)
            return False
        if not group.run(max_buckets):
            return False
        self._ready.update(group.records)
        if group.root is not None:
            place = group.number * HASH_BYTES
            self._top[place : place + HASH_BYTES] = group.root
        self._group, self._moved = None, True
        self._done += 1
        if self._done == GROUPS:
            self._finish()
        return False

    def _finish(self) -> None:
        roots = [bytes(self._top[i : i + HASH_BYTES]) for i in range(0, len(self._top), HASH_BYTES)]
        before = self.finished_height - self.interval
        self.finished_height = self._target
        self.finished_root = root_of_hashes(roots)
        self._done = 0
        if before > 0:
            self._ready[top_key(before)] = None


class _Group:
    """The work on one group for one checkpoint: every bucket in it that changed since the last."""

    __slots__ = ("_changes", "_height", "_next", "_reader", "_roots", "_todo", "number", "records", "root")

    def __init__(self, reader: Reader, number: int, height: int) -> None:
        self.number = number
        self.root: Hash32 | None = None
        """Root over the group's buckets; None where nothing has changed."""
        self.records: dict[bytes, bytes | None] = {}
        self._reader = reader
        self._height = height
        self._changes: dict[int, dict[bytes, bytes]] = {}
        self._next: bytes | None = changes_key(number, 0)
        self._todo: list[int] = []
        self._roots = bytearray()

    def _gather(self, max_records: int) -> None:
        """Reads the changes of up to that many blocks; about 40 in each at 10,000 changes a block."""
        start, found = self._next, 0
        for key, record in self._reader.iterate(changes_prefix(self.number), start=start, limit=max_records):
            height = int.from_bytes(key[-8:], "big")
            if height > self._height:
                break
            for entry in entries(record):
                self._changes.setdefault(entry[1], {})[entry[:HASH_BYTES]] = entry[HASH_BYTES:]
            self.records[key] = None
            self._next = changes_key(self.number, height + 1)
            found += 1
        if found == max_records:
            return
        self._next = None
        self._todo = sorted(self._changes, reverse=True)
        if self._todo:
            self._roots = bytearray(self._replace(group_prefix(self.number)) or EMPTY_GROUP)

    def _replace(self, prefix: bytes) -> bytes:
        """The newest version, which stays for proofs; those before it are deleted."""
        versions = list(self._reader.iterate(prefix))
        for key, _ in versions[:-1]:
            self.records[key] = None
        return versions[-1][1] if versions else b""

    def run(self, max_buckets: int) -> bool:
        """Recomputes up to that many buckets; True when the group is done."""
        if self._next is not None:
            self._gather(max_buckets)
            return False
        for _ in range(min(max_buckets, len(self._todo))):
            low = self._todo.pop()
            prefix = bucket_prefix(self.number * GROUP_BUCKETS + low)
            leaves = apply_changes(self._replace(prefix), self._changes.pop(low))
            self.records[version_key(prefix, self._height)] = b"".join(leaves)
            self._roots[low * HASH_BYTES : (low + 1) * HASH_BYTES] = bucket_leaf(leaves)
        if self._todo:
            return False
        if self._roots:
            roots = bytes(self._roots)
            self.records[version_key(group_prefix(self.number), self._height)] = roots
            self.root = root_of_hashes([roots[i : i + HASH_BYTES] for i in range(0, len(roots), HASH_BYTES)])
        return True


def staged_leaves(reader: Reader) -> Iterator[bytes]:
    """Leaves (64 bytes) of the whole present state: the newest buckets and every change since.

    Raises:
        StorageFault: a record is damaged.
    """
    for group in range(GROUPS):
        changes: dict[bytes, bytes] = {}
        for _, record in reader.iterate(changes_prefix(group)):
            changes.update((entry[:HASH_BYTES], entry[HASH_BYTES:]) for entry in entries(record))
        newest: dict[bytes, bytes] = {}
        for key, record in reader.iterate(bucket_prefix(group * GROUP_BUCKETS)[:-1]):
            newest[key[:-8]] = record
        yield from apply_changes(b"".join(newest.values()), changes)


def leaves_at(reader: Reader, height: int, changed: Mapping[bytes, bytes]) -> Iterator[bytes]:
    """Leaves (64 bytes) of the state after a kept checkpoint with changes applied.

    Args:
        reader: of the store.
        height: of the checkpoint; 0: the empty state.
        changed: key hash → leaf hash, ``NO_LEAF`` where deleted.

    Raises:
        StorageFault: a record is damaged.
    """
    for group in range(GROUPS):
        newest: dict[bytes, bytes] = {}
        for key, record in reader.iterate(bucket_prefix(group * GROUP_BUCKETS)[:-1]) if height else ():
            if int.from_bytes(key[-8:], "big") <= height:
                newest[key[:-8]] = record
        for record in newest.values():
            yield from (entry for entry in entries(record) if entry[:HASH_BYTES] not in changed)
    yield from (name + leaf for name, leaf in changed.items() if leaf != NO_LEAF)


class Progress(NamedTuple):
    """The record under ``PROGRESS_KEY``."""

    interval: int
    finished_height: int
    finished_root: bytes
    groups_done: int


def read_progress(reader: Reader) -> Progress | None:
    """How far the stored checkpoints are, or None where there are none.

    Raises:
        StorageFault: the record is damaged.
    """
    record = reader.get(PROGRESS_KEY)
    return None if record is None else Progress(*read(_progress_decoder, PROGRESS_KEY, record))


def _load_progress(reader: Reader, interval: int, tip_height: int) -> Progress:
    progress = read_progress(reader)
    if progress is None:
        if tip_height >= 0:
            raise StorageFault("the checkpoint's progress is missing", key=PROGRESS_KEY)
        return Progress(interval, 0, ZERO_HASH, 0)
    if progress.interval != interval:
        raise StorageFault(
            f"checkpoints are stored every {progress.interval} blocks, not every {interval}", key=PROGRESS_KEY
        )
    return progress


def _by_group(changes: Iterable[tuple[bytes, bytes, bool]]) -> dict[int, list[bytes]]:
    groups: dict[int, list[bytes]] = {}
    for key, leaf, deleted in changes:
        name = sha256(key).digest()
        found = groups.get(name[0])
        if found is None:
            found = groups[name[0]] = []
        found.append(name + (NO_LEAF if deleted else leaf))
    return groups
