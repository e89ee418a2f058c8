"""Fetches a checkpoint's state from one peer into an empty store, believing nothing but certificates (docs/data.md).

Trust goes from the genesis file over every header that changes the set of validators to the certified header that
carries the checkpoint's root; each part is compared with that root as it comes. What the peer did not prove is an
``InvalidInput``, what it did not send a ``RemoteFault``: in both cases another peer is asked, into another empty store.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Final

import structlog

from contracts.builtin import build_rules, genesis_block
from ledger.block import Header, block_id, change_leaf
from ledger.chain_proof import history_nodes
from ledger.chain_records import (
    BASE_KEY,
    FORMAT_KEY,
    FORMAT_VERSION,
    RETAINED_KEY,
    TIP_KEY,
    Format,
    height_key,
    history_key,
)
from ledger.checkpoint import PROGRESS_KEY
from ledger.checkpoint_bucket import (
    BUCKETS,
    EMPTY_BUCKET_LEAF,
    EMPTY_GROUP,
    ENTRY_BYTES,
    GROUP_BUCKETS,
    GROUPS,
    HASH_BYTES,
    bucket_leaf,
    bucket_prefix,
    entries,
    group_prefix,
    key_hash,
    top_key,
    version_key,
)
from ledger.encoding import Codec, encode
from ledger.errors import InvalidProof, LocalMisuse, PeerMisbehaved
from ledger.genesis import Genesis
from ledger.light_client import ClientState, advance, begin
from ledger.merkle import GrowingTree, leaf_hash, root_of_hashes
from ledger.packet import HeaderProof
from ledger.state import UTXO_PREFIX, StoredState
from ledger.store import Kind, Store
from ledger.store_memory import MemoryStore
from ledger.transaction import Output
from ledger.types import Height
from node.chain import lock_index_prefix
from node.data.snapshot_wire import (
    PAGE_BYTES,
    Part,
    SnapshotLeaves,
    SnapshotTop,
    SnapshotWanted,
    epochs_codec,
    leaves_codec,
    state_codec,
    top_codec,
)

log = structlog.get_logger(__name__)

Ask = Callable[[bytes], Awaitable[bytes]]
"""Sends the payload of a ``SNAPSHOT`` request to the peer; raises ``RemoteFault``."""
MAX_EPOCH_PAGES: Final = 100_000
_output_codec = Codec(Output, 4_096, "output")


@dataclass(slots=True)
class Progress:
    """How far a join is.

    Attributes:
        height: of the checkpoint.
        records: of its state.
        installed: of them.
        bytes_in: answers so far.
    """

    height: int = 0
    records: int = 0
    installed: int = 0
    bytes_in: int = 0
    epochs: list[HeaderProof] = field(default_factory=list)


class SnapshotFetcher:
    """One attempt with one peer.

    Args:
        genesis: checked genesis of the chain.
        store: empty; on success it holds the chain as of the checkpoint, and is synced.
        ask: reaches the peer.
        height: of the checkpoint that it offered.

    Attributes:
        progress: for reports.
    """

    def __init__(self, genesis: Genesis, store: Store, ask: Ask, height: int) -> None:
        interval = genesis.parameters.checkpoint_interval
        if height <= 0 or height % interval:
            raise InvalidProof(f"{height} is no checkpoint height", code="snapshot_wrong")
        self._genesis = genesis
        self._store = store
        self._ask = ask
        self._height = height
        self._interval = interval
        self.progress = Progress(height)

    async def run(self) -> Height:
        """Fetches, verifies and installs everything; the new tip's height.

        Raises:
            InvalidInput: the peer sent what is not proved.
            RemoteFault: it did not answer, or not what was asked for.
            StorageFault: our store cannot be written.
        """
        client, first = self._begin()
        client = await self._follow(client)
        top = top_codec.decode(await self._get(Part.TOP, 0))
        root = self._check_top(client, top)
        groups = [top.groups[i : i + HASH_BYTES] for i in range(0, len(top.groups), HASH_BYTES)]
        if root_of_hashes(groups) != root:
            raise _wrong("the group roots do not give the certified root")
        await self._fetch_leaves(groups)
        await self._fetch_state()
        await asyncio.to_thread(self._finish, first, top, root)
        return Height(self._height)

    # --- trust ------------------------------------------------------------------------------------------------------

    def _begin(self) -> tuple[ClientState, Header]:
        genesis = self._genesis
        header, _ = genesis_block(genesis, build_rules(genesis), StoredState(MemoryStore()))
        return begin(genesis.name, "bridge", header, genesis.validator_set()), header

    async def _follow(self, client: ClientState) -> ClientState:
        """The client at the last change of the set below the checkpoint."""
        for _ in range(MAX_EPOCH_PAGES):
            proofs = epochs_codec.decode(await self._get(Part.EPOCHS, client.latest.height)).proofs
            if not proofs:
                return client
            for proof in proofs:
                if proof.header.height >= self._height:
                    raise _wrong("a header that changes the set is not below the checkpoint")
                client = advance(client, proof)
                self.progress.epochs.append(proof)
        raise _wrong("the headers that change the set do not end")

    def _check_top(self, client: ClientState, top: SnapshotTop) -> bytes:
        """The certified root of the checkpoint's state."""
        if top.own.header.height != self._height:
            raise _wrong("the header is not the checkpoint's")
        for proof in (top.own, *top.between, top.carrier):
            client = advance(client, proof)
        carrier = top.carrier.header
        if (carrier.height, carrier.checkpoint_height) != (self._height + self._interval, self._height):
            raise _wrong("the last header does not carry the checkpoint's root")
        try:
            tree = GrowingTree(self._height, top.peaks)
        except LocalMisuse as error:
            raise _wrong(error.message) from error
        if tree.root() != top.own.header.history_root:
            raise _wrong("the history's peaks do not give the header's root")
        return carrier.checkpoint_root

    # --- leaves and state -------------------------------------------------------------------------------------------

    async def _get(self, part: Part, number: int, key: bytes = b"") -> bytes:
        answer = await self._ask(encode(SnapshotWanted(part, self._height, number, key)))
        self.progress.bytes_in += len(answer)
        return answer

    async def _fetch_leaves(self, groups: list[bytes]) -> None:
        number = 0
        while number < BUCKETS:
            page = leaves_codec.decode(await self._get(Part.LEAVES, number))
            size_bytes = sum(len(leaves) for part in page.groups for _, leaves in part.buckets)
            size_bytes += sum(len(part.roots) for part in page.groups)
            if page.next_number <= number or (page.next_number < BUCKETS and size_bytes < PAGE_BYTES):
                raise PeerMisbehaved("a page of leaves is too short", code="snapshot_wrong")
            self.progress.records += await asyncio.to_thread(self._put_page, number, page, groups)
            number = page.next_number

    def _put_page(self, number: int, page: SnapshotLeaves, groups: list[bytes]) -> int:
        """Checks and writes a page of leaves; how many there are in it."""
        batch: dict[bytes, bytes | None] = {}
        count = 0
        for part in page.groups:
            group, first = divmod(number, GROUP_BUCKETS)
            end = min(GROUP_BUCKETS, page.next_number - group * GROUP_BUCKETS)
            if group >= GROUPS or end <= first:
                raise _wrong("a page has groups that were not asked for")
            buckets, found = self._check_buckets(group, first, end, dict(part.buckets))
            roots = part.roots if first or end < GROUP_BUCKETS else b"".join(found)
            known = [roots[i : i + HASH_BYTES] for i in range(0, len(roots), HASH_BYTES)]
            if len(known) != GROUP_BUCKETS or root_of_hashes(known) != groups[group]:
                raise _wrong(f"the bucket roots of group {group} do not give its root")
            if known[first:end] != found:
                raise _wrong(f"the buckets of group {group} do not give their roots")
            batch.update(buckets)
            count += sum(len(leaves) for leaves in buckets.values()) // ENTRY_BYTES
            if roots != EMPTY_GROUP:
                batch[version_key(group_prefix(group), self._height)] = roots
            number = group * GROUP_BUCKETS + end
        if number != page.next_number:
            raise _wrong("a page of leaves lacks groups")
        self._store.write(batch, sync=False)
        return count

    def _check_buckets(
        self, group: int, first: int, end: int, buckets: dict[int, bytes]
    ) -> tuple[dict[bytes, bytes], list[bytes]]:
        """Records of some buckets of a group, and the leaf hashes of the roots that they give."""
        if any(not first <= place < end for place in buckets):
            raise _wrong(f"a page of group {group} has buckets that were not asked for")
        batch: dict[bytes, bytes] = {}
        roots: list[bytes] = []
        for place in range(first, end):
            leaves = buckets.get(place, b"")
            if not leaves:
                roots.append(EMPTY_BUCKET_LEAF)
                continue
            if len(leaves) % ENTRY_BYTES:
                raise _wrong("a bucket's leaves are 64 bytes each")
            found = list(entries(leaves))
            prefix = bytes((group, place))
            if any(a >= b for a, b in pairwise(found)) or any(leaf[:2] != prefix for leaf in found):
                raise _wrong(f"the leaves of bucket {place} of group {group} are not sorted, or another bucket's")
            roots.append(bucket_leaf(found))
            batch[version_key(bucket_prefix(group * GROUP_BUCKETS + place), self._height)] = leaves
        return batch, roots

    async def _fetch_state(self) -> None:
        """Every key and value: as many as there are leaves, ascending, each of them one of the leaves."""
        progress = self.progress
        after = b""
        coming = asyncio.ensure_future(self._get(Part.STATE, 0, b""))
        try:
            while True:
                page = state_codec.decode(await coming)
                size_bytes = sum(len(key) + len(value) for key, value in page.pairs)
                if not page.last:
                    if size_bytes < PAGE_BYTES:
                        raise PeerMisbehaved("a page of the state is too short", code="snapshot_wrong")
                    # The next page travels while this one is checked.
                    coming = asyncio.ensure_future(self._get(Part.STATE, 0, page.pairs[-1][0] + b"\x00"))
                await asyncio.to_thread(self._put_state, after, page.pairs)
                if progress.installed > progress.records:
                    raise _wrong("the state has more records than leaves")
                if page.last:
                    break
                after = page.pairs[-1][0]
        finally:
            coming.cancel()
        if progress.installed != progress.records:
            raise _wrong(f"{progress.records - progress.installed} records of the state are missing")

    def _put_state(self, after: bytes, pairs: tuple[tuple[bytes, bytes], ...]) -> None:
        get, height = self._store.get, self._height
        batch: dict[bytes, bytes | None] = {}
        for key, value in pairs:
            if key <= after:
                raise _wrong("the keys of the state do not ascend")
            after = key
            name = key_hash(key)
            leaves = get(version_key(bucket_prefix(int.from_bytes(name[:2], "big")), height)) or b""
            if name + leaf_hash(change_leaf(key, value)) not in _leaves_near(leaves, name):
                raise _wrong(f"state key {key[:64].hex()} is not what the checkpoint says")
            batch[Kind.STATE + key] = value
            if key[:1] == UTXO_PREFIX:
                batch[lock_index_prefix(_output_codec.decode(value).lock) + key[1:]] = b""
        self._store.write(batch, sync=False)
        self.progress.installed += len(pairs)

    def _finish(self, first: Header, top: SnapshotTop, root: bytes) -> None:
        """Everything beside the state, and at last what makes it a chain: only a finished store opens as one."""
        height, header = self._height, top.own.header
        name = block_id(header)
        history = GrowingTree(height, top.peaks)
        batch: dict[bytes, bytes | None] = {
            height_key(Kind.BLOCK, 0): encode((first, None)),
            Kind.BLOCK_INDEX + block_id(first): bytes(8),
            height_key(Kind.BLOCK, height): encode((header, top.own.certificate)),
            Kind.BLOCK_INDEX + name: height.to_bytes(8, "big"),
            top_key(height): top.groups,
            PROGRESS_KEY: encode((self._interval, height, root, 0)),
            BASE_KEY: height.to_bytes(8, "big"),
            RETAINED_KEY: (height + 1).to_bytes(8, "big"),
        }
        for proof in self.progress.epochs:
            place = proof.header.height
            batch[height_key(Kind.BLOCK, place)] = encode((proof.header, proof.certificate))
            batch[Kind.BLOCK_INDEX + block_id(proof.header)] = place.to_bytes(8, "big")
        peaks, offset = list(top.peaks), 0
        for level in reversed(range(height.bit_length())):
            if height >> level & 1:
                batch[history_key(level, offset >> level)] = peaks.pop(0)
                offset += 1 << level
        batch.update(history_nodes(history, leaf_hash(name)))
        self._store.write(batch, sync=True)
        self._store.write(
            {
                FORMAT_KEY: encode(Format(FORMAT_VERSION, self._genesis.chain_id, self._genesis.hash)),
                TIP_KEY: encode((height, name)),
            },
            sync=True,
        )


def _leaves_near(leaves: bytes, name: bytes) -> tuple[bytes, ...]:
    """The leaf of that key hash, if there is one; leaves are sorted."""
    low, high = 0, len(leaves) // 64
    while low < high:
        middle = (low + high) // 2
        if leaves[middle * 64 : middle * 64 + 32] < name:
            low = middle + 1
        else:
            high = middle
    return (leaves[low * 64 : low * 64 + 64],)


def _wrong(why: str) -> InvalidProof:
    return InvalidProof(why, code="snapshot_wrong")
