"""What officers do k of n: suspend, resume and terminate flows, set limits, grant batches (PROTOCOL.md 2, 2.2)."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from msgspec.structs import replace

from contracts.bridge.outbox import check_evidence
from contracts.codes import Refusal
from contracts.decisions import ControlFlow, SetLimit
from contracts.governance.policies import OFFICERS, policy
from contracts.interface import CallContext, EndContext
from contracts.messages import RESUME, SUSPEND, TERMINATE, Control, Limit
from contracts.rulebook.approvals import APPROVALS, Approval, admitted, approvals_so_far, approve_by_signers
from contracts.supervision import batches, calls, codes
from contracts.supervision.calls import GrantBatch, Signed
from contracts.supervision.decide import evidence_of
from contracts.supervision.sending import send_control, send_limit
from contracts.supervision.state import (
    MAX_BALLOTS,
    Controls,
    Limits,
    limit_key,
    load_controls,
    load_flow,
    load_limits,
    store_flow,
)
from ledger.encoding import Record, digest, encode
from ledger.types import Hash32

T = TypeVar("T", bound=Record)

_NEXT_STATE = {
    (calls.OPEN, SUSPEND): calls.SUSPENDED,
    (calls.SUSPENDED, RESUME): calls.OPEN,
    (calls.OPEN, TERMINATE): calls.TERMINATED,
    (calls.SUSPENDED, TERMINATE): calls.TERMINATED,
}


def control(context: CallContext, arguments: ControlFlow) -> Signed:
    """One officer's signature on the next control of a flow; the last one needed applies it and tells the other chain.

    Refuses with ``supervision_flow_unknown``, ``supervision_counter_wrong`` unless the counter is the next one, and
    ``supervision_control_invalid`` for what changes nothing: a flow is suspended when it is open, resumed when it is
    suspended, and terminated once.
    """
    wanted = arguments.control
    _check_officer(context)
    check_evidence(context)
    flow = load_flow(context.state, wanted.flow)
    if flow is None:
        raise Refusal(codes.FLOW_UNKNOWN, "no request of this flow was ever taken")
    controls = load_controls(context.state, wanted.flow)
    if wanted.counter != controls.counter + 1:
        raise Refusal(codes.COUNTER_WRONG, f"the next control of this flow is number {controls.counter + 1}")
    state = _NEXT_STATE.get((flow.control, wanted.action))
    if state is None:
        raise Refusal(codes.CONTROL_INVALID, f"the flow is {flow.control}: {wanted.action!r} changes nothing")
    approvals, proposed = _signed(context, wanted, controls.proposed, control_subject)
    if approvals is None:
        context.state.put(b"k" + wanted.flow, encode(Controls(controls.last, proposed)))
        return _waits(context, "control", control_subject(context, wanted))
    context.state.put(b"k" + wanted.flow, encode(Controls(wanted, ())))
    store_flow(context.state, wanted.flow, replace(flow, control=state))
    send_control(context, wanted, evidence_of(approvals))
    context.emit(calls.CONTROLLED_EVENT, wanted)
    return Signed("control", True, len(approvals), 0)


def set_limit(context: CallContext, arguments: SetLimit) -> Signed:
    """One officer's signature on the next limit of a flow kind and asset; the last one needed sets it.

    Refuses with ``supervision_counter_wrong`` unless the counter is the next one.
    """
    wanted = arguments.limit
    _check_officer(context)
    check_evidence(context)
    if "\x00" in wanted.kind or "\x00" in wanted.asset:
        raise Refusal(codes.LIMIT_INVALID, "kind and asset are names")
    limits = load_limits(context.state, wanted.kind, wanted.asset)
    if wanted.counter != limits.counter + 1:
        raise Refusal(codes.COUNTER_WRONG, f"the next limit of this kind and asset is number {limits.counter + 1}")
    approvals, proposed = _signed(context, wanted, limits.proposed, limit_subject)
    key = limit_key(wanted.kind, wanted.asset)
    if approvals is None:
        context.state.put(key, encode(Limits(limits.last, proposed)))
        return _waits(context, "limit", limit_subject(context, wanted))
    context.state.put(key, encode(Limits(wanted, ())))
    send_limit(context, wanted, evidence_of(approvals))
    context.emit(calls.LIMIT_EVENT, wanted)
    return Signed("limit", True, len(approvals), 0)


def grant_batch(context: CallContext, arguments: GrantBatch) -> Signed:
    """One officer's signature on a batch; the last one needed grants it. Identical arguments are the same batch."""
    _check_officer(context)
    batches.check(context, arguments)
    subject = _subject(context, b"tidegate/officers-batch", arguments)
    approvals = approve_by_signers(context, subject, policy(context, OFFICERS))
    if approvals is None:
        return _waits(context, "batch", subject)
    batch = batches.grant(context, arguments, evidence_of(approvals))
    return Signed("batch", True, len(approvals), batch.number)


def control_subject(context: EndContext, wanted: Control) -> Hash32:
    """What officers' signatures on a control are counted under."""
    return _subject(context, b"tidegate/officers-control", wanted)


def limit_subject(context: EndContext, wanted: Limit) -> Hash32:
    """What officers' signatures on a limit are counted under."""
    return _subject(context, b"tidegate/officers-limit", wanted)


def _subject(context: EndContext, tag: bytes, wanted: Record) -> Hash32:
    return digest(tag, context.block.chain_id, encode(wanted))


def _check_officer(context: CallContext) -> None:
    if not any(key in context.signers for key in admitted(context, policy(context, OFFICERS))):
        raise Refusal(codes.NOT_OFFICER, "an officer's signature is needed")


def _signed(
    context: CallContext, wanted: T, proposed: tuple[T, ...], subject_of: Callable[[EndContext, T], Hash32]
) -> tuple[tuple[Approval, ...] | None, tuple[T, ...]]:
    """The approvals once they satisfy the policy, and what is proposed then; the others' signatures are forgotten."""
    if wanted not in proposed:
        if len(proposed) == MAX_BALLOTS:
            raise Refusal(codes.PROPOSALS_FULL, f"officers have begun to sign {MAX_BALLOTS} different ones")
        proposed = (*proposed, wanted)
    approvals = approve_by_signers(context, subject_of(context, wanted), policy(context, OFFICERS))
    if approvals is not None:
        for other in proposed:
            context.state.delete(APPROVALS + subject_of(context, other))
    return approvals, proposed


def _waits(context: CallContext, what: str, subject: bytes) -> Signed:
    signed = Signed(what, False, len(approvals_so_far(context, subject)), 0)
    context.emit(calls.SIGNED_EVENT, signed)
    return signed
