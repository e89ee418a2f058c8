"""Filing: the first stage of every flow (PROTOCOL.md 2)."""

from __future__ import annotations

from msgspec.structs import replace

from contracts.codes import Refusal
from contracts.flow import calls, codes
from contracts.flow.answers import EXPIRED, FILING, REFUSED
from contracts.flow.asking import Question, ask
from contracts.flow.envelopes import check_copy, check_for_authorities
from contracts.flow.gates import require_admitted, require_not_suspended
from contracts.flow.kinds import FILE_COPY, FlowKind
from contracts.flow.state import (
    FlowRecord,
    begin_flow,
    find_flow,
    load_kind,
    put_copy,
    step,
)
from contracts.interface import CallContext
from contracts.messages import FILE, FULFIL, ORDER, REVIEW, SETTLE


def file(context: CallContext, arguments: calls.File) -> calls.Moved:
    """See ``Flow.file``."""
    state, filer = context.state, context.sender.key
    name = calls.flow_id(context.block.chain_id, filer, arguments.commitment)
    existing = find_flow(state, name)
    if existing is None:
        kind = load_kind(state, arguments.kind)
        _check_fields(context, arguments, kind)
        flow = _new(context, arguments, kind, name)
    else:
        flow = _again(existing, arguments)
        kind = load_kind(state, flow.kind, flow.kind_version)
    digest, epoch = check_for_authorities(context, arguments.envelope, name, FILE, arguments.commitment)
    if arguments.document is not None:
        owners = (arguments.platform,)
        put_copy(state, name, check_copy(context, arguments.document, name, FILE_COPY, arguments.commitment, owners))
    question = Question(filer, arguments.commitment, arguments.envelope, digest, epoch)
    flow = ask(context, flow, kind.spec(FILE), question)
    return step(context, calls.FILED, flow, FILE)


def _new(context: CallContext, arguments: calls.File, kind: FlowKind, name: bytes) -> FlowRecord:
    return begin_flow(
        context,
        name,
        kind,
        filer=context.sender.key,
        commitment=arguments.commitment,
        status=FILING,
        platform=arguments.platform,
        patient=arguments.patient,
        subject=arguments.subject,
        asset=arguments.asset,
        amount=arguments.amount,
    )


def _again(flow: FlowRecord, arguments: calls.File) -> FlowRecord:
    """The flow of a filing that nobody decided, to be asked about once more."""
    require_not_suspended(flow)
    stage = flow.stage(FILE)
    undecided = flow.status == EXPIRED or (flow.status == REFUSED and stage is not None and not stage.hash)
    if not undecided:
        raise Refusal(
            codes.FILED_ALREADY,
            "this document was filed already; another filing of it has another salt",
            flow=flow.flow,
        )
    same = (flow.kind, flow.platform, flow.patient, flow.subject, flow.asset, flow.amount)
    said = (
        arguments.kind,
        arguments.platform,
        arguments.patient,
        arguments.subject,
        arguments.asset,
        arguments.amount,
    )
    if same != said or (arguments.document is None) == bool(flow.platform):
        raise Refusal(codes.FIELD_INVALID, "what is filed again is the same as before")
    return replace(flow, status=FILING)


def _check_fields(context: CallContext, arguments: calls.File, kind: FlowKind) -> None:
    reviewed = kind.find(REVIEW) is not None
    ordered = kind.find(ORDER) is not None
    if arguments.platform or reviewed:
        require_admitted(context, arguments.platform, "the platform")
    if arguments.patient or ordered:
        require_admitted(context, arguments.patient, "the patient")
    if (arguments.document is None) == bool(arguments.platform):
        raise Refusal(codes.FIELD_INVALID, "the document is sealed to the platform where there is one, and only there")
    if len(arguments.subject) not in (0, 32):
        raise Refusal(codes.FIELD_INVALID, "a subject has 32 bytes, or none")
    if bool(arguments.amount) and not arguments.asset:
        raise Refusal(codes.FIELD_INVALID, "an amount is of an asset")
    if arguments.asset and not context.directory.asset_exists(arguments.asset):
        raise Refusal(codes.ASSET_WRONG, f"there is no asset {arguments.asset!r}")
    settled_elsewhere = kind.find(SETTLE) is not None and kind.find(FULFIL) is None
    if settled_elsewhere and not (arguments.subject and arguments.amount):
        raise Refusal(codes.FIELD_INVALID, f"a flow of kind {kind.name} is about a subject, an asset and an amount")
