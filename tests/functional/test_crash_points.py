"""A real validator under load that kills itself at every named point, in recovery from the last crash as well."""

from __future__ import annotations

import asyncio
import random
import shutil
import signal
from time import monotonic

import pytest

from ledger.genesis import Parameters
from node.cli.exit_codes import STORAGE
from node.client import Client
from node.devnet import Devnet
from tests.crash_points import POINTS
from tests.functional.conftest import Start
from tests.functional.crashing import Crasher, assert_no_contradiction, crasher
from tests.functional.daemons import log_lines
from tests.functional.load import Load, assert_agreement, chain_goes_on

pytestmark = pytest.mark.functional

VICTIM, OTHERS = "node3", ("node0", "node1", "node2")
PATIENT = Parameters(empty_block_ms=3_000, base_timeout_ms=2_000, max_timeout_ms=8_000)
"""The others wait in a round for long enough that the victim, back again, has its say in the round in which it died."""
LUCK = {f"effect.{name}.{when}" for name in ("FetchBlock", "SendDecided", "SendTo") for when in ("before", "after")}
"""What a validator orders only when messages to it are lost or late: simulation reaches these, by the seed."""
TORN = {"recovery.log_cut.before", "recovery.log_cut.after"}
AT_START = {
    name for name, point in POINTS.items() if name.startswith("recovery.") or "__init__" in point.qualified_name
}
FORGETFUL = "effect.report.after"


async def crash_at(victim: Crasher, name: str, order: random.Random) -> None:
    """One life that ends at a point."""
    if name in TORN:
        log = victim.node.home / "wal" / "signer.log"
        log.write_bytes(log.read_bytes() + order.randbytes(order.randint(1, 200)))
    if name == FORGETFUL:
        # It says that it observes.
        shutil.rmtree(victim.node.home / "wal")
    count = 1 if name in AT_START | {FORGETFUL} or name.startswith(("log.new", "log.compact")) else order.randint(1, 3)
    await victim.begin(name, count)
    try:
        ended = await victim.end()
    except TimeoutError:
        raise AssertionError(f"{name} was not passed {count} times") from None
    assert ended == -signal.SIGKILL, f"{name}: ended with {ended}"


async def assert_nothing_was_harmed(devnet: Devnet, load: Load, victim: Crasher) -> None:
    await assert_agreement(load, timeout_s=60)
    await chain_goes_on(devnet.network.nodes, timeout_s=60)
    messages = victim.messages()
    assert len(messages) > 20
    assert_no_contradiction(messages, devnet.network.chain_id)
    for node in devnet.network.nodes:
        async with Client(node.socket) as client:
            assert (await client.status())["evidence"] == 0, f"{node.name} has seen a validator contradict itself"


@pytest.mark.timeout(600)
async def test_nothing_is_contradicted_or_lost_when_a_validator_dies_at_every_named_point(
    start: Start, seed: int
) -> None:
    order = random.Random(seed)
    points = sorted(set(POINTS) - LUCK - {FORGETFUL})
    order.shuffle(points)
    async with (
        start(run=OTHERS, parameters=PATIENT) as devnet,
        crasher(devnet.network.node(VICTIM)) as victim,
    ):
        load = Load(devnet.network, seed, at=OTHERS)
        began = monotonic()
        async with load.running():
            # The first start makes the signer log; the one without it observes, and dies again while it does.
            for name in ("log.new.synced", *points, FORGETFUL):
                await crash_at(victim, name, order)
            took_s = monotonic() - began
            await victim.begin()
            await victim.wait_ready()
            await load.wait_more(20)
        print(f"{len(points) + 2} crashes in {took_s:.1f} s, {len(victim.messages())} messages of the victim")
        await assert_nothing_was_harmed(devnet, load, victim)
        assert await victim.stop() == 0


@pytest.mark.parametrize("failing", ["fdatasync", "write"])
async def test_a_validator_stops_and_says_why_when_its_disk_fails(start: Start, seed: int, failing: str) -> None:
    async with start(run=OTHERS) as devnet, crasher(devnet.network.node(VICTIM)) as victim:
        load = Load(devnet.network, seed, at=OTHERS)
        async with load.running():
            await victim.begin(count=5, failing=failing)
            assert await victim.end() == STORAGE
            await load.wait_more(10)
            said = log_lines(victim.node)[-1]
            assert (said["event"], said["code"]) == ("node_failed", "storage_fault")
            assert f"the signer log's {failing} failed: [Errno 5] Input/output error" in said["why"]
            # With a good disk it goes on where the log ends.
            await victim.begin()
            await victim.wait_ready()
            await load.wait_more(20)
        await assert_agreement(load)
        assert_no_contradiction(victim.messages(), devnet.network.chain_id)
        assert await asyncio.wait_for(victim.stop(), 60) == 0
