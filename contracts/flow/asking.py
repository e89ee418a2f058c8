"""Asks the supervision chain for a stage, and notes what becomes of the request."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from msgspec.structs import replace

from contracts.bridge import outbox
from contracts.flow import calls
from contracts.flow.answers import (
    DONE,
    EXPIRED,
    GRANTED,
    OPEN,
    PENDING,
    REFUSED,
    GrantView,
    PoolEntry,
    StageView,
)
from contracts.flow.gates import SUPERVISION
from contracts.flow.kinds import FlowKind, StageSpec
from contracts.flow.state import FlowRecord, drop_grant, find_grant, load_kind, put_grant, put_stage, step
from contracts.interface import CallContext, EndContext
from contracts.messages import (
    FILE,
    NEED_GRANT,
    OPINION,
    ORDER,
    REQUEST,
    REVIEW,
    StageRequest,
)
from ledger.encoding import encode
from ledger.envelope import Envelope

UNLIMITED_USES: Final = 1_000
"""Of a grant that the kind gives by itself."""


@dataclass(frozen=True, slots=True)
class Question:
    """What a request is about.

    Attributes:
        actor: who asks.
        commitment: of the document that it is about.
        envelope: for the authorities; None for a grant.
        digest: the envelope's; empty for a grant.
        epoch: highest epoch of the authorities' keys; 0 for a grant.
        pharmacy: whom an order is for; else empty.
        order: commitment of the order; else empty.
        approves: what an opinion is said to say; else False.
        paid: asset and amount that a settlement moved; None where none did: then the filing's.
    """

    actor: bytes
    commitment: bytes
    envelope: Envelope | None = None
    digest: bytes = b""
    epoch: int = 0
    pharmacy: bytes = b""
    order: bytes = b""
    approves: bool = False
    paid: tuple[str, int] | None = None


def ask(context: CallContext, flow: FlowRecord, spec: StageSpec, question: Question) -> FlowRecord:
    """Sends the request of a stage; the flow with the stage pending, not yet stored.

    Refuses as ``contracts.bridge.outbox.send`` does.
    """
    now_ms = context.block.time_ms
    deadline_ms = now_ms + spec.deadline_ms if spec.deadline_ms else 0
    before = flow.stage(spec.stage)
    attempt = 1 if before is None else before.attempt + 1
    asset, amount = question.paid or (flow.asset, flow.amount)
    request = StageRequest(
        flow=flow.flow,
        kind=flow.kind,
        kind_version=flow.kind_version,
        stage=spec.stage,
        attempt=attempt,
        need=spec.need,
        actor=question.actor,
        filer=flow.filer,
        platform=flow.platform or flow.filer,
        authorisation=flow.authorisation,
        commitment=question.commitment,
        envelope=question.digest,
        purpose=spec.purpose,
        pharmacy=question.pharmacy,
        order=question.order,
        subject=flow.subject,
        asset=asset,
        amount=amount,
        requested_ms=now_ms,
        deadline_ms=deadline_ms,
        envelope_epoch=question.epoch,
        approves=question.approves,
    )
    outbox.send(
        context,
        role=SUPERVISION,
        receiver=SUPERVISION,
        kind=REQUEST,
        payload=request,
        attachments=() if question.envelope is None else (encode(question.envelope),),
        deadline_ms=deadline_ms,
    )
    if spec.need == NEED_GRANT:
        drop_grant(context.state, flow.flow, spec.stage)
    asked = _begun(spec.stage, attempt, PENDING, question, now_ms)
    return put_stage(context.state, flow, replace(asked, deadline_ms=deadline_ms))


def give(context: CallContext, flow: FlowRecord, spec: StageSpec, question: Question) -> FlowRecord:
    """The flow with a grant that the kind gives by itself, because the stage needs none of the supervision chain."""
    now_ms = context.block.time_ms
    before = flow.stage(spec.stage)
    attempt = 1 if before is None else before.attempt + 1
    not_after_ms = now_ms + spec.window_ms
    tx_id = context.transaction.tx_id
    grant = GrantView(
        spec.stage,
        attempt,
        tx_id,
        0,
        question.actor,
        b"",
        question.pharmacy,
        question.order,
        now_ms,
        not_after_ms,
        UNLIMITED_USES,
        0,
    )
    put_grant(context.state, flow.flow, grant)
    begun = _begun(spec.stage, attempt, GRANTED, question, now_ms)
    return put_stage(context.state, flow, replace(begun, deadline_ms=not_after_ms, hash=tx_id))


def _begun(stage: str, attempt: int, status: str, question: Question, now_ms: int) -> StageView:
    commitment = question.order or question.commitment
    return StageView(stage, attempt, status, question.actor, commitment, question.digest, 0, now_ms, b"", "", "", 0)


def done_stage(
    context: EndContext, flow: FlowRecord, stage: str, actor: bytes, *, commitment: bytes = b"", hash_: bytes = b""
) -> FlowRecord:
    """The flow with a stage done that was never asked for."""
    before = flow.stage(stage)
    attempt = 1 if before is None else max(before.attempt, 1)
    now_ms = context.block.time_ms
    return put_stage(
        context.state, flow, StageView(stage, attempt, DONE, actor, commitment, b"", 0, now_ms, hash_, "", "", 0)
    )


# --- refused, or not answered in time ---------------------------------------------------------------------------------


def note_refusal(
    context: EndContext,
    flow: FlowRecord,
    stage: StageView,
    *,
    reason: str,
    rule: str = "",
    version: int = 0,
    hash_: bytes = b"",
) -> None:
    """Notes that the supervision chain refuses a stage; it can be asked for again, a decided filing cannot."""
    refused = replace(stage, status=REFUSED, deadline_ms=0, reason=reason, rule=rule, rule_version=version, hash=hash_)
    flow = _reopened(context, put_stage(context.state, flow, refused), stage.stage)
    if stage.stage == FILE:
        flow = replace(flow, status=REFUSED)
    step(context, calls.REFUSED, flow, stage.stage, reason=reason, rule=rule, rule_version=version, hash=hash_)


def note_expiry(context: EndContext, flow: FlowRecord, stage: StageView) -> None:
    """Notes that a stage was not answered, or its grant not used to the end, in time; it can be asked for again."""
    flow = put_stage(context.state, flow, replace(stage, status=EXPIRED, deadline_ms=0))
    flow = _reopened(context, flow, stage.stage)
    if stage.stage == FILE:
        flow = replace(flow, status=EXPIRED)
    step(context, calls.STAGE_EXPIRED, flow, stage.stage)


def _reopened(context: EndContext, flow: FlowRecord, stage: str) -> FlowRecord:
    """Gives the reviewer whose opinion came to nothing what is left of his window, and brings the pool up to date."""
    review = flow.stage(REVIEW)
    if stage == OPINION and review is not None and review.status == DONE:
        grant = find_grant(context.state, flow.flow, REVIEW)
        if grant is not None and grant.not_after_ms >= context.block.time_ms:
            flow = put_stage(context.state, flow, replace(review, deadline_ms=grant.not_after_ms))
        else:
            flow = put_stage(context.state, flow, replace(review, status=EXPIRED, deadline_ms=0))
    pool(context, flow)
    return flow


def pool(context: EndContext, flow: FlowRecord, kind: FlowKind | None = None) -> None:
    """Puts the flow into the pool of documents that wait for review, or takes it out."""
    kind = kind or load_kind(context.state, flow.kind, flow.kind_version)
    if kind.find(REVIEW) is None:
        return
    review = flow.stage(REVIEW)
    waits = (
        flow.status == OPEN
        and not flow.suspended
        and flow.done(FILE)
        and (review is None or review.status in (REFUSED, EXPIRED))
    )
    key = b"p" + flow.number.to_bytes(8, "big")
    if waits:
        entry = PoolEntry(flow.number, flow.authorisation, flow.kind, flow.filed_ms)
        context.state.put(key, encode(entry))
    elif context.state.get(key) is not None:
        context.state.delete(key)


def runs_out(stage: StageView) -> bool:
    """True when a stage whose time is over has come to nothing: unanswered, unused, or used and nothing followed."""
    return stage.status in (PENDING, GRANTED) or (stage.status == DONE and stage.stage in (REVIEW, ORDER))
