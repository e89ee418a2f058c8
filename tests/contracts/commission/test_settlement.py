"""Settlement: exactly the request, net of clawbacks, atomically (PROTOCOL.md 1.3 to 1.5)."""

from __future__ import annotations

import msgspec
import pytest

from contracts.commission import answers as a
from contracts.commission import orders
from contracts.commission import settlement as settlement_module
from contracts.commission.calls import Settle, Settled
from contracts.commission.records import Party, Triggers
from ledger.encoding import Codec
from ledger.errors import InvalidInput, NotFound
from ledger.transaction import Output
from tests.contracts.commission.world import (
    CASH,
    CLAIM,
    CLAWBACK,
    CLAWED,
    CURRENCY,
    FUNDS,
    INSURER,
    OTHER,
    PLATFORM,
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


def requested(world: World, terms, **premiums: int) -> None:
    """Books the policies, and requests their settlement."""
    receipts = world.block(*[world.booking(terms, sale(policy, premium)) for policy, premium in premiums.items()])
    assert {receipt.code for receipt in receipts} == {"ok"}
    world.run(world.early(terms))
    assert len(world.requested()) == 1


def quiet(**changes):
    return agreement(triggers=Triggers(), **changes)


def check_books(world: World) -> a.Books:
    books = world.books()
    assert books.booked == books.pending + books.settled + books.cancelled
    assert books.paid == books.settled + books.clawbacks
    assert world.total(CLAWBACK) == books.clawbacks + books.clawbacks_waiting
    assert world.total(CURRENCY, f"account({CASH})") == books.paid
    return books


def test_settlement_needs_the_insurer_whoever_sends_it(world):
    terms = world.agree(quiet())
    requested(world, terms, a=300_000)
    plan = world.plan(terms)
    own = world.unspent(CURRENCY, lock_of(PLATFORM))
    body = orders.settlement_body(world.frame(PLATFORM), terms, plan, own)
    world.run(world.signed_only_by(body), "not_permitted")
    # The platform may pay from its own pocket, but never without the insurer.
    world.run(world.settlement(terms, sender=THIRD))
    assert world.books().paid == 9_000


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"request": 2}, "commission_request_unknown"),
        ({"request": 0}, "commission_request_unknown"),
        ({"batch_hash": bytes(32)}, "commission_hash_wrong"),
        ({"agreement": "nothing"}, "commission_agreement_unknown"),
    ],
)
def test_settlement_is_refused_when_it_names_another_request(world, changes, code):
    terms = world.agree(quiet())
    requested(world, terms, a=300_000)
    good = world.settlement(terms)
    arguments = msgspec.structs.replace(Settle("B-C health", 1, world.plan(terms).request.batch_hash), **changes)
    world.run(with_call(world, good, arguments), code)
    world.run(good)


def test_request_is_settled_once(world):
    terms = world.agree(quiet())
    requested(world, terms, a=300_000)
    good = world.settlement(terms)
    world.run(good)
    world.run(altered(world, good, inputs=(), outputs=()), "commission_request_settled")
    with pytest.raises(NotFound):
        world.plan(terms)


def test_settlement_is_refused_when_its_inputs_are_others(world):
    terms = world.agree(quiet())
    requested(world, terms, a=300_000, b=400_000)
    world.run(world.booking(terms, sale("c", 400_000)))
    good = world.settlement(terms)
    first, second, *rest = good.body.inputs
    for inputs in ((second, first, *rest), (first, *rest), (first, world.booked("c").outpoint, *rest)):
        world.run(altered(world, good, inputs=inputs), "commission_input_wrong")
    world.run(good)


def test_settlement_is_refused_when_it_spends_records_of_another_agreement(world):
    terms = world.agree(quiet())
    other = world.agree(quiet(agreement="another", activation_height=world.height + 3))
    requested(world, terms, a=300_000)
    requested(world, other, a=300_000)
    good = world.settlement(terms)
    foreign = world.booked("a", "another").outpoint
    world.run(altered(world, good, inputs=(foreign, *good.body.inputs[1:])), "commission_record_foreign")


def test_settlement_is_refused_when_its_sum_is_wrong(world):
    terms = world.agree(quiet())
    requested(world, terms, a=300_000)
    good = world.settlement(terms)
    settled, *rest = good.body.outputs
    replace = msgspec.structs.replace
    for outputs, code in (
        ((replace(settled, amount=8_999), *rest), "commission_sum_wrong"),
        ((replace(settled, amount=9_001), *rest), "commission_sum_wrong"),
        ((replace(settled, lock=lock_of(PLATFORM)), *rest), "commission_output_wrong"),
        ((), "commission_output_missing"),
        ((settled,), "commission_payment_wrong"),
        ((settled, replace(rest[0], lock=lock_of(INSURER)), *rest[1:]), "commission_payment_wrong"),
        ((settled, replace(rest[0], amount=8_999), *rest[1:]), "commission_payment_wrong"),
        ((settled, replace(rest[0], asset=CLAIM), *rest[1:]), "commission_payment_wrong"),
        ((settled, rest[0]), "unbalanced"),
    ):
        world.run(altered(world, good, outputs=outputs), code)
    world.run(good)


def test_settlement_is_refused_when_the_currency_is_short(world):
    terms = world.agree(quiet())
    requested(world, terms, a=300_000)
    good = world.settlement(terms)
    world.run(altered(world, good, inputs=good.body.inputs[:1]), "commission_currency_short")
    plan = world.plan(terms)
    for build in (
        lambda: orders.settlement_body(world.frame(INSURER), terms, plan, []),
        lambda: orders.choose_currency([], plan),
    ):
        with pytest.raises(InvalidInput) as caught:
            build()
        assert caught.value.code == "commission_currency_short"


def test_currency_needs_its_owners_signature(world):
    terms = world.agree(quiet())
    requested(world, terms, a=300_000)
    others = world.unspent(CURRENCY, lock_of(OTHER))
    body = orders.settlement_body(world.frame(INSURER), terms, world.plan(terms), others)
    world.run(world.sign(body), "lock_unsatisfied")
    world.run(world.sign(orders.settlement_body(world.frame(INSURER, OTHER), terms, world.plan(terms), others), OTHER))


def test_few_and_large_outputs_pay_and_the_change_goes_back(world):
    terms = world.agree(quiet())
    requested(world, terms, a=300_000)
    unspent = [
        (bytes([n]) * 36, Output(CURRENCY, amount, lock_of(INSURER))) for n, amount in enumerate((5, 8_000, 2_000))
    ]
    chosen = orders.choose_currency(unspent, world.plan(terms))
    assert [output.amount for _, output in chosen] == [8_000, 2_000]
    body = orders.settlement_body(world.frame(INSURER), terms, world.plan(terms), chosen, change=lock_of(THIRD))
    assert body.outputs[-1] == Output(CURRENCY, 1_000, lock_of(THIRD))


def test_settlements_come_in_any_order(world):
    terms = world.agree(quiet())
    requested(world, terms, a=300_000)
    requested(world, terms, b=400_000)
    world.run(world.settlement(terms, 2))
    listed = [request.request for request in world.view("open_requests", a.OpenRequestsQuery()).requests]
    assert listed == [1]
    world.run(world.settlement(terms, 1))
    assert check_books(world).paid == 21_000
    summaries = world.view("requests", a.RequestsQuery("B-C health", "settled", 0, 1))
    assert (summaries.requests[0].request, summaries.requests[0].paid, summaries.more) == (1, 9_000, True)


def test_next_settlement_is_net_of_a_clawback(world):
    terms = world.agree(quiet())
    requested(world, terms, a=300_000)
    world.run(world.settlement(terms))
    clawback = world.cancellation(terms, "a")
    world.run(clawback)
    check_books(world)
    requested(world, terms, b=400_000)
    transaction = world.settlement(terms, 2)
    receipt = world.run(transaction)
    assert transaction.body.inputs[1] == record_outpoint(clawback)
    settled = Codec(Settled, 4_096).decode(receipt.results[0])
    assert settled == Settled("B-C health", 2, 1, 12_000, 1, 9_000, 3_000, 0)
    assert world.total(CLAIM, SETTLED) == 12_000
    books = check_books(world)
    assert (books.paid, books.settled, books.cancelled, books.clawbacks) == (12_000, 12_000, 9_000, 0)
    record = world.view("settlement", a.RequestQuery("B-C health", 2))
    assert [source.amount for source in record.inputs] == [12_000, 9_000]
    assert record.inputs[1].source == world.booked("a").record.transaction_id.hex()


def test_negative_net_carries_over_until_it_is_covered(world):
    terms = world.agree(quiet())
    requested(world, terms, a=1_000_000)
    world.run(world.settlement(terms))
    world.run(world.cancellation(terms, "a"))
    for number, (premium, carried, paid) in enumerate([(300_000, 21_000, 0), (700_000, 0, 0), (100_000, 0, 3_000)], 2):
        requested(world, terms, **{f"p{number}": premium})
        transaction = world.settlement(terms, number)
        settled = Codec(Settled, 4_096).decode(world.run(transaction).results[0])
        assert (settled.carried, settled.paid) == (carried, paid)
        if carried:
            assert transaction.body.outputs == (Output(CLAWBACK, carried, claim_lock(CLAWED)),)
            assert len(transaction.body.inputs) == 2, "no currency is touched when nothing is paid"
            record = world.view("settlement", a.RequestQuery("B-C health", number))
            assert (record.outputs[0].account, record.outputs[0].amount) == (CLAWED, carried)
        check_books(world)
    assert world.books().paid == 33_000


def test_settlement_of_nothing_but_clawbacks_moves_no_currency(world):
    terms = world.agree(quiet())
    requested(world, terms, a=300_000, b=400_000)
    world.run(world.cancellation(terms, "a"))
    world.run(world.cancellation(terms, "b"))
    transaction = world.settlement(terms)
    assert transaction.body.outputs == ()
    world.run(transaction)
    books = check_books(world)
    assert (books.paid, books.settled, books.cancelled) == (0, 0, 21_000)
    assert sum(output.amount for _, output in world.unspent(CURRENCY, lock_of(INSURER))) == 2 * FUNDS


def test_settlement_built_before_a_cancellation_is_refused_after_it(world):
    terms = world.agree(quiet())
    requested(world, terms, a=300_000, b=400_000)
    before = world.settlement(terms)
    world.run(world.cancellation(terms, "a"))
    world.run(before, "commission_clawbacks_wrong")
    world.run(world.settlement(terms))
    assert check_books(world).paid == 12_000


def test_oldest_clawbacks_net_first_and_no_more_than_needed(world):
    rows = (row(product="P", clawback="B2-clawback"), row())
    terms = world.agree(quiet(mapping=rows))
    sales = [sale("a", 100_000), sale("b", 200_000, product="P"), sale("c", 300_000)]
    world.block(*[world.booking(terms, sold) for sold in sales])
    world.run(world.early(terms))
    world.run(world.settlement(terms))
    for policy in "abc":
        world.run(world.cancellation(terms, policy))
    requested(world, terms, d=150_000)
    plan = world.plan(terms, 2)
    assert [(item.place, item.amount, item.account) for item in plan.clawbacks] == [
        (1, 3_000, CLAWED),
        (2, 6_000, "B2-clawback"),
    ]
    world.run(world.settlement(terms, 2))
    check_books(world)
    page = world.view("clawbacks", a.ClawbacksQuery("B-C health", limit=1))
    rest = world.view("clawbacks", a.ClawbacksQuery("B-C health", page.clawbacks[-1].place))
    listed = [(item.place, item.amount, item.account) for item in (*page.clawbacks, *rest.clawbacks)]
    assert listed == [(2, 4_500, "B2-clawback"), (3, 9_000, CLAWED)]
    assert (page.more, rest.more) == (True, False)
    # What is carried keeps its place and the booking that it claws back.
    assert page.clawbacks[0].record == world.booked("b").record.transaction_id


def test_clawbacks_that_cover_the_batch_exactly_leave_the_others_alone(world):
    terms = world.agree(quiet())
    requested(world, terms, a=100_000, b=200_000)
    world.run(world.settlement(terms))
    world.run(world.cancellation(terms, "a"))
    world.run(world.cancellation(terms, "b"))
    requested(world, terms, c=100_000)
    plan = world.plan(terms, 2)
    assert [(item.place, item.amount) for item in plan.clawbacks] == [(1, 3_000)]
    assert (plan.paid, plan.carried, plan.outputs) == (0, 0, ())
    world.run(world.settlement(terms, 2))
    assert check_books(world).clawbacks == 6_000


def test_clawback_that_waited_and_is_not_needed_becomes_nettable(world):
    terms = world.agree(quiet())
    requested(world, terms, a=500_000)
    world.run(world.settlement(terms))
    world.run(world.cancellation(terms, "a"))
    requested(world, terms, b=100_000, c=200_000)
    world.run(world.cancellation(terms, "b"))
    # The clawback of 15,000 is older and covers the 9,000 alone: 6,000 are carried, and the 3,000 wait behind them.
    world.run(world.settlement(terms, 2))
    listed = world.view("clawbacks", a.ClawbacksQuery("B-C health")).clawbacks
    assert [(item.place, item.amount) for item in listed] == [(1, 6_000), (2, 3_000)]
    assert check_books(world).clawbacks == 9_000
    requested(world, terms, d=400_000)
    world.run(world.settlement(terms, 3))
    assert check_books(world).paid == 15_000 + 3_000


def test_carried_clawback_that_waited_comes_before_those_behind_it(world):
    terms = world.agree(quiet())
    requested(world, terms, a=100_000, b=200_000)
    world.run(world.settlement(terms))
    world.run(world.cancellation(terms, "a"))
    requested(world, terms, c=200_000, d=100_000)
    for policy in "cd":
        world.run(world.cancellation(terms, policy))
    world.run(world.settlement(terms, 2))
    # 3,000 of a and 6,000 of c cover the batch of 9,000; d's 3,000 are left.
    listed = world.view("clawbacks", a.ClawbacksQuery("B-C health")).clawbacks
    assert [(item.place, item.amount) for item in listed] == [(2, 3_000)]
    assert listed[0].record == world.booked("d").record.transaction_id
    check_books(world)


def test_clawback_of_a_requested_record_waits_for_that_request(world):
    terms = world.agree(quiet())
    requested(world, terms, a=300_000)
    requested(world, terms, b=400_000)
    world.run(world.cancellation(terms, "a"))
    world.run(world.settlement(terms, 2))
    assert check_books(world).paid == 12_000
    world.run(world.settlement(terms, 1))
    assert check_books(world).paid == 12_000


def test_clawbacks_netted_at_once_are_bounded(world, monkeypatch):
    monkeypatch.setattr(settlement_module, "MAX_NETTED", 2)
    terms = world.agree(quiet())
    requested(world, terms, a=100_000, b=100_000, c=100_000, d=100_000)
    for policy in "abc":
        world.run(world.cancellation(terms, policy))
    world.run(world.settlement(terms))
    books = check_books(world)
    assert (books.paid, books.clawbacks) == (6_000, 3_000)
    requested(world, terms, e=200_000)
    world.run(world.settlement(terms, 2))
    books = check_books(world)
    assert (books.paid, books.settled, books.clawbacks) == (9_000, 9_000, 0)


def test_several_settled_accounts_get_an_output_each_and_clawbacks_reduce_them_in_order(world):
    rows = (row(product="P", settled="B2-settled"), row())
    terms = world.agree(quiet(mapping=rows))
    sales = [sale("a", 100_000), sale("b", 200_000, product="P"), sale("c", 300_000)]
    world.block(*[world.booking(terms, sold) for sold in sales])
    world.run(world.early(terms))
    world.run(world.settlement(terms))
    assert (world.total(CLAIM, SETTLED), world.total(CLAIM, "B2-settled")) == (12_000, 6_000)
    world.run(world.cancellation(terms, "b"))
    world.block(*[world.booking(terms, msgspec.structs.replace(sold, policy=sold.policy * 2)) for sold in sales[:2]])
    world.run(world.early(terms))
    world.run(world.settlement(terms, 2))
    # 3,000 on the first account are used up by the clawback of 6,000, and 3,000 of the second's 6,000.
    assert (world.total(CLAIM, SETTLED), world.total(CLAIM, "B2-settled")) == (12_000, 9_000)
    assert check_books(world).paid == 21_000


def test_payment_goes_where_the_version_in_force_says(world):
    first = world.agree(quiet())
    requested(world, first, a=300_000)
    second = quiet(
        version=2,
        platform=Party("B", PLATFORM.public, lock_of(PLATFORM)),
        activation_height=world.height + 3,
    )
    world.run(world.proposal(second))
    world.run(world.signature(second))
    transaction = world.settlement(second)
    assert transaction.body.outputs[1] == Output(CURRENCY, 9_000, lock_of(PLATFORM))
    world.run(transaction)
    with pytest.raises(NotFound):
        world.view("settlement", a.RequestQuery("B-C health", 2))
