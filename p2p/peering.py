"""What both transports share: links with bounded queues, caps, requests, penalties, counters, the handler's calls.

A subclass makes links, moves the bytes of their outboxes, and calls ``_link_up``, ``_receive`` and ``_link_down``.
"""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import structlog

from ledger.errors import LocalMisuse, PeerMisbehaved, PeerUnavailable
from p2p.bounds import TransportBounds
from p2p.framing import HEADER_BYTES, KIND_MAX, REQUEST_HEADER_BYTES, Control, Lane
from p2p.outbox import Outbox
from p2p.penalties import Penalties
from p2p.requests import RequestTable
from p2p.transport import Channel, Handler, PeerId, TransportStats

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_log = structlog.get_logger(__name__)

REASON_NOT_ALLOWED: Final = "not_allowed"
REASON_SLOW: Final = "slow_peer"
REASON_MISBEHAVED: Final = "misbehaved"
REASON_HANDLER_RAISED: Final = "handler_raised"
REASON_STOPPED: Final = "stopped"


class Link(ABC):
    """One connection to one peer: an outbox per lane, and a way to close it."""

    def __init__(self, peer: PeerId, bounds: TransportBounds) -> None:
        self.peer = peer
        self.outboxes = (
            Outbox(bounds.vote_queue_bytes),
            Outbox(bounds.bulk_queue_bytes),
            Outbox(bounds.request_queue_bytes),
        )
        self.closed_reason: str | None = None

    def close(self, reason: str) -> None:
        """Close at once; the first reason stands. ``_link_down`` follows."""
        if self.closed_reason is None:
            self.closed_reason = reason
            self._abort()

    @abstractmethod
    def _abort(self) -> None:
        """Start tearing the connection down; called once."""


@dataclass(slots=True)
class Counters:
    """What ``stats`` reports; see ``TransportStats``. By lane: vote, bulk, request."""

    bytes_in: list[int] = field(default_factory=lambda: [0, 0, 0])
    bytes_out: list[int] = field(default_factory=lambda: [0, 0, 0])
    frames_in: int = 0
    frames_out: int = 0
    slow_peer_drops: int = 0
    refused_connections: int = 0
    misbehaved_peers: int = 0
    reconnects: int = 0
    dial_failures: int = 0
    dial_reasons: dict[PeerId, str] = field(default_factory=dict)
    rebuilds: int = 0


def _nobody(_peer: PeerId) -> bool:
    return False


class Peering:
    """The common half of a transport; implements everything of ``Transport`` that needs no network.

    Args:
        peer_id: our own id.
        bounds: every limit.
        vote_max_bytes: largest payload on the VOTE channel; proposals grow with the number of validators.
        max_bytes_by_kind: tighter caps of single kinds, such as PREPARE and COMMIT.
        clock: seconds, monotonic.
    """

    def __init__(
        self,
        peer_id: PeerId,
        *,
        bounds: TransportBounds | None = None,
        vote_max_bytes: int = 1 << 20,
        max_bytes_by_kind: Mapping[tuple[Channel, int], int] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._peer_id = peer_id
        self._bounds = bounds = bounds or TransportBounds()
        by_kind = max_bytes_by_kind or {}
        self._caps: tuple[tuple[int, ...], ...] = (
            tuple(by_kind.get((Channel.VOTE, kind), vote_max_bytes) for kind in range(KIND_MAX + 1)),
            tuple(by_kind.get((Channel.BULK, kind), bounds.frame_max_bytes) for kind in range(KIND_MAX + 1)),
            _request_caps(bounds),
        )
        self._clock = clock
        self._handler: Handler | None = None
        self._links: dict[PeerId, Link] = {}
        self._met: set[PeerId] = set()
        self._allowed: Callable[[PeerId], bool] = _nobody
        self._penalties = Penalties(bounds, clock)
        self._counters = Counters()
        self._requests = RequestTable(
            bounds, send=self._send_control, answer=self._answer, answer_max_bytes=bounds.frame_max_bytes
        )

    # --- Transport --------------------------------------------------------------------------------------------

    @property
    def peer_id(self) -> PeerId:
        """Our own peer id."""
        return self._peer_id

    def peers(self) -> tuple[PeerId, ...]:
        """The connected peers, sorted."""
        return tuple(sorted(peer for peer, link in self._links.items() if link.closed_reason is None))

    def send(self, peer: PeerId, channel: Channel, kind: int, payload: bytes) -> bool:
        """See ``Transport.send``."""
        if not 0 <= kind <= KIND_MAX or len(payload) > self._caps[channel][kind]:
            raise LocalMisuse("a message is over its cap or of no kind", kind=kind, size_bytes=len(payload))
        return self._push(peer, channel, kind, payload)

    async def request(self, peer: PeerId, kind: int, payload: bytes, timeout_s: float) -> bytes:
        """See ``Transport.request``."""
        if not 0 <= kind <= KIND_MAX or len(payload) > self._bounds.frame_max_bytes:
            raise LocalMisuse("a request is over its cap or of no kind", kind=kind, size_bytes=len(payload))
        if peer not in self._links:
            raise PeerUnavailable("no connection to this peer", peer=peer)
        return await self._requests.request(peer, kind, payload, timeout_s)

    def set_allowed(self, allowed: Callable[[PeerId], bool]) -> None:
        """See ``Transport.set_allowed``."""
        self._allowed = allowed
        for peer, link in list(self._links.items()):
            if not allowed(peer):
                link.close(REASON_NOT_ALLOWED)

    def disconnect(self, peer: PeerId, reason: str) -> None:
        """See ``Transport.disconnect``."""
        penalty_s = self._penalties.penalise(peer)
        _log.warning("peer_penalised", own_peer=self._peer_id, peer=peer, reason=reason, penalty_s=penalty_s)
        link = self._links.get(peer)
        if link is not None:
            link.close(reason)

    def stats(self) -> TransportStats:
        """See ``Transport.stats``."""
        counters = self._counters
        # Live links count what they have written so far; ``_link_down`` adds the rest.
        out = list(counters.bytes_out)
        frames_out = counters.frames_out
        for link in self._links.values():
            for lane, outbox in enumerate(link.outboxes):
                out[lane] += outbox.written_bytes
                frames_out += outbox.frames_out
        return TransportStats(
            connected=len(self._links),
            bytes_in={channel: counters.bytes_in[channel] for channel in Channel},
            bytes_out={channel: out[channel] for channel in Channel},
            request_bytes_in=counters.bytes_in[Lane.REQUEST],
            request_bytes_out=out[Lane.REQUEST],
            frames_in=counters.frames_in,
            frames_out=frames_out,
            slow_peer_drops=counters.slow_peer_drops,
            refused_connections=counters.refused_connections,
            misbehaved_peers=counters.misbehaved_peers,
            reconnects=counters.reconnects,
            dial_failures=counters.dial_failures,
            rebuilds=counters.rebuilds,
            unreachable={p: why for p, why in counters.dial_reasons.items() if p not in self._links},
            queue_bytes={p: sum(box.queued_bytes for box in link.outboxes) for p, link in self._links.items()},
        )

    # --- for the subclass -------------------------------------------------------------------------------------

    def _is_admissible(self, peer: PeerId) -> bool:
        """Whether a connection with ``peer`` may be used: allowed, and not penalised."""
        return self._allowed(peer) and self._penalties.remaining_s(peer) <= 0

    def _cap(self, lane: Lane, kind: int) -> int:
        return self._caps[lane][kind]

    def _link_up(self, link: Link) -> None:
        """Take a link into use and tell the handler; any earlier link of the peer has been taken down."""
        peer = link.peer
        self._links[peer] = link
        if peer in self._met:
            self._counters.reconnects += 1
        elif len(self._met) < self._bounds.penalties_max:
            self._met.add(peer)
        _log.info("peer_connected", own_peer=self._peer_id, peer=peer)
        if self._handler is not None:
            try:
                self._handler.on_connected(peer)
            except Exception:  # noqa: BLE001 - the node's code; logged there
                self._handler_raised(link)

    def _link_down(self, link: Link) -> None:
        """Forget a link and tell the handler; does nothing for a link that is not, or no longer, in use."""
        peer = link.peer
        if self._links.get(peer) is not link:
            return
        del self._links[peer]
        reason = link.closed_reason or "closed"
        for lane, outbox in enumerate(link.outboxes):
            self._counters.bytes_out[lane] += outbox.written_bytes
            self._counters.frames_out += outbox.frames_out
        self._requests.on_disconnected(peer)
        _log.info("peer_disconnected", own_peer=self._peer_id, peer=peer, reason=reason)
        if self._handler is not None:
            try:
                self._handler.on_disconnected(peer, reason)
            except Exception:  # noqa: BLE001 - the node's code; there is nobody left to blame
                _log.exception("disconnect_handler_failed", own_peer=self._peer_id, peer=peer)

    def _receive(self, link: Link, lane: Lane, frames: list[tuple[int, bytes]]) -> None:
        """Pass frames to the handler, in order; stops when that closes the link."""
        counters = self._counters
        handler = self._handler
        peer = link.peer
        try:
            if lane is Lane.REQUEST:
                for kind, payload in frames:
                    counters.frames_in += 1
                    counters.bytes_in[lane] += len(payload) + HEADER_BYTES
                    self._requests.on_frame(peer, Control(kind), payload)
                return
            channel = Channel(lane)
            for kind, payload in frames:
                if link.closed_reason is not None or handler is None:
                    return
                counters.frames_in += 1
                counters.bytes_in[lane] += len(payload) + HEADER_BYTES
                handler.on_message(peer, channel, kind, payload)
        except PeerMisbehaved as error:
            self._misbehaved(link, error)
        except Exception:  # noqa: BLE001 - the node's code; logged there
            self._handler_raised(link)

    def _misbehaved(self, link: Link, error: PeerMisbehaved) -> None:
        """Penalise the peer of a link for what it sent."""
        self._counters.misbehaved_peers += 1
        _log.warning("peer_misbehaved", own_peer=self._peer_id, peer=link.peer, code=error.code)
        self._penalties.penalise(link.peer)
        link.close(REASON_MISBEHAVED)

    def _handler_raised(self, link: Link) -> None:
        self._counters.misbehaved_peers += 1
        _log.exception("message_handler_failed", own_peer=self._peer_id, peer=link.peer)
        self._penalties.penalise(link.peer)
        link.close(REASON_HANDLER_RAISED)

    # --- inside -----------------------------------------------------------------------------------------------

    def _push(self, peer: PeerId, lane: int, kind: int, payload: bytes) -> bool:
        link = self._links.get(peer)
        if link is None or link.closed_reason is not None:
            return False
        if link.outboxes[lane].push(kind, payload):
            return True
        self._counters.slow_peer_drops += 1
        _log.warning("slow_peer_dropped", own_peer=self._peer_id, peer=peer, lane=Lane(lane).name.lower())
        link.close(REASON_SLOW)
        return False

    def _send_control(self, peer: PeerId, control: Control, payload: bytes) -> bool:
        return self._push(peer, Lane.REQUEST, control, payload)

    async def _answer(self, peer: PeerId, kind: int, payload: bytes) -> bytes:
        if self._handler is None:
            raise PeerUnavailable("not started")
        return await self._handler.on_request(peer, kind, payload)


def _request_caps(bounds: TransportBounds) -> tuple[int, ...]:
    """Give the caps by frame kind of the request stream: unknown kinds are refused whole."""
    large = bounds.frame_max_bytes + REQUEST_HEADER_BYTES
    caps = [-1] * (KIND_MAX + 1)
    for control in Control:
        caps[control] = large if control in (Control.REQUEST, Control.ANSWER) else bounds.control_max_bytes
    return tuple(caps)
