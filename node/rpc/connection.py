"""Who calls, and over what: the identity of a client and the connection that notifications go back on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from ledger.errors import RemoteFault
from node.rpc.method import Scope


class ConnectionGone(RemoteFault):
    """The client has hung up, or was cut off; nothing more reaches it."""

    code = "connection_gone"


@dataclass(frozen=True, slots=True)
class Client:
    """An identified client.

    Attributes:
        name: ``uid:1000`` on the Unix socket, ``token:NAME`` or ``certificate:NAME`` on TCP; budgets and logs go by it.
        scope: what it may do.
        address: where it comes from: ``unix``, or the peer's IP address.
    """

    name: str
    scope: Scope
    address: str


class Connection(Protocol):
    """A WebSocket connection, as methods with ``Method.connected`` see it.

    Attributes:
        client: who is at the other end.
        id: unique in this process; for logs.
    """

    @property
    def client(self) -> Client:
        """Who is at the other end."""
        ...

    @property
    def id(self) -> str:
        """Unique in this process; for logs."""
        ...

    async def notify(self, method: str, params: Any) -> None:
        """Sends a JSON-RPC notification; returns once it is in the socket's buffer and the buffer has room.

        Args:
            method: such as ``subscription``.
            params: a Struct, record or plain values; bytes become hex.

        Raises:
            ConnectionGone: it does not reach the client any more.
        """
        ...

    def on_close(self, callback: Callable[[], None]) -> None:
        """``callback`` is called once when the connection has ended, for whatever reason; at once if it has."""
        ...

    async def close(self, code: int, reason: str) -> None:
        """Ends the connection.

        Args:
            code: WebSocket close code (RFC 6455, 7.4); 1013 tells the client to come back later.
            reason: at most 100 ASCII characters for the client.
        """
        ...
