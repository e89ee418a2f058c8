"""Subscriptions over the node's own server and a real socket: the same chain, slow readers, other clients."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import pytest
from aiohttp import WSMsgType

from node.rpc.server import RpcServer
from node.rpc.subscriptions_blocks import Entry
from node.rpc.subscriptions_methods import SubscriptionMethods
from node.rpc.subscriptions_records import Cursor, Kind, Topic
from node.subscriber import follow
from tests.node.rpc_subscriptions.gate import Socket
from tests.node.rpc_subscriptions.reader import Growing, items
from tests.node.rpc_subscriptions.recorded import FILTERS, expected, filter_of, recorded

FILLER = "x" * 200_000
"""Of a swollen entry: a few of them fill every buffer on the way."""


class Served:
    """A growing chain behind the node's own RPC server."""

    def __init__(self, path: Path) -> None:
        self.chain = Growing(recorded().chain, recorded().height)
        self.place = Socket(path)
        nothing: Any = None
        self.server = RpcServer([SubscriptionMethods(self.chain.hub)], nothing, nothing, path)

    async def __aenter__(self) -> Served:
        await self.server.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.chain.hub.stop()
        await self.server.stop()


@pytest.fixture
async def served(tmp_path: Path) -> AsyncIterator[Served]:
    async with Served(tmp_path / "s") as found:
        yield found


async def call(socket: aiohttp.ClientWebSocketResponse, method: str, **params: Any) -> dict[str, Any]:
    await socket.send_str(json.dumps({"jsonrpc": "2.0", "id": method, "method": method, "params": params}))
    async with asyncio.timeout(20):
        message: dict[str, Any] = await socket.receive_json()
    assert message["id"] == method, "the answer comes before the first notification"
    return message


async def read_on(socket: aiohttp.ClientWebSocketResponse) -> tuple[list[dict[str, Any]], int | None]:
    """Notifications until the node closes the connection, and its close code."""
    notes = []
    async with asyncio.timeout(40):
        async for message in socket:
            assert message.type is WSMsgType.TEXT
            notes.append(json.loads(message.data)["params"])
    return notes, socket.close_code


@pytest.mark.parametrize(("topic", "given"), FILTERS)
async def test_followed_stream_is_the_chain_when_the_server_is_the_nodes_own(served: Served, topic: Topic, given: dict):
    wanted = filter_of(recorded(), given)
    want = expected(recorded().chain, topic, 0, recorded().height, **wanted)
    told: list[Any] = []
    async with asyncio.timeout(20):
        async for note in follow([served.place], topic, from_height=0, markers=True, **wanted):
            if note.kind is Kind.CAUGHT_UP:
                break
            assert note.cursor is not None
            told.append((note.cursor.height, note.cursor.index, note.item))
    assert told == want


async def test_subscription_is_answered_before_it_tells(served: Served):
    async with (
        aiohttp.ClientSession(connector=aiohttp.UnixConnector(served.place.socket)) as session,
        session.ws_connect("http://node/ws") as socket,
    ):
        answer = await call(socket, "subscribe", topic="blocks", from_height=0)
        assert answer["result"] == {"subscription": "1", "height": recorded().height, "cursor": None}
        first = (await socket.receive_json())["params"]
        assert (first["subscription"], first["cursor"]) == ("1", {"height": 0, "index": 0})


async def test_subscribing_over_plain_http_is_refused_in_words(served: Served):
    async with aiohttp.ClientSession(connector=aiohttp.UnixConnector(served.place.socket)) as session:
        request = {"jsonrpc": "2.0", "id": 1, "method": "subscribe", "params": {"topic": "blocks"}}
        async with session.post("http://node/", json=request) as reply:
            error = (await reply.json())["error"]
    assert error["data"]["code"] == "connection_required"


async def test_slow_reader_is_told_and_cut_off_and_resumes_whole(served: Served, monkeypatch: pytest.MonkeyPatch):
    plain = Entry.item.fget  # type: ignore[attr-defined]

    def swollen(entry: Entry) -> msgspec.Raw:
        return msgspec.Raw(msgspec.json.encode({"real": plain(entry), "filler": FILLER}))

    monkeypatch.setattr(Entry, "item", property(swollen))
    served.chain.limit(stall_s=0.2)
    async with aiohttp.ClientSession(connector=aiohttp.UnixConnector(served.place.socket)) as session:
        async with session.ws_connect("http://node/ws") as socket:
            await call(socket, "subscribe", topic="events", from_height=0)
            async with asyncio.timeout(20):
                while not served.chain.hub.closed:
                    await asyncio.sleep(0.01)  # reading nothing
            notes, code = await read_on(socket)
        assert served.chain.hub.closed == {"slow_reader": 1}
        *told, last = notes
        assert (last["kind"], last["code"], code) == (Kind.CLOSED, "slow_reader", 1_013)
        assert last["cursor"] == told[-1]["cursor"]
        served.chain.limit()
        monkeypatch.undo()
        after = Cursor(**last["cursor"])
        rest = []
        async for note in follow([served.place], "events", after=after, markers=True):
            if note.kind is Kind.CAUGHT_UP:
                break
            assert note.cursor is not None
            rest.append((note.cursor.height, note.cursor.index, note.item))
    heard = [(height, index, item["real"]) for height, index, item in items(told)]
    assert 0 < len(heard) < len(heard + rest)
    assert heard + rest == expected(recorded().chain, Topic.EVENTS, 0, recorded().height)


async def test_other_clients_are_served_when_one_reads_nothing(served: Served, monkeypatch: pytest.MonkeyPatch):
    plain = Entry.item.fget  # type: ignore[attr-defined]
    monkeypatch.setattr(
        Entry, "item", property(lambda e: msgspec.Raw(msgspec.json.encode({"real": plain(e), "filler": FILLER})))
    )
    async with aiohttp.ClientSession(connector=aiohttp.UnixConnector(served.place.socket)) as session:
        stuck = await session.ws_connect("http://node/ws")
        await call(stuck, "subscribe", topic="events", from_height=0)
        told = 0
        async with asyncio.timeout(30):
            async for note in follow([served.place], "events", from_height=0, markers=True):
                if note.kind is Kind.CAUGHT_UP:
                    break
                told += 1
        assert told == len(expected(recorded().chain, Topic.EVENTS, 0, recorded().height))
        await stuck.close()


async def test_subscriptions_end_with_their_connection_when_it_is_cut(served: Served):
    async with aiohttp.ClientSession(connector=aiohttp.UnixConnector(served.place.socket)) as session:
        socket = await session.ws_connect("http://node/ws")
        for _ in range(3):
            await socket.send_str(
                json.dumps({"jsonrpc": "2.0", "id": 1, "method": "subscribe", "params": {"topic": "blocks"}})
            )
        async with asyncio.timeout(20):
            while served.chain.hub.open < 3:
                await asyncio.sleep(0.005)
            transport = socket.get_extra_info("socket")
            assert transport is not None
            socket._response.connection.transport.abort()  # type: ignore[union-attr]
            while served.chain.hub.open:
                await asyncio.sleep(0.005)
    assert not served.chain.hub._connections
