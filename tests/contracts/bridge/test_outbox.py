"""Sending: what no delivery could carry is refused, and a lane is never longer than the other side can take."""

import pytest

from contracts.bridge import outbox, state
from contracts.bridge.records import RoleQuery
from contracts.executor import MAX_SHOWN_RECEIPT_BYTES
from ledger.block import MAX_RECEIPT_EVENTS, receipt_codec
from ledger.certificate import MAX_ROUND
from ledger.encoding import encode
from ledger.packet import MAX_ATTACHMENT_BYTES, MAX_PAYLOAD_BYTES
from ledger.transaction import MAX_CALL_BYTES
from ledger.validators import MAX_VALIDATORS
from tests.contracts.bridge.forging import packet, packet_event, saying
from tests.contracts.bridge.kit import (
    BRIDGE,
    MEMBER,
    PROBE,
    SUPERVISION,
    Chain,
    call,
    deliver,
    introduce,
    key_of,
    relay,
    relays,
    settle,
)
from tests.contracts.bridge.probe import Data, Probe, Send
from tests.contracts.bridge.test_round_trip import send


def refusal(chain, **changes):
    return chain.refusal(chain.tx(MEMBER, call(PROBE, "send", Send(SUPERVISION, **({"kind": "note"} | changes)))))


def test_a_lane_is_full_when_the_oldest_unanswered_packet_is_too_far_behind(chains, monkeypatch):
    monkeypatch.setattr(outbox, "MAX_OUTBOX", 4)
    business, supervision = chains
    first = business.height + 1
    for _ in range(4):
        send(business)
    assert refusal(business).startswith("bridge_outbox_full")
    for height in (1, 2, 3):
        deliver(supervision, relay(business, supervision, first + height))
        deliver(business, relay(supervision, business))
    assert refusal(business).startswith("bridge_outbox_full")
    settle(business, supervision)
    lane = business.view(BRIDGE, "lane", RoleQuery(SUPERVISION))
    assert (lane.sent, lane.answered, lane.oldest_sequence) == (4, 4, 0)
    for _ in range(4):
        send(business)
    assert refusal(business).startswith("bridge_outbox_full")


def test_a_lane_is_full_when_it_holds_too_many_bytes(chains, monkeypatch):
    monkeypatch.setattr(outbox, "MAX_HELD_BYTES", 100)
    business, supervision = chains
    send(business, attachments=(bytes(60),))
    assert refusal(business, attachments=(bytes(41),)).startswith("bridge_outbox_full")
    assert refusal(business, attachments=(bytes(40),)) == ""
    settle(business, supervision)
    assert refusal(business, attachments=(bytes(41),)) == ""


def test_a_receiver_can_take_as_many_as_a_sender_can_have_under_way():
    assert state.MAX_OUTBOX == outbox.MAX_OUTBOX == 4_096


@pytest.mark.parametrize(
    "changes",
    [
        {"data": bytes(MAX_PAYLOAD_BYTES)},
        {"kind": ""},
        {"kind": "k" * 65},
        {"receiver": ""},
        {"attachments": (b"",)},
        {"attachments": (b"same", b"same")},
        {"attachments": (b"1", b"2", b"3", b"4", b"5")},
        {"attachments": (bytes(MAX_ATTACHMENT_BYTES + 1),)},
        {"attachments": (bytes(MAX_ATTACHMENT_BYTES), bytes(9_000))},
        {"evidence": (b"short",)},
        {"evidence": (bytes(32),) * 2},
        {"evidence": (b"\x01" * 32, b"\x02" * 32), "attachments": (bytes(58_000),)},
        {"deadline_ms": -1},
    ],
)
def test_a_packet_is_not_sent_when_no_delivery_could_carry_it(chains, changes):
    assert refusal(chains[0], **changes).startswith("bridge_packet_invalid")


def test_a_transaction_is_no_evidence_when_it_is_too_large(chains):
    business, _ = chains
    assert refusal(business, itself=True, data=bytes(7_000)) == ""
    assert refusal(business, itself=True, attachments=(bytes(9_000),)).startswith("bridge_evidence_too_large")


def test_a_packet_is_not_sent_when_its_receipt_could_not_be_shown(chains):
    """Or anybody could block the lane for good, with one packet beside many large events."""
    business, _ = chains
    loud = [call(PROBE, "shout", Data(bytes(12_000))) for _ in range(3)]
    business.run(business.tx(MEMBER, *loud))
    with_packet = business.tx(MEMBER, *loud, call(PROBE, "send", Send(SUPERVISION, "note")))
    assert business.refusal(with_packet).startswith("limit_exceeded")


def test_the_largest_packet_of_the_largest_receipt_of_the_largest_set_can_be_delivered():
    keys = [key_of(f"validator {i}") for i in range(MAX_VALIDATORS)]
    business, supervision = Chain("business", instances=[Probe(PROBE)]), Chain("supervision", instances=[Probe(PROBE)])
    introduce(business, supervision, SUPERVISION)
    introduce(supervision, business, "business")
    business.validators = keys
    business.block()
    deliver(supervision, relay(business, supervision))
    cargo = (bytes(MAX_ATTACHMENT_BYTES), bytes(8 * 1024 - 100))
    filler = call(PROBE, "shout", Data(bytes(7_000)))
    calls = [call(PROBE, "send", Send(SUPERVISION, "note", data=bytes(6_000))) for _ in range(3)]
    large = business.tx(
        MEMBER, filler, filler, *calls, call(PROBE, "send", Send(SUPERVISION, "note", bytes(8_000), attachments=cargo))
    )
    business.block(large, *[business.tx(MEMBER, call(PROBE, "shout", Data(b""))) for _ in range(40)])
    receipt = business.receipts[-1][0]
    assert receipt_codec.decode(receipt).code == "ok"
    whole = relays(business, supervision, business.height)
    spare = MAX_CALL_BYTES - max(len(encode(delivery)) for delivery in whole)
    growing = MAX_SHOWN_RECEIPT_BYTES - len(receipt)
    longest = 64 * 34 + 4 * len(str(MAX_ROUND))
    assert spare > growing + longest
    assert len(whole) == 1
    assert deliver(supervision, whole[0]).left == 0


def test_a_delivery_answers_no_more_than_fits_into_a_receipt_that_can_be_shown(chains):
    business, supervision = chains
    events = [
        packet_event(packet(business, supervision, i, kind="note", payload=encode(Data(bytes(1_900)))))
        for i in range(1, 41)
    ]
    outcome = deliver(supervision, saying(business, *events))
    assert (outcome.taken, outcome.left) == (17, 23)
    receipt = supervision.receipts[-1][0]
    assert len(receipt) < MAX_SHOWN_RECEIPT_BYTES
    assert len(receipt_codec.decode(receipt).events) < MAX_RECEIPT_EVENTS
