from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consensus.justification import justify
from consensus.messages import (
    EMPTY_JUSTIFICATION,
    MAX_VOTE_BYTES,
    Prepare,
    decode_message,
    encode_message,
    justification_hash,
    max_proposal_bytes,
    max_round_change_bytes,
)
from ledger.block import MAX_BLOCK_TRANSACTIONS
from ledger.certificate import MAX_ROUND
from ledger.encoding import encode
from ledger.errors import MalformedBytes, NonCanonicalBytes
from ledger.types import MAX_HEIGHT, ZERO_HASH
from tests.consensus.making import CHAIN, block, certificate, commit, name, prepare, proposal, round_change

ID = bytes(32)


@pytest.mark.parametrize(
    "message",
    [
        prepare(1, ID),
        commit(2, ID, height=MAX_HEIGHT, round_=MAX_ROUND),
        proposal(0, block()),
        round_change(1, 3),
        round_change(1, 3, certificate([0, 1, 2], ID, round_=2)),
        proposal(1, block(), round_=1, justification=justify([round_change(i, 1) for i in range(3)])[0]),
    ],
    ids=lambda message: type(message).__name__,
)
def test_messages_survive_the_wire(message):
    assert decode_message(encode_message(message)) == message


@pytest.mark.parametrize("count", [1, 4, 128])
def test_the_largest_messages_fit_their_bounds(count):
    seals = certificate(range(count), ID, round_=MAX_ROUND, height=MAX_HEIGHT)
    change = round_change(0, MAX_ROUND, seals, height=MAX_HEIGHT)
    assert len(encode_message(change)) <= max_round_change_bytes(count)
    full = block(MAX_HEIGHT, refs=bytes(64 * MAX_BLOCK_TRANSACTIONS))
    justification, _ = justify([round_change(i, MAX_ROUND, seals, height=MAX_HEIGHT) for i in range(count)])
    largest = proposal(0, full, height=MAX_HEIGHT, round_=MAX_ROUND, justification=justification)
    data = encode_message(largest)
    assert len(data) <= max_proposal_bytes(count)
    assert decode_message(data, count) == largest
    assert len(encode_message(commit(0, ID, height=MAX_HEIGHT, round_=MAX_ROUND))) <= 300 < MAX_VOTE_BYTES


def test_bounds_grow_with_the_validators():
    change = encode_message(round_change(0, 9, certificate(range(128), ID)))
    decode_message(change, 128)
    with pytest.raises(MalformedBytes) as caught:
        decode_message(change, 4)
    assert caught.value.code == "oversized"


@pytest.mark.parametrize(
    "change",
    [
        {"height": -1},
        {"height": MAX_HEIGHT + 1},
        {"round": MAX_ROUND + 1},
        {"round": 2**63},
        {"round": 2**200 >> 137},
        {"block_id": bytes(31)},
        {"signer": bytes(32)},
        {"signature": bytes(64)},
    ],
)
def test_votes_out_of_bounds_are_refused(change):
    vote = prepare(1, ID)
    fields = {field: getattr(vote, field) for field in vote.__struct_fields__} | change
    with pytest.raises(MalformedBytes):
        decode_message(encode(Prepare(**fields)))


def test_other_encodings_of_a_message_are_refused():
    data = encode_message(prepare(1, ID))
    for other in (data + b"\x00", data[:-1], b"", b"\x97", b"\x97\x09" + data[2:]):
        with pytest.raises(MalformedBytes):
            decode_message(other)
    long_height = data[:2] + b"\xcd\x00" + data[2:]  # height 1 as a 16-bit number
    with pytest.raises(NonCanonicalBytes):
        decode_message(long_height)


@given(st.binary(max_size=300))
def test_arbitrary_bytes_are_decoded_or_refused(data):
    for prefix in (b"", b"\x97\x00", b"\x97\x01", b"\x97\x02", b"\x97\x03"):
        try:
            message = decode_message(prefix + data)
        except MalformedBytes:
            continue
        assert encode_message(message) == prefix + data


def test_a_justification_hash_is_zero_only_when_it_is_empty():
    justification, _ = justify([round_change(i, 1) for i in range(3)])
    assert justification_hash(CHAIN, EMPTY_JUSTIFICATION) == ZERO_HASH
    assert justification_hash(CHAIN, justification) != ZERO_HASH
    assert justification_hash(CHAIN, justification) != justification_hash(bytes(32), justification)


def test_a_name_covers_the_header_only():
    assert name(block(refs=bytes(64))) != name(block())
