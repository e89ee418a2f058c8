"""Serves RPC on a Unix socket: JSON-RPC at ``/``, binary bulk submission at ``/v1/transactions``."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import stat
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Final

import msgspec
import structlog
from aiohttp import web
from pjrpc.server import AsyncDispatcher

from ledger.errors import InvalidConfig, MalformedBytes, Overloaded, TidegateError
from ledger.transaction import MAX_TRANSACTION_BYTES, Transaction
from ledger.types import TxId
from node.gateway import Outcome
from node.intake import Intake
from node.local import LocalGateway
from node.rpc.methods import MAX_TIMEOUT_MS, Methods

log = structlog.get_logger(__name__)

MAX_BODY_BYTES: Final = 5 * 1024 * 1024
MAX_BULK_TRANSACTIONS: Final = 1_000
MAX_BATCH_REQUESTS: Final = 100
MAX_IN_FLIGHT: Final = 1_024
"""Requests served at once; more are told to come back."""
SOCKET_MODE: Final = 0o660

_bulk_encoder = msgspec.msgpack.Encoder()


class RpcServer:
    """See the module.

    Args:
        methods: what can be asked.
        gateway: for bulk submission.
        intake: for bulk submission.
        path: of the socket.
    """

    def __init__(self, methods: Methods, gateway: LocalGateway, intake: Intake, path: Path) -> None:
        self._gateway = gateway
        self._intake = intake
        self._path = path
        self._runner: web.AppRunner | None = None
        self._in_flight = 0
        self._bound_path = False
        logging.getLogger("pjrpc").setLevel(logging.CRITICAL)  # it logs parameters; ours are nobody's business
        self._dispatcher: AsyncDispatcher[None] = AsyncDispatcher(
            json_loader=_strict_json, max_batch_size=MAX_BATCH_REQUESTS
        )
        self._dispatcher.registry.merge(methods.registry())

    async def start(self) -> None:
        """Binds the socket and serves.

        Raises:
            InvalidConfig: something that is no socket stands at the path.
        """
        if self._path.exists() or self._path.is_symlink():
            if not stat.S_ISSOCK(self._path.lstat().st_mode):
                raise InvalidConfig(f"{self._path} exists and is no socket; move it away")
            self._path.unlink()  # of a process that died: the home's lock says that none lives
        app = web.Application(client_max_size=MAX_BODY_BYTES, middlewares=[self._bound])
        app.router.add_post("/", self._json_rpc)
        app.router.add_post("/v1/transactions", self._bulk)
        self._runner = web.AppRunner(
            app,
            access_log=None,
            handle_signals=False,
            shutdown_timeout=2.0,
            handler_cancellation=True,  # who hangs up gives his place free, however long he meant to wait
        )
        await self._runner.setup()
        await web.UnixSite(self._runner, str(self._path)).start()
        self._bound_path = True
        self._path.chmod(SOCKET_MODE)

    async def stop(self) -> None:
        """Ends service and removes the socket; what else stands at its path is left alone."""
        if self._runner is not None:
            await self._runner.cleanup()
        if self._bound_path:
            self._bound_path = False
            self._path.unlink(missing_ok=True)

    @web.middleware
    async def _bound(
        self, request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        if self._in_flight >= MAX_IN_FLIGHT:
            return web.Response(status=503, headers={"Retry-After": "1"}, text="too busy; try again in a second\n")
        self._in_flight += 1
        try:
            return await handler(request)
        finally:
            self._in_flight -= 1

    async def _json_rpc(self, request: web.Request) -> web.Response:
        try:
            text = (await request.read()).decode()
        except UnicodeDecodeError:
            text = "\xff"  # answered as a parse error like any other text that is no JSON
        reply = await self._dispatcher.dispatch(text, context=None)
        if reply is None:
            return web.Response(status=204)
        return web.Response(text=reply[0], content_type="application/json")

    async def _bulk(self, request: web.Request) -> web.Response:
        try:
            wait_ms = min(max(0, int(request.query.get("wait_ms", "0"))), MAX_TIMEOUT_MS)
            wires = _split(await request.read())
        except (MalformedBytes, ValueError) as error:
            return web.Response(status=400, text=f"{error}\n")
        answers = await self._submit_and_wait(wires, wait_ms) if wait_ms else await self._submit(wires)
        if answers and all(status == "overloaded" for _, status, _ in answers):
            return web.Response(status=503, headers={"Retry-After": "1"}, body=_bulk_encoder.encode(answers))
        return web.Response(body=_bulk_encoder.encode(answers), content_type="application/msgpack")

    async def _submit(self, wires: list[bytes]) -> list[tuple[bytes, str, str]]:
        return [_immediate(answer) for answer in await self._intake.submit_many(wires)]

    async def _submit_and_wait(self, wires: list[bytes], wait_ms: int) -> list[tuple[bytes, str, str]]:
        watched: dict[TxId, asyncio.Future[Outcome]] = {}

        def watch(tx_id: TxId) -> None:
            with contextlib.suppress(Overloaded):  # too many wait: the answer is what is known at the end
                watched[tx_id] = self._gateway.watch(tx_id)

        try:
            answers = await self._intake.submit_many(wires, on_admit=watch)
            for answer in answers:
                if isinstance(answer, Transaction) and answer.tx_id not in watched:
                    outcome = await self._gateway.outcome(answer.tx_id)
                    if outcome.status == "pending":  # it was here before
                        watch(answer.tx_id)
            if watched:
                await asyncio.wait(watched.values(), timeout=wait_ms / 1000)
            found: list[tuple[bytes, str, str]] = []
            for answer in answers:
                future = watched.get(answer.tx_id) if isinstance(answer, Transaction) else None
                if future is not None and future.done():
                    outcome = future.result()
                    found.append((outcome.tx_id, outcome.status, outcome.code))
                elif isinstance(answer, Transaction):
                    outcome = await self._gateway.outcome(answer.tx_id)
                    found.append((outcome.tx_id, outcome.status, outcome.code))
                else:
                    found.append(_immediate(answer))
            return found
        finally:
            for tx_id, future in watched.items():
                self._gateway.unwatch(tx_id, future)


def _immediate(answer: Transaction | TidegateError) -> tuple[bytes, str, str]:
    if isinstance(answer, Transaction):
        return answer.tx_id, "pending", ""
    return b"", "overloaded" if isinstance(answer, Overloaded) else "rejected", answer.code


def _split(body: bytes) -> list[bytes]:
    wires: list[bytes] = []
    position = 0
    while position < len(body):
        size = int.from_bytes(body[position : position + 4], "big")
        wire = body[position + 4 : position + 4 + size]
        if len(wire) != size or not 0 < size <= MAX_TRANSACTION_BYTES:
            raise MalformedBytes(f"transaction {len(wires)}: bad length {size}")
        wires.append(wire)
        if len(wires) > MAX_BULK_TRANSACTIONS:
            raise MalformedBytes(f"at most {MAX_BULK_TRANSACTIONS} transactions at once")
        position += 4 + size
    return wires


def _strict_json(text: str, **options: Any) -> Any:
    def no_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) != len(pairs):
            raise json.JSONDecodeError("a key stands twice in an object", "", 0)
        return found

    def no_constant(name: str) -> Any:
        raise json.JSONDecodeError(f"{name} is no JSON", "", 0)

    try:
        return json.loads(text, object_pairs_hook=no_duplicates, parse_constant=no_constant, **options)
    except RecursionError as error:
        raise json.JSONDecodeError("nested too deep", "", 0) from error
    except json.JSONDecodeError:
        raise
    except ValueError as error:  # an integer of more digits than Python converts
        raise json.JSONDecodeError(str(error), "", 0) from error
