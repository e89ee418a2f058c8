"""When settlement is requested (PROTOCOL.md 1.2, 1.4)."""

from __future__ import annotations

import pytest

from contracts.commission import answers as a
from contracts.commission import triggers as triggers_module
from contracts.commission.calls import AccountTotal
from contracts.commission.records import Triggers
from contracts.commission.triggers import MAX_RECORDS_REQUESTED_PER_BLOCK, next_scheduled
from contracts.interface import MAX_DUE_ITEMS_PER_BLOCK
from tests.contracts.commission.world import SETTLED, World, agreement, row, sale


@pytest.fixture
def world():
    return World()


def reasons(world: World) -> list[tuple[str, int]]:
    return [(request.reason, len(request.items)) for request in world.requested()]


def book(world: World, terms, *policies: str, premium: int = 300_000, step_ms: int = 1_000) -> None:
    receipts = world.block(*[world.booking(terms, sale(policy, premium)) for policy in policies], step_ms=step_ms)
    assert {receipt.code for receipt in receipts} == {"ok"}


def test_count_fires_in_the_block_of_the_last_booking(world):
    terms = world.agree(agreement(triggers=Triggers(count=3)))
    book(world, terms, "a", "b")
    assert reasons(world) == []
    assert world.next_due_ms() is None
    book(world, terms, "c")
    assert reasons(world) == [("count", 3)]
    assert world.next_due_ms() is None
    assert world.books().unrequested_count == 0


def test_amount_fires_in_the_block_that_reaches_it(world):
    terms = world.agree(agreement(triggers=Triggers(amount=20_000)))
    book(world, terms, "a", "b")
    assert reasons(world) == []
    book(world, terms, "c", premium=66_667)
    assert reasons(world) == [("amount", 3)]
    assert world.requested()[0].amount == 20_000


def test_age_fires_without_any_transaction(world):
    terms = world.agree(agreement(triggers=Triggers(age_s=60)))
    book(world, terms, "a")
    oldest = world.time_ms
    book(world, terms, "b")
    assert world.next_due_ms() == oldest + 60_000
    world.block(step_ms=58_999)
    assert reasons(world) == []
    world.block(step_ms=1)
    assert reasons(world) == [("age", 2)]
    assert world.next_due_ms() is None


def test_age_counts_from_the_oldest_record_that_is_left(world):
    terms = world.agree(agreement(triggers=Triggers(age_s=60)))
    book(world, terms, "a")
    book(world, terms, "b", step_ms=30_000)
    second = world.time_ms
    world.run(world.cancellation(terms, "a"))
    world.block(step_ms=30_000)
    assert reasons(world) == []
    assert world.next_due_ms() == second + 60_000
    world.block(step_ms=second + 60_000 - world.time_ms)
    assert reasons(world) == [("age", 1)]


def test_schedule_fires_at_its_times_and_only_when_something_is_pending(world):
    first = world.time_ms + 100_000
    terms = world.agree(agreement(triggers=Triggers(schedule_first_ms=first, schedule_every_s=50)))
    assert world.next_due_ms() is None
    book(world, terms, "a")
    assert world.next_due_ms() == first
    world.block(step_ms=first - world.time_ms)
    assert reasons(world) == [("schedule", 1)]
    assert world.next_due_ms() is None
    world.block(step_ms=60_000)
    assert reasons(world) == []
    book(world, terms, "b")
    assert world.next_due_ms() == first + 100_000
    world.block(step_ms=200_000)
    assert reasons(world) == [("schedule", 1)]


def test_schedule_takes_one_batch_at_a_time(world):
    first = world.time_ms + 100_000
    terms = world.agree(agreement(triggers=Triggers(schedule_first_ms=first, schedule_every_s=50), max_batch=2))
    book(world, terms, "a", "b", "c")
    world.block(step_ms=first - world.time_ms)
    assert reasons(world) == [("schedule", 2)]
    assert world.next_due_ms() == first + 50_000
    world.block(step_ms=50_000)
    assert reasons(world) == [("schedule", 1)]


@pytest.mark.parametrize(
    ("at", "expected"), [(0, 1_000), (1_000, 1_000), (1_001, 11_000), (11_000, 11_000), (10**12 + 1, 10**12 + 1_000)]
)
def test_next_scheduled_time_is_at_or_after(at, expected):
    assert next_scheduled(Triggers(schedule_first_ms=1_000, schedule_every_s=10), at) == expected
    assert next_scheduled(Triggers(), at) == 0


@pytest.mark.parametrize("party", ["platform", "insurer"])
def test_either_party_may_ask_early(world, party):
    terms = world.agree(agreement(triggers=Triggers()))
    world.run(world.early(terms, party), "commission_nothing_pending")
    book(world, terms, "a", "b")
    receipt = world.run(world.early(terms, party))
    assert [event.name for event in receipt.events] == ["settlement_asked"]
    assert reasons(world) == [("early", 2)]


def test_early_request_is_asked_once_in_a_block(world):
    terms = world.agree(agreement(triggers=Triggers()))
    book(world, terms, "a")
    receipts = world.block(world.early(terms), world.early(terms, "insurer"))
    assert [receipt.code for receipt in receipts] == ["ok", "commission_request_waiting"]
    assert reasons(world) == [("early", 1)]


def test_early_request_is_served_once_and_what_is_left_waits(world):
    terms = world.agree(agreement(triggers=Triggers(age_s=60), max_batch=1))
    book(world, terms, "a")
    book(world, terms, "b", step_ms=7_000)
    second = world.time_ms
    world.run(world.early(terms))
    assert reasons(world) == [("early", 1)]
    assert world.next_due_ms() == second + 60_000
    world.block()
    assert reasons(world) == []


def test_any_trigger_suffices_and_the_first_names_the_request(world):
    terms = world.agree(agreement(triggers=Triggers(count=2, amount=18_000, age_s=1)))
    book(world, terms, "a")
    book(world, terms, "b", step_ms=5_000)
    assert reasons(world) == [("count", 2)]


def test_request_takes_booking_order_up_to_max_batch_and_the_rest_waits(world):
    terms = world.agree(agreement(triggers=Triggers(count=3), max_batch=2))
    book(world, terms, "a", "b")
    book(world, terms, "c")
    (request,) = world.requested()
    assert [item.outpoint for item in request.items] == [world.booked("a").outpoint, world.booked("b").outpoint]
    assert [world.booked(policy).status for policy in "abc"] == ["requested", "requested", "pending"]
    world.block()
    assert reasons(world) == []
    book(world, terms, "d", "e")
    assert reasons(world) == [("count", 2)]
    assert world.requested()[0].request == 2


def test_trigger_that_still_holds_fires_again_in_the_same_block(world):
    terms = world.agree(agreement(triggers=Triggers(count=2), max_batch=2))
    book(world, terms, *"abcdefg")
    assert reasons(world) == [("count", 2)] * 3
    assert world.books().unrequested_count == 1
    requests = world.view("requests", a.RequestsQuery("B-C health", "open")).requests
    assert [request.request for request in requests] == [1, 2, 3]


def test_requested_record_is_in_one_request_only(world):
    terms = world.agree(agreement(triggers=Triggers(count=2)))
    book(world, terms, "a", "b")
    book(world, terms, "c", "d")
    taken = [item.outpoint for number in (1, 2) for item in _request(world, number).items]
    assert len(set(taken)) == len(taken) == 4


def _request(world: World, number: int):
    return world.view("request_details", a.RequestQuery("B-C health", number)).request


def test_cancelled_record_no_longer_counts(world):
    terms = world.agree(agreement(triggers=Triggers(count=2)))
    book(world, terms, "a")
    world.run(world.cancellation(terms, "a"))
    book(world, terms, "b")
    assert reasons(world) == []
    booked = world.booking(terms, sale("c"))
    world.block(booked, world.cancellation(terms, "b"))
    assert reasons(world) == []
    book(world, terms, "d")
    (request,) = world.requested()
    assert [item.outpoint for item in request.items] == [world.booked("c").outpoint, world.booked("d").outpoint]


def test_many_agreements_are_due_at_once_and_wait_in_line(world):
    agreements = []
    for number in range(MAX_DUE_ITEMS_PER_BLOCK + 4):
        terms = agreement(
            agreement=f"agreement {number:02}", triggers=Triggers(age_s=1_000), activation_height=60 + number // 8
        )
        world.run(world.proposal(terms))
        world.run(world.signature(terms))
        agreements.append(terms)
    while world.height < 70:
        world.block()
    for terms in agreements:
        world.run(world.booking(terms, sale()), step_ms=1)
    world.block(step_ms=1_000_000)
    fired = [request.agreement for request in world.requested()]
    assert fired == [terms.agreement for terms in agreements[:MAX_DUE_ITEMS_PER_BLOCK]]
    assert world.next_due_ms() is not None
    assert world.next_due_ms() <= world.time_ms
    world.block(step_ms=1)
    assert [request.agreement for request in world.requested()] == [
        terms.agreement for terms in agreements[MAX_DUE_ITEMS_PER_BLOCK:]
    ]
    assert world.next_due_ms() is None
    page = world.view("open_requests", a.OpenRequestsQuery(limit=15))
    rest = world.view("open_requests", a.OpenRequestsQuery(page.requests[-1].agreement, 1, 15))
    listed = [request.agreement for request in (*page.requests, *rest.requests)]
    assert listed == [terms.agreement for terms in agreements]
    assert (page.more, rest.more) == (True, False)


def test_agreement_that_is_always_due_does_not_starve_the_others(world):
    agreements = []
    for number in range(MAX_DUE_ITEMS_PER_BLOCK + 1):
        terms = agreement(
            agreement=f"agreement {number:02}",
            triggers=Triggers(age_s=1_000),
            max_batch=1,
            activation_height=60 + number // 8,
        )
        world.run(world.proposal(terms))
        world.run(world.signature(terms))
        agreements.append(terms)
    while world.height < 70:
        world.block()
    for terms in agreements:
        world.block(world.booking(terms, sale("a")), world.booking(terms, sale("b")), step_ms=1)
    world.block(step_ms=1_000_001)
    assert len(world.requested()) == MAX_DUE_ITEMS_PER_BLOCK
    world.block(step_ms=1)
    assert world.requested()[0].agreement == agreements[-1].agreement
    assert len(world.requested()) == MAX_DUE_ITEMS_PER_BLOCK


def test_records_requested_in_one_block_are_bounded(world, monkeypatch):
    assert MAX_RECORDS_REQUESTED_PER_BLOCK >= 1_000
    monkeypatch.setattr(triggers_module, "MAX_RECORDS_REQUESTED_PER_BLOCK", 5)
    terms = world.agree(agreement(triggers=Triggers(count=2), max_batch=2))
    book(world, terms, *"abcdefgh")
    assert reasons(world) == [("count", 2)] * 2
    world.block()
    assert reasons(world) == [("count", 2)] * 2
    world.block()
    assert reasons(world) == []


def test_batch_ends_before_it_has_too_many_settled_accounts(world, monkeypatch):
    monkeypatch.setattr(triggers_module, "MAX_ACCOUNTS_PER_REQUEST", 1)
    rows = (row(product="P", settled="B2-settled"), row())
    terms = world.agree(agreement(triggers=Triggers(age_s=10), mapping=rows))
    receipts = world.block(
        *[world.booking(terms, sale(policy, product=policy[0])) for policy in ("P1", "P2", "Q1", "P3")]
    )
    assert [receipt.code for receipt in receipts] == ["ok"] * 4
    world.block(step_ms=10_000)
    totals = [request.totals for request in world.requested()]
    assert totals == [
        (AccountTotal("B2-settled", 18_000),),
        (AccountTotal(SETTLED, 9_000),),
        (AccountTotal("B2-settled", 9_000),),
    ]


def test_new_version_brings_its_triggers_to_what_is_pending(world):
    first = world.agree(agreement(triggers=Triggers(count=100)))
    book(world, first, "a", "b")
    second = agreement(version=2, triggers=Triggers(count=2), activation_height=world.height + 4)
    world.run(world.proposal(second))
    world.run(world.signature(second))
    world.block()
    assert reasons(world) == []
    world.block()
    assert world.height == second.activation_height
    assert reasons(world) == [("count", 2)]


def test_nothing_is_due_while_nothing_is_pending(world):
    terms = world.agree(agreement(triggers=Triggers(count=5, age_s=10)))
    book(world, terms, "a")
    assert world.next_due_ms() is not None
    world.run(world.cancellation(terms, "a"))
    assert world.next_due_ms() is None
