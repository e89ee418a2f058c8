"""One subscription serves everybody: nothing is missed, nobody polls, a broken stream goes on."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace

import pytest

from contracts.flow import calls
from ledger.errors import Fatal
from node.flow import watcher as module
from node.flow.watcher import FlowWatcher
from tests.node.flow.fakes import CHAIN_ID, FakeGateway, moved

FLOW, OTHER = b"f" * 32, b"o" * 32


async def test_who_waits_is_told_when_its_flow_moves_and_only_then():
    gateway = FakeGateway()
    async with FlowWatcher(gateway) as watcher:
        progress = watcher.track(FLOW)
        waiting = asyncio.create_task(watcher.changed(FLOW, progress.moves, 5))
        await asyncio.sleep(0)
        await gateway.emit((calls.FILED, moved(OTHER, deadline_ms=1)))
        await gateway.emit((calls.FILED, moved(FLOW, deadline_ms=1)))
        assert await waiting
        assert progress.status == "filing"
        assert watcher.known(OTHER) is None
        assert (watcher.chain_id, watcher.height) == (CHAIN_ID, 2)


async def test_waiting_ends_when_nothing_comes():
    async with FlowWatcher(FakeGateway()) as watcher:
        assert not await watcher.changed(FLOW, watcher.track(FLOW).moves, 0.01)


async def test_no_event_is_missed_when_the_stream_breaks(monkeypatch):
    monkeypatch.setattr(module, "FIRST_PAUSE_S", 0.001)
    gateway = FakeGateway()
    async with FlowWatcher(gateway) as watcher:
        progress = watcher.track(FLOW)
        gateway.broken = 2
        await gateway.emit((calls.FILED, moved(FLOW, deadline_ms=1)))
        assert await watcher.changed(FLOW, 0, 5)
        assert progress.status == "filing"
        assert gateway.streams == 3


async def test_a_hundred_flows_need_one_stream_and_no_view():
    gateway = FakeGateway()
    async with FlowWatcher(gateway) as watcher:
        flows = [number.to_bytes(32, "big") for number in range(100)]
        waiting = [asyncio.create_task(watcher.changed(flow, watcher.track(flow).moves, 5)) for flow in flows]
        await asyncio.sleep(0)
        await gateway.emit(*((calls.FILED, moved(flow, deadline_ms=1)) for flow in flows))
        assert all(await asyncio.gather(*waiting))
        assert (gateway.streams, gateway.infos, gateway.asked) == (1, 1, [])


async def test_a_transaction_is_known_by_its_events():
    gateway = FakeGateway()
    async with FlowWatcher(gateway) as watcher:
        future = watcher.expect(b"t" * 32)
        await gateway.emit((calls.DELIVERED, moved(FLOW, "deliver")), tx_id=b"t" * 32)
        height, events = await asyncio.wait_for(future, 5)
        assert (height, [event.name for event in events]) == (1, [calls.DELIVERED])


async def test_everybody_hears_of_it_when_the_node_is_broken():
    gateway = FakeGateway()

    async def events(from_height):
        raise Fatal("the store is gone")
        yield from_height

    gateway.events = events  # type: ignore[method-assign]
    async with FlowWatcher(gateway) as watcher:
        watcher.track(FLOW)
        with pytest.raises(Fatal):
            await watcher.changed(FLOW, 0, 5)


async def test_supervision_is_heard_by_its_headers_when_it_says_nothing_else(monkeypatch):
    gateway = FakeGateway()
    async with FlowWatcher(gateway) as watcher:
        now = watcher.heard_at
        monkeypatch.setattr(module, "monotonic", lambda: now + 100)
        latest = SimpleNamespace(state=SimpleNamespace(latest=SimpleNamespace(time_ms=0)))

        async def view(contract, name, arguments, result):
            gateway.asked.append((contract, name))
            return latest

        gateway.view = view  # type: ignore[method-assign]
        watcher.time_ms = 100_000
        assert not await watcher.lively()
        assert not await watcher.lively()
        assert len(gateway.asked) == 1, "it asks every few seconds, not at every question"
        latest.state.latest.time_ms = 95_000
        monkeypatch.setattr(module, "monotonic", lambda: now + 200)
        assert await watcher.lively()
        assert watcher.lively_since == now + 200
