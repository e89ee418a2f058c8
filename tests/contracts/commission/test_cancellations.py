"""Cancellations and corrections (PROTOCOL.md 1.5)."""

from __future__ import annotations

import msgspec
import pytest

from contracts.commission import answers as a
from contracts.commission import orders
from contracts.commission.calls import Cancel, Cancelled, Correct, Corrected
from contracts.commission.records import Party, Triggers
from ledger.encoding import Codec, encode
from ledger.errors import InvalidInput
from ledger.transaction import Output
from tests.contracts.commission.world import (
    CLAIM,
    CLAWBACK,
    CLAWED,
    INSURER,
    PENDING,
    PLATFORM,
    RIVAL,
    SETTLED,
    THIRD,
    World,
    agreement,
    altered,
    claim_lock,
    lock_of,
    record_outpoint,
    row,
    sale,
    with_call,
)


@pytest.fixture
def world():
    return World()


def quiet(**changes):
    """An agreement that requests settlement only when asked."""
    return agreement(triggers=Triggers(), **changes)


def test_pending_booking_is_spent_to_nothing(world):
    terms = world.agree(quiet())
    booking = world.booking(terms, sale())
    world.run(booking)
    transaction = world.cancellation(terms, "C00100001", THIRD)
    assert (transaction.body.inputs, transaction.body.outputs) == ((record_outpoint(booking),), ())
    receipt = world.run(transaction)
    cancelled = Codec(Cancelled, 4_096).decode(receipt.results[0])
    assert cancelled == Cancelled("B-C health", "C00100001", booking.tx_id, 9_000, "pending", b"")
    assert world.unspent(CLAIM) == world.unspent(CLAWBACK) == []
    books = world.books()
    assert (books.booked, books.pending, books.cancelled, books.unrequested_count) == (9_000, 0, 9_000, 0)
    view = world.booked()
    (source,) = view.cancellation.inputs
    assert (view.status, view.cancellation.transaction_id, view.request) == ("cancelled", transaction.tx_id, 0)
    assert (source.source, source.type, source.account, source.amount) == (booking.tx_id.hex(), "cancel", "B", 9_000)
    world.run(world.early(terms), "commission_nothing_pending")


@pytest.mark.parametrize("settled", [False, True])
def test_requested_or_settled_booking_leaves_a_clawback(world, settled):
    terms = world.agree(quiet())
    world.run(world.booking(terms, sale()))
    world.run(world.early(terms))
    if settled:
        world.run(world.settlement(terms))
    transaction = world.cancellation(terms, "C00100001")
    receipt = world.run(transaction)
    expected = (record_outpoint(transaction), Output(CLAWBACK, 9_000, claim_lock(CLAWED)))
    assert world.unspent(CLAWBACK) == [expected]
    cancelled = Codec(Cancelled, 4_096).decode(receipt.results[0])
    assert (cancelled.status, cancelled.clawback) == ("settled" if settled else "requested", expected[0])
    assert world.booked().clawback_outpoint == expected[0]
    books = world.books()
    assert books.cancelled == books.booked == 9_000
    assert (books.clawbacks, books.clawbacks_waiting) == ((9_000, 0) if settled else (0, 9_000))
    listed = world.view("clawbacks", a.ClawbacksQuery("B-C health")).clawbacks
    assert [item.outpoint for item in listed] == ([expected[0]] if settled else [])


def test_correction_of_a_pending_booking_replaces_it(world):
    terms = world.agree(quiet())
    booking = world.booking(terms, sale())
    world.run(booking)
    transaction = world.correction(terms, sale(premium=100_000), INSURER)
    receipt = world.run(transaction)
    assert world.unspent(CLAIM) == [(record_outpoint(transaction), Output(CLAIM, 3_000, claim_lock(PENDING)))]
    corrected = Codec(Corrected, 4_096).decode(receipt.results[0])
    assert (corrected.cancelled.status, corrected.booked.revision, corrected.booked.sequence) == ("pending", 2, 2)
    assert [event.name for event in receipt.events] == ["commission_cancelled", "commission_booked"]
    assert world.booked().record.inputs[0].type == "correct"
    old = world.view("record", a.RecordQuery(booking.tx_id))
    assert (old.status, old.cancellation.inputs[0].type) == ("cancelled", "correct")
    books = world.books()
    assert (books.booked, books.pending, books.cancelled) == (12_000, 3_000, 9_000)


def test_correction_of_a_requested_booking_claws_back_and_books(world):
    terms = world.agree(quiet())
    world.run(world.booking(terms, sale()))
    world.run(world.early(terms))
    transaction = world.correction(terms, sale(premium=400_000))
    world.run(transaction)
    assert transaction.body.outputs == (
        Output(CLAWBACK, 9_000, claim_lock(CLAWED)),
        Output(CLAIM, 12_000, claim_lock(PENDING)),
    )
    assert world.booked().outpoint == record_outpoint(transaction, 1)
    world.run(world.settlement(terms))
    assert world.books().paid == 0
    world.run(world.early(terms))
    world.run(world.settlement(terms, 2))
    assert (world.books().paid, world.total(CLAIM, SETTLED)) == (12_000, 12_000)


def test_correction_may_itself_be_corrected_and_cancelled(world):
    terms = world.agree(quiet())
    first = world.booking(terms, sale())
    world.run(first)
    for premium in (100_000, 200_000):
        world.run(world.correction(terms, sale(premium=premium)))
    assert world.booked().revision == 3
    world.run(world.booking(terms, sale()), "commission_policy_booked")
    stale = with_call(world, world.cancellation(terms, "C00100001"), Cancel("B-C health", first.tx_id))
    world.run(stale, "commission_already_cancelled")
    world.run(world.cancellation(terms, "C00100001"))
    with pytest.raises(InvalidInput) as caught:
        world.cancellation(terms, "C00100001")
    assert caught.value.code == "commission_already_cancelled"
    call = msgspec.structs.replace(
        stale.body.calls[0], method="correct", arguments=encode(Correct("B-C health", first.tx_id, sale()))
    )
    world.run(altered(world, stale, inputs=(), calls=(call,)), "commission_already_cancelled")
    world.run(world.booking(terms, sale()), "commission_policy_cancelled")


def test_cancelling_needs_the_platform_whoever_sends_it(world):
    terms = world.agree(quiet())
    world.run(world.booking(terms, sale()))
    view = world.booked()
    world.run(world.signed_only_by(orders.cancellation_body(world.frame(INSURER), terms, view)), "not_permitted")
    body = orders.correction_body(world.frame(INSURER), terms, view, sale(premium=1_000))
    world.run(world.signed_only_by(body), "not_permitted")
    world.run(world.sign(orders.cancellation_body(world.frame(INSURER), terms, view), PLATFORM))


def test_window_is_inclusive_and_then_closed(world):
    terms = world.agree(quiet(clawback_window_s=10))
    world.run(world.booking(terms, sale("a")))
    world.run(world.booking(terms, sale("b")), step_ms=1)
    a_cancelled, b_cancelled = world.cancellation(terms, "a"), world.cancellation(terms, "b")
    world.run(a_cancelled, "commission_window_closed", step_ms=10_000)
    assert world.time_ms == world.booked("b").window_ends_ms
    world.time_ms -= 1
    world.run(b_cancelled, step_ms=1)
    late = world.correction(terms, sale("a", 1_000))
    world.run(late, "commission_window_closed")


def test_correction_does_not_open_the_window_anew(world):
    terms = world.agree(quiet(clawback_window_s=10))
    world.run(world.booking(terms, sale()))
    world.run(world.correction(terms, sale(premium=500_000)), step_ms=9_000)
    world.run(world.correction(terms, sale(premium=600_000)), "commission_window_closed", step_ms=2_000)


def test_window_is_that_of_the_version_booked_under(world):
    first = world.agree(quiet(clawback_window_s=1_000))
    world.run(world.booking(first, sale()))
    second = quiet(version=2, clawback_window_s=0, activation_height=world.height + 3)
    world.run(world.proposal(second))
    world.run(world.signature(second))
    world.run(world.booking(second, sale("new")))
    world.run(world.cancellation(second, "new"), "commission_window_closed")
    world.run(world.cancellation(second, "C00100001"))


def test_correction_cannot_refer_to_another_partys_booking(world):
    terms = world.agree(quiet())
    rival = world.agree(
        quiet(
            agreement="R-C",
            platform=Party("R", RIVAL.public, lock_of(RIVAL)),
            mapping=(row(pending="RC-pending", settled="R-settled", clawback="RC-clawback"),),
            activation_height=world.height + 3,
        )
    )
    world.run(world.booking(terms, sale()))
    world.run(world.booking(rival, sale("theirs")))
    theirs, ours = world.booked("theirs", "R-C"), world.booked()
    for arguments in (Correct("B-C health", theirs.record.transaction_id, sale("theirs")),):
        attempt = with_call(world, world.correction(terms, sale(premium=1_000)), arguments)
        world.run(attempt, "commission_record_foreign")
    attempt = with_call(world, world.cancellation(terms, "C00100001"), Cancel("R-C", ours.record.transaction_id))
    world.run(attempt, "not_permitted")
    attempt = with_call(world, world.cancellation(terms, "C00100001"), Cancel("B-C health", bytes(32)))
    world.run(attempt, "commission_record_unknown")


def test_correction_keeps_its_policy(world):
    terms = world.agree(quiet())
    world.run(world.booking(terms, sale()))
    arguments = Correct("B-C health", world.booked().record.transaction_id, sale("another"))
    attempt = with_call(world, world.correction(terms, sale(premium=1_000)), arguments)
    world.run(attempt, "commission_policy_differs")


def test_cancellation_is_refused_when_it_spends_or_creates_something_else(world):
    terms = world.agree(quiet())
    world.run(world.booking(terms, sale("a")))
    world.run(world.booking(terms, sale("b")))
    good = world.cancellation(terms, "a")
    world.run(altered(world, good, inputs=()), "commission_input_wrong")
    world.run(altered(world, good, inputs=(world.booked("b").outpoint,)), "commission_input_wrong")
    both = (*good.body.inputs, world.booked("b").outpoint)
    kept = (Output(CLAIM, 9_000, claim_lock(PENDING)),)
    world.run(altered(world, good, inputs=both, outputs=kept), "lock_unsatisfied")
    world.run(altered(world, good, inputs=both[::-1], outputs=kept), "commission_input_wrong")
    world.run(world.early(terms))
    good = world.cancellation(terms, "a")
    output = good.body.outputs[0]
    for changes, code in (
        ({"amount": 8_999}, "commission_amount_wrong"),
        ({"lock": claim_lock(PENDING)}, "commission_output_wrong"),
        ({"asset": CLAIM}, "commission_output_wrong"),
    ):
        world.run(altered(world, good, outputs=(msgspec.structs.replace(output, **changes),)), code)
    world.run(altered(world, good, outputs=()), "commission_output_missing")
    world.run(good)


def test_cancellation_built_before_the_request_is_refused_after_it(world):
    terms = world.agree(quiet())
    world.run(world.booking(terms, sale()))
    before = world.cancellation(terms, "C00100001")
    world.run(world.early(terms))
    world.run(before, "commission_output_missing")
    world.run(world.cancellation(terms, "C00100001"))


def test_builder_refuses_a_correction_under_another_version(world):
    terms = world.agree(quiet())
    world.run(world.booking(terms, sale()))
    with pytest.raises(InvalidInput) as caught:
        orders.correction_body(world.frame(), quiet(version=2), world.booked(), sale())
    assert caught.value.code == "commission_version_wrong"


def test_many_requests_are_found_by_sequence(world):
    terms = world.agree(agreement(triggers=Triggers(count=1)))
    for number in range(9):
        world.run(world.booking(terms, sale(f"P{number}")))
    assert [world.booked(f"P{number}").request for number in range(9)] == list(range(1, 10))
    for number in range(9):
        world.run(world.cancellation(terms, f"P{number}"))
    summaries = world.view("requests", a.RequestsQuery("B-C health")).requests
    assert [summary.cancelled_amount for summary in summaries] == [9_000] * 9
