"""Booking: who, once, exactly, on which accounts, under which conditions (PROTOCOL.md 1.1 to 1.3, 1.5)."""

from __future__ import annotations

import msgspec
import pytest

from contracts.commission import answers as a
from contracts.commission import orders
from contracts.commission.calls import Book, Booked
from contracts.commission.records import Condition, Triggers
from ledger.encoding import Codec, encode
from ledger.errors import InvalidInput, NotFound
from ledger.transaction import Output
from ledger.types import MAX_AMOUNT
from tests.contracts.commission.world import (
    ADDRESS,
    CLAIM,
    CLAWED,
    CURRENCY,
    INSURER,
    PENDING,
    PLATFORM,
    SETTLED,
    THIRD,
    World,
    agreement,
    altered,
    claim_lock,
    lock_of,
    row,
    sale,
    with_call,
)


@pytest.fixture
def world():
    return World()


def one_output(amount: int, **changes) -> tuple[Output, ...]:
    return (msgspec.structs.replace(Output(CLAIM, amount, claim_lock(PENDING)), **changes),)


def test_booking_needs_the_platform_whoever_sends_it(world):
    terms = world.agree()
    for sender in (THIRD, INSURER):
        body = orders.booking_body(world.frame(sender), terms, sale())
        world.run(world.signed_only_by(body), "not_permitted")
    world.run(world.booking(terms, sale(), THIRD))


def test_booking_answers_and_says_what_it_did(world):
    terms = world.agree()
    transaction = world.booking(terms, sale())
    receipt = world.run(transaction)
    booked = Codec(Booked, 4_096).decode(receipt.results[0])
    assert booked == Booked(
        "B-C health",
        "C00100001",
        1,
        1,
        transaction.tx_id,
        1,
        transaction.tx_id + bytes(4),
        9_000,
        PENDING,
        SETTLED,
        CLAWED,
    )
    assert [(event.contract, event.name, event.data) for event in receipt.events] == [
        (ADDRESS, "commission_booked", encode(booked))
    ]
    view = world.booked()
    assert (view.status, view.booked_ms, view.window_ends_ms) == ("pending", world.time_ms, world.time_ms + 10**9)
    assert world.view("record", a.RecordQuery(transaction.tx_id)) == view


def test_policy_is_booked_once(world):
    terms = world.agree()
    world.run(world.booking(terms, sale()))
    world.run(world.booking(terms, sale()), "commission_policy_booked")
    other = world.agree(agreement(agreement="another", activation_height=world.height + 3))
    world.run(world.booking(other, sale()))
    world.run(world.cancellation(terms, "C00100001"))
    world.run(world.booking(terms, sale()), "commission_policy_cancelled")


def test_policy_is_booked_once_within_a_block(world):
    terms = world.agree()
    receipts = world.block(world.booking(terms, sale()), world.booking(terms, sale(), THIRD))
    assert [receipt.code for receipt in receipts] == ["ok", "commission_policy_booked"]


@pytest.mark.parametrize(
    ("outputs", "code"),
    [
        ((), "commission_output_missing"),
        (one_output(8_999), "commission_amount_wrong"),
        (one_output(9_001), "commission_amount_wrong"),
        (one_output(9_000, lock=claim_lock(SETTLED)), "commission_output_wrong"),
        (one_output(9_000, lock=f"contract({ADDRESS})"), "commission_output_wrong"),
        (one_output(9_000, lock=lock_of(PLATFORM)), "commission_output_wrong"),
        (one_output(9_000, asset=CURRENCY), "commission_output_wrong"),
        ((*one_output(9_000), *one_output(1)), "unbalanced"),
    ],
)
def test_booking_is_refused_when_its_output_is_another(world, outputs, code):
    terms = world.agree()
    world.run(altered(world, world.booking(terms, sale()), outputs=outputs), code)


def test_pending_output_moves_by_no_signature_alone(world):
    terms = world.agree()
    world.run(world.booking(terms, sale()))
    where, output = world.unspent(CLAIM)[0]
    free = Output(CLAIM, output.amount, lock_of(PLATFORM))
    body = msgspec.structs.replace(
        orders.request_body(world.frame(), "B-C health", "platform"), inputs=(where,), outputs=(free,)
    )
    world.run(world.signed_only_by(msgspec.structs.replace(body, calls=()), INSURER), "lock_unsatisfied")
    world.run(world.sign(body), "lock_unsatisfied")


def test_one_output_does_not_serve_two_bookings(world):
    terms = world.agree()
    first, second = world.booking(terms, sale("one")), world.booking(terms, sale("two"))
    calls = (*first.body.calls, *second.body.calls)
    stolen = Output(CLAIM, 9_000, lock_of(PLATFORM))
    world.run(altered(world, first, calls=calls, outputs=(*first.body.outputs, stolen)), "commission_one_call")


def test_accounts_come_from_the_first_row_that_matches(world):
    special = {"pending": "B2-pending", "settled": "B2-settled", "clawback": "B2-clawback"}
    rows = (
        row(type="correct", pending="B2-pending"),
        row(seller="S", product="P", channel="C", **special),
        row(product="P"),
        row(type="purchase", channel="C", **special),
    )
    terms = world.agree(agreement(mapping=rows))
    booked = {}
    for policy, changes in {
        "all three": {"seller": "S", "product": "P", "channel": "C"},
        "product": {"product": "P", "channel": "C"},
        "channel": {"channel": "C"},
    }.items():
        world.run(world.booking(terms, sale(policy, **changes)))
        view = world.booked(policy)
        booked[policy] = (view.pending, view.settled, view.clawback)
    assert booked == {
        "all three": tuple(special.values()),
        "product": (PENDING, SETTLED, CLAWED),
        "channel": tuple(special.values()),
    }
    good = world.booking(terms, sale("none", channel="C"))
    arguments = Book("B-C health", sale("none"))
    world.run(with_call(world, good, arguments), "commission_unmapped")
    with pytest.raises(InvalidInput) as caught:
        world.booking(terms, sale("none"))
    assert caught.value.code == "commission_unmapped"
    with pytest.raises(NotFound):
        world.view("quote", a.QuoteQuery("B-C health", sale("none")))


@pytest.mark.parametrize(
    ("conditions", "changes", "booked"),
    [
        ((), {}, True),
        ((Condition("state", "in_force"),), {}, True),
        ((Condition("state", "in_force"),), {"policy_state": "proposed"}, False),
        ((Condition("event", "paid"),), {"events": ("signed", "paid")}, True),
        ((Condition("event", "paid"),), {"events": ("signed",)}, False),
        ((Condition("trigger", "premium", ">=", 300_000),), {}, True),
        ((Condition("trigger", "premium", ">", 300_000),), {}, False),
        ((Condition("trigger", "premium", "<=", 299_999),), {}, False),
        ((Condition("trigger", "premium", "==", 300_000),), {}, True),
        ((Condition("trigger", "amount_insured", "<", 10),), {"amount_insured": 9}, True),
        ((Condition("trigger", "amount_insured", "<", 10),), {}, False),
        ((Condition("trigger", "sold_on", ">=", 20_200_131),), {}, True),
        ((Condition("trigger", "effective_on", "<", 20_200_301),), {"effective_on": 20_200_229}, True),
        ((Condition("trigger", "effective_on", "<", 20_200_301),), {}, False),
        ((Condition("state", "paid up"), Condition("event", "paid")), {"events": ("paid",)}, True),
        ((Condition("state", "paid up"), Condition("event", "paid")), {}, False),
    ],
)
def test_booking_executes_when_any_one_condition_holds(world, conditions, changes, booked):
    terms = world.agree(agreement(conditions=conditions))
    good = world.booking(agreement(), sale(**changes))
    assert world.view("quote", a.QuoteQuery("B-C health", sale(**changes))).executes is booked
    world.run(good, "ok" if booked else "commission_condition_unmet")
    if not booked:
        with pytest.raises(InvalidInput) as caught:
            world.booking(terms, sale(**changes))
        assert caught.value.code == "commission_condition_unmet"


def test_commission_is_on_the_amount_insured_when_that_is_the_base(world):
    terms = world.agree(agreement(base="amount_insured", rate_ppm=1_000))
    world.run(world.booking(terms, sale(amount_insured=10_000_499)))
    assert world.booked().commission == 10_000
    good = world.booking(terms, sale("second", amount_insured=500))
    world.run(with_call(world, good, Book("B-C health", sale("second"))), "commission_base_missing")


@pytest.mark.parametrize(
    ("rounding", "premium", "commission"),
    [("half_up", 50, 2), ("half_even", 50, 2), ("down", 50, 1), ("half_even", 83, 2), ("half_up", 17, 1)],
)
def test_chain_and_builder_round_alike(world, rounding, premium, commission):
    terms = world.agree(agreement(rounding=rounding))
    world.run(world.booking(terms, sale(premium=premium)))
    assert world.booked().commission == commission


def test_commission_that_rounds_to_zero_has_its_own_code(world):
    terms = world.agree()
    with pytest.raises(InvalidInput) as caught:
        world.booking(terms, sale(premium=16))
    assert caught.value.code == "commission_zero"
    good = world.booking(terms, sale(premium=17))
    world.run(with_call(world, good, Book("B-C health", sale(premium=16))), "commission_zero")
    quote = world.view("quote", a.QuoteQuery("B-C health", sale(premium=16)))
    assert (quote.commission, quote.output, quote.booked) == (0, None, False)


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"sold_on": 20_200_230}, "commission_sale_invalid"),
        ({"sold_on": 0}, "commission_sale_invalid"),
        ({"effective_on": 20_201_301}, "commission_sale_invalid"),
        ({"insured": b"ID 1234"}, "commission_sale_invalid"),
        ({"raw_hash": b"1"}, "commission_sale_invalid"),
        ({"sealed_hash": bytes(31)}, "commission_sale_invalid"),
        ({"events": ("paid", "paid")}, "commission_sale_invalid"),
        ({"policy": "C(1)"}, "commission_name_invalid"),
        ({"seller": " B"}, "commission_name_invalid"),
        ({"policy_state": "ü" * 100}, "commission_name_invalid"),
        ({"premium": 0}, "arguments_invalid"),
        ({"premium": MAX_AMOUNT + 1}, "arguments_invalid"),
        ({"policy": "9" * 129}, "arguments_invalid"),
    ],
)
def test_sale_is_refused_when_its_form_is_wrong(world, changes, code):
    terms = world.agree()
    world.run(with_call(world, world.booking(terms, sale()), Book("B-C health", sale(**changes))), code)


def test_books_stay_within_what_an_amount_can_be(world):
    terms = world.agree(agreement(rate_ppm=1_000_000, triggers=Triggers()))
    world.run(world.booking(terms, sale("largest", MAX_AMOUNT)))
    world.run(world.booking(terms, sale("one more", 1)), "commission_books_full")
    world.run(world.early(terms))
    assert world.requested()[0].amount == MAX_AMOUNT


def test_quote_says_what_a_sale_books_as(world):
    terms = world.agree()
    quote = world.view("quote", a.QuoteQuery("B-C health", sale()))
    transaction = world.booking(terms, sale())
    assert (quote.output,) == transaction.body.outputs
    assert (quote.version, quote.executes, quote.base_amount, quote.rate_ppm) == (1, True, 300_000, 30_000)
    assert (quote.pending, quote.settled, quote.clawback, quote.booked) == (PENDING, SETTLED, CLAWED, False)
    world.run(transaction)
    assert world.view("quote", a.QuoteQuery("B-C health", sale())).booked


def test_bookings_are_listed_by_status_and_page(world):
    terms = world.agree(agreement(triggers=Triggers()))
    for number in range(6):
        world.run(world.booking(terms, sale(f"P{number}")))
    world.run(world.cancellation(terms, "P1"))
    world.run(world.early(terms))
    world.run(world.cancellation(terms, "P2"))
    world.run(world.settlement(terms))
    world.run(world.booking(terms, sale("P6")))
    world.run(world.early(terms))
    world.run(world.booking(terms, sale("P7")))

    def listed(status: str, after: int = 0, limit: int = 100):
        page = world.view("bookings", a.BookingsQuery("B-C health", status, after, limit))
        return [view.policy for view in page.bookings], page.last, page.more

    assert listed("pending") == (["P7"], 8, False)
    assert listed("requested") == (["P6"], 8, False)
    assert listed("settled") == (["P0", "P3", "P4", "P5"], 8, False)
    assert listed("cancelled") == (["P1", "P2"], 8, False)
    assert listed("any", 0, 3) == (["P0", "P1", "P2"], 3, True)
    assert listed("any", 6, 3) == (["P6", "P7"], 8, False)
    assert [world.booked(f"P{n}").request for n in (0, 1, 2, 6, 7)] == [1, 0, 1, 2, 0]
    with pytest.raises(NotFound):
        world.booked("P8")
    with pytest.raises(NotFound):
        world.view("record", a.RecordQuery(bytes(32)))


def test_arguments_of_the_builder_are_all_that_matters(world):
    frame = orders.Frame(world.chain_id, ADDRESS, PLATFORM.public, 10, bytes(16))
    assert orders.booking_body(frame, agreement(), sale()) == orders.booking_body(frame, agreement(), sale())
    assert orders.booking_body(frame, agreement(), sale()).calls[0].arguments == encode(Book("B-C health", sale()))
