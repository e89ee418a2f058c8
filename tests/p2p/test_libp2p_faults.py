"""The faults that py-libp2p 0.8.1 was measured to have, each against real hosts on loopback."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import os
import signal
import socket
import subprocess
import sys
import time

import pytest
import trio

from ledger.errors import LocalMisuse, TransportFailed
from p2p.libp2p_host import Overlay
from p2p.libp2p_link import Libp2pLink
from p2p.libp2p_transport import Libp2pTransport
from p2p.peering import Link
from p2p.transport import Channel
from p2p.trio_guest import run_in_trio
from tests.p2p.hostile import HostilePeer, attack, listen_address
from tests.p2p.overlay_kit import ECHO, HANG, QUICK, Cluster, Node, Recorder, connected, key, until


def real(node: Node) -> Libp2pTransport:
    assert isinstance(node.transport, Libp2pTransport)
    return node.transport


def overlay_of(node: Node) -> Overlay:
    found = real(node)._overlay
    assert found is not None
    return found


async def living_tasks() -> int:
    """How many trio tasks there are, once they have stopped becoming fewer."""
    counts: list[int] = []

    async def count() -> None:
        counts.append(trio.lowlevel.current_statistics().tasks_living)

    await run_in_trio(count)
    return counts[0]


async def link_gone(link: Link) -> None:
    assert isinstance(link, Libp2pLink)
    await until(link.ended.is_set)


# --- connections ------------------------------------------------------------------------------------------------


async def test_nothing_leaks_when_a_pair_reconnects_300_times(overlay: Cluster) -> None:
    left, right = await overlay.pair()
    before = await living_tasks()
    for _ in range(300):
        link = real(left).link_of(right.peer_id)
        assert link is not None
        link.close("test")
        await link_gone(link)
        await connected(left, right)
    assert await left.transport.request(right.peer_id, ECHO, b"x", 5) == b"x"
    await until(lambda: len(overlay_of(left)._accepting) == len(overlay_of(right)._accepting) == 0)
    assert await living_tasks() <= before + 2
    assert left.transport.stats().reconnects >= 300
    assert len(left.handler.connected) == len(left.handler.disconnected) + 1


async def test_peer_that_was_down_is_reached_quickly_when_it_comes_up(overlay: Cluster) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    left = await overlay.node(1)
    right_later = dataclasses.replace(overlay.address(left), peer_id=key(2).peer_id, port=port)
    left.transport.set_addresses([right_later])
    await until(lambda: left.transport.stats().dial_failures >= 3)
    right = await overlay.node(2, port=port)
    began = time.monotonic()
    await connected(left, right)
    assert time.monotonic() - began < QUICK.redial_max_s * 2 + 0.5


async def test_connection_is_up_within_half_a_second(overlay: Cluster) -> None:
    left, right = await overlay.node(1), await overlay.node(2)
    began = time.monotonic()
    overlay.introduce(left, right)
    await connected(left, right)
    # The library's own dial waits 250 ms; a handshake takes about 40.
    assert time.monotonic() - began < 0.5


async def test_silent_peer_is_noticed_when_its_process_is_stopped(overlay: Cluster) -> None:
    left = await overlay.node(1)
    host, port = listen_address(left)
    program = f"""
import asyncio
from tests.p2p.overlay_kit import *
async def main():
    cluster = Cluster("libp2p")
    node = await cluster.node(2)
    node.transport.set_addresses([PeerAddress(key(1).peer_id, {host!r}, {port})])
    await asyncio.sleep(60)
asyncio.run(main())
"""
    child = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.DEVNULL)
    try:
        await until(lambda: left.transport.peers() == (key(2).peer_id,), 20)
        os.kill(child.pid, signal.SIGSTOP)
        began = time.monotonic()
        await until(lambda: left.handler.disconnected)
        assert left.handler.reasons() == ["silent_peer"]
        assert time.monotonic() - began < 3 * QUICK.ping_interval_s + 1
        os.kill(child.pid, signal.SIGCONT)
        await until(lambda: left.transport.peers() == (key(2).peer_id,))
    finally:
        child.kill()
        child.wait()


async def test_idle_connection_is_kept_when_both_sides_only_ping(overlay: Cluster) -> None:
    left, right = await overlay.pair()
    await asyncio.sleep(QUICK.ping_interval_s * 6)
    assert left.handler.disconnected == right.handler.disconnected == []


async def test_two_connections_become_one_when_both_sides_dial_at_once(overlay: Cluster) -> None:
    bounds = dataclasses.replace(QUICK, dial_grace_s=0.0)
    for round_number in range(5):
        left = await overlay.node(10 + 2 * round_number, bounds=bounds)
        right = await overlay.node(11 + 2 * round_number, bounds=bounds)
        overlay.introduce(left, right)
        await connected(left, right)
        await asyncio.sleep(0.2)
        left_link, right_link = real(left).link_of(right.peer_id), real(right).link_of(left.peer_id)
        assert left_link is not None
        assert right_link is not None
        assert left_link.dialled != right_link.dialled
        assert await left.transport.request(right.peer_id, ECHO, b"x", 5) == b"x"
        assert len(left.handler.connected) <= 2


# --- queues -----------------------------------------------------------------------------------------------------


async def test_peer_is_dropped_when_it_stops_reading_and_the_queue_is_full(overlay: Cluster) -> None:
    bounds = dataclasses.replace(QUICK, bulk_queue_bytes=2 << 20, ping_interval_s=60.0)
    victim = await overlay.node(1, bounds=bounds)
    sent: list[bool] = []

    async def never_reads(peer: HostilePeer) -> None:
        await peer.open_lanes()
        with trio.fail_after(5):
            while key(7).peer_id not in victim.transport.peers():
                await trio.sleep(0.01)
            while not sent or sent[-1]:
                sent.append(victim.transport.send(key(7).peer_id, Channel.BULK, 1, bytes(60_000)))
                await trio.sleep(0)
        await peer.wait_closed()

    await attack(victim, 7, never_reads)
    await until(lambda: victim.handler.disconnected)
    assert victim.handler.reasons() == ["slow_peer"]
    assert victim.transport.stats().slow_peer_drops == 1
    # Taken: at most the queue, the window and what the sockets hold.
    assert len(sent) * 60_000 < (2 << 20) + QUICK.window_max_bytes + (8 << 20)


async def test_peer_is_dropped_when_it_stops_reading_and_little_is_queued(overlay: Cluster) -> None:
    bounds = dataclasses.replace(QUICK, write_stall_s=0.5, ping_interval_s=60.0)
    victim = await overlay.node(1, bounds=bounds)

    async def never_reads(peer: HostilePeer) -> None:
        await peer.open_lanes()
        with trio.fail_after(5):
            while key(7).peer_id not in victim.transport.peers():
                await trio.sleep(0.01)
        # The window has grown to its limit while the lanes were negotiated.
        for _ in range(100):
            victim.transport.send(key(7).peer_id, Channel.BULK, 1, bytes(60_000))
        await peer.wait_closed()

    await attack(victim, 7, never_reads)
    await until(lambda: victim.handler.disconnected)
    assert victim.handler.reasons() == ["slow_peer"]


async def test_votes_pass_while_a_large_transfer_is_queued(overlay: Cluster) -> None:
    left, right = await overlay.pair()
    for _ in range(7):
        assert left.transport.send(right.peer_id, Channel.BULK, 1, bytes(QUICK.frame_max_bytes))
    assert left.transport.send(right.peer_id, Channel.VOTE, 2, b"vote")
    await until(lambda: len(right.handler.messages) == 8)
    position = [channel for _, channel, _, _ in right.handler.messages].index(Channel.VOTE)
    assert position <= 1


async def test_queue_is_empty_after_a_burst_has_been_delivered(overlay: Cluster) -> None:
    left, right = await overlay.pair()
    for _ in range(20_000):
        assert left.transport.send(right.peer_id, Channel.VOTE, 1, bytes(200))
    assert left.transport.stats().queue_bytes[right.peer_id] >= 20_000 * 205
    await until(lambda: len(right.handler.messages) == 20_000)
    await until(lambda: left.transport.stats().queue_bytes[right.peer_id] == 0)


async def test_what_is_queued_is_delivered_when_the_sender_stops(overlay: Cluster) -> None:
    left, right = await overlay.pair()
    for number in range(2000):
        left.transport.send(right.peer_id, Channel.BULK, 1, b"%d" % number)
    await left.transport.stop()
    await until(lambda: len(right.handler.messages) == 2000)


# --- half-open connections ----------------------------------------------------------------------------------------


async def test_half_open_flood_is_bounded_and_honest_peers_still_connect(overlay: Cluster) -> None:
    bounds = dataclasses.replace(QUICK, half_open_per_address=16, handshake_timeout_s=1.0, accepts_burst=400)
    victim = await overlay.node(1, bounds=bounds)
    before = await living_tasks()
    flood: list[asyncio.StreamWriter] = []
    for _ in range(300):
        _, writer = await asyncio.open_connection(*listen_address(victim))
        flood.append(writer)
    await until(lambda: len(overlay_of(victim)._accepting) >= 10)
    assert len(overlay_of(victim)._accepting) <= 16
    assert await living_tasks() - before < 16 * 3
    honest = await overlay.node(2)
    overlay.point(honest, [victim])
    await connected(victim, honest)
    assert victim.transport.stats().refused_connections >= 200
    await until(lambda: len(overlay_of(victim)._accepting) == 0)
    for writer in flood:
        writer.close()


async def test_address_that_connects_too_fast_is_refused_until_it_slows_down(overlay: Cluster) -> None:
    bounds = dataclasses.replace(QUICK, accepts_per_s=20.0, accepts_burst=10, half_open_per_address=100)
    victim = await overlay.node(1, bounds=bounds)
    flood = [await asyncio.open_connection(*listen_address(victim)) for _ in range(50)]
    await until(lambda: victim.transport.stats().refused_connections >= 35)
    assert len(overlay_of(victim)._accepting) <= 15
    honest = await overlay.node(2)
    overlay.point(honest, [victim])
    await connected(victim, honest)
    for _, writer in flood:
        writer.close()


@pytest.mark.parametrize(
    "garbage",
    [
        os.urandom(4096),
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
        b"\x13/multistream/1.0.0\n\x07/noise\n" + os.urandom(500),
        b"\x13/multistream/1.0.0\n\x11/plaintext/2.0.0\n",
        b"\xff" * 200_000,
        b"\x13/multistream/1.0.0\n" + b"\x03ls\n" * 2000,
        b"",
    ],
)
async def test_garbage_from_anybody_ends_that_connection_only(overlay: Cluster, garbage: bytes) -> None:
    left, right = await overlay.pair()
    reader, writer = await asyncio.open_connection(*listen_address(left))
    writer.write(garbage)
    writer.write_eof()
    async with asyncio.timeout(QUICK.handshake_timeout_s + 2):
        await read_to_the_end(reader)
    writer.close()
    await until(lambda: len(overlay_of(left)._accepting) == 0)
    assert await right.transport.request(left.peer_id, ECHO, b"x", 5) == b"x"
    assert left.handler.disconnected == []


async def read_to_the_end(reader: asyncio.StreamReader) -> None:
    with contextlib.suppress(ConnectionError):
        while await reader.read(65536):
            pass


async def test_peer_is_refused_when_there_are_as_many_as_there_may_be(overlay: Cluster) -> None:
    left = await overlay.node(1, bounds=dataclasses.replace(QUICK, peers_max=1))
    right, third = await overlay.node(2), await overlay.node(3)
    overlay.point(right, [left])
    await connected(left, right)
    overlay.point(third, [left])
    await until(lambda: third.transport.stats().dial_failures >= 2)
    assert left.transport.peers() == (right.peer_id,)
    assert left.transport.stats().refused_connections >= 2


# --- identity ----------------------------------------------------------------------------------------------------


async def test_identity_is_refused_inside_the_handshake_in_both_directions(overlay: Cluster) -> None:
    gatekeeper = await overlay.node(1, allowed=lambda peer: peer == key(2).peer_id)
    friend, stranger = await overlay.node(2), await overlay.node(3)
    overlay.introduce(gatekeeper, friend, stranger)
    await connected(gatekeeper, friend)
    await until(lambda: gatekeeper.transport.stats().refused_connections >= 2)
    assert stranger.peer_id not in gatekeeper.handler.connected
    assert gatekeeper.peer_id not in stranger.handler.connected


async def test_impostor_at_a_known_address_is_refused(overlay: Cluster) -> None:
    left, impostor = await overlay.node(1), await overlay.node(3)
    expected = dataclasses.replace(overlay.address(impostor), peer_id=key(2).peer_id)
    left.transport.set_addresses([expected])
    await until(lambda: left.transport.stats().dial_failures >= 2)
    assert left.transport.peers() == impostor.transport.peers() == ()


# --- the host and its watchdog ------------------------------------------------------------------------------------


async def break_overlay(node: Node) -> None:
    """Raise inside the overlay's own nursery, as a bug of ours would."""

    async def bug() -> None:
        raise RuntimeError("a bug in the overlay")

    nursery = overlay_of(node)._nursery
    assert nursery is not None
    nursery.start_soon(bug)


async def test_overlay_is_rebuilt_on_the_same_port_and_peers_return_when_it_dies(overlay: Cluster) -> None:
    left, right = await overlay.pair()
    port = listen_address(left)[1]
    waiting = asyncio.ensure_future(left.transport.request(right.peer_id, HANG, b"", 60))
    await until(lambda: right.handler.requests)
    await break_overlay(left)
    await until(lambda: left.transport.stats().rebuilds == 1)
    await connected(left, right)
    assert listen_address(left)[1] == port
    assert left.handler.reasons() == ["overlay_died"]
    assert isinstance(await asyncio.gather(waiting, return_exceptions=True), list)
    assert await right.transport.request(left.peer_id, ECHO, b"x", 5) == b"x"
    assert right.transport.stats().rebuilds == 0


async def test_every_overlay_is_rebuilt_when_trio_itself_dies(overlay: Cluster) -> None:
    left, right = await overlay.pair()

    async def fatal_to_trio() -> None:
        async def bug() -> None:
            raise RuntimeError("a bug in a system task")

        trio.lowlevel.spawn_system_task(bug)

    with pytest.raises(TransportFailed):
        await run_in_trio(fatal_then_wait(fatal_to_trio))
    await until(lambda: left.transport.stats().rebuilds == right.transport.stats().rebuilds == 1)
    await connected(left, right)


def fatal_then_wait(fatal):
    async def job() -> None:
        await fatal()
        await trio.sleep_forever()

    return job


async def test_watchdog_gives_up_after_so_many_failures_in_a_row(
    overlay: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    node = await overlay.node(1, bounds=dataclasses.replace(QUICK, rebuilds_in_a_row=2))

    async def dies(*_: object) -> None:
        raise RuntimeError("cannot live")

    monkeypatch.setattr(Overlay, "run", dies)
    await break_overlay(node)
    with pytest.raises(TransportFailed):
        await asyncio.wait_for(node.transport.wait_failed(), 5)
    assert node.transport.stats().rebuilds == 2
    assert node.transport.peers() == ()


async def test_start_fails_at_once_when_the_port_is_taken(overlay: Cluster) -> None:
    first = await overlay.node(1)
    second = Libp2pTransport(key(2), network="x", listen_host="127.0.0.1", listen_port=listen_address(first)[1])
    with pytest.raises(TransportFailed, match="cannot listen"):
        await second.start(Recorder())


async def test_wait_failed_before_start_is_misuse() -> None:
    transport = Libp2pTransport(key(2), network="x", listen_host="127.0.0.1", listen_port=0)
    with pytest.raises(LocalMisuse):
        await transport.wait_failed()
    await transport.stop()


async def test_two_transports_of_one_process_are_independent(overlay: Cluster) -> None:
    left, right = await overlay.pair()
    other_left = await overlay.node(1, network="dd")
    other_right = await overlay.node(2, network="dd")
    overlay.introduce(other_left, other_right)
    await connected(other_left, other_right)
    await other_left.transport.stop()
    assert await right.transport.request(left.peer_id, ECHO, b"x", 5) == b"x"
