"""Transactions: forms, ids, bounds, and what any change of any byte does."""

import hashlib
import random

import msgspec
import pytest
from chains import ALICE, CHAIN_ID, body
from hypothesis import given
from hypothesis import strategies as st
from wires import BOB, FULL, refused, signed_wire, wire_of, witness_of

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
    Body,
    Call,
    Output,
    Transaction,
    assemble,
    body_id,
    build,
    naming,
    outpoint,
    preimage_hash,
    sign_body,
    witness_hash,
)
from ledger.types import MAX_AMOUNT, MAX_HEIGHT


def test_built_transaction_decodes_to_itself():
    transaction = build(FULL, [ALICE, BOB], [b"one", b"two"])
    again = Transaction.decode(transaction.wire)
    for name in ("wire", "body", "witness", "tx_id", "ref"):
        assert getattr(again, name) == getattr(transaction, name)
    assert again.body == naming(FULL, [ALICE.public, BOB.public], [b"one", b"two"])
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
    one = build(FULL, [ALICE])
    two = assemble(FULL, [(ALICE.public, b"\x01" + bytes(64))])
    assert one.tx_id == two.tx_id
    assert one.ref != two.ref
    for transaction in (one, two):
        assert transaction.ref == transaction.tx_id + witness_hash(CHAIN_ID, encode(transaction.witness))
        assert len(transaction.ref) == 64


CHANGES = [
    {"version": 2},
    {"chain_id": bytes(32)},
    {"sender": BOB.public},
    {"expiry_height": 101},
    {"nonce": b"\x01" * 16},
    {"inputs": ()},
    {"outputs": ()},
    {"calls": ()},
    {"attachments": ()},
    {"memo": b""},
    {"cosigners": (BOB.public,)},
    {"preimage_hashes": (hashlib.sha256(b"p").digest(),)},
]


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: next(iter(change)))
def test_every_field_of_the_body_is_in_the_id(change):
    changed = msgspec.structs.replace(FULL, **change)
    assert body_id(CHAIN_ID, encode(changed)) != body_id(CHAIN_ID, encode(FULL))
    if "version" not in change:
        keys = [key for key in (ALICE, BOB) if key.public in (changed.sender, *changed.cosigners)]
        made = assemble(changed, sign_body(changed, keys), [b"p"] if changed.preimage_hashes else [])
        assert made.body == changed
        assert made.tx_id != build(FULL, [ALICE]).tx_id


def test_no_field_of_the_body_is_left_out_above():
    assert [next(iter(change)) for change in CHANGES] == list(Body.__struct_fields__)


def test_signers_and_preimages_are_put_in_order_and_each_once():
    named = naming(FULL, [ALICE.public, BOB.public], [b"a", b"b"])
    one = assemble(named, list(sign_body(named, [ALICE, BOB]))[::-1] * 2, [b"b", b"a", b"b"])
    assert one.wire == build(FULL, [BOB, ALICE, ALICE], [b"b", b"a", b"b"]).wire


# --- refusals -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", [0, 2, 255])
def test_unknown_version(version):
    refused(signed_wire(body(version=version)), MalformedBytes, "version_unknown")


def test_input_spent_twice():
    refused(signed_wire(body(inputs=(bytes(36), bytes(36)))), InvalidTransaction, "input_duplicate")


def test_signatures_doubled_or_out_of_order():
    named = naming(FULL, [BOB.public])
    (first, second) = sign_body(named, [ALICE, BOB])
    for signatures in ((second, first), (first, first), (first, first, second), ((first[0], second[1]), first)):
        refused(wire_of(named, witness_of(signatures)), InvalidTransaction, "signature_duplicate")


def test_preimages_doubled_or_out_of_order():
    named = naming(FULL, [], [b"a", b"b"])
    for preimages in ((b"b", b"a"), (b"a", b"a"), (b"a", b"a", b"b")):
        refused(signed_wire(named, preimages=preimages), InvalidTransaction, "preimage_duplicate")


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
        {"cosigners": (bytes(32),)},
        {"cosigners": (bytes(34),)},
        {"cosigners": tuple(b"\x01" + bytes([i]) * 32 for i in range(MAX_SIGNATURES))},
        {"cosigners": None},
        {"preimage_hashes": (bytes(31),)},
        {"preimage_hashes": (bytes(33),)},
        {"preimage_hashes": tuple(bytes([i]) * 32 for i in range(MAX_PREIMAGES + 1))},
        {"preimage_hashes": ("text" * 8,)},
    ],
    ids=repr,
)
def test_fields_out_of_their_bounds(change):
    refused(signed_wire(body(**change)), MalformedBytes)


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
    keys = [ALICE, *(SigningKey(bytes([i]) * 32) for i in range(1, MAX_SIGNATURES))]
    preimages = [bytes(63) + bytes([i]) for i in range(MAX_PREIMAGES)]
    found = Transaction.decode(build(big, keys, preimages).wire)
    assert found.body == naming(big, [key.public for key in keys], preimages)
    assert (len(found.body.cosigners), len(found.body.preimage_hashes)) == (MAX_SIGNATURES - 1, MAX_PREIMAGES)
    assert msgspec.structs.replace(found.body, cosigners=(), preimage_hashes=()) == big


def test_transaction_over_its_size():
    calls = (Call("c", "m", bytes(MAX_CALL_BYTES)),) * 5
    refused(signed_wire(body(calls=calls)), MalformedBytes, "oversized")
    refused(bytes(MAX_TRANSACTION_BYTES + 1), MalformedBytes, "oversized")


def test_other_encodings_of_the_same_parts():
    good = build(FULL, [ALICE])
    encoded, witness = encode(FULL), encode(good.witness)
    assert encoded[0] == 0x9C  # twelve fields
    longer = b"\xdc\x00\x0c" + encoded[1:]
    refused(wire_of(longer, witness), NonCanonicalBytes)
    refused(wire_of(encoded, b"\xdc\x00\x02" + witness[1:]), NonCanonicalBytes)
    refused(b"\xdc\x00\x02" + good.wire[1:], NonCanonicalBytes)
    refused(wire_of(encoded + b"\x00", witness), MalformedBytes)
    refused(wire_of(encoded, witness + b"\x00"), MalformedBytes)
    refused(good.wire + b"\x00", MalformedBytes)
    refused(encode((FULL, good.witness)), MalformedBytes)


def test_body_without_the_fields_that_name_its_witness():
    fields = msgspec.structs.astuple(FULL)
    assert encode(fields) == encode(FULL)
    for left_out in (1, 2):
        shorter = encode(fields[:-left_out])
        signatures = [(ALICE.public, ALICE.sign(body_id(CHAIN_ID, shorter)))]
        refused(wire_of(shorter, witness_of(signatures)), NonCanonicalBytes)


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
        assert {key for key, _ in found.witness.signatures} == {found.body.sender, *found.body.cosigners}, (seed, turn)
        assert all(1 <= output.amount <= MAX_AMOUNT for output in found.body.outputs)
    assert survived


@given(st.binary(max_size=300))
def test_any_bytes_are_refused_as_input(wire):
    with pytest.raises(InvalidInput):
        Transaction.decode(wire)


def test_outpoints_and_preimage_hashes():
    assert outpoint(b"\x05" * 32, 258) == b"\x05" * 32 + b"\x00\x00\x01\x02"
    assert preimage_hash(b"secret") == hashlib.sha256(b"secret").hexdigest()
