"""Fetching what was announced, and what happens to peers that announce, push and ask for nonsense."""

from __future__ import annotations

import asyncio
import dataclasses

import pytest

from ledger.errors import LocalMisuse
from p2p import gossip_wire as wire
from p2p.gossip import Verdict
from p2p.gossip_wire import GossipKind
from p2p.transport import Channel
from tests.p2p.gossip_kit import BATCHES, FAST, LARGE, VOTES, Mesh, announce, full, settle
from tests.p2p.overlay_kit import until

# --- fetching ---------------------------------------------------------------------------------------------------


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
