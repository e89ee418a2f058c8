"""Tokens count only as part of a grant that the supervision chain proved, and only for what the grant says."""

import pytest

from contracts.flow.calls import Release
from contracts.messages import GRANT, Grant
from ledger.envelope import commitment_of
from ledger.token import token, utc_date
from tests.contracts.bridge.kit import call
from tests.contracts.flow.world import (
    OTHER_PATIENT,
    OTHER_PHARMACY,
    OTHER_REVIEWER,
    PATIENT,
    PHARMACY,
    PLATFORM,
    REVIEWER,
    World,
    document,
)

HOUR_MS = 3_600_000


def test_a_token_from_the_formula_is_worth_nothing_when_there_is_no_grant():
    world = World().authorised()
    world.request_review()
    computed = token(utc_date(world.business.time_ms), world.authorisation, "pres")
    world.release("flow_grant_missing", token=computed)
    world.carry()
    world.release("flow_grant_missing", token=computed)
    world.grant("review")
    assert world.token("review") == computed
    world.release(token=computed)


def test_a_grant_is_refused_when_its_token_is_not_the_formula():
    world = World().authorised()
    world.request_review()
    world.carry()
    yesterday = token(utc_date(world.supervision.time_ms - 24 * HOUR_MS), world.authorisation, "pres")
    world.grant("review", "flow_token_wrong", token=yesterday)
    world.grant("review", "flow_token_wrong", token=bytes(32))
    other_purpose = token(utc_date(world.supervision.time_ms), world.authorisation, "order")
    world.grant("review", "flow_token_wrong", token=other_purpose)
    world.grant("review")


@pytest.mark.parametrize(
    "changes",
    [
        {"holder": OTHER_REVIEWER.public},
        {"authorisation": b"a" * 32},
        {"purpose": "order"},
        {"pharmacy": PHARMACY.public},
        {"order": b"o" * 32},
        {"not_before_ms": 2**50, "not_after_ms": 2**51},
        {"not_before_ms": 10, "not_after_ms": 9},
    ],
)
def test_a_grant_is_refused_when_it_is_for_something_else_than_was_asked(changes):
    world = World().authorised()
    world.request_review()
    world.grant("review", "flow_grant_mismatch", **changes)
    world.release("flow_grant_missing", token=bytes(32))


def test_an_order_grant_is_refused_when_it_names_another_pharmacy_or_order():
    world = World().reviewed()
    world.request_order()
    world.grant("order", "flow_grant_mismatch", pharmacy=OTHER_PHARMACY.public)
    world.grant("order", "flow_grant_mismatch", order=b"o" * 32)
    world.grant("order", "flow_grant_mismatch", holder=OTHER_PATIENT.public)


def test_a_grant_is_used_as_often_as_it_says():
    world = World().granted()
    world.release()
    world.release("flow_grant_used")
    world = World().authorised()
    world.request_review()
    world.grant("review", uses=2)
    world.release()
    world.release()
    world.release("flow_grant_used")
    assert world.show().grants[0].uses_left == 0


def test_an_order_is_placed_once():
    world = World().placed()
    world.place("flow_grant_used")
    world.accept()
    world.place("flow_stage_done")


def release_call(world):
    """The platform's call, made while the grant is there."""
    commitment = commitment_of(document("prescription"))
    sealed = world.seal("masked", "release", PLATFORM, REVIEWER, commitment=commitment)
    return call("flow", "release", Release(world.flow, REVIEWER.public, world.token("review"), sealed))


@pytest.mark.parametrize(("after_ms", "code"), [(0, "ok"), (1, "flow_grant_window")])
def test_a_grant_is_good_until_the_last_millisecond_of_its_window(after_ms, code):
    world = World(max_staleness_ms=HOUR_MS).authorised()
    world.request_review()
    world.carry()
    last_ms = world.business.time_ms + 60_000
    world.grant("review", not_after_ms=last_ms)
    release = world.tx(PLATFORM, release_call(world))
    assert world.business.block(release, step_ms=last_ms + after_ms - world.business.time_ms)[0].code == code


def test_a_grant_is_refused_after_its_window():
    world = World().authorised()
    world.request_review()
    world.carry()
    world.grant("review", not_after_ms=world.business.time_ms + HOUR_MS)
    late = release_call(world)
    world.wait(HOUR_MS + 60_000)
    assert world.stage("review").status == "expired"
    world.business.run(world.tx(PLATFORM, late), "flow_grant_window", step_ms=10)
    world.request_review(by=OTHER_REVIEWER)
    world.business.run(world.tx(PLATFORM, late), "flow_grant_missing", step_ms=10)
    assert world.show().grants == ()


def test_a_grant_is_refused_before_its_window():
    world = World().authorised()
    world.request_review()
    world.carry()
    begins = world.business.time_ms + HOUR_MS
    world.grant("review", not_before_ms=begins, not_after_ms=begins + HOUR_MS)
    world.release("flow_grant_window")
    world.wait(HOUR_MS)
    world.release()


def test_a_kind_caps_the_window_of_every_grant():
    world = World(window_ms=HOUR_MS).authorised()
    world.request_review()
    world.carry()
    world.grant("review", not_after_ms=2**52)
    assert world.show().grants[0].not_after_ms <= world.supervision.time_ms + HOUR_MS
    world.wait(HOUR_MS + 60_000)
    world.release("flow_grant_window")


def test_a_token_is_refused_for_another_reviewer():
    world = World().granted()
    world.release("flow_grant_holder", reviewer=OTHER_REVIEWER)
    world.release("flow_envelope_recipients", to=OTHER_REVIEWER)
    world.release("flow_party_wrong", by=REVIEWER)
    world.release()
    world.opinion("flow_not_released", by=OTHER_REVIEWER)


def test_a_token_is_refused_for_another_document():
    world = World().granted()
    held, first = world.token("review"), world.flow
    world.file(text="second")
    world.decide("file")
    world.release("flow_grant_missing", token=held, text="second")
    world.request_review()
    world.release("flow_grant_missing", token=held, text="second")
    world.grant("review")
    world.release("flow_token_wrong", token=held, text="second")
    world.flow = first
    world.release()


def test_a_token_is_refused_for_another_purpose():
    world = World().orderable()
    world.place("flow_token_wrong", token=world.token("review"))
    world.place("flow_token_wrong", token=b"")
    world.place()


def test_a_grant_is_refused_when_it_was_not_asked_for_or_is_answered():
    world = World().authorised()
    world.request_review()
    world.grant("review", "flow_attempt_wrong", attempt=2)
    world.grant("review", "flow_not_requested", stage="order")
    world.grant("review", "flow_unknown", flow=b"f" * 32)
    world.grant("review")
    world.grant("review", "flow_not_requested")


def test_a_grant_without_authorised_filing_is_refused_even_from_a_corrupt_quorum():
    world = World()
    world.file()
    world.carry()
    fields = {"stage": "review", "attempt": 1, "holder": REVIEWER.public, "authorisation": b"a" * 32, "purpose": "pres"}
    request = world.request("file")
    assert request.flow == world.flow
    grant = Grant(
        flow=world.flow,
        pharmacy=b"",
        order=b"",
        not_before_ms=0,
        not_after_ms=2**50,
        uses=1,
        rule_version=1,
        token=token(utc_date(world.supervision.time_ms), b"a" * 32, "pres"),
        **fields,
    )
    world.say(GRANT, grant, "flow_not_requested")
    world.release("flow_not_authorised", token=grant.token)


def test_the_second_reviewer_has_his_turn_when_the_first_one_is_refused():
    world = World().authorised()
    world.request_review()
    world.request_review("flow_stage_pending", by=OTHER_REVIEWER)
    world.refuse("review")
    assert (world.stage("review").status, world.stage("review").rule) == ("refused", "reviewers")
    world.release("flow_grant_missing", token=bytes(32))
    world.request_review(by=OTHER_REVIEWER)
    world.grant("review")
    world.release("flow_grant_holder")
    world.release(reviewer=OTHER_REVIEWER)
    world.opinion("flow_not_released")
    world.opinion(by=OTHER_REVIEWER)
    world.decide("opinion")


def test_the_patient_orders_elsewhere_when_an_order_is_refused():
    world = World().reviewed()
    world.request_order()
    world.refuse("order", "rules_pharmacy_denied")
    assert world.stage("order").reason == "rules_pharmacy_denied"
    world.place("flow_grant_missing", token=bytes(32))
    world.request_order(pharmacy=OTHER_PHARMACY)
    assert world.stage("order").attempt == 2
    world.grant("order")
    world.place("flow_envelope_recipients", to=PHARMACY)
    world.place(to=OTHER_PHARMACY)
    world.accept("flow_party_wrong")
    world.accept(by=OTHER_PHARMACY)


def test_only_the_patient_of_the_filing_orders():
    world = World().reviewed()
    world.request_order("flow_party_wrong", by=OTHER_PATIENT)
    world.request_order()
    world.grant("order")
    world.place("flow_party_wrong", by=OTHER_PATIENT)
    world.place(by=PATIENT)
