"""Whole networks whose validators come and go: nobody restarts, nothing stops, every height has its own set."""

from __future__ import annotations

import pytest

from consensus.messages import Commit, encode_message
from consensus.verify import signed_bytes
from contracts.codes import Refusal
from ledger.errors import InvalidInput
from ledger.keys import SigningKey
from ledger.types import Height
from node.chain import Chain
from p2p.gossip import Verdict
from tests.node.cluster import Cluster, running
from tests.node.sets import (
    PATIENCE_S,
    assert_certified,
    assert_one_chain,
    change,
    seated,
    set_parameters,
    signers,
    transfers,
)
from tests.node.test_driver import FAST

STEADY = {"base_timeout_ms": 20_000, "max_timeout_ms": 60_000, "empty_block_ms": 3_600_000}
"""A block only for a transaction, no later round however busy the machine is: the tip stays where a test puts it."""


async def commit(cluster: Cluster, via: int, number: int) -> int:
    """Height at which a coin of ``via`` moves, at its own node."""
    transaction = cluster.transfer(via, via, 5, cluster.genesis_output(via, number))
    outcome = await cluster.core(via).gateway.submit_and_wait(transaction, PATIENCE_S)
    assert outcome.status == "committed"
    return outcome.height


async def assert_signing(cluster: Cluster, member: int, others: set[int]) -> None:
    """Stops one of the ``others``, so that nothing is decided without ``member``; it is, by exactly those who are left.

    The set is of four or five: all but one have to sign.
    """
    away = min(others)
    await cluster.stop(away)
    height = await commit(cluster, member, 9)
    sealing = {cluster.members[index].validator.public for index in {member, *others} - {away}}
    assert signers(cluster.core(member).chain, height) == sealing


# --- live -------------------------------------------------------------------------------------------------------------


async def test_set_grows_to_seven_and_shrinks_to_four_others_while_transfers_commit() -> None:
    async with running(Cluster(7, validators=1, **FAST, empty_block_ms=300)) as cluster:
        async with transfers(cluster, 0, 3, 6) as acknowledged:
            first = await change(cluster, 0, add=[1, 2, 3])
            await cluster.wait_height(first, seconds=PATIENCE_S)
            second = await change(cluster, 3, add=[4, 5, 6])
            await cluster.wait_height(second, seconds=PATIENCE_S)
            third = await change(cluster, 6, remove=[0, 1, 2])
            await cluster.wait_height(third + 2, seconds=PATIENCE_S)
        assert [len(seated(cluster, 0, height)) for height in (first - 1, first, second - 1, second)] == [1, 4, 4, 7]
        assert seated(cluster, 5, third) == {3, 4, 5, 6}
        await assert_one_chain(cluster, third)
        for node in cluster.nodes.values():
            for tx_id in acknowledged:
                assert (await node.core.gateway.outcome(tx_id)).status == "committed"
        assert len(acknowledged) >= 3


async def test_newcomer_signs_and_the_one_who_left_does_not_any_more() -> None:
    async with running(Cluster(5, validators=4, **FAST)) as cluster:
        since = await change(cluster, 0, add=[4], remove=[0])
        await commit(cluster, 0, 0)
        await cluster.wait_height(since - 1, seconds=PATIENCE_S)
        await assert_signing(cluster, 4, {1, 2, 3})
        await assert_one_chain(cluster)


async def test_validator_that_left_serves_blocks_and_takes_transactions() -> None:
    # The newcomer is connected to the one that has left, and to nobody else.
    links = [(a, b) for a in range(5) for b in range(a + 1, 5)] + [(0, 5)]
    cluster = Cluster(6, validators=4, links=links, **FAST, empty_block_ms=300)
    async with running(cluster, 0, 1, 2, 3, 4):
        await change(cluster, 0, add=[4])
        left = await change(cluster, 0, remove=[0])
        await cluster.wait_height(left + 1, seconds=PATIENCE_S)
        await change(cluster, 1, remove=[1])
        await change(cluster, 0, add=[1])
        height = await commit(cluster, 0, 1)
        assert seated(cluster, 2, height) <= {1, 2, 3, 4}
        await cluster.start(5)
        await cluster.wait_height(height, [5], seconds=PATIENCE_S)
        assert (
            cluster.core(5).transport.peers() == [cluster.members[0].transport.peer_id]
            or len(cluster.core(5).transport.peers()) == 1
        )
        after = await commit(cluster, 5, 0)
        await assert_one_chain(cluster, after)


async def test_newcomer_from_nothing_becomes_validator_after_it_caught_up_over_many_sets() -> None:
    async with running(Cluster(5, validators=2, **FAST, empty_block_ms=300), 0, 1, 2, 3) as cluster:
        for add, remove in (([2], []), ([3], [0]), ([0], [2]), ([2], [])):
            await change(cluster, 3, add=add, remove=remove)
        height = await commit(cluster, 0, 0)
        await cluster.start(4)
        await cluster.wait_height(height, [4], seconds=PATIENCE_S)
        since = await change(cluster, 4, add=[4])
        await cluster.wait_height(since, seconds=PATIENCE_S)
        await assert_signing(cluster, 4, {0, 1, 2, 3})
        await assert_one_chain(cluster)


async def test_single_validator_hands_over_to_another() -> None:
    async with running(Cluster(2, validators=1, **FAST, empty_block_ms=300)) as cluster:
        since = await change(cluster, 0, add=[1], remove=[0])
        await cluster.wait_height(since, seconds=PATIENCE_S)
        await cluster.stop(0)
        height = await commit(cluster, 1, 0)
        assert signers(cluster.core(1).chain, height) == {cluster.members[1].validator.public}
        await cluster.start(0)
        await assert_one_chain(cluster, height)


async def test_set_survives_a_newcomer_that_is_offline_and_takes_it_in_when_it_comes() -> None:
    async with running(Cluster(5, validators=4, **FAST, empty_block_ms=300), 0, 1, 2, 3) as cluster:
        since = await change(cluster, 0, add=[4])
        await cluster.wait_height(since + 3, seconds=PATIENCE_S)  # four of five decide, in a later round at times
        await cluster.start(4)
        await cluster.wait_height(since + 3, [4], seconds=PATIENCE_S)
        await assert_signing(cluster, 4, {0, 1, 2, 3})
        await assert_one_chain(cluster)


# --- in the middle of a change ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("blocks", [0, 1, 2])
async def test_all_nodes_restart_so_many_blocks_after_a_change_was_decided(blocks: int) -> None:
    async with running(Cluster(5, validators=4, **STEADY)) as cluster:
        since = await change(cluster, 0, add=[4], remove=[0])
        for number in range(blocks):
            await commit(cluster, 1, number)
        await cluster.wait(lambda: {node.height for node in cluster.nodes.values()} == {since - 2 + blocks}, PATIENCE_S)
        for index in range(5):
            await cluster.stop(index)
        for index in range(5):
            await cluster.start(index)
            assert_certified(cluster.core(index).chain)
            assert (seated(cluster, index, since - 1), seated(cluster, index, since)) == ({0, 1, 2, 3}, {1, 2, 3, 4})
        height = since - 2 + blocks
        for number in range(3):
            assert await commit(cluster, 4, number) == height + 1 + number
        await assert_one_chain(cluster)


async def test_votes_of_another_epoch_and_of_those_who_left_count_for_nothing() -> None:
    async with running(Cluster(5, validators=4, **STEADY)) as cluster:
        since = await change(cluster, 0, add=[4], remove=[0])
        await cluster.wait_height(since - 2, seconds=PATIENCE_S)
        core, chain = cluster.core(1), cluster.core(1).chain
        left, stays, comes = (cluster.members[index].validator for index in (0, 2, 4))
        # The tip is since − 2: the last height of the old set is being decided, the first of the new one comes next.
        assert core.driver.votes.on_vote(_vote(chain, left, since - 1, 0)) is Verdict.ACCEPT
        assert core.driver.votes.on_vote(_vote(chain, comes, since, 1)) is Verdict.ACCEPT
        for key, height, epoch, code in (
            (comes, since - 1, 0, "signer_unknown"),
            (comes, since - 1, 1, "signer_unknown"),
            (left, since, 0, "signer_unknown"),
            (left, since, 1, "signer_unknown"),
            (stays, since - 1, 1, "epoch_wrong"),
            (stays, since, 0, "epoch_wrong"),
        ):
            with pytest.raises(InvalidInput) as refused:
                core.driver.votes.on_vote(_vote(chain, key, height, epoch))
            assert refused.value.code == code
        assert core.driver.votes.on_vote(_vote(chain, stays, since + 1, 1)) is Verdict.LATER
        for number in range(3):
            await commit(cluster, 3, number)
        await cluster.wait_height(since + 1, seconds=PATIENCE_S)
        # Said again after the change, of heights before it: nobody hears it, and nobody is blamed for it.
        assert core.driver.votes.on_vote(_vote(chain, left, since - 1, 0)) is Verdict.IGNORE
        with pytest.raises(InvalidInput) as refused:
            core.driver.votes.on_vote(_vote(chain, left, since + 2, 1))
        assert refused.value.code == "signer_unknown"
        await assert_one_chain(cluster)


def _vote(chain: Chain, key: SigningKey, height: int, epoch: int) -> bytes:
    # Of a round that nobody gets to: it contradicts nothing that the honest owner of the key says.
    unsigned = Commit(height, 50, epoch, key.public, bytes(65), b"b" * 32)
    signature = key.sign(signed_bytes(unsigned, chain.chain_id))
    return encode_message(Commit(height, 50, epoch, key.public, signature, b"b" * 32))


# --- parameters -------------------------------------------------------------------------------------------------------


async def test_parameters_reach_consensus_with_the_height_that_they_hold_for() -> None:
    async with running(Cluster(4, **STEADY)) as cluster:
        since = await set_parameters(cluster, 0, base_timeout_ms=700, max_timeout_ms=900, empty_block_ms=400)
        await commit(cluster, 0, 0)
        await cluster.wait_height(since - 1, seconds=PATIENCE_S)
        # Without any transaction: empty blocks come by themselves now.
        await cluster.wait_height(since + 2, seconds=PATIENCE_S)
        for node in cluster.nodes.values():
            assert node.core.chain.parameters.base_timeout_ms == 700
            assert node.core.driver._state.parameters.max_timeout_ms == 900
            assert node.core.chain.next_parameters == node.core.chain.parameters
        await assert_one_chain(cluster)


async def test_parameters_are_the_same_after_a_restart_between_decision_and_force() -> None:
    async with running(Cluster(1, **STEADY)) as cluster:
        since = await set_parameters(cluster, 0, max_block_transactions=1)
        assert cluster.nodes[0].height == since - 2
        await cluster.stop(0)
        chain = (await cluster.start(0)).chain
        assert (chain.parameters.max_block_transactions, chain.next_parameters.max_block_transactions) == (2_048, 1)
        await commit(cluster, 0, 0)
        assert chain.parameters.max_block_transactions == 1
        sent = [cluster.transfer(0, 0, 3, cluster.genesis_output(0, number)) for number in range(1, 4)]
        for transaction in sent:
            await cluster.core(0).gateway.submit(transaction)
        outcomes = [await cluster.core(0).gateway.wait(transaction.tx_id, PATIENCE_S) for transaction in sent]
        assert sorted(outcome.height for outcome in outcomes) == [since, since + 1, since + 2]


async def test_proposal_of_what_is_decided_already_changes_nothing() -> None:
    async with running(Cluster(4, **FAST)) as cluster:
        await change(cluster, 0, remove=[3])
        before = cluster.core(0).chain.seats_at(Height(cluster.nodes[0].height + 2))
        with pytest.raises(Refusal) as refused:
            await change(cluster, 0, remove=[3])
        assert refused.value.code == "validators_not_in"
        assert cluster.core(0).chain.seats_at(cluster.nodes[0].height + 2) == before
