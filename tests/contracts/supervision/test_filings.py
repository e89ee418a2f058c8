"""Filings: taken from the business chain, opened by an authority, authorised or not."""

from hashlib import sha256

import msgspec
import pytest

from contracts import messages as m
from contracts.expression.attributes import Attribute
from contracts.registry import participants as people
from contracts.rulebook.check import HOLD, REFUSE, Verdict
from contracts.supervision import answers as a
from contracts.supervision import codes
from contracts.supervision.calls import OPENING_EVENT, Decided, OpeningRequested
from ledger.encoding import Codec, encode
from ledger.packet import ANSWER_OK
from tests.contracts.bridge.kit import call
from tests.contracts.supervision.world import (
    DOCTOR,
    FILER,
    OFFICERS,
    PHARMACY,
    PLATFORM,
    REVIEWER,
    SECOND_DOCTOR,
    STRANGER,
    SUBJECT,
    attested,
    sealed,
)

PAGE = a.PageQuery(0, 10)


def test_a_filing_waits_for_an_authority_and_its_sealed_record_is_kept(world):
    request = world.ask(world.request())
    (event,) = [event for event in world.events if event.name == OPENING_EVENT]
    assert Codec(OpeningRequested, 8_192).decode(event.data) == OpeningRequested(1, world.source, request)
    (waiting,) = world.view("waiting", PAGE).requests
    assert (waiting.request, waiting.status, waiting.source) == (request, "waiting", world.source)
    record = world.view("record", a.RequestQuery(request.flow, m.FILE, 0))
    assert record.envelope == encode(sealed(request, FILER, world.source))
    assert record.subject == b""
    assert not world.packets()


def test_the_decision_goes_back_with_its_transaction_when_an_authority_authorises(world):
    request = world.ask(world.request())
    receipt = world.attest(request)
    (packet,) = world.packets()
    assert m.decision_codec.decode(packet.payload) == world.decision(request)
    assert packet.evidence == (receipt.tx_id,)
    assert (packet.receiver, packet.kind, packet.deadline_ms) == ("flow", m.DECISION, request.deadline_ms)
    flow = world.view("flow", a.FlowQuery(request.flow))
    assert (flow.authorisation, flow.subject, flow.attributes) == (receipt.tx_id, SUBJECT, attested())
    assert world.view("flow", a.FlowQuery(receipt.tx_id)) == flow
    assert not world.view("waiting", PAGE).requests
    (facts,) = world.asked
    assert (facts.organisation, facts.subject, facts.drugs) == ("hospital A", SUBJECT, ("860975",))
    assert facts.values["prescriber"] == "doctor"


def test_the_record_is_found_by_subject_and_document_when_it_is_authorised(world):
    request = world.ask(world.request())
    receipt = world.attest(request)
    (ref,) = world.view("by_subject", a.SubjectQuery(SUBJECT, 0, 10)).records
    assert (ref.flow, ref.record, ref.status, ref.subject) == (request.flow, receipt.tx_id, "authorised", SUBJECT)
    for name in (request.commitment, receipt.tx_id):
        assert world.view("by_document", a.DocumentQuery(name)).records == (ref,)
    assert not world.view("by_subject", a.SubjectQuery(bytes(32), 0, 10)).records


def test_an_opening_is_in_the_disclosure_log_when_an_authority_decides_or_searches(world):
    request = world.ask(world.request())
    receipt = world.attest(request, m.REFUSED, "document_forged", by=SECOND_DOCTOR)
    world.disclose(request)
    first, second = world.view("disclosures", PAGE).disclosures
    assert (first.purpose, first.authority, first.envelope) == ("decision", SECOND_DOCTOR.public, request.envelope)
    assert first.transaction == receipt.tx_id
    assert (second.purpose, second.authority, second.organisation) == ("court", DOCTOR.public, "regulator")
    world.disclose(request, code=codes.NOT_AUTHORITY, by=OFFICERS[0])
    world.disclose(world.request(number=9), code=codes.RECORD_UNKNOWN)


def test_a_refusal_goes_back_with_its_reason_when_an_authority_refuses(world):
    request = world.ask(world.request())
    world.attest(request, m.REFUSED, "commitment_wrong", subject=b"", attributes=())
    assert world.sent() == [(m.DECISION, world.decision(request, m.REFUSED, "commitment_wrong"))]
    assert world.status(request) == "refused"
    assert world.view("flow", a.FlowQuery(request.flow)).authorisation == b""
    again = world.ask(world.request(attempt=2))
    world.attest(again)
    assert world.status(again) == "authorised"


@pytest.mark.parametrize(
    ("said", "code"),
    [
        ((m.AUTHORISED, "reason"), codes.OUTCOME_INVALID),
        ((m.REFUSED, ""), codes.OUTCOME_INVALID),
        ((m.REFUSED, "Not A Code"), codes.OUTCOME_INVALID),
        (("perhaps", "reason"), codes.OUTCOME_INVALID),
    ],
)
def test_a_decision_is_refused_when_outcome_and_reason_do_not_fit(world, said, code):
    world.attest(world.ask(world.request()), *said, code=code)


def test_a_decision_is_refused_when_no_authority_signed(world):
    request = world.ask(world.request())
    world.attest(request, by=STRANGER, code=codes.NOT_AUTHORITY)
    world.attest(request, by=OFFICERS[0], code=codes.NOT_ATTESTED)
    assert world.status(request) == "waiting"


def test_a_decision_is_refused_when_it_is_for_another_commitment_attempt_or_flow(world):
    request = world.ask(world.request())
    other = sha256(b"another document").digest()
    for changes, code in (
        ({"commitment": other}, codes.COMMITMENT_DIFFERS),
        ({"attempt": 2}, codes.REQUEST_UNKNOWN),
        ({"flow": other}, codes.REQUEST_UNKNOWN),
        ({"stage": m.OPINION}, codes.REQUEST_UNKNOWN),
    ):
        world.attest(msgspec.structs.replace(request, **changes), code=code)


def test_the_second_decision_is_refused_when_a_first_counts(world):
    request = world.ask(world.request())
    first = world.call(DOCTOR, "decide", world.opening(request))
    second = world.call(SECOND_DOCTOR, "decide", world.opening(request))
    third = world.call(DOCTOR, "decide", world.opening(request, m.REFUSED, "changed_my_mind"))
    receipts = world.chain.block(first, second, third)
    assert [receipt.code for receipt in receipts] == ["ok", codes.DECIDED, codes.DECIDED]
    assert world.view("flow", a.FlowQuery(request.flow)).authorisation == receipts[0].tx_id


def test_two_decisions_are_refused_when_they_stand_in_one_transaction(world):
    first, second = world.ask(world.request()), world.ask(world.request(number=1))
    calls = [call("supervision", "decide", world.opening(request)) for request in (first, second)]
    world.chain.run(world.chain.tx(DOCTOR, *calls), codes.ONE_CALL)


def test_a_decision_is_refused_when_it_opened_another_envelope(world):
    request = world.ask(world.request())
    for opened in (b"", bytes(32)):
        world.attest(request, opened=opened, code=codes.NOT_OPENED)
    world.attest(request, m.REFUSED, "envelope_damaged", opened=bytes(32), code=codes.NOT_OPENED)
    world.attest(request, m.REFUSED, "envelope_damaged", opened=b"", subject=b"", attributes=())
    assert not world.view("disclosures", PAGE).disclosures


def test_attributes_are_refused_when_they_are_unsorted_doubled_or_huge(world):
    request = world.ask(world.request())
    one, two = Attribute("a", 1), Attribute("b", 2)
    for forged in ((two, one), (one, one), (one, Attribute("a", 2))):
        world.attest(request, attributes=forged, code=codes.ATTRIBUTES_INVALID)
    large = tuple(Attribute(f"a{i:02}", ("x" * 256,) * 2) for i in range(40))
    world.attest(request, attributes=large, code="bridge_evidence_too_large")
    world.attest(request, subject=b"short", code=codes.SUBJECT_INVALID)
    assert world.status(request) == "waiting"


@pytest.mark.parametrize("who", [FILER, PLATFORM])
@pytest.mark.parametrize(
    ("status", "reason"),
    [
        (people.REGISTERED, codes.UNREGISTERED),
        (people.VERIFIED, codes.UNREGISTERED),
        (people.SUSPENDED, codes.SUSPENDED),
    ],
)
def test_a_filing_is_refused_at_once_when_filer_or_platform_is_not_active(world, who, status, reason):
    world.register(who, status)
    request = world.ask(world.request(), "refused")
    assert world.sent() == [(m.REFUSAL, m.StageRefusal(request.flow, m.FILE, 1, reason, "", 0))]
    world.attest(request, code=codes.DECIDED)


def test_a_filing_is_refused_when_nobody_ever_registered_the_filer(world):
    request = world.request(actor=STRANGER.public, filer=STRANGER.public)
    request = world.ask(request, "refused")
    assert world.shown(request).reason == codes.UNREGISTERED


def test_an_authorisation_is_refused_when_the_filer_was_suspended_meanwhile(world):
    request = world.ask(world.request())
    world.register(FILER, people.SUSPENDED)
    receipt = world.attest(request)
    assert Codec(Decided, 1_024).decode(receipt.results[0]).status == "refused"
    assert world.sent() == [(m.REFUSAL, m.StageRefusal(request.flow, m.FILE, 1, codes.SUSPENDED, "", 0))]


def test_the_stage_is_refused_by_rule_and_version_when_the_rules_refuse(world):
    request = world.ask(world.request())
    world.says = Verdict(REFUSE, "rules_listed", "subjects", 7)
    world.attest(request)
    refusal = m.StageRefusal(request.flow, m.FILE, 1, "rules_listed", "subjects", 7)
    assert world.sent() == [(m.REFUSAL, refusal)]
    assert world.view("flow", a.FlowQuery(request.flow)).authorisation == b""


def test_the_request_waits_for_officers_when_the_rules_hold_it(world):
    request = world.ask(world.request())
    world.says = Verdict(HOLD, "rules_amount", "large", 7)
    world.attest(request)
    (pending,) = world.view("pending", PAGE).requests
    assert (pending.reason, pending.rule, pending.rule_version) == ("rules_amount", "large", 7)
    assert pending.attested_by == DOCTOR.public
    assert not world.sent()
    world.attest(request, by=SECOND_DOCTOR, code=codes.DECIDED)


# --- what is no proper request --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "changes",
    [
        {"stage": "nonsense"},
        {"need": m.NEED_NONE},
        {"need": m.NEED_REPORT},
        {"actor": REVIEWER.public},
        {"purpose": "pres"},
        {"envelope": b"short"},
        {"authorisation": b"short"},
        {"pharmacy": PHARMACY.public[:5]},
        {"order": b"x"},
    ],
)
def test_a_request_is_answered_with_a_code_when_its_fields_do_not_belong_together(world, changes):
    world.ask(world.request(**changes), codes.REQUEST_MALFORMED)
    assert world.counters.requests == 0


def test_a_packet_is_answered_with_a_code_when_it_is_foreign_or_no_request(world):
    request = world.request()
    world.ask(request, codes.PACKET_FOREIGN, source=bytes(32))
    world.ask(request, codes.PACKET_FOREIGN, sender="commission")
    world.ask(request, codes.PACKET_UNKNOWN, kind=m.CONTROL)
    world.ask(request, codes.REQUEST_MALFORMED, payload=b"\x90")
    world.ask(world.request(deadline_ms=world.now - 1), codes.REQUEST_LATE)


def test_an_envelope_is_refused_when_it_is_missing_moved_stripped_or_doubled(world):
    request = world.request()
    good = sealed(request, FILER, world.source, recipients=2)
    world.ask(request, codes.ENVELOPE_MISSING, attachments=())
    world.ask(request, codes.ENVELOPE_MISSING, attachments=(encode(good), b"more"))
    world.ask(request, codes.ENVELOPE_INVALID, attachments=(b"nonsense",))
    moved = sealed(world.request(number=1), FILER, world.source)
    world.ask(request, codes.ENVELOPE_INVALID, envelope=moved)
    stripped = msgspec.structs.replace(good, stanzas=good.stanzas[:1])
    world.ask(request, codes.ENVELOPE_INVALID, envelope=stripped)
    other_chain = sealed(request, FILER, bytes(world.chain.chain_id))
    world.ask(request, codes.ENVELOPE_INVALID, envelope=other_chain)
    forged = sealed(request, STRANGER, world.source)
    world.ask(request, codes.ENVELOPE_INVALID, envelope=forged)
    replaced = msgspec.structs.replace(request, envelope=bytes(32))
    world.ask(replaced, codes.ENVELOPE_MISSING, envelope=good)
    world.ask(request, "queued", envelope=good)


def test_a_request_is_refused_when_it_was_taken_before_or_is_older(world):
    request = world.filed()
    world.ask(world.request(), codes.ATTEMPT_OLD)
    world.ask(world.request(attempt=2), codes.AUTHORISED_ALREADY)
    other = world.ask(world.request(number=1, attempt=3))
    world.ask(world.request(number=1, attempt=2), codes.ATTEMPT_OLD)
    assert world.status(request) == "authorised"
    assert world.status(other) == "waiting"


def test_an_undecided_request_gives_way_when_its_asker_asks_again(world):
    first = world.ask(world.request())
    second = world.ask(world.request(attempt=2))
    assert (world.status(first), world.status(second)) == ("expired", "waiting")
    assert [entry.request.attempt for entry in world.view("waiting", PAGE).requests] == [2]
    world.attest(first, code=codes.DECIDED)
    assert world.counters.expired == 1


# --- deadlines and answers ------------------------------------------------------------------------------------------


def test_a_request_expires_when_its_deadline_passes_on_an_idle_chain(world):
    request = world.ask(world.request(deadline_ms=world.now + 5_000))
    assert world.next_due_ms() == request.deadline_ms + 1
    world.chain.block(step_ms=request.deadline_ms - world.now)
    assert world.status(request) == "waiting"
    late = world.call(DOCTOR, "decide", world.opening(request))
    (receipt,) = world.chain.block(late, step_ms=1)
    assert receipt.code == codes.DECISION_LATE
    world.events = world.chain.ended
    assert world.sent() == [(m.REFUSAL, m.StageRefusal(request.flow, m.FILE, 1, codes.EXPIRED, "", 0))]
    assert world.status(request) == "expired"
    assert world.next_due_ms() is None
    assert world.view("record", a.RequestQuery(request.flow, m.FILE, 1)).envelope == b""
    world.attest(request, code=codes.DECIDED)


def test_a_decision_counts_at_the_very_deadline(world):
    request = world.ask(world.request(deadline_ms=world.now + 5_000))
    decision = world.call(DOCTOR, "decide", world.opening(request))
    (receipt,) = world.chain.block(decision, step_ms=request.deadline_ms - world.now)
    assert receipt.code == "ok"
    assert world.next_due_ms() is None


def test_expiries_are_spread_over_blocks_when_many_are_due_at_once(world):
    deadline = world.now + 60_000
    requests = [world.ask(world.request(number=number, deadline_ms=deadline)) for number in range(20)]
    world.chain.block(step_ms=deadline - world.now + 1)
    assert world.counters.expired == 16
    assert world.next_due_ms() == deadline + 1
    world.chain.block(step_ms=1)
    assert {world.status(request) for request in requests} == {"expired"}


def test_a_request_is_late_and_may_be_filed_again_when_the_business_chain_refused_the_decision(world):
    request = world.filed()
    (packet,) = world.packets()
    world.answered(packet, ANSWER_OK)
    assert world.status(request) == "authorised"
    world.answered(packet, "expired")
    shown = world.shown(request)
    assert (shown.status, shown.reason) == ("late", "expired")
    world.ask(world.request(m.REVIEW), "refused")
    again = world.ask(world.request(attempt=2))
    world.attest(again)
    assert world.status(again) == "authorised"
    assert world.counters.late == 1
