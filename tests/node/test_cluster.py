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
