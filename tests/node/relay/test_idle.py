"""Two chains that have nothing to say to each other make timed blocks and renewals, and nothing else."""

from __future__ import annotations

import asyncio
import time

from contracts.bridge.records import BUSINESS, SUPERVISION, RegisterClient
from ledger.encoding import encode
from tests.node.relay.test_life import delivered_calls
from tests.node.two_chains import World, blocks_of, two_chains


async def register(world: World, staleness_ms: int) -> None:
    """Both clients, with a short staleness."""
    for net, other, role in (
        (world.business, world.supervision, SUPERVISION),
        (world.supervision, world.business, BUSINESS),
    ):
        header = other.core(0).chain.store.header(0)
        keys = other.genesis.validator_set().keys
        order = RegisterClient(role, other.genesis.name, "bridge", encode(header), keys, staleness_ms)
        await world.govern(net, "bridge", "register_client", order)
    await world.until(lambda: world.unanswered(world.supervision) == 0 and world.lane(world.supervision).sent == 0)


async def test_idle_chains_make_timed_blocks_and_renewals_only():
    """No ping-pong: a renewal makes a block, but that block is no reason for a renewal of its own."""
    async with two_chains(introduce=False, authorities=1, empty_block_ms=400) as world:
        await world.kill_authority(0)
        await register(world, 2_000)
        blocks = {net: blocks_of(net) for net in (world.business, world.supervision)}
        begun = time.monotonic()
        await asyncio.sleep(0)
        await world.until(lambda: time.monotonic() - begun > 5)
        seconds = time.monotonic() - begun
        for net, found in blocks.items():
            renewals = delivered_calls(found)
            assert all(code == b"ok" for _, code in renewals)
            # At half of the staleness, once a second.
            assert 2 <= len(renewals) <= seconds + 1
            empty = [block for block in found if not block.candidate.transactions]
            assert len(found) == len(empty) + len(renewals)
            assert len(empty) <= seconds / 0.4 + 1
            newest = world.client(net).state.latest.time_ms
            assert time.time() * 1000 - newest < 2_000


async def test_nothing_is_renewed_when_other_cargo_brings_headers():
    async with two_chains(empty_block_ms=400) as world:
        blocks = blocks_of(world.business)
        begun = time.monotonic()
        await world.until(lambda: time.monotonic() - begun > 2)
        assert delivered_calls(blocks) == [], "at half of 30 seconds, not before"


async def test_two_relays_renew_once():
    async with two_chains(introduce=False, fusion=2, empty_block_ms=300) as world:
        await world.kill_authority(0)
        await register(world, 3_000)
        begun = time.monotonic()
        await world.until(lambda: time.monotonic() - begun > 2)
        blocks = blocks_of(world.business)
        begun = time.monotonic()
        await world.until(lambda: time.monotonic() - begun > 5)
        # At half of the staleness, less the age that a header has when it is brought; twice as many if both always did.
        assert 2 <= len(delivered_calls(blocks)) <= (time.monotonic() - begun) / 1.1 + 2
