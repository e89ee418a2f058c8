"""One seeded schedule at level node: ``run``."""

from __future__ import annotations

import asyncio

from tests.sim.node.faults import Faults
from tests.sim.node.governing import change_sets
from tests.sim.node.load import Load
from tests.sim.node.net import Net
from tests.sim.node.stage import stage
from tests.sim.node.world import World
from tests.sim.outcome import Outcome

SIZES = (4, 4, 4, 4, 4, 4, 4, 4, 1, 2, 3, 5, 7)
HEIGHTS_LEAST = 3
RECOVERS_S = 60.0
"""Once everything runs and is connected, a new transaction is in a block everywhere within this time."""


def run(seed: int, *, trace: bool = False) -> Outcome:
    """Plays the schedule of ``seed``."""
    world = World(seed, tracing=trace)
    return world.play(lambda: _one_chain(world))


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
    counts = random.choice(((5,), (6,), (3, 2), (3, 3), (2, 2, 2)))
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
        await world.sleep(world.random.uniform(0.0, 0.5))


async def _clients(world: World, load: Load, ended: asyncio.Event) -> None:
    pause_s = world.random.choice((0.3, 0.8, 1.5))
    while not ended.is_set():
        load.step()
        await world.sleep(world.random.expovariate(1 / pause_s))


async def heal(world: World, net: Net) -> None:
    """Everything works again."""
    world.note("", "everything is repaired")
    for machine in net.machines:
        machine._remove_point()
        machine.slow_us = 0
        machine.failing = False
        if abs(machine.wall_offset_us) > 4_000_000:
            machine.wall_offset_us = 0
        machine.resume()
    network = net.network
    network.weather.calm()
    network.heal()
    for left in range(len(net.machines)):
        for right in range(len(net.machines)):
            network.resume(net.peer(left), net.peer(right))
    net.start()


async def settle(world: World, net: Net, load: Load) -> None:
    """Checks that the chain goes on: a new transaction is decided, and all nodes come to the same tip."""
    began_us = world.loop.now_us
    await world.until(lambda: all(machine.core for machine in net.machines), 5.0, "not all nodes came up")
    while True:
        before = net.height
        made = load.open_account()
        if not load.hand_in(world.random.choice(net.machines), made):
            await world.sleep(0.5)
            if world.loop.now_us - began_us > RECOVERS_S * 1e6:
                world.violate("no transaction is taken after everything was repaired")
            continue
        await world.until(
            lambda: made.tx_id in net.watch.placed or _gone(net, made.tx_id), RECOVERS_S, "no decision after the repair"
        )
        if net.height >= max(HEIGHTS_LEAST, before + 1):
            break
    world.met["recovery_ms"] = max(world.met["recovery_ms"], (world.loop.now_us - began_us) // 1000)
    await world.until(
        lambda: len({machine.height for machine in net.machines}) == 1, RECOVERS_S, "the nodes do not come to one tip"
    )
    net.watch.check_acknowledged()


def _gone(net: Net, tx_id: bytes) -> bool:
    """Nobody has the transaction any more: the output that it spends never came to be."""
    return all(machine.core is not None and machine.core.mempool.get(tx_id) is None for machine in net.machines)
