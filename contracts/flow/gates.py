"""What holds before any stage: the flow is open, not suspended, supervision is not stale, earlier stages are done."""

from __future__ import annotations

from typing import Final

from contracts.bridge.clients import has_client, newest_time_ms
from contracts.codes import Refusal
from contracts.flow import codes
from contracts.flow.answers import DONE, EXPIRED, FILING, OPEN, PENDING, REFUSED, StageView
from contracts.flow.kinds import FlowKind, StageSpec
from contracts.flow.state import FlowRecord, flow_of, load_flow, load_kind
from contracts.interface import CallContext, EndContext
from ledger.types import PublicKey

SUPERVISION: Final = "supervision"


def open_flow(context: CallContext, flow: bytes) -> tuple[FlowRecord, FlowKind]:
    """The flow and its kind when a stage after ``file`` may come now.

    Refuses with ``flow_unknown``, ``flow_suspended``, ``flow_not_authorised``, ``flow_ended``,
    ``flow_supervision_frozen`` or ``flow_supervision_stale``.
    """
    return _checked(context, load_flow(context.state, flow))


def authorised_flow(context: CallContext, authorisation: bytes) -> tuple[FlowRecord, FlowKind]:
    """``open_flow`` of the flow that is known by an authorisation hash."""
    return _checked(context, flow_of(context.state, authorisation))


def _checked(context: CallContext, flow: FlowRecord) -> tuple[FlowRecord, FlowKind]:
    kind = load_kind(context.state, flow.kind, flow.kind_version)
    require_not_suspended(flow)
    if flow.status in (FILING, REFUSED, EXPIRED):
        raise Refusal(codes.NOT_AUTHORISED, f"the filing of flow {flow.flow.hex()} is not authorised: {flow.status}")
    if flow.status != OPEN:
        raise Refusal(codes.ENDED, f"flow {flow.flow.hex()} has ended: {flow.status}")
    require_fresh(context, kind)
    return flow, kind


def require_not_suspended(flow: FlowRecord) -> None:
    """Refuses with ``flow_suspended`` while the regulator suspends the flow."""
    if flow.suspended:
        raise Refusal(codes.SUSPENDED, f"the regulator suspended flow {flow.flow.hex()}: {flow.control_reason}")


def require_fresh(context: EndContext, kind: FlowKind) -> None:
    """Refuses while the newest proved supervision header is too old, so that a control cannot be withheld."""
    if not has_client(context, SUPERVISION):
        raise Refusal(
            codes.SUPERVISION_FROZEN, "no client of the supervision chain is trusted: governance must register one"
        )
    age_ms = context.block.time_ms - newest_time_ms(context, SUPERVISION)
    if age_ms > kind.max_staleness_ms:
        raise Refusal(
            codes.SUPERVISION_STALE,
            f"the newest proved header of the supervision chain is {age_ms} ms old, at most "
            f"{kind.max_staleness_ms} ms is allowed: wait until a fusion node brings a newer one",
        )


def require_before(flow: FlowRecord, kind: FlowKind, stage: str) -> StageSpec:
    """The stage's specification when every earlier stage of the kind is done.

    Refuses with ``flow_stage_missing`` or ``flow_stage_order``.
    """
    spec = kind.spec(stage)
    for earlier in kind.before(stage):
        if not flow.done(earlier):
            raise Refusal(codes.STAGE_ORDER, f"{stage} comes after {earlier}, which is not done")
    return spec


def require_askable(stage: StageView | None, name: str, now_ms: int) -> None:
    """Refuses with ``flow_stage_pending`` or ``flow_stage_done`` while a stage cannot be asked for again.

    A request whose deadline or grant whose window is over can be, whether or not the block's end has noted it yet.
    """
    if stage is None or stage.status in (REFUSED, EXPIRED):
        return
    if stage.deadline_ms and now_ms > stage.deadline_ms:
        return
    if stage.status == DONE and not stage.deadline_ms:
        raise Refusal(codes.STAGE_DONE, f"{name} is done")
    what = "the supervision chain was asked" if stage.status == PENDING else "somebody holds a grant"
    raise Refusal(codes.STAGE_PENDING, f"{name}: {what}, until {stage.deadline_ms}", deadline_ms=stage.deadline_ms)


def require_party(context: CallContext, party: bytes, who: str) -> None:
    """Refuses with ``flow_party_wrong`` unless ``party`` sent the transaction."""
    if context.sender.key != party:
        raise Refusal(codes.PARTY_WRONG, f"only {who} of the flow may do this")


def require_admitted(context: EndContext, key: bytes, who: str) -> PublicKey:
    """``key`` itself; refuses with ``flow_party_wrong`` when it is nobody's on this chain."""
    if len(key) != 33 or context.directory.member(key) is None:
        raise Refusal(codes.PARTY_WRONG, f"the key of {who} is not admitted to this chain")
    return PublicKey(key)
