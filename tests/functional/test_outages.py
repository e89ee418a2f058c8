"""More than f validators gone at once, and back: the chain stands, and goes on within a few rounds of reconnection."""

from __future__ import annotations

import asyncio
import signal

import pytest

from tests.functional.conftest import Start
from tests.functional.load import Load, assert_agreement, chain_goes_on
from tests.functional.recovery import assert_no_evidence, assert_stands_still, watch_recovery

pytestmark = [pytest.mark.functional, pytest.mark.timeout(400)]

GONE = {2: ("node1", "node2"), 3: ("node0", "node1", "node3")}


@pytest.mark.parametrize("count", [2, 3])
async def test_the_chain_stands_and_goes_on_when_more_than_f_are_stopped_and_continued(
    start: Start, seed: int, count: int
) -> None:
    gone = GONE[count]
    async with start() as devnet:
        alive = [node for node in devnet.network.nodes if node.name not in gone]
        load = Load(devnet.network, seed)
        async with load.running():
            await load.wait_more(20)
            for name in gone:
                devnet.signal(name, signal.SIGSTOP)
            height = await assert_stands_still(alive)
            for name in gone:
                devnet.signal(name, signal.SIGCONT)
            print(f"{count} of 4 stopped: {await watch_recovery(devnet, height)}")
            await load.wait_more(20)
        await devnet.wait_ready(peers=3, timeout_s=90)
        await chain_goes_on(devnet.network.nodes, timeout_s=90)
        await assert_agreement(load, timeout_s=90)
        await assert_no_evidence(devnet)


async def test_the_chain_stands_and_goes_on_when_more_than_f_are_killed_and_started_again(
    start: Start, seed: int
) -> None:
    gone = GONE[3]
    async with start() as devnet:
        alive = [node for node in devnet.network.nodes if node.name not in gone]
        load = Load(devnet.network, seed)
        async with load.running():
            await load.wait_more(20)
            await asyncio.gather(*(devnet.kill(name) for name in gone))
            height = await assert_stands_still(alive)
            await devnet.start(gone)
            print(f"3 of 4 killed: {await watch_recovery(devnet, height)}")
            await load.wait_more(20)
        await devnet.wait_ready(peers=3, timeout_s=90)
        await chain_goes_on(devnet.network.nodes, timeout_s=90)
        await assert_agreement(load, timeout_s=90)
        await assert_no_evidence(devnet)
