"""Grants: given by the contract alone, over what was attested at filing; refused, or left to officers."""

from hashlib import sha256

import msgspec
import pytest

from contracts import messages as m
from contracts.registry import participants as people
from contracts.rulebook.check import ALLOW, HOLD, REFUSE, Verdict
from contracts.supervision import answers as a
from contracts.supervision import codes
from contracts.supervision.grants import GRANT_WINDOW_MS, LONG_GRANT_WINDOW_MS
from ledger.token import token, utc_date
from tests.contracts.supervision.world import (
    DAY_MS,
    OFFICERS,
    PATIENT,
    PHARMACY,
    PLATFORM,
    REVIEWER,
    STRANGER,
    SUBJECT,
)

PAGE = a.PageQuery(0, 10)


def refusal_of(world, request):
    ((kind, payload),) = world.sent()
    assert kind == m.REFUSAL
    assert (payload.flow, payload.stage, payload.attempt) == (request.flow, request.stage, request.attempt)
    return payload.reason


def test_a_token_by_the_formula_is_granted_when_nothing_is_against_a_review(world):
    filing = world.filed()
    request = world.ask(world.request(m.REVIEW), "granted")
    ((kind, grant),) = world.sent()
    authorisation = world.view("flow", a.FlowQuery(filing.flow)).authorisation
    assert kind == m.GRANT
    assert grant == m.Grant(
        flow=filing.flow,
        stage=m.REVIEW,
        attempt=1,
        holder=REVIEWER.public,
        authorisation=authorisation,
        purpose="pres",
        pharmacy=b"",
        order=b"",
        not_before_ms=request.requested_ms,
        not_after_ms=world.now + GRANT_WINDOW_MS,
        uses=1,
        rule_version=3,
        token=token(utc_date(world.now), authorisation, "pres"),
    )
    facts = world.asked[-1]
    assert (facts.stage, facts.reviewer, facts.subject, facts.drugs) == (
        m.REVIEW,
        REVIEWER.public,
        SUBJECT,
        ("860975",),
    )
    assert facts.organisation == "reviewers R"


def test_the_date_of_the_token_is_that_of_the_issuing_block_when_days_change(world):
    world.filed()
    world.chain.block(step_ms=DAY_MS - world.now % DAY_MS - 500)
    before = utc_date(world.now)
    world.ask(world.request(m.REVIEW), "granted")
    assert utc_date(world.now) > before
    ((_, grant),) = world.sent()
    assert grant.token == token(utc_date(world.now), grant.authorisation, "pres")


def test_an_order_is_bound_to_pharmacy_and_commitment_when_it_is_granted(world):
    world.reviewed()
    world.classify("pharmacy P", people.FULL)
    request = world.ask(world.request(m.ORDER), "granted")
    ((_, grant),) = world.sent()
    assert (grant.holder, grant.pharmacy, grant.order) == (PATIENT.public, PHARMACY.public, request.order)
    assert grant.purpose == "order"
    assert grant.not_after_ms == world.now + LONG_GRANT_WINDOW_MS
    facts = world.asked[-1]
    assert (facts.reviewer, facts.pharmacy, facts.order) == (REVIEWER.public, PHARMACY.public, request.order)
    assert set(facts.parties) >= {PATIENT.public, PLATFORM.public, PHARMACY.public, REVIEWER.public}
    tokens = [(issued.purpose, issued.count) for issued in world.counters.tokens]
    assert tokens == [("order", 1), ("pres", 1)]


@pytest.mark.parametrize(
    ("status", "kind", "reason"),
    [
        (people.VERIFIED, people.REVIEWER, codes.UNREGISTERED),
        (people.SUSPENDED, people.REVIEWER, codes.SUSPENDED),
        (people.ACTIVE, people.PHARMACY, codes.KIND_WRONG),
    ],
)
def test_a_review_is_refused_when_the_reviewer_is_no_active_reviewer(world, status, kind, reason):
    world.filed()
    world.register(REVIEWER, status, kind)
    assert refusal_of(world, world.ask(world.request(m.REVIEW), "refused")) == reason
    assert not world.counters.tokens


def test_a_review_is_refused_when_the_reviewer_was_never_registered(world):
    world.filed()
    request = world.ask(world.request(m.REVIEW, actor=STRANGER.public), "refused")
    assert refusal_of(world, request) == codes.UNREGISTERED


@pytest.mark.parametrize(
    ("status", "kind", "reason"),
    [
        (people.REGISTERED, people.PHARMACY, codes.UNREGISTERED),
        (people.SUSPENDED, people.PHARMACY, codes.SUSPENDED),
        (people.ACTIVE, people.REVIEWER, codes.KIND_WRONG),
    ],
)
def test_an_order_is_refused_when_the_pharmacy_is_no_active_pharmacy(world, status, kind, reason):
    world.reviewed()
    world.register(PHARMACY, status, kind)
    assert refusal_of(world, world.ask(world.request(m.ORDER), "refused")) == reason


def test_a_grant_names_rule_and_version_when_the_rules_refuse_it(world):
    world.filed()
    world.says = Verdict(REFUSE, "rules_reviewer_listed", "reviewers", 9)
    request = world.ask(world.request(m.REVIEW), "refused")
    assert world.sent() == [
        (m.REFUSAL, m.StageRefusal(request.flow, m.REVIEW, 1, "rules_reviewer_listed", "reviewers", 9))
    ]
    assert world.status(request) == "refused"
    world.says = Verdict(ALLOW, "", "", 10)
    world.ask(world.request(m.REVIEW, attempt=2), "granted")


def test_no_grant_is_given_when_no_authority_ever_authorised_the_flow(world):
    unknown = world.request(m.REVIEW, authorisation=bytes(32))
    world.ask(unknown, codes.NOT_AUTHORISED)
    filing = world.ask(world.request())
    assert refusal_of(world, world.ask(world.request(m.REVIEW), "refused")) == codes.NOT_AUTHORISED
    forged = world.request(m.REVIEW, attempt=2, authorisation=sha256(b"forged").digest())
    assert refusal_of(world, world.ask(forged, "refused")) == codes.NOT_AUTHORISED
    world.attest(filing)
    assert refusal_of(world, world.ask(msgspec.structs.replace(forged, attempt=3), "refused")) == codes.NOT_AUTHORISED
    assert not world.counters.tokens


def test_no_grant_is_given_when_the_filing_was_refused(world):
    filing = world.ask(world.request())
    world.attest(filing, m.REFUSED, "forged")
    assert refusal_of(world, world.ask(world.request(m.REVIEW), "refused")) == codes.NOT_AUTHORISED


@pytest.mark.parametrize(
    "changes",
    [
        {"commitment": bytes(32)},
        {"filer": STRANGER.public},
        {"platform": STRANGER.public},
        {"kind": "other"},
    ],
)
def test_a_grant_is_refused_when_the_request_differs_from_the_filing(world, changes):
    world.filed()
    assert refusal_of(world, world.ask(world.request(m.REVIEW, **changes), "refused")) == codes.FLOW_DIFFERS


def test_a_grant_request_is_no_request_when_something_is_attached(world):
    world.filed()
    world.ask(world.request(m.REVIEW), codes.REQUEST_MALFORMED, attachments=(b"x",))
    world.ask(world.request(m.REVIEW, purpose=""), codes.REQUEST_MALFORMED)
    world.ask(world.request(m.REVIEW, purpose="two words"), codes.REQUEST_MALFORMED)


def test_an_opinion_is_refused_when_it_is_of_another_than_the_granted_reviewer(world):
    world.filed()
    world.ask(world.request(m.REVIEW), "granted")
    request = world.ask(world.request(m.OPINION, actor=STRANGER.public), "refused")
    assert refusal_of(world, request) == codes.REVIEWER_DIFFERS
    world.register(REVIEWER, people.SUSPENDED)
    request = world.ask(world.request(m.OPINION, attempt=2), "refused")
    assert refusal_of(world, request) == codes.SUSPENDED


def test_an_order_is_refused_when_the_review_has_no_confirmed_opinion(world):
    world.filed()
    world.ask(world.request(m.REVIEW), "granted")
    assert refusal_of(world, world.ask(world.request(m.ORDER), "refused")) == codes.OPINION_MISSING
    opinion = world.ask(world.request(m.OPINION))
    assert refusal_of(world, world.ask(world.request(m.ORDER, attempt=2), "refused")) == codes.OPINION_MISSING
    world.attest(opinion)
    world.ask(world.request(m.ORDER, attempt=3), "granted")


def test_an_opinion_is_confirmed_and_stands_under_the_subject(world):
    world.filed()
    world.ask(world.request(m.REVIEW), "granted")
    opinion = world.ask(world.request(m.OPINION))
    receipt = world.attest(opinion)
    assert world.sent() == [(m.DECISION, world.decision(opinion))]
    first, second = world.view("by_subject", a.SubjectQuery(SUBJECT, 0, 10)).records
    assert (first.stage, second.stage, second.record) == (m.FILE, m.OPINION, receipt.tx_id)
    assert world.view("flow", a.FlowQuery(opinion.flow)).reviewer == REVIEWER.public


def test_later_attestations_are_refused_when_they_add_to_what_was_attested_at_filing(world):
    world.filed()
    world.ask(world.request(m.REVIEW), "granted")
    opinion = world.ask(world.request(m.OPINION))
    world.attest(opinion, subject=bytes(32), code=codes.ATTESTED_ALREADY)
    world.attest(opinion, attributes=world.opening(world.request()).attributes, code=codes.ATTESTED_ALREADY)
    world.attest(opinion, subject=SUBJECT)


# --- left to officers -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("cause", ["rules", "class"])
def test_officers_release_a_grant_when_it_was_held(world, cause):
    world.reviewed()
    if cause == "rules":
        world.says = Verdict(HOLD, "rules_amount", "large", 4)
    else:
        world.classify("pharmacy P", people.CONTROLLED)
    request = world.ask(world.request(m.ORDER), "queued")
    assert not world.packets()
    (pending,) = world.view("pending", PAGE).requests
    assert pending.reason == ("rules_amount" if cause == "rules" else codes.CLASS_CONTROLLED)
    world.vote(request, by=OFFICERS[0])
    assert not world.packets()
    receipt = world.vote(request, by=OFFICERS[2])
    ((kind, grant),) = world.sent()
    assert (kind, grant.holder, grant.order) == (m.GRANT, PATIENT.public, request.order)
    shown = world.shown(request)
    assert (shown.status, shown.transaction) == ("granted", receipt.tx_id)
    assert not world.view("pending", PAGE).requests


def test_a_held_grant_is_refused_when_officers_say_so(world):
    world.filed()
    world.classify("reviewers R", people.CONTROLLED)
    request = world.ask(world.request(m.REVIEW), "queued")
    world.vote(request, m.REFUSED, "too_many", by=OFFICERS[0])
    world.vote(request, m.REFUSED, "too_many", by=OFFICERS[1])
    assert world.sent() == [(m.REFUSAL, m.StageRefusal(request.flow, m.REVIEW, 1, "too_many", "", 3))]


def test_officers_cannot_release_a_grant_when_the_pharmacy_was_suspended_meanwhile(world):
    world.reviewed()
    world.classify("pharmacy P", people.CONTROLLED)
    request = world.ask(world.request(m.ORDER), "queued")
    world.register(PHARMACY, people.SUSPENDED)
    world.vote(request, by=OFFICERS[0])
    world.vote(request, by=OFFICERS[1], code=codes.SUSPENDED)
    assert world.status(request) == "pending"


def test_a_refusing_rule_wins_when_the_pharmacy_is_controlled_too(world):
    world.reviewed()
    world.classify("pharmacy P", people.CONTROLLED)
    world.says = Verdict(REFUSE, "rules_pharmacy_subject_listed", "pairs", 5)
    request = world.ask(world.request(m.ORDER), "refused")
    assert refusal_of(world, request) == "rules_pharmacy_subject_listed"


def test_a_held_grant_expires_when_officers_do_not_decide(world):
    world.filed()
    world.classify("reviewers R", people.CONTROLLED)
    request = world.ask(world.request(m.REVIEW, deadline_ms=world.now + 5_000), "queued")
    world.vote(request, by=OFFICERS[0])
    world.chain.block(step_ms=10_000)
    assert world.status(request) == "expired"
    assert not world.shown(request).approvals
    world.vote(request, by=OFFICERS[1], code=codes.DECIDED)


def test_a_grant_is_late_when_the_business_chain_does_not_take_it(world):
    world.filed()
    request = world.ask(world.request(m.REVIEW), "granted")
    world.answered(world.packets()[0], "flow_stage_late")
    assert (world.shown(request).status, world.shown(request).reason) == ("late", "flow_stage_late")
    assert world.view("flow", a.FlowQuery(request.flow)).authorisation


def test_an_order_needs_another_opinion_when_the_business_chain_did_not_take_the_confirmation(world):
    world.filed()
    world.ask(world.request(m.REVIEW), "granted")
    opinion = world.ask(world.request(m.OPINION))
    world.attest(opinion)
    world.answered(world.packets()[0], "expired")
    assert refusal_of(world, world.ask(world.request(m.ORDER), "refused")) == codes.OPINION_MISSING
    world.attest(world.ask(world.request(m.OPINION, attempt=2)))
    world.ask(world.request(m.ORDER, attempt=2), "granted")
