"""Officers: k of n on what waits for them, on controls, limits and batches."""

import pytest

from contracts import messages as m
from contracts.registry import participants as people
from contracts.rulebook.check import HOLD, Verdict
from contracts.supervision import answers as a
from contracts.supervision import codes
from contracts.supervision.calls import Decided, Signed
from ledger.encoding import Codec
from tests.contracts.supervision.world import DAY_MS, DOCTOR, OFFICERS, STRANGER, SUBJECT

PAGE = a.PageQuery(0, 10)


@pytest.fixture
def held(world):
    """A filing that an authority authorised and the rules hold."""
    request = world.ask(world.request())
    world.says = Verdict(HOLD, "rules_amount", "large", 4)
    world.attest(request)
    return request


def signatures(receipt) -> int:
    return Codec(Decided, 1_024).decode(receipt.results[0]).signatures


# --- decisions ------------------------------------------------------------------------------------------------------


def test_a_held_filing_is_authorised_when_enough_officers_sign(world, held):
    first = world.vote(held, by=OFFICERS[0])
    assert signatures(first) == 1
    (approval,) = world.shown(held).approvals
    assert (approval.officer, approval.outcome, approval.transaction) == (OFFICERS[0].public, "authorised", first.tx_id)
    second = world.vote(held, by=OFFICERS[1])
    (packet,) = world.packets()
    assert packet.evidence == (first.tx_id, second.tx_id)
    assert m.decision_codec.decode(packet.payload) == world.decision(held)
    flow = world.view("flow", a.FlowQuery(held.flow))
    assert (flow.authorisation, flow.subject) == (second.tx_id, SUBJECT)
    (ref,) = world.view("by_document", a.DocumentQuery(second.tx_id)).records
    assert ref.record == second.tx_id
    assert not world.shown(held).approvals


def test_one_transaction_is_enough_when_officers_cosign_it(world, held):
    receipt = world.vote(held, by=OFFICERS[0], cosigners=[OFFICERS[1]])
    assert world.packets()[0].evidence == (receipt.tx_id,)


def test_nothing_is_decided_when_one_officer_signs_twice(world, held):
    world.vote(held, by=OFFICERS[0])
    assert signatures(world.vote(held, by=OFFICERS[0])) == 1
    assert world.status(held) == "pending"


def test_nothing_is_decided_when_officers_sign_different_decisions(world, held):
    world.vote(held, by=OFFICERS[0])
    world.vote(held, m.REFUSED, "too_much", by=OFFICERS[1])
    world.vote(held, m.REFUSED, "far_too_much", by=OFFICERS[2])
    assert world.status(held) == "pending"
    assert len(world.shown(held).approvals) == 3
    world.vote(held, m.REFUSED, "too_much", by=OFFICERS[2])
    assert world.sent() == [(m.DECISION, world.decision(held, m.REFUSED, "too_much"))]
    assert world.status(held) == "refused"
    assert world.view("flow", a.FlowQuery(held.flow)).authorisation == b""


def test_what_was_signed_is_forgotten_when_the_request_is_decided(world, held):
    world.vote(held, m.REFUSED, "too_much", by=OFFICERS[0])
    world.vote(held, by=OFFICERS[0])
    world.vote(held, by=OFFICERS[1])
    kept = list(world.chain.context("supervision").state.iterate(b"\xa0"))
    assert not kept
    world.vote(held, m.REFUSED, "too_much", by=OFFICERS[1], code=codes.DECIDED)


def test_too_many_different_decisions_are_refused(world, held):
    for number in range(8):
        world.vote(held, m.REFUSED, f"reason_{number}", by=OFFICERS[0])
    world.vote(held, by=OFFICERS[0], code=codes.PROPOSALS_FULL)
    world.vote(held, m.REFUSED, "reason_3", by=OFFICERS[1])
    assert world.status(held) == "refused"


def test_officers_are_refused_when_no_authority_opened_the_document(world):
    request = world.ask(world.request())
    world.vote(request, by=OFFICERS[0], cosigners=[OFFICERS[1]], code=codes.NOT_ATTESTED)


def test_officers_attest_nothing(world, held):
    world.attest(held, by=OFFICERS[0], code=codes.ATTESTED_ALREADY)
    world.vote(held, by=STRANGER, code=codes.DECIDED)


def test_a_held_filing_is_released_although_the_batch_is_empty_and_costs_no_quota(world):
    world.classify("hospital A", people.BATCH)
    request = world.ask(world.request())
    world.attest(request)
    assert world.shown(request).reason == codes.BATCH_MISSING
    world.batch(1)
    world.vote(request, by=OFFICERS[0], cosigners=[OFFICERS[1]])
    assert world.status(request) == "authorised"
    assert world.view("batch", a.BatchQuery(1)).used == 0


def test_every_filing_waits_for_officers_when_the_organisation_is_controlled(world):
    world.classify("hospital A", people.CONTROLLED)
    world.batch(5)
    request = world.ask(world.request())
    world.attest(request)
    assert world.shown(request).reason == codes.CLASS_CONTROLLED
    assert world.view("batch", a.BatchQuery(1)).used == 0


# --- controls -------------------------------------------------------------------------------------------------------


def test_a_control_goes_out_with_its_evidence_when_enough_officers_sign(world):
    filing = world.filed()
    first = world.control(filing.flow, 1, m.SUSPEND, signers=OFFICERS[:1])
    assert Codec(Signed, 128).decode(first.results[0]) == Signed("control", False, 1, 0)
    assert not world.packets()
    view = world.view("control_state", a.FlowQuery(filing.flow))
    assert (view.state, view.last, len(view.proposed)) == ("open", None, 1)
    second = world.control(filing.flow, 1, m.SUSPEND, signers=OFFICERS[1:2])
    (packet,) = world.packets()
    control = m.Control(filing.flow, 1, m.SUSPEND, "inspection")
    assert (packet.kind, packet.evidence) == (m.CONTROL, (first.tx_id, second.tx_id))
    assert m.control_codec.decode(packet.payload) == control
    view = world.view("control_state", a.FlowQuery(filing.flow))
    assert (view.state, view.last, view.proposed) == ("suspended", control, ())


def test_a_control_does_nothing_when_one_officer_signs_it_twice(world):
    filing = world.filed()
    for _ in range(2):
        world.control(filing.flow, 1, m.TERMINATE, signers=OFFICERS[:1])
    assert world.view("control_state", a.FlowQuery(filing.flow)).state == "open"


@pytest.mark.parametrize("who", [STRANGER, DOCTOR])
def test_controls_limits_and_batches_are_refused_when_no_officer_signed(world, who):
    filing = world.filed()
    world.control(filing.flow, 1, m.SUSPEND, codes.NOT_OFFICER, signers=(who,))
    world.limit(m.Limit("commission", "CNY", 1, 5), codes.NOT_OFFICER, signers=(who,))
    world.batch(5, codes.NOT_OFFICER, signers=(who,))


def test_a_control_is_refused_when_its_counter_is_replayed_or_skipped(world):
    filing = world.filed()
    for counter in (2, 7):
        world.control(filing.flow, counter, m.SUSPEND, codes.COUNTER_WRONG)
    world.control(filing.flow, 1, m.SUSPEND)
    world.control(filing.flow, 1, m.SUSPEND, codes.COUNTER_WRONG)
    world.control(filing.flow, 2, m.RESUME)
    world.control(filing.flow, 1, m.SUSPEND, codes.COUNTER_WRONG)
    world.control(filing.flow, 3, m.SUSPEND)


def test_a_control_is_refused_when_it_changes_nothing(world):
    filing = world.filed()
    world.control(bytes(32), 1, m.SUSPEND, codes.FLOW_UNKNOWN)
    world.control(filing.flow, 1, m.RESUME, codes.CONTROL_INVALID)
    world.control(filing.flow, 1, "explode", codes.CONTROL_INVALID)
    world.control(filing.flow, 1, m.TERMINATE)
    for action in m.ACTIONS:
        world.control(filing.flow, 2, action, codes.CONTROL_INVALID)


@pytest.mark.parametrize(
    ("action", "reason"), [(m.SUSPEND, codes.FLOW_SUSPENDED), (m.TERMINATE, codes.FLOW_TERMINATED)]
)
def test_stages_are_refused_when_the_flow_is_suspended_or_terminated(world, action, reason):
    filing = world.reviewed()
    world.control(filing.flow, 1, action)
    request = world.ask(world.request(m.ORDER), "refused")
    assert world.sent() == [(m.REFUSAL, m.StageRefusal(request.flow, m.ORDER, 1, reason, "", 0))]
    opinion = world.ask(world.request(m.OPINION, attempt=2), "refused")
    assert world.shown(opinion).reason == reason
    assert [issued.purpose for issued in world.counters.tokens] == ["pres"]


def test_a_waiting_decision_waits_when_the_flow_is_suspended_and_counts_when_it_is_resumed(world):
    world.filed()
    world.ask(world.request(m.REVIEW), "granted")
    opinion = world.ask(world.request(m.OPINION))
    world.control(opinion.flow, 1, m.SUSPEND)
    world.attest(opinion, code=codes.FLOW_SUSPENDED)
    assert world.status(opinion) == "waiting"
    world.control(opinion.flow, 2, m.RESUME)
    world.attest(opinion)
    assert world.status(opinion) == "authorised"


def test_officers_cannot_decide_when_the_flow_is_suspended(world, held):
    world.control(held.flow, 1, m.SUSPEND)
    world.vote(held, by=OFFICERS[0], cosigners=[OFFICERS[1]], code=codes.FLOW_SUSPENDED)


def test_a_terminated_flow_cannot_be_filed_again(world):
    request = world.ask(world.request())
    world.attest(request, m.REFUSED, "forged")
    world.control(request.flow, 1, m.TERMINATE)
    again = world.ask(world.request(attempt=2), "refused")
    assert world.shown(again).reason == codes.FLOW_TERMINATED


def test_a_report_is_stored_when_the_flow_was_terminated_after_it_happened(world):
    filing = world.reviewed()
    world.control(filing.flow, 1, m.TERMINATE)
    report = world.ask(world.request(m.SETTLE, deadline_ms=world.now + 2_000))
    world.chain.block(step_ms=10_000)
    assert world.status(report) == "waiting"
    receipt = world.attest(report)
    (packet,) = world.packets()
    assert (packet.deadline_ms, packet.evidence) == (0, (receipt.tx_id,))
    last = world.view("by_subject", a.SubjectQuery(SUBJECT, 0, 10)).records[-1]
    assert (last.stage, last.record) == (m.SETTLE, receipt.tx_id)


def test_a_report_opens_a_flow_when_its_kind_files_nothing(world):
    hash_ = b"\x07" * 32
    report = world.request(
        m.SETTLE, kind="commission", actor=STRANGER.public, filer=STRANGER.public, authorisation=b"", subject=hash_
    )
    report = world.ask(report)
    world.attest(report, subject=b"", attributes=())
    assert world.status(report) == "authorised"
    (ref,) = world.view("by_subject", a.SubjectQuery(hash_, 0, 10)).records
    assert ref.flow == report.flow
    assert not world.asked


# --- limits ---------------------------------------------------------------------------------------------------------


def test_a_limit_goes_out_when_enough_officers_sign_and_counters_go_up_by_one(world):
    query = a.LimitQuery("commission", "CNY")
    assert world.view("limit", query).limit is None
    first = m.Limit("commission", "CNY", 1, 5_000)
    world.limit(first, signers=OFFICERS[:1])
    assert world.view("limit", query).limit is None
    world.limit(first, signers=OFFICERS[2:])
    assert world.sent() == [(m.LIMIT, first)]
    assert len(world.packets()[0].evidence) == 2
    world.limit(first, codes.COUNTER_WRONG)
    world.limit(m.Limit("commission", "CNY", 3, 1), codes.COUNTER_WRONG)
    world.limit(m.Limit("commission", "CNY", 2, 0))
    assert world.view("limit", query).limit.amount == 0


def test_signatures_do_not_add_up_when_amounts_differ(world):
    for index, officer in enumerate(OFFICERS):
        world.limit(m.Limit("commission", "CNY", 1, index), signers=(officer,))
    assert world.view("limit", a.LimitQuery("commission", "CNY")).limit is None


# --- batches --------------------------------------------------------------------------------------------------------


@pytest.fixture
def batched(world):
    world.classify("hospital A", people.BATCH)
    return world


def test_filings_are_authorised_one_by_one_when_a_batch_has_quota(batched):
    receipt = batched.batch(2)
    assert Codec(Signed, 128).decode(receipt.results[0]) == Signed("batch", True, 2, 1)
    hashes = set()
    for number in range(2):
        filing = batched.filed(number)
        hashes.add(batched.view("flow", a.FlowQuery(filing.flow)).authorisation)
    assert len(hashes) == 2
    (batch,) = batched.view("batches", PAGE).batches
    assert (batch.used, batch.quota, batch.transactions) == (2, 2, (receipt.tx_id,))
    third = batched.ask(batched.request(number=2))
    batched.attest(third)
    assert (batched.status(third), batched.shown(third).reason) == ("pending", codes.BATCH_MISSING)


def test_the_last_of_a_quota_goes_to_one_when_two_race_for_it_in_one_block(batched):
    batched.batch(1)
    requests = [batched.ask(batched.request(number=number)) for number in range(2)]
    receipts = batched.chain.block(*[batched.call(DOCTOR, "decide", batched.opening(r)) for r in requests])
    assert [receipt.code for receipt in receipts] == ["ok", "ok"]
    assert [batched.status(request) for request in requests] == ["authorised", "pending"]
    assert batched.view("batch", a.BatchQuery(1)).used == 1


@pytest.mark.parametrize(
    "changes",
    [{"organisation": "hospital Z"}, {"not_before_ms": 2**52, "not_after_ms": 2**53 - 1}],
)
def test_a_batch_does_not_count_when_it_is_another_organisations_or_not_begun(batched, changes):
    batched.batch(5, **changes)
    request = batched.ask(batched.request())
    batched.attest(request)
    assert batched.status(request) == "pending"
    assert batched.view("batch", a.BatchQuery(1)).used == 0


def test_a_batch_does_not_count_when_it_is_over_or_of_another_kind(batched):
    batched.batch(5, not_after_ms=batched.now + 5_000)
    other = batched.ask(batched.request(kind="other"))
    batched.attest(other)
    assert batched.status(other) == "pending"
    batched.chain.block(step_ms=10_000)
    request = batched.ask(batched.request(number=1))
    batched.attest(request)
    assert batched.status(request) == "pending"


def test_the_batch_that_ends_first_is_used_first(batched):
    batched.batch(1, not_after_ms=batched.now + 9 * DAY_MS)
    batched.batch(1, not_after_ms=batched.now + 2 * DAY_MS)
    batched.batch(5, not_before_ms=batched.now + DAY_MS, not_after_ms=batched.now + DAY_MS + 1_000)
    batched.filed()
    assert [batch.used for batch in batched.view("batches", PAGE).batches] == [0, 1, 0]


def test_a_batch_is_refused_when_it_could_never_be_used(batched):
    batched.batch(5, codes.BATCH_INVALID, not_after_ms=batched.now - 1)
    batched.batch(5, codes.BATCH_INVALID, not_before_ms=batched.now + 9_000, not_after_ms=batched.now + 5_000)


def test_a_batch_is_not_granted_when_one_officer_signs_it_twice(batched):
    until = batched.now + DAY_MS
    for _ in range(2):
        batched.batch(5, signers=OFFICERS[:1], not_after_ms=until)
    assert not batched.view("batches", PAGE).batches
    batched.batch(6, signers=OFFICERS[1:2], not_after_ms=until)
    assert not batched.view("batches", PAGE).batches
    batched.batch(5, signers=OFFICERS[1:2], not_after_ms=until)
    assert len(batched.view("batches", PAGE).batches) == 1


def test_open_batches_are_bounded_and_swept_when_they_are_over(batched):
    until = batched.now + 200_000
    for number in range(64):
        batched.batch(1, not_after_ms=until, not_before_ms=number)
    batched.batch(1, codes.BATCHES_FULL, not_after_ms=until)
    batched.chain.block(step_ms=300_000)
    batched.batch(1)
    assert len(batched.view("batches", a.PageQuery(0, 100)).batches) == 65


# --- without officers -----------------------------------------------------------------------------------------------


def test_a_signature_counts_for_nothing_when_it_is_no_officers(world, held):
    world.vote(held, by=OFFICERS[0], cosigners=[DOCTOR], code="signature_superfluous")
    assert world.status(held) == "pending"
    assert not world.shown(held).approvals
