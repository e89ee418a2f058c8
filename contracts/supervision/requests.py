"""The life of a request in the records: made, moved from status to status, counted, and listed where it waits."""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace

from contracts.interface import EndContext
from contracts.messages import Decision, StageRequest
from contracts.rulebook.approvals import APPROVALS
from contracts.supervision import statistics
from contracts.supervision.calls import EXPIRED, PENDING, WAITING
from contracts.supervision.sending import deadline_of
from contracts.supervision.state import (
    Ballot,
    Ballots,
    FlowRecord,
    RequestRecord,
    StageMark,
    ballots_codec,
    due_key,
    load_request,
    load_totals,
    numbered,
    place_key,
    store_request,
    store_totals,
)
from ledger.encoding import digest, encode
from ledger.types import Hash32


def create(
    context: EndContext,
    source: bytes,
    request: StageRequest,
    status: str,
    *,
    flow: FlowRecord,
    organisation: str,
    reason: str = "",
    rule: str = "",
    rule_version: int = 0,
    envelope: bytes = b"",
) -> RequestRecord:
    """Stores a new request, numbered and counted.

    Args:
        context: of the supervision contract.
        source: chain id of the business chain.
        request: as it came.
        status: that it begins with.
        flow: that it is of.
        organisation: whose class counts for it; empty where it is unknown.
        reason: reason code of a refusal or of being held.
        rule: that refused or held.
        rule_version: of the rules that held.
        envelope: bytes of the sealed record, when one came with it.
    """
    totals = load_totals(context.state)
    totals.requests += 1
    setattr(totals, status, getattr(totals, status) + 1)
    number = 0
    if envelope:
        totals.records += 1
        number = totals.records
    store_totals(context.state, totals)
    record = RequestRecord(
        number=totals.requests,
        source=source,
        request=request,
        organisation=organisation,
        record=number,
        status=status,
        reason=reason,
        rule=rule,
        rule_version=rule_version,
        received_ms=context.block.time_ms,
        decided_ms=0 if status in (WAITING, PENDING) else context.block.time_ms,
        transaction=b"",
        attested_by=b"",
    )
    store_request(context.state, record)
    place = encode(record.place)
    context.state.put(numbered(b"n", record.number), place)
    if envelope:
        context.state.put(place_key(b"e", request.flow, request.stage, request.attempt), envelope)
        context.state.put(numbered(b"i", number), place)
        context.state.put(numbered(b"c" + request.commitment, number), place)
    if record.undecided:
        context.state.put(numbered(_waiting_prefix(status), record.number), place)
        if deadline_of(request):
            context.state.put(due_key(deadline_of(request), record.number), place)
        if status == PENDING:
            statistics.count(context, flow, record, statistics.HELD)
    else:
        statistics.count(context, flow, record, status)
    return record


def move(
    context: EndContext, flow: FlowRecord | None, record: RequestRecord, status: str, **changes: Any
) -> RequestRecord:
    """Gives a request another status, with what else changes of it; what waited for it is forgotten.

    Args:
        context: of the supervision contract.
        flow: that it is of, as it is after the change.
        record: as it is stored.
        status: the new one.
        **changes: other fields of ``RequestRecord``.
    """
    state, totals = context.state, load_totals(context.state)
    setattr(totals, record.status, getattr(totals, record.status) - 1)
    setattr(totals, status, getattr(totals, status) + 1)
    store_totals(state, totals)
    moved = replace(record, status=status, **changes)
    if record.undecided:
        state.delete(numbered(_waiting_prefix(record.status), record.number))
    if moved.undecided:
        state.put(numbered(_waiting_prefix(status), record.number), encode(record.place))
    elif record.undecided:
        moved = replace(moved, decided_ms=context.block.time_ms)
        if deadline_of(record.request):
            state.delete(due_key(deadline_of(record.request), record.number))
        forget_ballots(context, record)
    store_request(state, moved)
    statistics.count(context, flow, moved, statistics.HELD if status == PENDING else status)
    return moved


def expire(context: EndContext, flow: FlowRecord | None, record: RequestRecord, reason: str) -> RequestRecord:
    """Closes an undecided request; a sealed record that nobody opened is dropped with it."""
    if record.status == WAITING:
        request = record.request
        context.state.delete(place_key(b"e", request.flow, request.stage, request.attempt))
    return move(context, flow, record, EXPIRED, reason=reason)


def mark_attempt(flow: FlowRecord, request: StageRequest) -> FlowRecord:
    """The flow with the request as its stage's newest attempt."""
    rest = tuple(mark for mark in flow.marks if mark.stage != request.stage)
    return replace(flow, marks=(*rest, StageMark(request.stage, request.attempt)))


def supersede(context: EndContext, flow: FlowRecord, request: StageRequest, reason: str) -> None:
    """Closes the stage's request before this one, should it be undecided: its asker has given it up."""
    newest = flow.newest(request.stage)
    record = load_request(context.state, request.flow, request.stage, newest) if newest else None
    if record is not None and record.undecided:
        expire(context, flow, record, reason)


# --- decisions that officers have begun to sign ----------------------------------------------------------------------


def ballot_subject(context: EndContext, decision: Decision) -> Hash32:
    """What officers' signatures on ``decision`` are counted under."""
    return digest(b"tidegate/officers-decision", context.block.chain_id, encode(decision))


def ballots_of(context: EndContext, record: RequestRecord) -> tuple[Ballot, ...]:
    """The decisions on a request that officers have begun to sign, in order."""
    data = context.state.get(place_key(b"j", *_place(record)))
    return () if data is None else ballots_codec.decode(data).ballots


def store_ballots(context: EndContext, record: RequestRecord, ballots: tuple[Ballot, ...]) -> None:
    """Stores them."""
    context.state.put(place_key(b"j", *_place(record)), encode(Ballots(ballots)))


def forget_ballots(context: EndContext, record: RequestRecord) -> None:
    """Drops them and their signatures: the request is decided."""
    ballots = ballots_of(context, record)
    for ballot in ballots:
        context.state.delete(APPROVALS + ballot_subject(context, decision_on(record.request, ballot)))
    if ballots:
        context.state.delete(place_key(b"j", *_place(record)))


def decision_on(request: StageRequest, ballot: Ballot) -> Decision:
    """The decision that a ballot stands for."""
    return Decision(request.flow, request.stage, request.attempt, request.commitment, ballot.outcome, ballot.reason)


def _place(record: RequestRecord) -> tuple[bytes, str, int]:
    request = record.request
    return request.flow, request.stage, request.attempt


def _waiting_prefix(status: str) -> bytes:
    return b"w" if status == WAITING else b"p"
