"""Whatever happens to the connection, what a subscriber heard, put together, is the chain: nothing missing or twice."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from node.rpc.subscriptions import SLOW_READER
from node.rpc.subscriptions_records import Cursor, Kind, Topic
from tests.node.rpc_subscriptions.reader import Growing, Reader, items, settle, subscribe
from tests.node.rpc_subscriptions.recorded import FILTERS, expected, filter_of, recorded

ACTIONS = st.one_of(
    st.tuples(st.just("grow"), st.integers(1, 6)),
    st.tuples(st.just("read"), st.integers(1, 12)),
    st.tuples(st.just("hang_up"), st.just(0)),
    st.tuples(st.just("freeze"), st.just(0)),
    st.tuples(st.just("other_node"), st.integers(0, 4)),
    st.tuples(st.just("restart"), st.just(0)),
)


class Follower:
    """A client that keeps nothing but the cursor of the last notification that it read."""

    def __init__(self, chain: Growing, topic: Topic, wanted: dict[str, Any], start: int) -> None:
        self.chain, self.topic, self.wanted, self.start = chain, topic, wanted, start
        self.reader: Reader | None = None
        self.cursor: Cursor | None = None
        self.heard: list[dict[str, Any]] = []

    async def connect(self, room: int) -> Reader:
        if self.reader is None or self.reader.gone:
            self.reader = Reader(room)
            place = {"from_height": self.start} if self.cursor is None else {"after": self.cursor}
            await subscribe(self.chain, self.reader, self.topic, **place, **self.wanted)
        return self.reader

    async def read(self, room: int, notes: int) -> None:
        reader = await self.connect(room)
        for _ in range(notes):
            await settle()
            if not reader.buffer:
                return
            self.take(await reader.read())
            if self.reader is None:
                return

    def take(self, note: dict[str, Any]) -> None:
        if note["kind"] == Kind.CLOSED:
            assert note["code"] in (SLOW_READER, "stopping"), note
            assert self.reader is not None
            self.reader.hang_up()
            self.reader = None
            return
        self.heard.append(note)
        self.cursor = Cursor(**note["cursor"])

    def hang_up(self) -> None:
        if self.reader is not None:
            self.reader.hang_up()
            self.reader = None


async def follow(
    topic: Topic, given_filter: dict[str, Any], start: int, actions: list[tuple[str, int]], room: int
) -> None:
    found = recorded()
    wanted = filter_of(found, given_filter)
    chain = Growing(found.chain, 0)
    chain.limit(stall_s=0.002, max_lag_blocks=7, behind_s=0.0)
    client = Follower(chain, topic, wanted, start)
    for action, number in actions:
        match action:
            case "grow":
                chain.grow(number)
            case "read":
                await client.read(room, number)
            case "hang_up":
                client.hang_up()
            case "freeze":
                await client.connect(room)
                await asyncio.sleep(0.005)
            case "other_node":
                # One that is behind: it waits until it has the blocks.
                client.hang_up()
                client.chain = chain = Growing(found.chain, max(0, chain.tip.height - number))
                chain.limit(stall_s=0.002, max_lag_blocks=7, behind_s=0.0)
            case "restart":
                await chain.hub.stop()
                client.chain = chain = Growing(found.chain, chain.tip.height)
                chain.limit(stall_s=0.002, max_lag_blocks=7, behind_s=0.0)
                while client.reader is not None and client.reader.buffer:
                    client.take(await client.reader.read())
                client.hang_up()
    chain.grow(found.height)
    chain.limit()
    client.hang_up()
    while not client.heard or client.cursor != Cursor(height=found.height):
        await client.read(1_000, 1_000)
    client.hang_up()
    assert items(client.heard) == expected(found.chain, topic, start, found.height, **wanted)


@pytest.mark.parametrize(("topic", "given_filter"), FILTERS)
def test_concatenation_is_the_chain_when_connections_break_and_readers_stall(
    topic: Topic, given_filter: dict, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("node.rpc.subscriptions.SLOW_FAREWELL_S", 0.002)

    @settings(max_examples=12, deadline=None)
    @given(
        start=st.integers(0, recorded().height),
        actions=st.lists(ACTIONS, max_size=25),
        room=st.sampled_from((0, 1, 3, 50)),
    )
    def check(start: int, actions: list[tuple[str, int]], room: int) -> None:
        asyncio.run(follow(topic, given_filter, start, actions, room))

    check()
