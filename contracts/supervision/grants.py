"""Grants: what the contracts alone give, over the attributes that an authority attested at filing (PROTOCOL.md 2.1)."""

from __future__ import annotations

from typing import Final

from msgspec.structs import replace

from contracts.codes import Refusal
from contracts.interface import EndContext
from contracts.messages import ORDER, REVIEW, Grant, StageRequest, Taken
from contracts.rulebook.check import HOLD, REFUSE
from contracts.supervision import codes, requests, standing
from contracts.supervision.calls import GRANTED, HELD_EVENT, PENDING, REFUSED, Decided
from contracts.supervision.sending import send_grant, send_refusal
from contracts.supervision.state import FlowRecord, RequestRecord, TokenCount, load_flow, store_flow, token_codec
from ledger.encoding import encode
from ledger.token import token, utc_date
from ledger.types import ZERO_HASH

GRANT_WINDOW_MS: Final = 30 * 86_400_000
"""How long a grant may be used."""
LONG_GRANT_WINDOW_MS: Final = 90 * 86_400_000
"""The same for organisations of class ``full``."""
GRANT_USES: Final = 1


def ask(context: EndContext, source: bytes, request: StageRequest) -> Taken:
    """Gives a grant, refuses it, or leaves it to officers, at once.

    Args:
        context: of the supervision contract.
        source: chain id of the business chain.
        request: whose need is ``grant``; well-formed.
    """
    flow = load_flow(context.state, request.flow)
    if flow is None:
        raise Refusal(codes.NOT_AUTHORISED, "no authority ever authorised this flow")
    requests.supersede(context, flow, request, codes.ATTEMPT_OLD)
    flow = requests.mark_attempt(flow, request)
    store_flow(context.state, request.flow, flow)
    organisation, fault = standing.asker_of(context, request)
    reason = _fault_of_flow(flow, request) or fault
    if reason:
        return _refuse(context, source, request, flow, organisation, reason)
    verdict = standing.verdict_on(context, flow, request, organisation)
    if verdict.outcome == REFUSE:
        return _refuse(context, source, request, flow, organisation, verdict.reason, verdict.rule, verdict.version)
    held, rule = (verdict.reason, verdict.rule) if verdict.outcome == HOLD else ("", "")
    if not held and standing.is_controlled(context, organisation):
        held = codes.CLASS_CONTROLLED
    record = requests.create(
        context,
        source,
        request,
        PENDING if held else GRANTED,
        flow=flow,
        organisation=organisation,
        reason=held,
        rule=rule,
        rule_version=verdict.version,
    )
    if held:
        context.emit(HELD_EVENT, held_event(record))
        return Taken("queued")
    issue(context, flow, record)
    return Taken("granted")


def issue(context: EndContext, flow: FlowRecord, record: RequestRecord) -> Grant:
    """Sends the grant of a request whose status is ``granted``, and notes who may review."""
    request, now = record.request, context.block.time_ms
    long = standing.is_white_listed(context, record.organisation)
    grant = Grant(
        flow=request.flow,
        stage=request.stage,
        attempt=request.attempt,
        holder=request.actor,
        authorisation=flow.authorisation,
        purpose=request.purpose,
        pharmacy=request.pharmacy,
        order=request.order,
        # Compared with times of the business chain, whose clock may be a little behind this one's.
        not_before_ms=min(request.requested_ms, now),
        not_after_ms=now + (LONG_GRANT_WINDOW_MS if long else GRANT_WINDOW_MS),
        uses=GRANT_USES,
        rule_version=record.rule_version,
        token=token(utc_date(now), flow.authorisation, request.purpose),
    )
    send_grant(context, request, grant)
    if request.stage == REVIEW:
        store_flow(context.state, request.flow, replace(flow, granted_reviewer=request.actor))
    key = b"t" + request.purpose.encode()
    data = context.state.get(key)
    count = 0 if data is None else token_codec.decode(data).count
    context.state.put(key, encode(TokenCount(request.purpose, count + 1)))
    return grant


def held_event(record: RequestRecord) -> Decided:
    """Event of a request that is left to officers without anybody's decision so far."""
    request = record.request
    return Decided(
        flow=request.flow,
        stage=request.stage,
        attempt=request.attempt,
        status=PENDING,
        reason=record.reason,
        rule=record.rule,
        rule_version=record.rule_version,
        transaction=ZERO_HASH,
        signatures=0,
    )


def _fault_of_flow(flow: FlowRecord, request: StageRequest) -> str:
    if not flow.authorisation or request.authorisation != flow.authorisation:
        return codes.NOT_AUTHORISED
    if (request.commitment, request.kind, request.filer, request.platform) != (
        flow.commitment,
        flow.kind,
        flow.filer,
        flow.platform,
    ):
        return codes.FLOW_DIFFERS
    if request.stage == ORDER and flow.granted_reviewer and not flow.reviewer:
        return codes.OPINION_MISSING
    return standing.bar_of(flow)


def _refuse(
    context: EndContext,
    source: bytes,
    request: StageRequest,
    flow: FlowRecord,
    organisation: str,
    reason: str,
    rule: str = "",
    rule_version: int = 0,
) -> Taken:
    requests.create(
        context,
        source,
        request,
        REFUSED,
        flow=flow,
        organisation=organisation,
        reason=reason,
        rule=rule,
        rule_version=rule_version,
    )
    send_refusal(context, request, reason, rule, rule_version)
    return Taken("refused")
