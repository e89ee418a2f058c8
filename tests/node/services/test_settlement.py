"""The settlement service pays what it has verified, once, whatever changes meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from contracts.commission.amounts import batch_hash
from contracts.commission.answers import SettlementPlan
from contracts.commission.calls import AccountTotal, SettlementRequest
from contracts.commission.orders import booking_body, cancellation_body, request_body, settlement_body
from ledger.errors import InvalidInput, NotFound, Overloaded
from ledger.transaction import Body, Output, build
from node.services import SettlementService
from node.services.bodies import SHORT_LIFETIME_BLOCKS
from node.services.messages import Delivery, delivery_answer_codec, delivery_codec
from node.services.sales import order_of
from node.services.verification import BatchInvalid, verify_batch, verify_plan
from tests.node.services.fake_chain import seeded_key
from tests.node.services.members import (
    CASH_B,
    CASH_C,
    SUPPLY,
    B,
    C,
    Members,
    agreement_of,
    members,
    running,
    sale,
    settled,
)

replace = msgspec.structs.replace
NAME = "B-C-health"
PREMIUMS = ("3000", "4000", "2000")


class World:
    """The worked example up to its request, booked without services; helpers that act as the platform."""

    def __init__(self, world: Members, **changes: Any) -> None:
        self.members, self.agreement = world, agreement_of(world.keys, **changes)
        self.nonce = 100
        self.records: list[bytes] = []

    async def platform_sends(self, make: Callable[[Any], Body]) -> bytes:
        self.nonce += 1
        transaction = build(make(self.members.frame(B, self.nonce)), (self.members.keys[B],))
        await self.members.chain.make_block(transaction)
        assert self.members.chain.outcomes[transaction.tx_id].code == "ok"
        return transaction.tx_id

    async def book(self, *premiums: str) -> None:
        for premium in premiums:
            found = order_of(sale(f"P{len(self.records)}", premium), self.agreement).sale
            assert found is not None
            sold = found
            make = lambda frame, sold=sold: booking_body(frame, self.agreement, sold)  # noqa: E731
            self.records.append(await self.platform_sends(make))

    async def cancel(self, place: int) -> None:
        booking = await self.members.books.record(self.records[place])
        await self.platform_sends(lambda frame: cancellation_body(frame, self.agreement, booking))

    def service(self, key: str = C) -> SettlementService:
        return SettlementService(self.members.gateway(), self.members.switch(C), seeded_key(key), C)

    async def request(self, number: int = 1) -> SettlementRequest:
        return (await self.members.books.request(NAME, number)).request

    async def books(self) -> tuple[int, int, int, int]:
        """Pending, settled, cancelled, paid."""
        found = await self.members.books.books(NAME)
        assert found.booked == found.pending + found.settled + found.cancelled
        assert found.paid == found.settled + found.clawbacks
        return found.pending, found.settled, found.cancelled, found.paid


async def requested(supply: tuple[tuple[int, str], ...] | None = None, **changes: Any) -> World:
    world = World(members(supply), **changes)
    await world.members.agree(world.agreement)
    await world.book(*PREMIUMS)
    return world


# --- verification ----------------------------------------------------------------------------------------------------


def rehashed(world: World, request: SettlementRequest) -> SettlementRequest:
    chain_id = world.members.chain.rules.chain_id
    return replace(
        request, batch_hash=batch_hash(chain_id, "commission", request.agreement, request.request, request.items)
    )


async def test_refused_when_the_delivered_hash_is_wrong():
    world = await requested()
    request = replace(await world.request(), batch_hash=bytes(32))
    with pytest.raises(BatchInvalid) as caught:
        await world.service().deliver(request)
    assert caught.value.code == "batch_hash_wrong"


async def test_refused_when_the_delivered_sum_is_wrong():
    world = await requested()
    request = replace(await world.request(), amount=27_001)
    with pytest.raises(BatchInvalid) as caught:
        await world.service().deliver(request)
    assert caught.value.code == "batch_sum_wrong"


async def test_refused_when_the_delivered_batch_is_not_the_chains():
    world = await requested()
    request = await world.request()
    items = (replace(request.items[0], amount=1), *request.items[1:])
    total = sum(item.amount for item in items)
    forged = replace(request, items=items, amount=total, totals=(AccountTotal(request.totals[0].account, total),))
    with pytest.raises(BatchInvalid) as caught:
        await world.service().deliver(rehashed(world, forged))
    assert caught.value.code == "batch_unknown"
    with pytest.raises(NotFound):
        await world.service().deliver(rehashed(world, replace(request, request=9)))


async def test_refused_when_it_is_another_insurers():
    world = await requested()
    service = SettlementService(world.members.gateway(), world.members.switch(B), seeded_key(B), B)
    with pytest.raises(InvalidInput) as caught:
        await service.deliver(await world.request())
    assert caught.value.code == "not_permitted"


def plan_with(plan: SettlementPlan, world: World, **changes: Any) -> SettlementPlan:
    return replace(plan, request=rehashed(world, replace(plan.request, **changes)))


@pytest.mark.parametrize("what", ["amount", "totals", "record", "twice", "payee", "paid"])
async def test_plan_is_refused_when_it_does_not_follow_from_the_records(what: str):
    world = await requested()
    books = world.members.books
    plan = await books.plan(NAME, 1)
    items = plan.request.items
    match what:
        case "amount":
            swapped = (replace(items[0], amount=12_000), replace(items[1], amount=9_000), items[2])
            plan = plan_with(plan, world, items=swapped)
        case "totals":
            plan = plan_with(plan, world, totals=(AccountTotal("elsewhere", 27_000),))
        case "record":
            plan = plan_with(
                plan, world, items=(replace(items[0], outpoint=items[0].outpoint[:32] + b"\0\0\0\7"), *items[1:])
            )
        case "twice":
            doubled = (items[0], items[0], items[2])
            total = 24_000
            account = plan.request.totals[0].account
            plan = plan_with(plan, world, items=doubled, amount=total, totals=(AccountTotal(account, total),))
        case "payee":
            plan = replace(plan, outputs=(plan.outputs[0], Output("CNY", 27_000, f"account({CASH_C})")))
        case "paid":
            plan = replace(plan, paid=30_000)
    with pytest.raises(BatchInvalid):
        await verify_plan(books, world.members.chain.rules.chain_id, world.agreement, plan)


async def test_plan_is_good_when_it_is_the_chains():
    world = await requested()
    chain_id = world.members.chain.rules.chain_id
    await verify_plan(world.members.books, chain_id, world.agreement, await world.members.books.plan(NAME, 1))
    verify_batch(chain_id, "commission", await world.request())


async def test_nothing_is_paid_when_the_node_gives_a_forged_plan():
    world = await requested()
    service = world.service()
    honest = service._books.plan

    async def forged(agreement: str, request: int) -> SettlementPlan:
        plan = await honest(agreement, request)
        return replace(plan, paid=30_000, outputs=(plan.outputs[0], Output("CNY", 30_000, f"account({CASH_B})")))

    service._books.plan = forged  # type: ignore[method-assign]
    assert await service.settle_open() == 1
    assert (await world.books())[3] == 0


# --- settling --------------------------------------------------------------------------------------------------------


async def test_settled_once_when_delivered_and_found_and_restarted():
    world = await requested()
    service = world.service()
    async with running(service):
        handler = world.members.overlay.handlers[C, "settlement"]
        payload = delivery_codec.encode(Delivery(1, await world.request()))
        answers = {delivery_answer_codec.decode(await handler(B, payload)).status}
        await settled(world.members)
        last = delivery_answer_codec.decode(await handler(B, payload))
    assert answers <= {"accepted", "settled"}
    assert (last.status, len(last.settled_by)) == ("settled", 32)
    async with running(world.service()):
        await world.book("3000")
    assert len(world.members.chain.events_named("commission_settled")) == 1
    assert await world.books() == (9_000, 27_000, 0, 27_000)


async def test_settled_when_restarted_with_nothing_but_the_chain():
    world = await requested()
    await world.book("3000", "4000", "2000")
    async with running(world.service()):
        await settled(world.members, requests=2)
    assert await world.books() == (0, 54_000, 0, 54_000)


async def test_settled_once_when_several_instances_run():
    world = await requested()
    async with running(world.service(), world.service(), world.service()):
        await settled(world.members)
        await world.book("3000", "4000", "2000")
        await settled(world.members, requests=2)
    assert await world.books() == (0, 54_000, 0, 54_000)


async def test_net_of_clawbacks_when_cancelled_after_the_request():
    world = await requested()
    await world.cancel(0)
    assert await world.service().settle_open() == 0
    assert await world.books() == (0, 18_000, 9_000, 18_000)


async def test_clawback_carries_over_when_the_net_is_negative():
    world = await requested()
    assert await world.service().settle_open() == 0
    await world.cancel(1)
    await world.book("100", "100", "100")
    assert await world.service().settle_open() == 0
    found = await world.members.books.books(NAME)
    assert (found.paid, found.settled, found.clawbacks) == (27_000, 15_900, 11_100)
    await world.book("4000", "4000", "4000")
    assert await world.service().settle_open() == 0
    assert await world.books() == (0, 51_900, 12_000, 51_900)


async def test_rebuilt_when_a_clawback_comes_in_between():
    world = await requested()
    service = world.service()
    currency = service._currency

    async def late(*arguments: Any) -> Any:
        service._currency = currency  # type: ignore[method-assign]
        await world.cancel(2)
        return await currency(*arguments)

    service._currency = late  # type: ignore[method-assign]
    assert await service.settle_open() == 0
    assert await world.books() == (0, 21_000, 6_000, 21_000)


async def test_rebuilt_when_the_currency_is_spent_in_between():
    lock = f"account({CASH_C})"
    world = await requested(((50_000, lock), (40_000, lock)))
    service = world.service()
    currency = service._currency

    async def late(*arguments: Any) -> Any:
        service._currency = currency  # type: ignore[method-assign]
        chosen = await currency(*arguments)
        frame = world.members.frame(C, 7)
        spend = Body(
            1,
            frame.chain_id,
            frame.sender,
            frame.expiry_height,
            frame.nonce,
            (chosen[0][0],),
            (chosen[0][1],),
            (),
            (),
            b"",
        )
        await world.members.chain.make_block(build(spend, (world.members.keys[C],)))
        return chosen

    service._currency = late  # type: ignore[method-assign]
    assert await service.settle_open() == 0
    assert (await world.books())[3] == 27_000


async def test_several_outputs_pay_when_none_is_large_enough():
    lock = f"account({CASH_C})"
    world = await requested(((10_000, lock), (9_000, lock), (9_500, lock), (1, lock)))
    assert await world.service().settle_open() == 0
    rest = await world.members.gateway().unspent(lock, asset="CNY")
    assert sorted(item.output.amount for item in rest) == [1, 1_500]


async def test_waits_when_there_is_not_enough_and_settles_when_there_is():
    lock_c, lock_b = f"account({CASH_C})", f"account({CASH_B})"
    world = await requested(((20_000, lock_c), (50_000, lock_b)))
    service = world.service()
    assert await service.settle_open() == 1
    assert (await world.books())[3] == 0
    funds = (await world.members.gateway().unspent(lock_b))[0]
    moved = Output("CNY", 50_000, lock_c)

    def give(frame: Any) -> Body:
        return Body(
            1, frame.chain_id, frame.sender, frame.expiry_height, frame.nonce, (funds.outpoint,), (moved,), (), (), b""
        )

    await world.platform_sends(give)
    assert await service.settle_open() == 0
    assert (await world.books())[3] == 27_000


async def test_not_sent_twice_when_the_first_still_waits():
    world = await requested()
    service = world.service()
    world.members.chain.hold = True
    assert await service.settle_open() == 1
    assert await service.settle_open() == 1
    assert len(world.members.chain.held) == 1
    await world.members.chain.release()
    assert await service.settle_open() == 0
    assert await world.books() == (0, 27_000, 0, 27_000)


async def test_built_anew_when_the_one_that_waited_was_dropped():
    world = await requested()
    service = world.service()
    world.members.chain.hold = True
    assert await service.settle_open() == 1
    waiting = world.members.chain.held.pop()
    world.members.chain.hold = False
    await world.cancel(0)
    assert await service.settle_open() == 0
    assert waiting.tx_id not in world.members.chain.outcomes
    assert await world.books() == (0, 18_000, 9_000, 18_000)


async def test_waits_shortly_when_others_can_put_it_out_of_date():
    world = await requested()
    world.members.chain.hold = True
    await world.service().settle_open()
    [waiting] = world.members.chain.held
    assert waiting.body.expiry_height - world.members.chain.height <= SHORT_LIFETIME_BLOCKS


async def test_retried_when_the_node_is_overloaded():
    world = await requested()
    world.members.chain.overload = 1
    service = world.service()
    with pytest.raises(Overloaded):
        await service.settle_open()
    world.members.chain.overload = 1
    async with running(service), asyncio.timeout(5):
        await settled(world.members)


async def test_left_alone_when_the_key_is_not_the_agreements():
    world = await requested()
    assert await world.service(key="another key").settle_open() == 0
    assert (await world.books())[3] == 0


async def test_early_request_is_settled_when_either_party_asks():
    world = World(members())
    await world.members.agree(world.agreement)
    await world.book("3000")
    async with running(world.service()):
        await world.platform_sends(lambda frame: request_body(frame, NAME, "platform"))
        await settled(world.members)
    assert await world.books() == (0, 9_000, 0, 9_000)


async def test_insurers_money_moves_only_by_its_signature():
    world = await requested()
    plan = await world.members.books.plan(NAME, 1)
    money = await world.members.gateway().unspent(f"account({CASH_C})")
    body = settlement_body(
        world.members.frame(B, 9), world.agreement, plan, [(item.outpoint, item.output) for item in money]
    )
    forged = build(replace(body, cosigners=()), (world.members.keys[B],))
    await world.members.chain.make_block(forged)
    assert world.members.chain.outcomes[forged.tx_id].code == "not_permitted"
    assert money[0].output.amount == SUPPLY
