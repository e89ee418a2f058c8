"""What anyone can check of an envelope without opening it: form, signature, place, recipients; and the attacks."""

import msgspec
import pytest
from envelope_kit import (
    AUTHORITY,
    CONTEXT,
    DOCUMENT,
    MOVES,
    OUTSIDER,
    PHARMACY,
    PLATFORM,
    RECIPIENTS,
    SECOND,
    STRANGER,
    context_of,
    flipped,
    refused,
    sealed,
    x25519,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from ledger.encoding import encode
from ledger.envelope import (
    MAX_CIPHERTEXT_BYTES,
    Envelope,
    EnvelopeContext,
    Rewrap,
    Stanza,
    associated_data,
    check_envelope,
    check_recipients,
    check_rewrap,
    context_codec,
    envelope_codec,
    envelope_digest,
    header_hash,
    key_id,
    rewrap_codec,
    rewrap_signed,
    sender_signed,
    wrap_info,
)
from ledger.errors import MalformedBytes
from ledger.keys import SignatureCache
from ledger.sealing import rewrap

SEALED = sealed()
STANZAS = SEALED.stanzas
REWRAP = rewrap(SEALED, CONTEXT, AUTHORITY, OUTSIDER.public, PLATFORM)


def replaced(envelope=SEALED, **changes):
    return msgspec.structs.replace(envelope, **changes)


def signed_again(envelope, key=PLATFORM, context=CONTEXT):
    """``envelope`` as a dishonest sender would sign it: whatever it says."""
    header = header_hash(envelope.suite, envelope.nonce, envelope.ciphertext, context)
    return replaced(envelope, signature=key.sign(sender_signed(context, header, envelope.stanzas)))


def first(**changes):
    return (msgspec.structs.replace(STANZAS[0], **changes), *STANZAS[1:])


def test_envelope_is_good_when_it_is_as_sealed():
    again = envelope_codec.decode(envelope_codec.encode(SEALED))
    assert again == SEALED
    check_envelope(again, CONTEXT, [key_id(key) for key in RECIPIENTS])
    check_recipients(again, RECIPIENTS)
    assert envelope_digest(again) == envelope_digest(SEALED)
    assert context_codec.decode(context_codec.encode(CONTEXT)) == CONTEXT


def test_signature_is_verified_once_when_a_cache_does_it():
    cache = SignatureCache()
    for _ in range(3):
        check_envelope(SEALED, CONTEXT, verify=cache.verify)
    assert cache.verified == 1


# --- moved, stripped, added, altered --------------------------------------------------------------------------------


@pytest.mark.parametrize("move", MOVES.values(), ids=MOVES)
def test_envelope_is_refused_when_it_is_moved_elsewhere(move):
    refused("envelope_signature_invalid", check_envelope, SEALED, context_of(**move))


@pytest.mark.parametrize("gone", range(3))
def test_envelope_is_refused_when_a_recipient_was_stripped(gone):
    stripped = replaced(stanzas=STANZAS[:gone] + STANZAS[gone + 1 :])
    refused("envelope_signature_invalid", check_envelope, stripped, CONTEXT)


def test_envelope_is_refused_when_a_recipient_was_added():
    added = tuple(sorted((*STANZAS, *sealed([OUTSIDER.public]).stanzas), key=lambda stanza: stanza.recipient))
    refused("envelope_signature_invalid", check_envelope, replaced(stanzas=added), CONTEXT)


def test_envelope_is_refused_when_a_recipients_stanza_was_swapped_for_another_seals():
    other = sealed()
    refused("envelope_signature_invalid", check_envelope, replaced(stanzas=other.stanzas), CONTEXT)


@pytest.mark.parametrize("stanzas", [STANZAS[::-1], (STANZAS[1], STANZAS[0], STANZAS[2])], ids=["reversed", "swapped"])
def test_envelope_is_refused_when_recipients_are_reordered_even_by_the_sender(stanzas):
    refused("envelope_malformed", check_envelope, replaced(stanzas=stanzas), CONTEXT)
    refused("envelope_malformed", check_envelope, signed_again(replaced(stanzas=stanzas)), CONTEXT)


def test_envelope_is_refused_when_a_recipient_is_there_twice_even_by_the_sender():
    doubled = (STANZAS[0], msgspec.structs.replace(STANZAS[0], wrapped=flipped(STANZAS[0].wrapped)), *STANZAS[1:])
    refused("envelope_malformed", check_envelope, signed_again(replaced(stanzas=doubled)), CONTEXT)


@pytest.mark.parametrize(
    "forged",
    [
        replaced(nonce=flipped(SEALED.nonce)),
        replaced(ciphertext=flipped(SEALED.ciphertext)),
        replaced(ciphertext=SEALED.ciphertext + b"\0"),
        replaced(signature=flipped(SEALED.signature, 1)),
        replaced(signature=flipped(SEALED.signature, 0)),
        replaced(stanzas=first(recipient=bytes(32))),
        replaced(stanzas=first(epoch=2)),
        replaced(stanzas=first(wrapped=flipped(STANZAS[0].wrapped, 79))),
        signed_again(SEALED, STRANGER),
    ],
    ids=["nonce", "ciphertext", "longer", "signature", "suite of it", "recipient", "epoch", "wrapped", "signer"],
)
def test_envelope_is_refused_when_a_field_was_altered(forged):
    refused("envelope_signature_invalid", check_envelope, forged, CONTEXT)


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_envelope_is_refused_when_any_bit_of_its_bytes_is_flipped(data):
    wire = envelope_codec.encode(SEALED)
    forged = flipped(wire, data.draw(st.integers(0, len(wire) - 1)), 1 << data.draw(st.integers(0, 7)))
    try:
        envelope = envelope_codec.decode(forged)
    except MalformedBytes:
        return
    with pytest.raises(Exception) as caught:
        check_envelope(envelope, CONTEXT)
    assert caught.value.code in {"envelope_malformed", "envelope_signature_invalid"}


# --- form, when the sender itself is dishonest ----------------------------------------------------------------------


@pytest.mark.parametrize(
    "changes",
    [
        {"suite": 2},
        {"suite": 255},
        {"nonce": bytes(11)},
        {"ciphertext": bytes(15)},
        {"ciphertext": bytes(MAX_CIPHERTEXT_BYTES + 1)},
        {"stanzas": ()},
        {"stanzas": tuple(Stanza(bytes([n]) * 32, 1, 1, bytes(80)) for n in range(33))},
        {"stanzas": first(suite=3)},
        {"stanzas": first(suite=3, wrapped=bytes(256))},
        {"stanzas": first(suite=2)},
        {"stanzas": first(wrapped=bytes(79))},
        {"stanzas": first(wrapped=bytes(81))},
        {"stanzas": first(suite=2, wrapped=bytes(255))},
        {"stanzas": first(suite=2, wrapped=bytes(513))},
    ],
    ids=lambda changes: "-".join(changes),
)
def test_envelope_is_refused_when_its_form_is_wrong_though_the_sender_signed(changes):
    refused("envelope_malformed", check_envelope, signed_again(replaced(**changes)), CONTEXT)


@pytest.mark.parametrize(
    "changes",
    [
        {"suite": 0},
        {"nonce": bytes(13)},
        {"ciphertext": b""},
        {"ciphertext": bytes(MAX_CIPHERTEXT_BYTES + 1)},
        {"stanzas": ()},
        {"stanzas": STANZAS * 11},
        {"stanzas": first(epoch=0)},
        {"stanzas": first(wrapped=bytes(1_025))},
        {"stanzas": first(wrapped=b"")},
        {"stanzas": first(recipient=bytes(31))},
        {"signature": bytes(64)},
    ],
    ids=lambda changes: "-".join(changes),
)
def test_envelope_is_undecodable_when_a_field_is_out_of_bounds(changes):
    with pytest.raises(MalformedBytes):
        envelope_codec.decode(envelope_codec.encode(replaced(**changes)))


def test_envelope_decodes_when_everything_is_as_large_as_allowed():
    largest = Envelope(
        255,
        bytes(12),
        bytes(MAX_CIPHERTEXT_BYTES),
        tuple(Stanza(bytes([n]) * 32, 255, 2**53 - 1, bytes(1_024)) for n in range(32)),
        bytes(65),
    )
    assert envelope_codec.decode(envelope_codec.encode(largest)) == largest
    rewrapped = Rewrap(bytes(32), largest.stanzas[0], bytes(33), bytes(65))
    assert rewrap_codec.decode(rewrap_codec.encode(rewrapped)) == rewrapped


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=400))
def test_any_bytes_are_refused_with_a_typed_error_when_they_are_no_envelope(data):
    for codec in (envelope_codec, rewrap_codec, context_codec):
        with pytest.raises(MalformedBytes):
            codec.decode(data)


# --- recipients -----------------------------------------------------------------------------------------------------


def test_envelope_is_refused_when_a_required_recipient_is_missing():
    wanted = [key_id(AUTHORITY.public), key_id(OUTSIDER.public)]
    error = refused("envelope_recipient_missing", check_envelope, SEALED, CONTEXT, wanted)
    assert error.data["recipients"] == (key_id(OUTSIDER.public),)


def test_recipients_are_refused_when_one_of_several_authorities_was_left_out():
    error = refused("envelope_recipient_missing", check_recipients, SEALED, [*RECIPIENTS, OUTSIDER.public])
    assert error.data["recipients"] == (key_id(OUTSIDER.public),)


def test_recipients_are_refused_when_sealed_to_a_key_of_an_old_epoch():
    rotated = x25519(31, epoch=2).public
    error = refused("envelope_key_epoch_old", check_recipients, SEALED, [rotated, SECOND.public, PHARMACY.public])
    assert (error.data["epoch"], error.data["sealed_epoch"]) == (2, 1)
    assert error.data["recipient"] == key_id(rotated)


def test_recipients_are_refused_when_the_same_key_counts_under_a_later_epoch():
    same_point = x25519(11, epoch=2).public
    assert same_point.public == AUTHORITY.public.public
    refused("envelope_key_epoch_old", check_recipients, SEALED, [same_point])


def test_recipients_are_missing_and_not_old_when_all_the_others_are_current():
    later = x25519(31, epoch=2).public
    refused("envelope_recipient_missing", check_recipients, SEALED, [*RECIPIENTS, later])


def test_recipients_are_enough_when_more_than_the_current_ones_are_there():
    check_recipients(SEALED, [AUTHORITY.public])
    check_recipients(SEALED, [])


@pytest.mark.parametrize("changes", [{"epoch": 2}, {"epoch": 7}, {"suite": 2, "wrapped": bytes(256)}], ids=str)
def test_recipients_are_refused_when_a_stanza_lies_about_its_key(changes):
    lying = signed_again(replaced(stanzas=first(**changes)))
    check_envelope(lying, CONTEXT)
    refused("envelope_malformed", check_recipients, lying, RECIPIENTS)


# --- rewraps --------------------------------------------------------------------------------------------------------


def test_rewrap_is_good_when_it_is_as_wrapped():
    again = rewrap_codec.decode(rewrap_codec.encode(REWRAP))
    check_rewrap(again, SEALED, CONTEXT)
    assert again.stanza.recipient == key_id(OUTSIDER.public)


@pytest.mark.parametrize(
    "changes",
    [
        {"stanza": msgspec.structs.replace(REWRAP.stanza, recipient=bytes(32))},
        {"stanza": msgspec.structs.replace(REWRAP.stanza, epoch=2)},
        {"stanza": msgspec.structs.replace(REWRAP.stanza, wrapped=flipped(REWRAP.stanza.wrapped))},
        {"wrapper": STRANGER.public},
        {"signature": flipped(REWRAP.signature, 5)},
    ],
    ids=["recipient", "epoch", "wrapped", "wrapper", "signature"],
)
def test_rewrap_is_refused_when_a_field_was_altered(changes):
    refused("rewrap_signature_invalid", check_rewrap, replaced(REWRAP, **changes), SEALED, CONTEXT)


@pytest.mark.parametrize("move", MOVES.values(), ids=MOVES)
def test_rewrap_is_refused_when_it_is_moved_elsewhere(move):
    refused("rewrap_signature_invalid", check_rewrap, REWRAP, SEALED, context_of(**move))


def test_rewrap_is_refused_when_it_is_of_another_envelope_or_malformed():
    refused("rewrap_foreign", check_rewrap, REWRAP, sealed(), CONTEXT)
    stanza = msgspec.structs.replace(REWRAP.stanza, wrapped=bytes(79))
    name = envelope_digest(SEALED)
    spoilt = Rewrap(name, stanza, PLATFORM.public, PLATFORM.sign(rewrap_signed(CONTEXT, name, stanza, PLATFORM.public)))
    refused("envelope_malformed", check_rewrap, spoilt, SEALED, CONTEXT)


def test_signature_of_one_kind_is_refused_as_the_other_when_swapped():
    refused("rewrap_signature_invalid", check_rewrap, replaced(REWRAP, signature=SEALED.signature), SEALED, CONTEXT)
    refused("envelope_signature_invalid", check_envelope, replaced(signature=REWRAP.signature), CONTEXT)


# --- what is authenticated ------------------------------------------------------------------------------------------


def test_associated_data_differs_when_suite_or_any_field_of_the_context_does():
    seen = {associated_data(1, CONTEXT), associated_data(2, CONTEXT)}
    seen |= {associated_data(1, context_of(**move)) for move in MOVES.values()}
    assert len(seen) == 2 + len(MOVES)
    assert associated_data(1, CONTEXT) == encode((1, CONTEXT))


def test_everything_signed_or_bound_differs_when_any_part_does():
    header, name = bytes(32), b"\x01" * 32
    places = [CONTEXT, *(context_of(**move) for move in MOVES.values())]
    headers = {header_hash(1, bytes(12), b"c", place) for place in places}
    headers |= {header_hash(2, bytes(12), b"c", CONTEXT), header_hash(1, bytes(11) + b"\1", b"c", CONTEXT)}
    assert len(headers | {header_hash(1, bytes(12), b"d", CONTEXT)}) == len(places) + 3

    parts = [
        (header, name, 1, 1),
        (name, name, 1, 1),
        (header, header, 1, 1),
        (header, name, 2, 1),
        (header, name, 1, 2),
    ]
    assert len({wrap_info(CONTEXT, *part) for part in parts}) == len(parts)

    signed = {sender_signed(place, header, STANZAS) for place in places}
    assert len(signed | {sender_signed(CONTEXT, name, STANZAS), sender_signed(CONTEXT, header, STANZAS[:2])}) == (
        len(places) + 2
    )
    wrapped = {rewrap_signed(place, header, STANZAS[0], PLATFORM.public) for place in places}
    wrapped |= {
        rewrap_signed(CONTEXT, name, STANZAS[0], PLATFORM.public),
        rewrap_signed(CONTEXT, header, STANZAS[1], PLATFORM.public),
        rewrap_signed(CONTEXT, header, STANZAS[0], STRANGER.public),
    }
    assert len(wrapped) == len(places) + 3


def test_associated_data_is_the_same_when_only_recipients_differ():
    one, other = sealed([AUTHORITY.public]), sealed([PHARMACY.public])
    assert associated_data(one.suite, CONTEXT) == associated_data(other.suite, CONTEXT)


@pytest.mark.parametrize(
    "changes",
    [{"stage": ""}, {"stage": "s" * 33}, {"flow": bytes(31)}, {"sender": bytes(32)}, {"chain_id": b""}],
    ids=str,
)
def test_context_is_undecodable_when_a_field_is_out_of_bounds(changes):
    with pytest.raises(MalformedBytes):
        context_codec.decode(context_codec.encode(context_of(**changes)))


def test_envelope_shows_no_plaintext_when_printed():
    shown = repr(SEALED) + repr(CONTEXT) + repr(REWRAP)
    assert "999-12" not in shown
    assert DOCUMENT.body not in SEALED.ciphertext
    assert isinstance(CONTEXT, EnvelopeContext)
