"""Hostile members of a network: bad gossip, and a proposer that spoils other people's transactions."""

from __future__ import annotations

import pytest

from ledger.block import receipt_codec
from ledger.transaction import Transaction, assemble
from node.wire import Topic, encode_batch
from tests.node.bare import Bare
from tests.node.cluster import Cluster, running
from tests.node.test_intake import forged


@pytest.mark.parametrize("kind", ["forged", "rubbish"])
async def test_network_drops_the_liar_and_goes_on_when_a_member_gossips_bad_transactions(kind: str) -> None:
    async with running(Cluster()) as cluster:
        await cluster.wait(lambda: all(len(cluster.core(i).transport.peers()) == 3 for i in range(4)))
        liar = cluster.core(3)
        lost: list[str] = []
        disconnected = liar.peers.on_disconnected
        liar.peers.on_disconnected = lambda peer, reason: (lost.append(peer), disconnected(peer, reason))[1]
        payload = encode_batch([forged(cluster.transfer(3, 3, 5)).wire]) if kind == "forged" else b"\xc1"
        liar.gossip.publish(Topic.TRANSACTIONS, payload)
        await cluster.wait(lambda: len(set(lost)) == 3)
        outcome = await cluster.core(0).gateway.submit_and_wait(cluster.transfer(0, 1, 5), 20)
        assert outcome.status == "committed"


async def test_gossip_of_good_transactions_reaches_everybody_when_a_liar_sits_in_between() -> None:
    async with running(Cluster(links=[(0, 1), (1, 2), (2, 3), (3, 0)])) as cluster:
        await cluster.wait(lambda: all(len(cluster.core(i).transport.peers()) == 2 for i in range(4)))
        good = cluster.transfer(0, 1, 5)
        # The liar passes the same transaction on with a broken witness, before the good one can arrive.
        cluster.core(1).gossip.publish(Topic.TRANSACTIONS, encode_batch([forged(good).wire]))
        assert (await cluster.core(0).gateway.submit_and_wait(good, 20)).status == "committed"
        for index in range(4):
            assert (await cluster.core(index).gateway.wait(good.tx_id, 20)).status == "committed"


def _stripped(transaction: Transaction) -> Transaction:
    return assemble(transaction.body, [])


@pytest.mark.xfail(
    strict=True,
    reason="contracts/executor.py: a witness that misses signatures makes a refused receipt, not an invalid block",
)
async def test_transaction_can_still_be_committed_when_a_proposer_included_it_without_its_signatures() -> None:
    node = Bare()
    good = node.pay()
    committed = await node.commit(_stripped(good))
    assert receipt_codec.decode(committed.candidate.result.receipts[0]).code != "ok"
    await node.gateway.submit(Transaction.decode(good.wire))
    await node.commit()
    assert (await node.gateway.outcome(good.tx_id)).status == "committed"
