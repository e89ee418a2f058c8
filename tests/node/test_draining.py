"""The orderly end of a node: what it took is finished, and nothing more is taken."""

from __future__ import annotations

import asyncio

import pytest

from ledger.errors import Overloaded
from node.draining import drain, hears_quorum
from tests.node.cluster import Cluster, running

PATIENCE_S = 60.0
LONG_S = 600.0


async def test_what_clients_handed_in_is_in_a_block_when_the_drain_is_over() -> None:
    async with running(Cluster(4)) as cluster:
        await cluster.wait(lambda: hears_quorum(cluster.core(0)), PATIENCE_S)
        core = cluster.core(0)
        transfers = [cluster.transfer(member, 1, 5) for member in (0, 2, 3)]
        waiting = [asyncio.create_task(core.gateway.submit_and_wait(transfer, LONG_S)) for transfer in transfers]
        await cluster.wait(lambda: core.mempool.has_local, PATIENCE_S)
        async with asyncio.timeout(PATIENCE_S):
            assert await drain(core, LONG_S)
            outcomes = await asyncio.gather(*waiting)
        assert [outcome.status for outcome in outcomes] == ["committed"] * 3


async def test_new_work_is_refused_and_known_work_accepted_again_while_it_drains() -> None:
    async with running(Cluster(1)) as cluster:
        core = cluster.core(0)
        committed, late = cluster.transfer(0, 0, 1), cluster.transfer(0, 0, 1, cluster.genesis_output(0, 1))
        await core.gateway.submit_and_wait(committed, PATIENCE_S)
        core.intake.refuse_clients()
        with pytest.raises(Overloaded, match="stopping") as refused:
            core.intake.submit(late)
        assert refused.value.code == "stopping"
        assert refused.value.data["retry_after_ms"] == 1_000
        core.intake.submit(committed)
        (answer,) = await core.intake.submit_many([late.wire])
        assert isinstance(answer, Overloaded)
        assert len(core.mempool) == 0


async def test_what_waits_here_is_accepted_again_while_it_drains() -> None:
    async with running(Cluster(4), 0) as cluster:
        core = cluster.core(0)
        waiting = cluster.transfer(0, 1, 1)
        core.intake.submit(waiting)
        core.intake.refuse_clients()
        core.intake.submit(waiting)
        assert core.mempool.has_local


async def test_peers_work_is_still_taken_while_it_drains() -> None:
    async with running(Cluster(4)) as cluster:
        core = cluster.core(0)
        core.intake.refuse_clients()
        transfer = cluster.transfer(1, 2, 5)
        await cluster.wait(lambda: hears_quorum(core), PATIENCE_S)
        async with asyncio.timeout(PATIENCE_S):
            outcome = await cluster.core(1).gateway.submit_and_wait(transfer, PATIENCE_S)
        assert outcome.status == "committed"
        await cluster.wait_height(outcome.height, [0], PATIENCE_S)


async def test_it_waits_for_nothing_when_no_quorum_is_there() -> None:
    async with running(Cluster(4), 0) as cluster:
        core = cluster.core(0)
        core.intake.submit(cluster.transfer(0, 1, 1))
        assert not hears_quorum(core)
        async with asyncio.timeout(PATIENCE_S):
            assert not await drain(core, LONG_S)


async def test_it_waits_no_longer_when_the_quorum_goes_meanwhile() -> None:
    async with running(Cluster(4), 0, 1, 2) as cluster:
        core = cluster.core(0)
        await cluster.wait(lambda: hears_quorum(core), PATIENCE_S)
        for index in (1, 2):
            await cluster.stop(index)
        core.intake.submit(cluster.transfer(0, 1, 1))
        async with asyncio.timeout(PATIENCE_S):
            assert not await drain(core, LONG_S)


async def test_it_ends_at_once_when_nothing_is_under_way() -> None:
    async with running(Cluster(1, empty_block_ms=3_600_000)) as cluster:
        async with asyncio.timeout(PATIENCE_S):
            assert await drain(cluster.core(0), LONG_S)
        assert cluster.nodes[0].height == 0


async def test_whoever_still_waits_gets_what_is_known_when_the_drain_is_over() -> None:
    async with running(Cluster(4), 0) as cluster:
        core = cluster.core(0)
        here, elsewhere = cluster.transfer(0, 1, 1), cluster.transfer(1, 0, 1)
        for_tx = asyncio.create_task(core.gateway.submit_and_wait(here, LONG_S))
        for_other = asyncio.create_task(core.gateway.wait(elsewhere.tx_id, LONG_S))
        for_block = asyncio.create_task(core.gateway.wait_for_height(9, LONG_S))
        await cluster.wait(lambda: core.mempool.has_local, PATIENCE_S)
        async with asyncio.timeout(PATIENCE_S):
            await drain(core, LONG_S)
            assert (await for_tx).status == "pending"
            assert (await for_other).status == "unknown"
            assert not await for_block
            # Who comes between this and the end is not kept either.
            assert (await core.gateway.wait(here.tx_id, LONG_S)).status == "pending"
            assert not await core.gateway.wait_for_height(9, LONG_S)


async def test_a_service_that_follows_events_sleeps_on_when_the_drain_is_over() -> None:
    async with running(Cluster(1, empty_block_ms=3_600_000)) as cluster:
        core = cluster.core(0)
        seen: set[int] = set()

        async def follow() -> None:
            async for block in core.gateway.events(0):
                seen.add(block.height)

        following = asyncio.create_task(follow())
        await cluster.wait(lambda: seen == {0}, PATIENCE_S)
        await drain(core, LONG_S)
        for _ in range(100):
            await asyncio.sleep(0)  # a follower that spins would never give the loop back
        assert not following.done()
        following.cancel()
        await asyncio.gather(following, return_exceptions=True)
