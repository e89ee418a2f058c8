"""The in-memory twin of the overlay, for tests and simulation: the same interface, queues, caps and penalties.

Deterministic: everything happens in callbacks of one injected scheduler, in the order in which it was scheduled.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

from ledger.errors import LocalMisuse, PeerMisbehaved
from p2p.framing import FrameDecoder, Lane
from p2p.peering import REASON_STOPPED, Link, Peering

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from p2p.bounds import TransportBounds
    from p2p.transport import Channel, Handler, PeerAddress, PeerId


def _on_running_loop(delay_s: float, callback: Callable[[], None]) -> object:
    loop = asyncio.get_running_loop()
    return loop.call_later(delay_s, callback) if delay_s > 0 else loop.call_soon(callback)


class MemoryNetwork:
    """Makes transports that reach each other, and controls the links between them.

    Two started transports are connected when each admits the other, at least one has the other's address, and no
    rule of the network is in the way.

    Args:
        schedule: calls back after so many seconds; the default is the running asyncio loop.
        latency_s: seconds from one peer to another.
    """

    def __init__(
        self,
        *,
        schedule: Callable[[float, Callable[[], None]], object] = _on_running_loop,
        latency_s: Callable[[PeerId, PeerId], float] = lambda _sender, _receiver: 0.0,
    ) -> None:
        self.schedule = schedule
        self.latency_s = latency_s
        self._members: dict[PeerId, MemoryTransport] = {}
        self._severed: set[frozenset[PeerId]] = set()
        self._groups: dict[PeerId, int] = {}
        self._paused: set[tuple[PeerId, PeerId]] = set()
        self._reconciling = False

    def transport(
        self,
        peer_id: PeerId,
        *,
        network: str = "",
        bounds: TransportBounds | None = None,
        vote_max_bytes: int = 1 << 20,
        max_bytes_by_kind: Mapping[tuple[Channel, int], int] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> MemoryTransport:
        """Make a transport; arguments as for ``Libp2pTransport``. Its ``clock`` defaults to the system's."""
        return MemoryTransport(
            self,
            peer_id,
            network=network,
            bounds=bounds,
            vote_max_bytes=vote_max_bytes,
            max_bytes_by_kind=max_bytes_by_kind,
            clock=clock,
        )

    def sever(self, left: PeerId, right: PeerId) -> None:
        """Cut the connection of a pair, and allow no new one until ``mend``."""
        self._severed.add(frozenset((left, right)))
        self.reconcile()

    def mend(self, left: PeerId, right: PeerId) -> None:
        """Undo ``sever``."""
        self._severed.discard(frozenset((left, right)))
        self.reconcile()

    def cut(self, left: PeerId, right: PeerId) -> None:
        """Break the connection of a pair once; it is made again at once."""
        member = self._members.get(left)
        if member is not None:
            member.close_link(right, "closed")

    def partition(self, *groups: Iterable[PeerId]) -> None:
        """Allow connections only inside each group; who is in none is alone. Replaces an earlier partition."""
        self._groups = {peer: number for number, group in enumerate(groups, 1) for peer in group}
        for number, peer in enumerate(self._members, 1):
            self._groups.setdefault(peer, -number)
        self.reconcile()

    def heal(self) -> None:
        """Undo every ``partition`` and ``sever``."""
        self._groups.clear()
        self._severed.clear()
        self.reconcile()

    def pause(self, sender: PeerId, receiver: PeerId) -> None:
        """Deliver nothing more from one peer to another: the sender's queue fills, and drops the receiver."""
        self._paused.add((sender, receiver))

    def resume(self, sender: PeerId, receiver: PeerId) -> None:
        """Undo ``pause``."""
        self._paused.discard((sender, receiver))
        member = self._members.get(sender)
        if member is not None:
            member.pump_link(receiver)

    def is_paused(self, sender: PeerId, receiver: PeerId) -> bool:
        """Whether ``pause`` holds in this direction."""
        return (sender, receiver) in self._paused

    def join(self, member: MemoryTransport) -> None:
        """Called by ``start``.

        Raises:
            LocalMisuse: this peer id is in use.
        """
        if member.peer_id in self._members:
            raise LocalMisuse("this peer id is in use on the network", peer=member.peer_id)
        self._members[member.peer_id] = member
        self.reconcile()

    def leave(self, member: MemoryTransport) -> None:
        """Called by ``stop``."""
        self._members.pop(member.peer_id, None)

    def reconcile(self) -> None:
        """Soon make and break the connections that the rules now ask for."""
        if not self._reconciling:
            self._reconciling = True
            self.schedule(0.0, self._reconcile)

    def _reconcile(self) -> None:
        self._reconciling = False
        members = sorted(self._members.items())
        for index, (left_id, left) in enumerate(members):
            for right_id, right in members[index + 1 :]:
                free = frozenset((left_id, right_id)) not in self._severed
                free = free and self._groups.get(left_id) == self._groups.get(right_id)
                if not free:
                    left.close_link(right_id, "closed")
                elif left.wants(right_id) or right.wants(left_id):
                    _connect(left, right)


def _connect(left: MemoryTransport, right: MemoryTransport) -> None:
    if left.is_linked(right.peer_id) or right.is_linked(left.peer_id) or left.network != right.network:
        return
    if not (left.admits(right.peer_id) and right.admits(left.peer_id)):
        return
    left_link, right_link = left.make_link(right.peer_id), right.make_link(left.peer_id)
    left_link.remote, right_link.remote = right_link, left_link
    left.attach(left_link)
    right.attach(right_link)


class MemoryLink(Link):
    """One side of a connection; its outboxes are emptied into the other side's decoders."""

    def __init__(self, owner: MemoryTransport, peer: PeerId, bounds: TransportBounds) -> None:
        super().__init__(peer, bounds)
        self.remote: MemoryLink | None = None
        self._owner = owner
        self._coalesce_bytes = bounds.coalesce_bytes
        self._decoders = tuple(FrameDecoder(owner.caps_of(lane)) for lane in Lane)
        self._pumping = False
        for outbox in self.outboxes:
            outbox.wake = self.pump

    def pump(self) -> None:
        """Deliver soon; one delivery is under way at a time, which keeps the order."""
        if self._pumping or self.closed_reason is not None or self._owner.is_paused_to(self.peer):
            return
        self._pumping = True
        self._owner.schedule_to(self.peer, self._deliver)

    def take_in(self, lane: Lane, data: bytes) -> None:
        """Receive bytes of one lane."""
        try:
            frames = self._decoders[lane].feed(data)
        except PeerMisbehaved as error:
            self._owner.on_misbehaved(self, error)
        else:
            self._owner.on_frames(self, lane, frames)

    def _deliver(self) -> None:
        self._pumping = False
        if self._owner.is_paused_to(self.peer):
            return
        for lane, outbox in zip(Lane, self.outboxes, strict=True):
            # One coalesced write a lane and turn: votes are not behind bulk.
            if self.closed_reason is None and (data := outbox.take(self._coalesce_bytes)):
                outbox.written()
                if self.remote is not None and self.remote.closed_reason is None:
                    self.remote.take_in(lane, data)
        if any(outbox.queued_bytes for outbox in self.outboxes):
            self.pump()

    def _abort(self) -> None:
        self._owner.schedule_down(self)


class MemoryTransport(Peering):
    """``Transport`` on a ``MemoryNetwork``; made by ``MemoryNetwork.transport``."""

    def __init__(
        self,
        net: MemoryNetwork,
        peer_id: PeerId,
        *,
        network: str,
        bounds: TransportBounds | None,
        vote_max_bytes: int,
        max_bytes_by_kind: Mapping[tuple[Channel, int], int] | None,
        clock: Callable[[], float],
    ) -> None:
        super().__init__(
            peer_id, bounds=bounds, vote_max_bytes=vote_max_bytes, max_bytes_by_kind=max_bytes_by_kind, clock=clock
        )
        self.network = network
        self._net = net
        self._wanted: frozenset[PeerId] = frozenset()
        self._running = False
        self._stopped = asyncio.Event()

    # --- Transport --------------------------------------------------------------------------------------------

    def set_allowed(self, allowed: Callable[[PeerId], bool]) -> None:
        """See ``Transport.set_allowed``."""
        super().set_allowed(allowed)
        self._net.reconcile()

    def set_addresses(self, addresses: Iterable[PeerAddress]) -> None:
        """See ``Transport.set_addresses``; hosts and ports are not looked at."""
        self._wanted = frozenset(address.peer_id for address in addresses) - {self._peer_id}
        self._net.reconcile()

    def disconnect(self, peer: PeerId, reason: str) -> None:
        """See ``Transport.disconnect``."""
        super().disconnect(peer, reason)
        self._net.schedule(self._penalties.remaining_s(peer), self._net.reconcile)

    async def start(self, handler: Handler) -> None:
        """See ``Transport.start``."""
        if self._handler is not None:
            raise LocalMisuse("a transport is started once")
        self._handler = handler
        self._running = True
        self._net.join(self)

    async def stop(self) -> None:
        """See ``Transport.stop``."""
        self._stopped.set()
        if not self._running:
            return
        self._running = False
        self._net.leave(self)
        for link in list(self._links.values()):
            link.close(REASON_STOPPED)
            self._link_down(link)
        await self._requests.stop()

    async def wait_failed(self) -> None:
        """See ``Transport.wait_failed``; memory does not fail."""
        await self._stopped.wait()

    # --- for the network and the links --------------------------------------------------------------------------

    def wants(self, peer: PeerId) -> bool:
        """Whether ``set_addresses`` named this peer."""
        return peer in self._wanted

    def admits(self, peer: PeerId) -> bool:
        """Whether a connection with this peer is allowed now."""
        return self._is_admissible(peer) and len(self._links) < self._bounds.peers_max

    def is_linked(self, peer: PeerId) -> bool:
        """Whether there is a connection with this peer, or the rest of one."""
        return peer in self._links

    def make_link(self, peer: PeerId) -> MemoryLink:
        """Make our side of a connection."""
        return MemoryLink(self, peer, self._bounds)

    def attach(self, link: MemoryLink) -> None:
        """Take our side of a connection into use."""
        self._link_up(link)

    def close_link(self, peer: PeerId, reason: str) -> None:
        """Close the connection with this peer, if there is one."""
        link = self._links.get(peer)
        if link is not None:
            link.close(reason)

    def pump_link(self, peer: PeerId) -> None:
        """Go on delivering to this peer."""
        link = self._links.get(peer)
        if isinstance(link, MemoryLink):
            link.pump()

    def caps_of(self, lane: Lane) -> Callable[[int], int]:
        """Give the frame caps of a lane, by kind."""
        return self._caps[lane].__getitem__

    def is_paused_to(self, peer: PeerId) -> bool:
        """Whether the network holds back what we send to this peer."""
        return self._net.is_paused(self._peer_id, peer)

    def schedule_to(self, peer: PeerId, callback: Callable[[], None]) -> None:
        """Call back after the latency to this peer."""
        self._net.schedule(self._net.latency_s(self._peer_id, peer), callback)

    def schedule_down(self, link: MemoryLink) -> None:
        """Take both sides of a connection down, soon."""

        def down() -> None:
            self._link_down(link)
            if link.remote is not None:
                link.remote.close("closed")
            # Now, and again when a penalty that stands in the way has passed.
            self._net.reconcile()
            if (penalty_s := self._penalties.remaining_s(link.peer)) > 0:
                self._net.schedule(penalty_s, self._net.reconcile)

        self._net.schedule(0.0, down)

    def on_frames(self, link: MemoryLink, lane: Lane, frames: list[tuple[int, bytes]]) -> None:
        """Frames arrived on a link."""
        self._receive(link, lane, frames)

    def on_misbehaved(self, link: MemoryLink, error: PeerMisbehaved) -> None:
        """Something else arrived."""
        self._misbehaved(link, error)
