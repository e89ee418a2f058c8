"""Gossip over the in-memory overlay: everybody gets everything, seldom twice; verdicts decide what goes on."""

from __future__ import annotations

import asyncio
from hashlib import sha256

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from p2p import gossip_wire as wire
from p2p.gossip import Gossip, Verdict
from p2p.gossip_wire import GossipKind
from p2p.transport import Channel, PeerId
from tests.p2p.gossip_kit import BATCHES, FAST, LARGE, VOTES, Mesh, full, line, settle
from tests.p2p.overlay_kit import Cluster, until

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


@settings(max_examples=100, deadline=None)
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
