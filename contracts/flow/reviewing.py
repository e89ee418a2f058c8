"""Review: a reviewer asks, the platform releases the document to him alone, he gives his opinion (PROTOCOL.md 2)."""

from __future__ import annotations

from msgspec.structs import replace

from contracts.codes import Refusal
from contracts.flow import calls, codes
from contracts.flow.answers import (
    CLOSED,
    DONE,
    EXPIRED,
    OPEN,
    PENDING,
    REFUSED,
    REJECTED,
    GrantView,
    StageView,
)
from contracts.flow.asking import Question, ask, done_stage, give, pool
from contracts.flow.envelopes import check_copy, check_for_authorities
from contracts.flow.gates import authorised_flow, open_flow, require_askable, require_before, require_party
from contracts.flow.kinds import OPINION_COPY, RELEASE, FlowKind
from contracts.flow.state import (
    FlowRecord,
    add_party,
    end_flow,
    find_grant,
    next_stage,
    put_copy,
    put_grant,
    put_stage,
    step,
)
from contracts.interface import CallContext, EndContext
from contracts.messages import NEED_DECISION, NEED_GRANT, OPINION, REVIEW
from ledger.keys import key_text


def request_review(context: CallContext, arguments: calls.RequestReview) -> calls.Moved:
    """See ``Flow.request_review``."""
    flow, kind = authorised_flow(context, arguments.authorisation)
    spec = require_before(flow, kind, REVIEW)
    reviewer = context.sender.key
    if reviewer in (flow.patient, flow.filer):
        raise Refusal(codes.PARTY_WRONG, "filer and patient do not review their own document")
    _require_free(flow, context.block.time_ms)
    add_party(context.state, reviewer, flow.flow)
    question = Question(reviewer, flow.commitment)
    if spec.need == NEED_GRANT:
        flow = ask(context, flow, spec, question)
        event = calls.REVIEW_REQUESTED
    else:
        flow = give(context, flow, spec, question)
        event = calls.REVIEW_GRANTED
    pool(context, flow, kind)
    return step(context, event, flow, REVIEW)


def _require_free(flow: FlowRecord, now_ms: int) -> None:
    opinion = flow.stage(OPINION)
    if opinion is not None and opinion.status == DONE:
        raise Refusal(codes.STAGE_DONE, "the opinion is confirmed")
    if opinion is not None and opinion.status == PENDING and now_ms <= opinion.deadline_ms:
        raise Refusal(codes.STAGE_PENDING, "an opinion waits to be confirmed", deadline_ms=opinion.deadline_ms)
    review = flow.stage(REVIEW)
    if review is not None and review.status == DONE and not review.deadline_ms:
        # An opinion whose deadline has passed and which the block's end has not noted yet.
        return
    require_askable(review, REVIEW, now_ms)


def use_grant(
    context: CallContext, flow: FlowRecord, stage: str, *, holder: bytes, token: bytes
) -> tuple[GrantView, StageView]:
    """The grant of a stage with one use less, once all that it is bound to holds; and the stage.

    Refuses with ``flow_grant_missing``, ``flow_grant_holder``, ``flow_token_wrong``, ``flow_grant_window`` or
    ``flow_grant_used``.
    """
    grant = find_grant(context.state, flow.flow, stage)
    view = flow.stage(stage)
    if grant is None or view is None or view.status in (PENDING, REFUSED):
        raise Refusal(
            codes.GRANT_MISSING,
            f"the supervision chain granted no {stage} of this flow; a token alone is worth nothing",
        )
    if holder != grant.holder:
        raise Refusal(codes.GRANT_HOLDER, f"the grant is {key_text(grant.holder)}'s")
    if token != grant.token:
        raise Refusal(codes.TOKEN_WRONG, f"that is not the token of this flow's grant for {stage}")
    now_ms = context.block.time_ms
    if not grant.not_before_ms <= now_ms <= grant.not_after_ms or view.status == EXPIRED:
        raise Refusal(
            codes.GRANT_WINDOW, f"the grant is good from {grant.not_before_ms} to {grant.not_after_ms}, now is {now_ms}"
        )
    if not grant.uses_left:
        raise Refusal(codes.GRANT_USED, "the grant was used as often as it allows")
    used = replace(grant, uses_left=grant.uses_left - 1)
    put_grant(context.state, flow.flow, used)
    return used, view


def release(context: CallContext, arguments: calls.Release) -> calls.Moved:
    """See ``Flow.release``."""
    flow, kind = open_flow(context, arguments.flow)
    require_before(flow, kind, REVIEW)
    require_party(context, flow.platform, "the platform")
    opinion = flow.stage(OPINION)
    if opinion is not None and opinion.status in (PENDING, DONE):
        raise Refusal(codes.STAGE_DONE, "the opinion is given")
    grant, view = use_grant(context, flow, REVIEW, holder=arguments.reviewer, token=arguments.token)
    owners = (arguments.reviewer,)
    copy = check_copy(context, arguments.envelope, flow.flow, RELEASE, flow.commitment, owners)
    put_copy(context.state, flow.flow, copy)
    # Its window stays: without an opinion until then, another reviewer's turn comes.
    flow = put_stage(context.state, flow, replace(view, status=DONE, deadline_ms=grant.not_after_ms))
    return step(context, calls.RELEASED, flow, REVIEW, token=grant.token)


def opinion(context: CallContext, arguments: calls.Opinion) -> calls.Moved:
    """See ``Flow.opinion``."""
    flow, kind = open_flow(context, arguments.flow)
    spec = kind.spec(OPINION)
    reviewer, state, now_ms = context.sender.key, context.state, context.block.time_ms
    review = flow.stage(REVIEW)
    if review is None or review.status != DONE or review.actor != reviewer:
        raise Refusal(codes.NOT_RELEASED, "an opinion is given by the reviewer to whom the document was released")
    require_before(flow, kind, OPINION)
    require_askable(flow.stage(OPINION), OPINION, now_ms)
    if review.deadline_ms and now_ms > review.deadline_ms:
        raise Refusal(codes.GRANT_WINDOW, "the window of the review is over: ask for it again")
    copy = check_copy(context, arguments.copy, flow.flow, OPINION_COPY, arguments.commitment, (flow.platform,))
    put_copy(state, flow.flow, copy)
    flow = replace(put_stage(state, flow, replace(review, deadline_ms=0)), approve=arguments.approve)
    if spec.need != NEED_DECISION:
        flow = done_stage(context, flow, OPINION, reviewer, commitment=arguments.commitment)
        step(context, calls.OPINION_GIVEN, flow, OPINION)
        return confirm_opinion(context, flow, kind, b"")
    if arguments.envelope is None:
        raise Refusal(codes.ENVELOPE_RECIPIENTS, "the opinion is sealed to the authorities too")
    digest, epoch = check_for_authorities(context, arguments.envelope, flow.flow, OPINION, arguments.commitment)
    question = Question(reviewer, arguments.commitment, arguments.envelope, digest, epoch, approves=arguments.approve)
    flow = ask(context, flow, spec, question)
    return step(context, calls.OPINION_GIVEN, flow, OPINION)


def confirm_opinion(context: EndContext, flow: FlowRecord, kind: FlowKind, hash_: bytes) -> calls.Moved:
    """The opinion counts: one that does not approve ends the flow."""
    if not flow.approve:
        flow = end_flow(context.state, flow, REJECTED)
    return finish(context, flow, kind, calls.OPINION_CONFIRMED, OPINION, hash_)


def finish(
    context: EndContext, flow: FlowRecord, kind: FlowKind, event: str, stage: str, hash_: bytes = b""
) -> calls.Moved:
    """Ends the flow where the kind has no stage left; stores it and emits the event of its step."""
    if flow.status == OPEN and not next_stage(flow, kind):
        flow = end_flow(context.state, flow, CLOSED)
    return step(context, event, flow, stage, hash=hash_)
