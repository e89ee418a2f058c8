"""What the gossip's tests share: nodes on the in-memory network, joined along given edges."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from p2p import gossip_wire as wire
from p2p.bounds import GossipBounds
from p2p.gossip import Gossip, Verdict
from p2p.gossip_wire import GossipKind
from p2p.memory import MemoryNetwork
from p2p.transport import Channel, PeerAddress, PeerId
from tests.p2p.overlay_kit import QUICK, Recorder, key, until

VOTES, BATCHES = 1, 2
FAST = GossipBounds(lazy_s=0.05, fetch_timeout_s=0.1)
LARGE = bytes(200_000)


class GossipNode:
    """A transport, its gossip, and a handler that passes events on as the daemon does."""

    def __init__(self, net: MemoryNetwork, number: int, bounds: GossipBounds = FAST) -> None:
        self.transport = net.transport(key(number).peer_id, bounds=QUICK)
        self.transport.set_allowed(lambda _: True)
        self.recorder = Recorder()
        self.got: list[bytes] = []
        self.senders: list[PeerId] = []
        self.verdict: Verdict | None = Verdict.ACCEPT
        self.gossip = Gossip(self.transport, call_later=self._call_later, bounds=bounds)
        self.gossip.subscribe(VOTES, Channel.VOTE, self._deliver, max_bytes=100_000)
        self.gossip.subscribe(BATCHES, Channel.BULK, self._deliver)

    @property
    def peer_id(self) -> PeerId:
        return self.transport.peer_id

    def _call_later(self, delay_s: float, callback: Callable[[], None]) -> asyncio.TimerHandle:
        return asyncio.get_running_loop().call_later(delay_s, callback)

    def _deliver(self, peer: PeerId, payload: bytes) -> Verdict | None:
        self.got.append(payload)
        self.senders.append(peer)
        return self.verdict

    def on_connected(self, peer: PeerId) -> None:
        self.recorder.on_connected(peer)
        self.gossip.on_connected(peer)

    def on_disconnected(self, peer: PeerId, reason: str) -> None:
        self.recorder.on_disconnected(peer, reason)
        self.gossip.on_disconnected(peer)

    def on_message(self, peer: PeerId, channel: Channel, kind: int, payload: bytes) -> None:
        if not self.gossip.handle(peer, channel, kind, payload):
            self.recorder.on_message(peer, channel, kind, payload)

    async def on_request(self, peer: PeerId, kind: int, payload: bytes) -> bytes:
        return payload

    def bulk_bytes_in(self) -> int:
        return self.transport.stats().bytes_in[Channel.BULK]


class Mesh:
    def __init__(self) -> None:
        self.net = MemoryNetwork()
        self.nodes: list[GossipNode] = []

    async def build(self, count: int, edges: list[tuple[int, int]], bounds: GossipBounds = FAST) -> list[GossipNode]:
        """Start ``count`` nodes connected along ``edges``."""
        first = len(self.nodes)
        added = [GossipNode(self.net, first + number + 1, bounds) for number in range(count)]
        for index, node in enumerate(added):
            node.transport.set_addresses([PeerAddress(added[to].peer_id, "", 0) for at, to in edges if at == index])
            await node.transport.start(node)
        self.nodes += added
        links = len(edges) * 2
        await until(lambda: sum(len(node.transport.peers()) for node in added) == links)
        return added

    async def stop(self) -> None:
        for node in self.nodes:
            await node.transport.stop()
            node.gossip.stop()


def full(count: int) -> list[tuple[int, int]]:
    return [(left, right) for left in range(count) for right in range(left + 1, count)]


def line(count: int) -> list[tuple[int, int]]:
    return [(number, number + 1) for number in range(count - 1)]


async def settle() -> None:
    """Let everything under way arrive, the lazy announcements included."""
    await asyncio.sleep(FAST.lazy_s * 4)


def announce(node: GossipNode, to: GossipNode, payload: bytes) -> None:
    entry = (BATCHES, wire.item_id(BATCHES, payload), len(payload))
    node.transport.send(to.peer_id, Channel.BULK, GossipKind.ANNOUNCE, wire.encode_announce([entry]))
