"""Contents of old blocks go, what proofs need stays, and who asks hears ``pruned``."""

from __future__ import annotations

import pytest

from ledger.errors import NotFound
from ledger.state_root import state_root
from ledger.store import Kind
from node.chain import Chain
from node.data.pruning import SLICE_BLOCKS, Pruner, least_retained, prunable_to, removal
from tests.node.cluster import MemoryDisk
from tests.node.data.grown import INTERVAL, Grown, small

LEAST = 2 * INTERVAL + 64


@pytest.fixture
async def node() -> Grown:
    return await Grown(small(), MemoryDisk()).grow(LEAST + 30)


async def test_old_contents_go_and_headers_stay_when_a_node_prunes(node: Grown) -> None:
    chain, store = node.chain, node.chain.store
    assert least_retained(chain) == LEAST
    before = state_root(chain.state)
    assert await Pruner(chain, 1).prune() == 31
    assert store.retained_height == 31
    for height in (0, 5, 30):
        assert store.header(height).height == height
        for read in (store.transactions, store.receipts, store.changes, store.block, store.decided_block):
            if height == 0 and read == store.decided_block:
                continue
            with pytest.raises(NotFound) as caught:
                read(height)
            assert caught.value.code == "pruned"
            assert caught.value.data["retained_height"] == 31
    assert store.certificate(5).height == 5
    store.history_inclusion(5, store.height).check(store.header(6).parent, store.tip.header.history_root)
    assert next(key for key, _ in store.store.iterate(Kind.RECEIPTS))[1:] == (31).to_bytes(8, "big")
    assert store.transactions(31) is not None
    assert state_root(chain.state) == before
    assert store.find_transaction(bytes(32)) is None


async def test_a_pruned_chain_is_found_sound_and_goes_on_when_it_is_opened_again(node: Grown) -> None:
    await Pruner(node.chain, 1).prune()
    chain = Chain(node.cluster.genesis, node.chain.store.store)
    assert chain.retained_height == 31
    assert chain.store.recheck(lambda height: chain.seats_at(height).validators, depth=200).ok
    assert chain.store.verify_all(lambda height: chain.seats_at(height).validators).ok
    await node.grow(3)


async def test_nothing_is_dropped_when_everything_is_to_be_kept(node: Grown) -> None:
    assert prunable_to(node.chain, 10_000) == 0
    assert await Pruner(node.chain, 10_000).prune() == 0
    assert node.chain.store.transactions(1)


async def test_a_batch_is_bounded_when_much_is_to_go(node: Grown) -> None:
    batch = removal(node.chain.store, 90)
    assert len(batch) == 3 * SLICE_BLOCKS + 1
    assert node.chain.store.retained_height == SLICE_BLOCKS


async def test_a_transaction_of_a_pruned_block_is_pruned_not_unknown_when_it_is_asked_for(node: Grown) -> None:
    tx_id = node.chain.store.block(3).refs[:32]
    await Pruner(node.chain, 1).prune()
    with pytest.raises(NotFound) as caught:
        await node.gateway.transaction(tx_id)
    assert caught.value.code == "pruned"
