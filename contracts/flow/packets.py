"""What the supervision chain says about flows: decisions, grants, refusals, controls, limits (PROTOCOL.md 2, 2.1)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from msgspec.structs import replace

from contracts import messages
from contracts.bridge.clients import chain_of
from contracts.codes import METHOD_UNKNOWN, Refusal
from contracts.flow import calls, codes
from contracts.flow.answers import DONE, EXPIRED, GRANTED, OPEN, PENDING, TERMINATED, GrantView, StageView
from contracts.flow.asking import note_expiry, note_refusal, pool
from contracts.flow.evidence import require_control, require_decision, require_limit
from contracts.flow.gates import SUPERVISION
from contracts.flow.reviewing import confirm_opinion, finish
from contracts.flow.state import (
    FlowRecord,
    end_flow,
    find_flow,
    limit_key,
    load_flow,
    load_kind,
    put_flow,
    put_grant,
    put_stage,
    step,
    subject_key,
)
from contracts.interface import CallContext
from contracts.messages import Control, Decision, Grant, Limit, StageRefusal, Taken
from ledger.encoding import Codec, encode
from ledger.errors import InvalidInput
from ledger.packet import ANSWER_EXPIRED, ANSWER_OK, Answer, Packet, PacketOrigin
from ledger.token import token, utc_date

STALE: Final = "stale"
APPLIED: Final = "applied"
GRANT_TAKEN: Final = "granted"
REFUSAL_TAKEN: Final = "refused"


def take(context: CallContext, packet: Packet, origin: PacketOrigin) -> Taken:
    """See ``Flow.on_packet``."""
    if packet.sender != SUPERVISION or packet.source != chain_of(context, SUPERVISION):
        raise Refusal(codes.PACKET_FOREIGN, "only contract supervision of the supervision chain speaks about flows")
    found = _KINDS.get(packet.kind)
    if found is None:
        raise Refusal(METHOD_UNKNOWN, f"{context.address} takes no packets such as {packet.kind!r}")
    codec, taker = found
    try:
        payload = codec.decode(packet.payload)
    except InvalidInput as error:
        raise Refusal(codes.PACKET_INVALID, error.message) from error
    return taker(context, packet, origin, payload)


def _asked(context: CallContext, flow: FlowRecord, stage: str, attempt: int, needs: tuple[str, ...]) -> StageView:
    """The stage that an answer is for, when it was asked for in this attempt and the answer is in time."""
    view = flow.stage(stage)
    kind = load_kind(context.state, flow.kind, flow.kind_version)
    spec = kind.find(stage)
    if view is None or spec is None or spec.need not in needs:
        raise Refusal(codes.NOT_REQUESTED, f"this flow did not ask for {stage}")
    if attempt != view.attempt:
        raise Refusal(codes.ATTEMPT_WRONG, f"{stage}: attempt {view.attempt} waits for an answer, not {attempt}")
    late = view.status == PENDING and view.deadline_ms and context.block.time_ms > view.deadline_ms
    if late or view.status == EXPIRED:
        raise Refusal(codes.STAGE_LATE, f"{stage}: the answer came after its deadline")
    if view.status != PENDING:
        raise Refusal(codes.NOT_REQUESTED, f"{stage}: attempt {attempt} is answered already: {view.status}")
    return view


def _take_decision(context: CallContext, packet: Packet, origin: PacketOrigin, decision: Decision) -> Taken:
    flow = load_flow(context.state, decision.flow)
    needs = (messages.NEED_DECISION, messages.NEED_REPORT)
    view = _asked(context, flow, decision.stage, decision.attempt, needs)
    if decision.commitment != view.commitment:
        raise Refusal(codes.COMMITMENT_WRONG, "the decision is about another document")
    if decision.outcome not in messages.OUTCOMES:
        raise Refusal(codes.PACKET_INVALID, f"there is no outcome {decision.outcome!r}")
    require_decision(context, packet, origin, decision)
    if flow.status == TERMINATED and decision.stage != messages.SETTLE:
        raise Refusal(codes.ENDED, "the flow was terminated")
    if decision.outcome == messages.REFUSED:
        note_refusal(context, flow, view, reason=decision.reason, hash_=origin.tx_id)
        return Taken(REFUSAL_TAKEN)
    done = replace(view, status=DONE, deadline_ms=0, hash=origin.tx_id)
    flow = put_stage(context.state, flow, done)
    kind = load_kind(context.state, flow.kind, flow.kind_version)
    if decision.stage == messages.FILE:
        _authorise(context, flow, origin.tx_id)
    elif decision.stage == messages.OPINION:
        confirm_opinion(context, flow, kind, origin.tx_id)
    else:
        finish(context, flow, kind, calls.SETTLEMENT_STORED, decision.stage, origin.tx_id)
    return Taken(APPLIED)


def _authorise(context: CallContext, flow: FlowRecord, authorisation: bytes) -> None:
    """From now on the flow is known by ``authorisation``: one document, one authorising transaction."""
    state = context.state
    if state.get(b"a" + authorisation) is not None:
        raise Refusal(codes.AUTHORISATION_TAKEN, "that transaction authorised another document")
    state.put(b"a" + authorisation, flow.flow)
    if flow.subject:
        state.put(subject_key(b"q", flow.kind, flow.filer, flow.subject), flow.flow)
    kind = load_kind(state, flow.kind, flow.kind_version)
    flow = replace(flow, authorisation=authorisation, status=OPEN)
    pool(context, flow, kind)
    finish(context, flow, kind, calls.AUTHORISED, messages.FILE, authorisation)


def _take_grant(context: CallContext, packet: Packet, origin: PacketOrigin, grant: Grant) -> Taken:
    del packet
    flow = load_flow(context.state, grant.flow)
    view = _asked(context, flow, grant.stage, grant.attempt, (messages.NEED_GRANT,))
    if not flow.authorisation or flow.status != OPEN:
        raise Refusal(codes.NOT_AUTHORISED, "a grant descends from an authorised filing")
    kind = load_kind(context.state, flow.kind, flow.kind_version)
    spec = kind.spec(grant.stage)
    order = (flow.pharmacy, view.commitment) if grant.stage == messages.ORDER else (b"", b"")
    bound = (grant.holder, grant.authorisation, grant.purpose, grant.pharmacy, grant.order)
    if bound != (view.actor, flow.authorisation, spec.purpose, *order):
        raise Refusal(codes.GRANT_MISMATCH, "the grant is for another holder, document, purpose, pharmacy or order")
    not_after_ms = min(grant.not_after_ms, origin.time_ms + spec.window_ms)
    if grant.not_before_ms > not_after_ms:
        raise Refusal(codes.GRANT_MISMATCH, "the grant ends before it begins")
    if grant.token != token(utc_date(origin.time_ms), grant.authorisation, grant.purpose):
        raise Refusal(codes.TOKEN_WRONG, "the token is not what the formula says for the issuing block's date")
    kept = GrantView(
        grant.stage,
        grant.attempt,
        origin.tx_id,
        origin.event_index,
        grant.holder,
        grant.token,
        grant.pharmacy,
        grant.order,
        grant.not_before_ms,
        not_after_ms,
        grant.uses,
        grant.rule_version,
    )
    put_grant(context.state, flow.flow, kept)
    granted = replace(
        view, status=GRANTED, deadline_ms=not_after_ms, hash=origin.tx_id, rule_version=grant.rule_version
    )
    flow = put_stage(context.state, flow, granted)
    event = calls.REVIEW_GRANTED if grant.stage == messages.REVIEW else calls.ORDER_GRANTED
    step(context, event, flow, grant.stage, hash=origin.tx_id, token=grant.token, rule_version=grant.rule_version)
    return Taken(GRANT_TAKEN)


def _take_refusal(context: CallContext, packet: Packet, origin: PacketOrigin, refusal: StageRefusal) -> Taken:
    del packet, origin
    flow = load_flow(context.state, refusal.flow)
    view = flow.stage(refusal.stage)
    if view is None or view.status != PENDING or view.attempt != refusal.attempt:
        return Taken(STALE)
    note_refusal(context, flow, view, reason=refusal.reason, rule=refusal.rule, version=refusal.rule_version)
    return Taken(REFUSAL_TAKEN)


def _take_control(context: CallContext, packet: Packet, origin: PacketOrigin, control: Control) -> Taken:
    flow = load_flow(context.state, control.flow)
    if control.action not in messages.ACTIONS:
        raise Refusal(codes.PACKET_INVALID, f"there is no action {control.action!r}")
    require_control(context, packet, origin, control)
    if control.counter <= flow.control_counter:
        return Taken(STALE)
    flow = replace(flow, control_counter=control.counter, control_reason=control.reason)
    if control.action == messages.TERMINATE:
        if not flow.alive:
            put_flow(context.state, flow)
            return Taken(STALE)
        step(context, calls.TERMINATED, end_flow(context.state, flow, TERMINATED), reason=control.reason)
        return Taken(APPLIED)
    suspended = control.action == messages.SUSPEND
    flow = replace(flow, suspended=suspended)
    pool(context, flow)
    step(context, calls.SUSPENDED if suspended else calls.RESUMED, flow, reason=control.reason)
    return Taken(APPLIED)


def _take_limit(context: CallContext, packet: Packet, origin: PacketOrigin, limit: Limit) -> Taken:
    require_limit(context, packet, origin, limit)
    key = limit_key(limit.kind, limit.asset)
    data = context.state.get(key)
    if data is not None and limit.counter <= messages.limit_codec.decode(data).counter:
        return Taken(STALE)
    context.state.put(key, encode(limit))
    context.emit(calls.LIMIT_SET, limit)
    return Taken(APPLIED)


_Taker = Callable[[CallContext, Packet, PacketOrigin, Any], Taken]
_KINDS: Final[dict[str, tuple[Codec[Any], _Taker]]] = {
    messages.DECISION: (messages.decision_codec, _take_decision),
    messages.GRANT: (messages.grant_codec, _take_grant),
    messages.REFUSAL: (messages.refusal_codec, _take_refusal),
    messages.CONTROL: (messages.control_codec, _take_control),
    messages.LIMIT: (messages.limit_codec, _take_limit),
}


def hear(context: CallContext, packet: Packet, answer: Answer) -> None:
    """See ``Flow.on_answer``: a request that was not taken, or too late, can be made again."""
    if packet.kind != messages.REQUEST or answer.code == ANSWER_OK:
        return
    request = messages.request_codec.decode(packet.payload)
    flow = find_flow(context.state, request.flow)
    view = None if flow is None else flow.stage(request.stage)
    if flow is None or view is None or view.status != PENDING or view.attempt != request.attempt:
        return
    if answer.code == ANSWER_EXPIRED:
        note_expiry(context, flow, view)
    else:
        note_refusal(context, flow, view, reason=answer.code)
