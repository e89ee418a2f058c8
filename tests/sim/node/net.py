"""The machines of one simulated chain, the network between them, and what is asked of them together."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ledger.validators import ValidatorSet
from tests.sim.node.machine import Machine
from tests.sim.node.network import SimNetwork
from tests.sim.node.stage import Stage
from tests.sim.node.watch import Watch

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tests.sim.node.world import World


class Net:
    """See the module.

    Args:
        world: that it is part of.
        stage: its chain.
        prefix: of the names of its machines, for the trace.
        missing: pairs that do not connect to each other; the others are a mesh.
    """

    def __init__(self, world: World, stage: Stage, prefix: str = "n", missing: Iterable[tuple[int, int]] = ()) -> None:
        self.world = world
        self.stage = stage
        self.prefix = prefix
        self._missing = {frozenset(pair) for pair in missing}
        self.sets_change = False
        self.log_bound_bytes = world.random.choice((2_000, 20_000, 16 * 1024 * 1024))
        self.network = SimNetwork(world.loop, world.random, world.met)
        if world.tracing:
            self.network.trace = world.note_delivery
        self.watch = Watch(self)
        self.machines = [Machine(self, index) for index in range(len(stage.members))]

    def is_linked(self, left: int, right: int) -> bool:
        """Whether these two keep a connection."""
        return left != right and frozenset((left, right)) not in self._missing

    @property
    def running(self) -> list[Machine]:
        """Machines whose node is up and not stopped."""
        return [machine for machine in self.machines if machine.is_up]

    @property
    def down(self) -> list[Machine]:
        """Machines without a run."""
        return [machine for machine in self.machines if machine.run is None]

    @property
    def height(self) -> int:
        """The highest tip."""
        return max(machine.height for machine in self.machines)

    @property
    def faulty_most(self) -> int:
        """How many validators may lie, or forget what they signed."""
        return (self.stage.validators - 1) // 3

    def start(self) -> None:
        """Starts every machine that does not run."""
        for machine in self.down:
            machine.start()

    async def stop(self) -> None:
        """Ends everything in order."""
        for machine in self.machines:
            if machine.run is not None and machine.core is not None:
                await machine.stop()
            elif machine.run is not None:
                machine.crash("the schedule is over")

    def peer(self, index: int) -> str:
        """Overlay name of a machine."""
        return self.stage.members[index].transport.peer_id

    def validators_at(self, height: int) -> ValidatorSet:
        """The set that decides a height."""
        return self.watch.sets[height]
