"""Requests that nobody decided in time, and decisions that the business chain did not take."""

from __future__ import annotations

from msgspec.structs import replace

from contracts.interface import MAX_DUE_ITEMS_PER_BLOCK, EndContext, StateSpace
from contracts.messages import DECISION, GRANT, OPINION, decision_codec, grant_codec
from contracts.supervision import calls, codes, requests
from contracts.supervision.calls import EXPIRED_EVENT, RequestExpired
from contracts.supervision.sending import send_refusal
from contracts.supervision.state import Place, load_flow, load_request, place_codec, store_flow
from ledger.errors import BrokenInvariant
from ledger.packet import ANSWER_OK, Answer, Packet


def next_due_ms(state: StateSpace) -> int | None:
    """Block time from which a request has expired, or None: a deadline is the last moment of a decision."""
    for key, _ in state.iterate(b"d", limit=1):
        return int.from_bytes(key[1:9], "big") + 1
    return None


def end_block(context: EndContext) -> None:
    """Closes requests whose deadline has passed, and says so to the business chain."""
    over = []
    for key, data in context.state.iterate(b"d", limit=MAX_DUE_ITEMS_PER_BLOCK):
        if int.from_bytes(key[1:9], "big") >= context.block.time_ms:
            break
        over.append(place_codec.decode(data))
    for place in over:
        _expire(context, place)


def _expire(context: EndContext, place: Place) -> None:
    record = load_request(context.state, place.flow, place.stage, place.attempt)
    if record is None:
        raise BrokenInvariant("a deadline without its request")
    requests.expire(context, load_flow(context.state, place.flow), record, codes.EXPIRED)
    context.emit(EXPIRED_EVENT, RequestExpired(place.flow, place.stage, place.attempt))
    # A courtesy: where nothing can be sent, the business chain's own deadline says the same.
    context.attempt(lambda: send_refusal(context, record.request, codes.EXPIRED, "", record.rule_version))


def on_answer(context: EndContext, packet: Packet, answer: Answer) -> None:
    """Marks the request of a decision or grant that the business chain did not take: it counts for nothing there."""
    if answer.code == ANSWER_OK or packet.kind not in (DECISION, GRANT):
        return
    codec = decision_codec if packet.kind == DECISION else grant_codec
    said = codec.decode(packet.payload)
    record = load_request(context.state, said.flow, said.stage, said.attempt)
    if record is None or record.status not in (calls.AUTHORISED, calls.GRANTED):
        return
    flow = load_flow(context.state, said.flow)
    if flow is None:
        raise BrokenInvariant("a request without its flow")
    if flow.authorisation and flow.authorisation == record.transaction:
        flow = replace(flow, authorisation=b"")
    elif said.stage == OPINION:
        flow = replace(flow, reviewer=b"")
    store_flow(context.state, said.flow, flow)
    requests.move(context, flow, record, calls.LATE, reason=answer.code)
