"""A fusion node: one daemon with a node of both chains and the real relay between them; it lives and dies as one."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from contracts.bridge.records import BUSINESS, SUPERVISION
from node.relay.ends import RelayEnd
from node.relay.service import RelayService

if TYPE_CHECKING:
    from tests.sim.node.loop import SimTask
    from tests.sim.node.machine import Machine, Run


class FusionNode:
    """See the module.

    Args:
        business: its node of the business chain.
        supervision: of the supervision chain.
    """

    def __init__(self, business: Machine, supervision: Machine) -> None:
        self.business, self.supervision = business, supervision
        self.world = business.net.world
        self.relay: RelayService | None = None
        self._task: SimTask | None = None
        business.partner, supervision.partner = supervision, business
        for machine in (business, supervision):
            machine.on_started.append(self._on_started)

    def _on_started(self, _run: Run) -> None:
        business, supervision = self.business, self.supervision
        if business.core is None or supervision.core is None or business.run is None:
            return
        self.world.note(business.name, "relays")
        self.relay = RelayService(
            RelayEnd(business.net.stage.genesis.name, BUSINESS, business.core, business.member.member),
            RelayEnd(supervision.net.stage.genesis.name, SUPERVISION, supervision.core, supervision.member.member),
        )
        process = business.run.process
        self._task = process.run(self.world.loop.create_task, self.relay.run())
        assert self._task is not None
        self._task.add_done_callback(lambda task: self._on_end(process.dead, task))

    def _on_end(self, dead: bool, task: asyncio.Task[None]) -> None:
        relay, self.relay = self.relay, None
        if relay is not None:
            for direction in relay.directions:
                self.world.met["relay_takeover"] += direction.turns.taken_over
                self.world.met["relay_delivery"] += direction.deliveries
                self.world.met["packet_relayed"] += direction.packets
                self.world.met["answer_relayed"] += direction.answers
        if not dead and not task.cancelled() and self.business.is_up and not self.business.failing:
            self.world.violate(f"the relay of {self.business.name} ended: {task.exception()!r}")

    async def stop(self) -> None:
        """Ends the relay in order; its nodes go on."""
        task, self._task = self._task, None
        if task is not None and not task.done():
            task.cancel()
            await asyncio.wait([task])
