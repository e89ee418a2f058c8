"""What a node says of the set, of the one that comes, and of who is there."""

from __future__ import annotations

from typing import Any

from ledger.keys import key_text
from node.seat_forecast import Condition, condition_of
from node.service_link import OverlayLink
from node.services import ServiceSwitch
from node.status import StatusReport
from tests.node.cluster import Cluster, running
from tests.node.sets import PATIENCE_S, change, set_parameters
from tests.node.test_changing_sets import STEADY, commit


def status(cluster: Cluster, index: int) -> dict[str, Any]:
    core = cluster.core(index)
    report = StatusReport("node", "Member", core, ServiceSwitch(OverlayLink(), "Member"), 0.0)
    return {**report.document(), "chain": {"height": core.chain.tip.height}}


def keys(cluster: Cluster, *members: int) -> set[str]:
    return {key_text(cluster.members[index].validator.public) for index in members}


async def test_coming_set_is_shown_for_the_one_block_before_it_decides() -> None:
    async with running(Cluster(3, validators=2, **STEADY)) as cluster:
        assert (status(cluster, 0)["epoch"], status(cluster, 0)["coming"]) == ({"number": 0, "from_height": 1}, None)
        since = await change(cluster, 0, add=[2], remove=[0])
        await cluster.wait_height(since - 2, seconds=PATIENCE_S)
        shown = status(cluster, 2)
        assert {item["key"] for item in shown["validators"]} == keys(cluster, 0, 1)
        assert shown["coming"]["epoch"] == {"number": 1, "from_height": since}
        assert {item["key"] for item in shown["coming"]["validators"]} == keys(cluster, 1, 2)
        assert {item["organisation"] for item in shown["coming"]["validators"]} == {"Member 1", "Member 2"}
        assert not shown["validator"]
        await commit(cluster, 1, 0)
        await cluster.wait_height(since - 1, seconds=PATIENCE_S)
        shown = status(cluster, 2)
        assert {item["key"] for item in shown["validators"]} == keys(cluster, 1, 2)
        assert (shown["epoch"], shown["coming"]) == ({"number": 1, "from_height": since}, None)
        assert shown["validator"]


async def test_parameters_are_shown_that_are_in_force() -> None:
    async with running(Cluster(1, **STEADY)) as cluster:
        since = await set_parameters(cluster, 0, package_ms=15)
        assert status(cluster, 0)["parameters"]["package_ms"] == 0
        await commit(cluster, 0, 0)
        assert cluster.nodes[0].height == since - 1
        assert status(cluster, 0)["parameters"]["package_ms"] == 15


async def test_peers_say_their_height_and_those_that_were_lost_are_believed_live_no_more() -> None:
    async with running(Cluster(4, **STEADY)) as cluster:
        height = await commit(cluster, 0, 0)

        def told() -> bool:
            peers = status(cluster, 0)["peers"]
            return len(peers) == 3 and all(peer["height"] == height for peer in peers)

        await cluster.wait(told, PATIENCE_S)
        shown = status(cluster, 0)
        assert {peer["key"] for peer in shown["peers"]} == keys(cluster, 1, 2, 3)
        gone = cluster.members[3].validator.public
        assert condition_of(shown, gone)[0] is Condition.LIVE
        await cluster.stop(3)

        def lost() -> list[str]:
            return [item["key"] for item in status(cluster, 0)["validators"] if item["lost_ms_ago"] is not None]

        await cluster.wait(lambda: lost() == [key_text(gone)], PATIENCE_S)
        await cluster.start(3)
        await cluster.wait(lambda: condition_of(status(cluster, 0), gone)[0] is Condition.LIVE, PATIENCE_S)
