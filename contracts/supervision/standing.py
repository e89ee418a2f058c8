"""Who may take part, and what lists, rules and control classes say of a stage (PROTOCOL.md 2.2, 2.3, 2.4)."""

from __future__ import annotations

from contracts.interface import EndContext
from contracts.messages import REVIEW, StageRequest
from contracts.registry import participants
from contracts.registry.participants import Participant
from contracts.rulebook import check as rules
from contracts.supervision import codes
from contracts.supervision.calls import SUSPENDED, TERMINATED
from contracts.supervision.state import FlowRecord, load_attested
from contracts.supervision.statistics import drugs_of
from ledger.errors import BrokenInvariant

_BARS = {SUSPENDED: codes.FLOW_SUSPENDED, TERMINATED: codes.FLOW_TERMINATED}


def bar_of(flow: FlowRecord) -> str:
    """Why the regulator lets nothing happen in a flow now: reason code, or empty."""
    return _BARS.get(flow.control, "")


def fault_of(found: Participant | None, kind: str = "") -> str:
    """Why somebody may not take part: reason code, or empty when it is an active participant (of ``kind``)."""
    if found is None:
        return codes.UNREGISTERED
    if found.status != participants.ACTIVE:
        return codes.SUSPENDED if found.status == participants.SUSPENDED else codes.UNREGISTERED
    return codes.KIND_WRONG if kind and found.kind != kind else ""


def filers_of(context: EndContext, request: StageRequest) -> tuple[str, str]:
    """Organisation of the filer (empty when it is unknown), and why filer or platform may not file: code or empty."""
    filer = participants.participant(context, request.filer)
    fault = fault_of(filer)
    if not fault and request.platform != request.filer:
        fault = fault_of(participants.participant(context, request.platform))
    return ("" if filer is None else filer.organisation), fault


def reviewers_fault(context: EndContext, flow: FlowRecord, request: StageRequest) -> str:
    """Why an opinion does not count: another gives it than was granted, or he may not review. Code, or empty."""
    if not flow.granted_reviewer:
        return ""
    if request.actor != flow.granted_reviewer:
        return codes.REVIEWER_DIFFERS
    return fault_of(participants.participant(context, request.actor), participants.REVIEWER)


def asker_of(context: EndContext, request: StageRequest) -> tuple[str, str]:
    """Organisation on whose class a grant depends, and why it cannot be given: code or empty.

    That is the reviewer at ``review``, the pharmacy where one is named, and else who asks.
    """
    if request.stage == REVIEW:
        found, kind = participants.participant(context, request.actor), participants.REVIEWER
    elif request.pharmacy:
        found, kind = participants.participant(context, request.pharmacy), participants.PHARMACY
    else:
        found, kind = participants.participant(context, request.actor), ""
    return ("" if found is None else found.organisation), fault_of(found, kind)


def is_controlled(context: EndContext, organisation: str) -> bool:
    """True when every request of the organisation waits for officers."""
    return participants.control_class(context, organisation) == participants.CONTROLLED


def is_white_listed(context: EndContext, organisation: str) -> bool:
    """True when requests of the organisation are decided automatically, and its grants last long."""
    return participants.control_class(context, organisation) == participants.FULL


def verdict_on(context: EndContext, flow: FlowRecord, request: StageRequest, organisation: str) -> rules.Verdict:
    """What the rules in force say of a stage, over the attributes attested at filing.

    Args:
        context: of the supervision contract.
        flow: with subject and reviewer as they are known now.
        request: of the stage.
        organisation: whose lists hold.
    """
    attributes = load_attested(context.state, request.flow)
    parties = dict.fromkeys((request.actor, flow.filer, flow.platform, request.pharmacy, flow.reviewer))
    facts = rules.Facts(
        stage=request.stage,
        kind=flow.kind,
        flow=request.flow,
        organisation=organisation,
        subject=flow.subject,
        drugs=drugs_of(attributes),
        reviewer=request.actor if request.stage == REVIEW else flow.reviewer,
        pharmacy=request.pharmacy,
        order=request.order,
        parties=tuple(key for key in parties if key),
        amount=request.amount,
        values={attribute.name: attribute.value for attribute in attributes},
    )
    verdict = rules.check(context, facts)
    if verdict.outcome not in (rules.ALLOW, rules.REFUSE, rules.HOLD):
        raise BrokenInvariant(f"rules say {verdict.outcome!r}")
    return verdict
