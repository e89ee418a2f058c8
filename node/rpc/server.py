"""Serves the RPC: JSON-RPC at ``/``, WebSockets at ``/ws``, binary bulk submission at ``/v1/transactions``.

On the Unix socket and, where the configuration says so, on TCP. This page decides what HTTP lets in; what a call may do
is ``node.rpc.dispatch``'s.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import secrets
from collections.abc import Awaitable, Callable, Iterable
from itertools import count
from pathlib import Path
from typing import Final

import msgspec
import structlog
from aiohttp import WSCloseCode, web

from ledger.errors import InvalidConfig, MalformedBytes, TidegateError
from node.intake import Intake
from node.local import LocalGateway
from node.observability.rpc_meter import RpcMeter
from node.rpc.access import Access, Credential, certificate_names, load_certificate, server_tls
from node.rpc.bulk import BulkSubmission
from node.rpc.connection import Client
from node.rpc.discover import DiscoverMethods
from node.rpc.dispatch import Caller, Dispatcher
from node.rpc.errors import error_object
from node.rpc.limits import GUESSES_OF_ALL, Budgets, Places, guess_budget
from node.rpc.listening import Listeners, sweeping
from node.rpc.method import Area, Scope
from node.rpc.refusals import Refused
from node.rpc.settings import RpcSettings
from node.rpc.websocket import BEARER, WebSocketConnection

log = structlog.get_logger(__name__)

BODY_S: Final = 30.0
"""A body that has not arrived by then is given up."""
KEEP_ALIVE_S: Final = 120.0
LINGER_S: Final = 1.0
"""How long the rest of a refused body is read, so that the client sees the refusal."""
SHUTDOWN_S: Final = 2.0
BULK_UNIT: Final = 100
"""Transactions of a bulk submission that cost one unit; their own bound is the mempool's quota."""
_REQUEST_ID = re.compile(r"[A-Za-z0-9._:-]{1,64}")
_JSON: Final = "application/json"
_encode = msgspec.json.Encoder().encode

Handler = Callable[[web.Request, Credential, str], Awaitable[web.StreamResponse]]


class RpcServer:
    """See the module.

    Args:
        areas: whose methods are served; ``rpc.discover`` comes with the server.
        gateway: for bulk submission.
        intake: for bulk submission.
        path: of the Unix socket.
        settings: TCP, access and limits.
        meter: counts calls, refusals and connections.

    Raises:
        InvalidConfig: see ``node.rpc.access``.

    Attributes:
        dispatcher: answers calls.
        bulk: takes bulk submissions; counts them.
        places: requests under way.
        address: host and port of the TCP listener once it listens, or None.
    """

    def __init__(
        self,
        areas: Iterable[Area],
        gateway: LocalGateway,
        intake: Intake,
        path: Path,
        settings: RpcSettings | None = None,
        meter: RpcMeter | None = None,
    ) -> None:
        self.settings = settings = settings or RpcSettings()
        self._path = path
        self._meter = meter or RpcMeter()
        self._budgets = Budgets(settings.cost_per_second, settings.cost_burst)
        self.dispatcher = Dispatcher(areas, self._budgets, settings.max_batch, self._meter)
        self.dispatcher.add(DiscoverMethods(self.dispatcher))
        self.bulk = BulkSubmission(gateway, intake)
        self.places = Places(settings.max_in_flight)
        self.address: tuple[str, int] | None = None
        self._access = Access(settings)
        self._tls = server_tls(settings) if settings.listen else None
        self._tls_seen = self._tls_files()
        self._guesses = guess_budget()
        self._all_guesses = Budgets(GUESSES_OF_ALL, GUESSES_OF_ALL)
        self._runner: web.AppRunner | None = None
        self._listeners: Listeners | None = None
        self._sweeper: asyncio.Task[None] | None = None
        self._sockets: set[WebSocketConnection] = set()
        self._boot = secrets.token_hex(4)
        self._ids = count(1)
        self._bound_path = False

    @property
    def connections(self) -> int:
        """Connections that are open now."""
        return 0 if self._listeners is None else self._listeners.open

    @property
    def websockets(self) -> int:
        """WebSockets among them."""
        return len(self._sockets)

    async def start(self) -> None:
        """Binds the socket and, where configured, the TCP address, and serves.

        Raises:
            InvalidConfig: an address or path cannot be used.
        """
        app = web.Application(client_max_size=self.settings.max_body_bytes)
        app.router.add_route("*", "/", self._guarded(self._placed(self._json_rpc)))
        app.router.add_route("*", "/v1/transactions", self._guarded(self._placed(self._bulk)))
        # A connection that waits is no request under way; its calls are counted one by one.
        app.router.add_route("*", "/ws", self._guarded(self._websocket))
        app.router.add_route("*", "/{path:.*}", self._guarded(self._elsewhere))
        self._runner = web.AppRunner(
            app,
            access_log=None,
            handle_signals=False,
            shutdown_timeout=SHUTDOWN_S,
            handler_cancellation=True,  # who hangs up gives his place free, however long he meant to wait
            keepalive_timeout=KEEP_ALIVE_S,
            lingering_time=LINGER_S,
            auto_decompress=False,  # a small body that unpacks to a large one
        )
        await self._runner.setup()
        self._listeners = Listeners(self._runner.server, self.settings.max_connections)
        self._meter.count_connections = self._count_connections
        self._listeners.listen_unix(self._path)
        self._bound_path = True
        if self.settings.listen:
            await self._listen_tcp(self._listeners)
        self._sweeper = asyncio.create_task(sweeping(self._listeners, self._look_around))

    async def _listen_tcp(self, listeners: Listeners) -> None:
        host, _, port = self.settings.listen.rpartition(":")
        if self.settings.tls_certificate is not None:
            self._access.allow_hosts(certificate_names(self.settings.tls_certificate))
        self.address = await listeners.listen_tcp(host.strip("[]"), int(port), self._tls)
        log.info("rpc_listening", host=self.address[0], port=self.address[1], tls=self._tls is not None)
        if not len(self._access.tokens) and self.settings.tls_client_ca is None:
            log.warning("rpc_no_tokens", remedy="make one with `tidegate rpc token new`")

    async def stop(self) -> None:
        """Ends service and removes the socket; what else stands at its path is left alone."""
        if self._sweeper is not None:
            self._sweeper.cancel()
            await asyncio.gather(self._sweeper, return_exceptions=True)
        if self._listeners is not None:
            await self._listeners.close()
        for connection in tuple(self._sockets):
            await connection.close(WSCloseCode.GOING_AWAY, "the node stops")
        if self._runner is not None:
            await self._runner.cleanup()
        if self._bound_path:
            self._bound_path = False
            self._path.unlink(missing_ok=True)

    # --- what every request passes ----------------------------------------------------------------------------------

    def _guarded(self, handler: Handler) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
        async def serve(request: web.Request) -> web.StreamResponse:
            assert self._listeners is not None
            self._listeners.spoke(request.protocol)
            given = request.headers.get("X-Request-Id", "")
            request_id = given if _REQUEST_ID.fullmatch(given) else f"{self._boot}-{next(self._ids)}"
            structlog.contextvars.bind_contextvars(request_id=request_id, client="unknown")
            headers: dict[str, str] = {"X-Request-Id": request_id, "Server": "tidegate"}
            try:
                credential = self._admit(request, headers)
                structlog.contextvars.bind_contextvars(client=credential.client.name)
                response = await handler(request, credential, request_id)
            except Refused as refusal:
                response = self._refuse(request, refusal)
            except web.HTTPRequestEntityTooLarge:
                words = f"a body has at most {self.settings.max_body_bytes} bytes"
                response = self._refuse(request, Refused(413, "body_too_large", words, close=True))
            if not response.prepared:
                response.headers.update(headers)
            return response

        return serve

    def _placed(self, handler: Handler) -> Handler:
        async def serve(request: web.Request, credential: Credential, request_id: str) -> web.StreamResponse:
            client = credential.client
            if not self.places.enter(client.name, trusted=client.address == "unix"):
                raise Refused(503, "overloaded", "too busy; try again in a second", retry_after_s=1)
            try:
                return await handler(request, credential, request_id)
            finally:
                self.places.leave(client.name)

        return serve

    def _refuse(self, request: web.Request, refusal: Refused) -> web.Response:
        self._meter.refuse(refusal.code)
        log.debug("rpc_refused", code=refusal.code, path=request.path[:80])
        body = {"jsonrpc": "2.0", "id": None, "error": error_object(refusal)}
        response = web.Response(status=refusal.status, body=_encode(body), content_type=_JSON, headers=refusal.headers)
        if refusal.close:
            response.force_close()
        return response

    def _admit(self, request: web.Request, headers: dict[str, str]) -> Credential:
        """Who asks, once it may.

        Args:
            request: whose header has arrived.
            headers: of the answer; what a web page needs is added.

        Raises:
            Refused: it may not.
        """
        transport = request.transport
        if transport is None:
            raise Refused(400, "connection_gone", "the connection has ended", close=True)
        origin = request.headers.get("Origin")
        if not self._access.origin_is_ours(origin):
            raise Refused(403, "origin_foreign", "web pages of this origin may not ask this node")
        if origin is not None:
            headers["Access-Control-Allow-Origin"] = origin
            headers["Vary"] = "Origin"
        peer = transport.get_extra_info("peername")
        if not isinstance(peer, tuple):
            credential = self._access.socket_peer(transport.get_extra_info("socket"), self._path)
            if credential is None:
                raise Refused(403, "unauthenticated", "this socket is for the node's user and group", close=True)
            return credential
        if not self._access.host_is_ours(request.headers.get("Host")):
            words = "this node does not go by the name in the Host header; see rpc.allowed_hosts"
            raise Refused(421, "host_foreign", words, close=True)
        if request.method == "OPTIONS" and origin is not None:
            headers["Access-Control-Allow-Methods"] = "POST"
            headers["Access-Control-Allow-Headers"] = "Authorization, Content-Type, X-Request-Id"
            return Credential(Client("preflight", Scope.READ, peer[0]))
        return self._identify(request, transport, peer[0])

    def _identify(self, request: web.Request, transport: asyncio.Transport, address: str) -> Credential:
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        if scheme.lower() != "bearer":
            offered = request.headers.get("Sec-WebSocket-Protocol", "").split(",")
            token = next((item.strip()[len(BEARER) :] for item in offered if item.strip().startswith(BEARER)), "")
        credential = self._access.network_peer(address, transport.get_extra_info("peercert"), token.strip())
        if credential is not None:
            return credential
        if self._guesses.take(address, 1) or self._all_guesses.take("", 1):
            raise Refused(429, "overloaded", "too many wrong tokens from this address", retry_after_s=10, close=True)
        log.warning("rpc_unauthenticated", address=address, shown="token" if token else "nothing")
        words = "send `Authorization: Bearer TOKEN` (see `tidegate rpc token`), or a known client certificate"
        raise Refused(401, "unauthenticated", words, headers={"WWW-Authenticate": "Bearer"}, close=True)

    # --- the three paths ----------------------------------------------------------------------------------------------

    async def _json_rpc(self, request: web.Request, credential: Credential, request_id: str) -> web.StreamResponse:
        self._check_post(request, credential, _JSON)
        if request.method == "OPTIONS":
            return web.Response(status=204)
        caller = Caller(credential.client, request_id)
        reply = await self.dispatcher.answer(await self._body(request), caller)
        if reply is None:
            return web.Response(status=204)
        return web.Response(body=reply, content_type=_JSON)

    async def _bulk(self, request: web.Request, credential: Credential, request_id: str) -> web.StreamResponse:
        del request_id
        self._check_post(request, credential, "application/octet-stream")
        if request.method == "OPTIONS":
            return web.Response(status=204)
        client = credential.client
        if client.scope < Scope.SUBMIT:
            raise Refused(403, "scope_insufficient", "bulk submission needs the scope submit")
        body = await self._body(request)
        missing_s = self._budgets.take(client.name, 1 + len(body) // (BULK_UNIT * 512))
        if missing_s:
            raise Refused(503, "overloaded", "too busy with this client's requests", retry_after_s=int(missing_s) + 1)
        try:
            taken, answer = await self.bulk.answer(body, request.query.get("wait_ms", "0"))
        except MalformedBytes as error:
            raise Refused(400, error.code, error.message) from error
        if not taken:
            return web.Response(status=503, headers={"Retry-After": "1"}, body=answer)
        return web.Response(body=answer, content_type="application/msgpack")

    async def _websocket(self, request: web.Request, credential: Credential, request_id: str) -> web.StreamResponse:
        if request.method != "GET" or request.headers.get("Upgrade", "").lower() != "websocket":
            words = "open a WebSocket here (GET with Upgrade: websocket); POST to / for single calls"
            raise Refused(405, "http_method_wrong", words, headers={"Allow": "GET"})
        own = sum(other.client.name == credential.client.name for other in self._sockets)
        if credential.client.address != "unix" and own >= max(1, self.settings.max_connections // 2):
            raise Refused(503, "overloaded", "this client has half of all connections", retry_after_s=1)
        connection = WebSocketConnection(
            credential, request_id, self.dispatcher, self.places, self.settings.max_body_bytes
        )
        self._sockets.add(connection)
        try:
            return await connection.run(request)
        finally:
            self._sockets.discard(connection)

    async def _elsewhere(self, request: web.Request, credential: Credential, request_id: str) -> web.StreamResponse:
        del credential, request_id
        words = "POST JSON-RPC to / or transactions to /v1/transactions, or open a WebSocket at /ws"
        raise Refused(404, "path_unknown", f"nothing is served at {request.path[:80]!r}: {words}")

    def _check_post(self, request: web.Request, credential: Credential, content_type: str) -> None:
        if request.method == "OPTIONS" and credential.client.name == "preflight":
            return
        if request.method != "POST":
            words = f"{request.method[:20]} is not served here: send a POST, or open a WebSocket at /ws"
            raise Refused(405, "http_method_wrong", words, headers={"Allow": "POST"})
        # The Unix socket is out of every browser's reach; there `curl --data` may keep its form type.
        # As the header says it: aiohttp takes a missing one for application/octet-stream, and a page may leave it out.
        kind = request.headers.get("Content-Type", "").partition(";")[0].strip().lower()
        if credential.client.address != "unix" and kind != content_type:
            raise Refused(415, "content_type_wrong", f"send the body as {content_type}")

    async def _body(self, request: web.Request) -> bytes:
        if request.content.is_eof():
            return await request.read()
        try:
            async with asyncio.timeout(BODY_S):
                return await request.read()
        except TimeoutError:
            raise Refused(408, "body_slow", f"the body did not arrive in {BODY_S:.0f} s", close=True) from None

    # --- what changes while it runs ---------------------------------------------------------------------------------

    def _count_connections(self) -> dict[str, int]:
        open_now = {} if self._listeners is None else self._listeners.by_kind()
        return {**open_now, "websocket": self.websockets}

    async def _look_around(self) -> None:
        """Once a second: renewed certificates, revoked tokens."""
        if not self.settings.listen:
            return
        try:
            changed = self._access.tokens.refresh()
        except InvalidConfig as error:
            changed = True
            log.error("rpc_tokens_invalid", reason=error.message)  # noqa: TRY400 - the text says all
        if changed:
            log.info("rpc_tokens_read", tokens=len(self._access.tokens))
        for connection in tuple(self._sockets):
            if not self._access.still(connection.credential):
                await connection.close(WSCloseCode.POLICY_VIOLATION, "the token is not accepted any more")
        seen = self._tls_files()
        if self._tls is not None and seen != self._tls_seen:
            self._tls_seen = seen
            with contextlib.suppress(TidegateError):  # half of a renewal: the other file follows
                load_certificate(self._tls, self.settings)
                log.info("rpc_certificate_read")

    def _tls_files(self) -> tuple[int, ...]:
        found = []
        for path in (self.settings.tls_certificate, self.settings.tls_key):
            with contextlib.suppress(OSError):
                found.append(0 if path is None else path.stat().st_mtime_ns)
        return tuple(found)
