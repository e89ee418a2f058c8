"""Listening sockets and the connections that come in: counted, handed to the HTTP server, cut off when silent.

Connections are accepted here, one by one, because the bound must hold before a TLS handshake has cost anything.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import stat
from pathlib import Path
from typing import Any, Final

import structlog
from aiohttp import web

from ledger.errors import InvalidConfig

log = structlog.get_logger(__name__)

BACKLOG: Final = 256
SOCKET_MODE: Final = 0o660
HANDSHAKE_S: Final = 10.0
HEADER_S: Final = 15.0
"""A connection that has not sent its first whole request header by then is cut off."""
SWEEP_S: Final = 1.0
ACCEPT_PAUSE_S: Final = 1.0
"""Pause after the system refused to accept: it is out of file descriptors or memory."""
RESERVED: Final = 8
"""Part of the places that only the Unix socket may take, so that the operator always comes in: an eighth."""
_BUSY: Final = (
    b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\nContent-Type: text/plain\r\n"
    b"Content-Length: 43\r\nConnection: close\r\n\r\ntoo many connections; try again in a second\n"[:-1]
)


class Listeners:
    """See the module.

    Args:
        server: of aiohttp: makes a protocol for each connection, and knows those that are open.
        max_connections: open at once.
    """

    def __init__(self, server: Any, max_connections: int) -> None:
        self._server = server
        self._max = max_connections
        self._sockets: list[socket.socket] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._shaking = 0
        self._silent: dict[Any, float] = {}
        self.refused = 0

    @property
    def open(self) -> int:
        """Connections that are open now, TLS handshakes included."""
        return len(self._server.connections) + self._shaking

    def by_kind(self) -> dict[str, int]:
        """Open connections: ``unix`` and ``tcp``, handshakes under way among the latter."""
        unix = sum(
            protocol.transport is not None and not isinstance(protocol.transport.get_extra_info("peername"), tuple)
            for protocol in self._server.connections
        )
        return {"unix": unix, "tcp": self.open - unix}

    def spoke(self, protocol: Any) -> None:
        """The connection of ``protocol`` has sent a request's header."""
        self._silent.pop(protocol, None)

    def listen_unix(self, path: Path) -> None:
        """Listens at ``path``.

        Raises:
            InvalidConfig: something that is no socket stands there.
        """
        if path.exists() or path.is_symlink():
            if not stat.S_ISSOCK(path.lstat().st_mode):
                raise InvalidConfig(f"{path} exists and is no socket; move it away")
            path.unlink()  # of a process that died: the home's lock says that none lives
        made = socket.socket(socket.AF_UNIX)
        try:
            made.bind(str(path))
            path.chmod(SOCKET_MODE)  # nobody connects before it listens
        except OSError:
            made.close()
            raise
        self._start(made, None)

    async def listen_tcp(self, host: str, port: int, tls: ssl.SSLContext | None) -> tuple[str, int]:
        """Listens on an address; the address and port that it has.

        Raises:
            InvalidConfig: ``config_invalid``: the address is not here, or is taken.
        """
        try:
            info = (await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM))[0]
            made = socket.create_server(info[4][:2], family=info[0], backlog=BACKLOG)
        except OSError as error:
            raise InvalidConfig(
                f"rpc.listen: cannot listen on {host}:{port}: {error.strerror or error}", key="rpc.listen"
            ) from error
        self._start(made, tls)
        address: tuple[str, int] = made.getsockname()[:2]
        return address

    def _start(self, made: socket.socket, tls: ssl.SSLContext | None) -> None:
        made.listen(BACKLOG)
        made.setblocking(False)
        self._sockets.append(made)
        self._spawn(self._accept(made, tls))

    def sweep(self) -> None:
        """Cuts off connections that have said nothing for too long; called every second."""
        now = asyncio.get_running_loop().time()
        for protocol, since in tuple(self._silent.items()):
            if protocol.transport is None:
                del self._silent[protocol]
            elif now - since > HEADER_S:
                del self._silent[protocol]
                self.refused += 1
                protocol.force_close()

    async def close(self) -> None:
        """Stops listening; open connections are the HTTP server's."""
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for made in self._sockets:
            made.close()
        self._sockets.clear()

    def _spawn(self, work: Any) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _accept(self, listening: socket.socket, tls: ssl.SSLContext | None) -> None:
        loop = asyncio.get_running_loop()
        unix = listening.family == socket.AF_UNIX
        limit = self._max if unix else max(1, self._max - self._max // RESERVED)
        while True:
            try:
                accepted, _ = await loop.sock_accept(listening)
            except OSError as error:
                log.warning("rpc_accept_failed", reason=error.strerror)
                await asyncio.sleep(ACCEPT_PAUSE_S)
                continue
            if self.open >= limit:
                self.refused += 1
                with accepted, contextlib.suppress(OSError):
                    if tls is None:
                        accepted.setblocking(False)
                        accepted.send(_BUSY)
                continue
            self._shaking += 1
            self._spawn(self._hand_over(accepted, tls))

    async def _hand_over(self, accepted: socket.socket, tls: ssl.SSLContext | None) -> None:
        loop = asyncio.get_running_loop()
        limits: dict[str, Any] = {} if tls is None else {"ssl": tls, "ssl_handshake_timeout": HANDSHAKE_S}
        try:
            accepted.setblocking(False)
            if accepted.family != socket.AF_UNIX:
                accepted.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            _, protocol = await loop.connect_accepted_socket(self._server, accepted, **limits)
        except (OSError, ssl.SSLError, TimeoutError) as error:
            accepted.close()
            log.debug("rpc_handshake_failed", reason=type(error).__name__)
        else:
            self._silent[protocol] = loop.time()
        finally:
            self._shaking -= 1


async def sweeping(listeners: Listeners, also: Any) -> None:
    """Sweeps every second, for ever; ``also`` is called with it."""
    while True:
        await asyncio.sleep(SWEEP_S)
        listeners.sweep()
        await also()


__all__ = ["Listeners", "sweeping", "web"]
