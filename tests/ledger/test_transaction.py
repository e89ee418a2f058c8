"""Transactions: forms, ids, bounds, and what any change of any byte does."""

import hashlib
import random

import msgspec
import pytest
from chains import ALICE, CHAIN_ID, body
from hypothesis import given
from hypothesis import strategies as st

from ledger.encoding import digest, encode
from ledger.errors import InvalidInput, InvalidTransaction, MalformedBytes, NonCanonicalBytes
from ledger.keys import SigningKey, verify
from ledger.transaction import (
    MAX_CALL_BYTES,
    MAX_CALLS,
    MAX_INPUTS,
    MAX_OUTPUTS,
    MAX_PREIMAGES,
    MAX_SIGNATURES,
    MAX_TRANSACTION_BYTES,
    Attachment,
    Call,
    Output,
    Transaction,
    assemble,
    body_id,
    build,
    outpoint,
    preimage_hash,
    sign_body,
    witness_hash,
)
from ledger.types import MAX_AMOUNT, MAX_HEIGHT

BOB = SigningKey(b"\xbb" * 32)
FULL = body(
    inputs=(bytes(36), b"\x01" * 36),
    outputs=(Output("CNY", 1, "after(5)"), Output("CNY", MAX_AMOUNT, "after(6)")),
    calls=(Call("assets", "issue", b"\x91\x01"),),
    attachments=(Attachment(bytes(32), 2**32 - 1, 255),),
    memo=b"memo",
)


def wire_of(outer_body, witness):
    return encode((outer_body if isinstance(outer_body, bytes) else encode(outer_body), witness))


def witness_of(signatures=(), preimages=()):
    return encode((tuple(signatures), tuple(preimages)))


def refused(wire, kind, code=None):
    with pytest.raises(kind) as error:
        Transaction.decode(wire)
    assert type(error.value) is kind
    if code:
        assert error.value.code == code


def test_built_transaction_decodes_to_itself():
    transaction = build(FULL, [ALICE, BOB], [b"one", b"two"])
    again = Transaction.decode(transaction.wire)
    for name in ("wire", "body", "witness", "tx_id", "ref"):
        assert getattr(again, name) == getattr(transaction, name)
    assert again.body == FULL
    assert again.size_bytes == len(again.wire)
    assert [key for key, _ in again.witness.signatures] == sorted([ALICE.public, BOB.public])
    assert again.witness.preimages == (b"one", b"two")


def test_id_is_the_hash_of_the_body_and_what_signers_sign():
    transaction = build(FULL, [ALICE])
    assert transaction.tx_id == digest(b"tidegate/tx", CHAIN_ID, encode(FULL)) == body_id(CHAIN_ID, encode(FULL))
    ((key, signature),) = transaction.witness.signatures
    assert key == ALICE.public
    assert verify(key, transaction.tx_id, signature)
    assert sign_body(FULL, [ALICE]) == ((key, signature),)


def test_witness_changes_the_ref_and_not_the_id():
    one, two = build(FULL, [ALICE]), build(FULL, [ALICE, BOB])
    assert one.tx_id == two.tx_id
    assert one.ref != two.ref
    assert one.ref == one.tx_id + witness_hash(CHAIN_ID, encode(one.witness))
    assert len(one.ref) == 64


@pytest.mark.parametrize(
    "change",
    [
        {"chain_id": bytes(32)},
        {"sender": BOB.public},
        {"expiry_height": 101},
        {"nonce": b"\x01" * 16},
        {"inputs": ()},
        {"outputs": ()},
        {"calls": ()},
        {"attachments": ()},
        {"memo": b""},
    ],
)
def test_every_field_of_the_body_is_in_the_id(change):
    assert build(msgspec.structs.replace(FULL, **change), []).tx_id != build(FULL, []).tx_id


def test_signers_and_preimages_are_put_in_order_and_each_once():
    one = assemble(FULL, list(sign_body(FULL, [ALICE, BOB]))[::-1] * 2, [b"b", b"a", b"b"])
    assert one.wire == build(FULL, [BOB, ALICE, ALICE], [b"a", b"b"]).wire


def test_nothing_in_the_witness_is_a_form_too():
    assert build(body(inputs=(), outputs=()), []).witness.signatures == ()


# --- refusals -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", [0, 2, 255])
def test_unknown_version(version):
    refused(wire_of(body(version=version), witness_of()), MalformedBytes, "version_unknown")


def test_input_spent_twice():
    refused(wire_of(body(inputs=(bytes(36), bytes(36))), witness_of()), InvalidTransaction, "input_duplicate")


def test_signatures_doubled_or_out_of_order():
    (first, second) = sign_body(FULL, [ALICE, BOB])
    for signatures in ((second, first), (first, first), ((first[0], second[1]), first)):
        refused(wire_of(FULL, witness_of(signatures)), InvalidTransaction, "signature_duplicate")


def test_preimages_doubled_or_out_of_order():
    for preimages in ((b"b", b"a"), (b"a", b"a")):
        refused(wire_of(FULL, witness_of((), preimages)), InvalidTransaction, "preimage_duplicate")


@pytest.mark.parametrize(
    "change",
    [
        {"chain_id": bytes(31)},
        {"sender": bytes(32)},
        {"expiry_height": -1},
        {"expiry_height": MAX_HEIGHT + 1},
        {"nonce": bytes(15)},
        {"nonce": bytes(17)},
        {"inputs": (bytes(35),)},
        {"inputs": tuple(outpoint(bytes(32), i) for i in range(MAX_INPUTS + 1))},
        {"outputs": (Output("CNY", 0, "after(1)"),)},
        {"outputs": (Output("CNY", MAX_AMOUNT + 1, "after(1)"),)},
        {"outputs": (Output("CNY", -1, "after(1)"),)},
        {"outputs": (Output("", 1, "after(1)"),)},
        {"outputs": (Output("A" * 65, 1, "after(1)"),)},
        {"outputs": (Output("CNY", 1, ""),)},
        {"outputs": (Output("CNY", 1, "a" * 2049),)},
        {"outputs": (Output("CNY", 1, "after(1)"),) * (MAX_OUTPUTS + 1)},
        {"outputs": (Output("CNY", 1.0, "after(1)"),)},
        {"outputs": (Output("CNY", True, "after(1)"),)},
        {"calls": (Call("c", "m", b""),) * (MAX_CALLS + 1)},
        {"calls": (Call("", "m", b""),)},
        {"calls": (Call("c", "m" * 65, b""),)},
        {"calls": (Call("c", "m", bytes(MAX_CALL_BYTES + 1)),)},
        {"attachments": (Attachment(bytes(31), 1, 0),)},
        {"attachments": (Attachment(bytes(32), 0, 0),)},
        {"attachments": (Attachment(bytes(32), 2**32, 0),)},
        {"attachments": (Attachment(bytes(32), 1, 256),)},
        {"attachments": (Attachment(bytes(32), 1, 0),) * 17},
        {"memo": bytes(257)},
        {"version": 256},
        {"memo": "text"},
        {"inputs": None},
    ],
    ids=repr,
)
def test_fields_out_of_their_bounds(change):
    refused(wire_of(body(**change), witness_of()), MalformedBytes)


@pytest.mark.parametrize(
    "witness",
    [
        ((((ALICE.public, bytes(65)),) * (MAX_SIGNATURES + 1)), ()),
        (((ALICE.public, bytes(64)),), ()),
        (((ALICE.public[1:], bytes(65)),), ()),
        ((), (b"",)),
        ((), (bytes(65),)),
        ((), tuple(bytes([i]) for i in range(MAX_PREIMAGES + 1))),
        ((),),
        ((), (), ()),
    ],
    ids=range(8),
)
def test_witnesses_out_of_their_bounds(witness):
    refused(wire_of(FULL, encode(witness)), MalformedBytes)


def test_bounds_themselves_are_allowed():
    big = body(
        inputs=tuple(outpoint(bytes(32), i) for i in range(MAX_INPUTS)),
        outputs=(Output("A" * 64, MAX_AMOUNT, "after(1)"),) * MAX_OUTPUTS,
        calls=(Call("c" * 64, "m" * 64, bytes(100)),) * MAX_CALLS,
        memo=bytes(256),
        expiry_height=MAX_HEIGHT,
    )
    assert Transaction.decode(build(big, [ALICE], [bytes(64)]).wire).body == big


def test_transaction_over_its_size():
    calls = (Call("c", "m", bytes(MAX_CALL_BYTES)),) * 5
    refused(wire_of(body(calls=calls), witness_of()), MalformedBytes, "oversized")
    refused(bytes(MAX_TRANSACTION_BYTES + 1), MalformedBytes, "oversized")


def test_other_encodings_of_the_same_parts():
    good = build(FULL, [ALICE])
    encoded, witness = encode(FULL), encode(good.witness)
    longer = b"\xdc\x00\x0a" + encoded[1:]
    refused(wire_of(longer, witness), NonCanonicalBytes)
    refused(wire_of(encoded, b"\xdc\x00\x02" + witness[1:]), NonCanonicalBytes)
    refused(b"\xdc\x00\x02" + good.wire[1:], NonCanonicalBytes)
    refused(wire_of(encoded + b"\x00", witness), MalformedBytes)
    refused(wire_of(encoded, witness + b"\x00"), MalformedBytes)
    refused(good.wire + b"\x00", MalformedBytes)
    refused(encode((FULL, good.witness)), MalformedBytes)


def test_every_truncation():
    wire = build(FULL, [ALICE], [b"p"]).wire
    for end in range(len(wire)):
        refused(wire[:end], MalformedBytes)


GOOD = build(FULL, [ALICE, BOB], [b"one", b"two"])


def mutate(rng, wire):
    data = bytearray(wire)
    for _ in range(rng.choice([1, 1, 1, 2, 5])):
        if not data:
            break
        position = rng.randrange(len(data))
        choice = rng.randrange(6)
        if choice == 0:
            data[position] ^= 1 << rng.randrange(8)
        elif choice == 1:
            data[position] = rng.choice([0, 0x7F, 0x80, 0x90, 0xC0, 0xC1, 0xC4, 0xCC, 0xCF, 0xDC, 0xDD, 0xFF])
        elif choice == 2:
            del data[position]
        elif choice == 3:
            data.insert(position, rng.randrange(256))
        elif choice == 4:
            del data[position : position + rng.randrange(40)]
        else:
            other = rng.randrange(len(data))
            data[position:position] = data[other : other + rng.randrange(40)]
    return bytes(data)


@pytest.mark.parametrize("seed", range(10))
def test_mutated_wires_are_refused_or_are_another_transaction(seed):
    rng = random.Random(seed)
    survived = 0
    for turn in range(2_000):
        wire = mutate(rng, GOOD.wire)
        try:
            found = Transaction.decode(wire)
        except InvalidInput:
            continue
        survived += 1
        assert found.wire == wire, (seed, turn)
        assert (found.ref == GOOD.ref) == (wire == GOOD.wire), (seed, turn)
        assert wire_of(found.body, encode(found.witness)) == wire, (seed, turn)
        assert all(1 <= output.amount <= MAX_AMOUNT for output in found.body.outputs)
    assert survived


@given(st.binary(max_size=300))
def test_any_bytes_are_refused_as_input(wire):
    with pytest.raises(InvalidInput):
        Transaction.decode(wire)


def test_outpoints_and_preimage_hashes():
    assert outpoint(b"\x05" * 32, 258) == b"\x05" * 32 + b"\x00\x00\x01\x02"
    assert preimage_hash(b"secret") == hashlib.sha256(b"secret").hexdigest()
