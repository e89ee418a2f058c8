"""Delivery of settlement requests: retried until settled, never a condition of it; and the switch between services."""

from __future__ import annotations

import asyncio

import pytest

from ledger.errors import InvalidInput, NotFound, PeerUnavailable, RpcUnavailable
from node.gateway import BlockEvents
from node.services import delivery as delivery_module
from node.services import follow as follow_module
from node.services.books import CommissionBooks
from node.services.delivery import RequestDelivery
from node.services.follow import follow, known_height
from node.services.messages import SETTLEMENT, DeliveryAnswer, delivery_answer_codec, delivery_codec
from tests.node.services.fake_chain import FakeGateway
from tests.node.services.members import B, C, D, members
from tests.node.services.test_settlement import World, requested


class Insurer:
    """Answers deliveries; keeps what came."""

    def __init__(self, world: World) -> None:
        self.came: list[int] = []
        self.refuse = 0
        world.members.overlay.link(C).serve(SETTLEMENT, self)

    async def __call__(self, organisation: str, payload: bytes) -> bytes:
        self.came.append(delivery_codec.decode(payload).request.request)
        if self.refuse:
            self.refuse -= 1
            raise InvalidInput("not now", code="not_found")
        return delivery_answer_codec.encode(DeliveryAnswer(1, "accepted", b""))


def delivering(world: World, organisation: str = B) -> RequestDelivery:
    gateway = world.members.gateway()
    return RequestDelivery(CommissionBooks(gateway), world.members.switch(organisation), organisation, lambda _: True)


async def test_delivered_again_when_refused_or_unanswered(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(delivery_module, "FIRST_RETRY_S", 0.01)
    world = await requested()
    insurer = Insurer(world)
    insurer.refuse = 2
    world.members.overlay.down.add(C)
    task = asyncio.create_task(delivering(world).run())
    async with asyncio.timeout(10):
        while not world.members.overlay.requests:
            await asyncio.sleep(0)
        world.members.overlay.down.discard(C)
        while len(insurer.came) < 3:
            await asyncio.sleep(0)
    task.cancel()
    assert set(insurer.came) == {1}


async def test_not_delivered_at_once_again_when_accepted():
    world = await requested()
    insurer = Insurer(world)
    delivery = delivering(world)
    await delivery.deliver_due()
    await delivery.deliver_due()
    assert insurer.came == [1]


async def test_forgotten_when_settled():
    world = await requested()
    Insurer(world)
    delivery = delivering(world)
    await delivery.deliver_due()
    assert await world.service().settle_open() == 0
    await delivery.deliver_due()
    assert delivery._next == {}


async def test_only_own_agreements_are_delivered():
    world = await requested()
    insurer = Insurer(world)
    gateway = world.members.gateway()
    other = RequestDelivery(CommissionBooks(gateway), world.members.switch(D), D, lambda name: name == "other")
    await other.deliver_due()
    assert insurer.came == []


# --- following --------------------------------------------------------------------------------------------------------


class Flaky(FakeGateway):
    """Breaks off after each block."""

    async def events(self, from_height):
        async for block in super().events(from_height):
            yield block
            raise RpcUnavailable("gone")


async def test_every_block_comes_once_when_the_stream_breaks(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(follow_module, "FIRST_PAUSE_S", 0.001)
    world = members()
    for _ in range(5):
        await world.chain.make_block()
    seen: list[int] = []

    def note(block: BlockEvents) -> None:
        seen.append(block.height)

    task = asyncio.create_task(follow(Flaky(world.chain), 1, note, "test"))
    async with asyncio.timeout(5):
        while len(seen) < 5:
            await asyncio.sleep(0.001)
    task.cancel()
    assert seen == [1, 2, 3, 4, 5]


async def test_height_is_known_when_the_node_comes_up(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(follow_module, "FIRST_PAUSE_S", 0.001)
    gateway = members().gateway()
    info, failures = gateway.info, [RpcUnavailable("gone"), RpcUnavailable("gone")]

    async def late():
        if failures:
            raise failures.pop()
        return await info()

    gateway.info = late  # type: ignore[method-assign]
    assert await known_height(gateway, "test") == 0


# --- the switch ------------------------------------------------------------------------------------------------------


async def test_own_service_answers_when_it_runs_here():
    world = members()
    switch = world.switch(B)

    async def echo(organisation: str, payload: bytes) -> bytes:
        return organisation.encode() + payload

    switch.serve("echo", echo)
    assert await switch.request(B, "echo", b"!") == b"Platform B!"
    assert await switch.call("echo", b"?") == b"Platform B?"
    assert switch.services == ("echo",)
    assert world.overlay.requests == []
    assert await world.switch(C).request(B, "echo", b"!") == b"Insurer C!"


async def test_fault_when_a_service_runs_nowhere():
    switch = members().switch(B)
    with pytest.raises(NotFound):
        await switch.call("echo", b"")
    with pytest.raises(PeerUnavailable):
        await switch.request(B, "echo", b"")
