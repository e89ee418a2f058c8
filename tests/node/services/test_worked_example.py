"""PROTOCOL.md 1.4 must come out exactly, whoever runs the bookkeeping service."""

from __future__ import annotations

import pytest

from node.services import BookkeepingService, SettlementService, TransactionService
from tests.node.services.members import (
    CASH_B,
    CASH_C,
    PENDING,
    SETTLED,
    SUPPLY,
    B,
    C,
    D,
    agreement_of,
    members,
    running,
    sale,
    settled,
)

SALES = (("C00100001", "3000"), ("C00100002", "4000.00"), ("C00100003", "2000.0"))


@pytest.mark.parametrize("bookkeeper", [B, C, D])
async def test_worked_example_settles_when_bookkeeper_is(bookkeeper: str):
    world = members()
    await world.agree(agreement_of(world.keys))
    switches = {name: world.switch(name) for name in (B, C, D)}
    transaction = TransactionService(world.gateway(), switches[B], world.keys[B], B, bookkeeper=bookkeeper)
    books = BookkeepingService(world.gateway(), switches[bookkeeper], world.keys[bookkeeper], bookkeeper)
    settlement = SettlementService(world.gateway(), switches[C], world.keys[C], C)
    pending = []
    async with running(transaction, books, settlement):
        for policy, premium in SALES:
            done = await transaction.sell(sale(policy, premium))
            assert (done.status, done.code) == ("committed", "ok")
            pending.append((await world.books.record(done.tx_id)).commission)
        await settled(world)
    assert pending == [9_000, 12_000, 6_000]
    request = (await world.books.request("B-C-health", 1)).request
    assert [item.amount for item in request.items] == pending
    final = await world.books.books("B-C-health")
    assert (final.booked, final.settled, final.paid, final.pending) == (27_000, 27_000, 27_000, 0)
    claim = "commission:claim:CNY"
    gateway = world.gateway()
    paid = await gateway.unspent(f"account({CASH_B})", asset="CNY")
    assert [item.output.amount for item in paid] == [27_000]
    rest = await gateway.unspent(f"account({CASH_C})", asset="CNY")
    assert [item.output.amount for item in rest] == [SUPPLY - 27_000]
    moved = await gateway.unspent(f"all(contract(commission),account({SETTLED}))", asset=claim)
    assert [item.output.amount for item in moved] == [27_000]
    assert await gateway.unspent(f"all(contract(commission),account({PENDING}))", asset=claim) == []


@pytest.mark.parametrize("bookkeeper", [B, D])
async def test_sender_is_the_bookkeeper_when_it_books(bookkeeper: str):
    world = members()
    await world.agree(agreement_of(world.keys))
    transaction = TransactionService(world.gateway(), world.switch(B), world.keys[B], B, bookkeeper=bookkeeper)
    switch = transaction._link if bookkeeper == B else world.switch(bookkeeper)
    books = BookkeepingService(world.gateway(), switch, world.keys[bookkeeper], bookkeeper)
    async with running(transaction, books):
        done = await transaction.sell(sale("C00100001", "3000"))
    found = world.chain.transactions[done.tx_id]
    assert found.body.sender == world.keys[bookkeeper].public
    assert world.keys[B].public in {key for key, _ in found.witness.signatures}


async def test_delivery_reaches_the_insurer_when_the_trigger_fires():
    world = members()
    await world.agree(agreement_of(world.keys))
    switch_b, switch_c = world.switch(B), world.switch(C)
    transaction = TransactionService(world.gateway(), switch_b, world.keys[B], B)
    books = BookkeepingService(world.gateway(), switch_b, world.keys[B], B)
    settlement = SettlementService(world.gateway(), switch_c, world.keys[C], C)
    async with running(transaction, books, settlement):
        for policy, premium in SALES:
            await transaction.sell(sale(policy, premium))
        await settled(world)
    assert (B, C, "settlement") in world.overlay.requests


async def test_settles_by_itself_when_nothing_is_delivered():
    world = members()
    await world.agree(agreement_of(world.keys))
    switch_b = world.switch(B)
    transaction = TransactionService(world.gateway(), switch_b, world.keys[B], B)
    books = BookkeepingService(world.gateway(), switch_b, world.keys[B], B)
    world.overlay.down.add(C)
    async with running(transaction, books):
        for policy, premium in SALES:
            await transaction.sell(sale(policy, premium))
        settlement = SettlementService(world.gateway(), world.switch(C), world.keys[C], C)
        async with running(settlement):
            await settled(world)
    assert (await world.books.books("B-C-health")).paid == 27_000
