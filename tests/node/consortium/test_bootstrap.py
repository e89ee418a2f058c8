"""Two chains are introduced to each other once, however often it is begun."""

from __future__ import annotations

import pytest

from contracts.governance.calls import PolicyQuery, PolicyRecord
from contracts.keyring import KeyPage, Nothing
from contracts.registry.calls import KeyArguments, OrganisationArguments
from contracts.registry.participants import ACTIVE, ControlClass, Participant
from contracts.supervision.answers import BatchesPage, PageQuery
from ledger.errors import RemoteFault
from node.consortium import bootstrap
from tests.node.two_chains import INSURER, World, two_chains


def everything(world: World) -> list[object]:
    clients = [world.client(net).state.chain_id for net in (world.business, world.supervision)]
    policies = [
        world.view(world.business, "governance", "policy", PolicyQuery(name), PolicyRecord)
        for name in ("supervision.authorities", "supervision.officers")
    ]
    keys = world.view(world.business, "keyring", "authorities", Nothing(), KeyPage)
    batches = world.view(world.supervision, "supervision", "batches", PageQuery(0, 10), BatchesPage).batches
    return [clients, policies, keys, batches]


def participants(world: World) -> list[Participant]:
    keys = [party.key for party in world.cast.parties if party.kind not in ("bank", "patient")]
    keys += [key for _, _, key in world.cast.members]
    return [
        world.view(world.supervision, "registry", "participant", KeyArguments(bytes(key)), Participant) for key in keys
    ]


async def test_everybody_knows_everybody_afterwards():
    async with two_chains() as world:
        clients, policies, keys, batches = everything(world)
        assert clients == [world.supervision.genesis.chain_id, world.business.genesis.chain_id]
        assert all(policy.lock for policy in policies)
        assert len(keys.keys) == 1
        assert [batch.organisation for batch in batches] == ["County Hospital"]
        assert {found.status for found in participants(world)} == {ACTIVE}
        classes = {
            name: world.view(
                world.supervision, "registry", "control_class", OrganisationArguments(name), ControlClass
            ).control_class
            for name in ("City Hospital", "County Hospital", "Private Clinic", INSURER)
        }
        assert list(classes.values()) == ["full", "batch", "controlled", "batch"]


async def test_nothing_changes_when_it_is_run_again():
    async with two_chains() as world:
        before = everything(world), participants(world)
        heights = [net.core(0).chain.tip.height for net in (world.business, world.supervision)]
        await world.introduce()
        assert (everything(world), participants(world)) == before
        assert [net.core(0).chain.tip.height for net in (world.business, world.supervision)] == heights


@pytest.mark.parametrize("step", ["publish_keys", "register_parties", "classify"])
async def test_rest_is_done_when_an_earlier_run_broke_off(step: str, monkeypatch: pytest.MonkeyPatch):
    class Broken(Exception):
        pass

    async def break_off(self, *args) -> None:
        raise Broken

    async with two_chains(introduce=False) as world:
        with monkeypatch.context() as patched:
            patched.setattr(bootstrap.Bootstrap, step, break_off)
            with pytest.raises(Broken):
                await world.introduce()
        await world.introduce()
        assert {found.status for found in participants(world)} == {ACTIVE}
        assert len(everything(world)[3]) == 1


async def test_it_says_so_when_no_relay_brings_the_authorities_keys(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(bootstrap, "WAIT_S", 0.3)
    async with two_chains(introduce=False) as world:
        await world.kill_relay(0)
        with pytest.raises(RemoteFault) as stuck:
            await world.introduce()
        assert stuck.value.code == "bootstrap_stuck"
