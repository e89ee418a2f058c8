"""From a TCP socket to a multiplexed connection with a known, admitted peer: multistream-select, Noise, Yamux.

Nothing else is offered or accepted: no plaintext, no TLS, no mplex.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import trio
from libp2p.crypto.ed25519 import create_new_key_pair
from libp2p.crypto.x25519 import create_new_key_pair as create_new_x25519_key_pair
from libp2p.custom_types import TProtocol
from libp2p.io.abc import ReadWriteCloser
from libp2p.io.exceptions import ConnectionClosedError
from libp2p.network.connection.raw_connection import RawConnection
from libp2p.peer.id import ID
from libp2p.security.noise.transport import PROTOCOL_ID as NOISE_PROTOCOL
from libp2p.security.noise.transport import Transport as NoiseTransport
from libp2p.security.security_multistream import SecurityMultistream
from libp2p.stream_muxer.muxer_multistream import MuxerMultistream
from libp2p.stream_muxer.yamux.yamux import PROTOCOL_ID as YAMUX_PROTOCOL
from libp2p.stream_muxer.yamux.yamux import Yamux

from ledger.errors import PeerMisbehaved, PeerRefused
from p2p.libp2p_patches import Muxer
from p2p.transport import PeerId

if TYPE_CHECKING:
    from collections.abc import Callable

    from libp2p.abc import IRawConnection, ISecureConn

    from p2p.bounds import TransportBounds
    from p2p.identity import TransportKey

_UNLIMITED: Final = 1 << 62


class Wire(ReadWriteCloser):  # type: ignore[misc]  # mypy does not follow libp2p
    """A TCP stream as the library wants it: buffered reads, and a close that never waits.

    Args:
        stream: the socket; closed by ``abort``.
        bounds: ``handshake_max_bytes`` are read at most until ``trust`` is called.
    """

    def __init__(self, stream: trio.SocketStream, bounds: TransportBounds) -> None:
        self._stream = stream
        self._read_bytes = bounds.read_bytes
        self._limit = bounds.handshake_max_bytes
        self._buffer = b""
        self._offset = 0
        self.bytes_received = 0
        self._corked: list[bytes] | None = None

    def trust(self) -> None:
        """The peer has proved its identity: lift the limit on what is read."""
        self._limit = _UNLIMITED

    async def read(self, n: int | None = None) -> bytes:
        """Give at least one and at most ``n`` bytes; nothing at the end."""
        if n == 0:
            return b""
        if self._offset == len(self._buffer):
            try:
                self._buffer = bytes(await self._stream.receive_some(self._read_bytes))
            except trio.BrokenResourceError as error:
                raise ConnectionClosedError("reset by peer", transport="tcp") from error
            except trio.ClosedResourceError:
                self._buffer = b""
            self._offset = 0
            self.bytes_received += len(self._buffer)
            if self.bytes_received > self._limit:
                raise PeerMisbehaved("too many bytes before the handshake was over", code="handshake_too_large")
        start = self._offset
        end = len(self._buffer) if n is None else min(len(self._buffer), start + n)
        self._offset = end
        return self._buffer[start:end]

    async def write(self, data: bytes) -> None:
        """Send everything; while corked, only collect it."""
        if self._corked is not None:
            self._corked.append(data)
            return
        try:
            await self._stream.send_all(data)
        except (trio.BrokenResourceError, trio.ClosedResourceError) as error:
            raise ConnectionClosedError("connection closed", transport="tcp") from error

    def cork(self) -> None:
        """Collect what is written until ``uncork``: one system call instead of one per Noise message."""
        self._corked = []

    async def uncork(self) -> None:
        """Send what was collected."""
        collected, self._corked = self._corked, None
        if collected:
            await self.write(b"".join(collected))

    async def close(self) -> None:
        """Close at once."""
        self.abort()

    def abort(self) -> None:
        """Close at once; whoever reads or writes is woken."""
        self._stream.socket.close()

    def get_remote_address(self) -> tuple[str, int] | None:
        """Give the peer's IP address and port."""
        try:
            host, port, *_ = self._stream.socket.getpeername()
        except OSError:
            return None
        return str(host), int(port)


class _GatedNoise(NoiseTransport):  # type: ignore[misc]  # mypy does not follow libp2p
    """Noise XX that ends the handshake of a peer which the gate refuses, before anything else is negotiated."""

    def __init__(self, key: TransportKey, gate: Callable[[PeerId], bool]) -> None:
        super().__init__(create_new_key_pair(key.seed), noise_privkey=create_new_x25519_key_pair().private_key)
        self._gate = gate

    async def secure_inbound(self, conn: IRawConnection) -> ISecureConn:
        """Answer a handshake."""
        session = await super().secure_inbound(conn)
        self._check(session.get_remote_peer())
        return session

    async def secure_outbound(self, conn: IRawConnection, peer_id: ID) -> ISecureConn:
        """Begin a handshake; our identity is sent only after the peer has proved that it is ``peer_id``."""
        self._check(peer_id)
        return await super().secure_outbound(conn, peer_id)

    def _check(self, peer_id: ID) -> None:
        if not self._gate(PeerId(str(peer_id))):
            raise PeerRefused("this peer is not admitted", code="peer_not_admitted", peer=str(peer_id))


class Stack:
    """Upgrades connections; one for the life of an overlay.

    Args:
        key: our identity.
        gate: whether a peer is admitted, asked inside every handshake.
        bounds: limits.
    """

    def __init__(self, key: TransportKey, gate: Callable[[PeerId], bool], bounds: TransportBounds) -> None:
        self._security = SecurityMultistream({NOISE_PROTOCOL: _GatedNoise(key, gate)})
        self._muxers = MuxerMultistream({TProtocol(YAMUX_PROTOCOL): Yamux}, negotiate_timeout=30)
        self._bounds = bounds

    async def upgrade_inbound(self, wire: Wire) -> tuple[PeerId, Yamux]:
        """Upgrade an accepted connection; gives the peer and the multiplexer, which is yet to be started.

        Raises:
            PeerRefused: the gate refused the peer.
            Exception: whatever the library raises on garbage.
        """
        session = await self._security.secure_inbound(RawConnection(wire, initiator=False))
        return await self._multiplex(wire, session)

    async def upgrade_outbound(self, wire: Wire, peer: PeerId) -> tuple[PeerId, Yamux]:
        """Upgrade a dialled connection to ``peer``; otherwise as ``upgrade_inbound``."""
        raw = RawConnection(wire, initiator=True)
        session = await self._security.secure_outbound(raw, ID.from_base58(peer))
        return await self._multiplex(wire, session)

    async def _multiplex(self, wire: Wire, session: ISecureConn) -> tuple[PeerId, Yamux]:
        await self._muxers.select_transport(session)
        wire.trust()
        peer_id = session.get_remote_peer()
        return PeerId(str(peer_id)), Muxer(session, peer_id, is_initiator=session.is_initiator)
