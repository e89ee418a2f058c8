"""Deliveries that a relay altered, and packets that must not be taken, or not again."""

import pytest
from msgspec.structs import replace

from contracts.bridge.records import DeliveredQuery, RoleQuery
from contracts.bridge.state import MAX_OUTBOX
from ledger.block import Event
from ledger.encoding import encode
from ledger.errors import InvalidInput
from ledger.packet import attachment_ref
from ledger.transaction import Transaction, assemble
from tests.contracts.bridge.forging import packet, packet_event, saying, show
from tests.contracts.bridge.kit import (
    BRIDGE,
    BUSINESS,
    FUSION,
    GOVERNORS,
    MEMBER,
    OTHER_FUSION,
    PROBE,
    SUPERVISION,
    Chain,
    call,
    deliver,
    introduce,
    items,
    relay,
    relays,
)
from tests.contracts.bridge.probe import Data, Probe, Query, Send
from tests.contracts.bridge.test_round_trip import send


def lane(chain, role=BUSINESS):
    return chain.view(BRIDGE, "lane", RoleQuery(role))


def taken(chain, sequence=1):
    return chain.view(PROBE, "took", Query(sequence)).taken


def refused(chain, delivery, code, **options):
    before = lane(chain), chain.view(BRIDGE, "client", RoleQuery(BUSINESS))
    deliver(chain, delivery, code, **options)
    assert (lane(chain), chain.view(BRIDGE, "client", RoleQuery(BUSINESS))) == before
    return True


def sent(chains, **changes):
    """(business, supervision, the delivery of a packet with attachment and evidence)."""
    business, supervision = chains
    send(business, **({"attachments": (b"one", b"two"), "itself": True} | changes))
    return business, supervision, relay(business, supervision)


def go_on(chain):
    """Lets the chain grow so far that the next forged block does not claim another parent than the last one had."""
    chain.block()
    chain.block()


# --- who, and what proves it ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("by", [MEMBER, GOVERNORS[0]])
def test_a_delivery_is_refused_when_its_sender_is_no_fusion_node(chains, by):
    _, supervision, delivery = sent(chains)
    assert refused(supervision, delivery, "bridge_not_fusion", by=by)


def test_a_delivery_is_refused_when_a_receipt_was_altered(chains):
    _, supervision, delivery = sent(chains)
    shown = delivery.receipts[0]
    for altered in (
        shown.receipt.replace(b"note", b"tone"),
        shown.receipt.replace(PROBE.encode(), b"prove"),
        shown.receipt + b"\x00",
        b"",
    ):
        forged = replace(delivery, receipts=(replace(shown, receipt=altered),))
        assert altered != shown.receipt
        assert refused(supervision, forged, "bridge_receipt_unproved")


def test_a_delivery_is_refused_when_the_receipt_is_of_another_block(chains):
    business, supervision, delivery = sent(chains)
    send(business)
    later = relay(business, supervision)
    assert refused(supervision, replace(later, receipts=delivery.receipts), "bridge_receipt_unproved")


def test_a_delivery_is_refused_when_the_inclusion_is_wrong(chains):
    business, supervision = chains
    business.block(*[business.tx(MEMBER, call(PROBE, "send", Send(SUPERVISION, "note"))) for _ in range(5)])
    delivery = relay(business, supervision)
    shown = delivery.receipts[0]
    for changes in (
        {"index": 1},
        {"size": 5},
        {"size": 7},
        {"path": shown.inclusion.path[:-1]},
        {"path": (*shown.inclusion.path, bytes(32))},
        {"path": (bytes(32), *shown.inclusion.path[1:])},
    ):
        wrong = replace(shown, inclusion=replace(shown.inclusion, **changes))
        assert refused(supervision, replace(delivery, receipts=(wrong,)), "bridge_receipt_unproved")


def test_an_inner_node_is_no_receipt(chains):
    """Two receipts hashed together must not pass as one of a smaller tree."""
    business, supervision = chains
    business.block(*[business.tx(MEMBER, call(PROBE, "send", Send(SUPERVISION, "note"))) for _ in range(3)])
    delivery, receipts = relay(business, supervision), business.receipts[-1]
    joined = b"\x01" + b"".join(receipts[:2])
    wrong = replace(show([joined, *receipts[2:]], 0), receipt=joined)
    assert refused(supervision, replace(delivery, receipts=(wrong,)), "bridge_receipt_unproved")


def test_events_of_other_contracts_are_no_packets(chains):
    business, supervision = chains
    forged = packet_event(packet(business, supervision), contract=PROBE)
    business.run(business.tx(MEMBER, call(PROBE, "shout", Data(forged.data))))
    assert items(business, supervision, business.height) == []
    deliver(supervision, relay(business, supervision))
    shown = tuple(show(business.receipts[-1], index) for index in range(2))
    delivery = replace(relay(business, supervision), receipts=shown)
    assert refused(supervision, delivery, "bridge_nothing_new")
    assert deliver(supervision, saying(business, forged)).taken == 0
    assert taken(supervision) == 0


def test_a_packet_is_passed_over_when_it_is_between_other_chains(chains):
    business, supervision = chains
    third = Chain("third")
    for wrong in (
        packet(business, third),
        packet(third, supervision),
        packet(supervision, supervision),
        packet(supervision, business),
    ):
        assert deliver(supervision, saying(business, packet_event(wrong))).taken == 0
        go_on(business)
    assert (taken(supervision), lane(supervision).delivered) == (0, 0)


def test_a_packet_does_nothing_on_a_chain_that_it_is_not_for(chains):
    business, _, delivery = sent(chains)
    third = Chain("third", instances=[Probe(PROBE)])
    introduce(third, business, BUSINESS)
    business.block()
    deliver(third, relay(business, third))
    wrong = replace(delivery, proof=relay(business, third, business.height - 1).proof)
    deliver(third, wrong, "bridge_nothing_new")
    assert taken(third) == 0


def test_an_event_that_is_no_packet_is_passed_over(chains):
    business, supervision = chains
    events = [Event(BRIDGE, name, data) for name in ("packet", "answer") for data in (b"", b"\xc1", bytes(20_000))]
    good = packet_event(packet(business, supervision))
    assert deliver(supervision, saying(business, *events, good)).taken == 1


def test_a_packet_is_answered_when_its_receiver_is_not_there(chains):
    business, supervision = chains
    send(business, receiver="nobody")
    send(business, receiver="assets")
    for code in ("contract_unknown", "method_unknown"):
        height = business.height - 1 if code == "contract_unknown" else business.height
        assert deliver(supervision, relay(business, supervision, height)).refused == 1
        assert items(supervision, business, supervision.height)[0].item.code == code


# --- cargo ----------------------------------------------------------------------------------------------------------


def test_a_packet_is_not_taken_when_an_attachment_is_missing_or_altered(chains):
    _, supervision, delivery = sent(chains)
    for wrong in ((), (b"one",), (b"one", b"two!"), (b"one", b"Two"), (b"two", b"one "), (b"one",) * 2):
        assert refused(supervision, replace(delivery, attachments=wrong), "bridge_attachment_missing")
    assert deliver(supervision, delivery).taken == 1


def test_a_packet_is_not_taken_when_the_attachment_has_another_size(chains):
    business, supervision = chains
    ref = replace(attachment_ref(b"one"), size_bytes=4)
    wrong = packet_event(packet(business, supervision, attachments=(ref,)))
    assert refused(supervision, saying(business, wrong, attachments=(b"one",)), "bridge_attachment_missing")


def test_a_packet_is_not_taken_when_its_evidence_is_missing(chains):
    business, supervision, delivery = sent(chains)
    other = business.tx(MEMBER, call(PROBE, "send", Send(SUPERVISION, "note")))
    for wrong in ((), (other.wire,)):
        assert refused(supervision, replace(delivery, transactions=wrong), "bridge_evidence_missing")


def test_a_delivery_is_refused_when_its_evidence_was_altered(chains):
    _, supervision, delivery = sent(chains)
    good = Transaction.decode(delivery.transactions[0])
    ((key, signature),) = good.witness.signatures
    broken = assemble(good.body, [(key, signature[:-1] + bytes([signature[-1] ^ 1]))])
    for wrong in (broken.wire, good.wire[:-1], b""):
        assert refused(supervision, replace(delivery, transactions=(wrong,)), "bridge_evidence_wrong")


def test_evidence_counts_only_when_it_is_of_the_packets_chain(chains):
    """The quorum of the other chain is corrupt here, and names a transaction of this one."""
    business, supervision = chains
    own = supervision.tx(MEMBER, call(PROBE, "send", Send(BUSINESS, "note")))
    wrong = packet_event(packet(business, supervision, evidence=(bytes(own.tx_id),)))
    assert refused(supervision, saying(business, wrong, transactions=(own.wire,)), "bridge_evidence_wrong")


def test_a_delivery_is_refused_when_it_carries_what_no_packet_names(chains):
    business, supervision, delivery = sent(chains)
    other = business.tx(MEMBER, call(PROBE, "send", Send(SUPERVISION, "note")))
    for changes in (
        {"attachments": (*delivery.attachments, b"three")},
        {"attachments": (*delivery.attachments, b"one")},
        {"transactions": (*delivery.transactions, other.wire)},
        {"transactions": delivery.transactions * 2},
    ):
        assert refused(supervision, replace(delivery, **changes), "bridge_superfluous")


def test_the_receiver_sees_what_is_proved_of_a_packet(chains):
    business, supervision, delivery = sent(chains)
    deliver(supervision, delivery)
    seen = supervision.view(PROBE, "took", Query(1))
    transaction = Transaction.decode(delivery.transactions[0])
    assert seen.evidence == (bytes(transaction.tx_id),)
    assert seen.origin == (business.height, business.time_ms, bytes(transaction.tx_id), 0)


# --- once, in any order ---------------------------------------------------------------------------------------------


def test_a_replay_is_refused(chains):
    business, supervision, delivery = sent(chains)
    deliver(supervision, delivery)
    for _ in range(2):
        assert refused(supervision, delivery, "bridge_nothing_new")
    business.block()
    assert deliver(supervision, relay(business, supervision)).taken == 0
    again = relay(business, supervision, delivery.proof.header.height)
    assert refused(supervision, again, "bridge_nothing_new")
    assert taken(supervision) == 1


def test_packets_are_taken_in_any_order(chains):
    business, supervision = chains
    first = business.height + 1
    for _ in range(5):
        send(business)
    for height in (4, 2, 3, 0, 1):
        assert deliver(supervision, relay(business, supervision, first + height)).taken == 1
    assert [taken(supervision, sequence) for sequence in range(1, 7)] == [1] * 5 + [0]
    assert (lane(supervision).watermark, lane(supervision).delivered) == (5, 5)


def test_two_relays_that_deliver_the_same_do_no_harm(chains):
    _, supervision, delivery = sent(chains)
    both = [supervision.tx(key, call(BRIDGE, "deliver", delivery)) for key in (FUSION, OTHER_FUSION)]
    for transaction in both:
        supervision.check(transaction)
    receipts = supervision.block(*both)
    assert [receipt.code for receipt in receipts] == ["ok", "bridge_nothing_new"]
    with pytest.raises(InvalidInput) as found:
        supervision.check(supervision.tx(OTHER_FUSION, call(BRIDGE, "deliver", delivery)))
    assert found.value.code == "bridge_nothing_new"
    assert taken(supervision) == 1


def test_one_receipt_shown_twice_counts_once(chains):
    _, supervision, delivery = sent(chains)
    outcome = deliver(supervision, replace(delivery, receipts=delivery.receipts * 2))
    assert (outcome.taken, outcome.skipped) == (1, 1)


def test_a_packet_is_refused_when_it_is_too_far_ahead(chains):
    business, supervision = chains
    beyond = packet_event(packet(business, supervision, MAX_OUTBOX + 1))
    assert refused(supervision, saying(business, beyond), "bridge_gap")
    last = saying(business, packet_event(packet(business, supervision, MAX_OUTBOX)))
    assert deliver(supervision, last).taken == 1
    go_on(business)
    first = saying(business, packet_event(packet(business, supervision, 1)))
    assert deliver(supervision, first).taken == 1
    assert lane(supervision).watermark == 1
    query = DeliveredQuery(BUSINESS, (1, 2, MAX_OUTBOX))
    assert supervision.view(BRIDGE, "delivered", query).taken == (True, False, True)


def test_a_slot_of_the_ring_is_used_again_when_the_lane_has_moved_on(chains):
    business, supervision = chains
    for sequence in (1, MAX_OUTBOX, 2, MAX_OUTBOX + 1, MAX_OUTBOX + 2):
        forged = saying(business, packet_event(packet(business, supervision, sequence)))
        assert deliver(supervision, forged).taken == 1
        go_on(business)
    for sequence in (1, 2, MAX_OUTBOX, MAX_OUTBOX + 1, MAX_OUTBOX + 2):
        forged = saying(business, packet_event(packet(business, supervision, sequence)))
        assert deliver(supervision, forged).skipped == 1
        go_on(business)
    assert lane(supervision).delivered == 5


# --- deadlines and bounds -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("late_ms", "code"), [(0, "ok"), (1, "expired")])
def test_a_packet_expires_when_the_block_that_takes_it_is_after_its_deadline(chains, late_ms, code):
    business, supervision = chains
    send(business, deadline_ms=supervision.time_ms + 5_000)
    outcome = deliver(supervision, relay(business, supervision), step_ms=5_000 + late_ms)
    assert outcome.taken == (code == "ok")
    assert outcome.refused == (code != "ok")
    assert taken(supervision) == (code == "ok")
    assert items(supervision, business, supervision.height)[0].item.code == code
    assert deliver(business, relay(supervision, business)).answered == 1
    assert business.view(PROBE, "heard", Query(1)).code == code


def test_a_delivery_takes_no_more_than_so_many_packets(chains):
    business, supervision = chains
    calls = [call(PROBE, "send", Send(SUPERVISION, "note", times=10)) for _ in range(3)]
    business.run(business.tx(MEMBER, *calls))
    whole = relays(business, supervision, business.height)
    assert len(whole) == 2
    outcome = deliver(supervision, whole[0])
    assert (outcome.taken, outcome.left) == (24, 6)
    outcome = deliver(supervision, relays(business, supervision, business.height)[0])
    assert (outcome.taken, outcome.skipped, outcome.left) == (6, 24, 0)


def test_a_delivery_takes_the_packets_whose_cargo_it_carries_when_another_carries_the_rest(chains):
    business, supervision = chains
    parts = [bytes([number]) * 60_000 for number in range(1, 6)]
    calls = [call(PROBE, "send", Send(SUPERVISION, "note", attachments=(part,))) for part in parts[:2]]
    more = [call(PROBE, "send", Send(SUPERVISION, "note", attachments=(part,))) for part in parts[2:]]
    business.block(business.tx(MEMBER, *calls), business.tx(MEMBER, *more))
    count = len(relays(business, supervision, business.height))
    assert count == 2
    assert deliver(supervision, relays(business, supervision, business.height)[1]).taken == 2
    outcome = deliver(supervision, relays(business, supervision, business.height)[0])
    assert (outcome.taken, outcome.skipped) == (3, 2)
    assert [supervision.view(PROBE, "took", Query(i + 1)).attachments[0] for i in range(5)] == parts


def test_a_forged_payload_needs_the_whole_quorum(chains):
    """What is proved is the packet as the source's block has it: two of them under one sequence are two blocks."""
    business, supervision, delivery = sent(chains)
    forged = encode(Data(b"changed"))
    receipt = delivery.receipts[0].receipt.replace(encode(Data(b"")), forged)
    wrong = replace(delivery, receipts=(replace(delivery.receipts[0], receipt=receipt),))
    assert refused(supervision, wrong, "bridge_receipt_unproved")
    assert deliver(supervision, delivery).taken == 1
    assert business.height == delivery.proof.header.height
