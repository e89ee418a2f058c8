"""The transaction service signs what says exactly what it sold, and nothing else."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from contracts.commission.calls import Book
from contracts.commission.orders import cancellation_body
from ledger.encoding import encode
from ledger.errors import InvalidInput, NonCanonicalBytes, NotFound, Overloaded, RemoteFault
from ledger.keys import verify
from ledger.transaction import Attachment, Body, Call, Output, body_id
from node.services import TransactionService
from node.services import transaction as transaction_module
from node.services.bodies import order_body
from node.services.messages import (
    BOOKKEEPING,
    MESSAGE_VERSION,
    TRANSACTION,
    CosignRequest,
    Order,
    OrderDone,
    cosign_answer_codec,
    cosign_codec,
    order_codec,
    order_done_codec,
)
from node.services.sales import SaleOrder, order_of, sale_order_codec
from node.services.transaction import MAX_EXPIRY_BLOCKS, CosignRefused
from tests.node.services.fake_chain import seeded_key
from tests.node.services.members import B, C, D, Members, agreement_of, members, running, sale

replace = msgspec.structs.replace


class Mallory:
    """Member D's bookkeeping service, which asks for a signature over whatever it likes."""

    def __init__(self, world: Members, tamper: Callable[[Body], Body], asks_as: Order | None = None) -> None:
        self.world, self.tamper, self.asks_as = world, tamper, asks_as
        self.link = world.overlay.link(D)
        self.link.serve(BOOKKEEPING, self)
        self.error: Exception | None = None
        self.signature = b""
        self.body: Body | None = None

    async def __call__(self, organisation: str, payload: bytes) -> bytes:
        order = order_codec.decode(payload)
        honest = await order_body(self.world.books, order, self.world.frame(D))
        self.body = self.tamper(honest)
        request = CosignRequest(MESSAGE_VERSION, self.asks_as or order, encode(self.body))
        try:
            answer = await self.link.request(B, TRANSACTION, cosign_codec.encode(request))
        except RemoteFault as error:
            self.error = error
        else:
            self.signature = cosign_answer_codec.decode(answer).signature
        done = OrderDone(MESSAGE_VERSION, bytes(32), "committed", "ok", 1, already=False)
        return order_done_codec.encode(done)


async def prepared() -> tuple[Members, TransactionService]:
    world = members()
    await world.agree(agreement_of(world.keys))
    return world, TransactionService(world.gateway(), world.switch(B), world.keys[B], B, bookkeeper=D)


async def test_signs_when_the_body_says_what_was_sold():
    world, service = await prepared()
    mallory = Mallory(world, lambda body: body)
    async with running(service):
        await service.sell(sale("C00100001", "3000"))
    assert mallory.body is not None
    signed = body_id(world.chain.rules.chain_id, encode(mallory.body))
    assert verify(world.keys[B].public, signed, mallory.signature)


def with_output(body: Body, **changes: Any) -> Body:
    return replace(body, outputs=(replace(body.outputs[0], **changes), *body.outputs[1:]))


def with_sale(body: Body, **changes: Any) -> Body:
    arguments = msgspec.msgpack.decode(body.calls[0].arguments, type=Book)
    changed = Book(arguments.agreement, replace(arguments.sale, **changes))
    return replace(body, calls=(replace(body.calls[0], arguments=encode(changed)),))


OTHER = Output("CNY", 5, f"key(ed25519:{'11' * 32})")
TAMPERED: dict[str, tuple[str, Callable[[Body], Body]]] = {
    "another chain": ("chain_id", lambda b: replace(b, chain_id=bytes(32))),
    "expires never": ("expiry_height", lambda b: replace(b, expiry_height=b.expiry_height + MAX_EXPIRY_BLOCKS)),
    "expired": ("expiry_height", lambda b: replace(b, expiry_height=1)),
    "sent by the platform": ("sender", lambda b: replace(b, sender=seeded_key(B).public)),
    "sent by the insurer": ("sender", lambda b: replace(b, sender=seeded_key(C).public)),
    "sent by a stranger": ("sender", lambda b: replace(b, sender=seeded_key("stranger").public)),
    "another version": ("version", lambda b: replace(b, version=2)),
    "spends something": ("inputs", lambda b: replace(b, inputs=(bytes(36),))),
    "less commission": ("outputs", lambda b: with_output(b, amount=8_999)),
    "more commission": ("outputs", lambda b: with_output(b, amount=9_001)),
    "another asset": ("outputs", lambda b: with_output(b, asset="CNY")),
    "another account": ("outputs", lambda b: with_output(b, lock="account(B cash)")),
    "one output more": ("outputs", lambda b: replace(b, outputs=(*b.outputs, OTHER))),
    "no output": ("outputs", lambda b: replace(b, outputs=())),
    "another premium": ("calls", lambda b: with_sale(b, premium=299_999)),
    "another policy": ("calls", lambda b: with_sale(b, policy="C00100009")),
    "another seller": ("calls", lambda b: with_sale(b, seller="Somebody")),
    "another day": ("calls", lambda b: with_sale(b, sold_on=20_260_102)),
    "another method": ("calls", lambda b: replace(b, calls=(replace(b.calls[0], method="cancel"),))),
    "another contract": ("calls", lambda b: replace(b, calls=(replace(b.calls[0], contract="assets"),))),
    "a call more": ("calls", lambda b: replace(b, calls=(*b.calls, Call("assets", "issue", b"\x90")))),
    "no call": ("calls", lambda b: replace(b, calls=())),
    "an attachment": ("attachments", lambda b: replace(b, attachments=(Attachment(bytes(32), 1, 0),))),
    "a memo": ("memo", lambda b: replace(b, memo=b"hello")),
}


@pytest.mark.parametrize("name", TAMPERED)
async def test_refuses_to_sign_when_the_body_has(name: str):
    field, tamper = TAMPERED[name]
    world, service = await prepared()
    mallory = Mallory(world, tamper)
    errors: list[Exception] = []

    async def ask(organisation: str, request: CosignRequest) -> Any:
        try:
            return await TransactionService.cosign(service, organisation, request)
        except InvalidInput as error:
            errors.append(error)
            raise

    service.cosign = ask  # type: ignore[method-assign]
    async with running(service):
        await service.sell(sale("C00100001", "3000"))
    assert mallory.signature == b""
    assert isinstance(mallory.error, RemoteFault)
    assert [error.data.get("field") for error in errors if isinstance(error, CosignRefused)] == [field]


async def test_refuses_to_sign_when_the_order_is_not_under_way():
    world, service = await prepared()
    other = order_of(sale("C00100002", "4000"), agreement_of(world.keys))
    mallory = Mallory(world, lambda body: body, asks_as=other)
    async with running(service):
        await service.sell(sale("C00100001", "3000"))
    assert mallory.error is not None
    assert mallory.error.data["peer_code"] == "cosign_order_unknown"  # type: ignore[attr-defined]


async def test_refuses_to_sign_when_the_order_is_over():
    world, service = await prepared()
    mallory = Mallory(world, lambda body: body)
    request = sale("C00100001", "3000")
    async with running(service):
        await service.sell(request)
        order = order_of(request, agreement_of(world.keys))
        with pytest.raises(CosignRefused):
            await service.cosign(D, CosignRequest(MESSAGE_VERSION, order, encode(mallory.body)))


async def test_refuses_to_sign_when_bytes_are_not_canonical():
    world, service = await prepared()
    order = order_of(sale("C00100001", "3000"), agreement_of(world.keys))
    service._under_way[encode(order)] = 1
    body = encode(await order_body(world.books, order, world.frame(D)))
    padded = b"\xdc\x00" + bytes([body[0] & 0x0F]) + body[1:]
    with pytest.raises(NonCanonicalBytes):
        await service.cosign(D, CosignRequest(MESSAGE_VERSION, order, padded))


async def test_refuses_to_sign_when_the_agreement_names_another_key():
    world, _ = await prepared()
    service = TransactionService(world.gateway(), world.switch(B), seeded_key("new key"), B, bookkeeper=D)
    mallory = Mallory(world, lambda body: body)
    async with running(service):
        await service.sell(sale("C00100001", "3000"))
    assert mallory.error is not None
    assert mallory.error.data["peer_code"] == "cosign_key_differs"  # type: ignore[attr-defined]


async def test_signs_a_cancellation_of_that_booking_only():
    world, service = await prepared()
    books = Mallory(world, lambda body: body)
    async with running(service):
        from ledger.transaction import build

        agreement = agreement_of(world.keys)
        ids = []
        for nonce, request in enumerate((sale("C00100001", "3000"), sale("C00100002", "4000")), 1):
            order = order_of(request, agreement)
            body = await order_body(world.books, order, world.frame(B, nonce))
            await world.chain.make_block(build(body, (world.keys[B],)))
            ids.append(world.chain.blocks[-1].events[0][0])
        second = await world.books.record(ids[1])
        books.tamper = lambda body: cancellation_body(world.frame(D), agreement, second)
        await service.sell(SaleOrder(MESSAGE_VERSION, "cancel", "B-C-health", ids[0], None))
        assert isinstance(books.error, RemoteFault)
        books.tamper, books.error = (lambda body: body), None
        await service.sell(SaleOrder(MESSAGE_VERSION, "cancel", "B-C-health", ids[0], None))
    assert books.error is None
    assert books.signature


# --- selling ---------------------------------------------------------------------------------------------------------


async def test_sales_are_for_the_platform_alone_when_asked_over_the_overlay():
    world, service = await prepared()
    async with running(service):
        handler = world.overlay.handlers[B, "sales"]
        with pytest.raises(InvalidInput) as caught:
            await handler(C, sale_order_codec.encode(sale("C00100001", "3000")))
    assert caught.value.code == "not_permitted"


async def test_sale_is_refused_when_there_is_no_agreement():
    world = members()
    service = TransactionService(world.gateway(), world.switch(B), world.keys[B], B)
    with pytest.raises(NotFound):
        await service.sell(sale("C00100001", "3000"))


async def test_fault_when_the_bookkeeper_is_not_connected():
    _, service = await prepared()
    async with running(service):
        with pytest.raises(RemoteFault):
            await service.sell(sale("C00100001", "3000"))
    assert service._under_way == {}


async def test_overloaded_when_too_many_orders_are_under_way(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(transaction_module, "MAX_ORDERS", 1)
    world, service = await prepared()
    gate = asyncio.Event()

    async def slow(organisation: str, payload: bytes) -> bytes:
        await gate.wait()
        return order_done_codec.encode(OrderDone(1, bytes(32), "committed", "ok", 1, already=False))

    world.overlay.handlers[D, BOOKKEEPING] = slow
    async with running(service), asyncio.TaskGroup() as group:
        first = group.create_task(service.sell(sale("C00100001", "3000")))
        while not service._under_way:
            await asyncio.sleep(0)
        with pytest.raises(Overloaded):
            await service.sell(sale("C00100002", "3000"))
        gate.set()
        assert (await first).status == "committed"
