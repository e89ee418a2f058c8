"""What every Transport promises, checked on the in-memory and the libp2p one."""

from __future__ import annotations

import asyncio
import dataclasses

import pytest

from ledger.errors import LocalMisuse, PeerRefused, PeerTimeout, PeerUnavailable
from p2p.transport import Channel
from tests.p2p.overlay_kit import CRASH, ECHO, HANG, QUICK, REFUSE, SLOW, Cluster, connected, key, until


@pytest.fixture(params=["memory", "libp2p"])
def cluster(request: pytest.FixtureRequest, clusters: list[Cluster]) -> Cluster:
    clusters.append(Cluster(request.param))
    return clusters[-1]


async def test_messages_arrive_in_order_on_each_channel_when_connected(cluster: Cluster) -> None:
    left, right = await cluster.pair()
    for number in range(500):
        for channel in Channel:
            assert left.transport.send(right.peer_id, channel, 7, b"%d" % number)
    await until(lambda: len(right.handler.messages) == 1000)
    for channel in Channel:
        got = [payload for _, at, _, payload in right.handler.messages if at is channel]
        assert got == [b"%d" % number for number in range(500)]
    assert {message[0] for message in right.handler.messages} == {left.peer_id}


async def test_empty_and_largest_messages_arrive_whole(cluster: Cluster) -> None:
    left, right = await cluster.pair()
    largest = bytes(range(256)) * (QUICK.frame_max_bytes // 256)
    assert left.transport.send(right.peer_id, Channel.BULK, 0, b"")
    assert left.transport.send(right.peer_id, Channel.BULK, 255, largest)
    await until(lambda: len(right.handler.messages) == 2)
    assert right.handler.payloads() == [b"", largest]


async def test_handler_hears_once_of_each_connection_and_its_end(cluster: Cluster) -> None:
    left, right = await cluster.pair()
    assert left.handler.connected == [right.peer_id]
    assert right.handler.connected == [left.peer_id]
    await right.transport.stop()
    await until(lambda: left.handler.disconnected)
    assert [peer for peer, _ in left.handler.disconnected] == [right.peer_id]
    assert right.handler.disconnected == [(left.peer_id, "stopped")]
    assert left.transport.peers() == ()


async def test_send_is_false_when_not_connected(cluster: Cluster) -> None:
    left = await cluster.node(1)
    assert not left.transport.send(key(9).peer_id, Channel.VOTE, 1, b"x")


async def test_send_raises_when_the_payload_is_over_its_cap(cluster: Cluster) -> None:
    left, right = await cluster.pair(max_bytes_by_kind={(Channel.VOTE, 3): 100}, vote_max_bytes=1000)
    for channel, kind, size in [(Channel.VOTE, 3, 101), (Channel.VOTE, 4, 1001), (Channel.BULK, 3, (4 << 20) + 1)]:
        with pytest.raises(LocalMisuse):
            left.transport.send(right.peer_id, channel, kind, bytes(size))
    with pytest.raises(LocalMisuse):
        left.transport.send(right.peer_id, Channel.VOTE, 256, b"")
    assert left.transport.send(right.peer_id, Channel.VOTE, 3, bytes(100))
    await until(lambda: right.handler.messages)


async def test_oversized_frame_drops_its_sender_when_caps_differ(cluster: Cluster) -> None:
    lenient = await cluster.node(1)
    strict = await cluster.node(2, max_bytes_by_kind={(Channel.VOTE, 3): 100})
    cluster.introduce(lenient, strict)
    await connected(lenient, strict)
    lenient.transport.send(strict.peer_id, Channel.VOTE, 3, bytes(101))
    await until(lambda: strict.handler.disconnected)
    assert strict.handler.reasons() == ["misbehaved"]
    assert strict.handler.messages == []
    assert strict.transport.stats().misbehaved_peers == 1


async def test_request_is_answered(cluster: Cluster) -> None:
    left, right = await cluster.pair()
    assert await left.transport.request(right.peer_id, ECHO, b"ping", 5) == b"ping"
    large = bytes(QUICK.frame_max_bytes)
    assert await right.transport.request(left.peer_id, ECHO, large, 5) == large


async def test_requests_in_parallel_get_their_own_answers(cluster: Cluster) -> None:
    left, right = await cluster.pair()
    answers = await asyncio.gather(
        *(left.transport.request(right.peer_id, SLOW if n % 3 else ECHO, b"%d" % n, 5) for n in range(60))
    )
    assert answers == [b"%d" % n for n in range(60)]


async def test_request_is_refused_with_the_code_when_the_handler_raises(cluster: Cluster) -> None:
    left, right = await cluster.pair()
    with pytest.raises(PeerRefused) as refused:
        await left.transport.request(right.peer_id, REFUSE, b"", 5)
    assert refused.value.data["peer_code"] == "because"
    with pytest.raises(PeerRefused) as crashed:
        await left.transport.request(right.peer_id, CRASH, b"", 5)
    assert crashed.value.data["peer_code"] == "internal_error"
    assert await left.transport.request(right.peer_id, ECHO, b"still here", 5) == b"still here"


async def test_request_times_out_when_no_answer_comes(cluster: Cluster) -> None:
    left, right = await cluster.pair()
    with pytest.raises(PeerTimeout):
        await left.transport.request(right.peer_id, HANG, b"", 0.05)
    assert await left.transport.request(right.peer_id, ECHO, b"x", 5) == b"x"


async def test_request_fails_at_once_when_not_connected_or_cut(cluster: Cluster) -> None:
    left, right = await cluster.pair()
    with pytest.raises(PeerUnavailable):
        await left.transport.request(key(9).peer_id, ECHO, b"", 5)
    waiting = asyncio.ensure_future(left.transport.request(right.peer_id, HANG, b"", 60))
    await until(lambda: right.handler.requests)
    left.transport.disconnect(right.peer_id, "test")
    with pytest.raises(PeerUnavailable):
        await waiting


async def test_requests_are_bounded_both_ways(cluster: Cluster) -> None:
    bounds = dataclasses.replace(QUICK, requests_out_per_peer=8, requests_in_per_peer=4)
    left, right = await cluster.pair(bounds=bounds)
    waiting = [asyncio.ensure_future(left.transport.request(right.peer_id, HANG, b"", 60)) for _ in range(8)]
    await until(lambda: sum(task.done() for task in waiting) == 4)
    refused = [task.exception() for task in waiting if task.done()]
    assert {error.data["peer_code"] for error in refused} == {"overloaded"}  # type: ignore[union-attr]
    more = [asyncio.ensure_future(left.transport.request(right.peer_id, HANG, b"", 60)) for _ in range(5)]
    await until(lambda: sum(task.done() for task in more) == 5)
    assert sum(isinstance(task.exception(), PeerUnavailable) for task in more) == 1
    left.transport.disconnect(right.peer_id, "test")
    await asyncio.gather(*waiting, *more, return_exceptions=True)


async def test_nobody_connects_when_the_gate_was_never_set_or_says_no(cluster: Cluster) -> None:
    left = await cluster.node(1, allowed=lambda _: False)
    right, other = await cluster.node(2), await cluster.node(3)
    cluster.introduce(left, right, other)
    await connected(right, other)
    await asyncio.sleep(0.3)
    assert left.transport.peers() == ()
    assert right.transport.peers() == (other.peer_id,)


async def test_revoked_peer_is_disconnected_and_comes_back_when_allowed_again(cluster: Cluster) -> None:
    left, right = await cluster.pair()
    left.transport.set_allowed(lambda _: False)
    await until(lambda: right.transport.peers() == ())
    assert left.handler.reasons() == ["not_allowed"]
    await asyncio.sleep(0.2)
    assert left.transport.peers() == ()
    left.transport.set_allowed(lambda peer: peer == right.peer_id)
    await connected(left, right)
    assert left.transport.stats().reconnects == 1


async def test_penalised_peer_is_refused_for_a_while_then_taken_back(cluster: Cluster) -> None:
    left, right = await cluster.pair()
    left.transport.disconnect(right.peer_id, "bad_batch")
    await until(lambda: left.handler.disconnected and right.handler.disconnected)
    assert left.handler.reasons() == ["bad_batch"]
    await asyncio.sleep(0.1)
    assert left.transport.peers() == ()
    await connected(left, right)


async def test_peers_connect_when_only_one_side_has_the_address(cluster: Cluster) -> None:
    first, second = await cluster.node(1), await cluster.node(2)
    cluster.point(first, [second])
    await connected(first, second)
    third, fourth = await cluster.node(3), await cluster.node(4)
    cluster.point(fourth, [third])
    await connected(third, fourth)


async def test_nodes_of_different_networks_do_not_connect(cluster: Cluster) -> None:
    left, right = await cluster.node(1, network="aa"), await cluster.node(2, network="bb")
    cluster.introduce(left, right)
    await asyncio.sleep(0.4)
    assert left.transport.peers() == right.transport.peers() == ()


async def test_handler_that_raises_costs_only_the_peer_it_was_called_for(cluster: Cluster) -> None:
    left, right = await cluster.pair()
    third = await cluster.node(3)
    cluster.introduce(left, right, third)
    await connected(right, third)
    right.handler.raise_on_kind = 66
    left.transport.send(right.peer_id, Channel.BULK, 66, b"")
    await until(lambda: right.handler.disconnected)
    assert right.handler.disconnected == [(left.peer_id, "handler_raised")]
    assert third.transport.send(right.peer_id, Channel.BULK, 1, b"still served")
    await until(lambda: b"still served" in right.handler.payloads())


async def test_peer_over_the_limit_is_not_connected(cluster: Cluster) -> None:
    left = await cluster.node(1, bounds=dataclasses.replace(QUICK, peers_max=1))
    right, third = await cluster.node(2), await cluster.node(3)
    cluster.point(right, [left])
    await connected(left, right)
    cluster.point(third, [left])
    await asyncio.sleep(0.3)
    assert left.transport.peers() == (right.peer_id,)


async def test_own_address_among_the_addresses_is_ignored(cluster: Cluster) -> None:
    left = await cluster.node(1)
    cluster.introduce(left)
    await asyncio.sleep(0.1)
    assert left.transport.peers() == ()


async def test_transport_cannot_be_started_twice_and_stops_twice(cluster: Cluster) -> None:
    left = await cluster.node(1)
    with pytest.raises(LocalMisuse):
        await left.transport.start(left.handler)
    await left.transport.stop()
    await left.transport.stop()


async def test_wait_failed_returns_when_stopped(cluster: Cluster) -> None:
    left = await cluster.node(1)
    waiting = asyncio.ensure_future(left.transport.wait_failed())
    await asyncio.sleep(0)
    assert not waiting.done()
    await left.transport.stop()
    await asyncio.wait_for(waiting, 1)


async def test_stats_count_what_happened(cluster: Cluster) -> None:
    left, right = await cluster.pair()
    left.transport.send(right.peer_id, Channel.VOTE, 1, bytes(95))
    left.transport.send(right.peer_id, Channel.BULK, 1, bytes(995))
    await left.transport.request(right.peer_id, ECHO, bytes(100), 5)
    await until(lambda: len(right.handler.messages) == 2)
    out, into = left.transport.stats(), right.transport.stats()
    assert out.connected == 1
    assert out.bytes_out == into.bytes_in == {Channel.VOTE: 100, Channel.BULK: 1000}
    assert into.request_bytes_in == 114
    assert out.frames_out >= 3
    assert set(out.queue_bytes) == {right.peer_id}


async def test_a_reply_sent_from_inside_the_handler_arrives(cluster: Cluster) -> None:
    left, right = await cluster.pair()
    right.handler.hook = lambda peer, channel, kind, payload: right.transport.send(peer, channel, kind, payload[::-1])
    left.transport.send(right.peer_id, Channel.VOTE, 1, b"abc")
    await until(lambda: left.handler.payloads() == [b"cba"])


async def test_three_nodes_make_one_connection_a_pair(cluster: Cluster) -> None:
    nodes = [await cluster.node(number) for number in (1, 2, 3)]
    cluster.introduce(*nodes)
    await until(lambda: all(len(node.transport.peers()) == 2 for node in nodes))
    await asyncio.sleep(0.3)
    for node in nodes:
        assert len(node.transport.peers()) == 2
        assert len(node.handler.connected) - len(node.handler.disconnected) == 2
