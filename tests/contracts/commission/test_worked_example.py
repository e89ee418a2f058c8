"""PROTOCOL.md 1.4, exactly, whoever runs the bookkeeping service."""

from __future__ import annotations

import pytest

from contracts.commission import answers as a
from contracts.commission.amounts import batch_hash
from contracts.commission.calls import RequestItem, Settled
from ledger.encoding import Codec
from ledger.transaction import Output
from tests.contracts.commission.world import (
    ADDRESS,
    CASH,
    CLAIM,
    CURRENCY,
    FUNDS,
    INSURER,
    PENDING,
    PLATFORM,
    SETTLED,
    THIRD,
    World,
    altered,
    claim_lock,
    lock_of,
    record_outpoint,
    sale,
)

SALES = [("C00100001", 300_000, 9_000), ("C00100002", 400_000, 12_000), ("C00100003", 200_000, 6_000)]


@pytest.mark.parametrize("sender", [PLATFORM, INSURER, THIRD], ids=["platform", "insurer", "third member"])
def test_three_policies_settle_at_27000_when_the_third_booking_fires_the_trigger(sender):
    world = World()
    terms = world.agree()
    outpoints = []
    for policy, premium, commission in SALES:
        assert world.ended == ()
        transaction = world.booking(terms, sale(policy, premium), sender)
        outpoints.append(record_outpoint(transaction))
        world.run(transaction)
        assert (outpoints[-1], Output(CLAIM, commission, claim_lock(PENDING))) in world.unspent(CLAIM)

    (request,) = world.requested()
    assert (request.request, request.reason, request.height) == (1, "count", world.height)
    assert request.items == tuple(
        RequestItem(where, commission) for where, (_, _, commission) in zip(outpoints, SALES, strict=True)
    )
    assert request.amount == sum(item.amount for item in request.items) == 27_000
    assert request.batch_hash == batch_hash(world.chain_id, ADDRESS, "B-C health", 1, request.items)

    settlement = world.settlement(terms)
    receipt = world.run(settlement)
    assert settlement.body.inputs[:3] == tuple(outpoints)
    assert world.unspent(CLAIM) == [(record_outpoint(settlement), Output(CLAIM, 27_000, claim_lock(SETTLED)))]
    assert world.unspent(CURRENCY, f"account({CASH})")[0][1].amount == 27_000
    assert sum(output.amount for _, output in world.unspent(CURRENCY, lock_of(INSURER))) == 2 * FUNDS - 27_000
    assert Codec(Settled, 4_096).decode(receipt.results[0]) == Settled("B-C health", 1, 3, 27_000, 0, 0, 27_000, 0)
    books = world.books()
    assert (books.booked, books.pending, books.settled, books.cancelled, books.paid) == (27_000, 0, 27_000, 0, 27_000)


def test_nothing_happens_when_any_part_of_the_settlement_fails():
    world = World()
    terms = world.agree()
    for policy, premium, _ in SALES:
        world.run(world.booking(terms, sale(policy, premium)))
    before = dict(world.state.values)
    settlement = world.settlement(terms)
    outputs = settlement.body.outputs
    change = Output(CURRENCY, outputs[2].amount + 1, outputs[2].lock)
    short = (outputs[0], Output(CURRENCY, 26_999, outputs[1].lock), change)
    world.run(altered(world, settlement, outputs=short), "commission_payment_wrong")
    after = world.state.values
    changed = {key for key in before.keys() | after.keys() if before.get(key) != after.get(key)}
    assert {key[:1] for key in changed} == {b"i"}, "only the transaction's id is consumed"
    world.run(settlement)


def test_record_has_every_field_of_the_protocol_when_booked_and_settled():
    world = World()
    terms = world.agree()
    transaction = world.booking(terms, sale(sealed_hash=b"\x05" * 32, raw_hash=b"\x06" * 32), THIRD)
    world.run(transaction)
    view = world.booked()
    (source,), (output,) = view.record.inputs, view.record.outputs
    assert view.record.transaction_id == transaction.tx_id
    assert (source.source, source.account, source.type, source.amount) == ("C00100001", "C", "purchase", 300_000)
    assert source.unlock == lock_of(PLATFORM)
    assert source.information.sale == sale(sealed_hash=b"\x05" * 32, raw_hash=b"\x06" * 32)
    assert (source.information.version, source.information.rate_ppm, source.information.base) == (1, 30_000, "premium")
    assert (output.account, output.amount, output.lock) == (PENDING, 9_000, claim_lock(PENDING))

    world.run(world.early(terms))
    settlement = world.settlement(terms)
    world.run(settlement)
    record = world.view("settlement", a.RequestQuery(terms.agreement, 1))
    (source,), (output,) = record.inputs, record.outputs
    assert record.transaction_id == settlement.tx_id
    assert (source.source, source.account, source.type) == (transaction.tx_id.hex(), "B", "settlement")
    assert (source.amount, source.unlock) == (9_000, lock_of(INSURER))
    assert (output.account, output.amount, output.lock) == (SETTLED, 9_000, claim_lock(SETTLED))
