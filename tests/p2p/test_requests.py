"""The request table alone: what is bounded, and that nothing is left when a peer goes."""

from __future__ import annotations

import asyncio
import dataclasses

import pytest

from ledger.errors import InvalidInput, PeerMisbehaved, PeerRefused, PeerUnavailable
from p2p.framing import Control, request_prefix
from p2p.requests import RequestTable
from p2p.transport import PeerId
from tests.p2p.overlay_kit import QUICK, key, until

PEER = key(1).peer_id


class Wire:
    """Collects what the table sends; answers wait until they are released."""

    def __init__(self, **limits: int) -> None:
        self.sent: list[tuple[Control, bytes]] = []
        self.up = True
        self.release = asyncio.Event()
        self.table = RequestTable(
            dataclasses.replace(QUICK, **limits), send=self.send, answer=self.answer, answer_max_bytes=2000
        )

    def send(self, peer: PeerId, control: Control, payload: bytes) -> bool:
        self.sent.append((control, payload))
        return self.up

    async def answer(self, peer: PeerId, kind: int, payload: bytes) -> bytes:
        if kind == 9:
            raise InvalidInput("no", code="Not A Code!")
        if kind == 8:
            return bytes(2001)
        await self.release.wait()
        return payload


async def test_requests_being_answered_are_bounded_in_bytes() -> None:
    wire = Wire(requests_in_bytes=1000)
    for number in range(3):
        wire.table.on_frame(PEER, Control.REQUEST, request_prefix(number, 1) + bytes(400))
    assert wire.sent == [(Control.REFUSAL, request_prefix(2, 1) + b"overloaded")]
    wire.release.set()
    await until(lambda: len(wire.sent) == 3 and not wire.table._answering_bytes)
    wire.table.on_frame(PEER, Control.REQUEST, request_prefix(4, 1) + bytes(1000))
    await until(lambda: len(wire.sent) == 4)
    assert wire.sent[-1][0] is Control.ANSWER
    await wire.table.stop()
    assert wire.table._answering == {}
    assert not wire.table._answering_bytes


async def test_answer_over_the_cap_is_refused_instead_of_sent() -> None:
    wire = Wire()
    wire.table.on_frame(PEER, Control.REQUEST, request_prefix(1, 8))
    await until(lambda: wire.sent)
    assert wire.sent == [(Control.REFUSAL, request_prefix(1, 8) + b"answer_too_large")]
    await wire.table.stop()


async def test_refusal_with_something_else_than_a_code_reads_unknown() -> None:
    wire = Wire()
    asking = asyncio.ensure_future(wire.table.request(PEER, 1, b"", 5))
    await until(lambda: wire.sent)
    wire.table.on_frame(PEER, Control.REFUSAL, request_prefix(1, 1) + b"<script>")
    with pytest.raises(PeerRefused) as refused:
        await asking
    assert refused.value.data["peer_code"] == "unknown"


async def test_late_second_and_foreign_answers_are_ignored() -> None:
    wire = Wire()
    asking = asyncio.ensure_future(wire.table.request(PEER, 1, b"", 5))
    await until(lambda: wire.sent)
    wire.table.on_frame(key(2).peer_id, Control.ANSWER, request_prefix(1, 1) + b"foreign")
    wire.table.on_frame(PEER, Control.ANSWER, request_prefix(77, 1) + b"unknown")
    wire.table.on_frame(PEER, Control.ANSWER, request_prefix(1, 1) + b"first")
    wire.table.on_frame(PEER, Control.ANSWER, request_prefix(1, 1) + b"second")
    assert await asking == b"first"
    wire.table.on_frame(PEER, Control.ANSWER, request_prefix(1, 1) + b"late")
    assert wire.table._waiting == {}


async def test_request_fails_at_once_when_the_queue_is_gone() -> None:
    wire = Wire()
    wire.up = False
    with pytest.raises(PeerUnavailable):
        await wire.table.request(PEER, 1, b"", 5)
    assert wire.table._waiting == {}


async def test_cancelled_request_is_forgotten() -> None:
    wire = Wire()
    asking = asyncio.ensure_future(wire.table.request(PEER, 1, b"", 5))
    await until(lambda: wire.sent)
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    assert wire.table._waiting == {}


async def test_answering_stops_when_the_peer_goes() -> None:
    wire = Wire()
    wire.table.on_frame(PEER, Control.REQUEST, request_prefix(1, 1))
    await asyncio.sleep(0)
    wire.table.on_disconnected(PEER)
    await wire.table.stop()
    assert wire.sent == []
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_frame_that_is_no_request_frame_is_misbehaviour() -> None:
    wire = Wire()
    with pytest.raises(PeerMisbehaved):
        wire.table.on_frame(PEER, Control.REQUEST, b"short")
