"""Data over the years, with real daemons: joined from a snapshot, pruned, mended."""

from __future__ import annotations

import random
import shutil

import pytest

from ledger.errors import NotFound
from ledger.genesis import Parameters
from node.client import Client
from node.network_file import NetworkNode
from tests.functional.conftest import Start
from tests.functional.daemons import log_lines, wait_logged
from tests.functional.load import (
    Load,
    add_config,
    ask,
    assert_agreement,
    assert_equal_states,
    chain_goes_on,
    height_of,
    wait_height,
)

pytestmark = pytest.mark.functional

INTERVAL = 8
QUICK = Parameters(empty_block_ms=300, max_timeout_ms=8_000, checkpoint_interval=INTERVAL)
ALL_RUN = ("node0", "node1", "node2", "node3")


async def assert_equal_ends(nodes: list[NetworkNode], first: int) -> None:
    """Every node has the same blocks from ``first`` on."""
    last = min([await height_of(node) for node in nodes])
    found = [await ask(node, "block.get", ({"height": height} for height in range(first, last + 1))) for node in nodes]
    told = [[(block["block_id"], block["transactions"], block["receipts"]) for block in blocks] for blocks in found]
    assert all(chain == told[0] for chain in told)


async def test_a_node_joins_from_a_snapshot_and_its_vote_counts_when_the_chain_goes_on(start: Start, seed: int) -> None:
    async with start(parameters=QUICK, observers=1, run=ALL_RUN) as devnet:
        nodes = devnet.network.nodes
        load = Load(devnet.network, seed, at=ALL_RUN)
        async with load.running():
            await load.wait_more(40)
            await wait_height(nodes[:4], 3 * INTERVAL)
            # A new observer, and a validator that has lost its disk: both get the state while the others go on.
            await devnet.stop(["node3"])
            shutil.rmtree(nodes[3].home / "data")
            for node in (nodes[3], nodes[4]):
                add_config(node, "[storage]\njoin_from_snapshot = true\n")
                await devnet.start_one(node.name)
            await load.wait_more(40)
        joined = [(await wait_logged(node, "snapshot_joined"))["height"] for node in (nodes[3], nodes[4])]
        assert all(height > 0 and height % INTERVAL == 0 for height in joined)
        await wait_height(nodes, max([await height_of(node) for node in nodes]))
        await assert_equal_ends(list(nodes), max(joined) + 1)
        await assert_equal_states(nodes)
        async with Client(nodes[4].socket) as client:
            with pytest.raises(NotFound) as caught:
                await client.call("block.get", {"height": 1})
            assert caught.value.code == "pruned"
        # Without one of the others the rejoined validator's signature is needed.
        await wait_logged(nodes[3], "signing_again") if any(
            line["event"] == "observing" for line in log_lines(nodes[3])
        ) else None
        await devnet.stop(["node0"])
        await chain_goes_on(nodes[1:4], 2)


async def test_a_node_that_is_too_far_behind_joins_anew_when_all_others_have_pruned(start: Start, seed: int) -> None:
    async with start(parameters=QUICK, observers=1) as devnet:
        nodes = devnet.network.nodes
        await wait_height(nodes, 2)
        await devnet.stop([node.name for node in nodes])
        for node in nodes[:4]:
            add_config(node, "[storage]\nretain_blocks = 1\n")
        add_config(nodes[4], "[storage]\njoin_from_snapshot = true\n")
        await devnet.start(list(ALL_RUN))
        load = Load(devnet.network, seed, at=ALL_RUN)
        async with load.running():
            await load.wait_more(40)
        await wait_height(nodes[:4], 2 * INTERVAL + 64 + 25)
        await wait_logged(nodes[0], "blocks_pruned")
        await devnet.start_one("node4")
        joined = await wait_logged(nodes[4], "snapshot_joined")
        await wait_height(nodes, joined["height"] + 2 * INTERVAL)
        await assert_equal_states(nodes)


async def test_a_damaged_block_is_refused_and_fetched_again_when_it_is_read(start: Start, seed: int) -> None:
    async with start() as devnet:
        load = Load(devnet.network, seed)
        async with load.running():
            await load.wait_more(60)
        await assert_agreement(load)
        victim = devnet.network.node("node2")
        await devnet.stop([victim.name])
        height = damage_one_block(victim, random.Random(seed))
        await devnet.start_one(victim.name)
        # The last block is decided again with the others; one before it is fetched.
        mended = {"store_rebuilt", "state_executed_again"}
        assert mended & {line["event"] for line in log_lines(victim)}, height
        await assert_agreement(load)


def damage_one_block(victim: NetworkNode, moments: random.Random) -> int:
    """Loses the receipts of a recent block, and puts rubbish where another one's transactions were."""
    from ledger.chain_records import TIP_KEY, height_key, read_tip
    from ledger.store import Kind
    from ledger.store_leveldb import LevelStore

    store = LevelStore(str(victim.home / "data" / "chain"))
    tip, _ = read_tip(store.get(TIP_KEY) or b"")
    height = moments.randrange(max(1, tip - 4), tip + 1)
    store.write({height_key(Kind.RECEIPTS, height): None, height_key(Kind.TRANSACTIONS, height): b"\xc1"})
    store.close()
    return height
