"""What an admitted peer may throw at a node: it loses its own connection, nobody else notices."""

from __future__ import annotations

import dataclasses
import os
import struct
from collections.abc import Awaitable, Callable

import pytest
import trio

from p2p.bounds import TransportBounds
from p2p.framing import Control, Lane, frame_header, request_prefix
from p2p.transport import Channel
from tests.p2p.hostile import YAMUX_HEADER, HostilePeer, attack, open_protocol, stock_address, with_stock_host
from tests.p2p.overlay_kit import ECHO, QUICK, Cluster, Node, connected, key, until

BYSTANDER, HOSTILE = 2, 7


async def victim_and_bystander(overlay: Cluster, bounds: TransportBounds = QUICK) -> tuple[Node, Node]:
    victim, bystander = await overlay.node(1, bounds=bounds), await overlay.node(BYSTANDER)
    overlay.introduce(victim, bystander)
    await connected(victim, bystander)
    return victim, bystander


async def assert_unharmed(victim: Node, bystander: Node) -> None:
    """The bystander kept its one connection, and it works."""
    assert victim.handler.connected.count(bystander.peer_id) == 1
    assert bystander.peer_id not in [peer for peer, _ in victim.handler.disconnected]
    assert await bystander.transport.request(victim.peer_id, ECHO, b"alive", 5) == b"alive"
    assert victim.transport.stats().rebuilds == 0


async def huge_length(peer: HostilePeer) -> None:
    await peer.open_lanes()
    await peer.lanes[Lane.BULK].write(struct.pack(">IB", 0xFFFFFFFF, 1))


async def garbage_on_votes(peer: HostilePeer) -> None:
    await peer.open_lanes()
    await peer.lanes[Lane.VOTE].write(b"\xff" * 500)


async def unknown_control(peer: HostilePeer) -> None:
    await peer.open_lanes()
    await peer.lanes[Lane.REQUEST].write(frame_header(99, 3) + b"abc")


async def truncated_request(peer: HostilePeer) -> None:
    await peer.open_lanes()
    await peer.lanes[Lane.REQUEST].write(frame_header(Control.REQUEST, 3) + b"abc")


async def ready_from_the_dialler(peer: HostilePeer) -> None:
    await peer.open_lanes()
    await peer.lanes[Lane.REQUEST].write(frame_header(Control.READY, 0))


async def oversized_ping(peer: HostilePeer) -> None:
    await peer.open_lanes()
    await peer.lanes[Lane.REQUEST].write(frame_header(Control.PING, 100_000) + bytes(100_000))


async def stream_flood(peer: HostilePeer) -> None:
    await peer.open_lanes()
    for number in range(500):
        await peer.write_raw(YAMUX_HEADER.pack(0, 1, 1, 100_001 + 2 * number, 0))


async def beyond_the_window(peer: HostilePeer) -> None:
    # A stream in negotiation is not read while its length prefix is awaited in vain: what comes is only buffered.
    await peer.write_raw(YAMUX_HEADER.pack(0, 1, 1, 100_001, 0))
    for _ in range(400):
        await peer.write_raw(YAMUX_HEADER.pack(0, 0, 0, 100_001, 1 << 16) + bytes(1 << 16))


@pytest.mark.parametrize(
    "script",
    [
        huge_length,
        garbage_on_votes,
        unknown_control,
        truncated_request,
        ready_from_the_dialler,
        oversized_ping,
        stream_flood,
    ],
)
async def test_misbehaving_peer_is_dropped_and_penalised_alone(
    overlay: Cluster, script: Callable[[HostilePeer], Awaitable[None]]
) -> None:
    victim, bystander = await victim_and_bystander(overlay)

    async def until_closed(peer: HostilePeer) -> None:
        await script(peer)
        await peer.wait_closed()

    await attack(victim, HOSTILE, until_closed)
    hostile = key(HOSTILE).peer_id
    await until(lambda: hostile not in victim.transport.peers())
    assert victim.transport.stats().misbehaved_peers == 1
    assert victim.transport._penalties.remaining_s(hostile) > 0  # type: ignore[attr-defined]
    assert victim.handler.messages == []
    await assert_unharmed(victim, bystander)


async def yamux_garbage(peer: HostilePeer) -> None:
    await peer.write_raw(os.urandom(500))


async def yamux_oversized_frame(peer: HostilePeer) -> None:
    await peer.write_raw(YAMUX_HEADER.pack(0, 0, 0, 9991, 15 << 20) + bytes(1 << 16))


async def yamux_go_away(peer: HostilePeer) -> None:
    await peer.open_lanes()
    await peer.write_raw(YAMUX_HEADER.pack(0, 3, 0, 0, 2))


async def ping_short(peer: HostilePeer) -> None:
    stream = await open_protocol(peer.muxer, "/ipfs/ping/1.0.0")
    await stream.write(b"short")
    await stream.close()


async def identify_push_garbage(peer: HostilePeer) -> None:
    with pytest.raises(Exception, match="not supported"):
        await open_protocol(peer.muxer, "/ipfs/id/push/1.0.0")
    stream = await peer.muxer.open_stream()
    await stream.write(os.urandom(300))
    await stream.close()


async def pubsub_garbage(peer: HostilePeer) -> None:
    with pytest.raises(Exception, match="not supported"):
        await open_protocol(peer.muxer, "/meshsub/1.1.0")


async def negotiation_claims_a_huge_name(peer: HostilePeer) -> None:
    stream = await peer.muxer.open_stream()
    await stream.write(b"\xff\xff\xff\xff\xff\xff\xff\x7f" + bytes(60_000))


async def invalid_utf8_protocol(peer: HostilePeer) -> None:
    stream = await peer.muxer.open_stream()
    await stream.write(b"\x05\xff\xfe\xfd\xfc\n")


async def one_lane_twice(peer: HostilePeer) -> None:
    await peer.open_lanes(Lane.VOTE)
    await peer.open_lanes(Lane.VOTE)


async def lane_reset(peer: HostilePeer) -> None:
    await peer.open_lanes()
    await peer.lanes[Lane.BULK].reset()


async def answers_to_nothing(peer: HostilePeer) -> None:
    await peer.open_lanes()
    for control in (Control.ANSWER, Control.REFUSAL):
        await peer.lanes[Lane.REQUEST].write(frame_header(control, 9) + request_prefix(12345, 1))


@pytest.mark.parametrize(
    "script",
    [
        yamux_garbage,
        yamux_oversized_frame,
        yamux_go_away,
        beyond_the_window,
        ping_short,
        identify_push_garbage,
        pubsub_garbage,
        negotiation_claims_a_huge_name,
        invalid_utf8_protocol,
        one_lane_twice,
        lane_reset,
        answers_to_nothing,
    ],
)
async def test_garbage_below_our_frames_harms_nobody_else(
    overlay: Cluster, script: Callable[[HostilePeer], Awaitable[None]]
) -> None:
    victim, bystander = await victim_and_bystander(overlay)

    async def contained(peer: HostilePeer) -> None:
        # The victim may close the connection while the script is still writing.
        with trio.move_on_after(3):
            await script(peer)
            await trio.sleep(0.1)

    await attack(victim, HOSTILE, contained)
    await assert_unharmed(victim, bystander)
    await until(lambda: victim.transport.peers() == (bystander.peer_id,))


async def test_peer_that_opens_only_some_lanes_never_becomes_a_peer(overlay: Cluster) -> None:
    victim, bystander = await victim_and_bystander(overlay)

    async def two_lanes(peer: HostilePeer) -> None:
        await peer.open_lanes(Lane.VOTE, Lane.REQUEST)
        await peer.wait_closed()

    await attack(victim, HOSTILE, two_lanes)
    assert key(HOSTILE).peer_id not in victim.handler.connected
    await assert_unharmed(victim, bystander)


async def test_flood_of_pings_that_are_not_read_drops_the_peer(overlay: Cluster) -> None:
    victim, bystander = await victim_and_bystander(overlay, dataclasses.replace(QUICK, request_queue_bytes=1 << 20))

    async def pings(peer: HostilePeer) -> None:
        await peer.open_lanes()
        one_write = (frame_header(Control.PING, 200) + bytes(200)) * 300
        with trio.move_on_after(5):
            while not peer.muxer.event_closed.is_set():
                await peer.lanes[Lane.REQUEST].write(one_write)

    await attack(victim, HOSTILE, pings)
    assert (key(HOSTILE).peer_id, "slow_peer") in victim.handler.disconnected
    await assert_unharmed(victim, bystander)


async def test_stock_libp2p_host_pings_and_identifies_an_admitting_node(overlay: Cluster) -> None:
    node = await overlay.node(1)

    async def script(host) -> None:
        from libp2p.identity.identify.pb.identify_pb2 import Identify
        from libp2p.utils import read_varint_prefixed_bytes

        await host.connect(stock_address(node))
        target = stock_address(node).peer_id
        stream = await host.new_stream(target, ["/ipfs/ping/1.0.0"])
        for _ in range(3):
            data = os.urandom(32)
            await stream.write(data)
            assert await stream.read(32) == data
        await stream.close()
        stream = await host.new_stream(target, ["/ipfs/id/1.0.0"])
        told = Identify.FromString(await read_varint_prefixed_bytes(stream))
        assert told.agent_version == "tidegate"
        assert "/tidegate/c0ffee/vote/1" in told.protocols

    await with_stock_host(HOSTILE, script)
    assert node.handler.connected == []


@pytest.mark.parametrize(("security", "muxer"), [("plaintext", "yamux"), ("noise", "mplex")])
async def test_dialler_is_refused_when_it_has_no_noise_or_no_yamux(overlay: Cluster, security: str, muxer: str) -> None:
    victim, bystander = await victim_and_bystander(overlay)

    async def script(host) -> None:
        with pytest.raises(Exception, match="unable to connect"):
            await host.connect(stock_address(victim))

    await with_stock_host(HOSTILE, script, security=security, muxer=muxer)
    await assert_unharmed(victim, bystander)


async def test_messages_still_flow_while_a_peer_is_attacking(overlay: Cluster) -> None:
    victim, bystander = await victim_and_bystander(overlay)
    for number in range(100):
        bystander.transport.send(victim.peer_id, Channel.VOTE, 1, b"%d" % number)
    await attack(victim, HOSTILE, garbage_on_votes)
    await until(lambda: len(victim.handler.messages) == 100)
    await assert_unharmed(victim, bystander)
