"""The overlay as the rest of the daemon sees it: connected peers, two message channels, requests.

Two implementations stand behind it: ``p2p.libp2p_transport.Libp2pTransport`` (TCP, Noise, Yamux) and
``p2p.memory.MemoryTransport`` (for tests and simulation). One conformance suite runs over both.

Everything here runs on one thread, the one of the asyncio loop.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum
from typing import TYPE_CHECKING, NewType, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

PeerId = NewType("PeerId", str)
"""A libp2p peer id in base58 (``12D3Koo...`` for Ed25519)."""


class Channel(IntEnum):
    """A message lane between two peers. Each is a stream of its own, so that bulk never delays a vote."""

    VOTE = 0
    BULK = 1


@dataclass(frozen=True, slots=True)
class PeerAddress:
    """Where a peer listens: its id, a host name or IP address, a TCP port."""

    peer_id: PeerId
    host: str
    port: int


@dataclass(frozen=True, slots=True)
class TransportStats:
    """Counters since the transport was made (``queue_bytes`` and ``connected``: now). Bytes include frame headers."""

    connected: int = 0
    bytes_in: Mapping[Channel, int] = field(default_factory=dict)
    bytes_out: Mapping[Channel, int] = field(default_factory=dict)
    request_bytes_in: int = 0
    request_bytes_out: int = 0
    frames_in: int = 0
    frames_out: int = 0
    slow_peer_drops: int = 0
    """Peers that were disconnected because a queue to them was full."""
    refused_connections: int = 0
    """Connections refused by the identity gate, by a penalty or by an accept limit."""
    misbehaved_peers: int = 0
    """Peers disconnected for a bad frame, a flood of requests, or a handler that raised."""
    reconnects: int = 0
    """Connections made to a peer that had been connected before."""
    dial_failures: int = 0
    rebuilds: int = 0
    """How often the watchdog rebuilt the overlay."""
    queue_bytes: Mapping[PeerId, int] = field(default_factory=dict)
    unreachable: Mapping[PeerId, str] = field(default_factory=dict)
    """Why the last attempt to connect failed, of peers that are to be kept connected and are not."""


class Handler(Protocol):
    """What the node does with the overlay's events.

    The ``on_`` methods are called synchronously from the read path: they return at once and do not raise. One that
    raises is logged, and the peer that it was called for is disconnected.
    """

    def on_connected(self, peer: PeerId) -> None:
        """``peer`` is ready: ``send`` and ``request`` to it work from now on."""

    def on_disconnected(self, peer: PeerId, reason: str) -> None:
        """``peer`` is gone; ``reason`` is a stable snake_case word. Exactly one for every ``on_connected``."""

    def on_message(self, peer: PeerId, channel: Channel, kind: int, payload: bytes) -> None:
        """``peer`` sent a message; those of one channel arrive in the order in which they were sent."""

    async def on_request(self, peer: PeerId, kind: int, payload: bytes) -> bytes:
        """Answer a request.

        Raises:
            TidegateError: the request is refused; its ``code`` travels to the peer, its text does not.
        """
        ...


class Transport(Protocol):
    """An authenticated overlay to a changing set of allowed peers."""

    @property
    def peer_id(self) -> PeerId:
        """Our own peer id."""
        ...

    def peers(self) -> tuple[PeerId, ...]:
        """The connected peers, sorted; ``send`` to each of them works now."""
        ...

    def send(self, peer: PeerId, channel: Channel, kind: int, payload: bytes) -> bool:
        """Queue one message; never blocks.

        Args:
            peer: a connected peer.
            channel: the lane.
            kind: 0 to 255, the caller's message type.
            payload: at most the channel's frame cap, and the kind's own where it has one.

        Returns:
            False when ``peer`` is not connected, or its queue was full: then it has also been disconnected.

        Raises:
            LocalMisuse: the kind is out of range, or the payload is over its cap: the peer would drop us for it.
        """
        ...

    async def request(self, peer: PeerId, kind: int, payload: bytes, timeout_s: float) -> bytes:
        """Send a request and wait for its answer.

        Raises:
            PeerUnavailable: not connected, the connection closed meanwhile, or too many requests are pending.
            PeerTimeout: no answer within ``timeout_s`` seconds.
            PeerRefused: the peer refused; ``code`` stays ``peer_refused``, ``data["peer_code"]`` is the peer's code.
            LocalMisuse: the kind is out of range or the payload is over the cap.
        """
        ...

    def set_allowed(self, allowed: Callable[[PeerId], bool]) -> None:
        """Set the identity gate, consulted inside the Noise handshake of both directions.

        May be called again at any time: peers that are no longer allowed are disconnected at once. Until the first
        call nobody is allowed.
        """
        ...

    def set_addresses(self, addresses: Iterable[PeerAddress]) -> None:
        """Set whom to keep connected; our own id among them is ignored. The latest call replaces the ones before.

        One peer may have several addresses; they are tried in turn.
        """
        ...

    def disconnect(self, peer: PeerId, reason: str) -> None:
        """Penalise ``peer``: close the connection, and refuse it for a bounded time that grows with repetition."""
        ...

    def stats(self) -> TransportStats:
        """A snapshot of the counters."""
        ...

    async def start(self, handler: Handler) -> None:
        """Listen and start dialling; returns once listening.

        Raises:
            TransportFailed: the listening address cannot be used.
            LocalMisuse: started before.
        """
        ...

    async def stop(self) -> None:
        """Close everything; ``on_disconnected`` is called for every connected peer. Safe to call twice."""
        ...

    async def wait_failed(self) -> None:
        """Wait until the overlay has failed for good; returns when ``stop`` is called.

        Raises:
            TransportFailed: the overlay died more often in a row than the watchdog rebuilds it.
        """
        ...
