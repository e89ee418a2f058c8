"""The memory overlay with the faults that TCP lets through: delay, stalls one way, cut connections with what they held.

Within a lane of one connection messages stay in order and none is lost; between lanes and peers anything goes. Each
side's events are the callbacks of its own process, so a stopped process hears nothing.
"""

from __future__ import annotations

from collections import Counter
from contextvars import Context
from random import Random
from typing import Any

from p2p.bounds import TransportBounds
from p2p.framing import Lane
from p2p.memory import MemoryLink, MemoryNetwork, MemoryTransport
from p2p.transport import PeerId
from tests.sim.node.loop import Process, VirtualLoop

BOUNDS = TransportBounds()


class Weather:
    """How the network behaves now.

    Attributes:
        least_us: shortest time from one peer to another.
        spread_us: how much more it may take.
        stall: how often a delivery takes up to ``stall_us`` more.
        stall_us: see there.
        split: how often the lanes of one delivery come apart: votes now, the rest later.
        cut: how often a delivery finds the connection broken instead.
    """

    def __init__(self) -> None:
        self.calm()

    def calm(self) -> None:
        """A local network."""
        self.least_us, self.spread_us = 200, 600
        self.stall = self.split = self.cut = 0.0
        self.stall_us = 0


class SimNetwork(MemoryNetwork):
    """See the module.

    Attributes:
        weather: of all connections.
        met: situations.
        trace: takes a line for every delivery, or None.
    """

    def __init__(self, loop: VirtualLoop, random: Random, met: Counter[str]) -> None:
        super().__init__(schedule=self._schedule)
        self.loop = loop
        self.random = random
        self.weather = Weather()
        self.met = met
        self.trace: Any = None
        self._outside = Context()

    def _schedule(self, delay_s: float, callback: Any) -> object:
        if delay_s > 0:
            return self.loop.call_later(delay_s, callback, context=self._outside)
        return self.loop.call_soon(callback, context=self._outside)

    def attach_process(self, peer_id: PeerId, process: Process) -> SimTransport:
        """A transport for one run of a node."""
        return SimTransport(self, peer_id, process)

    def delay_us(self) -> int:
        """Of the next delivery."""
        weather, draw = self.weather, self.random.random
        delay = weather.least_us + int(draw() * weather.spread_us)
        if weather.stall and draw() < weather.stall:
            delay += int(draw() * weather.stall_us)
        return delay

    def kill(self, transport: SimTransport) -> None:
        """The process behind a transport is gone: its connections break, and nothing comes from it any more."""
        transport.gone = True
        transport._running = False
        self.leave(transport)
        for link in list(transport._links.values()):
            link.closed_reason = "killed"
            if isinstance(link, SimLink) and link.remote is not None:
                link.remote.close("closed")
        transport._links.clear()
        self.reconcile()


class SimLink(MemoryLink):
    """A link whose deliveries happen in the receiving process."""

    _owner: SimTransport

    def pump(self) -> None:
        owner = self._owner
        if self._pumping or self.closed_reason is not None or owner.is_paused_to(self.peer) or self.remote is None:
            return
        self._pumping = True
        net = owner.net
        net.loop.call_at_us(net.loop.now_us + net.delay_us(), self._deliver, context=self.remote._owner.process.context)

    def _deliver(self) -> None:
        self._pumping = False
        owner, remote = self._owner, self.remote
        if owner.is_paused_to(self.peer) or remote is None or owner.process.stopped:
            return
        net = owner.net
        weather = net.weather
        if weather.cut and net.random.random() < weather.cut:
            net.met["connection_broken"] += 1
            self.close("closed")
            return
        lanes = len(Lane)
        if weather.split and net.random.random() < weather.split:
            lanes = net.random.randint(1, len(Lane))
        left = False
        for lane, outbox in zip(Lane, self.outboxes, strict=True):
            if lane >= lanes:
                left = left or outbox.queued_bytes > 0
                continue
            if self.closed_reason is None and (data := outbox.take(self._coalesce_bytes)):
                outbox.written()
                left = left or outbox.queued_bytes > 0
                if remote.closed_reason is None:
                    if net.trace is not None:
                        net.trace(f"{owner.process.name} > {remote._owner.process.name} {lane.name}", data)
                    remote.take_in(lane, data)
        if left:
            self.pump()


class SimTransport(MemoryTransport):
    """One run's transport."""

    def __init__(self, net: SimNetwork, peer_id: PeerId, process: Process) -> None:
        super().__init__(
            net,
            peer_id,
            network="",
            bounds=BOUNDS,
            vote_max_bytes=1 << 20,
            max_bytes_by_kind=None,
            clock=net.loop.time,
        )
        self.net = net
        self.process = process
        self.gone = False

    def admits(self, peer: PeerId) -> bool:
        # A stopped process does not shake hands.
        return not self.process.stopped and super().admits(peer)

    def make_link(self, peer: PeerId) -> SimLink:
        return SimLink(self, peer, self._bounds)

    def attach(self, link: MemoryLink) -> None:
        self.process.run(super().attach, link)

    def pump_all(self) -> None:
        """Goes on with what waited while the process was stopped."""
        for peer in sorted(self._links):
            self.pump_link(peer)

    def schedule_down(self, link: MemoryLink) -> None:
        net, process = self.net, self.process

        def down() -> None:
            self._link_down(link)
            if link.remote is not None:
                link.remote.close("closed")
            net.reconcile()
            if (penalty_s := self._penalties.remaining_s(link.peer)) > 0:
                net.schedule(penalty_s, net.reconcile)

        if not self.gone:
            net.loop.call_soon(down, context=process.context)
