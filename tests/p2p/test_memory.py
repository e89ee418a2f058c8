"""The controls of the in-memory network; what it shares with libp2p is in test_transport_conformance.py."""

from __future__ import annotations

import asyncio
import dataclasses
import heapq
import itertools
from collections.abc import Callable

import pytest

from ledger.errors import LocalMisuse
from p2p.memory import MemoryNetwork
from p2p.transport import Channel, PeerAddress
from tests.p2p.overlay_kit import QUICK, Cluster, Recorder, connected, key, until


async def test_severed_pair_stays_apart_until_mended(memory: Cluster) -> None:
    left, right = await memory.pair()
    memory.net.sever(left.peer_id, right.peer_id)
    await until(lambda: left.transport.peers() == right.transport.peers() == ())
    memory.net.mend(right.peer_id, left.peer_id)
    await connected(left, right)


async def test_cut_pair_comes_back_by_itself(memory: Cluster) -> None:
    left, right = await memory.pair()
    memory.net.cut(left.peer_id, right.peer_id)
    await until(lambda: len(left.handler.connected) == len(right.handler.connected) == 2)
    assert left.handler.reasons() == ["closed"]


async def test_partition_keeps_connections_inside_groups_only(memory: Cluster) -> None:
    nodes = [await memory.node(number) for number in range(1, 6)]
    memory.introduce(*nodes)
    await until(lambda: all(len(node.transport.peers()) == 4 for node in nodes))
    ids = [node.peer_id for node in nodes]
    memory.net.partition(ids[:2], ids[2:4])
    await until(lambda: [len(node.transport.peers()) for node in nodes] == [1, 1, 1, 1, 0])
    memory.net.heal()
    await until(lambda: all(len(node.transport.peers()) == 4 for node in nodes))


async def test_paused_direction_delivers_nothing_then_everything_in_order(memory: Cluster) -> None:
    left, right = await memory.pair()
    memory.net.pause(left.peer_id, right.peer_id)
    for number in range(50):
        left.transport.send(right.peer_id, Channel.BULK, 1, b"%d" % number)
    right.transport.send(left.peer_id, Channel.BULK, 1, b"other way")
    await until(lambda: left.handler.messages)
    assert right.handler.messages == []
    memory.net.resume(left.peer_id, right.peer_id)
    await until(lambda: right.handler.payloads() == [b"%d" % number for number in range(50)])


async def test_receiver_is_dropped_as_slow_when_its_queue_is_full(memory: Cluster) -> None:
    left, right = await memory.pair(bounds=dataclasses.replace(QUICK, bulk_queue_bytes=10_000))
    memory.net.pause(left.peer_id, right.peer_id)
    results = [left.transport.send(right.peer_id, Channel.BULK, 1, bytes(995)) for _ in range(12)]
    assert results == [True] * 10 + [False] * 2
    await until(lambda: left.handler.disconnected)
    assert left.handler.reasons() == ["slow_peer"]
    assert left.transport.stats().slow_peer_drops == 1


async def test_peer_id_can_be_used_once_at_a_time(memory: Cluster) -> None:
    await memory.node(1)
    other = memory.net.transport(key(1).peer_id)
    with pytest.raises(LocalMisuse):
        await other.start(Recorder())


async def test_stopped_peer_may_start_again_as_a_new_transport(memory: Cluster) -> None:
    left, right = await memory.pair()
    await right.transport.stop()
    again = await memory.node(2)
    memory.introduce(left, again)
    await connected(left, again)


class VirtualTime:
    """A scheduler without asyncio, as simulation has one."""

    def __init__(self) -> None:
        self.now = 0.0
        self._order = itertools.count()
        self._queue: list[tuple[float, int, Callable[[], None]]] = []

    def schedule(self, delay_s: float, callback: Callable[[], None]) -> None:
        heapq.heappush(self._queue, (self.now + delay_s, next(self._order), callback))

    def run(self) -> None:
        while self._queue:
            self.now, _, callback = heapq.heappop(self._queue)
            callback()


async def run_in_virtual_time() -> tuple[list[tuple[float, str, bytes]], list[int]]:
    """One run of three nodes that answer each other, with latency; what arrived, when."""
    time = VirtualTime()
    net = MemoryNetwork(schedule=time.schedule, latency_s=lambda left, right: 0.01 * (len(left + right) % 7 + 1))
    seen: list[tuple[float, str, bytes]] = []
    transports = [net.transport(key(number).peer_id, clock=lambda: time.now) for number in (1, 2, 3)]
    recorders = [Recorder() for _ in transports]
    for transport, recorder in zip(transports, recorders, strict=True):

        def hook(peer, channel, kind, payload, transport=transport):
            seen.append((round(time.now, 6), transport.peer_id, payload))
            if len(payload) < 5:
                transport.send(peer, channel, kind, payload + b"!")

        recorder.hook = hook
        transport.set_allowed(lambda _: True)
        transport.set_addresses([PeerAddress(other.peer_id, "", 0) for other in transports])
        await transport.start(recorder)
    time.run()
    for transport in transports:
        for peer in transport.peers():
            transport.send(peer, Channel.VOTE, 1, b"x")
    time.run()
    for transport in transports:
        await transport.stop()
    return seen, [len(recorder.messages) for recorder in recorders]


async def test_two_runs_in_virtual_time_are_identical() -> None:
    first, second = await run_in_virtual_time(), await run_in_virtual_time()
    assert first == second
    assert len(first[0]) == 6 * 5
    assert len({asyncio.current_task()} | asyncio.all_tasks()) == len(asyncio.all_tasks())
