"""Governors change the set of validators while everything else goes on."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from contracts.governance.calls import Propose
from contracts.validators.calls import CHANGE_SET, ChangeSet
from ledger.encoding import encode
from ledger.transaction import Transaction

if TYPE_CHECKING:
    from tests.sim.node.load import Load
    from tests.sim.node.net import Net
    from tests.sim.node.world import World

PATIENCE_S = 4.0
"""So long the governors wait for one change before they think of another."""


async def change_sets(world: World, net: Net, load: Load, ended: asyncio.Event) -> None:
    """Members come and go, one change after the other, until the schedule heals."""
    seated = set(range(net.stage.validators))
    while not ended.is_set():
        await world.sleep(world.random.uniform(0.1, 2.0))
        running = net.running
        if not running:
            continue
        after = _another(world, net, seated)
        made = _proposal(net, load, seated, after)
        if not load.hand_in(world.random.choice(running), made):
            continue
        world.note("", f"governors want {sorted(after)} after {sorted(seated)}")
        end_us = world.loop.now_us + round(PATIENCE_S * 1e6)
        while made.tx_id not in net.watch.placed and world.loop.now_us < end_us and not ended.is_set():
            await world.sleep(0.1)
        # It may still come; then what is made of it next is refused, or builds on it.
        if net.watch.placed.get(made.tx_id, (0, False))[1]:
            world.met["set_change_decided"] += 1
            seated = after
        elif made.tx_id in net.watch.placed:
            world.met["set_change_refused"] += 1


def _another(world: World, net: Net, seated: set[int]) -> set[int]:
    random = world.random
    out = [index for index in range(len(net.machines)) if index not in seated]
    after = set(seated)
    if out and (len(seated) == 1 or random.random() < 0.7):
        after.update(random.sample(out, random.randint(1, len(out))))
    if len(seated) > 1 and (after == seated or random.random() < 0.4):
        after.difference_update(random.sample(sorted(seated), random.randint(1, len(seated) - 1)))
    return after


def _proposal(net: Net, load: Load, before: set[int], after: set[int]) -> Transaction:
    members = net.stage.members

    def keys(indices: set[int]) -> tuple[bytes, ...]:
        return tuple(sorted(bytes(members[index].validator.public) for index in indices))

    change = ChangeSet(keys(after - before), keys(before - after))
    arguments = Propose("validators", CHANGE_SET, encode(change), "")
    return load.call(members[0].member, "governance", "propose", arguments, net.stage.authority)
