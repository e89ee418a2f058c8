"""The same transaction twice: to another node, at the same time everywhere, after it has expired, after a restart."""

from __future__ import annotations

import asyncio

import pytest

from ledger.errors import InvalidInput
from ledger.genesis import Parameters
from node.client import Client
from tests.functional.conftest import Start
from tests.functional.load import Load, assert_agreement, height_of, until

pytestmark = pytest.mark.functional


async def test_a_transaction_counts_once_when_it_is_handed_to_every_node(start: Start, seed: int) -> None:
    async with start() as devnet:
        load = Load(devnet.network, seed)
        first, second = load.purses[0].transfer(), load.purses[1].transfer()
        clients = [Client(node.socket) for node in devnet.network.nodes]
        try:
            # One after the other: the later ones are told what the first one was.
            outcomes = [await client.submit_and_wait(first) for client in clients]
            # At once.
            outcomes += await asyncio.gather(*(client.submit_and_wait(second) for client in clients * 3))
            for client in clients:
                assert await client.submit(first) == first.tx_id
                (answer,) = await client.submit_many([first.wire], wait_ms=10_000)
                assert (answer.status, answer.code) == ("committed", "ok")
        finally:
            for client in clients:
                await client.close()
        for transaction in (first, second):
            places = {(o.status, o.height, o.index) for o in outcomes if o.tx_id == transaction.tx_id}
            assert len(places) == 1, places
            _, *place = places.pop()
            load.acknowledged[transaction.tx_id] = (place[0], place[1])
        await devnet.kill("node2")
        await devnet.start_one("node2")
        async with Client(devnet.network.node("node2").socket) as client:
            assert (await client.submit_and_wait(first)).status == "committed"
        await assert_agreement(load)


async def test_a_replay_is_refused_when_the_transaction_has_expired(start: Start, seed: int) -> None:
    async with start(validators=1, parameters=Parameters(empty_block_ms=50, expiry_window=16)) as devnet:
        node = devnet.network.nodes[0]
        load = Load(devnet.network, seed)
        async with Client(node.socket) as client:
            committed = load.purses[0].transfer(expiry=await height_of(node) + 10)
            outcome = await client.submit_and_wait(committed)
            assert outcome.status == "committed"
            load.acknowledged[committed.tx_id] = (outcome.height, outcome.index)
            never = load.purses[1].transfer(expiry=await height_of(node) + 5)
            last = committed.body.expiry_height

            async def expired() -> bool:
                return await height_of(node) > last

            await until(expired, f"block {last}")
            with pytest.raises(InvalidInput) as refused:
                await client.submit(never)
            assert refused.value.code == "expired"
            # Committed long ago: that is what its sender is told, and it is not done again.
            assert await client.submit_and_wait(committed) == outcome
            too_far = load.purses[2].transfer(expiry=await height_of(node) + 1_000)
            with pytest.raises(InvalidInput) as refused:
                await client.submit(too_far)
            assert refused.value.code == "expiry_too_far"
        await assert_agreement(load)
