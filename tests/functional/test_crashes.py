"""Validators that are killed under load: nothing that was acknowledged is lost, and the chain goes on."""

from __future__ import annotations

import asyncio
import random

import pytest

from tests.functional.conftest import Start
from tests.functional.load import Load, assert_agreement, chain_goes_on

pytestmark = pytest.mark.functional

KILLS = 6


async def test_nothing_acknowledged_is_lost_when_validators_are_killed_again_and_again(start: Start, seed: int) -> None:
    moments = random.Random(seed)
    async with start() as devnet:
        load = Load(devnet.network, seed)
        async with load.running():
            for _ in range(KILLS):
                # The moment is random within the work of some blocks; the restart is at once.
                await load.wait_more(moments.randint(1, 25))
                await asyncio.sleep(moments.random() * 0.1)
                victim = f"node{moments.randrange(4)}"
                await devnet.kill(victim)
                await load.wait_more(moments.randint(1, 15))
                await devnet.start_one(victim)
            await load.wait_more(25)
        await devnet.wait_ready(peers=3)
        await assert_agreement(load)


async def test_nothing_acknowledged_is_lost_when_all_validators_are_killed_at_once(start: Start, seed: int) -> None:
    moments = random.Random(seed)
    async with start() as devnet:
        load = Load(devnet.network, seed)
        async with load.running():
            await load.wait_more(moments.randint(50, 150))
            await asyncio.gather(*(devnet.kill(node.name) for node in devnet.network.nodes))
            await devnet.start()
            await devnet.wait_ready()
            await load.wait_more(25)
        await chain_goes_on(devnet.network.nodes)
        await assert_agreement(load)
