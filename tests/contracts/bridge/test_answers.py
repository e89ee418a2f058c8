"""Answers: which of them close a packet, and what receivers and senders that misbehave bring about."""

import pytest
from msgspec.structs import replace

from contracts.bridge.records import AttachmentQuery, OutboxQuery, RoleQuery
from ledger.encoding import encode
from ledger.errors import NotFound
from ledger.packet import Answer, attachment_ref, packet_digest
from tests.contracts.bridge.forging import answer_event, saying
from tests.contracts.bridge.kit import (
    BRIDGE,
    BUSINESS,
    MEMBER,
    PROBE,
    SUPERVISION,
    Chain,
    call,
    carry,
    deliver,
    items,
    relay,
    settle,
)
from tests.contracts.bridge.probe import Data, Query, Send
from tests.contracts.bridge.test_round_trip import send


def open_packets(chain, role=SUPERVISION):
    return [item.packet for item in chain.view(BRIDGE, "outbox", OutboxQuery(role, 0, 100)).items]


def heard(chain, sequence=1):
    return chain.view(PROBE, "heard", Query(sequence))


def answer_to(item, **changes):
    usual = Answer(item.source, item.destination, item.sequence, packet_digest(item), "ok", b"")
    return replace(usual, **changes)


def answered(chains, kind="note", **changes):
    """A packet of the business chain, taken and answered by the other: (business, supervision, code)."""
    business, supervision = chains
    send(business, kind=kind, **changes)
    deliver(supervision, relay(business, supervision))
    answer = items(supervision, business, supervision.height)[0].item
    return business, supervision, answer.code


# --- answers --------------------------------------------------------------------------------------------------------


def test_an_answer_closes_its_packet_once(chains):
    business, supervision, _ = answered(chains)
    delivery = relay(supervision, business)
    assert deliver(business, delivery).answered == 1
    deliver(business, delivery, "bridge_nothing_new")
    supervision.block()
    deliver(business, relay(supervision, business))
    again = relay(supervision, business, delivery.proof.header.height)
    deliver(business, again, "bridge_nothing_new")
    assert (heard(business).answered, open_packets(business)) == (1, [])


def test_an_answer_counts_for_nothing_when_it_is_not_proved(chains):
    business, supervision, _ = answered(chains, kind="refuse")
    delivery = relay(supervision, business)
    shown = delivery.receipts[0]
    altered = shown.receipt.replace(b"probe_refused", b"probe_accepts")
    assert altered != shown.receipt
    forged = replace(delivery, receipts=(replace(shown, receipt=altered),))
    deliver(business, forged, "bridge_receipt_unproved")
    ours = saying(supervision, answer_event(answer_to(open_packets(business)[0])), keys=supervision.validators[:2])
    deliver(business, ours, "bridge_certificate_invalid")
    elsewhere = saying(supervision, answer_event(answer_to(open_packets(business)[0]), contract=PROBE))
    assert deliver(business, elsewhere).answered == 0
    assert (heard(business).answered, len(open_packets(business))) == (0, 1)


def test_an_answer_counts_for_nothing_when_it_is_for_another_packet(chains):
    business, supervision = chains
    send(business)
    packet, third = open_packets(business)[0], Chain("third")
    for changes in (
        {"packet": packet_digest(replace(packet, payload=b"other"))},
        {"sequence": 2},
        {"source": third.chain_id},
        {"destination": third.chain_id},
        {"source": packet.destination, "destination": packet.source},
    ):
        wrong = saying(supervision, answer_event(answer_to(packet, **changes)))
        assert deliver(business, wrong).answered == 0
        supervision.block()
        supervision.block()
    assert (heard(business).answered, open_packets(business)) == (0, [packet])


def test_the_sender_hears_the_code_and_the_result(chains):
    business, supervision, _ = answered(chains, data=b"hello")
    settle(business, supervision)
    seen = heard(business)
    assert (seen.code, seen.result) == ("ok", encode(Data(b"hello")))


def test_a_packet_is_closed_though_its_sender_fails_to_hear(chains):
    business, supervision, _ = answered(chains, kind="deaf")
    assert deliver(business, relay(supervision, business)).answered == 1
    assert (heard(business).answered, open_packets(business)) == (0, [])


def test_attachments_are_kept_until_the_answer(chains):
    business, supervision, _ = answered(chains, attachments=(b"one", b"two"))
    query = AttachmentQuery(SUPERVISION, 1, attachment_ref(b"two").digest)
    assert business.view(BRIDGE, "attachment", query).data == b"two"
    assert business.view(BRIDGE, "lane", RoleQuery(SUPERVISION)).held_bytes == 6
    settle(business, supervision)
    assert business.view(BRIDGE, "lane", RoleQuery(SUPERVISION)).held_bytes == 0
    with pytest.raises(NotFound):
        business.view(BRIDGE, "attachment", query)
    assert list(business.context(BRIDGE).state.iterate(b"a")) == []


def test_a_lane_tells_what_is_under_way(chains):
    business, supervision = chains
    heights = []
    for _ in range(3):
        send(business)
        heights.append(business.height)
    deliver(supervision, relay(business, supervision, heights[1]))
    deliver(business, relay(supervision, business))
    lane = business.view(BRIDGE, "lane", RoleQuery(SUPERVISION))
    assert (lane.sent, lane.answered, lane.oldest_sequence, lane.oldest_height) == (3, 1, 1, heights[0])
    assert lane.oldest_ms == business.headers[heights[0]].time_ms
    page = business.view(BRIDGE, "outbox", OutboxQuery(SUPERVISION, 0, 1))
    assert ([item.packet.sequence for item in page.items], page.more) == ([1], True)
    page = business.view(BRIDGE, "outbox", OutboxQuery(SUPERVISION, 1, 1))
    assert ([(item.packet.sequence, item.height) for item in page.items], page.more) == ([(3, heights[2])], False)
    assert carry(business, supervision) == 2


# --- receivers ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "code"),
    [
        ("note", "ok"),
        ("refuse", "probe_refused"),
        ("fail", "contract_failed"),
        ("long", "limit_exceeded"),
        ("loud", "limit_exceeded"),
        ("chatty", "limit_exceeded"),
        ("issue", "bridge_receiver_moves"),
        ("signed", "not_permitted"),
    ],
)
def test_a_packet_is_answered_whatever_its_receiver_does(chains, kind, code):
    business, supervision, found = answered(chains, kind=kind)
    assert found == code
    assert supervision.view(PROBE, "took", Query(1)).taken == (code == "ok")
    send(business)
    assert deliver(supervision, relay(business, supervision)).taken == 1
    settle(business, supervision)
    assert heard(business).code == code


def test_a_refused_packet_leaves_no_events(chains):
    _, supervision, _ = answered(chains, kind="refuse")
    events = [event for data in supervision.receipts[-1] if b"probe_took" in data for event in [data]]
    assert events == []


def test_what_one_receiver_does_is_nothing_to_the_next(chains):
    business, supervision = chains
    kinds = ("loud", "note", "fail", "note", "issue", "refuse", "note")
    business.run(business.tx(MEMBER, *[call(PROBE, "send", Send(SUPERVISION, kind)) for kind in kinds]))
    outcome = deliver(supervision, relay(business, supervision))
    assert (outcome.taken, outcome.refused) == (3, 4)
    codes = [item.item.code for item in items(supervision, business, supervision.height)]
    assert [code == "ok" for code in codes] == [kind == "note" for kind in kinds]


def test_a_receiver_can_send_a_packet_back(chains):
    business, supervision = chains
    send(business, kind="reply", data=BUSINESS.encode())
    settle(business, supervision)
    assert business.view(PROBE, "took", Query(1)).data == b"reply"
    assert heard(business).code == heard(supervision).code == "ok"
    lanes = [
        business.view(BRIDGE, "lane", RoleQuery(SUPERVISION)),
        supervision.view(BRIDGE, "lane", RoleQuery(BUSINESS)),
    ]
    assert [(lane.sent, lane.answered, lane.delivered) for lane in lanes] == [(1, 1, 1)] * 2


def test_an_answer_travels_on_though_a_delivery_is_full_of_packets(chains):
    """Replies, answers and events of twenty-four packets fit into one receipt that can be shown."""
    business, supervision = chains
    sends = [call(PROBE, "send", Send(SUPERVISION, "reply", BUSINESS.encode())) for _ in range(12)]
    business.block(business.tx(MEMBER, *sends), business.tx(MEMBER, *sends))
    assert deliver(supervision, relay(business, supervision)).taken == 24
    outcome = deliver(business, relay(supervision, business))
    assert (outcome.taken, outcome.answered) == (24, 24)
    settle(business, supervision)
    assert open_packets(business) == open_packets(supervision, BUSINESS) == []
