"""Finding packets in receipts, and packing them into deliveries that fit."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from ledger.block import OK, Event, Receipt, receipts_root
from ledger.chain_proof import inclusion_of
from ledger.delivery import MAX_PACKETS, build_deliveries, items_in, items_of
from ledger.encoding import encode
from ledger.errors import LocalMisuse
from ledger.merkle import leaf_hash
from ledger.packet import (
    ANSWER_EVENT,
    MAX_DELIVERED_RECEIPTS,
    PACKET_EVENT,
    Answer,
    HeaderProof,
    Packet,
    attachment_ref,
)
from ledger.types import ZERO_HASH
from tests.ledger.chains import genesis_header

THERE, HERE, ELSEWHERE = b"\x01" * 32, b"\x02" * 32, b"\x03" * 32
CARGO = {attachment_ref(bytes([i]) * 1_000).digest: bytes([i]) * 1_000 for i in range(200)}


def packet(sequence, cargo=(), evidence=(), **changes):
    refs = tuple(attachment_ref(data) for data in cargo)
    return replace(Packet(THERE, HERE, sequence, "flow", "flow", "note", b"p", refs, 0, tuple(evidence)), **changes)


def answer(sequence, **changes):
    return replace(Answer(HERE, THERE, sequence, bytes(32), "ok", b""), **changes)


def event(item, contract="bridge"):
    return Event(contract, PACKET_EVENT if isinstance(item, Packet) else ANSWER_EVENT, encode(item))


def receipt(*events):
    return encode(Receipt(ZERO_HASH, OK, events, ()))


def found(receipts):
    return items_in(receipts, bridge="bridge", there=THERE, here=HERE)


def built(receipts, items=None, **options):
    header = genesis_header({}, receipts_root=receipts_root(receipts), transactions_count=len(receipts) - 1)
    deliveries = build_deliveries(
        HeaderProof(header, None, (), 0, None),
        receipts,
        found(receipts) if items is None else items,
        attachment=lambda _, ref: CARGO[ref.digest],
        transaction=lambda tx_id: tx_id * 30,
        **options,
    )
    for delivery in deliveries:
        assert len(encode(delivery)) <= options.get("max_bytes", 192 * 1024)
        for shown in delivery.receipts:
            assert shown.inclusion.size == header.transactions_count + 1
            shown.inclusion.check(shown.receipt, header.receipts_root)
    return deliveries


def test_what_is_for_a_chain_is_found_in_order():
    receipts = [
        receipt(event(packet(1)), event(answer(7)), event(packet(2))),
        receipt(Event("flow", "filed", b"")),
        receipt(event(packet(3))),
    ]
    places = [(item.receipt_index, item.event_index, item.item.sequence) for item in found(receipts)]
    assert places == [(0, 0, 1), (0, 1, 7), (0, 2, 2), (2, 0, 3)]


@pytest.mark.parametrize(
    "wrong",
    [
        event(packet(1), contract="flow"),
        event(packet(1, destination=ELSEWHERE)),
        event(packet(1, source=ELSEWHERE)),
        event(packet(1, source=HERE, destination=THERE)),
        event(answer(1, source=ELSEWHERE)),
        event(answer(1, destination=ELSEWHERE)),
        event(answer(1, source=THERE, destination=HERE)),
        Event("bridge", ANSWER_EVENT, encode(packet(1))),
        Event("bridge", PACKET_EVENT, encode(answer(1))),
        Event("bridge", "client_frozen", encode(packet(1))),
        Event("bridge", PACKET_EVENT, b""),
    ],
)
def test_what_is_for_others_or_only_looks_like_it_is_passed_over(wrong):
    whole = Receipt(ZERO_HASH, OK, (wrong, event(packet(2))), ())
    assert [item.item.sequence for item in items_of(whole, bridge="bridge", there=THERE, here=HERE)] == [2]


def test_a_delivery_without_items_renews_only():
    (delivery,) = built([receipt()])
    assert (delivery.receipts, delivery.attachments, delivery.transactions) == ((), (), ())


def test_what_packets_share_travels_once():
    cargo, evidence = [bytes([1]) * 1_000], [b"\x09" * 32]
    (delivery,) = built([receipt(event(packet(1, cargo, evidence)), event(packet(2, cargo, evidence)))])
    assert (len(delivery.receipts), len(delivery.attachments), len(delivery.transactions)) == (1, 1, 1)


@given(st.lists(st.lists(st.integers(0, 3), max_size=6), min_size=1, max_size=40), st.sampled_from([12_000, 60_000]))
def test_every_item_is_carried_once_with_its_cargo_whatever_has_to_be_split(shape, max_bytes):
    sequence, receipts, wanted = 0, [], 0
    for row in shape:
        events = []
        for count in row:
            sequence += 1
            events.append(event(packet(sequence, [bytes([(sequence + i) % 200]) * 1_000 for i in range(count)])))
            wanted += 1
        receipts.append(receipt(*events))
    carried = []
    for delivery in built(receipts, max_bytes=max_bytes):
        cargo = set(map(bytes, delivery.attachments))
        assert len(cargo) == len(delivery.attachments)
        assert len(delivery.receipts) <= MAX_DELIVERED_RECEIPTS
        whole = [
            item.item.sequence
            for item in found([shown.receipt for shown in delivery.receipts])
            if {CARGO[ref.digest] for ref in item.item.attachments} <= cargo
        ]
        carried.extend(whole)
    assert set(carried) == set(range(1, wanted + 1))


@given(st.integers(1, 40), st.data())
def test_proofs_that_share_a_tree_are_those_made_one_by_one(count, data):
    receipts = [receipt(event(packet(i))) for i in range(1, count + 1)]
    index = data.draw(st.integers(0, count - 1))
    (delivery,) = built(receipts, found(receipts)[index : index + 1])
    assert delivery.receipts[0].inclusion == inclusion_of([leaf_hash(one) for one in receipts], index)


def test_no_delivery_has_more_packets_than_are_taken():
    receipts = [receipt(*[event(packet(i)) for i in range(1, MAX_PACKETS * 2)])]
    assert len(built(receipts)) == 2
    assert len(built(receipts, found(receipts)[:MAX_PACKETS])) == 1


def test_what_can_never_fit_is_told_to_the_caller():
    with pytest.raises(LocalMisuse):
        built([receipt(event(packet(1, [bytes([1]) * 1_000])))], max_bytes=1_200)
