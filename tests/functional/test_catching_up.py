"""Nodes that start from nothing, or after a long time, or without their memory of what they signed."""

from __future__ import annotations

import shutil
from typing import Any

import pytest

from node.client import Client
from node.devnet import Devnet
from node.network_file import NetworkNode
from tests.functional.conftest import Start
from tests.functional.daemons import wait_logged
from tests.functional.load import Load, ask, assert_agreement, chain_goes_on, height_of, until, wait_height

pytestmark = pytest.mark.functional

PAGE = 256
"""Blocks in one answer of a peer that has them."""


def forget(node: NetworkNode, *names: str) -> None:
    """Removes directories of a stopped node's home."""
    for name in names:
        shutil.rmtree(node.home / name)


async def status_of(node: NetworkNode) -> dict[str, Any]:
    async with Client(node.socket) as client:
        return await client.status()


async def signers_of(node: NetworkNode, first: int, last: int) -> set[str]:
    """Keys in the commit certificates of these blocks."""
    blocks = await ask(node, "block.get", ({"height": height} for height in range(first, last + 1)))
    return {seal[0] for block in blocks for seal in block["certificate"]["seals"]}


async def assert_no_evidence(devnet: Devnet) -> None:
    for node in devnet.network.nodes:
        assert (await status_of(node))["evidence"] == 0, f"{node.name} has seen a validator contradict itself"


async def test_an_observer_catches_up_when_it_was_away_for_long_and_when_it_starts_from_nothing(
    start: Start, seed: int
) -> None:
    # One validator makes blocks faster than four.
    async with start(validators=1, observers=1) as devnet:
        observer = devnet.network.node("node1")
        load = Load(devnet.network, seed, at=["node0"])
        async with load.running():
            await load.wait_more(20)
            await devnet.stop([observer.name])
            last = await height_of(devnet.network.nodes[0])
            await wait_height(devnet.network.nodes[:1], last + PAGE + 10, timeout_s=60)
            await devnet.start_one(observer.name)
            await load.wait_more(20)
        await assert_agreement(load)
        await devnet.kill(observer.name)
        forget(observer, "data", "wal")
        await devnet.start_one(observer.name)
        await assert_agreement(load)
        await chain_goes_on([observer])


async def test_a_validator_signs_again_when_it_has_lost_its_data_but_not_its_signer_log(
    start: Start, seed: int
) -> None:
    async with start() as devnet:
        victim = devnet.network.node("node2")
        load = Load(devnet.network, seed, at=["node0", "node1", "node3"])
        async with load.running():
            await load.wait_more(30)
            await devnet.kill(victim.name)
            forget(victim, "data")
            await devnet.start_one(victim.name)
            await load.wait_more(30)
        await assert_agreement(load)
        # Without one of the others its signature is needed.
        await devnet.stop(["node0"])
        await chain_goes_on(devnet.network.nodes[1:], 2)
        await devnet.start_one("node0")
        await assert_no_evidence(devnet)


async def test_a_validator_only_follows_until_it_is_safe_when_its_signer_log_is_lost(start: Start, seed: int) -> None:
    async with start() as devnet:
        victim = devnet.network.node("node2")
        load = Load(devnet.network, seed, at=["node0", "node1", "node3"])
        async with load.running():
            await load.wait_more(30)
            await devnet.kill(victim.name)
            forget(victim, "wal")
            before = await height_of(devnet.network.nodes[0])
            await devnet.start_one(victim.name)
            signs_again = (await wait_logged(victim, "signing_again"))["height"]
            await load.wait_more(30)
        await assert_agreement(load)
        status = await status_of(victim)
        assert status["validator"]
        assert not status["observing"]
        # It may still have signed what was being decided while it died.
        assert victim.keys().validator.public.hex() not in await signers_of(victim, before + 2, signs_again - 1)
        await assert_no_evidence(devnet)


async def test_a_validator_contradicts_nothing_when_all_its_data_is_lost(start: Start, seed: int) -> None:
    async with start() as devnet:
        victim = devnet.network.node("node2")
        load = Load(devnet.network, seed, at=["node0", "node1", "node3"])
        async with load.running():
            await load.wait_more(30)
            await devnet.kill(victim.name)
            forget(victim, "data", "wal")
            await devnet.start_one(victim.name)
            await load.wait_more(30)
        await assert_agreement(load)
        await assert_no_evidence(devnet)

        async def signs() -> bool:
            return not (await status_of(victim))["observing"]

        await until(signs, "what it may have signed is decided, and it signs again")
