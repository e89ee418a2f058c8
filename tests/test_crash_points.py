"""Every named crash point exists, and a small run passes it: a point that nothing passes proves nothing."""

from __future__ import annotations

import asyncio
from contextlib import ExitStack
from pathlib import Path
from typing import NoReturn, get_args

import pytest

import node.host
from consensus import effects as fx
from consensus.effects import ObserveReason
from ledger.store_leveldb import LevelStore
from node.core import NodeCore
from node.signer_log import SignerLog
from tests.crash_points import ACTS, POINTS, REPORTS, install
from tests.node.cluster import Cluster
from tests.node.test_cluster_faults import commit, level
from tests.node.test_driver import FAST

SMALL_LOG_BYTES = 2_000


class Crash(BaseException):
    """The process ends here."""


def crash() -> NoReturn:
    raise Crash


class DiskLog:
    """A signer log on a real disk for a member of a memory cluster, opened anew with each start."""

    def __init__(self, directory: Path) -> None:
        directory.mkdir()
        self.directory = directory
        self.log: SignerLog | None = None

    @property
    def records(self) -> list[bytes]:
        self.close()
        self.log = SignerLog(self.directory, bound_bytes=SMALL_LOG_BYTES)
        return self.log.take_records()

    @property
    def needs_compaction(self) -> bool:
        return self.log.needs_compaction

    def append(self, records: list[bytes]) -> None:
        self.log.append(records)

    def sync(self) -> None:
        self.log.sync()

    def compact(self, records: list[bytes]) -> None:
        self.log.compact(records)

    def close(self) -> None:
        if self.log is not None:
            self.log.close()


async def start_again(cluster: Cluster, tmp_path: Path) -> NodeCore:
    """Member 3, with what is on its disk, as a daemon does it."""
    cluster.members[3].store = LevelStore(str(tmp_path / "chain"))
    core = await cluster.start(3)
    node.host.recheck(core.chain)  # through the module, where the point is
    return core


async def rare_effects(core: NodeCore) -> None:
    """What a healthy network does not order."""
    tip, keys = core.chain.tip, core.chain.validators.keys
    perform = core.driver._perform
    await perform(fx.FetchBlock(core.driver.height, tip.block_id, (keys[0],)))
    await perform(fx.SendDecided(keys[0], tip.height))
    await perform(fx.EnterObserve(ObserveReason.SIGNER_STATE_ROLLED_BACK, tip.height))


async def small_run(cluster: Cluster, tmp_path: Path) -> None:
    member = cluster.members[3]
    member.signer_log = DiskLog(tmp_path / "wal")
    await asyncio.gather(*(cluster.start(index) for index in range(3)))
    await start_again(cluster, tmp_path)
    for number in range(5):
        await commit(cluster, 3, number)
    await level(cluster)
    await cluster.stop(3)
    member.signer_log.close()
    log = tmp_path / "wal" / "signer.log"
    log.write_bytes(log.read_bytes() + b"torn")
    await commit(cluster, 0, 7)
    height = await commit(cluster, 0, 8)
    core = await start_again(cluster, tmp_path)
    await cluster.wait_height(height, [3])
    await meet_again(cluster)
    await rare_effects(core)
    await level(cluster)


async def meet_again(cluster: Cluster) -> None:
    """A height that waits for a quorum: whoever comes back is told what was said meanwhile."""
    for index in (0, 1):
        await cluster.stop(index)
    core = cluster.core(3)
    await core.gateway.submit(cluster.transfer(3, 3, 5, cluster.genesis_output(3, 9)))
    await cluster.wait(lambda: core.driver.round >= 1)
    height = core.driver.height
    await cluster.start(0)
    await cluster.wait_height(height)


async def test_every_point_is_passed_in_a_small_run(tmp_path: Path) -> None:
    cluster = Cluster(**FAST)
    with ExitStack() as stack:
        watched = {name: stack.enter_context(install(name, 0, crash)) for name in POINTS}
        try:
            await small_run(cluster, tmp_path)
        finally:
            for index in list(cluster.nodes):
                await cluster.stop(index)
            cluster.members[3].signer_log.close()
    missed = [name for name, point in watched.items() if point.passed == 0]
    assert missed == []


def test_every_effect_of_the_state_machine_is_a_point() -> None:
    names = {kind.__name__ for kind in get_args(fx.Effect)}
    assert names == {"Persist", *ACTS, *REPORTS}


@pytest.mark.parametrize("count", [1, 3])
def test_a_point_crashes_at_its_count_and_is_gone_when_removed(tmp_path: Path, count: int) -> None:
    log = SignerLog(tmp_path)
    with install("log.append.before", count, crash) as point:
        for _ in range(count - 1):
            log.append([b"record"])
        with pytest.raises(Crash):
            log.append([b"record"])
    assert point.passed == count
    log.append([b"last"])
    log.close()
    again = SignerLog(tmp_path)
    assert again.take_records() == [b"record"] * (count - 1) + [b"last"]
    again.close()


def test_half_of_a_batch_is_written_when_the_point_is_inside_it(tmp_path: Path) -> None:
    log = SignerLog(tmp_path)
    before = log.size_bytes
    with install("log.append.half", 1, crash), pytest.raises(Crash):
        log.append([b"x" * 1_000])
    log.close()
    assert before < (tmp_path / "signer.log").stat().st_size < before + 1_000
    again = SignerLog(tmp_path)
    assert again.take_records() == []
    again.close()


def test_only_the_calls_count_that_a_test_means(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    first, second = SignerLog(tmp_path / "a"), SignerLog(tmp_path / "b")
    with install("log.sync.before", 1, crash, counts=lambda arguments: arguments[0] is second):
        first.sync()
        with pytest.raises(Crash):
            second.sync()
    first.close()
    second.close()
