"""What must fit together in a bundle about a flow, so that nothing of it can be left out, swapped or put in.

The flow's own record on the business chain says how often each stage was asked for and how it stands; every request has
its answer, every answer its packet, every decision the transactions that signed it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from contracts import messages
from contracts.flow import calls
from contracts.flow.answers import ACCEPTED, DONE, EXPIRED, GRANTED, PENDING, PRICED, REFUSED, TERMINATED, StageView
from contracts.flow.calls import flow_id
from contracts.flow.state import FlowRecord, flow_codec
from contracts.messages import Control, Decision, Grant, StageRefusal
from contracts.supervision.calls import AUTHORISED, LATE, WAITING
from contracts.supervision.calls import GRANTED as GIVEN
from contracts.supervision.calls import PENDING as HELD
from contracts.supervision.calls import REFUSED as DENIED
from contracts.supervision.state import FlowRecord as SupervisedFlow
from contracts.supervision.state import RequestRecord, place_key, request_record_codec
from contracts.supervision.state import flow_codec as supervised_codec
from ledger.packet import ANSWER_OK
from ledger.token import token, utc_date
from node.bundles.chains import ProvedChain, decoded
from node.bundles.flow_events import FlowEvents, Move, Sent
from node.evidence_bundle import refuse

INCOMPLETE: Final = "bundle_incomplete"
MISMATCH: Final = "bundle_mismatch"
ASKING: Final = {
    messages.FILE: (calls.FILED,),
    messages.REVIEW: (calls.REVIEW_REQUESTED, calls.REVIEW_GRANTED),
    messages.OPINION: (calls.OPINION_GIVEN,),
    messages.ORDER: (calls.ORDER_REQUESTED, calls.ORDER_GRANTED),
    messages.FULFIL: (calls.ORDER_ACCEPTED,),
    messages.SETTLE: (calls.SETTLED,),
    messages.DELIVER: (calls.DELIVERED,),
}
"""Events that begin an attempt of a stage."""
_BEFORE: Final = {
    calls.AUTHORISED: calls.FILED,
    calls.RELEASED: calls.REVIEW_GRANTED,
    calls.OPINION_GIVEN: calls.RELEASED,
    calls.OPINION_CONFIRMED: calls.OPINION_GIVEN,
    calls.ORDER_PLACED: calls.ORDER_GRANTED,
    calls.ORDER_ACCEPTED: calls.ORDER_PLACED,
    calls.PAYMENT_REQUESTED: calls.ORDER_ACCEPTED,
    calls.SETTLEMENT_STORED: calls.SETTLED,
    calls.RESUMED: calls.SUSPENDED,
}
"""Event → one that must have come before it."""
_CONTROLS: Final = {
    calls.SUSPENDED: messages.SUSPEND,
    calls.RESUMED: messages.RESUME,
    calls.TERMINATED: messages.TERMINATE,
}
_BY_DECISION: Final = (calls.AUTHORISED, calls.OPINION_CONFIRMED, calls.SETTLEMENT_STORED)
_BY_GRANT: Final = (calls.REVIEW_GRANTED, calls.ORDER_GRANTED)
_VERDICTS: Final = {AUTHORISED, GIVEN, DENIED, LATE}


@dataclass(frozen=True, slots=True)
class CheckedFlow:
    """A flow whose evidence fits together.

    Attributes:
        record: as the business chain kept it after ``height``.
        height: of the last change of the record that the bundle shows.
        events: all of it.
        causes: by path and event index of a move: the supervision chain's packet that made it.
        supervised: the supervision chain's own record; None where the bundle has only the business chain.
        requests: the supervision chain's record of each request, by stage and attempt.
    """

    record: FlowRecord
    height: int
    events: FlowEvents
    causes: dict[tuple[str, int], Sent]
    supervised: SupervisedFlow | None
    requests: dict[tuple[str, int], RequestRecord]


def check_flow(flow: bytes, events: FlowEvents, business: ProvedChain, supervision: ProvedChain | None) -> CheckedFlow:
    """Checks that the evidence about a flow fits together and that nothing of it is missing.

    Raises:
        InvalidProof: ``bundle_incomplete``: something is missing; ``bundle_mismatch``: two things do not fit together.
    """
    record, height = _record(flow, events, business)
    _check_order(events, business)
    for stage in record.stages:
        _check_stage(record, stage, events, business)
    causes: dict[tuple[str, int], Sent] = {}
    supervised: SupervisedFlow | None = None
    requests: dict[tuple[str, int], RequestRecord] = {}
    if supervision is not None:
        causes = _causes(events, business, supervision)
        _check_controls(record, events, supervision)
        supervised, requests = _supervised(record, events, supervision)
        for sent in events.verdicts:
            _check_signed(sent, events, supervision)
    return CheckedFlow(record, height, events, causes, supervised, requests)


def _record(flow: bytes, events: FlowEvents, business: ProvedChain) -> tuple[FlowRecord, int]:
    field = f"{business.path}.changes"
    if not events.moves:
        refuse(f"{business.path}.steps", "none of them is a step of this flow", INCOMPLETE)
    kept = business.newest(business.address("flow"), b"f" + flow)
    if kept is None or kept.value is None:
        refuse(field, "the record of the flow is missing", INCOMPLETE)
    record = decoded(flow_codec, kept.value, f"{kept.path}.value")
    if record.flow != flow or flow_id(business.genesis.chain_id, record.filer, record.commitment) != flow:
        refuse(f"{kept.path}.value", "the record is of another flow", MISMATCH)
    last = events.moves[-1].step
    if kept.height < last.height:
        refuse(f"{kept.path}.height", f"the record is older than the flow's last step, in {last.height}", MISMATCH)
    for name, other in (("filer", events.moves[0].moved), ("filer", events.moves[-1].moved)):
        if other is not None and getattr(other, name) != getattr(record, name):
            refuse(f"{kept.path}.value", "a step of the flow names another filer", MISMATCH)
    return record, kept.height


def _check_order(events: FlowEvents, business: ProvedChain) -> None:
    first = events.moves[0]
    if first.name not in (calls.FILED, calls.SETTLED):
        refuse(first.step.path, f"the flow begins with {first.name}: what was before is missing", INCOMPLETE)
    seen: set[str] = set()
    for move in events.moves:
        needed = _BEFORE.get(move.name)
        if needed is not None and needed not in seen:
            refuse(move.step.path, f"{move.name} without {needed} before it", INCOMPLETE)
        if move.name == calls.FILED and seen:
            refuse(move.step.path, "filed twice", MISMATCH)
        seen.add(move.name)
    del business


def _of_stage(events: FlowEvents, stage: str, names: tuple[str, ...]) -> list[Move]:
    return [move for move in events.moves if move.moved and move.moved.stage == stage and move.name in names]


def _check_stage(record: FlowRecord, view: StageView, events: FlowEvents, business: ProvedChain) -> None:
    """Each attempt was asked for, each but the last came to nothing, and the last one to what the record says."""
    stage, steps = view.stage, f"{business.path}.steps"
    moves = [move.moved for move in events.moves if move.moved and move.moved.stage == stage]
    asked = {moved.attempt for moved in (m.moved for m in _of_stage(events, stage, ASKING[stage])) if moved}
    missing = set(range(1, view.attempt + 1)) - asked
    if missing:
        refuse(steps, f"attempt {min(missing)} of {stage} is missing", INCOMPLETE)
    if any(moved.attempt > view.attempt for moved in moves):
        refuse(steps, f"an attempt of {stage} is newer than the flow's record", MISMATCH)
    ended = _of_stage(events, stage, (calls.REFUSED, calls.STAGE_EXPIRED))
    came = {move.moved.attempt: move for move in ended if move.moved}
    last = came.get(view.attempt)
    if view.status == REFUSED and (last is None or last.moved is None or last.moved.reason != view.reason):
        refuse(steps, f"the refusal of {stage}, attempt {view.attempt}, is missing", INCOMPLETE)
    if view.status in (PENDING, GRANTED, ACCEPTED, PRICED) and last is not None and stage != messages.REVIEW:
        refuse(last.step.path, f"{stage} came to an end that the flow's record does not know", MISMATCH)
    if view.status == EXPIRED and last is None and stage != messages.REVIEW:
        refuse(steps, f"the end of {stage}, attempt {view.attempt}, is missing", INCOMPLETE)
    if view.hash and view.status in (DONE, GRANTED) and view.hash not in {moved.hash for moved in moves}:
        refuse(steps, f"what {stage} is known by, {view.hash.hex()}, is missing", INCOMPLETE)
    for attempt in range(1, view.attempt):
        if attempt not in came and not _ran_out(stage, attempt, events):
            refuse(steps, f"what became of {stage}, attempt {attempt}, is missing", INCOMPLETE)
    if record.status == TERMINATED and calls.TERMINATED not in {move.name for move in events.moves}:
        refuse(steps, "the end that the regulator put to the flow is missing", INCOMPLETE)


def _ran_out(stage: str, attempt: int, events: FlowEvents) -> bool:
    """True when an attempt may have come to nothing without an event: its time was over when the next one began."""
    of_it = [m for m in events.moves if m.moved and m.moved.stage == stage and m.moved.attempt == attempt]
    later = [m for m in events.moves if m.moved and m.moved.stage == stage and m.moved.attempt > attempt]
    deadlines = [m.moved.deadline_ms for m in of_it if m.moved and m.moved.deadline_ms]
    if stage == messages.REVIEW and any(move.name == calls.RELEASED for move in of_it):
        return True
    return bool(deadlines and later) and later[0].step.time_ms > min(deadlines)


# --- what the supervision chain said ----------------------------------------------------------------------------------


def _causes(events: FlowEvents, business: ProvedChain, supervision: ProvedChain) -> dict[tuple[str, int], Sent]:
    """The packet behind each step that the supervision chain made, checked against the step."""
    by_digest = {sent.digest: sent for sent in events.verdicts}
    found: dict[tuple[str, int], Sent] = {}
    for move in events.moves:
        moved, sent = move.moved, by_digest.get(move.cause)
        needed = (
            move.name in _BY_DECISION
            or move.name in _CONTROLS
            or (move.name in _BY_GRANT and bool(moved and moved.token))
        )
        if moved is None or (not needed and (move.name != calls.REFUSED or sent is None)):
            if move.name == calls.REFUSED and moved is not None:
                _check_unheard(move, events, supervision)
            continue
        if moved.hash == b"" and move.name == calls.OPINION_CONFIRMED and sent is None:
            continue  # a kind whose opinions nobody confirms
        if sent is None:
            refuse(f"{supervision.path}.steps", f"what made {move.name} in {move.step.path} is missing", INCOMPLETE)
        _check_cause(move, sent, business)
        found[move.step.path, move.event_index] = sent
    return found


def _check_unheard(move: Move, events: FlowEvents, supervision: ProvedChain) -> None:
    """A refusal without a packet: the supervision chain did not take the request, and its answer says why."""
    moved = move.moved
    assert moved is not None
    for sent in events.requests:
        if (sent.payload.stage, sent.payload.attempt) == (moved.stage, moved.attempt):
            heard = events.supervision_answers.get(sent.digest)
            if heard is not None and heard.answer.code == moved.reason:
                return
    refuse(f"{supervision.path}.steps", f"what refused {moved.stage} in {move.step.path} is missing", INCOMPLETE)


def _check_cause(move: Move, sent: Sent, business: ProvedChain) -> None:
    moved, said, path = move.moved, sent.payload, sent.step.path
    assert moved is not None
    del business
    if isinstance(said, Control):
        if _CONTROLS.get(move.name) != said.action or moved.reason != said.reason:
            refuse(path, f"{said.action} is not what {move.step.path} says", MISMATCH)
        return
    if (said.stage, said.attempt) != (moved.stage, moved.attempt):
        refuse(path, f"about {said.stage}, attempt {said.attempt}, not {moved.stage}, {moved.attempt}", MISMATCH)
    if isinstance(said, Decision):
        outcome = messages.REFUSED if move.name == calls.REFUSED else messages.AUTHORISED
        if said.outcome != outcome or moved.hash != sent.step.tx_id or said.reason != moved.reason:
            refuse(path, "the decision is not the one that the flow went on with", MISMATCH)
    elif isinstance(said, Grant):
        formula = token(utc_date(sent.step.time_ms), said.authorisation, said.purpose)
        if (said.token, said.token, sent.step.tx_id) != (moved.token, formula, moved.hash):
            refuse(path, "the grant's token or transaction is not the one that the flow went on with", MISMATCH)
    elif isinstance(said, StageRefusal) and (said.reason, said.rule) != (moved.reason, moved.rule):
        refuse(path, "refused for another reason than the flow's", MISMATCH)


def _check_controls(record: FlowRecord, events: FlowEvents, supervision: ProvedChain) -> None:
    counters = [sent.payload.counter for sent in events.verdicts if isinstance(sent.payload, Control)]
    if len(set(counters)) != len(counters):
        refuse(f"{supervision.path}.steps", "a control stands twice", MISMATCH)
    missing = set(range(1, max([record.control_counter, *counters]) + 1)) - set(counters)
    if missing:
        refuse(f"{supervision.path}.steps", f"control {min(missing)} of the regulator is missing", INCOMPLETE)


def _supervised(
    record: FlowRecord, events: FlowEvents, supervision: ProvedChain
) -> tuple[SupervisedFlow | None, dict[tuple[str, int], RequestRecord]]:
    """The supervision chain's own record of the flow, and what became of each request that it took."""
    address, steps, changes = (
        supervision.address("supervision"),
        f"{supervision.path}.steps",
        f"{supervision.path}.changes",
    )
    requests: dict[tuple[str, int], RequestRecord] = {}
    newest: dict[str, int] = {}
    for sent in events.requests:
        request, heard = sent.payload, events.supervision_answers.get(sent.digest)
        place = (request.stage, request.attempt)
        if heard is None:
            if any(_about(verdict, place) for verdict in events.verdicts):
                refuse(steps, f"the answer to {request.stage}, attempt {request.attempt}, is missing", INCOMPLETE)
            continue
        if heard.answer.code != ANSWER_OK:
            continue
        kept = supervision.newest(address, place_key(b"r", request.flow, *place))
        if kept is None or kept.value is None:
            refuse(changes, f"the record of {request.stage}, attempt {request.attempt}, is missing", INCOMPLETE)
        found = decoded(request_record_codec, kept.value, f"{kept.path}.value")
        if found.request != request:
            refuse(f"{kept.path}.value", "of another request than was sent", MISMATCH)
        requests[place] = found
        newest[request.stage] = max(newest.get(request.stage, 0), request.attempt)
        verdicts = [verdict for verdict in events.verdicts if _about(verdict, place)]
        if found.status in _VERDICTS and not verdicts:
            refuse(steps, f"it was {found.status}, and what was said to {place[0]} is missing", INCOMPLETE)
        if found.status not in _VERDICTS and verdicts:
            refuse(f"{kept.path}.value", f"{found.status}, though it was decided: the record is older", MISMATCH)
    for (stage, attempt), found in requests.items():
        if found.status in (WAITING, HELD) and attempt < newest[stage]:
            refuse(changes, f"what became of {stage}, attempt {attempt}, is older than the next one", MISMATCH)
    kept = supervision.newest(address, b"f" + record.flow)
    if kept is None or kept.value is None:
        if requests:
            refuse(changes, "the supervision chain's record of the flow is missing", INCOMPLETE)
        return None, requests
    supervised = decoded(supervised_codec, kept.value, f"{kept.path}.value")
    marks = {mark.stage: mark.attempt for mark in supervised.marks}
    if marks != newest:
        refuse(f"{kept.path}.value", "the supervision chain knows of other requests", MISMATCH)
    authorised = supervised.authorisation if record.authorisation else b""
    if supervised.filer != record.filer or authorised != record.authorisation:
        refuse(f"{kept.path}.value", "another filer, or another authorisation", MISMATCH)
    return supervised, requests


def _about(verdict: Sent, place: tuple[str, int]) -> bool:
    said = verdict.payload
    return not isinstance(said, Control) and (said.stage, said.attempt) == place


def _check_signed(sent: Sent, events: FlowEvents, supervision: ProvedChain) -> None:
    """A decision or control was signed, word for word, in the transactions that its packet names."""
    said = sent.payload
    if not isinstance(said, Decision | Control):
        return
    for tx_id in sent.packet.evidence:
        signed = events.signed.get(tx_id)
        if signed is None:
            refuse(f"{supervision.path}.steps", f"transaction {tx_id.hex()}, which signs it, is missing", INCOMPLETE)
        if signed[1] != said:
            refuse(f"{signed[0].path}.transaction", "it signs something else than was sent", MISMATCH)
    if sent.step.tx_id not in sent.packet.evidence:
        refuse(sent.step.path, "the transaction that sent it is not among those that sign it", MISMATCH)
