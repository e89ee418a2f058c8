"""A node behind its RPC socket, and a client of it."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import aiohttp
import msgspec

from node.data.online import DataMethods
from node.rpc.areas import areas_of
from node.rpc.server import RpcServer
from node.rpc.settings import RpcSettings
from node.rpc.subscriptions import SubscriptionHub
from tests.node.bare import Bare

URL = "http://node"


class Status:
    def document(self) -> dict[str, Any]:
        return {"ready": True}


class Client:
    """A node behind its socket, and a connection to it."""

    def __init__(self, node: Bare, path: Path, settings: RpcSettings | None = None) -> None:
        self.node = node
        self.path = path
        self.hub = SubscriptionHub(node.chain)
        page = (settings or RpcSettings()).max_page
        data = DataMethods(node.chain, node.cluster.genesis, b"{}", path.parent)
        areas = areas_of(node.chain, node.gateway, Status(), self._service, hub=self.hub, data=data, max_page=page)
        self.server = RpcServer(areas, node.gateway, node.intake, path, settings)
        self.session = aiohttp.ClientSession(connector=aiohttp.UnixConnector(str(path)))

    async def _service(self, service: str, payload: bytes) -> bytes:
        if service == "broken":
            raise KeyError("secret detail")
        return service.encode() + payload

    async def post(self, body: Any, path: str = "/", **options: Any) -> tuple[int, bytes]:
        async with self.session.post(URL + path, data=body, **options) as reply:
            return reply.status, await reply.read()

    async def ask(self, method: str, params: object = None) -> dict[str, Any]:
        request = {"jsonrpc": "2.0", "id": 7, "method": method}
        if params is not None:
            request["params"] = params
        status, body = await self.post(json.dumps(request))
        reply = json.loads(body)
        assert (status, reply["jsonrpc"], reply["id"]) == (200, "2.0", 7)
        return reply

    async def result(self, method: str, **params: object) -> Any:
        reply = await self.ask(method, params)
        assert "error" not in reply, reply
        return reply["result"]

    async def error(self, method: str, params: object = None) -> tuple[int, str]:
        """JSON-RPC code and stable code."""
        error = (await self.ask(method, params))["error"]
        assert error["message"]
        data = error.get("data")
        return error["code"], data["code"] if isinstance(data, dict) else ""

    async def bulk(self, wires: Sequence[bytes], wait_ms: object = 0) -> tuple[int, list[list[Any]]]:
        body = b"".join(len(wire).to_bytes(4, "big") + wire for wire in wires)
        status, reply = await self.post(body, f"/v1/transactions?wait_ms={wait_ms}")
        return status, msgspec.msgpack.decode(reply)


async def serve(node: Bare, path: Path, settings: RpcSettings | None = None) -> AsyncIterator[Client]:
    client = Client(node, path, settings)
    await client.server.start()
    yield client
    await client.session.close()
    await client.server.stop()
    assert not path.exists()
    node.chain.close()
