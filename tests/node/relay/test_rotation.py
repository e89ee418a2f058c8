"""The supervision chain's committee rotates every few blocks, and what is between the chains arrives all the same."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from contracts.bridge.records import SUPERVISION, ClientView, RoleQuery
from contracts.validators.schedule import epoch_at
from ledger.genesis import Genesis
from ledger.rotation import GroupDoc, RotationDoc
from node.chain import Chain
from node.regulator.governing import client_order
from node.relay import following
from node.relay.direction import Direction
from node.relay.following import set_changes
from node.relay.service import RelayService
from tests.node import traffic
from tests.node.two_chains import World, two_chains

EPOCH_BLOCKS = 4
GROUPS = (
    GroupDoc(name="regulator", organisations=(), exempt=True),
    GroupDoc(name="operations", organisations=("Regulator 4",), seats=1),
)
PATIENCE_S = 120.0


def rotating(**options: Any) -> Any:
    rotation = RotationDoc(committee=4, epoch_blocks=EPOCH_BLOCKS, groups=GROUPS)
    # Empty blocks come quickly, so that epochs pass without traffic.
    return two_chains(supervision_validators=5, rotation=rotation, empty_block_ms=150, **options)


async def file_many(world: World, count: int) -> list[bytes]:
    key = world.party("City Hospital").signing
    return await asyncio.gather(*[traffic.file_note(world.business.gateway, key) for _ in range(count)])


async def until_authorised(world: World, flows: list[bytes]) -> None:
    await world.calm(PATIENCE_S)
    assert {(await traffic.flow_view(world.business.gateway, flow)).status for flow in flows} == {"open"}


def supervision(world: World) -> Chain:
    return world.supervision.core(0).chain


async def until_epochs(world: World, more: int) -> None:
    wanted = supervision(world).epoch.number + more
    await world.until(lambda: supervision(world).epoch.number >= wanted, PATIENCE_S)


def changes_by_headers(chain: Chain, after: int, before: int) -> list[int]:
    headers = [chain.store.header(height) for height in range(after + 1, before)]
    return [header.height for header in headers if header.next_validators_hash != header.validators_hash]


async def test_flows_are_authorised_while_committees_rotate_and_two_relays_take_turns() -> None:
    async with rotating(fusion=2) as world:
        await traffic.define(world)
        flows: list[bytes] = []
        for _ in range(3):
            flows += await file_many(world, 2)
            await until_epochs(world, 1)
        await until_authorised(world, flows)
        chain = supervision(world)
        tip = chain.tip.height
        for height in range(1, tip + 1):
            seats, recorded = chain.seats_at(height), epoch_at(chain.state, "validators", height)
            assert seats.validators.keys == recorded.keys
            assert seats.epoch.number == recorded.number == chain.store.header(height).epoch
        assert chain.epoch.number >= 3
        directions = [direction for relay in world.relays.values() for direction in relay.directions]
        assert sum(direction.headers for direction in directions) >= 2
        assert sum(direction.failures for direction in directions) == 0
        for after, before in ((0, tip), (3, tip), (4, 5), (4, 9), (tip - 1, tip), (tip, tip)):
            assert set_changes(chain, after, before) == changes_by_headers(chain, after, before)


async def test_a_relay_catches_up_in_order_and_in_batches_when_it_was_away(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(following, "MAX_FOLLOWED_HEADERS", 2)
    async with rotating() as world:
        await traffic.define(world)
        await until_authorised(world, await file_many(world, 1))
        await world.kill_relay(0)
        known = world.client(world.business).state.latest.height
        flows = await file_many(world, 2)
        await until_epochs(world, 5)
        assert world.client(world.business).state.latest.height == known
        relay = world.start_relay(0)
        await until_authorised(world, flows)
        assert relay.directions[1].headers >= 4
        assert relay.directions[1].failures == 0


class _Skips(Direction):
    """Shows no header that changes the set, and claims the later ones with whatever keys they have."""

    def __init__(self, *ends: Any) -> None:
        super().__init__(*ends)
        self.codes: set[str] = set()

    async def _follow(self, height: int) -> None:
        del height

    def _refused(self, code: str) -> str:
        self.codes.add(code)
        return super()._refused(code)


def _skipping(business: Any, other: Any) -> RelayService:
    relay = RelayService.__new__(RelayService)
    relay.directions = (Direction(business, other), _Skips(other, business))
    return relay


async def test_a_relay_that_skips_changes_brings_nothing_and_does_no_harm() -> None:
    async with rotating(fusion=2) as world:
        await traffic.define(world)
        await until_authorised(world, await file_many(world, 1))
        for index in (0, 1):
            await world.kill_relay(index)
        flows = await file_many(world, 2)
        await until_epochs(world, 3)
        back = world.start_relay(0, _skipping).directions[1]
        assert isinstance(back, _Skips)
        await world.until(lambda: "bridge_client_set_wrong" in back.codes, PATIENCE_S)
        world.start_relay(1)
        await until_authorised(world, flows)
        assert not world.client(world.business).state.frozen


class _Asked:
    """A node of the supervision chain, as a governor of the other one asks it."""

    def __init__(self, world: World) -> None:
        gateway = world.supervision.gateway
        self.info, self.header, self.view = gateway.info, gateway.header, gateway.view
        self._genesis = world.supervision.genesis

    async def genesis(self) -> Genesis:
        return self._genesis


async def test_a_client_begins_with_the_newest_block_when_the_committee_has_changed() -> None:
    async with rotating(introduce=False) as world:
        await until_epochs(world, 3)
        order = await client_order(_Asked(world), SUPERVISION)  # type: ignore[arg-type]
        await world.govern(world.business, "bridge", "register_client", order)
        found = world.view(world.business, "bridge", "client", RoleQuery(SUPERVISION), ClientView)
        assert found.state.latest.height > EPOCH_BLOCKS
        assert found.state.validators == order.validators
        assert set(order.validators) != set(world.supervision.genesis.validator_set().keys)
