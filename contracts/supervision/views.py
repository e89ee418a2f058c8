"""What can be asked of the supervision contract; what each question and answer says is in ``answers`` (2.6)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from contracts.interface import Contract, EndContext, view
from contracts.rulebook.approvals import approvals_so_far
from contracts.supervision import answers as a
from contracts.supervision import batches, calls, requests, statistics
from contracts.supervision.calls import Batch
from contracts.supervision.officers import control_subject
from contracts.supervision.state import (
    FlowRecord,
    Place,
    RequestRecord,
    batch_codec,
    disclosure_codec,
    load_attested,
    load_controls,
    load_flow,
    load_limits,
    load_request,
    load_totals,
    numbered,
    place_codec,
    place_key,
    tallies_codec,
    token_codec,
)
from ledger.errors import BrokenInvariant, NotFound

MAX_FLOW_REQUESTS: Final = 64
MAX_DOCUMENT_RECORDS: Final = 64


class SupervisionViews(Contract):
    """The views of ``Supervision``. Each raises ``NotFound`` where what it names is not there."""

    kind = "supervision"

    @view
    def flow(self, context: EndContext, arguments: a.FlowQuery) -> a.FlowView:
        """A flow by its id or authorisation hash, with its requests."""
        name, flow = _flow(context, arguments.flow)
        rows = context.state.iterate(b"r" + name, limit=MAX_FLOW_REQUESTS)
        shown = tuple(_shown(context, _request(context, _place_of(key))) for key, _ in rows)
        controls = load_controls(context.state, name)
        return a.FlowView(
            flow=name,
            kind=flow.kind,
            kind_version=flow.kind_version,
            filer=flow.filer,
            platform=flow.platform,
            organisation=flow.organisation,
            authorisation=flow.authorisation,
            commitment=flow.commitment,
            subject=flow.subject,
            attributes=load_attested(context.state, name),
            reviewer=flow.reviewer,
            control=flow.control,
            counter=controls.counter,
            reason="" if controls.last is None else controls.last.reason,
            requests=shown,
        )

    @view
    def request(self, context: EndContext, arguments: a.RequestQuery) -> a.RequestView:
        """A request and what became of it."""
        return _shown(context, _asked(context, arguments))

    @view
    def requests(self, context: EndContext, arguments: a.PageQuery) -> a.RequestsPage:
        """All requests, in the order in which they came."""
        return _requests(context, b"n", arguments)

    @view
    def waiting(self, context: EndContext, arguments: a.PageQuery) -> a.RequestsPage:
        """Requests that wait for an authority; an authority service resumes from here after a restart."""
        return _requests(context, b"w", arguments)

    @view
    def pending(self, context: EndContext, arguments: a.PageQuery) -> a.RequestsPage:
        """Requests that wait for officers."""
        return _requests(context, b"p", arguments)

    @view
    def record(self, context: EndContext, arguments: a.RequestQuery) -> a.RecordView:
        """A sealed record with its envelope; its ``transaction`` is the authorisation, confirmation or storage hash."""
        record = _asked(context, arguments)
        if not record.record:
            raise NotFound("no sealed record came with that request")
        request = record.request
        envelope = context.state.get(place_key(b"e", request.flow, request.stage, request.attempt))
        return a.RecordView(_shown(context, record), _subject(context, record), envelope or b"")

    @view
    def records(self, context: EndContext, arguments: a.PageQuery) -> a.RecordsPage:
        """All sealed records, in the order in which they came."""
        return _records(context, b"i", arguments.after, arguments.limit)

    @view
    def by_subject(self, context: EndContext, arguments: a.SubjectQuery) -> a.RecordsPage:
        """Sealed records under a subject's pseudonym, in the order in which they came."""
        return _records(context, b"u" + arguments.subject, arguments.after, arguments.limit)

    @view
    def by_document(self, context: EndContext, arguments: a.DocumentQuery) -> a.RecordsPage:
        """Sealed records of a document, by commitment or by the hash that it is known by; at most 64."""
        data = context.state.get(b"h" + arguments.document)
        if data is None:
            return _records(context, b"c" + arguments.document, 0, MAX_DOCUMENT_RECORDS)
        record = _request(context, place_codec.decode(data))
        return a.RecordsPage((_ref(context, record),), record.record, False)

    @view
    def disclosures(self, context: EndContext, arguments: a.PageQuery) -> a.DisclosuresPage:
        """The disclosure log, oldest first."""
        rows = list(_page(context, b"g", arguments.after, arguments.limit))
        found = tuple(disclosure_codec.decode(data) for _, data in rows[: arguments.limit])
        return a.DisclosuresPage(found, len(rows) > arguments.limit)

    @view
    def statistics(self, context: EndContext, arguments: a.StatisticsQuery) -> a.StatisticsPage:
        """Counts of requests by what became of them: of one dimension, by value and day."""
        if arguments.dimension not in calls.DIMENSIONS:
            raise NotFound(f"there is no dimension {arguments.dimension!r}; there are {', '.join(calls.DIMENSIONS)}")
        value = statistics.value_text(arguments.value)
        prefix = statistics.dimension_prefix(arguments.dimension)
        if value:
            prefix = statistics.value_prefix(arguments.dimension, value)
        start = None
        if arguments.after_value:
            after = statistics.value_text(arguments.after_value)
            start = statistics.row_key(arguments.dimension, after, min(arguments.after_day + 1, 2**32 - 1))
        rows = list(context.state.iterate(prefix, start=start, limit=arguments.limit + 1))
        found = []
        for key, data in rows[: arguments.limit]:
            named, day = statistics.read_row_key(key)
            found.append(a.StatisticsRow(named, day, tallies_codec.decode(data)))
        return a.StatisticsPage(tuple(found), len(rows) > arguments.limit)

    @view
    def batch(self, context: EndContext, arguments: a.BatchQuery) -> Batch:
        """A batch and how much of it is used."""
        found = batches.load(context, arguments.number)
        if found is None:
            raise NotFound(f"there is no batch {arguments.number}")
        return found

    @view
    def batches(self, context: EndContext, arguments: a.PageQuery) -> a.BatchesPage:
        """All batches, in the order in which they were granted."""
        rows = list(_page(context, b"q", arguments.after, arguments.limit))
        found = tuple(batch_codec.decode(data) for _, data in rows[: arguments.limit])
        return a.BatchesPage(found, len(rows) > arguments.limit)

    @view
    def control_state(self, context: EndContext, arguments: a.FlowQuery) -> a.ControlView:
        """The control state of a flow, and what officers have begun to sign."""
        name, flow = _flow(context, arguments.flow)
        controls = load_controls(context.state, name)
        proposed = tuple(
            a.ProposedControl(wanted, count)
            for wanted in controls.proposed
            if (count := len(approvals_so_far(context, control_subject(context, wanted))))
        )
        return a.ControlView(flow.control, controls.last, proposed)

    @view
    def limit(self, context: EndContext, arguments: a.LimitQuery) -> a.LimitView:
        """The limit of a flow kind and asset."""
        return a.LimitView(load_limits(context.state, arguments.kind, arguments.asset).last)

    @view
    def counters(self, context: EndContext, arguments: a.Nothing) -> a.Counters:
        """Totals."""
        del arguments
        totals = load_totals(context.state)
        rows = context.state.iterate(b"t", limit=a.MAX_PAGE)
        tokens = [token_codec.decode(data) for _, data in rows]
        return a.Counters(
            requests=totals.requests,
            waiting=totals.waiting,
            pending=totals.pending,
            authorised=totals.authorised,
            granted=totals.granted,
            refused=totals.refused,
            expired=totals.expired,
            late=totals.late,
            flows=totals.flows,
            records=totals.records,
            disclosures=totals.disclosures,
            batches=totals.batches,
            tokens=tuple(a.TokensIssued(token.purpose, token.count) for token in tokens),
        )


def _flow(context: EndContext, name: bytes) -> tuple[bytes, FlowRecord]:
    flow = load_flow(context.state, name)
    if flow is None:
        data = context.state.get(b"h" + name)
        if data is not None:
            name = place_codec.decode(data).flow
            flow = load_flow(context.state, name)
    if flow is None:
        raise NotFound(f"no request of flow {name.hex()} was ever taken")
    return name, flow


def _place_of(key: bytes) -> Place:
    return Place(key[1:33], key[33:-5].decode(), int.from_bytes(key[-4:], "big"))


def _request(context: EndContext, place: Place) -> RequestRecord:
    record = load_request(context.state, place.flow, place.stage, place.attempt)
    if record is None:
        raise BrokenInvariant("a listed request is not there")
    return record


def _asked(context: EndContext, arguments: a.RequestQuery) -> RequestRecord:
    name, flow = _flow(context, arguments.flow)
    attempt = arguments.attempt or flow.newest(arguments.stage)
    record = load_request(context.state, name, arguments.stage, attempt) if attempt else None
    if record is None:
        raise NotFound(f"flow {name.hex()} has no such request of stage {arguments.stage}")
    return record


def _shown(context: EndContext, record: RequestRecord) -> a.RequestView:
    approvals: list[a.Approval] = []
    for ballot in requests.ballots_of(context, record):
        subject = requests.ballot_subject(context, requests.decision_on(record.request, ballot))
        approvals.extend(
            a.Approval(approval.key, ballot.outcome, ballot.reason, approval.transaction)
            for approval in approvals_so_far(context, subject)
        )
    return a.RequestView(
        number=record.number,
        source=record.source,
        request=record.request,
        status=record.status,
        reason=record.reason,
        rule=record.rule,
        rule_version=record.rule_version,
        received_ms=record.received_ms,
        decided_ms=record.decided_ms,
        transaction=record.transaction,
        attested_by=record.attested_by,
        approvals=tuple(approvals),
    )


def _page(context: EndContext, prefix: bytes, after: int, limit: int) -> Iterator[tuple[bytes, bytes]]:
    return context.state.iterate(prefix, start=numbered(prefix, after + 1), limit=limit + 1)


def _requests(context: EndContext, prefix: bytes, arguments: a.PageQuery) -> a.RequestsPage:
    rows = list(_page(context, prefix, arguments.after, arguments.limit))
    found = [_request(context, place_codec.decode(data)) for _, data in rows[: arguments.limit]]
    last = found[-1].number if found else arguments.after
    return a.RequestsPage(tuple(_shown(context, record) for record in found), last, len(rows) > arguments.limit)


def _records(context: EndContext, prefix: bytes, after: int, limit: int) -> a.RecordsPage:
    rows = list(_page(context, prefix, after, limit))
    found = [_request(context, place_codec.decode(data)) for _, data in rows[:limit]]
    last = found[-1].record if found else after
    return a.RecordsPage(tuple(_ref(context, record) for record in found), last, len(rows) > limit)


def _subject(context: EndContext, record: RequestRecord) -> bytes:
    flow = load_flow(context.state, record.request.flow)
    return b"" if flow is None or not record.attested_by else flow.subject or record.request.subject


def _ref(context: EndContext, record: RequestRecord) -> a.RecordRef:
    request = record.request
    return a.RecordRef(
        number=record.record,
        flow=request.flow,
        stage=request.stage,
        attempt=request.attempt,
        status=record.status,
        record=record.transaction,
        commitment=request.commitment,
        subject=_subject(context, record),
    )
