"""A schedule with two chains, a bridge and relays: what officers order on one takes effect on the other, once."""

from __future__ import annotations

import asyncio
from functools import lru_cache
from typing import TYPE_CHECKING

from contracts.bridge.records import BUSINESS, REGISTER_CLIENT, SUPERVISION, LaneView, RegisterClient, RoleQuery
from contracts.decisions import SetLimit
from contracts.flow.answers import LimitsAnswer, Nothing
from contracts.governance.calls import SET_POLICY, Propose, SetPolicy
from contracts.governance.policies import SUPERVISION_OFFICERS
from contracts.messages import Limit
from ledger.encoding import Record, encode
from ledger.genesis import PolicyDoc
from ledger.keys import SigningKey, key_text
from ledger.transaction import Call
from node.network import BUSINESS_CONTRACTS, SUPERVISION_CONTRACTS
from tests.sim.node.faults import Faults
from tests.sim.node.fusion import FusionNode
from tests.sim.node.governing import change_sets
from tests.sim.node.load import Load
from tests.sim.node.net import Net
from tests.sim.node.settling import heal, settle
from tests.sim.node.stage import Stage, member, seated, secret

if TYPE_CHECKING:
    from tests.sim.node.world import World

MAX_STALENESS_MS = 30_000
CROSSES_S = 120.0
"""Once everything runs, what was ordered on one chain has taken effect on the other within this time."""


def _officer() -> SigningKey:
    return SigningKey(secret("officer"))


@lru_cache(maxsize=16)
def _stage(name: str, validators: int, relays: int) -> Stage:
    people = [member(f"{name} {index}") for index in range(validators)]
    people += [member(f"Fusion {index} on {name}") for index in range(relays)]
    officer = _officer()
    supervised = name == SUPERVISION
    return seated(
        name,
        people,
        validators,
        kinds=SUPERVISION_CONTRACTS if supervised else BUSINESS_CONTRACTS,
        roles=[("member",)] * validators + [("fusion",)] * relays,
        policies=[PolicyDoc(name="officers", lock=f"key({key_text(officer.public)})")] if supervised else [],
        more=[(officer.public, b"", "Regulator", ("officer",))] if supervised else [],
    )


class Orders:
    """An officer who sets one limit after the other.

    Attributes:
        placed: limits in a block of the supervision chain.
    """

    def __init__(self, net: Net, load: Load) -> None:
        self._net, self._load = net, load
        self._asked = b""
        self.placed = 0

    def step(self) -> None:
        """Orders the next limit once the one before is in a block; the same transaction again until then."""
        watch = self._net.watch
        running = self._net.running
        if self._asked and watch.placed.get(self._asked, (0, False))[1]:
            self.placed += 1
            self._asked = b""
        if not running:
            return
        if not self._asked or self._asked in watch.placed:
            counter = self.placed + 1
            made = self._load.call(
                _officer(), "supervision", "set_limit", SetLimit(Limit("commission", "CNY", counter, counter))
            )
            self._asked = made.tx_id
            self._made = made
        self._load.hand_in(self._net.world.random.choice(running), self._made)


async def play(world: World) -> None:
    """The whole schedule."""
    random = world.random
    relays = random.choice((1, 2, 2))
    world.met["two_chains"] += 1
    sizes = random.choice(((4, 1), (4, 4), (1, 4), (4, 2)))
    business = Net(world, _stage(BUSINESS, sizes[0], relays), "b")
    supervision = Net(world, _stage(SUPERVISION, sizes[1], relays), "s")
    nets = world.nets = [business, supervision]
    fusion = [
        FusionNode(business.machines[sizes[0] + index], supervision.machines[sizes[1] + index])
        for index in range(relays)
    ]
    for net in nets:
        net.start()
    loads = [Load(net) for net in nets]
    await world.until(lambda: all(len(net.running) == len(net.machines) for net in nets), 10.0, "not all nodes came up")
    await _introduce(world, nets, loads)
    orders, ended = Orders(supervision, loads[1]), asyncio.Event()
    officer = world.loop.create_task(_order(world, orders, ended))
    governors = None
    if random.random() < 0.3:
        net, load = random.choice(list(zip(nets, loads, strict=True)))
        net.sets_change = True
        governors = world.loop.create_task(change_sets(world, net, load, ended))
    faults = [Faults(net) for net in nets]
    for _ in range(random.randint(5, 6)):
        await random.choice(faults).one()
        await world.sleep(random.uniform(0.0, 0.5))
    ended.set()
    await officer
    if governors is not None:
        await governors
    for net in nets:
        await heal(world, net)
    for net, load in zip(nets, loads, strict=True):
        await settle(world, net, load)
    await _everything_crosses(world, business, supervision, orders)
    for node in fusion:
        await node.stop()
    for net in nets:
        await net.stop()
    world.check()
    for net in nets:
        net.watch.check_stores()


async def _order(world: World, orders: Orders, ended: asyncio.Event) -> None:
    pause_s = world.random.choice((0.3, 1.0))
    while not ended.is_set():
        orders.step()
        await world.sleep(world.random.expovariate(1 / pause_s))


async def _introduce(world: World, nets: list[Net], loads: list[Load]) -> None:
    """The governors of each chain register the other's light client."""
    business, supervision = nets
    lock = f"key({key_text(_officer().public)})"
    wanted = [
        [_propose("bridge", REGISTER_CLIENT, _client(SUPERVISION, supervision)),
         _propose("governance", SET_POLICY, SetPolicy(SUPERVISION_OFFICERS, lock))],
        [_propose("bridge", REGISTER_CLIENT, _client(BUSINESS, business))],
    ]  # fmt: skip
    for net, load, calls in zip(nets, loads, wanted, strict=True):
        made = load.calls(net.stage.members[0].member, calls, net.stage.authority)
        load.hand_in(net.machines[0], made)
        await world.until(lambda net=net, made=made: made.tx_id in net.watch.placed, 20.0, "no introduction")
        if not net.watch.placed[made.tx_id][1]:
            world.violate("the chains were not introduced")


def _propose(contract: str, action: str, order: Record) -> Call:
    return Call("governance", "propose", encode(Propose(contract, action, encode(order), "")))


def _client(role: str, other: Net) -> RegisterClient:
    genesis = other.stage.genesis
    core = other.machines[0].core
    assert core is not None
    header = encode(core.chain.store.header(0))
    return RegisterClient(role, genesis.name, "bridge", header, genesis.validator_set().keys, MAX_STALENESS_MS)


def _view(net: Net, contract: str, name: str, arguments: Record) -> Record:
    core = net.machines[0].core
    assert core is not None
    return core.gateway.run_view(contract, name, encode(arguments))


def _lanes(business: Net, supervision: Net) -> tuple[LaneView, LaneView]:
    found = [
        _view(net, "bridge", "lane", RoleQuery(role))
        for net, role in ((supervision, BUSINESS), (business, SUPERVISION))
    ]
    assert isinstance(found[0], LaneView)
    assert isinstance(found[1], LaneView)
    return found[0], found[1]


async def _everything_crosses(world: World, business: Net, supervision: Net, orders: Orders) -> None:
    """Every packet was taken once, answered, and the last order is in force."""

    def done() -> bool:
        there, here = _lanes(business, supervision)
        return there.answered == there.sent == here.delivered

    world.note("", f"lanes: {_lanes(business, supervision)}")
    await world.until(done, CROSSES_S, "packets are left unanswered")
    there, here = _lanes(business, supervision)
    world.met["packet"] += there.sent
    if here.watermark != there.sent or here.delivered != there.sent:
        world.violate(f"{there.sent} packets were sent, {here.delivered} taken up to {here.watermark}")
    if there.sent < orders.placed:
        world.violate(f"{orders.placed} orders made {there.sent} packets")
    limits = _view(business, "flow", "limits", Nothing())
    assert isinstance(limits, LimitsAnswer)
    counters = [limit.counter for limit in limits.limits]
    if there.sent and counters != [there.sent]:
        world.violate(f"{there.sent} limits were set, and {counters} are in force")
