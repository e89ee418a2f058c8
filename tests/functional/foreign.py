"""A peer made in the test with a transport of our own."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from node.network_file import Network, NetworkNode
from p2p.bounds import TransportBounds
from p2p.identity import TransportKey
from p2p.libp2p_transport import Libp2pTransport
from p2p.transport import Channel, PeerAddress, PeerId
from tests.functional.load import until


@dataclass
class Peer:
    """A handler that writes down who connected.

    Attributes:
        answer: to every request.
        silent: requests are never answered.
    """

    transport: Libp2pTransport
    connected: list[PeerId] = field(default_factory=list)
    disconnected: list[PeerId] = field(default_factory=list)
    answer: bytes = b""
    silent: bool = False

    def on_connected(self, peer: PeerId) -> None:
        self.connected.append(peer)

    def on_disconnected(self, peer: PeerId, reason: str) -> None:
        self.disconnected.append(peer)

    def on_message(self, peer: PeerId, channel: Channel, kind: int, payload: bytes) -> None:
        pass

    async def on_request(self, peer: PeerId, kind: int, payload: bytes) -> bytes:
        if self.silent:
            await asyncio.Event().wait()
        return self.answer

    def dial(self, *nodes: NetworkNode) -> None:
        self.transport.set_addresses([PeerAddress(PeerId(node.peer_id), node.host, node.port) for node in nodes])

    async def wait_connected(self, node: NetworkNode) -> None:
        async def found() -> bool:
            return node.peer_id in self.transport.peers()

        await until(found, f"a connection to {node.name}")

    async def wait_dropped(self, node: NetworkNode) -> None:
        """Until the node has ended our connection; it is not dialled again."""
        self.transport.set_addresses([])

        async def gone() -> bool:
            return node.peer_id in self.disconnected and node.peer_id not in self.transport.peers()

        await until(gone, f"{node.name} drops us")


@asynccontextmanager
async def peer(
    network: Network, key: TransportKey, *, port: int = 0, frame_max_bytes: int | None = None
) -> AsyncIterator[Peer]:
    """A running transport with an identity of its own; everybody is welcome to it."""
    bounds = TransportBounds() if frame_max_bytes is None else TransportBounds(frame_max_bytes=frame_max_bytes)
    transport = Libp2pTransport(
        key,
        network=network.genesis().hash.hex(),
        listen_host="127.0.0.1",
        listen_port=port,
        bounds=bounds,
        vote_max_bytes=bounds.frame_max_bytes,
    )
    transport.set_allowed(lambda _: True)
    found = Peer(transport)
    await transport.start(found)
    try:
        yield found
    finally:
        await transport.stop()
