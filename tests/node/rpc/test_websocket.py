"""JSON-RPC over WebSockets: calls, batches, subscriptions, bounds, ends."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from node.rpc import websocket
from node.rpc.connection import Connection, ConnectionGone
from node.rpc.method import Method, Params, Result, Scope
from tests.node.rpc.gate import JSON, Gate, code_of, gate

PATIENCE_S = 60.0


@pytest.fixture
async def door(tmp_path: Path) -> AsyncIterator[Gate]:
    async with gate(tmp_path) as made:
        yield made


def call(method: str, number: object = 1, **params: object) -> str:
    return json.dumps({"jsonrpc": "2.0", "id": number, "method": method, "params": params})


async def receive(socket: aiohttp.ClientWebSocketResponse) -> Any:
    message = await asyncio.wait_for(socket.receive(), PATIENCE_S)
    assert message.type is aiohttp.WSMsgType.TEXT, message
    return json.loads(message.data)


async def flood(connection: Connection) -> None:
    while True:
        await connection.notify("subscription", {"fill": "x" * 1_000_000})


class Followed(Result, frozen=True):
    """A test's answer."""

    client: str


class Following:
    """A method that keeps its connection."""

    def __init__(self) -> None:
        self.connections: list[Connection] = []
        self.ended = 0

    def table(self) -> tuple[Method, ...]:
        return (
            Method(
                name="test.follow",
                scope=Scope.READ,
                summary="Keeps the connection.",
                params=Params,
                result=Followed,
                call=self._follow,
                connected=True,
            ),
        )

    async def _follow(self, params: Params, connection: Connection) -> Followed:
        del params
        self.connections.append(connection)
        connection.on_close(self._on_close)
        return Followed(client=connection.client.name)

    def _on_close(self) -> None:
        self.ended += 1


@pytest.fixture
def following(door: Gate) -> Following:
    made = Following()
    door.client.server.dispatcher.add(made)
    return made


async def test_calls_and_batches_are_answered_when_they_come_as_messages(door: Gate) -> None:
    async with door.websocket(Scope.READ) as socket:
        await socket.send_str(call("chain.info", "a"))
        answer = await receive(socket)
        assert (answer["id"], answer["result"]["height"]) == ("a", 0)
        await socket.send_str(f"[{call('chain.info', 1)},{call('nothing', 2)}]")
        assert ["result" in answer for answer in await receive(socket)] == [True, False]
        await socket.send_bytes(b"\xff")
        assert code_of(await receive(socket)) == "json_invalid"
        await socket.send_str(call("tx.submit", 3, transaction="00"))
        assert code_of(await receive(socket)) == "scope_insufficient"


async def test_short_call_overtakes_when_a_long_one_waits(door: Gate) -> None:
    async with door.websocket() as socket:
        await socket.send_str(call("events.next", "long", from_height=1, timeout_ms=60_000))
        await socket.send_str(call("chain.info", "short"))
        assert (await receive(socket))["id"] == "short"
        await door.client.node.commit(door.client.node.pay())
        assert (await receive(socket))["id"] == "long"


async def test_unix_socket_has_websockets_too_when_asked(door: Gate, following: Following) -> None:
    async with door.client.session.ws_connect("http://node/ws") as socket:
        await socket.send_str(call("test.follow"))
        assert (await receive(socket))["result"]["client"].startswith("uid:")


async def test_page_shows_its_token_as_a_protocol_when_it_can_set_no_headers(door: Gate) -> None:
    token = door.tokens[Scope.READ]
    protocols = ("jsonrpc", f"bearer.{token}")
    async with door.session.ws_connect(door.url + "/ws", protocols=protocols) as socket:
        assert socket.protocol == "jsonrpc"
        await socket.send_str(call("chain.info"))
        assert (await receive(socket))["result"]["height"] == 0
    with pytest.raises(aiohttp.WSServerHandshakeError) as caught:
        await door.session.ws_connect(door.url + "/ws", protocols=("jsonrpc", "bearer.no"))
    assert caught.value.status == 401


async def test_method_is_refused_over_http_when_it_needs_a_connection(door: Gate, following: Following) -> None:
    status, answer, _ = await door.ask("test.follow")
    assert (status, code_of(answer)) == (200, "connection_required")
    assert following.connections == []


async def test_notification_reaches_the_client_until_it_hangs_up_when_told(door: Gate, following: Following) -> None:
    async with door.websocket() as socket:
        await socket.send_str(call("test.follow"))
        assert (await receive(socket))["result"] == {"client": "token:admin"}
        connection = following.connections[0]
        await connection.notify("subscription", {"bytes": b"\x01", "item": [1]})
        told = {"jsonrpc": "2.0", "method": "subscription", "params": {"bytes": "01", "item": [1]}}
        assert await receive(socket) == told
    async with asyncio.timeout(PATIENCE_S):
        while not following.ended:
            await asyncio.sleep(0)
    with pytest.raises(ConnectionGone):
        await connection.notify("subscription", {})
    late: list[int] = []
    connection.on_close(lambda: late.append(1))
    assert (late, following.ended) == ([1], 1)


async def test_client_is_told_why_when_its_connection_is_closed(door: Gate, following: Following) -> None:
    async with door.websocket() as socket:
        await socket.send_str(call("test.follow"))
        await receive(socket)
        await following.connections[0].close(1013, "slow_reader: resume")
        message = await asyncio.wait_for(socket.receive(), PATIENCE_S)
        assert (message.data, message.extra) == (1013, "slow_reader: resume")
    assert following.ended == 1


async def test_client_is_cut_off_when_it_takes_nothing(
    door: Gate, following: Following, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(websocket, "SEND_TIMEOUT_S", 0.2)
    async with door.websocket() as socket:
        await socket.send_str(call("test.follow"))
        await receive(socket)
        connection = following.connections[0]
        socket._response.connection.transport.pause_reading()
        with pytest.raises(ConnectionGone):
            await asyncio.wait_for(flood(connection), PATIENCE_S)
        assert following.ended == 1
        socket._response.connection.transport.resume_reading()
    assert (await door.ask("chain.info"))[0] == 200


async def test_more_calls_than_allowed_are_told_to_come_back_when_they_all_wait(
    door: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(websocket, "MAX_CALLS", 3)
    async with door.websocket() as socket:
        for number in range(5):
            await socket.send_str(call("tx.wait", number, tx_id="00" * 32, timeout_ms=60_000))
        refused = [await receive(socket) for _ in range(2)]
        assert [(code_of(answer), answer["id"]) for answer in refused] == [("overloaded", 3), ("overloaded", 4)]
        assert door.client.server.places.taken == 3
    async with asyncio.timeout(PATIENCE_S):
        while door.client.server.places.taken or door.client.server.websockets:
            await asyncio.sleep(0)
    assert door.client.node.gateway._waiters == {}


async def test_connection_ends_when_a_message_is_too_large(tmp_path: Path) -> None:
    async with gate(tmp_path, max_body_bytes=4_096) as door, door.websocket() as socket:
        await socket.send_str(" " * 5_000)
        message = await asyncio.wait_for(socket.receive(), PATIENCE_S)
        assert message.data == aiohttp.WSCloseCode.MESSAGE_TOO_BIG


async def test_path_says_what_it_is_for_when_it_is_called_without_an_upgrade(door: Gate) -> None:
    status, answer, _ = await door.post(call("chain.info"), {**JSON, **door.bearer()}, "/ws")
    assert (status, code_of(answer)) == (405, "http_method_wrong")
    assert "WebSocket" in answer["error"]["message"]
    status, answer, _ = await door.post(call("chain.info"), {**JSON, **door.bearer()}, "/rpc")
    assert (status, code_of(answer)) == (404, "path_unknown")


async def test_clients_are_told_when_the_node_stops(tmp_path: Path) -> None:
    async with gate(tmp_path) as door:
        socket = await door.websocket()
        stopping = asyncio.create_task(door.client.server.stop())
        message = await asyncio.wait_for(socket.receive(), PATIENCE_S)
        assert (message.data, message.extra) == (aiohttp.WSCloseCode.GOING_AWAY, "the node stops")
        await stopping
        await socket.close()
