"""Finds what proved receipts say about one flow: its steps, packets both ways, answers, and who signed decisions."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final

from contracts import messages
from contracts.decisions import control_flow_codec, decide_codec
from contracts.flow import calls
from contracts.flow.calls import Moved, PaymentRequested, moved_codec, payment_codec
from contracts.messages import StageRequest
from contracts.supervision.calls import (
    CONTROLLED_EVENT,
    DECIDED_EVENT,
    DISCLOSED_EVENT,
    EXPIRED_EVENT,
    HELD_EVENT,
    OPENING_EVENT,
    SIGNED_EVENT,
    Decided,
    Disclosure,
    OpeningRequested,
    RequestExpired,
)
from ledger.block import Event
from ledger.encoding import Codec
from ledger.errors import InvalidInput
from ledger.packet import ANSWER_EVENT, PACKET_EVENT, Answer, Packet, answer_codec, packet_codec, packet_digest
from node.bundles.chains import ProvedChain, ProvedStep

_decided_codec = Codec(Decided, 4_096)
_opening_codec = Codec(OpeningRequested, 8_192)
_expired_codec = Codec(RequestExpired, 1_024)
_disclosure_codec = Codec(Disclosure, 4_096)
MOVES: Final = frozenset(
    {
        calls.FILED,
        calls.AUTHORISED,
        calls.REFUSED,
        calls.REVIEW_REQUESTED,
        calls.REVIEW_GRANTED,
        calls.RELEASED,
        calls.OPINION_GIVEN,
        calls.OPINION_CONFIRMED,
        calls.ORDER_REQUESTED,
        calls.ORDER_GRANTED,
        calls.ORDER_PLACED,
        calls.ORDER_ACCEPTED,
        calls.SETTLED,
        calls.SETTLEMENT_STORED,
        calls.DELIVERED,
        calls.SUSPENDED,
        calls.RESUMED,
        calls.TERMINATED,
        calls.STAGE_EXPIRED,
    }
)
PAYLOADS: Final[dict[str, Codec[Any]]] = {
    messages.REQUEST: messages.request_codec,
    messages.DECISION: messages.decision_codec,
    messages.GRANT: messages.grant_codec,
    messages.REFUSAL: messages.refusal_codec,
    messages.CONTROL: messages.control_codec,
}
_TOLD: Final[dict[str, Codec[Any]]] = {
    OPENING_EVENT: _opening_codec,
    DECIDED_EVENT: _decided_codec,
    HELD_EVENT: _decided_codec,
    SIGNED_EVENT: _decided_codec,
    EXPIRED_EVENT: _expired_codec,
    CONTROLLED_EVENT: messages.control_codec,
    DISCLOSED_EVENT: _disclosure_codec,
}


@dataclass(frozen=True, slots=True)
class Move:
    """A step of the flow on the business chain.

    Attributes:
        step: the receipt that says it.
        event_index: place among its events.
        name: of the event.
        moved: the step; None of a payment request.
        payment: of a payment request.
        cause: digest of the supervision chain's packet that made it, where one did.
    """

    step: ProvedStep
    event_index: int
    name: str
    moved: Moved | None
    payment: PaymentRequested | None
    cause: bytes


@dataclass(frozen=True, slots=True)
class Sent:
    """A packet about the flow, where it was sent."""

    step: ProvedStep
    event_index: int
    packet: Packet
    payload: Any
    digest: bytes


@dataclass(frozen=True, slots=True)
class Heard:
    """An answer to a packet, where it was given."""

    step: ProvedStep
    answer: Answer


@dataclass(frozen=True, slots=True)
class Told:
    """An event of the supervision contract about the flow."""

    step: ProvedStep
    name: str
    said: Any


@dataclass(slots=True)
class FlowEvents:
    """All of it, each list in the order of its chain.

    Attributes:
        moves: steps on the business chain.
        requests: packets of the business chain.
        verdicts: packets of the supervision chain: decisions, grants, refusals, controls.
        business_answers: answers that the business chain gave, by packet digest.
        supervision_answers: answers that the supervision chain gave, by packet digest.
        told: what the supervision contract said.
        signed: supervision transactions that call ``decide`` or ``control`` for the flow, with what they say.
        used: paths of the steps that say something about the flow.
    """

    moves: list[Move] = field(default_factory=list)
    requests: list[Sent] = field(default_factory=list)
    verdicts: list[Sent] = field(default_factory=list)
    business_answers: dict[bytes, Heard] = field(default_factory=dict)
    supervision_answers: dict[bytes, Heard] = field(default_factory=dict)
    told: list[Told] = field(default_factory=list)
    signed: dict[bytes, tuple[ProvedStep, Any]] = field(default_factory=dict)
    used: set[str] = field(default_factory=set)


def events_of_flow(flow: bytes, business: ProvedChain, supervision: ProvedChain | None) -> FlowEvents:
    """Everything in the proved steps that is about ``flow``."""
    found = FlowEvents()
    for step in business.steps:
        _business_step(found, flow, business, step)
    if supervision is not None:
        for step in supervision.steps:
            _supervision_step(found, flow, supervision, step)
    _mark_answers(found, business, supervision)
    return found


def _business_step(found: FlowEvents, flow: bytes, chain: ProvedChain, step: ProvedStep) -> None:
    events = step.receipt.events
    for index, event in enumerate(events):
        kind = chain.kind(event.contract)
        if kind == "flow" and event.name in MOVES:
            moved = moved_codec.decode(event.data)
            if moved.flow == flow:
                found.moves.append(Move(step, index, event.name, moved, None, _cause(chain, events, index)))
                found.used.add(step.path)
        elif kind == "flow" and event.name == calls.PAYMENT_REQUESTED:
            payment = payment_codec.decode(event.data)
            if payment.flow == flow:
                found.moves.append(Move(step, index, event.name, None, payment, b""))
                found.used.add(step.path)
        elif kind == "bridge" and event.name == PACKET_EVENT:
            sent = sent_about(flow, step, index, event, "flow")
            if sent is not None and isinstance(sent.payload, StageRequest):
                found.requests.append(sent)
                found.used.add(step.path)
        elif kind == "bridge" and event.name == ANSWER_EVENT:
            answer = answer_codec.decode(event.data)
            found.business_answers.setdefault(answer.packet, Heard(step, answer))


def _cause(chain: ProvedChain, events: tuple[Event, ...], index: int) -> bytes:
    """Digest of the packet whose taking emitted event ``index``: its answer follows what the contract emitted."""
    contract = events[index].contract
    for event in events[index + 1 :]:
        if event.contract == contract:
            continue
        if chain.kind(event.contract) == "bridge" and event.name == ANSWER_EVENT:
            return answer_codec.decode(event.data).packet
        return b""
    return b""


def sent_about(flow: bytes, step: ProvedStep, index: int, event: Event, sender: str) -> Sent | None:
    """The packet that an event of the bridge carries, when it is about ``flow`` and a contract ``sender`` sent it."""
    packet = packet_codec.decode(event.data)
    codec = PAYLOADS.get(packet.kind)
    if codec is None or packet.sender != sender:
        return None
    payload = codec.decode(packet.payload)
    return Sent(step, index, packet, payload, packet_digest(packet)) if payload.flow == flow else None


def _supervision_step(found: FlowEvents, flow: bytes, chain: ProvedChain, step: ProvedStep) -> None:
    for index, event in enumerate(step.receipt.events):
        kind = chain.kind(event.contract)
        if kind == "supervision" and event.name in _TOLD:
            try:
                said = _TOLD[event.name].decode(event.data)
            except InvalidInput:  # officers sign limits and batches too, whose event says something else
                continue
            about = said.request.flow if event.name == OPENING_EVENT else said.flow
            if about == flow:
                found.told.append(Told(step, event.name, said))
                found.used.add(step.path)
        elif kind == "bridge" and event.name == PACKET_EVENT:
            sent = sent_about(flow, step, index, event, "supervision")
            if sent is not None:
                found.verdicts.append(sent)
                found.used.add(step.path)
        elif kind == "bridge" and event.name == ANSWER_EVENT:
            answer = answer_codec.decode(event.data)
            found.supervision_answers.setdefault(answer.packet, Heard(step, answer))
    said = said_in(flow, chain, step)
    if said is not None and step.receipt.code == "ok":
        found.signed[step.tx_id] = (step, said)
        found.used.add(step.path)


def said_in(flow: bytes, chain: ProvedChain, step: ProvedStep) -> Any:
    """The ``Decision`` or ``Control`` about ``flow`` that a supervision transaction signs, or None."""
    if step.transaction is None:
        return None
    for call in step.transaction.body.calls:
        if chain.kind(call.contract) != "supervision":
            continue
        try:
            if call.method == "decide":
                said: Any = decide_codec.decode(call.arguments).decision
            elif call.method == "control":
                said = control_flow_codec.decode(call.arguments).control
            else:
                continue
        except InvalidInput:
            continue
        if said.flow == flow:
            return said
    return None


def _mark_answers(found: FlowEvents, business: ProvedChain, supervision: ProvedChain | None) -> None:
    """Steps that only answer a packet about the flow are of use too."""
    del business
    for sent, answers in ((found.verdicts, found.business_answers), (found.requests, found.supervision_answers)):
        for each in sent:
            heard = answers.get(each.digest)
            if heard is not None and (supervision is not None or answers is found.business_answers):
                found.used.add(heard.step.path)
