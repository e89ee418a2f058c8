"""What the overlay's tests share: a recording handler, waiting on conditions, clusters of either transport."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field

from ledger.errors import InvalidInput
from p2p.bounds import TransportBounds
from p2p.identity import TransportKey
from p2p.memory import MemoryNetwork
from p2p.transport import Channel, PeerAddress, PeerId, Transport

ECHO, REFUSE, HANG, CRASH, SLOW = 1, 2, 3, 4, 5
NETWORK = "c0ffee"
# Short times, so that nothing in the tests waits for seconds; every test may override them.
QUICK = TransportBounds(
    ping_interval_s=0.2,
    redial_min_s=0.02,
    redial_max_s=0.3,
    redial_reset_s=-10.0,
    dial_grace_s=0.1,
    penalty_min_s=0.3,
    handshake_timeout_s=2.0,
    rebuild_pause_s=0.02,
)


def key(number: int) -> TransportKey:
    return TransportKey(number.to_bytes(32, "big"))


async def until(condition: Callable[[], object], timeout_s: float = 10.0) -> None:
    """Wait until a condition holds; fails the test after ``timeout_s``."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "the condition did not come true in time"
        await asyncio.sleep(0.002)


@dataclass
class Recorder:
    """A handler that writes down what happens, and answers the request kinds above."""

    connected: list[PeerId] = field(default_factory=list)
    disconnected: list[tuple[PeerId, str]] = field(default_factory=list)
    messages: list[tuple[PeerId, Channel, int, bytes]] = field(default_factory=list)
    requests: int = 0
    raise_on_kind: int | None = None
    hook: Callable[[PeerId, Channel, int, bytes], object] | None = None
    answer: Callable[[bytes], Awaitable[bytes]] | None = None

    def on_connected(self, peer: PeerId) -> None:
        self.connected.append(peer)

    def on_disconnected(self, peer: PeerId, reason: str) -> None:
        self.disconnected.append((peer, reason))

    def on_message(self, peer: PeerId, channel: Channel, kind: int, payload: bytes) -> None:
        if kind == self.raise_on_kind:
            raise ValueError("a bug in the node")
        self.messages.append((peer, channel, kind, payload))
        if self.hook is not None:
            self.hook(peer, channel, kind, payload)

    async def on_request(self, peer: PeerId, kind: int, payload: bytes) -> bytes:
        self.requests += 1
        if kind == REFUSE:
            raise InvalidInput("no", code="because")
        if kind == CRASH:
            raise ZeroDivisionError("a bug in the node")
        if kind == HANG:
            await asyncio.sleep(3600)
        if kind == SLOW:
            await asyncio.sleep(0.05)
        return payload

    def payloads(self) -> list[bytes]:
        return [message[3] for message in self.messages]

    def reasons(self) -> list[str]:
        return [reason for _, reason in self.disconnected]


@dataclass
class Node:
    transport: Transport
    handler: Recorder

    @property
    def peer_id(self) -> PeerId:
        return self.transport.peer_id


class Cluster:
    """Transports of one kind; ``stop`` stops all of them."""

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self.net = MemoryNetwork()
        self.nodes: list[Node] = []

    async def node(
        self,
        number: int,
        *,
        network: str = NETWORK,
        bounds: TransportBounds = QUICK,
        allowed: Callable[[PeerId], bool] = lambda _: True,
        port: int = 0,
        max_bytes_by_kind: dict[tuple[Channel, int], int] | None = None,
        vote_max_bytes: int = 1 << 20,
    ) -> Node:
        if self.kind == "memory":
            transport: Transport = self.net.transport(
                key(number).peer_id,
                network=network,
                bounds=bounds,
                vote_max_bytes=vote_max_bytes,
                max_bytes_by_kind=max_bytes_by_kind,
            )
        else:
            from p2p.libp2p_transport import Libp2pTransport

            transport = Libp2pTransport(
                key(number),
                network=network,
                listen_host="127.0.0.1",
                listen_port=port,
                bounds=bounds,
                vote_max_bytes=vote_max_bytes,
                max_bytes_by_kind=max_bytes_by_kind,
            )
        transport.set_allowed(allowed)
        node = Node(transport, Recorder())
        await transport.start(node.handler)
        self.nodes.append(node)
        return node

    def address(self, node: Node) -> PeerAddress:
        host, port = getattr(node.transport, "listen_address", ("127.0.0.1", 1))
        return PeerAddress(node.peer_id, host, port)

    def introduce(self, *nodes: Node) -> None:
        """Give every node the addresses of all."""
        for node in nodes:
            node.transport.set_addresses([self.address(other) for other in nodes])

    def point(self, node: Node, others: Iterable[Node]) -> None:
        """Give one node the addresses of others."""
        node.transport.set_addresses([self.address(other) for other in others])

    async def pair(self, **arguments: object) -> tuple[Node, Node]:
        """Two connected nodes."""
        left = await self.node(1, **arguments)  # type: ignore[arg-type]
        right = await self.node(2, **arguments)  # type: ignore[arg-type]
        self.introduce(left, right)
        await connected(left, right)
        return left, right

    async def stop(self) -> None:
        for node in self.nodes:
            await node.transport.stop()


async def connected(left: Node, right: Node, timeout_s: float = 10.0) -> None:
    await until(lambda: right.peer_id in left.transport.peers() and left.peer_id in right.transport.peers(), timeout_s)
