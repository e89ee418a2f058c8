"""A node's WebSocket on a real Unix socket, as small as can be, which misbehaves when a test says so."""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

import msgspec
from aiohttp import WSMsgType, web

from ledger.errors import TidegateError
from node.rpc.connection import Client, ConnectionGone
from node.rpc.errors import error_data
from node.rpc.method import Scope
from node.rpc.subscriptions_records import Subscribe
from tests.node.rpc_subscriptions.reader import Growing

_ids = count(1)


@dataclass(frozen=True)
class Socket:
    """Where a gate is."""

    path: Path

    @property
    def socket(self) -> str:
        return str(self.path)

    @property
    def url(self) -> str:
        return "http://node"

    @property
    def headers(self) -> dict[str, str]:
        return {}

    def ssl_context(self) -> ssl.SSLContext | None:
        return None


class Wire:
    """One connection, as the subscription engine sees it."""

    def __init__(self, gate: Gate, socket: web.WebSocketResponse) -> None:
        self.client = Client("uid:0", Scope.READ, "unix")
        self.id = f"w{next(_ids)}"
        self._gate, self._socket = gate, socket
        self.callbacks: list[Callable[[], None]] = []

    async def notify(self, method: str, params: Any) -> None:
        if self._socket.closed:
            raise ConnectionGone("gone")
        note = {"jsonrpc": "2.0", "method": method, "params": json.loads(bytes(params))}
        for sent in self._gate.distort(note):
            await self._socket.send_json(sent)
        self._gate.told += 1
        if self._gate.cut_after is not None and self._gate.told >= self._gate.cut_after:
            self._gate.told = 0
            await self._socket.close()

    def on_close(self, callback: Callable[[], None]) -> None:
        self.callbacks.append(callback)

    async def close(self, code: int, reason: str) -> None:
        await self._socket.close(code=code, message=reason.encode())


class Gate:
    """Serves one chain's subscriptions at a path.

    Attributes:
        cut_after: breaks a connection after so many notifications.
        distort: what is sent for a notification.
        asked: parameters of every ``subscribe`` so far.
        status: HTTP status of new connections; 101 lets them in.
    """

    def __init__(self, chain: Growing, path: Path) -> None:
        self.chain, self.place = chain, Socket(path)
        self.cut_after: int | None = None
        self.distort: Callable[[dict[str, Any]], list[Any]] = lambda note: [note]
        self.asked: list[dict[str, Any]] = []
        self.status = 101
        self.told = 0
        self._runner: web.AppRunner | None = None

    async def __aenter__(self) -> Gate:
        app = web.Application()
        app.router.add_get("/ws", self._serve)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.UnixSite(self._runner, self.place.socket).start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.chain.hub.stop()
        assert self._runner is not None
        await self._runner.cleanup()

    async def _serve(self, request: web.Request) -> web.StreamResponse:
        if self.status != 101:
            return web.Response(status=self.status)
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        wire = Wire(self, socket)
        async for message in socket:
            assert message.type in (WSMsgType.TEXT, WSMsgType.BINARY)
            asked = json.loads(message.data)
            self.asked.append(asked["params"])
            reply: dict[str, Any] = {"jsonrpc": "2.0", "id": asked["id"]}
            try:
                answer = await self.chain.hub.subscribe(msgspec.convert(asked["params"], Subscribe), wire)
                reply["result"] = msgspec.to_builtins(answer)
            except TidegateError as error:
                reply["error"] = {"code": -32_000, "message": error.message, "data": error_data(error)}
            await asyncio.sleep(0)  # the first notification may well be faster
            await socket.send_json(reply)
        for callback in wire.callbacks:
            callback()
        return socket
