"""Follows a chain over WebSockets: one stream of entries out of as many connections and nodes as it takes.

    async for told in follow([endpoint], "events", contract="commission", from_height=0):
        print(told.cursor, told.item)

The cursor of what was told last is all that is kept: a broken connection, a node that stops or one that cuts a slow
reader off is followed by another connection, behind that cursor. Nothing is missed and nothing told twice. What a node
tells is not proved; whoever does not trust it asks for the proof of what matters (docs/sdk.md).
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from time import monotonic
from typing import Any, Final, Protocol

import aiohttp
import msgspec

from ledger.errors import InvalidInput, LocalMisuse, NotFound, Overloaded, RemoteFault, RpcUnavailable, TidegateError
from node.client_errors import malformed_answer, rebuild_error
from node.rpc.subscriptions_records import NOTIFICATION, Cursor, Kind, Notification

FIRST_PAUSE_S: Final = 0.1
MAX_PAUSE_S: Final = 5.0
GIVE_UP_S: Final = 60.0
"""Without a word from any node."""
ANSWER_S: Final = 20.0
HEARTBEAT_S: Final = 20.0
MAX_MESSAGE_BYTES: Final = 16 * 1024 * 1024
PATH: Final = "/ws"
_NO_FAULT: Final = frozenset({"slow_reader", "stopping", "connection_gone"})
"""Codes of an end after which the same node may be asked again at once."""

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder().decode


class Place(Protocol):
    """Where a node's RPC is; ``node.client.Endpoint`` is one."""

    @property
    def socket(self) -> str | None:
        """Path of a Unix socket, or None for a URL."""
        ...

    @property
    def url(self) -> str:
        """``http(s)://host:port``."""
        ...

    @property
    def headers(self) -> dict[str, str]:
        """With the token, where there is one."""
        ...

    def ssl_context(self) -> ssl.SSLContext | None:
        """For TLS."""
        ...


class _Ended(Exception):
    """The node ended the subscription for a reason after which another connection goes on."""


async def follow(
    places: Sequence[Place],
    topic: str,
    *,
    from_height: int | None = None,
    after: Cursor | None = None,
    give_up_s: float = GIVE_UP_S,
    markers: bool = False,
    **wanted: Any,
) -> AsyncGenerator[Notification, None]:
    """Entries of a topic, each once and in order, for as long as somebody takes them.

    Args:
        places: nodes of one chain, asked in turn; at least one.
        topic: ``blocks``, ``transactions``, ``events``, ``flow``, ``account`` or ``packet``.
        from_height: first block to tell of.
        after: cursor of the last notification of an earlier stream; at most one of the two, neither: from now on.
        give_up_s: seconds without a word from any node after which it is given up.
        markers: also yields ``caught_up`` and ``progress``, whose cursors are worth keeping.
        wanted: the topic's filters (docs/integrator.md): ``contract``, ``event``, ``flow``, ``account``, ``lock``,
            ``lane``, ``sequence``.

    Raises:
        InvalidInput: the node refuses the parameters; ``pruned`` (``NotFound``): no node keeps these blocks any more.
        RpcUnavailable: no node could be reached for ``give_up_s``.
        PeerMisbehaved: a node's messages are not understood, or it left a block out.
    """
    stream = _Stream(places, topic, from_height, after, wanted, give_up_s)
    try:
        while True:
            try:
                async with aclosing(stream.connection()) as notes:
                    async for note in notes:
                        if markers or note.kind is Kind.ITEM:
                            yield note
            except _Ended:
                continue
            except TidegateError as error:
                await stream.failed(error)
    finally:
        await stream.close()


class _Stream:
    """Where a follower is, and which node it asks."""

    def __init__(
        self,
        places: Sequence[Place],
        topic: str,
        from_height: int | None,
        after: Cursor | None,
        wanted: Mapping[str, Any],
        give_up_s: float,
    ) -> None:
        if not places:
            raise LocalMisuse("a follower needs at least one node")
        self._places = list(places)
        self._params = {"topic": topic, **{name: value for name, value in wanted.items() if value is not None}}
        self._from_height = from_height
        self._cursor = after
        self._give_up_s = give_up_s
        self._heard_at = monotonic()
        self._pause = FIRST_PAUSE_S
        self._turn = 0
        self._refusals: dict[int, TidegateError] = {}
        self._session: aiohttp.ClientSession | None = None

    async def close(self) -> None:
        """Closes the connection."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    async def failed(self, error: TidegateError) -> None:
        """Waits before the next attempt, at the next node, or gives up by raising."""
        if isinstance(error, InvalidInput) and not isinstance(error, Overloaded):
            # Another node may keep what this one has pruned; a filter is wrong everywhere.
            self._refusals[self._turn] = error
            if not isinstance(error, NotFound) or len(self._refusals) == len(self._places):
                raise error
        elif error.code == "answer_malformed" or monotonic() - self._heard_at > self._give_up_s:
            raise error
        self._turn = (self._turn + 1) % len(self._places)
        await asyncio.sleep(self._pause)
        self._pause = min(2 * self._pause, MAX_PAUSE_S)

    async def connection(self) -> AsyncGenerator[Notification, None]:
        """What one connection tells.

        Raises:
            _Ended: another connection goes on from here.
            TidegateError: as ``follow``; ``RpcUnavailable`` when the connection broke.
        """
        await self.close()
        place = self._places[self._turn]
        connector = None if place.socket is None else aiohttp.UnixConnector(place.socket)
        self._session = aiohttp.ClientSession(connector=connector)
        try:
            async with self._session.ws_connect(
                f"{place.url}{PATH}",
                headers=place.headers,
                ssl=place.ssl_context() or True,
                heartbeat=HEARTBEAT_S,
                max_msg_size=MAX_MESSAGE_BYTES,
                timeout=aiohttp.ClientWSTimeout(ws_close=2.0),
            ) as socket:
                await socket.send_bytes(_encode(self._request()))
                async with aclosing(self._notes(socket)) as notes:
                    async for note in notes:
                        yield note
        except aiohttp.WSServerHandshakeError as error:
            raise _refused(error, place) from error
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise _broken(place) from error
        raise _broken(place)

    def _request(self) -> dict[str, Any]:
        params: dict[str, Any] = dict(self._params)
        if self._cursor is not None:
            params["after"] = {"height": self._cursor.height, "index": self._cursor.index}
        elif self._from_height is not None:
            params["from_height"] = self._from_height
        return {"jsonrpc": "2.0", "id": 1, "method": "subscribe", "params": params}

    async def _notes(self, socket: aiohttp.ClientWebSocketResponse) -> AsyncGenerator[Notification, None]:
        early: list[dict[str, Any]] = []
        async with asyncio.timeout(ANSWER_S):
            async for message in socket:
                document = _object(message.data)
                if document.get("id") == 1:
                    self._answered(document)
                    break
                early.append(document)  # whichever of answer and first notification comes first
        for document in early:
            if (note := self._take(document)) is not None:
                yield note
        async for message in socket:
            if (note := self._take(_object(message.data))) is not None:
                yield note

    def _answered(self, document: dict[str, Any]) -> None:
        if isinstance(document.get("error"), dict):
            raise rebuild_error(document["error"])
        result = document.get("result")
        if not isinstance(result, dict):
            raise malformed_answer("subscribe without a result")
        cursor = result.get("cursor")
        if self._cursor is None and cursor is not None:
            # From now on: without it a connection that breaks before the first entry would begin later.
            self._cursor = _cursor(cursor)
        self._hear()

    def _take(self, document: dict[str, Any]) -> Notification | None:
        if document.get("method") != NOTIFICATION:
            return None
        try:
            note = msgspec.convert(document.get("params"), Notification)
        except msgspec.ValidationError as error:
            raise malformed_answer(f"a notification: {error}") from error
        if note.kind is Kind.CLOSED:
            raise _end(note)
        self._hear()
        if note.cursor is None:
            raise malformed_answer("a notification without a cursor")
        if not self._moves(note):
            return None
        self._cursor = note.cursor
        return note

    def _moves(self, note: Notification) -> bool:
        before, now = self._cursor, note.cursor
        assert now is not None
        if before is None:
            return True
        if note.kind is Kind.ITEM and self._params["topic"] == "blocks" and now.height > before.height + 1:
            raise malformed_answer(f"block {before.height + 1} was left out")
        return (now.height, now.index) > (before.height, before.index) or note.kind is Kind.CAUGHT_UP

    def _hear(self) -> None:
        self._heard_at = monotonic()
        self._pause = FIRST_PAUSE_S
        self._refusals.clear()


def _end(note: Notification) -> Exception:
    if note.code in _NO_FAULT:
        return _Ended(note.code)
    if note.code == "pruned":
        return NotFound(note.message, code=note.code)
    return RemoteFault(note.message or "the node ended the subscription", code=note.code or "remote_fault")


def _refused(error: aiohttp.WSServerHandshakeError, place: Place) -> TidegateError:
    if error.status in (429, 503):
        return Overloaded("the node has no room for another connection", retry_after_ms=1_000)
    if error.status in (401, 403):
        return InvalidInput(f"{_name(place)} refuses this client; show a valid token or certificate", code="forbidden")
    return RpcUnavailable(f"{_name(place)} answered HTTP {error.status} to a WebSocket", sent=False)


def _broken(place: Place) -> RpcUnavailable:
    return RpcUnavailable(f"the connection to {_name(place)} broke or cannot be made", sent=True)


def _name(place: Place) -> str:
    return place.socket or place.url


def _object(data: str | bytes) -> dict[str, Any]:
    try:
        document = _decode(data)
    except msgspec.DecodeError as error:
        raise malformed_answer("not JSON") from error
    if not isinstance(document, dict):
        raise malformed_answer("not a JSON-RPC object")
    return document


def _cursor(value: Any) -> Cursor:
    try:
        return msgspec.convert(value, Cursor)
    except msgspec.ValidationError as error:
        raise malformed_answer(f"a cursor: {error}") from error


__all__ = ["Cursor", "Kind", "Notification", "Place", "follow"]
