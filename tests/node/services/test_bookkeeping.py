"""The bookkeeping service carries out each order once, mends what went out of date, and says what the chain says."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from contracts.commission import codes
from contracts.commission.orders import request_body
from ledger.errors import InvalidInput, Overloaded, PeerMisbehaved, RemoteFault
from ledger.transaction import build
from node.services import BookkeepingService, TransactionService
from node.services import bookkeeping as bookkeeping_module
from node.services.messages import MESSAGE_VERSION, TRANSACTION, CosignAnswer, Order, cosign_answer_codec, cosign_codec
from node.services.sales import RawSale, SaleOrder, order_of
from tests.node.services.members import B, C, D, Members, agreement_of, members, running, sale

POLICY = "C00100001"


@asynccontextmanager
async def platform_books(world: Members) -> AsyncIterator[tuple[TransactionService, BookkeepingService]]:
    """The platform sells and books, all in its own daemon."""
    switch = world.switch(B)
    transaction = TransactionService(world.gateway(), switch, world.keys[B], B)
    books = BookkeepingService(world.gateway(), switch, world.keys[B], B)
    async with running(transaction, books):
        yield transaction, books


async def ready(**changes: object) -> Members:
    world = members()
    await world.agree(agreement_of(world.keys, **changes))
    return world


def book(policy: str = POLICY, premium: str = "3000") -> Order:
    return order_of(sale(policy, premium), agreement_of(members().keys))


def correction(record: bytes, premium: str, policy: str = POLICY) -> SaleOrder:
    raw = RawSale(policy, B, "health insurance", "online sales", premium, 20_260_101)
    return SaleOrder(MESSAGE_VERSION, "correct", "B-C-health", record, raw)


def cancellation(record: bytes) -> SaleOrder:
    return SaleOrder(MESSAGE_VERSION, "cancel", "B-C-health", record, None)


# --- once ------------------------------------------------------------------------------------------------------------


async def test_booked_once_when_ordered_again():
    world = await ready()
    async with platform_books(world) as (transaction, _):
        first = await transaction.sell(sale(POLICY, "3000"))
        height = world.chain.height
        again = await transaction.sell(sale(POLICY, "3000"))
    assert (first.already, again.already) == (False, True)
    assert again.tx_id == first.tx_id
    assert (again.status, again.code) == ("committed", "ok")
    assert world.chain.height == height


async def test_booked_once_when_ordered_at_the_same_time():
    world = await ready()
    async with platform_books(world) as (_, books):
        done = await asyncio.gather(*(books.execute(B, book()) for _ in range(5)))
    assert {one.tx_id for one in done} == {done[0].tx_id}
    assert len(world.chain.events_named("commission_booked")) == 1


async def test_refused_when_the_policy_is_booked_with_another_premium():
    world = await ready()
    async with platform_books(world) as (transaction, _):
        await transaction.sell(sale(POLICY, "3000"))
        done = await transaction.sell(sale(POLICY, "3001"))
    assert (done.status, done.code) == ("refused", codes.POLICY_BOOKED)


async def test_refused_when_the_policy_was_cancelled():
    world = await ready()
    async with platform_books(world) as (transaction, _):
        booked = await transaction.sell(sale(POLICY, "3000"))
        cancelled = await transaction.sell(cancellation(booked.tx_id))
        again = await transaction.sell(cancellation(booked.tx_id))
        done = await transaction.sell(sale(POLICY, "3000"))
    assert (cancelled.status, again.already, again.tx_id) == ("committed", True, cancelled.tx_id)
    assert (done.status, done.code) == ("refused", codes.POLICY_CANCELLED)
    books = await world.books.books("B-C-health")
    assert (books.booked, books.cancelled, books.pending) == (9_000, 9_000, 0)


async def test_corrected_once_when_ordered_again():
    world = await ready()
    async with platform_books(world) as (transaction, _):
        booked = await transaction.sell(sale(POLICY, "3000"))
        corrected = await transaction.sell(correction(booked.tx_id, "3500"))
        again = await transaction.sell(correction(booked.tx_id, "3500"))
        other = await transaction.sell(correction(booked.tx_id, "3600"))
        cancel = await transaction.sell(cancellation(booked.tx_id))
    assert (again.already, again.tx_id) == (True, corrected.tx_id)
    assert (other.status, other.code) == ("refused", codes.ALREADY_CANCELLED)
    assert (cancel.status, cancel.code) == ("refused", codes.ALREADY_CANCELLED)
    books = await world.books.books("B-C-health")
    assert (books.booked, books.cancelled, books.pending) == (19_500, 9_000, 10_500)


# --- out of date ------------------------------------------------------------------------------------------------------


async def test_cancellation_is_rebuilt_when_a_request_took_the_record_meanwhile():
    world = await ready()
    async with platform_books(world) as (transaction, books):
        booked = await transaction.sell(sale(POLICY, "3000"))
        original, asked = books._attempt, []

        async def late(order: Order, agreement: object) -> object:
            if not asked:
                # Built against a pending record; in the block before it, settlement is asked for.
                signed = books._signed

                async def slow(*arguments: object) -> object:
                    transaction = await signed(*arguments)  # type: ignore[arg-type]
                    early = build(request_body(world.frame(C), "B-C-health", "insurer"), (world.keys[C],))
                    asked.append(early)
                    await world.chain.make_block(early)
                    books._signed = signed  # type: ignore[method-assign]
                    return transaction

                books._signed = slow  # type: ignore[method-assign]
            return await original(order, agreement)  # type: ignore[arg-type]

        books._attempt = late  # type: ignore[method-assign, assignment]
        done = await transaction.sell(cancellation(booked.tx_id))
    assert (done.status, done.code) == ("committed", "ok")
    assert (await world.books.books("B-C-health")).clawbacks_waiting == 9_000


async def test_refusal_is_reported_when_nothing_can_mend_it():
    world = await ready(clawback_window_s=0)
    async with platform_books(world) as (transaction, _):
        booked = await transaction.sell(sale(POLICY, "3000"))
        done = await transaction.sell(cancellation(booked.tx_id))
    assert (done.status, done.code) == ("refused", codes.WINDOW_CLOSED)


async def test_invalid_when_the_commission_rounds_to_zero():
    world = await ready()
    async with platform_books(world) as (transaction, _):
        with pytest.raises(InvalidInput) as caught:
            await transaction.sell(sale(POLICY, "0.01"))
    assert caught.value.code == codes.ZERO


async def test_not_known_yet_when_the_block_does_not_come():
    world = await ready()
    async with platform_books(world) as (transaction, _):
        world.chain.hold = True
        done = await transaction.sell(sale(POLICY, "3000"))
        assert (done.status, done.already) == ("pending", False)
        await world.chain.release()
        again = await transaction.sell(sale(POLICY, "3000"))
    assert (again.already, again.tx_id) == (True, done.tx_id)


# --- who may order, and who signs ------------------------------------------------------------------------------------


@pytest.mark.parametrize("organisation", [C, D])
async def test_refused_when_another_than_the_platform_orders(organisation: str):
    world = await ready()
    async with platform_books(world) as (_, books):
        with pytest.raises(InvalidInput) as caught:
            await books.execute(organisation, book())
    assert caught.value.code == "not_permitted"


async def test_refused_when_the_agreement_is_not_served():
    world = await ready()
    books = BookkeepingService(world.gateway(), world.switch(B), world.keys[B], B, agreements=["other"])
    with pytest.raises(InvalidInput):
        await books.execute(B, book())


async def test_fault_when_the_platform_does_not_answer():
    world = await ready()
    books = BookkeepingService(world.gateway(), world.switch(D), world.keys[D], D)
    with pytest.raises(RemoteFault):
        await books.execute(B, book())


async def test_fault_when_the_platforms_signature_does_not_verify():
    world = await ready()
    books = BookkeepingService(world.gateway(), world.switch(D), world.keys[D], D)

    async def wrong(organisation: str, payload: bytes) -> bytes:
        cosign_codec.decode(payload)
        key = world.keys[B]
        return cosign_answer_codec.encode(CosignAnswer(1, key.public, key.sign(bytes(32))))

    world.overlay.link(B).serve(TRANSACTION, wrong)
    with pytest.raises(PeerMisbehaved):
        await books.execute(B, book())
    assert world.chain.events_named("commission_booked") == []


async def test_overloaded_when_too_many_orders_wait(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(bookkeeping_module, "MAX_ORDERS", 0)
    world = await ready()
    async with platform_books(world) as (_, books):
        with pytest.raises(Overloaded):
            await books.execute(B, book())


async def test_order_goes_on_when_the_asker_goes_away():
    world = await ready()
    async with platform_books(world) as (_, books):
        asker = asyncio.create_task(books.execute(B, book()))
        while not books._under_way:
            await asyncio.sleep(0)
        asker.cancel()
        done = await books.execute(B, book())
    assert done.status == "committed"


async def test_nothing_is_left_when_cancelled():
    world = await ready()
    before = asyncio.all_tasks()
    async with platform_books(world) as (transaction, _):
        await transaction.sell(sale(POLICY, "3000"))
    await asyncio.sleep(0)
    assert asyncio.all_tasks() == before
