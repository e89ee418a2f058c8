"""Order: the patient asks, places the order sealed to the granted pharmacy, which accepts it (PROTOCOL.md 2)."""

from __future__ import annotations

from msgspec.structs import replace

from contracts.codes import Refusal
from contracts.flow import calls, codes
from contracts.flow.answers import ACCEPTED, DONE, StageView
from contracts.flow.asking import Question, ask, give
from contracts.flow.envelopes import check_copy
from contracts.flow.gates import (
    authorised_flow,
    open_flow,
    require_admitted,
    require_askable,
    require_before,
    require_party,
)
from contracts.flow.reviewing import finish, use_grant
from contracts.flow.state import add_party, put_copy, put_stage, step
from contracts.interface import CallContext
from contracts.messages import FULFIL, NEED_GRANT, ORDER


def request_order(context: CallContext, arguments: calls.RequestOrder) -> calls.Moved:
    """See ``Flow.request_order``."""
    flow, kind = authorised_flow(context, arguments.authorisation)
    require_party(context, flow.patient, "the patient")
    spec = require_before(flow, kind, ORDER)
    require_askable(flow.stage(ORDER), ORDER, context.block.time_ms)
    pharmacy = require_admitted(context, arguments.pharmacy, "the pharmacy")
    add_party(context.state, pharmacy, flow.flow)
    question = Question(flow.patient, flow.commitment, pharmacy=pharmacy, order=arguments.order)
    flow = replace(flow, pharmacy=pharmacy)
    if spec.need == NEED_GRANT:
        return step(context, calls.ORDER_REQUESTED, ask(context, flow, spec, question), ORDER)
    return step(context, calls.ORDER_GRANTED, give(context, flow, spec, question), ORDER)


def place(context: CallContext, arguments: calls.Place) -> calls.Moved:
    """See ``Flow.place``."""
    flow, kind = open_flow(context, arguments.flow)
    require_party(context, flow.patient, "the patient")
    require_before(flow, kind, ORDER)
    if flow.stage(FULFIL) is not None:
        raise Refusal(codes.STAGE_DONE, "the pharmacy accepted the order already")
    grant, view = use_grant(context, flow, ORDER, holder=context.sender.key, token=arguments.token)
    copy = check_copy(context, arguments.envelope, flow.flow, ORDER, grant.order, (grant.pharmacy,))
    put_copy(context.state, flow.flow, copy)
    # Where nothing follows, nobody has to accept; else the order runs out with the grant unless the pharmacy does.
    deadline_ms = grant.not_after_ms if kind.find(FULFIL) is not None else 0
    flow = put_stage(context.state, flow, replace(view, status=DONE, deadline_ms=deadline_ms))
    return finish(context, flow, kind, calls.ORDER_PLACED, ORDER)


def accept(context: CallContext, arguments: calls.Accept) -> calls.Moved:
    """See ``Flow.accept``."""
    flow, kind = open_flow(context, arguments.flow)
    require_before(flow, kind, FULFIL)
    require_party(context, flow.pharmacy, "the pharmacy of the order")
    if flow.stage(FULFIL) is not None:
        raise Refusal(codes.STAGE_DONE, "the order is accepted already")
    order = flow.stage(ORDER)
    assert order is not None
    now_ms, pharmacy = context.block.time_ms, context.sender.key
    if order.deadline_ms and now_ms > order.deadline_ms:
        raise Refusal(codes.GRANT_WINDOW, "the window of the order is over: the patient may order again")
    flow = put_stage(context.state, flow, replace(order, deadline_ms=0))
    accepted = StageView(FULFIL, 1, ACCEPTED, pharmacy, b"", b"", 0, now_ms, b"", "", "", 0)
    return step(context, calls.ORDER_ACCEPTED, put_stage(context.state, flow, accepted), FULFIL)
