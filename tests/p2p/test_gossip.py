"""Gossip over the in-memory overlay: everybody gets everything, seldom twice, and nothing grows without bound."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import AsyncIterator, Callable
from hashlib import sha256

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ledger.errors import LocalMisuse
from p2p import gossip_wire as wire
from p2p.bounds import GossipBounds
from p2p.gossip import Gossip, Verdict
from p2p.gossip_wire import GossipKind
from p2p.memory import MemoryNetwork
from p2p.transport import Channel, PeerAddress, PeerId
from tests.p2p.overlay_kit import QUICK, Cluster, Recorder, key, until

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


@pytest.fixture
async def mesh(clusters: list[Cluster]) -> AsyncIterator[Mesh]:
    made = Mesh()
    yield made
    await made.stop()


def full(count: int) -> list[tuple[int, int]]:
    return [(left, right) for left in range(count) for right in range(left + 1, count)]


def line(count: int) -> list[tuple[int, int]]:
    return [(number, number + 1) for number in range(count - 1)]


async def settle() -> None:
    """Let everything under way arrive, the lazy announcements included."""
    await asyncio.sleep(FAST.lazy_s * 4)


# --- reach ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("topic", [VOTES, BATCHES])
async def test_item_reaches_all_when_the_nodes_form_a_line(mesh: Mesh, topic: int) -> None:
    nodes = await mesh.build(5, line(5))
    nodes[0].gossip.publish(topic, b"first")
    nodes[4].gossip.publish(topic, b"last")
    await until(lambda: all(b"first" in node.got for node in nodes[1:]))
    await until(lambda: all(b"last" in node.got for node in nodes[:4]))
    await settle()
    assert nodes[0].got == [b"last"]
    assert all(len(node.got) == 2 for node in nodes[1:4])


async def test_large_item_reaches_all_when_the_nodes_form_a_line(mesh: Mesh) -> None:
    nodes = await mesh.build(4, line(4))
    nodes[0].gossip.publish(BATCHES, LARGE)
    await until(lambda: all(node.got == [LARGE] for node in nodes[1:]))
    assert all(node.gossip.stats.fetched == 1 for node in nodes[1:])


async def test_full_mesh_of_four_carries_each_batch_once_to_each_node(mesh: Mesh) -> None:
    nodes = await mesh.build(4, full(4))
    batches = [bytes([number]) * 20_000 for number in range(20)]
    for batch in batches:
        nodes[0].gossip.publish(BATCHES, batch)
    await until(lambda: all(len(node.got) == 20 for node in nodes[1:]))
    await settle()
    for node in nodes[1:]:
        assert node.got == batches
        assert node.gossip.stats.duplicates == 0
        assert node.bulk_bytes_in() < 20 * 20_000 * 1.05
    assert nodes[0].bulk_bytes_in() < 20_000


async def test_full_mesh_of_four_carries_a_large_item_once_to_each_node(mesh: Mesh) -> None:
    nodes = await mesh.build(4, full(4))
    nodes[0].gossip.publish(BATCHES, LARGE)
    await until(lambda: all(node.got == [LARGE] for node in nodes[1:]))
    await settle()
    assert all(len(LARGE) < node.bulk_bytes_in() < len(LARGE) * 1.05 for node in nodes[1:])


async def test_votes_go_to_all_at_once_when_there_are_more_peers_than_the_fan_out(mesh: Mesh) -> None:
    nodes = await mesh.build(14, full(14))
    nodes[0].gossip.publish(VOTES, b"vote")
    await until(lambda: all(node.got == [b"vote"] for node in nodes[1:]))
    assert {node.senders[0] for node in nodes[1:]} == {nodes[0].peer_id}
    assert sum(node.gossip.stats.pushed for node in nodes) == 13


async def test_batch_is_pushed_to_the_fan_out_and_announced_to_the_others(mesh: Mesh) -> None:
    nodes = await mesh.build(14, full(14))
    nodes[0].gossip.publish(BATCHES, b"batch")
    assert nodes[0].gossip.stats.pushed == FAST.fan_out
    assert nodes[0].gossip.stats.announced == 13 - FAST.fan_out
    await until(lambda: all(node.got == [b"batch"] for node in nodes[1:]))
    await settle()
    assert all(node.got == [b"batch"] for node in nodes[1:])


async def test_published_item_is_not_delivered_to_its_publisher(mesh: Mesh) -> None:
    nodes = await mesh.build(3, full(3))
    nodes[0].gossip.publish(VOTES, b"mine")
    await until(lambda: all(node.got for node in nodes[1:]))
    await settle()
    assert nodes[0].got == []


async def test_item_is_delivered_once_when_it_is_published_again(mesh: Mesh) -> None:
    left, right = await mesh.build(2, full(2))
    for _ in range(3):
        left.gossip.publish(VOTES, b"vote")
    await until(lambda: right.gossip.stats.duplicates == 2)
    assert right.got == [b"vote"]


async def test_new_peer_is_offered_what_was_accepted_lately(mesh: Mesh) -> None:
    left, right = await mesh.build(2, full(2))
    mesh.net.sever(left.peer_id, right.peer_id)
    await until(lambda: left.transport.peers() == ())
    left.gossip.publish(VOTES, b"vote")
    left.gossip.publish(BATCHES, LARGE)
    mesh.net.mend(left.peer_id, right.peer_id)
    await until(lambda: sorted(right.got) == sorted([b"vote", LARGE]))


async def test_item_arrives_when_a_relay_claims_falsely_that_it_was_pushed(mesh: Mesh) -> None:
    liar, middle, victim = await mesh.build(3, line(3))
    covered = [wire.short_id(victim.peer_id)]
    message = wire.encode_push(BATCHES, covered, b"withheld")
    liar.transport.send(middle.peer_id, Channel.BULK, GossipKind.PUSH, message)
    await until(lambda: victim.got == [b"withheld"])
    assert victim.gossip.stats.fetched == 1


# --- verdicts ---------------------------------------------------------------------------------------------------


async def test_rejected_item_is_not_relayed_and_its_sender_is_disconnected(mesh: Mesh) -> None:
    first, middle, last = await mesh.build(3, line(3))
    middle.verdict = Verdict.REJECT
    first.gossip.publish(BATCHES, b"bad")
    await until(lambda: first.peer_id in [peer for peer, _ in middle.recorder.disconnected])
    assert middle.recorder.reasons() == ["gossip_item_rejected"]
    await settle()
    assert last.got == []
    assert last.peer_id in middle.transport.peers()


async def test_ignored_item_is_not_relayed_and_nobody_is_blamed(mesh: Mesh) -> None:
    first, middle, last = await mesh.build(3, line(3))
    middle.verdict = Verdict.IGNORE
    first.gossip.publish(BATCHES, b"early")
    await until(lambda: middle.got)
    await settle()
    assert last.got == []
    assert middle.recorder.disconnected == []


@pytest.mark.parametrize("verdict", list(Verdict))
async def test_late_verdict_counts_when_it_is_reported(mesh: Mesh, verdict: Verdict) -> None:
    first, middle, last = await mesh.build(3, line(3))
    middle.verdict = None
    first.gossip.publish(BATCHES, b"item")
    await until(lambda: middle.got)
    await settle()
    assert last.got == []
    middle.gossip.report(BATCHES, b"item", verdict)
    middle.gossip.report(BATCHES, b"item", verdict)
    await settle()
    assert last.got == ([b"item"] if verdict is Verdict.ACCEPT else [])
    assert bool(middle.recorder.disconnected) == (verdict is Verdict.REJECT)


async def test_report_from_inside_deliver_counts_once(mesh: Mesh) -> None:
    first, middle, last = await mesh.build(3, line(3))

    def deliver(_: PeerId, payload: bytes) -> Verdict:
        middle.gossip.report(3, payload, Verdict.ACCEPT)
        return Verdict.REJECT

    middle.gossip.subscribe(3, Channel.BULK, deliver)
    for node in (first, last):
        node.gossip.subscribe(3, Channel.BULK, node._deliver)
    first.gossip.publish(3, b"item")
    await until(lambda: last.got == [b"item"])
    assert middle.recorder.disconnected == []


# --- fetching ---------------------------------------------------------------------------------------------------


def announce(node: GossipNode, to: GossipNode, payload: bytes) -> None:
    entry = (BATCHES, wire.item_id(BATCHES, payload), len(payload))
    node.transport.send(to.peer_id, Channel.BULK, GossipKind.ANNOUNCE, wire.encode_announce([entry]))


async def test_next_announcer_is_asked_when_the_first_does_not_answer(mesh: Mesh) -> None:
    silent, honest, reader = await mesh.build(3, full(3))
    asked: list[int] = []
    silent.gossip.handle = lambda peer, channel, kind, payload: asked.append(kind) is None  # type: ignore[method-assign]
    announce(silent, reader, LARGE)
    await until(lambda: GossipKind.FETCH in asked)
    mesh.net.pause(honest.peer_id, silent.peer_id)
    honest.gossip.publish(BATCHES, LARGE)
    await until(lambda: reader.got == [LARGE])
    assert reader.senders == [honest.peer_id]
    assert asked.count(GossipKind.FETCH) == 1


async def test_next_announcer_is_asked_at_once_when_the_first_lacks_the_item_or_leaves(mesh: Mesh) -> None:
    slow = dataclasses.replace(FAST, fetch_timeout_s=60.0)
    forgetful, leaver, honest, reader = await mesh.build(4, [(0, 3), (1, 3), (2, 3)], slow)
    leaver.gossip.handle = lambda *_: True  # type: ignore[method-assign]
    announce(leaver, reader, LARGE)
    await until(lambda: len(reader.gossip._fetcher) == 1)
    announce(forgetful, reader, LARGE)
    honest.gossip.publish(BATCHES, LARGE)
    await asyncio.sleep(0.02)
    assert reader.got == []
    leaver.transport.set_allowed(lambda _: False)
    await until(lambda: reader.got == [LARGE])
    assert reader.senders == [honest.peer_id]


async def test_fetch_is_given_up_and_starts_anew_when_nobody_answers(mesh: Mesh) -> None:
    silent, reader = await mesh.build(2, full(2))
    answering = silent.gossip.handle
    silent.gossip.handle = lambda *_: True  # type: ignore[method-assign]
    announce(silent, reader, LARGE)
    await until(lambda: len(reader.gossip._fetcher) == 1)
    await until(lambda: len(reader.gossip._fetcher) == 0)
    silent.gossip.handle = answering  # type: ignore[method-assign]
    silent.gossip.publish(BATCHES, LARGE)
    await until(lambda: reader.got == [LARGE])


async def test_item_that_was_not_asked_for_is_not_looked_at(mesh: Mesh) -> None:
    left, right = await mesh.build(2, full(2))
    left.transport.send(right.peer_id, Channel.BULK, GossipKind.ITEM, wire.encode_item(BATCHES, b"unasked"))
    await settle()
    assert right.got == []
    assert right.recorder.disconnected == []


async def test_one_peer_is_given_an_item_only_so_often(mesh: Mesh) -> None:
    greedy, server = await mesh.build(2, full(2))
    server.gossip.publish(BATCHES, LARGE)
    await until(lambda: greedy.got == [LARGE])
    for _ in range(50):
        ids = wire.encode_ids([wire.item_id(BATCHES, LARGE)])
        greedy.transport.send(server.peer_id, Channel.BULK, GossipKind.FETCH, ids)
    await settle()
    assert server.gossip.stats.served == FAST.serves_per_peer
    assert greedy.bulk_bytes_in() < len(LARGE) * (FAST.serves_per_peer + 0.5)


# --- bounds and misbehaviour -------------------------------------------------------------------------------------


async def test_memory_is_bounded_whatever_a_peer_announces_and_pushes(mesh: Mesh) -> None:
    bounds = dataclasses.replace(
        FAST,
        seen_max=100,
        recent_max_items=20,
        recent_max_bytes=10_000,
        undecided_max_items=10,
        undecided_max_bytes=5_000,
        fetching_max=30,
        fetches_per_peer=20,
    )
    flooder, victim = await mesh.build(2, full(2), bounds)
    flooder.gossip.handle = lambda *_: True  # type: ignore[method-assign]
    for number in range(1000):
        announce(flooder, victim, b"nothing %d" % number)
        victim.verdict = None if number % 2 else Verdict.ACCEPT
        message = wire.encode_push(BATCHES, (), b"%d" % number * 100)
        flooder.transport.send(victim.peer_id, Channel.BULK, GossipKind.PUSH, message)
        if number % 50 == 0:
            await asyncio.sleep(0.001)
    await until(lambda: len(victim.got) == 1000)
    gossip = victim.gossip
    assert len(gossip._seen) <= 100
    assert len(gossip._recent) <= 20
    assert gossip._recent.size_bytes <= 10_000
    assert len(gossip._undecided) <= 10
    assert gossip._undecided.size_bytes <= 5_000
    assert len(gossip._fetcher) <= 20
    assert victim.recorder.disconnected == []


async def test_announcers_of_one_item_are_bounded(mesh: Mesh) -> None:
    bounds = dataclasses.replace(FAST, announcers_max=3, fetch_timeout_s=60)
    nodes = await mesh.build(8, [(number, 7) for number in range(7)], bounds)
    reader = nodes[7]
    for node in nodes[:7]:
        node.gossip.handle = lambda *_: True  # type: ignore[method-assign]
        announce(node, reader, LARGE)
        announce(node, reader, LARGE)
    await until(lambda: len(reader.gossip._fetcher) == 1)
    await asyncio.sleep(0.02)
    (fetch,) = reader.gossip._fetcher._fetches.values()
    assert 1 + len(fetch.waiting) == len({fetch.asked, *fetch.waiting}) == 3


@pytest.mark.parametrize(
    ("channel", "kind", "message"),
    [
        (Channel.BULK, GossipKind.PUSH, b""),
        (Channel.BULK, GossipKind.PUSH, bytes((BATCHES, 9)) + b"short"),
        (Channel.BULK, GossipKind.PUSH, wire.encode_push(VOTES, (), b"vote on bulk")),
        (Channel.VOTE, GossipKind.PUSH, wire.encode_push(VOTES, (), bytes(100_001))),
        (Channel.VOTE, GossipKind.FETCH, bytes(16)),
        (Channel.BULK, GossipKind.ANNOUNCE, bytes(20)),
        (Channel.BULK, GossipKind.ANNOUNCE, wire.encode_announce([(BATCHES, wire.ItemId(bytes(16)), 1)] * 1025)),
        (Channel.BULK, GossipKind.ANNOUNCE, wire.encode_announce([(VOTES, wire.ItemId(bytes(16)), 100_001)])),
        (Channel.BULK, GossipKind.FETCH, bytes(17)),
        (Channel.BULK, GossipKind.MISSING, bytes(1025 * 16)),
    ],
)
async def test_malformed_message_disconnects_its_sender(
    mesh: Mesh, channel: Channel, kind: GossipKind, message: bytes
) -> None:
    bad, victim, bystander = await mesh.build(3, full(3))
    bad.transport.send(victim.peer_id, channel, kind, message)
    await until(lambda: victim.recorder.disconnected)
    assert [peer for peer, _ in victim.recorder.disconnected] == [bad.peer_id]
    assert victim.gossip.stats.misbehaved == 1
    bystander.gossip.publish(BATCHES, b"fine")
    await until(lambda: b"fine" in victim.got)


async def test_unknown_topics_and_other_kinds_are_left_alone(mesh: Mesh) -> None:
    left, right = await mesh.build(2, full(2))
    left.transport.send(right.peer_id, Channel.BULK, GossipKind.PUSH, wire.encode_push(99, (), b"x"))
    entry = wire.encode_announce([(99, wire.item_id(99, b"x"), 1)])
    left.transport.send(right.peer_id, Channel.BULK, GossipKind.ANNOUNCE, entry)
    left.transport.send(right.peer_id, Channel.BULK, 245, b"the node's")
    left.transport.send(right.peer_id, Channel.VOTE, 1, b"the node's")
    await until(lambda: len(right.recorder.messages) == 2)
    assert right.got == []
    assert right.recorder.disconnected == []


async def test_misuse_raises(mesh: Mesh) -> None:
    (node,) = await mesh.build(1, [])
    with pytest.raises(LocalMisuse):
        node.gossip.subscribe(VOTES, Channel.VOTE, node._deliver)
    with pytest.raises(LocalMisuse):
        node.gossip.subscribe(256, Channel.VOTE, node._deliver)
    with pytest.raises(LocalMisuse):
        node.gossip.publish(77, b"")
    with pytest.raises(LocalMisuse):
        node.gossip.publish(VOTES, bytes(100_001))


async def test_gossip_works_over_real_connections(overlay: Cluster) -> None:
    nodes = [await overlay.node(number) for number in range(1, 5)]
    gossips: list[Gossip] = []
    got: list[list[bytes]] = [[] for _ in nodes]
    call_later = asyncio.get_running_loop().call_later
    for index, node in enumerate(nodes):
        gossip = Gossip(node.transport, call_later=call_later, bounds=FAST)

        def deliver(_: PeerId, payload: bytes, index: int = index) -> Verdict:
            got[index].append(payload)
            return Verdict.ACCEPT

        gossip.subscribe(VOTES, Channel.VOTE, deliver)
        gossip.subscribe(BATCHES, Channel.BULK, deliver)
        gossips.append(gossip)
        node.handler.hook = gossip.handle
        node.handler.on_connected = gossip.on_connected  # type: ignore[method-assign]
    # A ring: everything is relayed.
    for index, node in enumerate(nodes):
        overlay.point(node, [nodes[(index + 1) % 4]])
    await until(lambda: all(len(node.transport.peers()) == 2 for node in nodes))
    payloads = {b"vote", LARGE, bytes(50_000)}
    gossips[0].publish(VOTES, b"vote")
    gossips[0].publish(BATCHES, LARGE)
    gossips[0].publish(BATCHES, bytes(50_000))
    await until(lambda: all(set(items) == payloads for items in got[1:]))
    await settle()
    assert [len(items) for items in got] == [0, 3, 3, 3]
    for gossip in gossips:
        gossip.stop()


# --- property -----------------------------------------------------------------------------------------------------


@st.composite
def connected_topologies(draw: st.DrawFn) -> tuple[int, list[tuple[int, int]]]:
    """A random tree, and some edges more."""
    count = draw(st.integers(2, 9))
    edges = {(draw(st.integers(0, node - 1)), node) for node in range(1, count)}
    pairs = st.tuples(st.integers(0, count - 1), st.integers(0, count - 1))
    for left, right in draw(st.lists(pairs, max_size=10)):
        if left != right:
            edges.add((min(left, right), max(left, right)))
    return count, sorted(edges)


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    topology=connected_topologies(),
    items=st.lists(
        st.tuples(st.integers(0, 8), st.sampled_from([VOTES, BATCHES]), st.sampled_from([10, 3000, 90_000])),
        min_size=1,
        max_size=6,
    ),
)
def test_every_item_reaches_every_node_exactly_once_in_any_connected_topology(
    topology: tuple[int, list[tuple[int, int]]], items: list[tuple[int, int, int]]
) -> None:
    async def scenario() -> None:
        mesh = Mesh()
        count, edges = topology
        nodes = await mesh.build(count, edges)
        payloads = []
        for number, (origin, topic, size) in enumerate(items):
            payload = sha256(bytes((number,))).digest() + bytes(size)
            payloads.append((origin % count, payload))
            nodes[origin % count].gossip.publish(topic, payload)
        expected = [{payload for origin, payload in payloads if origin != index} for index in range(count)]
        await until(lambda: all(set(node.got) == want for node, want in zip(nodes, expected, strict=True)), 20)
        assert all(len(node.got) == len(set(node.got)) for node in nodes)
        await mesh.stop()

    asyncio.run(scenario())
