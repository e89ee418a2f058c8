"""The trio side of the overlay: listens, dials, upgrades, and keeps one connection a pair.

One overlay is one life of it; the watchdog makes a new one when it dies.
"""

from __future__ import annotations

import random
from collections import Counter
from typing import TYPE_CHECKING, Protocol

import structlog
import trio
from libp2p.crypto.ed25519 import create_new_key_pair

from ledger.errors import PeerRefused, TransportFailed
from p2p.accept_limit import AcceptLimit, AcceptRate
from p2p.libp2p_link import REASON_FAILED, Libp2pLink
from p2p.libp2p_stack import Stack, Wire

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ledger.errors import PeerMisbehaved
    from p2p.bounds import TransportBounds
    from p2p.framing import Lane
    from p2p.identity import TransportKey
    from p2p.peering import Counters
    from p2p.transport import PeerAddress, PeerId

_log = structlog.get_logger(__name__)


class OverlayOwner(Protocol):
    """What the overlay needs from its transport."""

    def is_admissible(self, peer: PeerId) -> bool:
        """Whether a connection with ``peer`` may be made now."""

    def link_of(self, peer: PeerId) -> Libp2pLink | None:
        """Give the link that is in use."""

    def take(self, link: Libp2pLink) -> None:
        """Take a link into use."""

    def drop(self, link: Libp2pLink) -> None:
        """Take a link out of use, if it is the one in use."""

    def is_full(self) -> bool:
        """Whether there are as many peers as there may be."""

    def cap(self, lane: Lane, kind: int) -> int:
        """Give the largest payload of a frame."""

    def on_frames(self, link: Libp2pLink, lane: Lane, frames: list[tuple[int, bytes]]) -> None:
        """Frames arrived."""

    def on_misbehaved(self, link: Libp2pLink, error: PeerMisbehaved) -> None:
        """A peer misbehaved."""

    def on_slow(self, link: Libp2pLink, lane: Lane) -> None:
        """A peer does not take what is written to it."""

    def on_listening(self, host: str, port: int) -> None:
        """The overlay accepts connections."""


class _Dialler:
    """Keeps one peer connected; see ``Overlay._keep_connected``."""

    def __init__(self, addresses: tuple[PeerAddress, ...]) -> None:
        self.addresses = addresses
        self.scope = trio.CancelScope()
        self.wake = trio.Event()
        self.turn = 0

    def next_address(self) -> PeerAddress:
        """Give the addresses in turn."""
        self.turn += 1
        return self.addresses[(self.turn - 1) % len(self.addresses)]


class Overlay:
    """One life of the overlay.

    Args:
        owner: the transport.
        key: our identity.
        network: distinguishes networks; part of the protocol ids.
        listen: host and port to listen on; port 0 takes a free one.
        bounds: limits.
        counters: the transport's.
    """

    def __init__(
        self,
        owner: OverlayOwner,
        *,
        key: TransportKey,
        network: str,
        listen: tuple[str, int],
        bounds: TransportBounds,
        counters: Counters,
    ) -> None:
        self.network = network
        self.public_key: bytes = create_new_key_pair(key.seed).public_key.serialize()
        self._owner = owner
        self._peer_id = key.peer_id
        self._listen = listen
        self._bounds = bounds
        self._counters = counters
        self._stack = Stack(key, self._admit, bounds)
        self._accepting = AcceptLimit(bounds.half_open_per_address, bounds.half_open_total)
        self._rate = AcceptRate(
            bounds.accepts_per_s, bounds.accepts_burst, bounds.accept_addresses_max, trio.current_time
        )
        self._diallers: dict[PeerId, _Dialler] = {}
        # Peers that have proved their identity on a connection to us which is not ready yet.
        self._incoming: Counter[PeerId] = Counter()
        # The same for connections that we made.
        self._outgoing: dict[PeerId, Libp2pLink] = {}
        self._nursery: trio.Nursery | None = None
        # Jitter needs no secrecy.
        self._random = random.Random(key.peer_id)  # noqa: S311

    async def run(self, targets: Mapping[PeerId, tuple[PeerAddress, ...]]) -> None:
        """Listen and dial until cancelled.

        Raises:
            TransportFailed: the address cannot be listened on.
        """
        host, port = self._listen
        try:
            listeners = await trio.open_tcp_listeners(port, host=host)
        except OSError as error:
            raise TransportFailed(f"cannot listen on {host}:{port}: {error.strerror}", host=host, port=port) from error
        try:
            async with trio.open_nursery() as nursery:
                self._nursery = nursery
                self._owner.on_listening(host, int(listeners[0].socket.getsockname()[1]))
                self.set_targets(targets)
                await trio.serve_listeners(self._on_accepted, listeners, handler_nursery=nursery)
        finally:
            self._nursery = None

    # --- called from the asyncio side too -----------------------------------------------------------------------

    def set_targets(self, targets: Mapping[PeerId, tuple[PeerAddress, ...]]) -> None:
        """Keep exactly these peers connected; connections with others stay until they close."""
        for peer in [peer for peer in self._diallers if peer not in targets]:
            self._diallers.pop(peer).scope.cancel()
            self._counters.dial_reasons.pop(peer, None)
        if self._nursery is None:
            return
        for peer, addresses in targets.items():
            dialler = self._diallers.get(peer)
            if dialler is None:
                dialler = self._diallers[peer] = _Dialler(addresses)
                self._nursery.start_soon(self._keep_connected, peer, dialler)
            elif dialler.addresses != addresses:
                dialler.addresses = addresses
                dialler.wake.set()

    def wake(self, peer: PeerId) -> None:
        """Something about a peer has changed: look again whether to dial it."""
        dialler = self._diallers.get(peer)
        if dialler is not None:
            dialler.wake.set()

    def wake_all(self) -> None:
        """Look again whether to dial, for all peers."""
        for dialler in self._diallers.values():
            dialler.wake.set()

    # --- LinkOwner --------------------------------------------------------------------------------------------

    def cap(self, lane: Lane, kind: int) -> int:
        """Give the largest payload of a frame."""
        return self._owner.cap(lane, kind)

    async def let_own_dial_finish(self, peer: PeerId) -> None:
        """Wait for our own connection to a higher peer id: the other side will keep that one."""
        link = self._outgoing.get(peer)
        if link is not None and self._peer_id < peer:
            await link.settled.wait()

    def on_ready(self, link: Libp2pLink) -> bool:
        """Take a complete link into use, unless the pair has a better one."""
        peer = link.peer
        if not self._owner.is_admissible(peer):
            self._counters.refused_connections += 1
            return False
        current = self._owner.link_of(peer)
        if current is not None and current.closed_reason is None:
            if self._keeps(current, link):
                return False
            current.close("replaced")
        elif current is None and self._owner.is_full():
            self._counters.refused_connections += 1
            return False
        if current is not None:
            self._owner.drop(current)
        self._owner.take(link)
        return True

    def on_frames(self, link: Libp2pLink, lane: Lane, frames: list[tuple[int, bytes]]) -> None:
        """Frames arrived."""
        self._owner.on_frames(link, lane, frames)

    def on_misbehaved(self, link: Libp2pLink, error: PeerMisbehaved) -> None:
        """A peer misbehaved."""
        self._owner.on_misbehaved(link, error)

    def on_slow(self, link: Libp2pLink, lane: Lane) -> None:
        """A peer does not take what is written to it."""
        self._owner.on_slow(link, lane)

    # --- inside -----------------------------------------------------------------------------------------------

    def _keeps(self, current: Libp2pLink, newer: Libp2pLink) -> bool:
        """Decide between two connections of one pair, the same way on both sides.

        Made at the same time, the one that the lower peer id dialled is kept. Otherwise the newer one: its maker had
        no connection any more, so that the older one is dead and we have not noticed yet.
        """
        raced = trio.current_time() - current.opened_at < self._bounds.race_window_s
        we_are_lower = self._peer_id < current.peer
        return raced and current.dialled == we_are_lower and newer.dialled != current.dialled

    def _admit(self, peer: PeerId) -> bool:
        """Answer the gate inside the Noise handshake."""
        if self._owner.is_admissible(peer) and peer != self._peer_id:
            return True
        self._counters.refused_connections += 1
        return False

    async def _on_accepted(self, stream: trio.SocketStream) -> None:
        """Upgrade and run one accepted connection; raises nothing."""
        wire = Wire(stream, self._bounds)
        remote = wire.get_remote_address()
        address = remote[0] if remote else ""
        if not self._rate.allows(address):
            self._counters.refused_connections += 1
            wire.abort()
            return
        evicted = self._accepting.evicted
        ticket = self._accepting.enter(address, wire.abort)
        if self._accepting.evicted != evicted:
            self._counters.refused_connections += 1
        try:
            with trio.move_on_after(self._bounds.handshake_timeout_s) as timeout:
                peer, muxer = await self._stack.upgrade_inbound(wire)
            if timeout.cancelled_caught:
                return
            link = Libp2pLink(self, peer, self._bounds, wire, muxer, dialled=False)
            assert self._nursery is not None
            self._nursery.start_soon(self._run_link, link)
            await self._settle_incoming(link)
            self._accepting.leave(ticket)
            # The listener closes the socket when we return.
            await link.ended.wait()
        except PeerRefused as error:
            _log.info("peer_refused", own_peer=self._peer_id, peer=error.data.get("peer"), code=error.code)
        except Exception as error:  # noqa: BLE001 - the edge: garbage from anybody ends this connection only
            _log.debug("handshake_failed", own_peer=self._peer_id, error=type(error).__name__)
        finally:
            self._accepting.leave(ticket)
            wire.abort()

    async def _settle_incoming(self, link: Libp2pLink) -> None:
        self._incoming[link.peer] += 1
        try:
            await link.settled.wait()
        finally:
            self._incoming[link.peer] -= 1
            if not self._incoming[link.peer]:
                del self._incoming[link.peer]

    async def _run_link(self, link: Libp2pLink) -> None:
        try:
            await link.run()
        finally:
            self._owner.drop(link)
            self.wake(link.peer)

    # --- dialling ---------------------------------------------------------------------------------------------

    async def _keep_connected(self, peer: PeerId, dialler: _Dialler) -> None:
        """Dial whenever there is no connection, with growing pauses; ends when its scope is cancelled."""
        pause_s = self._bounds.redial_min_s
        with dialler.scope:
            while True:
                began = trio.current_time()
                await self._until_needed(peer, dialler)
                if self._peer_id <= peer or await self._still_needed_after_grace(peer):
                    link = await self._dial(dialler.next_address())
                    if link is not None:
                        await link.ended.wait()
                if trio.current_time() - began >= self._bounds.redial_reset_s + self._bounds.handshake_timeout_s:
                    # Connected for long, by whomever.
                    pause_s = self._bounds.redial_min_s
                await trio.sleep(pause_s * (1 + self._random.random() / 2))
                pause_s = min(pause_s * 2, self._bounds.redial_max_s)

    async def _until_needed(self, peer: PeerId, dialler: _Dialler) -> None:
        while self._owner.link_of(peer) is not None or not self._owner.is_admissible(peer):
            dialler.wake = trio.Event()
            # The longest wait is for a penalty to pass, which wakes nobody.
            with trio.move_on_after(self._bounds.redial_max_s):
                await dialler.wake.wait()

    async def _still_needed_after_grace(self, peer: PeerId) -> bool:
        """Let the lower peer id dial first, which avoids most double connections."""
        await trio.sleep(self._bounds.dial_grace_s)
        return self._owner.link_of(peer) is None and not self._gives_way_to(peer) and self._owner.is_admissible(peer)

    def _gives_way_to(self, peer: PeerId) -> bool:
        """Whether a lower peer id is just connecting to us, so that a connection of ours would only be closed."""
        return self._peer_id > peer and peer in self._incoming

    async def _dial(self, address: PeerAddress) -> Libp2pLink | None:
        """Make one attempt; gives a link that is in use, or None."""
        wire: Wire | None = None
        try:
            with trio.fail_after(self._bounds.handshake_timeout_s):
                stream = await trio.open_tcp_stream(address.host, address.port)
                wire = Wire(stream, self._bounds)
                peer, muxer = await self._stack.upgrade_outbound(wire, address.peer_id)
            if self._owner.link_of(peer) is not None or self._gives_way_to(peer):
                return None
            link = Libp2pLink(self, peer, self._bounds, wire, muxer, dialled=True)
            assert self._nursery is not None
            self._nursery.start_soon(self._run_link, link)
            wire = None
            self._outgoing[peer] = link
            try:
                await link.settled.wait()
            finally:
                del self._outgoing[peer]
            if link.is_ready:
                self._counters.dial_reasons.pop(peer, None)
                return link
            failure = link.closed_reason or REASON_FAILED
        except OSError as error:
            failure = "refused" if _is_refusal(error) else "unreachable"
        except trio.TooSlowError:
            failure = "no_answer"
        except PeerRefused as error:
            failure = error.code
        except Exception as error:  # noqa: BLE001 - the edge: a failed dial is counted and repeated
            failure = type(error).__name__
        finally:
            if wire is not None:
                wire.abort()
        self._counters.dial_failures += 1
        self._counters.dial_reasons[address.peer_id] = failure
        _log.debug("dial_failed", own_peer=self._peer_id, peer=address.peer_id, reason=failure)
        return None


def _is_refusal(error: BaseException | None) -> bool:
    """Whether the host answered that nobody listens there; trio wraps one error for each address that it tried."""
    if isinstance(error, BaseExceptionGroup):
        return any(_is_refusal(one) for one in error.exceptions)
    return isinstance(error, ConnectionRefusedError) or (error is not None and _is_refusal(error.__cause__))
