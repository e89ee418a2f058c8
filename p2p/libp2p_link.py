"""One libp2p connection to one peer: its three lanes, their readers and writers, and the watch over its silence.

Each lane is a Yamux stream of its own, opened by the dialling side. The accepting side answers with READY once it
has all three and has taken the connection into use; only then is it in use on the dialling side too.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Protocol

import structlog
import trio
from libp2p.custom_types import TProtocol
from libp2p.identity.identify.pb.identify_pb2 import Identify
from libp2p.protocol_muxer.multiselect import Multiselect
from libp2p.protocol_muxer.multiselect_client import MultiselectClient, MultiselectClientError
from libp2p.protocol_muxer.multiselect_communicator import MultiselectCommunicator
from libp2p.utils import encode_varint_prefixed

from ledger.errors import PeerMisbehaved
from p2p.framing import Control, FrameDecoder, Lane
from p2p.libp2p_patches import bound_windows, read_stream, write_stream
from p2p.peering import Link

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from libp2p.stream_muxer.yamux.yamux import Yamux, YamuxStream

    from p2p.bounds import TransportBounds
    from p2p.libp2p_stack import Wire
    from p2p.transport import PeerId

_log = structlog.get_logger(__name__)

PING_PROTOCOL: Final = TProtocol("/ipfs/ping/1.0.0")
IDENTIFY_PROTOCOL: Final = TProtocol("/ipfs/id/1.0.0")
_PING_BYTES: Final = 32
_PROTOCOL_NAME_MAX_BYTES: Final = 1024
_LANE_NAMES: Final = {Lane.VOTE: "vote", Lane.BULK: "bulk", Lane.REQUEST: "request"}

REASON_SILENT: Final = "silent_peer"
REASON_HANDSHAKE: Final = "handshake_timeout"
REASON_CLOSED: Final = "closed"
REASON_FAILED: Final = "connection_failed"
REASON_OTHER_NETWORK: Final = "other_network"
REASON_UNWANTED: Final = "unwanted"
REASON_OVERLAY_DIED: Final = "overlay_died"


def lane_protocol(network: str, lane: Lane) -> TProtocol:
    """Give the protocol id of a lane; nodes of different networks have none in common."""
    return TProtocol(f"/tidegate/{network}/{_LANE_NAMES[lane]}/1")


class LinkOwner(Protocol):
    """What a link needs from the overlay that made it."""

    network: str
    public_key: bytes
    """Our own, as the library's protobuf; for identify."""

    def cap(self, lane: Lane, kind: int) -> int:
        """Give the largest payload of a frame."""

    async def let_own_dial_finish(self, peer: PeerId) -> None:
        """Wait for our own connection to ``peer``, if it is as good as made and preferred to this one."""

    def on_ready(self, link: Libp2pLink) -> bool:
        """Take a complete link into use; False when it is not wanted."""

    def on_frames(self, link: Libp2pLink, lane: Lane, frames: list[tuple[int, bytes]]) -> None:
        """Frames arrived."""

    def on_misbehaved(self, link: Libp2pLink, error: PeerMisbehaved) -> None:
        """The peer sent what no honest peer sends; must close the link."""

    def on_slow(self, link: Libp2pLink, lane: Lane) -> None:
        """A write was not taken in time; must close the link."""


class Libp2pLink(Link):
    """A connection from the end of its upgrade to its close; ``run`` is its life.

    Args:
        owner: the overlay.
        peer: who is on the other side.
        bounds: limits.
        wire: the socket.
        muxer: the multiplexer on it, not started.
        dialled: whether we made the connection.
    """

    def __init__(
        self, owner: LinkOwner, peer: PeerId, bounds: TransportBounds, wire: Wire, muxer: Yamux, *, dialled: bool
    ) -> None:
        super().__init__(peer, bounds)
        self.dialled = dialled
        self.opened_at = trio.current_time()
        self.is_ready = False
        self.settled = trio.Event()
        """Set when the link is ready or has ended."""
        self.ended = trio.Event()
        self._owner = owner
        self._bounds = bounds
        self._wire = wire
        self._muxer = muxer
        self._streams: dict[Lane, YamuxStream] = {}
        self._lanes_complete = trio.Event()
        self._nursery: trio.Nursery | None = None
        self._scope = trio.CancelScope()
        bound_windows(muxer, 2 * bounds.window_max_bytes, self._on_window_excess)

    async def run(self) -> None:
        """Open or await the lanes, then carry frames until the connection closes; raises nothing."""
        self._scope.deadline = trio.current_time() + self._bounds.handshake_timeout_s
        try:
            with self._scope:
                async with trio.open_nursery() as nursery:
                    self._nursery = nursery
                    nursery.start_soon(self._guard, self._multiplex)
                    nursery.start_soon(self._guard, self._accept_streams)
                    nursery.start_soon(self._guard, self._handshake)
            self.close(REASON_CLOSED if self.is_ready else REASON_HANDSHAKE)
        except Exception as error:  # noqa: BLE001 - tasks that failed while they were being cancelled
            _log.debug("link_failed", peer=self.peer, error=type(error).__name__)
        finally:
            # Without a reason yet, we are being cancelled together with the overlay.
            self.close(REASON_OVERLAY_DIED)
            self._wire.abort()
            self.settled.set()
            self.ended.set()

    def _abort(self) -> None:
        # Closing the socket first wakes a writer that a stopped peer blocks; a GO_AWAY would wait behind it.
        self._wire.abort()
        self._scope.cancel()

    async def _guard(self, task: Callable[..., Awaitable[None]], *args: Any) -> None:
        """Run one of the link's tasks; whatever it raises ends the link and nothing else."""
        try:
            await task(*args)
        except PeerMisbehaved as error:
            self._owner.on_misbehaved(self, error)
        except Exception as error:  # noqa: BLE001 - the edge to the library: any error there ends this connection only
            _log.debug("link_task_failed", peer=self.peer, task=task.__name__, error=type(error).__name__)
            foreign = _has(error, MultiselectClientError)
            self.close(REASON_CLOSED if self.is_ready else REASON_OTHER_NETWORK if foreign else REASON_FAILED)

    async def _multiplex(self) -> None:
        await self._muxer.start()
        self.close(REASON_CLOSED if self.is_ready else REASON_FAILED)

    # --- handshake --------------------------------------------------------------------------------------------

    async def _handshake(self) -> None:
        await self._muxer.event_started.wait()
        if self.dialled:
            async with trio.open_nursery() as nursery:
                for lane in Lane:
                    nursery.start_soon(self._open_lane, lane)
            # The reader of the request lane makes the link ready when READY arrives.
            self._start_lane(Lane.REQUEST)
            return
        await self._lanes_complete.wait()
        await self._owner.let_own_dial_finish(self.peer)
        if self._become_ready():
            self._start_lane(Lane.REQUEST)

    async def _open_lane(self, lane: Lane) -> None:
        stream = await self._muxer.open_stream()
        protocol = lane_protocol(self._owner.network, lane)
        await MultiselectClient().select_one_of([protocol], MultiselectCommunicator(_Negotiation(stream)))
        self._streams[lane] = stream

    def _become_ready(self) -> bool:
        """Offer the link to the overlay, and start what is not running yet if it is wanted."""
        assert self._nursery is not None
        if not self.dialled:
            # In the queue before anything that the handler may send from on_connected.
            self.outboxes[Lane.REQUEST].push(Control.READY, b"")
        if not self._owner.on_ready(self):
            self.close(REASON_UNWANTED)
            return False
        self.is_ready = True
        self._scope.deadline = float("inf")
        self.settled.set()
        self._start_lane(Lane.VOTE)
        self._start_lane(Lane.BULK)
        self._nursery.start_soon(self._guard, self._watch)
        return True

    def _start_lane(self, lane: Lane) -> None:
        assert self._nursery is not None
        self._nursery.start_soon(self._guard, self._read, lane)
        self._nursery.start_soon(self._guard, self._write, lane)

    # --- carrying frames --------------------------------------------------------------------------------------

    async def _read(self, lane: Lane) -> None:
        stream = self._streams[lane]
        decoder = FrameDecoder(lambda kind: self._owner.cap(lane, kind))
        while data := await read_stream(self._muxer, stream, self._bounds.stream_read_bytes):
            frames = decoder.feed(data)
            if lane is Lane.REQUEST:
                frames = [frame for frame in frames if not self._took(*frame)]
            if frames:
                self._owner.on_frames(self, lane, frames)
        self.close(REASON_CLOSED)

    def _took(self, kind: int, payload: bytes) -> bool:
        """Handle what concerns the connection itself; False for requests and answers."""
        if kind == Control.PING:
            if not self.outboxes[Lane.REQUEST].push(Control.PONG, payload):
                self._owner.on_slow(self, Lane.REQUEST)
        elif kind == Control.READY:
            if self.is_ready or not self.dialled:
                raise PeerMisbehaved("READY comes once, from the accepting side", code="frame_unexpected")
            self._become_ready()
        elif kind != Control.PONG:
            if not self.is_ready:
                raise PeerMisbehaved("a request before READY", code="frame_unexpected")
            return False
        return True

    async def _write(self, lane: Lane) -> None:
        outbox, stream = self.outboxes[lane], self._streams[lane]
        while True:
            data = outbox.take(self._bounds.coalesce_bytes)
            if not data:
                # ``send`` wakes us from the asyncio side: in guest mode that is the same thread.
                pushed = trio.Event()
                outbox.wake = pushed.set
                await pushed.wait()
                continue
            with trio.move_on_after(self._bounds.write_stall_s) as stall:
                await write_stream(self._muxer, stream, self._wire, data, self._bounds.write_batch_bytes)
            if stall.cancelled_caught:
                self._owner.on_slow(self, lane)
                return
            outbox.written()

    async def _watch(self) -> None:
        """Ping, and close a peer that has sent nothing at all for several intervals."""
        seen, misses = self._wire.bytes_received, 0
        while True:
            self.outboxes[Lane.REQUEST].push(Control.PING, b"")
            await trio.sleep(self._bounds.ping_interval_s)
            if self._wire.bytes_received != seen:
                seen, misses = self._wire.bytes_received, 0
                continue
            misses += 1
            if misses >= self._bounds.ping_misses:
                _log.warning("silent_peer_dropped", peer=self.peer)
                self.close(REASON_SILENT)
                return

    # --- streams that the peer opens --------------------------------------------------------------------------

    async def _accept_streams(self) -> None:
        assert self._nursery is not None
        await self._muxer.event_started.wait()
        while True:
            stream = await self._muxer.accept_stream()
            if len(self._muxer.streams) > self._bounds.streams_per_peer:
                raise PeerMisbehaved("too many streams", code="too_many_streams")
            self._nursery.start_soon(self._serve_stream, stream)

    async def _serve_stream(self, stream: YamuxStream) -> None:
        """Negotiate and serve one stream; whatever goes wrong resets this stream only."""
        try:
            lanes = {} if self.dialled else {lane_protocol(self._owner.network, lane): lane for lane in Lane}
            offered = dict.fromkeys([*lanes, PING_PROTOCOL, IDENTIFY_PROTOCOL])
            with trio.fail_after(self._bounds.stream_timeout_s):
                protocol, _ = await Multiselect(offered).negotiate(MultiselectCommunicator(_Negotiation(stream)))
            if protocol == PING_PROTOCOL:
                await _echo(stream)
            elif protocol == IDENTIFY_PROTOCOL:
                await self._identify(stream, offered)
            elif (lane := lanes[protocol]) not in self._streams:
                self._streams[lane] = stream
                if len(self._streams) == len(Lane):
                    self._lanes_complete.set()
                return
        except Exception as error:  # noqa: BLE001 - the edge to the library: garbage on a stream ends that stream only
            _log.debug("stream_failed", peer=self.peer, error=type(error).__name__)
        try:
            with trio.move_on_after(1):
                await stream.reset()
        except Exception as error:  # noqa: BLE001 - the connection may be gone already
            _log.debug("stream_reset_failed", peer=self.peer, error=type(error).__name__)

    async def _identify(self, stream: YamuxStream, offered: dict[Any, None]) -> None:
        """Answer identify, which stock libp2p nodes ask on connecting."""
        message = Identify(
            protocol_version="ipfs/0.1.0",
            agent_version="tidegate",
            public_key=self._owner.public_key,
            protocols=[str(protocol) for protocol in offered],
        )
        with trio.fail_after(self._bounds.stream_timeout_s):
            await stream.write(encode_varint_prefixed(message.SerializeToString()))
            await stream.close()
            # Wait for the other side to finish: a reset now could overtake the answer.
            while await stream.read(1):
                pass

    def _on_window_excess(self) -> None:
        self._owner.on_misbehaved(self, PeerMisbehaved("sent beyond the window", code="window_exceeded"))


class _Negotiation:
    """A stream while its protocol is negotiated: a protocol name is short, whatever length the peer announces."""

    def __init__(self, stream: YamuxStream) -> None:
        self._stream = stream

    async def read(self, n: int) -> bytes:
        """Read up to ``n`` bytes."""
        if n > _PROTOCOL_NAME_MAX_BYTES:
            raise PeerMisbehaved("a protocol name is too long", code="protocol_name_too_long")
        return bytes(await self._stream.read(n))

    async def write(self, data: bytes) -> None:
        """Write all."""
        await self._stream.write(data)


async def _echo(stream: YamuxStream) -> None:
    """Serve ping: 32 bytes back for every 32 bytes; ends when the stream does."""
    pending = b""
    while data := await stream.read(_PING_BYTES - len(pending)):
        pending += data
        if len(pending) == _PING_BYTES:
            await stream.write(pending)
            pending = b""


def _has(error: BaseException, kind: type[BaseException]) -> bool:
    """Whether ``error`` is, or is a group that holds, one of ``kind``."""
    if isinstance(error, BaseExceptionGroup):
        return any(_has(one, kind) for one in error.exceptions)
    return isinstance(error, kind)
