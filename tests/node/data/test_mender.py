"""A damaged block of a running node: whoever reads it hears so, and it is fetched again."""

from __future__ import annotations

import asyncio

import pytest

from ledger.chain_records import height_key
from ledger.errors import NotFound, StorageFault
from ledger.store import Kind
from node.chain import Chain
from node.data.mender import MAX_WAITING, Mender
from node.data.pruning import Pruner
from node.wire import RequestKind, blocks_wanted_codec, encode_batch, receipts_wanted_codec
from p2p.transport import PeerId
from tests.node.cluster import MemoryDisk
from tests.node.data.grown import INTERVAL, Answering, Grown, small


class World:
    """A node, and one with the same chain of which blocks are damaged."""

    def __init__(self) -> None:
        self.healthy = Grown(small())
        self.store = MemoryDisk()
        self.peers = Answering()
        self.peers.serving[PeerId("healthy")] = self.serve

    async def serve(self, kind: RequestKind, payload: bytes) -> bytes:
        store = self.healthy.chain.store
        if kind is RequestKind.BLOCKS:
            return encode_batch([store.decided_block(blocks_wanted_codec.decode(payload).from_height)])
        return encode_batch(store.receipts(receipts_wanted_codec.decode(payload).height))

    def open(self) -> Chain:
        self.store.write(dict(self.healthy.chain.store.store.iterate(b"")))
        return Chain(self.healthy.cluster.genesis, self.store)


@pytest.fixture
async def world() -> World:
    made = World()
    await made.healthy.grow(2 * INTERVAL)
    return made


@pytest.mark.parametrize("kind", [Kind.RECEIPTS, Kind.TRANSACTIONS, Kind.BLOCK])
async def test_a_read_is_refused_and_the_block_mended_when_a_record_is_lost(world: World, kind: bytes) -> None:
    chain = world.open()
    mender = Mender(chain, world.peers)
    task = asyncio.create_task(mender.run())
    world.store.write({height_key(kind, 3): None})
    with pytest.raises(StorageFault):
        (chain.store.receipts if kind == Kind.RECEIPTS else chain.store.decided_block)(3)
    async with asyncio.timeout(10):
        while not mender.mended:
            await asyncio.sleep(0)
    task.cancel()
    assert chain.store.decided_block(3) == world.healthy.chain.store.decided_block(3)
    assert chain.store.receipts(3) == world.healthy.chain.store.receipts(3)
    assert not mender.waiting


async def test_nothing_is_put_back_when_the_only_peer_lies(world: World) -> None:
    chain = world.open()
    mender = Mender(chain, world.peers)

    async def another(kind: RequestKind, payload: bytes) -> bytes:
        return await world.serve(kind, payload.replace(bytes((3,)), bytes((4,))))

    world.peers.serving = {PeerId("liar"): another}
    world.store.write({height_key(Kind.RECEIPTS, 3): None})
    assert not await mender.mend(3)
    assert [peer for peer, _ in world.peers.penalised] == ["liar"]
    with pytest.raises(StorageFault):
        chain.store.receipts(3)


async def test_a_pruned_block_is_no_damage(world: World) -> None:
    await world.healthy.grow(2 * INTERVAL + 64)
    chain = world.open()
    mender = Mender(chain, world.peers)
    await Pruner(chain, 1).prune()
    with pytest.raises(NotFound):
        chain.store.receipts(3)
    assert not mender.waiting
    assert await mender.mend(3)


async def test_remembered_damage_is_bounded(world: World) -> None:
    mender = Mender(world.open(), world.peers)
    for height in range(-5, 10 * MAX_WAITING):
        mender.on_damage(height)
    assert mender.waiting == 2 * INTERVAL + 1  # no block that there is not


async def test_the_node_stops_to_mend_everything_when_the_genesis_block_is_damaged(world: World) -> None:
    chain = world.open()
    mender = Mender(chain, world.peers)
    world.store.write({height_key(Kind.RECEIPTS, 0): None})
    with pytest.raises(StorageFault):
        chain.store.receipts(0)
    with pytest.raises(StorageFault) as caught:
        await asyncio.wait_for(mender.run(), 10)
    assert "key" in caught.value.data  # by which node.data.starting knows that it is damage
