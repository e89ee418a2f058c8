"""JSON-RPC over a WebSocket: a message is a call or a batch; answers come when ready, notifications between them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Final

import msgspec
import structlog
from aiohttp import WSCloseCode, WSMsgType, web

from ledger.document import to_document
from ledger.errors import Overloaded
from node.rpc.access import Credential
from node.rpc.connection import Client, ConnectionGone
from node.rpc.dispatch import Caller, Dispatcher
from node.rpc.limits import Places

log = structlog.get_logger(__name__)

MAX_CALLS: Final = 64
"""Calls under way on one connection; more are told to come back."""
SEND_TIMEOUT_S: Final = 30.0
"""A client that takes nothing for so long is cut off."""
CLOSE_TIMEOUT_S: Final = 2.0
HEARTBEAT_S: Final = 30.0
RETRY_MS: Final = 100
PROTOCOL: Final = "jsonrpc"
BEARER: Final = "bearer."
"""A web page cannot set headers: it offers the protocols ``jsonrpc`` and ``bearer.TOKEN``."""

_encode = msgspec.json.Encoder().encode


class WebSocketConnection:
    """One WebSocket; the ``Connection`` of its subscriptions.

    Args:
        credential: whose it is.
        identity: unique in this process.
        dispatcher: answers.
        places: for requests under way.
        max_message_bytes: longer messages end the connection.
    """

    def __init__(
        self, credential: Credential, identity: str, dispatcher: Dispatcher, places: Places, max_message_bytes: int
    ) -> None:
        self.credential = credential
        self._id = identity
        self._dispatcher = dispatcher
        self._places = places
        self._callbacks: list[Callable[[], None]] = []
        self._gone = False
        self._calls = 0
        self._transport: asyncio.Transport | None = None
        self._socket = web.WebSocketResponse(
            timeout=CLOSE_TIMEOUT_S,
            heartbeat=HEARTBEAT_S,
            protocols=(PROTOCOL,),
            compress=False,
            max_msg_size=max_message_bytes,
            decode_text=False,
        )

    @property
    def client(self) -> Client:
        """See ``Connection``."""
        return self.credential.client

    @property
    def id(self) -> str:
        """See ``Connection``."""
        return self._id

    async def run(self, request: web.Request) -> web.WebSocketResponse:
        """Serves the connection until it ends."""
        self._transport = request.transport
        await self._socket.prepare(request)
        tasks: set[asyncio.Task[None]] = set()
        try:
            async for message in self._socket:
                if message.type not in (WSMsgType.TEXT, WSMsgType.BINARY):
                    continue
                task = asyncio.create_task(self._answer(message.data))
                tasks.add(task)
                task.add_done_callback(tasks.discard)
                if len(tasks) >= 2 * MAX_CALLS:  # who calls without reading the refusals is not read from either
                    await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._end()
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        return self._socket

    async def _answer(self, body: bytes) -> None:
        caller = Caller(self.client, self._id, self)
        name = self.client.name
        room = self._calls < MAX_CALLS and self._places.enter(name, trusted=self.client.address == "unix")
        refusal = None if room else Overloaded("too many calls are under way", retry_after_ms=RETRY_MS)
        self._calls += room
        try:
            reply = await self._dispatcher.answer(body, caller, refusal)
        finally:
            if room:
                self._calls -= 1
                self._places.leave(name)
        if reply is not None:
            await self._send(reply)

    async def _send(self, data: bytes) -> None:
        try:
            async with asyncio.timeout(SEND_TIMEOUT_S):
                await self._socket.send_frame(data, WSMsgType.TEXT)
        except (ConnectionError, RuntimeError, TimeoutError):
            self.abort()

    async def notify(self, method: str, params: Any) -> None:
        """See ``Connection``."""
        if self._gone or self._socket.closed:
            raise ConnectionGone("the client has hung up")
        await self._send(_encode({"jsonrpc": "2.0", "method": method, "params": to_document(params)}))
        if self._gone:
            raise ConnectionGone("the client takes nothing any more")

    def on_close(self, callback: Callable[[], None]) -> None:
        """See ``Connection``."""
        if self._gone:
            callback()
        else:
            self._callbacks.append(callback)

    async def close(self, code: int = WSCloseCode.GOING_AWAY, reason: str = "") -> None:
        """See ``Connection``."""
        try:
            async with asyncio.timeout(CLOSE_TIMEOUT_S):
                await self._socket.close(code=code, message=reason.encode()[:100])
        except (ConnectionError, RuntimeError, TimeoutError):
            pass
        self.abort()

    def abort(self) -> None:
        """Cuts the client off now."""
        self._end()
        if self._transport is not None:
            self._transport.abort()

    def _end(self) -> None:
        self._gone = True
        callbacks, self._callbacks = self._callbacks, []
        for callback in callbacks:
            callback()
