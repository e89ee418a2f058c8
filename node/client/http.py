"""HTTP to one node's RPC: kept connections, JSON-RPC framing, and what a broken connection means."""

from __future__ import annotations

import asyncio
from itertools import count
from types import TracebackType
from typing import Any, Final

import aiohttp
import msgspec

from ledger.errors import InvalidConfig, Overloaded, PeerMisbehaved, PeerRefused, RpcUnavailable, TidegateError
from node.client.endpoint import Endpoint
from node.client_errors import malformed_answer, rebuild_error

MAX_CONNECTIONS: Final = 16
"""Open connections of one client to one node; more concurrent calls wait for one."""
MAX_ANSWER_BYTES: Final = 64 * 1024 * 1024
CALL_TIMEOUT_S: Final = 30.0
"""Beyond the time that a call itself asks the daemon to wait."""
CONNECT_TIMEOUT_S: Final = 5.0
MAX_RETRY_AFTER_S: Final = 60.0

_json_encode = msgspec.json.Encoder().encode
_json_decode = msgspec.json.Decoder().decode


class NodeHttp:
    """Requests to one node.

    Args:
        endpoint: where it is.

    Attributes:
        endpoint: as given.
        lie: what this node was caught at, or None.
    """

    def __init__(self, endpoint: Endpoint) -> None:
        self.endpoint = endpoint
        self.lie: PeerMisbehaved | None = None
        self._session: aiohttp.ClientSession | None = None
        self._ids = count(1)

    async def close(self) -> None:
        """Closes the connections; a later request opens new ones."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    async def __aenter__(self) -> NodeHttp:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def call(self, method: str, params: dict[str, Any] | None = None, *, wait_s: float = 0.0) -> Any:
        """The result of a JSON-RPC method.

        Args:
            method: as in docs/rpc.md.
            params: JSON-able.
            wait_s: how long the daemon itself may take by request (long polls).

        Raises:
            TidegateError: what the daemon raised, rebuilt.
            RpcUnavailable: nobody answers there, or the connection broke; ``data["sent"]`` is False when the request
                cannot have reached the daemon.
            PeerRefused: ``access_refused``: the node does not know this client, or its TLS is not what was expected.
        """
        request = {"jsonrpc": "2.0", "id": next(self._ids), "method": method, "params": params or {}}
        status, body, _ = await self.post("/", _json_encode(request), "application/json", wait_s)
        try:
            answer = _json_decode(body)
        except msgspec.DecodeError as error:
            raise _refused(status, self.endpoint) or malformed_answer("not JSON") from error
        if not isinstance(answer, dict):
            raise malformed_answer("not a JSON-RPC object")
        error_document = answer.get("error")
        if isinstance(error_document, dict):
            raise rebuild_error(error_document)
        if "result" not in answer:
            raise malformed_answer("neither result nor error")
        return answer["result"]

    async def post(
        self, path: str, body: bytes, content_type: str, wait_s: float = 0.0
    ) -> tuple[int, bytes, dict[str, str]]:
        """(status, body, headers) of a POST.

        Raises:
            RpcUnavailable, PeerRefused: as ``call``.
            Overloaded: HTTP 503 or 429: nothing was taken.
        """
        timeout = aiohttp.ClientTimeout(total=wait_s + CALL_TIMEOUT_S, sock_connect=CONNECT_TIMEOUT_S)
        headers = {**self.endpoint.headers, "Content-Type": content_type}
        place = str(self.endpoint)
        try:
            async with self._open().post(
                f"{self.endpoint.url}{path}", data=body, headers=headers, timeout=timeout, allow_redirects=False
            ) as response:
                content = await _read_all(response.content)
                if response.status in (429, 503):
                    raise _overloaded(response.headers.get("Retry-After"))
                return response.status, content, dict(response.headers)
        except (aiohttp.ClientConnectorCertificateError, aiohttp.ClientConnectorSSLError) as error:
            raise PeerRefused(f"TLS to {place}: {error}", code="tls_refused") from error
        except (aiohttp.ClientConnectorError, FileNotFoundError, aiohttp.ConnectionTimeoutError) as error:
            raise RpcUnavailable(
                f"no daemon answers at {place}; start it with `tidegate node run`", sent=False
            ) from error
        except (aiohttp.ClientError, TimeoutError, asyncio.IncompleteReadError, OSError) as error:
            raise RpcUnavailable(f"the connection to {place} broke", sent=True) from error

    def _open(self) -> aiohttp.ClientSession:
        if self._session is None:
            path = self.endpoint.socket
            connector: aiohttp.BaseConnector
            if path is not None:
                connector = aiohttp.UnixConnector(path, limit=MAX_CONNECTIONS)
            else:
                connector = aiohttp.TCPConnector(limit=MAX_CONNECTIONS, ssl=self.endpoint.ssl_context() or True)
            self._session = aiohttp.ClientSession(connector=connector, auto_decompress=False)
        return self._session


async def _read_all(stream: aiohttp.StreamReader) -> bytes:
    """The whole body: a single ``read`` gives only what has arrived so far."""
    content = bytearray()
    while data := await stream.readany():
        content += data
        if len(content) > MAX_ANSWER_BYTES:
            raise malformed_answer(f"longer than {MAX_ANSWER_BYTES} bytes")
    return bytes(content)


def _refused(status: int, endpoint: Endpoint) -> TidegateError | None:
    if status in (401, 403):
        return PeerRefused(
            f"{endpoint} does not let this client in: give the token or certificate that it knows",
            code="access_refused",
            status=status,
        )
    if 300 <= status < 400 or status in (404, 405):
        return InvalidConfig(f"no Tidegate RPC is at {endpoint} (HTTP {status})", code="endpoint_invalid")
    return None


def _overloaded(retry_after: str | None) -> Overloaded:
    try:
        seconds = float(retry_after or 1)
    except ValueError:
        seconds = 1.0
    return Overloaded(
        "the node is overloaded; nothing was taken", retry_after_ms=int(min(seconds, MAX_RETRY_AFTER_S) * 1000)
    )
