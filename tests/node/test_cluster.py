"""Whole networks in one process: agreement, relaying, failures, catching up."""

from __future__ import annotations

from ledger.state_root import state_root
from tests.node.cluster import Cluster, running


def roots(cluster: Cluster) -> set[bytes]:
    return {state_root(node.core.chain.store.state) for node in cluster.nodes.values()}


async def test_all_nodes_commit_the_same_transfer() -> None:
    async with running(Cluster()) as cluster:
        transaction = cluster.transfer(0, 1, 250)
        outcome = await cluster.core(2).gateway.submit_and_wait(transaction, 10)
        assert outcome.status == "committed"
        await cluster.wait_height(outcome.height)
        assert len({node.core.chain.store.header(outcome.height) for node in cluster.nodes.values()}) == 1
        assert len(roots(cluster)) == 1


async def test_every_node_of_a_line_gets_everything() -> None:
    async with running(Cluster(links=[(0, 1), (1, 2), (2, 3)])) as cluster:
        sent = [cluster.transfer(0, 3, 10 + i, cluster.genesis_output(0, i)) for i in range(10)]
        for transaction in sent:
            await cluster.core(0).gateway.submit(transaction)
        for index in range(4):
            for transaction in sent:
                outcome = await cluster.core(index).gateway.wait(transaction.tx_id, 20)
                assert outcome.status == "committed"
        await cluster.wait(lambda: len({node.height for node in cluster.nodes.values()}) == 1)
        assert len(roots(cluster)) == 1


async def test_the_chain_goes_on_and_the_node_catches_up_when_one_of_four_is_gone() -> None:
    async with running(Cluster()) as cluster:
        await cluster.core(0).gateway.submit_and_wait(cluster.transfer(0, 1, 1), 10)
        await cluster.stop(3)
        for number in range(1, 6):
            outcome = await cluster.core(0).gateway.submit_and_wait(
                cluster.transfer(0, 1, 5, cluster.genesis_output(0, number)), 20
            )
            assert outcome.status == "committed"
        await cluster.start(3)
        await cluster.wait_height(outcome.height)
        assert len(roots(cluster)) == 1
        last = await cluster.core(3).gateway.submit_and_wait(cluster.transfer(1, 0, 7), 20)
        assert last.status == "committed"


async def test_an_observer_started_from_nothing_catches_up_and_follows() -> None:
    async with running(Cluster(5, validators=4), 0, 1, 2, 3) as cluster:
        for number in range(5):
            outcome = await cluster.core(0).gateway.submit_and_wait(
                cluster.transfer(0, 1, 5, cluster.genesis_output(0, number)), 20
            )
        await cluster.start(4)
        await cluster.wait_height(outcome.height)
        assert len(roots(cluster)) == 1
        after = await cluster.core(4).gateway.submit_and_wait(cluster.transfer(1, 0, 7), 20)
        assert after.status == "committed"


async def test_a_single_validator_makes_blocks_alone() -> None:
    async with running(Cluster(1)) as cluster:
        outcome = await cluster.core(0).gateway.submit_and_wait(cluster.transfer(0, 0, 250), 10)
        assert outcome.status == "committed"
