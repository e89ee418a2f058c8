"""The end of a schedule: everything is repaired, and then the chain must go on."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.sim.node.load import Load
    from tests.sim.node.net import Net
    from tests.sim.node.world import World

HEIGHTS_LEAST = 3
RECOVERS_S = 60.0
"""Once everything runs and is connected, a new transaction is in a block everywhere within this time."""


async def heal(world: World, net: Net) -> None:
    """Everything works again."""
    world.note("", "everything is repaired")
    for machine in net.machines:
        machine._remove_point()
        machine.slow_us = 0
        machine.failing = False
        if abs(machine.wall_offset_us) > 4_000_000:
            machine.set_wall_offset(0)
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
        await world.until(lambda name=made.tx_id: name in net.watch.placed, RECOVERS_S, "no decision after the repair")
        if net.height >= max(HEIGHTS_LEAST, before + 1):
            break
    took_s = (world.loop.now_us - began_us) / 1e6
    world.note("", f"goes on after {took_s:.3f} s")
    world.met["recovered_within_3_s" if took_s <= 3 else "recovered_later"] += 1
    await world.until(
        lambda: len({machine.height for machine in net.machines}) == 1, RECOVERS_S, "the nodes do not come to one tip"
    )
    net.watch.check_acknowledged()
