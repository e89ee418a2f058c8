"""Validators that are stopped (SIGSTOP) and go on: the others decide without them, and they catch up."""

from __future__ import annotations

import asyncio
import signal

import pytest

from node.client import Client
from tests.functional.conftest import Start
from tests.functional.load import Load, assert_agreement, chain_goes_on, height_of, purses_of

pytestmark = pytest.mark.functional

PAUSE_S = 7.0
"""Longer than a silent peer is kept: the connections break, and come back."""


async def test_a_stopped_validator_catches_up_when_it_goes_on(start: Start, seed: int) -> None:
    async with start() as devnet:
        stopped = devnet.network.nodes[seed % 4]
        load = Load(devnet.network, seed)
        async with load.running():
            await load.wait_more(20)
            devnet.signal(stopped.name, signal.SIGSTOP)
            await asyncio.sleep(PAUSE_S)
            devnet.signal(stopped.name, signal.SIGCONT)
            await load.wait_more(20)
        await devnet.wait_ready(peers=3)
        await assert_agreement(load)
        await chain_goes_on(devnet.network.nodes)


async def test_others_propose_when_the_proposer_is_stopped(start: Start) -> None:
    async with start() as devnet:
        stopped, asked = devnet.network.nodes[2], devnet.network.nodes[0]
        load = Load(devnet.network, 0, purses=purses_of(devnet.network))
        async with Client(asked.socket) as client:
            devnet.signal(stopped.name, signal.SIGSTOP)
            first = await height_of(asked) + 2
            for purse in load.purses[:6]:  # one block each: it is the turn of each of the four
                transaction = purse.transfer()
                outcome = await client.submit_and_wait(transaction, 20)
                assert outcome.status == "committed"
                load.acknowledged[transaction.tx_id] = (outcome.height, outcome.index)
            for height in range(first, outcome.height + 1):
                assert (await client.header(height))[0].proposer != stopped.keys().validator.public
            assert outcome.height - first >= 4
        devnet.signal(stopped.name, signal.SIGCONT)
        await devnet.wait_ready(peers=3)
        await assert_agreement(load)
