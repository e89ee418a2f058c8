"""Stage requests as they come from the business chain: checked, then queued for an authority, or granted at once."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from contracts.codes import Refusal
from contracts.interface import EndContext
from contracts.messages import (
    FILE,
    NEED_DECISION,
    NEED_GRANT,
    NEED_REPORT,
    OPINION,
    REQUEST,
    STAGES,
    StageRequest,
    Taken,
    request_codec,
)
from contracts.supervision import codes, grants, requests, standing
from contracts.supervision.calls import OPEN, OPENING_EVENT, REFUSED, WAITING, OpeningRequested
from contracts.supervision.sending import FLOW, business_chain, deadline_of, send_refusal
from contracts.supervision.state import (
    FlowRecord,
    load_flow,
    load_totals,
    place_key,
    store_flow,
    store_totals,
)
from ledger.envelope import EnvelopeContext, check_envelope, envelope_codec, envelope_digest
from ledger.errors import InvalidInput
from ledger.packet import Packet

_HASH_BYTES: Final = 32
_KEY_BYTES: Final = 33


def take(context: EndContext, packet: Packet, attachments: Mapping[bytes, bytes]) -> Taken:
    """Takes a stage request.

    Args:
        context: of the supervision contract.
        packet: proved.
        attachments: bytes by SHA-256, all that the packet names.

    Refuses, which answers the packet, what is no proper request; a stage that may not happen is taken, and answered by
    a ``StageRefusal``.
    """
    if packet.kind != REQUEST:
        raise Refusal(codes.PACKET_UNKNOWN, f"this contract takes stage requests, not {packet.kind!r}")
    if packet.source != business_chain(context) or packet.sender != FLOW:
        raise Refusal(codes.PACKET_FOREIGN, "stage requests come from contract flow of the business chain")
    try:
        request = request_codec.decode(packet.payload)
    except InvalidInput as error:
        raise Refusal(codes.REQUEST_MALFORMED, error.message) from error
    _check_form(request)
    deadline = deadline_of(request)
    if deadline and context.block.time_ms > deadline:
        raise Refusal(codes.REQUEST_LATE, "the request's deadline has passed")
    if context.state.get(place_key(b"r", request.flow, request.stage, request.attempt)) is not None:
        raise Refusal(codes.ATTEMPT_OLD, "this very request was taken before")
    if request.need == NEED_GRANT:
        if attachments:
            raise Refusal(codes.REQUEST_MALFORMED, "a grant is given over what was attested; nothing is attached")
        _check_attempt(load_flow(context.state, request.flow), request)
        return grants.ask(context, packet.source, request)
    return _queue(context, packet.source, request, _checked_envelope(packet.source, request, attachments))


def _check_form(request: StageRequest) -> None:
    grant = request.need == NEED_GRANT
    good = (
        request.stage in STAGES
        and request.need in (NEED_DECISION, NEED_GRANT, NEED_REPORT)
        and len(request.envelope) == (0 if grant else _HASH_BYTES)
        and bool(request.purpose) == grant
        and all("!" <= char <= "~" for char in request.purpose)
        and all(len(value) in (0, _HASH_BYTES) for value in (request.authorisation, request.order, request.subject))
        and len(request.pharmacy) in (0, _KEY_BYTES)
        and (request.stage != FILE or (request.need == NEED_DECISION and request.actor == request.filer))
        and (request.stage == OPINION or not request.approves)
        and "\x00" not in request.kind
    )
    if not good:
        raise Refusal(codes.REQUEST_MALFORMED, "the request's fields do not belong together")


def _check_attempt(flow: FlowRecord | None, request: StageRequest) -> None:
    if flow is not None and request.attempt <= flow.newest(request.stage):
        raise Refusal(codes.ATTEMPT_OLD, "a later request of this stage was taken before")


def _checked_envelope(source: bytes, request: StageRequest, attachments: Mapping[bytes, bytes]) -> bytes:
    if len(attachments) != 1:
        raise Refusal(codes.ENVELOPE_MISSING, "the sealed document is attached, and nothing else")
    (data,) = attachments.values()
    try:
        envelope = envelope_codec.decode(data)
        where = EnvelopeContext(source, request.flow, request.stage, request.actor, request.commitment)
        check_envelope(envelope, where)
    except InvalidInput as error:
        raise Refusal(codes.ENVELOPE_INVALID, error.message) from error
    if envelope_digest(envelope) != request.envelope:
        raise Refusal(codes.ENVELOPE_MISSING, "what is attached is another envelope than the request names")
    return data


def _queue(context: EndContext, source: bytes, request: StageRequest, envelope: bytes) -> Taken:
    """Stores the sealed record and lets it wait for an authority; what cannot be is refused at once."""
    flow = load_flow(context.state, request.flow)
    _check_attempt(flow, request)
    if _opens(flow, request):
        organisation, reason = standing.filers_of(context, request)
        if request.need == NEED_REPORT:
            # It has happened already: the regulator hears of it all the more when a stranger did it.
            reason = ""
        elif flow is not None:
            reason = reason or standing.bar_of(flow)
        flow = _opened(context, flow, request, organisation)
    elif flow is None or not flow.authorisation or request.authorisation != flow.authorisation:
        raise Refusal(codes.NOT_AUTHORISED, "no authority authorised this flow, or another transaction did")
    else:
        organisation, reason = flow.organisation, _fault_of(context, flow, request)
        requests.supersede(context, flow, request, codes.ATTEMPT_OLD)
    flow = requests.mark_attempt(flow, request)
    store_flow(context.state, request.flow, flow)
    if reason:
        requests.create(context, source, request, REFUSED, flow=flow, organisation=organisation, reason=reason)
        send_refusal(context, request, reason, "", 0)
        return Taken("refused")
    record = requests.create(context, source, request, WAITING, flow=flow, organisation=organisation, envelope=envelope)
    context.emit(OPENING_EVENT, OpeningRequested(record.number, source, request))
    return Taken("queued")


def _opens(flow: FlowRecord | None, request: StageRequest) -> bool:
    if request.stage == FILE:
        if flow is not None and flow.authorisation:
            raise Refusal(codes.AUTHORISED_ALREADY, "this flow is authorised already")
        return True
    # A kind may report a stage without a filing, settlements below a limit for example.
    unfiled = flow is None or (not flow.authorisation and flow.opened_by == request.stage)
    return request.need == NEED_REPORT and not request.authorisation and unfiled


def _opened(context: EndContext, known: FlowRecord | None, request: StageRequest, organisation: str) -> FlowRecord:
    """The flow as this request opens it, for the first time or again after a refusal."""
    if known is None:
        totals = load_totals(context.state)
        totals.flows += 1
        store_totals(context.state, totals)
    else:
        requests.supersede(context, known, request, codes.ATTEMPT_OLD)
    return FlowRecord(
        kind=request.kind,
        kind_version=request.kind_version,
        filer=request.filer,
        platform=request.platform,
        organisation=organisation,
        opened_by=request.stage,
        commitment=request.commitment,
        authorisation=b"",
        subject=b"",
        granted_reviewer=b"",
        reviewer=b"",
        control=OPEN if known is None else known.control,
        marks=() if known is None else known.marks,
    )


def _fault_of(context: EndContext, flow: FlowRecord, request: StageRequest) -> str:
    if (request.kind, request.filer, request.platform) != (flow.kind, flow.filer, flow.platform):
        return codes.FLOW_DIFFERS
    fault = standing.reviewers_fault(context, flow, request) if request.stage == OPINION else ""
    if fault:
        return fault
    # What is only reported has happened already: its record is kept whatever became of the flow since.
    return "" if request.need == NEED_REPORT else standing.bar_of(flow)
