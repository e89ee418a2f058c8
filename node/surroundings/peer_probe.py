"""Dials the peers of a home whose daemon does not run, with its own identity, and asks each what time it is there.

So more is learned than whether a port is open: that the peer is who it should be, has the same genesis, admits us, and
how far its clock is from ours. Nothing else is sent; the peers see a node that comes and goes.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from statistics import median
from typing import Final

from ledger.errors import NotFound, TidegateError
from node.clock import monotonic_ms, wall_ms
from node.home import Home
from node.wire import RequestKind, time_codec
from p2p.transport import Channel, PeerAddress, PeerId, Transport

WITHIN_S: Final = 6.0
"""A peer that is dialled and does not answer within this time is not reachable."""
ASK_S: Final = 3.0
QUESTIONS: Final = 3


@dataclass(frozen=True, slots=True)
class PeerSeen:
    """How one peer answered.

    Attributes:
        address: whom.
        open: whether its port takes connections.
        admitted: whether the two of us got through the handshake: same chain, both admitted.
        offset_ms: how far its clock is ahead of ours; None where it did not say.
        error_ms: by so much that may be wrong: half of the time that the question took.
    """

    address: PeerAddress
    open: bool
    admitted: bool
    offset_ms: int | None = None
    error_ms: int = 0


async def probe_peers(home: Home, within_s: float = WITHIN_S) -> list[PeerSeen]:
    """Asks every peer in the home's configuration at once.

    Args:
        home: open; its daemon does not run, or two of the same identity would get in each other's way.
        within_s: how long each may take.

    Raises:
        TransportFailed: the overlay cannot be started at all.
    """
    from p2p.libp2p_transport import Libp2pTransport  # noqa: PLC0415 - brings libp2p, half a second

    addresses = home.config.p2p.addresses
    if not addresses:
        return []
    transport = Libp2pTransport(
        home.keys.transport, network=home.genesis.hash.hex(), listen_host="127.0.0.1", listen_port=0
    )
    wanted = frozenset(address.peer_id for address in addresses)
    handler = _Handler()
    transport.set_allowed(lambda peer: peer in wanted)
    transport.set_addresses(addresses)
    await transport.start(handler)
    try:
        return await ask_all(transport, handler.connected, addresses, within_s)
    finally:
        await transport.stop()


async def ask_all(
    transport: Transport, connected: asyncio.Condition, addresses: Sequence[PeerAddress], within_s: float
) -> list[PeerSeen]:
    """How each of ``addresses`` answers over a started transport; ``connected`` is notified when a peer comes."""
    return list(await asyncio.gather(*(_see(transport, connected, address, within_s) for address in addresses)))


async def _see(transport: Transport, connected: asyncio.Condition, address: PeerAddress, within_s: float) -> PeerSeen:
    if not await _takes_connections(address, within_s):
        return PeerSeen(address, open=False, admitted=False)
    admitted = False
    with suppress(TimeoutError):
        async with asyncio.timeout(within_s), connected:
            await connected.wait_for(lambda: address.peer_id in transport.peers())
            admitted = True
    offset = await _offset(transport, address.peer_id) if admitted else None
    if offset is None:
        return PeerSeen(address, open=True, admitted=admitted)
    return PeerSeen(address, open=True, admitted=admitted, offset_ms=offset[0], error_ms=offset[1])


async def _offset(transport: Transport, peer: PeerId) -> tuple[int, int] | None:
    """(ms that the peer's clock is ahead, ms that this may be wrong by), of the question that was answered fastest."""
    found: list[tuple[int, int]] = []
    for _ in range(QUESTIONS):
        begun, wall = monotonic_ms(), wall_ms()
        with suppress(TidegateError):
            told = time_codec.decode(await transport.request(peer, RequestKind.TIME, b"", ASK_S))
            took = monotonic_ms() - begun
            found.append((told.time_ms - wall - took // 2, took // 2))
    return min(found, key=lambda item: item[1]) if found else None


async def _takes_connections(address: PeerAddress, within_s: float) -> bool:
    with suppress(OSError, TimeoutError):
        async with asyncio.timeout(within_s):
            _, writer = await asyncio.open_connection(address.host, address.port)
        writer.close()
        return True
    return False


def clock_offset(seen: Sequence[PeerSeen]) -> tuple[int, int] | None:
    """(ms that our clock is ahead of the peers', peers that said), the median; None where nobody said."""
    offsets = [-peer.offset_ms for peer in seen if peer.offset_ms is not None]
    return (round(median(offsets)), len(offsets)) if offsets else None


class _Handler:
    """The node's part of the overlay while it only looks."""

    def __init__(self) -> None:
        self.connected = asyncio.Condition()
        self._tasks: set[asyncio.Task[None]] = set()

    def on_connected(self, peer: PeerId) -> None:
        """See ``Handler``."""
        del peer
        task = asyncio.get_running_loop().create_task(self._tell())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _tell(self) -> None:
        async with self.connected:
            self.connected.notify_all()

    def on_disconnected(self, peer: PeerId, reason: str) -> None:
        """See ``Handler``."""

    def on_message(self, peer: PeerId, channel: Channel, kind: int, payload: bytes) -> None:
        """See ``Handler``: what peers say to a node is not for us."""

    async def on_request(self, peer: PeerId, kind: int, payload: bytes) -> bytes:
        """See ``Handler``: nothing is served."""
        del peer, kind, payload
        raise NotFound("this node only looks whether its peers are there", code="request_kind_unknown")
