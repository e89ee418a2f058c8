"""What must fit together of the supervision chain's part: packets, answers, records, and who signed decisions."""

from __future__ import annotations

from typing import Final

from contracts import messages
from contracts.flow import calls
from contracts.flow.state import FlowRecord
from contracts.messages import Control, Decision, Grant, StageRefusal, Taken
from contracts.supervision.calls import (
    AUTHORISED,
    DECIDED_EVENT,
    EXPIRED,
    EXPIRED_EVENT,
    GRANTED,
    HELD_EVENT,
    LATE,
    PENDING,
    REFUSED,
    WAITING,
)
from contracts.supervision.codes import EXPIRED as RAN_OUT
from contracts.supervision.state import FlowRecord as SupervisedFlow
from contracts.supervision.state import RequestRecord, place_key, request_record_codec
from contracts.supervision.state import flow_codec as supervised_codec
from ledger.encoding import Codec
from ledger.packet import ANSWER_OK
from ledger.token import token, utc_date
from node.bundles.chains import ProvedChain, decoded
from node.bundles.flow_events import FlowEvents, Move, Sent
from node.evidence_bundle import refuse

INCOMPLETE: Final = "bundle_incomplete"
MISMATCH: Final = "bundle_mismatch"
CONTROLS: Final = {
    calls.SUSPENDED: messages.SUSPEND,
    calls.RESUMED: messages.RESUME,
    calls.TERMINATED: messages.TERMINATE,
}
_BY_DECISION: Final = (calls.AUTHORISED, calls.OPINION_CONFIRMED, calls.SETTLEMENT_STORED)
_BY_GRANT: Final = (calls.REVIEW_GRANTED, calls.ORDER_GRANTED)
_VERDICTS: Final = {AUTHORISED, GRANTED, REFUSED, LATE}
_STALE: Final = "stale"
_taken_codec = Codec(Taken, 256)


def causes_of(events: FlowEvents, supervision: ProvedChain) -> dict[tuple[str, int], Sent]:
    """The packet behind each step that the supervision chain made, checked against the step."""
    by_digest = {sent.digest: sent for sent in events.verdicts}
    found: dict[tuple[str, int], Sent] = {}
    for move in events.moves:
        moved, sent = move.moved, by_digest.get(move.cause)
        needed = (
            move.name in _BY_DECISION
            or move.name in CONTROLS
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
        _check_cause(move, sent)
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


def _check_cause(move: Move, sent: Sent) -> None:
    moved, said, path = move.moved, sent.payload, sent.step.path
    assert moved is not None
    if isinstance(said, Control):
        if CONTROLS.get(move.name) != said.action or moved.reason != said.reason:
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


def check_controls(record: FlowRecord, events: FlowEvents, supervision: ProvedChain) -> None:
    """Every control that the regulator decided is there, once."""
    counters = [sent.payload.counter for sent in events.verdicts if isinstance(sent.payload, Control)]
    if len(set(counters)) != len(counters):
        refuse(f"{supervision.path}.steps", "a control stands twice", MISMATCH)
    missing = set(range(1, max([record.control_counter, *counters]) + 1)) - set(counters)
    if missing:
        refuse(f"{supervision.path}.steps", f"control {min(missing)} of the regulator is missing", INCOMPLETE)


def check_supervised(
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
        _check_attested(found, events, steps)
        newest[request.stage] = max(newest.get(request.stage, 0), request.attempt)
        verdicts = [verdict for verdict in events.verdicts if _about(verdict, place)]
        if found.status in _VERDICTS and not verdicts:
            refuse(steps, f"it was {found.status}, and what was said to {place[0]} is missing", INCOMPLETE)
        told_late = found.status == EXPIRED and all(isinstance(each.payload, StageRefusal) for each in verdicts)
        if found.status not in _VERDICTS and verdicts and not told_late:
            refuse(f"{kept.path}.value", f"{found.status}, though it was decided: the record is older", MISMATCH)
    for (stage, attempt), found in requests.items():
        if found.status in (WAITING, PENDING) and attempt < newest[stage]:
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


def check_signed(sent: Sent, events: FlowEvents, supervision: ProvedChain) -> None:
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


def check_taken(record: FlowRecord, events: FlowEvents, business: ProvedChain) -> None:
    """What the supervision chain said arrived, and what came of it on the business chain is there."""
    caused = {move.cause for move in events.moves}
    for sent in events.verdicts:
        said, heard = sent.payload, events.business_answers.get(sent.digest)
        if heard is None:
            if isinstance(said, Control):
                open_ = said.counter > record.control_counter
            else:
                view = record.stage(said.stage)
                open_ = (
                    view is None
                    or view.attempt < said.attempt
                    or (view.attempt == said.attempt and view.status == PENDING)
                )
            if not open_:
                refuse(f"{business.path}.steps", f"what became of packet {sent.packet.sequence} is missing", INCOMPLETE)
        elif heard.answer.code == ANSWER_OK and sent.digest not in caused:
            note = decoded(_taken_codec, heard.answer.result, heard.step.path).note
            if note != _STALE:
                refuse(f"{business.path}.steps", f"what {heard.step.path} led to is missing", INCOMPLETE)


def _check_attested(found: RequestRecord, events: FlowEvents, steps: str) -> None:
    """Whoever attested or decided is shown doing so."""
    place = (found.request.stage, found.request.attempt)
    told = [each for each in events.told if each.name in (HELD_EVENT, DECIDED_EVENT)]
    about = [each for each in told if (each.said.stage, each.said.attempt) == place]
    if found.attested_by and not any(found.attested_by in each.step.signers for each in about):
        refuse(steps, f"where an authority attested {place[0]}, attempt {place[1]}, is missing", INCOMPLETE)
    if found.transaction and found.transaction not in {each.step.tx_id for each in about}:
        refuse(steps, f"transaction {found.transaction.hex()}, which decided it, is missing", INCOMPLETE)
    needed = max((each.said.signatures for each in about), default=0)
    signers = {
        key
        for step, said in events.signed.values()
        if not isinstance(said, Control) and (said.stage, said.attempt) == place
        for key in step.signers
    }
    if len(signers) < needed:
        refuse(steps, f"{needed} officers decided on {place[0]}, {len(signers)} of them are shown", INCOMPLETE)
    ran_out = found.status == EXPIRED and found.reason == RAN_OUT
    ends = {(each.said.stage, each.said.attempt) for each in events.told if each.name == EXPIRED_EVENT}
    if ran_out and place not in ends:
        refuse(steps, f"where {place[0]}, attempt {place[1]}, ran out of time is missing", INCOMPLETE)
