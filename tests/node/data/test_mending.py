"""Damaged data before a node starts: it becomes the truth again, or the node refuses; never anything else."""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from ledger.chain_records import TIP_KEY, height_key
from ledger.encoding import encode
from ledger.errors import StorageFault
from ledger.state_root import state_root
from ledger.store import Kind
from ledger.store_leveldb import LevelStore
from node.chain import Chain
from node.data.mending import DAMAGED, NEW, READY, Place, prepare
from node.wire import RequestKind, blocks_wanted_codec, encode_batch, receipts_wanted_codec
from p2p.transport import PeerId
from tests.node.cluster import MemoryDisk
from tests.node.data.grown import INTERVAL, Answering, Grown, small


class Link(Answering):
    """An overlay to one peer that has everything."""

    def __init__(self, node: Grown) -> None:
        super().__init__()
        self.node = node
        self.add("healthy", node, self._serve)

    async def _serve(self, kind: RequestKind, payload: bytes, honest: Callable) -> bytes:
        store = self.node.chain.store
        if kind is RequestKind.BLOCKS:
            return encode_batch([store.decided_block(blocks_wanted_codec.decode(payload).from_height)])
        if kind is RequestKind.RECEIPTS:
            return encode_batch(store.receipts(receipts_wanted_codec.decode(payload).height))
        return await honest(kind, payload)

    async def __aenter__(self) -> Link:
        return self

    async def __aexit__(self, *_: object) -> None:
        pass

    async def wait_connected(self, timeout_s: float) -> bool:
        return bool(self.connected())


class World:
    """A healthy node, the data directory of another one that has the same chain, and a way between them."""

    def __init__(self, directory: Path) -> None:
        self.cluster = small()
        self.healthy = Grown(self.cluster, MemoryDisk())
        self.directory = directory
        self.links: list[Link] = []

    def place(self, *, peers: bool = True, join: bool = False) -> Place:
        def link() -> Link:
            self.links.append(Link(self.healthy))
            return self.links[-1]

        return Place(self.cluster.genesis, self.directory, link if peers else None, join)  # type: ignore[arg-type]

    @property
    def path(self) -> Path:
        return self.directory / "chain"

    def write(self, batch: dict[bytes, bytes | None]) -> None:
        store = LevelStore(str(self.path))
        store.write(batch)
        store.close()

    def check(self, height: int | None = None) -> None:
        """The data is as the healthy node's up to where it goes, and nothing is left beside it."""
        chain = Chain(self.cluster.genesis, LevelStore(str(self.path), create=False))
        theirs = self.healthy.chain.store
        try:
            assert chain.tip.height == (theirs.height if height is None else height)
            for at in range(max(1, chain.store.retained_height), chain.tip.height + 1):
                assert chain.store.decided_block(at) == theirs.decided_block(at)
                assert chain.store.receipts(at) == theirs.receipts(at)
            assert chain.store.verify_all(lambda at: chain.seats_at(at).validators).ok
            if chain.tip.height == theirs.height:
                assert state_root(chain.state) == state_root(self.healthy.chain.state)
        finally:
            chain.close()
        assert {path.name for path in self.directory.iterdir()} == {"chain"}


@pytest.fixture
async def world(tmp_path: Path) -> World:
    made = World(tmp_path / "data")
    made.directory.mkdir()
    await made.healthy.grow(3 * INTERVAL)
    store = LevelStore(str(made.path))
    for chunk in [dict(made.healthy.chain.store.store.iterate(b""))]:
        store.write(chunk)
    store.close()
    return made


async def test_nothing_is_touched_when_nothing_is_damaged(world: World) -> None:
    assert not await prepare(world.place(peers=False))
    world.check()
    assert not world.links


@pytest.mark.parametrize("kinds", [(Kind.RECEIPTS,), (Kind.TRANSACTIONS,), (Kind.BLOCK,), (Kind.RECEIPTS, Kind.BLOCK)])
async def test_blocks_are_fetched_again_when_their_records_are_lost(world: World, kinds: Sequence[bytes]) -> None:
    world.write({height_key(kind, height): None for kind in kinds for height in (3, 7, 8)})
    assert await prepare(world.place())
    world.check()
    assert world.links


async def test_the_node_refuses_when_a_lost_block_is_nowhere(world: World) -> None:
    world.write({height_key(Kind.RECEIPTS, 7): None})
    with pytest.raises(StorageFault) as caught:
        await prepare(world.place(peers=False))
    assert "no peers are configured" in caught.value.message
    assert "restore" in caught.value.message


async def test_indexes_are_rebuilt_without_peers_when_they_are_lost(world: World) -> None:
    tx_id = world.healthy.chain.store.block(9).refs[:32]
    world.write({Kind.TX_INDEX + tx_id: None})
    assert await prepare(world.place(peers=False))
    world.check()


@pytest.mark.parametrize("lost", ["state", "tip", "history", "changes"])
async def test_the_blocks_are_executed_again_when_the_state_is_damaged(world: World, lost: str) -> None:
    store = world.healthy.chain.store.store
    prefix = {"state": Kind.STATE + b"u", "tip": TIP_KEY, "history": Kind.META + b"history", "changes": Kind.CHANGES}
    keys = [key for key, _ in store.iterate(prefix[lost])]
    world.write({keys[-1]: None})
    assert await prepare(world.place())
    world.check()


async def test_a_state_changed_by_hand_is_made_again_when_its_checksum_fits(world: World) -> None:
    changes = world.healthy.chain.store.changes(world.healthy.chain.tip.height - 2)
    key = next(key for key, _, deleted in changes if not deleted)
    world.write({Kind.STATE + key: b"money"})
    assert await prepare(world.place(peers=False))  # its own blocks are enough
    world.check()


async def test_the_last_blocks_come_from_peers_when_a_block_among_them_cannot_be_executed(world: World) -> None:
    world.write({TIP_KEY: None, height_key(Kind.TRANSACTIONS, 6): b"\xc1"})
    assert await prepare(world.place())
    world.check(5)  # the rest is synchronised as the node runs


@pytest.mark.parametrize("kind", [Kind.RECEIPTS, Kind.TRANSACTIONS, Kind.BLOCK])
async def test_the_node_starts_one_block_lower_when_the_last_block_is_damaged(world: World, kind: bytes) -> None:
    tip = world.healthy.chain.tip.height
    world.write({height_key(kind, tip): None})
    assert await prepare(world.place())
    world.check(tip if kind == Kind.RECEIPTS else tip - 1)  # what executes makes its receipts itself


async def test_a_lone_node_does_not_begin_again_lower_when_its_blocks_are_lost(world: World) -> None:
    world.write({TIP_KEY: None, height_key(Kind.TRANSACTIONS, 6): b"\xc1"})
    with pytest.raises(StorageFault):
        await prepare(world.place(peers=False))
    assert world.path.exists()


async def test_a_joined_node_takes_another_snapshot_when_its_state_is_damaged(world: World) -> None:
    shutil.rmtree(world.path)
    assert await prepare(world.place(join=True))
    world.check(2 * INTERVAL)
    keys = [key for key, _ in world.healthy.chain.store.store.iterate(Kind.STATE + b"u")]
    world.write({keys[0]: None, TIP_KEY: None})
    assert await prepare(world.place())
    # Its peer has every block, and nobody has asked for a snapshot: it synchronises from the first one.
    assert not world.path.exists()


@pytest.mark.parametrize("moment", [NEW, READY, DAMAGED])
async def test_what_a_crash_left_is_finished_or_removed_when_the_node_starts(world: World, moment: str) -> None:
    if moment == READY:
        # Between the two renames: the damaged store has gone, the new one is not in its place yet.
        world.path.rename(world.directory / READY)
        (world.directory / DAMAGED).mkdir()
    else:
        shutil.copytree(world.path, world.directory / moment)
    await prepare(world.place(peers=False))
    world.check()


@pytest.mark.parametrize("seed", range(12))
async def test_the_truth_or_a_typed_error_when_any_file_is_damaged(world: World, seed: int) -> None:
    moments = random.Random(seed)
    files = sorted(path for path in world.path.iterdir() if path.stat().st_size)
    for file in moments.sample(files, moments.randint(1, 2)):
        data = bytearray(file.read_bytes())
        match moments.choice(["flip", "flip", "cut", "delete"]):
            case "flip":
                for _ in range(moments.randint(1, 8)):
                    data[moments.randrange(len(data))] ^= moments.randrange(1, 256)
                file.write_bytes(data)
            case "cut":
                file.write_bytes(data[: moments.randrange(len(data))])
            case _:
                file.unlink()
    try:
        await prepare(world.place(), scan_all=True)
    except StorageFault:
        return  # it refuses; a node that starts has the truth
    if world.path.exists():
        chain = Chain(world.cluster.genesis, LevelStore(str(world.path), create=False))
        height = chain.tip.height
        chain.close()
        world.check(height)


async def test_a_peer_that_sends_another_block_is_refused_when_one_is_fetched_again(world: World) -> None:
    world.write({height_key(Kind.RECEIPTS, 7): None})
    place = world.place()
    made = place.link

    def link() -> Link:
        assert made is not None
        both = made()

        async def lying(kind: RequestKind, payload: bytes) -> bytes:
            if kind is RequestKind.RECEIPTS:
                return encode([b"paid"])
            return await both._serve(kind, payload, both.node.answer)

        both.serving = {PeerId("a liar"): lying, **both.serving}
        return both

    assert await prepare(Place(place.genesis, place.directory, link, join=False))  # type: ignore[arg-type]
    world.check()
    assert [peer for peer, _ in world.links[0].penalised] == ["a liar"]
