"""The following client: one stream over broken connections, stopped nodes, slow reading and lying nodes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ledger.errors import InvalidInput, LocalMisuse, NotFound, Overloaded, PeerMisbehaved, RpcUnavailable
from node import subscriber
from node.subscriber import Cursor, Kind, follow
from tests.node.rpc_subscriptions.gate import Gate, Socket
from tests.node.rpc_subscriptions.reader import Growing
from tests.node.rpc_subscriptions.recorded import expected, filter_of, recorded


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subscriber, "FIRST_PAUSE_S", 0.001)
    monkeypatch.setattr(subscriber, "MAX_PAUSE_S", 0.01)


@pytest.fixture
async def gate(tmp_path: Path) -> AsyncIterator[Gate]:
    found = recorded()
    async with Gate(Growing(found.chain, found.height), tmp_path / "a.sock") as gate:
        yield gate


async def take(stream: Any, count: int) -> list[Any]:
    found = []
    async with asyncio.timeout(20):
        async for note in stream:
            found.append((note.cursor.height, note.cursor.index, note.item))
            if len(found) == count:
                break
    await stream.aclose()
    return found


@pytest.mark.parametrize("topic", ["blocks", "events", "flow", "account"])
@pytest.mark.parametrize("cut_after", [1, 2, 5])
async def test_stream_is_the_chain_when_connections_keep_breaking(gate: Gate, topic: str, cut_after: int):
    gate.cut_after = cut_after
    wanted = {"account": "B settled"} if topic == "account" else {}
    want = expected(recorded().chain, topic, 0, recorded().height, **wanted)  # type: ignore[arg-type]
    # The first breaks after nothing new arrived: every connection says at least one thing that is told.
    assert await take(follow([gate.place], topic, from_height=0, **wanted), len(want)) == want
    assert len(gate.asked) > len(want) // (cut_after + 1)
    assert all("from_height" not in asked for asked in gate.asked[1:])


async def test_new_blocks_are_followed_when_no_place_is_given(gate: Gate):
    gate.chain.tip.height = 3
    gate.cut_after = 2
    stream = follow([gate.place], "blocks", markers=True)
    assert (await anext(stream)).kind is Kind.CAUGHT_UP
    heights = []
    while len(heights) < 5:
        gate.chain.grow()
        note = await anext(stream)
        if note.kind is Kind.ITEM:
            heights.append(note.cursor.height)
    assert heights == [4, 5, 6, 7, 8]
    await stream.aclose()


async def test_nothing_is_missed_when_the_connection_breaks_before_the_first_entry(gate: Gate):
    gate.chain.tip.height = 3
    gate.cut_after = 1  # after "caught_up"
    stream = follow([gate.place], "blocks")
    coming = asyncio.ensure_future(anext(stream))
    while len(gate.asked) < 2:
        await asyncio.sleep(0.001)
    gate.chain.grow(2)
    assert (await coming).cursor.height == 4
    assert gate.asked[1]["after"] == {"height": 3, "index": 4_294_967_295}
    await stream.aclose()


async def test_next_node_goes_on_when_one_stops(gate: Gate, tmp_path: Path):
    async with Gate(Growing(recorded().chain, recorded().height), tmp_path / "b.sock") as other:
        stream = follow([gate.place, other.place], "blocks", from_height=0)
        gate.chain.tip.height = 4
        heights = [(await anext(stream)).cursor.height for _ in range(5)]
        await gate.chain.hub.stop()
        heights += [(await anext(stream)).cursor.height for _ in range(recorded().height - 4)]
        assert heights == list(range(recorded().height + 1))
        assert other.asked[0] == {"topic": "blocks", "after": {"height": 4, "index": 4_294_967_295}}
        await stream.aclose()


async def test_slow_reader_resumes_when_cut_off(gate: Gate):
    gate.chain.limit(stall_s=0.01)
    want = expected(recorded().chain, "events", 0, recorded().height)  # type: ignore[arg-type]
    stalled = 0
    plain = gate.chain.hub.subscribe

    async def stalling(asked: Any, connection: Any) -> Any:
        nonlocal stalled
        notify = connection.notify

        async def slow(method: str, params: Any) -> None:
            nonlocal stalled
            await notify(method, params)
            if stalled < 4 and b'"item"' in bytes(params):
                stalled += 1
                await asyncio.sleep(10)  # the buffer is full, and the client asleep

        connection.notify = slow
        return await plain(asked, connection)

    gate.chain.hub.subscribe = stalling  # type: ignore[method-assign]
    assert await take(follow([gate.place], "events", from_height=0), len(want)) == want
    assert (stalled, gate.chain.hub.closed["slow_reader"]) == (4, 4)


async def test_entries_told_twice_are_dropped_when_a_node_repeats_itself(gate: Gate):
    gate.distort = lambda note: [note, note]
    want = expected(recorded().chain, "events", 0, recorded().height)  # type: ignore[arg-type]
    assert await take(follow([gate.place], "events", from_height=0), len(want)) == want


async def test_block_left_out_is_noticed(gate: Gate):
    gate.distort = lambda note: [] if note["params"]["cursor"]["height"] == 4 else [note]
    with pytest.raises(PeerMisbehaved, match="block 4 was left out"):
        await take(follow([gate.place], "blocks", from_height=0), 20)


@pytest.mark.parametrize("junk", [[1], {"method": "subscription"}, {"method": "subscription", "params": {"kind": "x"}}])
async def test_junk_is_a_fault_of_the_node(gate: Gate, junk: Any):
    gate.distort = lambda note: [junk]
    with pytest.raises(PeerMisbehaved, match="not understood"):
        await take(follow([gate.place], "blocks", from_height=0), 20)


async def test_wrong_filter_is_raised_as_the_node_says_it(gate: Gate):
    with pytest.raises(InvalidInput, match="has no filter") as caught:
        await take(follow([gate.place], "blocks", account="x"), 1)
    assert caught.value.code == "filter_invalid"
    assert len(gate.asked) == 1


async def test_archive_is_asked_when_the_first_node_has_pruned(
    gate: Gate, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    async with Gate(Growing(recorded().chain, recorded().height), tmp_path / "b.sock") as other:
        monkeypatch.setattr(gate.chain.hub, "retained_height", lambda: 5)
        stream = follow([gate.place, other.place], "blocks", from_height=2)
        assert (await anext(stream)).cursor.height == 2
        await stream.aclose()
        monkeypatch.setattr(other.chain.hub, "retained_height", lambda: 5)
        with pytest.raises(NotFound) as caught:
            await take(follow([gate.place, other.place], "blocks", from_height=2), 1)
        assert caught.value.code == "pruned"


async def test_follower_gives_up_when_nobody_answers(tmp_path: Path):
    with pytest.raises(RpcUnavailable):
        await take(follow([Socket(tmp_path / "none.sock")], "blocks", give_up_s=0.02), 1)
    with pytest.raises(LocalMisuse):
        await take(follow([], "blocks"), 1)


@pytest.mark.parametrize(("status", "error"), [(503, Overloaded), (401, InvalidInput), (404, RpcUnavailable)])
async def test_refused_connection_is_said_in_words(gate: Gate, status: int, error: type[Exception]):
    gate.status = status
    with pytest.raises(error):
        await take(follow([gate.place], "blocks", give_up_s=0.02), 1)


async def test_everything_is_closed_when_the_reader_leaves(gate: Gate):
    before = len(asyncio.all_tasks())
    stream = follow([gate.place], "blocks", from_height=0)
    await anext(stream)
    await stream.aclose()
    while gate.chain.hub.open or len(asyncio.all_tasks()) > before:
        await asyncio.sleep(0.001)


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(cuts=st.integers(1, 6), start=st.integers(0, 8), flow=st.integers(0, 3), index=st.integers(0, 3))
def test_any_flow_is_told_whole_when_connections_break_anywhere(
    tmp_path_factory: pytest.TempPathFactory, cuts: int, start: int, flow: int, index: int
):
    found = recorded()
    wanted = filter_of(found, {"flow": flow})
    want = expected(found.chain, "flow", start, found.height, **wanted)  # type: ignore[arg-type]

    async def check() -> None:
        path = tmp_path_factory.mktemp("g") / "s"
        async with Gate(Growing(found.chain, found.height), path) as gate:
            gate.cut_after = cuts
            if want:
                assert await take(follow([gate.place], "flow", from_height=start, **wanted), len(want)) == want
                after = Cursor(height=want[0][0], index=want[0][1])
                if want[1:]:
                    assert await take(follow([gate.place], "flow", after=after, **wanted), len(want) - 1) == want[1:]

    asyncio.run(check())
