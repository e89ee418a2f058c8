"""A new node takes a checkpoint's state from peers that may lie, and computes the same roots from then on."""

from __future__ import annotations

import pytest

from ledger.block import block_id
from ledger.chain_store import ChainStore
from ledger.errors import NotFound
from ledger.state_root import state_root
from ledger.store import Kind
from ledger.transaction import Transaction
from node.chain import LOCK_INDEX, Chain
from node.data.joining import Joined, Joiner
from tests.node.cluster import MemoryDisk
from tests.node.data.grown import INTERVAL, Answering, Grown, small


class World:
    """A grown chain, peers, and the store of a node that joins."""

    def __init__(self) -> None:
        self.cluster = small()
        self.node = Grown(self.cluster)
        self.peers = Answering()
        self.stores: list[MemoryDisk] = []
        self.joiner = Joiner(self.cluster.genesis, self.peers, self._open, patience_s=0)

    def _open(self) -> MemoryDisk:
        self.stores.append(MemoryDisk())
        return self.stores[-1]

    @property
    def store(self) -> MemoryDisk:
        return self.stores[-1]

    def chain(self) -> Chain:
        return Chain(self.cluster.genesis, self.store)


@pytest.fixture
async def world() -> World:
    made = World()
    await made.node.grow(2 * INTERVAL + 1)
    return made


def recheck(chain: Chain) -> None:
    chain.store.recheck(lambda height: chain.seats_at(height).validators).raise_for_damage()


async def follow(world: World, chain: Chain, above: int) -> None:
    """Imports what the grown node decided meanwhile."""
    store = world.node.chain.store
    for height in range(above + 1, store.height + 1):
        block = store.block(height)
        wires = [Transaction.decode(wire) for wire in store.transactions(height)]
        candidate = await chain.check(block_id(block.header), block, wires)
        await chain.commit(candidate, store.certificate(height))


async def test_a_joined_node_computes_the_same_roots_when_it_goes_on(world: World) -> None:
    world.peers.add("honest", world.node)
    assert await world.joiner.run() == (Joined.SNAPSHOT, INTERVAL)
    chain = world.chain()
    assert chain.tip.height == INTERVAL
    recheck(chain)
    await world.node.grow(3 * INTERVAL)
    await follow(world, chain, INTERVAL)
    assert chain.tip == world.node.chain.tip
    assert state_root(chain.state) == state_root(world.node.chain.state)
    recheck(chain)
    assert chain.store.verify_all(lambda height: chain.seats_at(height).validators).ok
    theirs = dict(world.node.chain.store.store.iterate(LOCK_INDEX))
    assert dict(chain.store.store.iterate(LOCK_INDEX)) == theirs


async def test_what_was_before_the_checkpoint_is_pruned_when_a_node_joined(world: World) -> None:
    world.peers.add("honest", world.node)
    await world.joiner.run()
    chain = world.chain()
    assert (chain.store.retained_height, chain.store.base_height) == (INTERVAL + 1, INTERVAL)
    for read in (chain.store.header, chain.store.transactions, chain.store.receipts, chain.store.block):
        with pytest.raises(NotFound) as caught:
            read(2)
        assert caught.value.code == "pruned"
        assert caught.value.data["retained_height"] == INTERVAL + 1
    assert ChainStore(world.store, chain.chain_id, chain.genesis.hash).height == INTERVAL
    assert not list(world.store.iterate(Kind.RECEIPTS))
