"""A daemon's RPC socket in front of a ``FakeGateway``, on a thread of its own, so that commands can be run against it.

Faults can be planned: ``faults`` maps a method to what happens to its next calls.
"""

from __future__ import annotations

import asyncio
import json
import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
from aiohttp import web

from ledger.document import to_document
from ledger.encoding import encode
from ledger.errors import InvalidInput, NotFound, Overloaded, RemoteFault, TidegateError
from ledger.transaction import Transaction
from tests.node.services.fake_chain import FakeChain, FakeGateway

DROP = "drop"
"""The connection ends without an answer, after the call was carried out."""
FAMILIES = (
    (Overloaded, "overloaded"),
    (NotFound, "not_found"),
    (InvalidInput, "invalid_input"),
    (RemoteFault, "remote_fault"),
)


class FakeRpc:
    """Attributes: gateway, calls (method names in order), faults, services (name → answer function)."""

    def __init__(self, chain: FakeChain) -> None:
        self.gateway = FakeGateway(chain)
        self.calls: list[tuple[str, dict[str, Any]]] = []
        self.faults: dict[str, deque[Any]] = {}
        self.services: dict[str, Any] = {}

    def plan(self, method: str, *faults: Any) -> None:
        """What the next calls of ``method`` meet: ``DROP``, a ``TidegateError``, a document, or None (answered)."""
        self.faults[method] = deque(faults)

    async def json_rpc(self, request: web.Request) -> web.Response:
        call = json.loads(await request.read())
        method, params = call["method"], call.get("params") or {}
        self.calls.append((method, params))
        planned = self.faults.get(method)
        fault = planned.popleft() if planned else None
        reply: dict[str, Any] = {"jsonrpc": "2.0", "id": call["id"]}
        try:
            if isinstance(fault, TidegateError):
                raise fault
            if fault is not None and fault is not DROP:
                reply["result"] = fault
            else:
                reply["result"] = await getattr(self, method.replace(".", "_"))(**params)
        except TidegateError as error:
            family = next((name for kind, name in FAMILIES if isinstance(error, kind)), "error")
            facts = {key: value for key, value in error.data.items() if isinstance(value, str | int)}
            reply["error"] = {
                "code": -32000,
                "message": error.message,
                "data": {**facts, "code": error.code, "family": family},
            }
        if fault is DROP:
            request.transport.close()
        return web.Response(body=json.dumps(reply), content_type="application/json")

    async def bulk(self, request: web.Request) -> web.Response:
        data, wires = await request.read(), []
        while data:
            size = int.from_bytes(data[:4], "big")
            wires.append(data[4 : 4 + size])
            data = data[4 + size :]
        self.calls.append(("bulk", {"count": len(wires)}))
        planned = self.faults.get("bulk")
        fault = planned.popleft() if planned else None
        if fault == "503":
            return web.Response(status=503, headers={"Retry-After": "0.01"})
        answers = await self.gateway.submit_many(wires)
        if fault is DROP:
            request.transport.close()
        return web.Response(body=msgspec.msgpack.encode([(a.tx_id, a.status, a.code) for a in answers]))

    # --- methods, as docs/rpc.md has them --------------------------------------------------------------------------

    async def node_status(self) -> Any:
        return {"name": "fake", "chain": to_document(await self.gateway.info())}

    async def chain_info(self) -> Any:
        return to_document(await self.gateway.info())

    async def chain_genesis(self) -> Any:
        return msgspec.to_builtins(self.gateway.chain.genesis)

    async def block_header(self, height: int) -> Any:
        header, block_id = await self.gateway.header(height)
        return {"block_id": block_id.hex(), "header": encode(header).hex()}

    async def block_get(self, height: int | None = None, block_id: str | None = None) -> Any:
        if height is None:
            ids = [block.block_id.hex() for block in self.gateway.chain.blocks]
            if block_id not in ids:
                raise NotFound("no such block")
            height = ids.index(block_id)
        header, found = await self.gateway.header(height)
        outcomes = [o for o in self.gateway.chain.outcomes.values() if o.height == height]
        receipts = [{"tx_id": o.tx_id.hex(), "code": o.code} for o in outcomes]
        transactions = [o.tx_id.hex() for o in outcomes]
        return {
            "block_id": found.hex(),
            "header": to_document(header),
            "transactions": transactions,
            "receipts": receipts,
            "certificate": {"seals": [["", ""]]},
        }

    async def tx_submit(self, transaction: str) -> Any:
        return {"tx_id": (await self.gateway.submit(Transaction.decode(bytes.fromhex(transaction)))).hex()}

    async def tx_submit_and_wait(self, transaction: str, timeout_ms: int) -> Any:
        outcome = await self.gateway.submit_and_wait(Transaction.decode(bytes.fromhex(transaction)), timeout_ms / 1000)
        if outcome.status == "pending":
            await asyncio.sleep(min(timeout_ms, 50) / 1000)
        return to_document(outcome)

    async def tx_outcome(self, tx_id: str) -> Any:
        return to_document(await self.gateway.outcome(bytes.fromhex(tx_id)))

    async def tx_wait(self, tx_id: str, timeout_ms: int) -> Any:
        return to_document(await self.gateway.outcome(bytes.fromhex(tx_id)))

    async def tx_get(self, tx_id: str) -> Any:
        found = await self.gateway.transaction(bytes.fromhex(tx_id))
        return {"transaction": found.wire.hex(), "outcome": await self.tx_outcome(tx_id)}

    async def utxo_list(self, lock: str, asset: str | None = None, after: str | None = None, limit: int = 200) -> Any:
        start = None if after is None else bytes.fromhex(after)
        return {"unspent": to_document(await self.gateway.unspent(lock, asset=asset, after=start, limit=limit))}

    async def contract_view(self, contract: str, view: str, arguments: str) -> Any:
        instance = self.gateway.chain.rules.contracts.get(contract)
        if instance is None:
            raise NotFound(f"there is no contract {contract!r}")
        declared = instance.views[view]
        query = declared.arguments.decode(bytes.fromhex(arguments))
        answer = await self.gateway.view(contract, view, query, declared.result)
        return {"result": encode(answer).hex(), "document": to_document(answer)}

    async def events_next(self, from_height: int, timeout_ms: int, limit: int = 64) -> Any:
        chain = self.gateway.chain
        blocks = [to_document(block) for block in chain.blocks[from_height : from_height + limit]]
        if not blocks:
            await asyncio.sleep(min(timeout_ms, 20) / 1000)
        return {"blocks": blocks, "height": chain.height}

    async def service_call(self, service: str, payload: str) -> Any:
        if service not in self.services:
            raise NotFound("no such service", code="service_unknown")
        return {"payload": self.services[service](bytes.fromhex(payload)).hex()}

    async def start(self, path: Path) -> web.AppRunner:
        app = web.Application(client_max_size=8 * 1024 * 1024)
        app.router.add_post("/", self.json_rpc)
        app.router.add_post("/v1/transactions", self.bulk)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        await web.UnixSite(runner, str(path)).start()
        return runner


@contextmanager
def served(rpc: FakeRpc, path: Path) -> Iterator[FakeRpc]:
    """Serves ``rpc`` on a socket from a thread of its own."""
    started, stop = threading.Event(), threading.Event()

    async def serve() -> None:
        runner = await rpc.start(path)
        started.set()
        await asyncio.to_thread(stop.wait)
        await runner.cleanup()

    thread = threading.Thread(target=lambda: asyncio.run(serve()))
    thread.start()
    try:
        assert started.wait(10)
        yield rpc
    finally:
        stop.set()
        thread.join(10)
