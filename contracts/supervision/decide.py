"""Decisions: of an authority who opened the sealed document, and of officers on what the rules leave to them.

An authority attests what rules look at; whether its word is enough is the rules' and the control class' matter. What
they hold waits in the pending pool, and as many officers as their policy says sign the very same decision.
"""

from __future__ import annotations

from typing import Final

from msgspec.structs import replace

from contracts.bridge.outbox import check_evidence
from contracts.codes import Refusal
from contracts.decisions import Decide
from contracts.expression.attributes import as_mapping
from contracts.governance.policies import AUTHORITIES, OFFICERS, policy, satisfied_by
from contracts.interface import CallContext
from contracts.messages import AUTHORISED, FILE, NEED_GRANT, NEED_REPORT, OPINION, REFUSED, Decision
from contracts.rulebook.approvals import Approval, admitted, approvals_so_far, approve_by_signers
from contracts.rulebook.check import HOLD, REFUSE
from contracts.supervision import batches, calls, codes, disclosures, grants, requests, standing
from contracts.supervision.calls import DECIDED_EVENT, HELD_EVENT, PENDING, SIGNED_EVENT, WAITING, Decided
from contracts.supervision.sending import deadline_of, send_decision, send_refusal
from contracts.supervision.state import (
    MAX_ATTESTED_BYTES,
    MAX_BALLOTS,
    Attested,
    Ballot,
    FlowRecord,
    RequestRecord,
    load_flow,
    load_request,
    numbered,
    store_flow,
)
from ledger.encoding import encode
from ledger.errors import BrokenInvariant, NonCanonicalBytes
from ledger.packet import MAX_EVIDENCE
from ledger.types import PublicKey

DECISION_PURPOSE: Final = "decision"
"""Purpose in the disclosure log of what was opened to decide."""


def decide(context: CallContext, arguments: Decide) -> Decided:
    """Takes a decision of an authority, or one officer's; see the module."""
    if len(context.transaction.body.calls) != 1:
        # The transaction's id becomes the document's unique id: it cannot be two documents'.
        raise Refusal(codes.ONE_CALL, "a decision is the only call of its transaction")
    check_evidence(context)
    decision = arguments.decision
    record = load_request(context.state, decision.flow, decision.stage, decision.attempt)
    if record is None:
        raise Refusal(codes.REQUEST_UNKNOWN, "no such request was taken")
    flow = load_flow(context.state, decision.flow)
    if flow is None:
        raise BrokenInvariant("a request without its flow")
    _check_decision(decision, record)
    if record.status == WAITING:
        signers = _authorities(context)
        _check_open(context, flow, record)
        return _attest(context, arguments, flow, record, signers)
    if record.status == PENDING:
        lock = policy(context, OFFICERS)
        if not any(key in context.signers for key in admitted(context, lock)):
            raise Refusal(codes.DECIDED, "an authority opened this already; now officers decide")
        _check_open(context, flow, record)
        return _sign(context, arguments, flow, record)
    raise Refusal(codes.DECIDED, f"this request is {record.status} already")


def _check_decision(decision: Decision, record: RequestRecord) -> None:
    if decision.commitment != record.request.commitment:
        raise Refusal(codes.COMMITMENT_DIFFERS, "the request is about another document")
    reason = decision.reason
    if decision.outcome == AUTHORISED:
        good = not reason
    else:
        named = reason.isascii() and reason.replace("_", "").isalnum() and reason == reason.lower()
        good = decision.outcome == REFUSED and named
    if not good:
        raise Refusal(codes.OUTCOME_INVALID, "authorised without a reason, or refused with a snake_case reason code")


def _authorities(context: CallContext) -> tuple[PublicKey, ...]:
    """The admitted authorities' keys that signed; refuses unless they satisfy the policy."""
    lock = policy(context, AUTHORITIES)
    signers = tuple(key for key in admitted(context, lock) if context.signed_by(key))
    if satisfied_by(lock, signers):
        return signers
    if any(key in context.signers for key in admitted(context, policy(context, OFFICERS))):
        raise Refusal(codes.NOT_ATTESTED, "an authority has to open the document before officers decide")
    raise Refusal(codes.NOT_AUTHORITY, "an authority's signature is needed")


def _check_open(context: CallContext, flow: FlowRecord, record: RequestRecord) -> None:
    deadline = deadline_of(record.request)
    if deadline and context.block.time_ms > deadline:
        raise Refusal(codes.DECISION_LATE, "the request's deadline has passed")
    bar = standing.bar_of(flow)
    if bar and record.request.need != NEED_REPORT:
        raise Refusal(bar, "the regulator has suspended or terminated the flow")


# --- an authority ---------------------------------------------------------------------------------------------------


def _attest(
    context: CallContext,
    arguments: Decide,
    flow: FlowRecord,
    record: RequestRecord,
    signers: tuple[PublicKey, ...],
) -> Decided:
    request, decision = record.request, arguments.decision
    authority = context.sender.key if context.sender.key in signers else signers[0]
    if arguments.opened != request.envelope and (arguments.opened or decision.outcome == AUTHORISED):
        raise Refusal(codes.NOT_OPENED, "the decision names the envelope that was opened for it")
    if arguments.opened:
        disclosures.log(context, authority, record, DECISION_PURPOSE)
    flow = _store_attested(context, arguments, flow, record)
    record = replace(record, attested_by=authority)
    if decision.outcome == REFUSED:
        return _refused(context, flow, record, decision, (context.transaction.tx_id,), 0)
    if request.stage == FILE:
        held = _evaluated(context, flow, record)
        if held is not None:
            return held
    elif request.stage == OPINION:
        # He may have been suspended while his opinion waited to be opened.
        fault = standing.reviewers_fault(context, flow, record.request)
        if fault:
            return _refused_by_contract(context, flow, record, fault, "", 0)
    return _authorised(context, flow, record, decision, (context.transaction.tx_id,), 0)


def _store_attested(context: CallContext, arguments: Decide, flow: FlowRecord, record: RequestRecord) -> FlowRecord:
    """Keeps what the authority attested, and lists the sealed record under its subject."""
    request, subject = record.request, arguments.subject
    if len(subject) not in (0, 32):
        raise Refusal(codes.SUBJECT_INVALID, "a subject's pseudonym has 32 bytes")
    try:
        as_mapping(arguments.attributes)
    except NonCanonicalBytes as error:
        raise Refusal(codes.ATTRIBUTES_INVALID, error.message) from error
    opens = flow.opened_by == request.stage and not flow.authorisation
    if opens:
        attested = encode(Attested(arguments.attributes))
        if len(attested) > MAX_ATTESTED_BYTES:
            raise Refusal(codes.ATTRIBUTES_INVALID, f"attributes have at most {MAX_ATTESTED_BYTES} bytes together")
        context.state.put(b"v" + request.flow, attested)
        flow = replace(flow, subject=subject)
        store_flow(context.state, request.flow, flow)
    elif arguments.attributes or subject not in (b"", flow.subject):
        raise Refusal(codes.ATTESTED_ALREADY, "attributes and subject were attested at filing; nothing adds to them")
    # A commission is about no person: its record stands under what the business chain says the flow stands for.
    listed = flow.subject or request.subject
    if listed:
        context.state.put(numbered(b"u" + listed, record.record), encode(record.place))
    return flow


def _evaluated(context: CallContext, flow: FlowRecord, record: RequestRecord) -> Decided | None:
    """What lists, rules and control class make of a filing that the authority authorises; None: nothing against it."""
    request = record.request
    organisation, fault = standing.filers_of(context, request)
    flow = replace(flow, organisation=organisation)
    store_flow(context.state, request.flow, flow)
    record = replace(record, organisation=organisation)
    if fault:
        return _refused_by_contract(context, flow, record, fault, "", 0)
    verdict = standing.verdict_on(context, flow, request, organisation)
    if verdict.outcome == REFUSE:
        return _refused_by_contract(context, flow, record, verdict.reason, verdict.rule, verdict.version)
    reason, rule = (verdict.reason, verdict.rule) if verdict.outcome == HOLD else ("", "")
    if not reason and standing.is_controlled(context, organisation):
        reason = codes.CLASS_CONTROLLED
    if (
        not reason
        and not standing.is_white_listed(context, organisation)
        and not batches.take(context, organisation, request.kind)
    ):
        reason = codes.BATCH_MISSING
    if not reason:
        return None
    record = requests.move(context, flow, record, PENDING, reason=reason, rule=rule, rule_version=verdict.version)
    return _told(context, HELD_EVENT, record, context.transaction.tx_id, 0)


def _refused_by_contract(
    context: CallContext, flow: FlowRecord, record: RequestRecord, reason: str, rule: str, version: int
) -> Decided:
    own = context.transaction.tx_id
    record = requests.move(
        context, flow, record, calls.REFUSED, reason=reason, rule=rule, rule_version=version, transaction=own
    )
    send_refusal(context, record.request, reason, rule, version)
    return _told(context, DECIDED_EVENT, record, own, 0)


# --- officers -------------------------------------------------------------------------------------------------------


def _sign(context: CallContext, arguments: Decide, flow: FlowRecord, record: RequestRecord) -> Decided:
    if arguments.subject or arguments.attributes or arguments.opened:
        raise Refusal(codes.ATTESTED_ALREADY, "officers decide on what an authority attested; they attest nothing")
    decision, ballots = arguments.decision, requests.ballots_of(context, record)
    ballot, subject = Ballot(decision.outcome, decision.reason), requests.ballot_subject(context, decision)
    if ballot not in ballots:
        if len(ballots) == MAX_BALLOTS:
            raise Refusal(codes.PROPOSALS_FULL, f"officers have begun to sign {MAX_BALLOTS} different decisions on it")
        requests.store_ballots(context, record, (*ballots, ballot))
    approvals = approve_by_signers(context, subject, policy(context, OFFICERS))
    if approvals is None:
        signed = len(approvals_so_far(context, subject))
        return _told(context, SIGNED_EVENT, record, context.transaction.tx_id, signed)
    evidence, signed = evidence_of(approvals), len(approvals)
    if record.request.need == NEED_GRANT:
        return _released(context, flow, record, decision, signed)
    if decision.outcome == REFUSED:
        return _refused(context, flow, record, decision, evidence, signed)
    return _authorised(context, flow, record, decision, evidence, signed)


def evidence_of(approvals: tuple[Approval, ...]) -> tuple[bytes, ...]:
    """The officers' transactions, each once; refuses with ``supervision_evidence_full`` more than a packet can name."""
    evidence = tuple(dict.fromkeys(approval.transaction for approval in approvals))
    if len(evidence) > MAX_EVIDENCE:
        raise Refusal(
            codes.EVIDENCE_FULL, f"signatures in at most {MAX_EVIDENCE} transactions count; cosign one transaction"
        )
    return evidence


def _released(
    context: CallContext, flow: FlowRecord, record: RequestRecord, decision: Decision, signed: int
) -> Decided:
    """What officers decide on a grant that was held."""
    own = context.transaction.tx_id
    if decision.outcome == REFUSED:
        record = requests.move(context, flow, record, calls.REFUSED, reason=decision.reason, transaction=own)
        send_refusal(context, record.request, decision.reason, "", record.rule_version)
        return _told(context, DECIDED_EVENT, record, own, signed)
    _, fault = standing.asker_of(context, record.request)
    if fault:
        raise Refusal(fault, "reviewer or pharmacy may not take part any more; refuse the request")
    record = requests.move(context, flow, record, calls.GRANTED, reason="", transaction=own)
    grants.issue(context, flow, record)
    return _told(context, DECIDED_EVENT, record, own, signed)


# --- what it comes to -----------------------------------------------------------------------------------------------


def _authorised(
    context: CallContext,
    flow: FlowRecord,
    record: RequestRecord,
    decision: Decision,
    evidence: tuple[bytes, ...],
    signed: int,
) -> Decided:
    request, own = record.request, context.transaction.tx_id
    if flow.opened_by == request.stage and not flow.authorisation:
        flow = replace(flow, authorisation=own, organisation=record.organisation)
    elif request.stage == OPINION:
        # The authority read it: an opinion that rejects lets nobody order, whatever the business chain makes of it.
        flow = replace(flow, reviewer=request.actor if request.approves else b"")
    store_flow(context.state, request.flow, flow)
    record = requests.move(context, flow, record, calls.AUTHORISED, reason="", transaction=own)
    context.state.put(b"h" + own, encode(record.place))
    send_decision(context, request, decision, evidence)
    return _told(context, DECIDED_EVENT, record, own, signed)


def _refused(
    context: CallContext,
    flow: FlowRecord,
    record: RequestRecord,
    decision: Decision,
    evidence: tuple[bytes, ...],
    signed: int,
) -> Decided:
    own = context.transaction.tx_id
    record = requests.move(context, flow, record, calls.REFUSED, reason=decision.reason, transaction=own)
    send_decision(context, record.request, decision, evidence)
    return _told(context, DECIDED_EVENT, record, own, signed)


def _told(context: CallContext, event: str, record: RequestRecord, transaction: bytes, signed: int) -> Decided:
    request = record.request
    decided = Decided(
        flow=request.flow,
        stage=request.stage,
        attempt=request.attempt,
        status=record.status,
        reason=record.reason,
        rule=record.rule,
        rule_version=record.rule_version,
        transaction=transaction,
        signatures=signed,
    )
    context.emit(event, decided)
    return decided
