"""Requests and answers over the request lane: who waits for what, what is being answered, both bounded per peer."""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from typing import TYPE_CHECKING, Final

import structlog

from ledger.errors import PeerMisbehaved, PeerRefused, PeerTimeout, PeerUnavailable, TidegateError
from p2p.framing import Control, request_prefix, split_request

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from p2p.bounds import TransportBounds
    from p2p.transport import PeerId

_log = structlog.get_logger(__name__)
_CODE: Final = re.compile(rb"[a-z0-9_]{1,64}")
_UNKNOWN_CODE: Final = "unknown"


class RequestTable:
    """The requests of one transport, both ways.

    Args:
        bounds: how many per peer.
        send: queues a frame on a peer's request lane; False when there is no such connection any more.
        answer: ``Handler.on_request``.
        answer_max_bytes: larger answers are refused with the code ``answer_too_large``.
    """

    def __init__(
        self,
        bounds: TransportBounds,
        *,
        send: Callable[[PeerId, Control, bytes], bool],
        answer: Callable[[PeerId, int, bytes], Awaitable[bytes]],
        answer_max_bytes: int,
    ) -> None:
        self._bounds = bounds
        self._send = send
        self._answer = answer
        self._answer_max_bytes = answer_max_bytes
        self._next_id = 1
        self._waiting: dict[PeerId, dict[int, asyncio.Future[bytes]]] = {}
        self._answering: dict[PeerId, set[asyncio.Task[None]]] = {}
        self._answering_bytes: Counter[PeerId] = Counter()
        # Tasks whose peer has gone: kept until they have ended, so that ``stop`` leaves none behind.
        self._cancelled: set[asyncio.Task[None]] = set()

    async def request(self, peer: PeerId, kind: int, payload: bytes, timeout_s: float) -> bytes:
        """See ``Transport.request``; the payload has been checked."""
        waiting = self._waiting.setdefault(peer, {})
        if len(waiting) >= self._bounds.requests_out_per_peer:
            raise PeerUnavailable("too many requests are waiting for this peer", peer=peer)
        request_id = self._next_id
        self._next_id += 1
        loop = asyncio.get_running_loop()
        future: asyncio.Future[bytes] = loop.create_future()
        waiting[request_id] = future
        timer: asyncio.TimerHandle | None = None
        try:
            if not self._send(peer, Control.REQUEST, request_prefix(request_id, kind) + payload):
                raise PeerUnavailable("no connection to this peer", peer=peer)
            timer = loop.call_later(timeout_s, _time_out, future, peer)
            return await future
        finally:
            if timer is not None:
                timer.cancel()
            waiting.pop(request_id, None)
            if not waiting and self._waiting.get(peer) is waiting:
                del self._waiting[peer]

    def on_frame(self, peer: PeerId, control: Control, payload: bytes) -> None:
        """Take a REQUEST, ANSWER or REFUSAL frame.

        Raises:
            PeerMisbehaved: the frame is malformed.
        """
        request_id, kind, body = split_request(payload)
        if control is Control.REQUEST:
            self._on_request(peer, request_id, kind, body)
            return
        future = self._waiting.get(peer, {}).get(request_id)
        # An answer after the time-out is not misbehaviour; one to nothing at all cannot be told from it.
        if future is None or future.done():
            return
        if control is Control.ANSWER:
            future.set_result(body)
        elif control is Control.REFUSAL:
            code = body.decode() if _CODE.fullmatch(body) else _UNKNOWN_CODE
            future.set_exception(PeerRefused(code, peer=peer, peer_code=code))
        else:
            raise PeerMisbehaved("not a request frame", code="frame_unexpected")

    def on_disconnected(self, peer: PeerId) -> None:
        """Fail what waits for ``peer``, and stop answering it."""
        for future in self._waiting.pop(peer, {}).values():
            if not future.done():
                future.set_exception(PeerUnavailable("the connection to this peer closed", peer=peer))
        for task in self._answering.pop(peer, set()):
            self._cancelled.add(task)
            task.add_done_callback(self._cancelled.discard)
            task.cancel()

    async def stop(self) -> None:
        """Fail and cancel everything, and wait until the answering tasks have ended."""
        for peer in [*self._waiting, *self._answering]:
            self.on_disconnected(peer)
        if self._cancelled:
            await asyncio.wait(tuple(self._cancelled))

    def _on_request(self, peer: PeerId, request_id: int, kind: int, body: bytes) -> None:
        tasks = self._answering.setdefault(peer, set())
        size_bytes = self._answering_bytes[peer] + len(body)
        if len(tasks) >= self._bounds.requests_in_per_peer or size_bytes > self._bounds.requests_in_bytes:
            self._refuse(peer, request_id, kind, "overloaded")
            return
        self._answering_bytes[peer] = size_bytes
        task = asyncio.get_running_loop().create_task(self._serve(peer, request_id, kind, body))
        tasks.add(task)
        task.add_done_callback(lambda _: self._answered(peer, tasks, task, len(body)))

    def _answered(
        self, peer: PeerId, tasks: set[asyncio.Task[None]], task: asyncio.Task[None], size_bytes: int
    ) -> None:
        tasks.discard(task)
        self._answering_bytes[peer] -= size_bytes
        if self._answering_bytes[peer] <= 0 and not tasks:
            del self._answering_bytes[peer]
            if self._answering.get(peer) is tasks:
                del self._answering[peer]

    async def _serve(self, peer: PeerId, request_id: int, kind: int, body: bytes) -> None:
        try:
            answer = await self._answer(peer, kind, body)
        except TidegateError as error:
            self._refuse(peer, request_id, kind, error.code)
        except Exception:  # noqa: BLE001 - the node's code; the peer gets a code, the log the traceback
            _log.exception("request_handler_failed", peer=peer, kind=kind)
            self._refuse(peer, request_id, kind, "internal_error")
        else:
            if len(answer) > self._answer_max_bytes:
                _log.error("answer_too_large", peer=peer, kind=kind, size_bytes=len(answer))
                self._refuse(peer, request_id, kind, "answer_too_large")
            else:
                self._send(peer, Control.ANSWER, request_prefix(request_id, kind) + answer)

    def _refuse(self, peer: PeerId, request_id: int, kind: int, code: str) -> None:
        self._send(peer, Control.REFUSAL, request_prefix(request_id, kind) + code.encode()[:64])


def _time_out(future: asyncio.Future[bytes], peer: PeerId) -> None:
    if not future.done():
        future.set_exception(PeerTimeout("no answer in time", peer=peer))
