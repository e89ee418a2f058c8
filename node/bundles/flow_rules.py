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
from contracts.supervision.state import FlowRecord as SupervisedFlow
from contracts.supervision.state import RequestRecord
from node.bundles.chains import ProvedChain, decoded
from node.bundles.flow_events import FlowEvents, Move, Sent
from node.bundles.supervision_rules import (
    CONTROLS,
    INCOMPLETE,
    MISMATCH,
    causes_of,
    check_controls,
    check_signed,
    check_supervised,
    check_taken,
)
from node.evidence_bundle import refuse

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
    check_moves(record, events, business)
    causes: dict[tuple[str, int], Sent] = {}
    supervised: SupervisedFlow | None = None
    requests: dict[tuple[str, int], RequestRecord] = {}
    if supervision is not None:
        causes = causes_of(events, supervision)
        check_controls(record, events, supervision)
        check_taken(record, events, business)
        supervised, requests = check_supervised(record, events, supervision)
        for sent in events.verdicts:
            check_signed(sent, events, supervision)
    else:
        _check_controls_alone(record, events, business)
    return CheckedFlow(record, height, events, causes, supervised, requests)


def check_moves(record: FlowRecord, events: FlowEvents, business: ProvedChain) -> None:
    """Checks that the steps on the business chain lead to the flow's record. Raises as ``check_flow``."""
    _check_order(events)
    for stage in record.stages:
        _check_stage(record, stage, events, business)


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


def _check_order(events: FlowEvents) -> None:
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


def _check_controls_alone(record: FlowRecord, events: FlowEvents, business: ProvedChain) -> None:
    """Without the supervision chain, each control of the regulator must have left its step."""
    shown = sum(move.name in CONTROLS for move in events.moves)
    if shown != record.control_counter:
        refuse(
            f"{business.path}.steps",
            f"the regulator controlled the flow {record.control_counter} times, {shown} are shown: without the "
            "supervision chain's part all must have taken effect",
            INCOMPLETE,
        )
