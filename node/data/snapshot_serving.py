"""Serves the state of the last certified checkpoint to nodes that join, from views of the store (docs/data.md).

A view is taken at each checkpoint height: that of height C has C's state, that of height C + K, the next one, has C's
finished tree. So two views are held, and those of an earlier checkpoint while somebody still reads it. They cost disk
(what is overwritten meanwhile stays in its tables), no memory. After a start a node serves again from its second
checkpoint height on.
"""

from __future__ import annotations

import asyncio
from typing import Final

from ledger.checkpoint_bucket import (
    BUCKETS,
    EMPTY_GROUP,
    GROUP_BUCKETS,
    bucket_prefix,
    group_prefix,
    top_key,
    version_at,
)
from ledger.encoding import encode
from ledger.errors import InvalidInput, NotFound, Overloaded
from ledger.packet import HeaderProof
from ledger.state import StoredState
from ledger.store import Snapshot
from ledger.types import Height
from node.chain import Chain, Committed
from node.clock import monotonic_s
from node.data.snapshot_wire import (
    EPOCH_PAGE_BYTES,
    MAX_EPOCH_PROOFS,
    MAX_KEY_BYTES,
    PAGE_BYTES,
    EpochProofs,
    GroupLeaves,
    Part,
    SnapshotLeaves,
    SnapshotOffer,
    SnapshotState,
    SnapshotTop,
    SnapshotWanted,
    wanted_codec,
)
from node.relay.following import keys_of, set_changes

SLICE_RECORDS: Final = 64
"""Records read between two yields to the loop: under 1 ms."""
REST: Final = 2.0
"""After each page nothing is served for so many times as long as it took: consensus has the loop meanwhile."""
IDLE_S: Final = 60.0
"""Views of a checkpoint that is not the last any more are closed when nobody has read them for so long."""
MAX_READ: Final = 4
"""Earlier checkpoints whose views are held for their readers; beyond it the one read least lately goes."""
MAX_WAITING: Final = 64
"""Requests that wait for their turn; more are refused as ``overloaded``."""


class SnapshotShelf:
    """See the module.

    Args:
        chain: whose checkpoints.
    """

    def __init__(self, chain: Chain) -> None:
        self._chain = chain
        self._interval = chain.genesis.parameters.checkpoint_interval
        self._views: dict[int, Snapshot] = {}
        self._read_s: dict[int, float] = {}
        self._turn = asyncio.Lock()
        self._waiting = 0
        self.bytes_served = 0
        self._keep(chain.tip.height)

    @property
    def height(self) -> Height:
        """Newest checkpoint that can be served; 0: none at present."""
        finished = [height for height in self._views if height + self._interval in self._views]
        return Height(max(finished, default=0))

    def on_committed(self, committed: Committed) -> None:
        """A block is the tip, and nothing after it is written yet."""
        self._keep(committed.height)

    def _keep(self, height: int) -> None:
        if height == 0 or height % self._interval:
            return
        self._views[height] = self._chain.store.store.snapshot()
        held = {height, height - self._interval}
        for checkpoint in self.being_read():
            # The view above an old checkpoint holds its tree.
            held |= {checkpoint, checkpoint + self._interval}
        for old in self._views.keys() - held:
            self._views.pop(old).close()
            self._read_s.pop(old, None)

    def being_read(self) -> list[int]:
        """Checkpoints that somebody is fetching, the one read last first."""
        since = monotonic_s() - IDLE_S
        lately = [height for height, read_s in self._read_s.items() if read_s > since and height in self._views]
        return sorted(lately, key=lambda height: -self._read_s[height])[:MAX_READ]

    def close(self) -> None:
        """Gives every view back; before the store is closed."""
        for view in self._views.values():
            view.close()
        self._views.clear()

    async def serve(self, payload: bytes) -> bytes:
        """Answers a request of a joining node.

        Raises:
            NotFound: ``snapshot_gone``: that checkpoint is not served (any more).
            Overloaded: too many wait.
            InvalidInput: the request makes no sense.
        """
        wanted = wanted_codec.decode(payload)
        if wanted.part == Part.OFFER:
            retained = self._chain.store.retained_height
            return encode(SnapshotOffer(self._chain.tip.height, retained, self.height))
        if self._waiting >= MAX_WAITING:
            raise Overloaded("too many parts of a snapshot are wanted", retry_after_ms=1_000)
        self._waiting += 1
        try:
            async with self._turn:
                begun = monotonic_s()
                answer = await self._part(wanted)
                self.bytes_served += len(answer)
                await asyncio.sleep(REST * (monotonic_s() - begun))
                return answer
        finally:
            self._waiting -= 1

    async def _part(self, wanted: SnapshotWanted) -> bytes:
        checkpoint = wanted.height
        state, tree = self._views.get(checkpoint), self._views.get(checkpoint + self._interval)
        if state is None or tree is None:
            raise NotFound(f"no snapshot of height {checkpoint} is served", code="snapshot_gone")
        self._read_s[checkpoint] = monotonic_s()
        match wanted.part:
            case Part.EPOCHS:
                return encode(EpochProofs(self._epochs(wanted.number, checkpoint)))
            case Part.TOP:
                return encode(self._top(checkpoint, tree))
            case Part.LEAVES:
                return encode(await self._leaves(checkpoint, tree, wanted.number))
            case Part.STATE:
                return encode(await self._state(state, wanted.key))
            case _:
                raise InvalidInput("no such part of a snapshot")

    def _epochs(self, after: int, before: int) -> tuple[HeaderProof, ...]:
        found: list[HeaderProof] = []
        size_bytes = 0
        for height in set_changes(self._chain, after, before)[:MAX_EPOCH_PROOFS]:
            found.append(self._proof(height))
            size_bytes += len(encode(found[-1]))
            if size_bytes >= EPOCH_PAGE_BYTES:
                break
        return tuple(found)

    def _proof(self, height: int) -> HeaderProof:
        store = self._chain.store
        return HeaderProof(store.header(height), store.certificate(height), keys_of(self._chain, height, ()), 0, None)

    def _top(self, checkpoint: int, tree: Snapshot) -> SnapshotTop:
        store = self._chain.store
        carrier = checkpoint + self._interval
        changes = set_changes(self._chain, checkpoint, carrier)
        if len(changes) > MAX_EPOCH_PROOFS:
            raise NotFound("too many sets of validators between checkpoint and proof", code="snapshot_gone")
        return SnapshotTop(
            self._proof(checkpoint),
            self._proof(carrier),
            tuple(self._proof(height) for height in changes),
            tuple(store.history_at(checkpoint).peaks),
            tree.get(top_key(checkpoint)) or b"",
        )

    async def _leaves(self, checkpoint: int, tree: Snapshot, number: int) -> SnapshotLeaves:
        if number >= BUCKETS:
            raise InvalidInput(f"there are {BUCKETS} buckets")
        groups: list[GroupLeaves] = []
        size_bytes = 0
        while number < BUCKETS and size_bytes < PAGE_BYTES:
            group, first = divmod(number, GROUP_BUCKETS)
            found, end = _buckets(tree, group, first, checkpoint, PAGE_BYTES - size_bytes)
            roots = b""
            if end - first < GROUP_BUCKETS:
                roots = version_at(tree, group_prefix(group), checkpoint) or EMPTY_GROUP
            groups.append(GroupLeaves(roots, tuple(found)))
            size_bytes += len(roots) + sum(len(leaves) for _, leaves in found)
            number = group * GROUP_BUCKETS + end
            await asyncio.sleep(0)
        return SnapshotLeaves(tuple(groups), number)

    async def _state(self, view: Snapshot, start: bytes) -> SnapshotState:
        pairs: list[tuple[bytes, bytes]] = []
        size_bytes = 0
        for key, value in StoredState(view).iterate(b"", start=start):
            if len(key) > MAX_KEY_BYTES:
                raise NotFound("a state key is too long to be served", code="snapshot_gone")
            pairs.append((key, value))
            size_bytes += len(key) + len(value)
            if size_bytes >= PAGE_BYTES:
                return SnapshotState(tuple(pairs), last=False)
            if len(pairs) % SLICE_RECORDS == 0:
                await asyncio.sleep(0)
        return SnapshotState(tuple(pairs), last=True)


def _buckets(
    tree: Snapshot, group: int, first: int, checkpoint: int, room_bytes: int
) -> tuple[list[tuple[int, bytes]], int]:
    """Buckets of a group with records, from ``first`` until ``room_bytes`` are full; and where that ends."""
    prefix = bucket_prefix(group * GROUP_BUCKETS)
    newest: dict[int, bytes] = {}
    size_bytes = 0
    for key, leaves in tree.iterate(prefix[:-1], start=bucket_prefix(group * GROUP_BUCKETS + first)):
        place = key[-9]
        if place not in newest and size_bytes >= room_bytes:
            return [(number, data) for number, data in newest.items() if data], place
        if int.from_bytes(key[-8:], "big") <= checkpoint:
            size_bytes += len(leaves) - len(newest.get(place, b""))
            newest[place] = leaves
    return [(number, data) for number, data in newest.items() if data], GROUP_BUCKETS
