"""Packets, answers, deliveries: their bytes and bounds."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from ledger.encoding import Codec, digest, encode
from ledger.errors import MalformedBytes, NonCanonicalBytes
from ledger.packet import (
    MAX_ATTACHMENT_BYTES,
    MAX_EVIDENCE,
    MAX_PACKET_ATTACHMENTS,
    MAX_PAYLOAD_BYTES,
    MAX_RESULT_BYTES,
    Answer,
    AttachmentRef,
    Delivery,
    HeaderProof,
    Packet,
    answer_codec,
    attachment_ref,
    packet_codec,
    packet_digest,
)
from ledger.transaction import MAX_CALL_BYTES
from tests.ledger.chains import certificate_for, genesis_header

HERE, THERE = b"\x01" * 32, b"\x02" * 32
PACKET = Packet(HERE, THERE, 1, "flow", "supervision", "stage_request", b"payload", (), 0, ())
ANSWER = Answer(HERE, THERE, 1, packet_digest(PACKET), "ok", b"")
LARGEST = replace(
    PACKET,
    sequence=2**53 - 1,
    sender="s" * 64,
    receiver="r" * 64,
    kind="k" * 64,
    payload=bytes(MAX_PAYLOAD_BYTES),
    attachments=(AttachmentRef(bytes(32), MAX_ATTACHMENT_BYTES),) * MAX_PACKET_ATTACHMENTS,
    deadline_ms=2**53 - 1,
    evidence=(bytes(32),) * MAX_EVIDENCE,
)


def test_a_packet_is_its_bytes():
    for packet in (PACKET, LARGEST):
        assert packet_codec.decode(encode(packet)) == packet
    assert answer_codec.decode(encode(ANSWER)) == ANSWER
    largest = replace(ANSWER, sequence=2**53 - 1, code="c" * 64, result=bytes(MAX_RESULT_BYTES))
    assert answer_codec.decode(encode(largest)) == largest


@pytest.mark.parametrize(
    "changes",
    [
        {"source": bytes(31)},
        {"destination": bytes(33)},
        {"sequence": 0},
        {"sequence": 2**53},
        {"sender": ""},
        {"receiver": "r" * 65},
        {"kind": ""},
        {"payload": bytes(MAX_PAYLOAD_BYTES + 1)},
        {"attachments": (AttachmentRef(bytes(32), 0),)},
        {"attachments": (AttachmentRef(bytes(32), MAX_ATTACHMENT_BYTES + 1),)},
        {"attachments": (AttachmentRef(bytes(32), 1),) * (MAX_PACKET_ATTACHMENTS + 1)},
        {"deadline_ms": -1},
        {"evidence": (bytes(32),) * (MAX_EVIDENCE + 1)},
        {"evidence": (bytes(31),)},
    ],
)
def test_a_packet_is_refused_when_a_field_is_out_of_bounds(changes):
    with pytest.raises(MalformedBytes):
        packet_codec.decode(encode(replace(PACKET, **changes)))


@pytest.mark.parametrize(
    "changes",
    [{"sequence": 0}, {"packet": b""}, {"code": ""}, {"code": "c" * 65}, {"result": bytes(MAX_RESULT_BYTES + 1)}],
)
def test_an_answer_is_refused_when_a_field_is_out_of_bounds(changes):
    with pytest.raises(MalformedBytes):
        answer_codec.decode(encode(replace(ANSWER, **changes)))


@given(st.binary(max_size=200))
def test_bytes_that_are_no_packet_are_refused(data):
    with pytest.raises((MalformedBytes, NonCanonicalBytes)):
        packet_codec.decode(encode(PACKET)[:40] + data)


@given(st.sampled_from(Packet.__struct_fields__))
def test_every_field_of_a_packet_is_in_its_digest(field):
    value = getattr(PACKET, field)
    if isinstance(value, int):
        other = value + 1
    elif isinstance(value, str):
        other = value + "x"
    elif isinstance(value, bytes):
        other = value[:-1] + b"\xff"
    else:
        other = (AttachmentRef(bytes(32), 1),) if field == "attachments" else (bytes(32),)
    assert packet_digest(replace(PACKET, **{field: other})) != packet_digest(PACKET)


def test_a_digest_of_a_packet_is_of_nothing_else():
    assert packet_digest(PACKET) == digest(b"tidegate/packet", HERE, encode(PACKET))
    assert packet_digest(PACKET) != digest(b"tidegate/packet", THERE, encode(PACKET))


def test_an_attachment_is_named_by_its_hash_and_length():
    assert attachment_ref(b"abc").digest.hex().startswith("ba7816bf")
    assert attachment_ref(b"abc").size_bytes == 3


def test_a_delivery_is_its_bytes():
    codec = Codec(Delivery, MAX_CALL_BYTES)
    header = genesis_header({})
    delivery = Delivery(HeaderProof(header, certificate_for(header), (), 0, None), (), (b"one",), (b"two",))
    assert codec.decode(encode(delivery)) == delivery
    for wrong in (
        replace(delivery, attachments=(bytes(MAX_ATTACHMENT_BYTES + 1),)),
        replace(delivery, attachments=(b"",) * 65),
        replace(delivery, transactions=(b"",) * 65),
    ):
        with pytest.raises(MalformedBytes):
            codec.decode(encode(wrong))
