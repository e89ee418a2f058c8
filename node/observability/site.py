"""``/metrics``, ``/livez`` and ``/readyz`` on an address of their own: reading only, bounded, no secrets.

Whatever name a request comes under is answered: what is said here is no more than that this node is up and how fast.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import asdict
from typing import Final

import structlog
from aiohttp import web

from ledger.errors import InvalidConfig
from node.observability.health import Health, Reason

log = structlog.get_logger(__name__)

MAX_CONNECTIONS: Final = 32
"""Open at once; beyond it a connection is closed as it comes."""
KEEPALIVE_S: Final = 75.0
READ_S: Final = 10.0
"""How long the first request of a connection may take to arrive."""


class Site:
    """See the module.

    Args:
        host: to listen on.
        port: 0 lets the system choose.
        health: answers ``/livez`` and ``/readyz``.
        exposition: answers ``/metrics``: bytes and content type for an ``Accept`` header.

    Attributes:
        address: where it listens; the port is the real one after ``start``.
    """

    def __init__(self, host: str, port: int, health: Health, exposition: Callable[[str], tuple[bytes, str]]) -> None:
        self.address = (host, port)
        self._health = health
        self._exposition = exposition
        self._runner: web.AppRunner | None = None
        self._server: asyncio.Server | None = None
        self._silent: set[asyncio.BaseProtocol] = set()

    async def start(self) -> None:
        """Listens.

        Raises:
            InvalidConfig: ``metrics_listen``: the address cannot be used.
        """
        app = web.Application(client_max_size=1_024, middlewares=[self._dressed])
        for path, handler in (("/metrics", self._metrics), ("/livez", self._livez), ("/readyz", self._readyz)):
            app.router.add_get(path, handler)
        self._runner = web.AppRunner(
            app,
            access_log=None,
            handle_signals=False,
            shutdown_timeout=1.0,
            keepalive_timeout=KEEPALIVE_S,
            lingering_time=1.0,
            max_line_size=4_096,
            max_headers=64,
            max_field_size=4_096,
        )
        await self._runner.setup()
        host, port = self.address
        try:
            self._server = await asyncio.get_running_loop().create_server(
                self._protocol, host, port, backlog=MAX_CONNECTIONS
            )
        except OSError as error:
            await self.stop()
            raise InvalidConfig(
                f"metrics.listen {host}:{port} cannot be used: {error.strerror}",
                code="metrics_listen",
                key="metrics.listen",
            ) from error
        self.address = self._server.sockets[0].getsockname()[:2]
        log.info("metrics_listening", host=self.address[0], port=self.address[1])

    async def stop(self) -> None:
        """Ends service; safe where it never began."""
        if self._server is not None:
            self._server.close()
            self._server = None
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    def _protocol(self) -> asyncio.BaseProtocol:
        """What a new connection is spoken to by."""
        loop = asyncio.get_running_loop()
        server = None if self._runner is None else self._runner.server
        if server is None or len(server.connections) >= MAX_CONNECTIONS:
            return _Refusing()
        handler = server()
        self._silent.add(handler)
        loop.call_later(READ_S, self._expect_request, handler)
        return handler

    def _expect_request(self, handler: web.RequestHandler) -> None:
        if handler in self._silent:
            self._silent.discard(handler)
            handler.force_close()

    @web.middleware
    async def _dressed(
        self, request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        self._silent.discard(request.protocol)
        response = await handler(request)
        response.headers["Cache-Control"] = "no-store"
        response.headers["X-Content-Type-Options"] = "nosniff"
        return response

    async def _metrics(self, request: web.Request) -> web.Response:
        body, content_type = self._exposition(request.headers.get("Accept", ""))
        return web.Response(body=body, headers={"Content-Type": content_type})

    async def _livez(self, _request: web.Request) -> web.Response:
        return _answer(self._health.why_dead())

    async def _readyz(self, _request: web.Request) -> web.Response:
        return _answer(self._health.why_not_ready())


class _Refusing(asyncio.Protocol):
    """Closes a connection as it comes: there are enough."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        transport.abort()


def _answer(reasons: Sequence[Reason]) -> web.Response:
    """200 and an empty list, or 503 and why."""
    body = json.dumps([asdict(reason) for reason in reasons], ensure_ascii=False)
    return web.Response(status=503 if reasons else 200, text=body + "\n", content_type="application/json")
