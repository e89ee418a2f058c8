"""One seeded schedule at level node: ``run``."""

from __future__ import annotations

import asyncio

from tests.sim.node import two_chains
from tests.sim.node.faults import Faults
from tests.sim.node.governing import change_sets
from tests.sim.node.load import Load
from tests.sim.node.net import Net
from tests.sim.node.settling import heal, settle
from tests.sim.node.stage import stage
from tests.sim.node.world import World
from tests.sim.outcome import Outcome

SIZES = (4, 4, 4, 4, 4, 4, 4, 4, 1, 2, 3, 5, 7)

TWO_CHAINS = 0.1
"""Part of the schedules that have two chains."""


def run(seed: int, *, trace: bool = False) -> Outcome:
    """Plays the schedule of ``seed``."""
    world = World(seed, tracing=trace)
    story = two_chains.play if world.random.random() < TWO_CHAINS else _one_chain
    return world.play(lambda: story(world))


async def _one_chain(world: World) -> None:
    random = world.random
    validators = random.choice(SIZES)
    observers = random.choice((0, 0, 0, 1)) if validators < 7 else 0
    world.met[f"n={validators}"] += 1
    world.met["observer"] += observers
    parameters = random.choice(((), (("empty_block_ms", 3_000),), (("package_ms", 200), ("package_transactions", 4))))
    changing = random.random() < 0.2
    if changing:
        observers = random.randint(1, max(1, 7 - validators))
    net = Net(world, stage(validators, validators + observers, parameters))
    net.sets_change = changing
    world.nets.append(net)
    load, faults = Load(net), Faults(net)
    for machine in net.machines:
        machine.wall_offset_us = random.randint(-1_500_000, 1_500_000)
    net.start()
    ended = asyncio.Event()
    clients = world.loop.create_task(_clients(world, load, ended))
    governors = world.loop.create_task(change_sets(world, net, load, ended)) if changing else None
    await world.sleep(random.uniform(0.0, 0.5))
    counts = random.choice(((5,), (3, 2), (3, 2), (3, 3), (2, 2, 2)))
    await asyncio.gather(*[_several(world, faults, count) for count in counts])
    ended.set()
    await clients
    if governors is not None:
        await governors
    await heal(world, net)
    await settle(world, net, load)
    await net.stop()
    world.check()
    net.watch.check_stores()


async def _several(world: World, faults: Faults, count: int) -> None:
    for _ in range(count):
        await faults.one()
        await world.sleep(world.random.uniform(0.0, 0.4))


async def _clients(world: World, load: Load, ended: asyncio.Event) -> None:
    pause_s = world.random.choice((0.8, 2.0, 4.0))
    while not ended.is_set():
        load.step()
        await world.sleep(world.random.expovariate(1 / pause_s))
