"""/livez and /readyz: each reason when it holds, and not otherwise."""

from __future__ import annotations

import asyncio
from pathlib import Path
from time import perf_counter
from typing import Any

from node.liveness import STUCK_S, Liveness
from node.observability import health as module
from node.observability.health import Health
from tests.node.cluster import Cluster, running
from tests.node.observability.watched import source_of, sources_of


def health_of(*cores: Any, **more: Any) -> Health:
    health = Health(sources_of(*(source_of(core) for core in cores), **more))
    health.started = True
    return health


def codes(reasons: list[module.Reason]) -> list[str]:
    assert all(reason.words for reason in reasons)
    return [reason.code for reason in reasons]


async def test_node_is_ready_and_alive_when_all_is_well() -> None:
    async with running(Cluster(3)) as cluster:
        health = health_of(cluster.core(0))
        await cluster.wait(lambda: not health.why_not_ready())
        assert health.why_dead() == []


async def test_lone_validator_is_ready_when_it_is_its_own_quorum() -> None:
    async with running(Cluster(1)) as cluster:
        assert health_of(cluster.core(0)).why_not_ready() == []


async def test_reason_is_starting_when_the_nodes_are_not_up() -> None:
    async with running(Cluster(1)) as cluster:
        health = health_of(cluster.core(0))
        health.started = False
        assert codes(health.why_not_ready()) == ["starting"]


async def test_reason_is_draining_when_the_daemon_was_asked_to_stop() -> None:
    async with running(Cluster(1)) as cluster:
        health = health_of(cluster.core(0))
        health.draining = True
        assert codes(health.why_not_ready()) == ["draining"]


async def test_reason_is_no_quorum_when_too_few_validators_are_heard() -> None:
    async with running(Cluster(4)) as cluster:
        health = health_of(cluster.core(0))
        await cluster.wait(lambda: not health.why_not_ready())
        await cluster.stop(3)
        await cluster.wait(lambda: not health.why_not_ready())  # three of four are enough
        await cluster.stop(2)
        await cluster.wait(lambda: codes(health.why_not_ready()) == ["no_quorum"])
        assert "3 of 4" in health.why_not_ready()[0].words
        assert health.why_dead() == []  # a restart would not bring them back


async def test_reason_is_no_peers_when_an_observer_hears_nobody() -> None:
    cluster = Cluster(2, validators=1)
    async with running(cluster, 1):
        health = health_of(cluster.core(1))
        assert codes(health.why_not_ready()) == ["no_peers"]
        await cluster.start(0)
        await cluster.wait(lambda: not health.why_not_ready())


async def test_reason_is_behind_when_peers_are_far_ahead() -> None:
    async with running(Cluster(2, validators=1)) as cluster:
        core = cluster.core(1)
        health = health_of(core)
        await cluster.wait(lambda: not health.why_not_ready())
        (peer,) = core.transport.peers()
        core.synchroniser._claims[peer] = core.chain.tip.height + 1
        assert health.why_not_ready() == []  # a block ahead: its votes travel
        core.synchroniser._claims[peer] = core.chain.tip.height + module.BEHIND_BLOCKS
        assert codes(health.why_not_ready()) == ["behind"]


async def test_reason_is_observing_when_a_validator_has_lost_its_signatures() -> None:
    cluster = Cluster(4, empty_block_ms=100)
    async with running(cluster):
        await cluster.wait_height(2)
        await cluster.stop(3)
        member = cluster.members[3]
        member.signer_log.records.clear()
        member.signer_log_exists = False
        core = await cluster.start(3)
        assert core.driver.observing
        health = health_of(core)
        assert "observing" in codes(health.why_not_ready())
        reason = next(reason for reason in health.why_not_ready() if reason.code == "observing")
        assert "signer_state_lost" in reason.words
        assert health.why_dead() == []


async def test_reasons_name_the_chain_when_one_of_two_is_not_ready() -> None:
    async with running(Cluster(1)) as first, running(Cluster(2), 0) as second:
        sources = sources_of(source_of(first.core(0), "business"), source_of(second.core(0), "supervision"))
        health = Health(sources)
        health.started = True
        (reason,) = health.why_not_ready()
        assert (reason.code, reason.chain) == ("no_quorum", "supervision")


async def test_reason_is_write_stuck_when_a_block_or_vote_does_not_reach_the_disk() -> None:
    async with running(Cluster(2), 0) as cluster:
        core = cluster.core(0)
        health = health_of(core)
        core.chain.writing_since_s = perf_counter() - module.STUCK_S / 2
        assert health.why_dead() == []
        core.chain.writing_since_s = perf_counter() - 2 * module.STUCK_S
        assert codes(health.why_dead()) == ["write_stuck"]
        core.driver.syncing_since_s = perf_counter() - 2 * module.STUCK_S
        assert codes(health.why_dead()) == ["write_stuck", "write_stuck"]
        assert "signer log" in health.why_dead()[1].words


async def test_reason_is_disk_stuck_when_the_probe_hangs(tmp_path: Path) -> None:
    async with running(Cluster(1)) as cluster:
        writes = Liveness(tmp_path)
        health = health_of(cluster.core(0), writes=writes)
        assert health.why_dead() == []
        writes._began = asyncio.get_running_loop().time() - 2 * STUCK_S
        assert codes(health.why_dead()) == ["disk_stuck"]
