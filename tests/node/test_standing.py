"""What a node says of where consensus stands; and what the doctor makes of it, in whole clusters."""

from __future__ import annotations

from typing import Any

from consensus.effects import RefuseBlock
from ledger.keys import key_text
from node.clock_watch import ClockWatch
from node.disk_watch import DiskWatch
from node.doctor.catalogue import causes_first
from node.doctor.live import examine_status
from node.service_link import OverlayLink
from node.services import ServiceSwitch
from node.standing import Standing
from node.status import StatusReport
from tests.node.cluster import Cluster, running

PATIENCE_S = 60.0


class Seen:
    """A node's whole status, as a daemon has it."""

    def __init__(self, cluster: Cluster, index: int) -> None:
        core = self.core = cluster.core(index)
        self.standing = Standing(core)
        self.clock = ClockWatch()
        reports = {
            "standing": self.standing.document,
            "clock": self.clock.document,
            "disk": DiskWatch([], 0).document,
        }
        self._report = StatusReport("node", "Member", core, ServiceSwitch(OverlayLink(), "Member"), 0.0, reports)

    def document(self) -> dict[str, Any]:
        chain = {"name": "test", "height": self.core.chain.tip.height}
        return {**self._report.document(), "chain": chain, "uptime_s": 1.0}

    def codes(self) -> list[str]:
        return [finding.code for finding in causes_first(examine_status(self.document()))]


async def settled(cluster: Cluster, seen: Seen) -> None:
    await cluster.wait(lambda: seen.codes() == [], PATIENCE_S)


async def commit(cluster: Cluster, sender: int, number: int) -> int:
    transfer = cluster.transfer(sender, 0, 1, cluster.genesis_output(sender, number))
    return (await cluster.core(sender).gateway.submit_and_wait(transfer, PATIENCE_S)).height


async def test_nothing_is_found_when_a_cluster_makes_blocks() -> None:
    async with running(Cluster(4)) as cluster:
        seen = Seen(cluster, 0)
        await settled(cluster, seen)
        height = await commit(cluster, 1, 0)
        await cluster.wait_height(height, seconds=PATIENCE_S)
        standing = seen.document()["standing"]
        assert standing["height"] == height + 1
        assert standing["tip_ms_ago"] is not None
        assert standing["quorum"] == 3
        assert {one["certificate"]["state"] for one in standing["validators"]} == {"valid"}
        assert [one["self"] for one in standing["validators"]].count(True) == 1
        assert seen.codes() == []


async def test_the_missing_are_named_when_members_go() -> None:
    async with running(Cluster(4)) as cluster:
        seen = Seen(cluster, 0)
        await settled(cluster, seen)
        await cluster.stop(3)
        await cluster.wait(lambda: seen.codes() == ["validator.missing"], PATIENCE_S)
        (finding,) = examine_status(seen.document())
        assert finding.data["missing"] == ["Member 3"]
        await cluster.stop(2)
        await cluster.wait(lambda: seen.codes() == ["quorum.partition"], PATIENCE_S)
        await cluster.stop(1)
        await cluster.wait(lambda: seen.codes() == ["node.alone"], PATIENCE_S)
        for index in (1, 2, 3):
            await cluster.start(index)
        await settled(cluster, seen)


async def test_a_connected_validator_that_proposes_nothing_is_told_from_one_that_is_gone() -> None:
    async with running(Cluster(4, base_timeout_ms=200)) as cluster:
        seen = Seen(cluster, 0)
        await settled(cluster, seen)
        mute = cluster.core(2)
        mute.driver._work.build = lambda *_arguments: None  # type: ignore[method-assign]
        name = key_text(mute.key.public)
        for number in range(10):
            await commit(cluster, 1, number)
            skipped = {one["key"]: one["count"] for one in seen.document()["standing"]["skipped"]}
            if skipped.get(name, 0) >= 2:
                break
        assert set(skipped) == {name}
        await cluster.wait(lambda: seen.codes() == ["proposer.silent"], PATIENCE_S)


async def test_refused_proposals_are_counted_with_their_last_reason() -> None:
    async with running(Cluster(1)) as cluster:
        seen = Seen(cluster, 0)
        assert seen.document()["standing"]["refused"] == {"count": 0, "why": "", "ms_ago": None}
        seen.standing.on_refused(RefuseBlock(None, "time_implausible"))  # type: ignore[arg-type]
        refused = seen.document()["standing"]["refused"]
        assert (refused["count"], refused["why"]) == (1, "time_implausible")
        assert refused["ms_ago"] >= 0
