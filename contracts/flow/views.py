"""What can be asked of the flow contract; what each question and answer says is in ``answers``."""

from __future__ import annotations

from itertools import islice
from typing import Final

from contracts.codes import Refusal
from contracts.flow import answers as a
from contracts.flow.kinds import FILE_COPY, OPINION_COPY, RELEASE, SETTLE_COPY, FlowKind
from contracts.flow.paying import find_payment
from contracts.flow.reimbursement import ratio_codec, row_key
from contracts.flow.state import (
    FlowRecord,
    copy_codec,
    count_flows,
    find_flow,
    find_grant,
    flow_at,
    flow_of,
    load_kind,
    next_stage,
    pool_codec,
    subject_key,
)
from contracts.interface import Contract, EndContext, StateSpace, view
from contracts.messages import ORDER, REVIEW, limit_codec
from ledger.errors import NotFound

MAX_SCANNED: Final = 256
"""Flows that one question looks at, whatever it is filtered by."""
MAX_LIMITS: Final = 256
MAX_KINDS: Final = 256
COPIES: Final = (FILE_COPY, RELEASE, OPINION_COPY, ORDER, SETTLE_COPY)


class FlowViews(Contract):
    """The views of ``Flow``. Each raises ``NotFound`` where what it names is not there."""

    kind = "flow"

    @view
    def flow(self, context: EndContext, arguments: a.FlowQuery) -> a.FlowView:
        """One flow, by its id."""
        found = find_flow(context.state, arguments.flow)
        if found is None:
            raise NotFound(f"there is no flow {arguments.flow.hex()}")
        return _shown(context.state, found)

    @view
    def authorised(self, context: EndContext, arguments: a.AuthorisationQuery) -> a.FlowView:
        """One flow, by the authorisation hash that it is known by."""
        return _shown(context.state, _known_by(context, arguments.authorisation))

    @view
    def flows(self, context: EndContext, arguments: a.FlowsQuery) -> a.FlowsPage:
        """Flows by kind, next stage and party, newest or oldest first, page by page."""
        state, party = context.state, arguments.party
        count = count_flows(state, party)
        if arguments.newest:
            places = range(arguments.after - 1 if arguments.after else count, 0, -1)
        else:
            places = range(arguments.after + 1, count + 1)
        found: list[a.FlowView] = []
        last = 0
        for place in islice(places, MAX_SCANNED):
            if len(found) == arguments.limit:
                break
            last = place
            flow = flow_at(state, place, party)
            if arguments.kind and flow.kind != arguments.kind:
                continue
            shown = _shown(state, flow)
            if not arguments.stage or (shown.next_stage == arguments.stage and shown.status == a.OPEN):
                found.append(shown)
        return a.FlowsPage(tuple(found), last if last and last != places[-1] else 0)

    @view
    def pool(self, context: EndContext, arguments: a.PoolQuery) -> a.PoolPage:
        """Documents that wait for review: authorisation hash, kind and filing time, never content."""
        start = b"p" + (arguments.after + 1).to_bytes(8, "big")
        found: list[a.PoolEntry] = []
        last = seen = 0
        for _, data in context.state.iterate(b"p", start=start, limit=MAX_SCANNED + 1):
            if len(found) == arguments.limit or seen == MAX_SCANNED:
                return a.PoolPage(tuple(found), last)
            entry = pool_codec.decode(data)
            last, seen = entry.number, seen + 1
            if not arguments.kind or entry.kind == arguments.kind:
                found.append(entry)
        return a.PoolPage(tuple(found), 0)

    @view
    def document(self, context: EndContext, arguments: a.AuthorisationQuery) -> a.SealedCopy:
        """The document that stands under an authorisation hash, sealed to its platform."""
        flow = _known_by(context, arguments.authorisation)
        return _sealed(context.state, flow.flow, FILE_COPY)

    @view
    def sealed(self, context: EndContext, arguments: a.SealedQuery) -> a.SealedCopy:
        """One envelope of a flow, by the stage of its context."""
        return _sealed(context.state, arguments.flow, arguments.stage)

    @view
    def copies(self, context: EndContext, arguments: a.FlowQuery) -> a.SealedCopies:
        """Every envelope of a flow that stands on this chain."""
        keys = [b"e" + arguments.flow + stage.encode() for stage in COPIES]
        data = [found for key in keys if (found := context.state.get(key)) is not None]
        return a.SealedCopies(arguments.flow, tuple(copy_codec.decode(found) for found in data))

    @view
    def kind_of(self, context: EndContext, arguments: a.KindQuery) -> FlowKind:
        """A flow kind, in its newest or another version."""
        try:
            return load_kind(context.state, arguments.name, arguments.version)
        except Refusal as refusal:
            raise NotFound(refusal.message) from refusal

    @view
    def kinds(self, context: EndContext, arguments: a.Nothing) -> a.KindsAnswer:
        """The newest versions of all flow kinds."""
        del arguments
        names = [key[1:].decode() for key, _ in context.state.iterate(b"h", limit=MAX_KINDS)]
        return a.KindsAnswer(tuple(load_kind(context.state, name) for name in names))

    @view
    def reimbursement(self, context: EndContext, arguments: a.ReimbursementQuery) -> a.ReimbursementPage:
        """The reimbursement table, page by page."""
        after = arguments.after
        start = None if after is None else row_key(after.coverage, after.drug_code) + b"\x00"
        rows = list(context.state.iterate(b"r", start=start, limit=arguments.limit + 1))
        shown = tuple(ratio_codec.decode(data) for _, data in rows[: arguments.limit])
        return a.ReimbursementPage(shown, len(rows) > arguments.limit)

    @view
    def limits(self, context: EndContext, arguments: a.Nothing) -> a.LimitsAnswer:
        """From which amounts on which flow kinds need a decision."""
        del arguments
        rows = context.state.iterate(b"l", limit=MAX_LIMITS)
        return a.LimitsAnswer(tuple(limit_codec.decode(data) for _, data in rows))

    @view
    def subject(self, context: EndContext, arguments: a.SubjectQuery) -> a.SubjectAnswer:
        """The flows of a settlement: the authorised one, and the report."""
        where = (arguments.kind, arguments.filer, arguments.subject)
        filed, report = (context.state.get(subject_key(prefix, *where)) for prefix in (b"q", b"u"))
        return a.SubjectAnswer(filed or b"", report or b"")


def _known_by(context: EndContext, authorisation: bytes) -> FlowRecord:
    try:
        return flow_of(context.state, authorisation)
    except Refusal as refusal:
        raise NotFound(refusal.message) from refusal


def _sealed(state: StateSpace, flow: bytes, stage: str) -> a.SealedCopy:
    data = state.get(b"e" + flow + stage.encode())
    if data is None:
        raise NotFound(f"flow {flow.hex()} has no envelope of stage {stage}")
    return copy_codec.decode(data)


def _shown(state: StateSpace, flow: FlowRecord) -> a.FlowView:
    kind = load_kind(state, flow.kind, flow.kind_version)
    grants = [grant for stage in (REVIEW, ORDER) if (grant := find_grant(state, flow.flow, stage)) is not None]
    return a.FlowView(
        number=flow.number,
        flow=flow.flow,
        kind=flow.kind,
        kind_version=flow.kind_version,
        status=flow.status,
        suspended=flow.suspended,
        control_reason=flow.control_reason,
        control_counter=flow.control_counter,
        next_stage=next_stage(flow, kind) if flow.alive else "",
        filer=flow.filer,
        platform=flow.platform,
        patient=flow.patient,
        reviewer=flow.reviewer,
        pharmacy=flow.pharmacy,
        payer=flow.payer,
        commitment=flow.commitment,
        authorisation=flow.authorisation,
        subject=flow.subject,
        asset=flow.asset,
        amount=flow.amount,
        approve=flow.approve,
        used=flow.used,
        filed_ms=flow.filed_ms,
        stages=flow.stages,
        grants=tuple(grants),
        payment=find_payment(state, flow.flow),
    )
