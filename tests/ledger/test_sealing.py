"""Sealing and opening: who can, who cannot, what an opener is never made to believe, and keys that change."""

import subprocess
import sys
import traceback
from pathlib import Path

import msgspec
import pytest
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from envelope_kit import (
    AUTHORITY,
    BODY,
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
    rsa_key,
    sealed,
    x25519,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from ledger.envelope import (
    MAX_BODY_BYTES,
    Envelope,
    Rewrap,
    SealedDocument,
    Stanza,
    associated_data,
    check_envelope,
    check_recipients,
    check_rewrap,
    commitment_of,
    envelope_codec,
    envelope_digest,
    header_hash,
    key_id,
    rewrap_signed,
    sealed_document_codec,
    sender_signed,
    wrap_info,
)
from ledger.errors import InvalidEnvelope, LocalMisuse
from ledger.sealing import (
    MAX_PLAINTEXT_BYTES,
    new_document,
    open_document,
    open_envelope,
    open_rewrapped,
    rewrap,
    seal,
)
from ledger.sealing_keys import wrap

HOLDERS = (AUTHORITY, SECOND, PHARMACY)
SEALED = sealed()


def forged(content_keys, plaintext, context=CONTEXT, ciphertext=None, wrapped_in=None):
    """What a dishonest sender can make: any content, any wrapped keys, all well signed."""
    nonce = bytes(12)
    if ciphertext is None:
        ciphertext = ChaCha20Poly1305(b"c" * 32).encrypt(nonce, plaintext, associated_data(1, wrapped_in or context))
    header = header_hash(1, nonce, ciphertext, context)
    stanzas = []
    for public, content_key in content_keys.items():
        name = key_id(public)
        info = wrap_info(context, header, name, public.suite, public.epoch)
        stanzas.append(Stanza(name, public.suite, public.epoch, wrap(content_key, public, info)))
    ordered = tuple(sorted(stanzas, key=lambda stanza: stanza.recipient))
    return Envelope(1, nonce, ciphertext, ordered, PLATFORM.sign(sender_signed(context, header, ordered)))


# --- round trips ---------------------------------------------------------------------------------------------------


@settings(max_examples=40, deadline=None)
@given(st.binary(max_size=2_000), st.text(max_size=64, alphabet=st.characters(codec="utf-8")), st.integers(0, 4))
def test_every_recipient_and_nobody_else_opens_when_any_document_is_sealed(body, media, mixed):
    document = new_document(body, media)
    context = context_of(document)
    holders = (AUTHORITY, rsa_key(), SECOND, rsa_key(1), PHARMACY)[: mixed + 1]
    envelope = seal(document, context, [holder.public for holder in holders], PLATFORM)
    envelope = envelope_codec.decode(envelope_codec.encode(envelope))
    check_envelope(envelope, context, [holder.key_id for holder in holders])
    for holder in holders:
        assert open_document(envelope, context, holder) == document
    refused("envelope_not_for_us", open_document, envelope, context, OUTSIDER)


@pytest.mark.parametrize("size", [0, 1, MAX_BODY_BYTES])
def test_document_opens_when_it_is_empty_or_as_large_as_allowed(size):
    document = new_document(bytes(size), "m" * 64)
    context = context_of(document)
    envelope = envelope_codec.decode(envelope_codec.encode(sealed(document=document, context=context)))
    assert open_document(envelope, context, PHARMACY) == document


@pytest.mark.parametrize("size", [0, 1, MAX_PLAINTEXT_BYTES])
def test_bytes_open_when_anything_is_sealed(size):
    envelope = seal(b"\x01" * size, CONTEXT, RECIPIENTS, PLATFORM)
    assert open_envelope(envelope_codec.decode(envelope_codec.encode(envelope)), CONTEXT, SECOND) == b"\x01" * size


def test_bytes_of_a_document_open_as_that_document_when_sealed_ready_made():
    envelope = seal(sealed_document_codec.encode(DOCUMENT), CONTEXT, RECIPIENTS, PLATFORM)
    assert open_document(envelope, CONTEXT, SECOND) == DOCUMENT
    assert open_envelope(SEALED, CONTEXT, SECOND) == sealed_document_codec.encode(DOCUMENT)


def test_recipients_open_when_they_hold_rsa_only():
    holders = (rsa_key(), rsa_key(1), rsa_key(bits=4_096))
    envelope = sealed([holder.public for holder in holders])
    assert [len(stanza.wrapped) for stanza in envelope.stanzas].count(512) == 1
    check_recipients(envelope, [holder.public for holder in holders])
    for holder in holders:
        assert open_document(envelope, CONTEXT, holder) == DOCUMENT
    refused("envelope_not_for_us", open_document, envelope, CONTEXT, [AUTHORITY, rsa_key(2)])


def test_first_usable_key_opens_when_several_are_held():
    assert open_document(SEALED, CONTEXT, [OUTSIDER, PHARMACY, AUTHORITY]) == DOCUMENT
    refused("envelope_not_for_us", open_document, SEALED, CONTEXT, [])
    # One of its stanzas is spoilt by the sender: the other key still opens.
    half = forged({AUTHORITY.public: b"x" * 32, SECOND.public: b"c" * 32}, sealed_document_codec.encode(DOCUMENT))
    assert open_document(half, CONTEXT, [AUTHORITY, SECOND]) == DOCUMENT
    refused("envelope_unopenable", open_document, half, CONTEXT, [AUTHORITY, OUTSIDER])


def test_recipient_counts_once_when_named_twice_and_order_is_no_matter():
    envelope = seal(DOCUMENT, CONTEXT, [*RECIPIENTS[::-1], *RECIPIENTS], PLATFORM)
    assert [stanza.recipient for stanza in envelope.stanzas] == sorted(key_id(key) for key in RECIPIENTS)
    check_envelope(envelope, CONTEXT)


def content_key_of(envelope):
    header = header_hash(envelope.suite, envelope.nonce, envelope.ciphertext, CONTEXT)
    wrapped = envelope.stanza_for(AUTHORITY.key_id).wrapped
    return AUTHORITY.unwrap(wrapped, wrap_info(CONTEXT, header, AUTHORITY.key_id, AUTHORITY.suite, AUTHORITY.epoch))


def test_nothing_repeats_when_one_document_is_sealed_again():
    again = sealed()
    assert content_key_of(again) != content_key_of(SEALED)
    assert again.nonce != SEALED.nonce
    assert again.ciphertext != SEALED.ciphertext
    assert not {s.wrapped for s in again.stanzas} & {s.wrapped for s in SEALED.stanzas}
    assert new_document(BODY, "text/plain").salt != new_document(BODY, "text/plain").salt


# --- what cannot be sealed -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [0, 33])
def test_sealing_is_refused_when_recipients_are_none_or_too_many(count):
    keys = [x25519(number + 1).public for number in range(count)]
    refused("envelope_recipients_invalid", seal, DOCUMENT, CONTEXT, keys, PLATFORM)


def test_sealing_works_when_recipients_are_as_many_as_allowed():
    holders = [x25519(number + 1) for number in range(32)]
    envelope = sealed([holder.public for holder in holders])
    assert all(open_document(envelope, CONTEXT, holder) == DOCUMENT for holder in holders)


def test_sealing_is_refused_when_the_context_commits_to_another_document():
    refused("commitment_mismatch", seal, DOCUMENT, context_of(commitment=bytes(32)), RECIPIENTS, PLATFORM)


def test_sealing_is_refused_when_a_document_is_too_large():
    for document in (
        SealedDocument(bytes(32), "", bytes(MAX_BODY_BYTES + 1)),
        SealedDocument(bytes(32), "m" * 65, b""),
    ):
        refused("document_oversized", seal, document, context_of(document), RECIPIENTS, PLATFORM)
    refused("document_oversized", seal, bytes(MAX_PLAINTEXT_BYTES + 1), CONTEXT, RECIPIENTS, PLATFORM)
    refused("document_oversized", new_document, bytes(10_000_000), "text/plain")
    refused("document_oversized", new_document, b"", "m" * 65)


def test_sealing_is_a_callers_bug_when_the_context_names_another_sender():
    with pytest.raises(LocalMisuse):
        seal(DOCUMENT, CONTEXT, RECIPIENTS, STRANGER)


def test_sealing_is_refused_when_one_recipients_key_is_bad():
    bad = msgspec.structs.replace(AUTHORITY.public, public=bytes(32))
    refused("encryption_key_invalid", seal, DOCUMENT, CONTEXT, [*RECIPIENTS, bad], PLATFORM)


# --- what cannot be opened -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("move", MOVES.values(), ids=MOVES)
def test_envelope_does_not_open_when_it_is_moved_elsewhere(move):
    refused("envelope_signature_invalid", open_document, SEALED, context_of(**move), AUTHORITY)


@pytest.mark.parametrize("move", [MOVES[name] for name in ("chain", "flow", "stage", "commitment")], ids=str)
@pytest.mark.parametrize("holder", [AUTHORITY, rsa_key()], ids=["x25519", "rsa"])
def test_envelope_does_not_open_when_its_own_sender_signed_it_again_elsewhere(move, holder):
    there = context_of(**move)
    envelope = sealed([holder.public])
    header = header_hash(1, envelope.nonce, envelope.ciphertext, there)
    moved = msgspec.structs.replace(envelope, signature=PLATFORM.sign(sender_signed(there, header, envelope.stanzas)))
    check_envelope(moved, there)
    refused("envelope_unopenable", open_document, moved, there, holder)


def test_envelope_does_not_open_when_another_sender_signs_it_as_its_own():
    there = context_of(sender=STRANGER.public)
    header = header_hash(1, SEALED.nonce, SEALED.ciphertext, there)
    stolen = msgspec.structs.replace(SEALED, signature=STRANGER.sign(sender_signed(there, header, SEALED.stanzas)))
    check_envelope(stolen, there)
    refused("envelope_unopenable", open_document, stolen, there, AUTHORITY)


def test_content_does_not_open_elsewhere_when_its_key_is_wrapped_anew():
    """The wrapping ties the key to the place; the content cipher does so on its own as well."""
    moved = forged({AUTHORITY.public: b"c" * 32}, b"x", context_of(stage="order"), wrapped_in=CONTEXT)
    refused("envelope_unopenable", open_envelope, moved, context_of(stage="order"), AUTHORITY)


def test_stanza_does_not_unwrap_when_it_is_put_under_another_key():
    """A stanza is tied to its key's id and epoch, even when both keys are the same point."""
    later = x25519(11, epoch=2)
    assert later.public.public == AUTHORITY.public.public
    (stanza,) = sealed([AUTHORITY.public]).stanzas
    base = sealed([AUTHORITY.public])
    header = header_hash(1, base.nonce, base.ciphertext, CONTEXT)
    for relabelled in (
        Stanza(later.key_id, 1, 2, base.stanzas[0].wrapped),
        Stanza(later.key_id, 1, 1, base.stanzas[0].wrapped),
    ):
        signature = PLATFORM.sign(sender_signed(CONTEXT, header, (relabelled,)))
        moved = msgspec.structs.replace(base, stanzas=(relabelled,), signature=signature)
        refused("envelope_unopenable", open_document, moved, CONTEXT, later)
    # And a stanza of another envelope does not serve this one.
    signature = PLATFORM.sign(sender_signed(CONTEXT, header, (stanza,)))
    swapped = msgspec.structs.replace(base, stanzas=(stanza,), signature=signature)
    refused("envelope_unopenable", open_document, swapped, CONTEXT, AUTHORITY)


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_envelope_does_not_open_when_any_bit_of_its_bytes_is_flipped(data):
    wire = envelope_codec.encode(SEALED)
    changed = flipped(wire, data.draw(st.integers(0, len(wire) - 1)), 1 << data.draw(st.integers(0, 7)))
    with pytest.raises(Exception) as caught:
        open_document(envelope_codec.decode(changed), CONTEXT, AUTHORITY)
    assert caught.value.code in {"malformed", "non_canonical", "envelope_malformed", "envelope_signature_invalid"}


@pytest.mark.parametrize("lie", [{"epoch": 2}, {"epoch": 7}], ids=str)
def test_stanza_does_not_unwrap_when_its_sender_lies_about_our_key(lie):
    nonce = bytes(12)
    ciphertext = ChaCha20Poly1305(b"c" * 32).encrypt(nonce, b"x", associated_data(1, CONTEXT))
    header = header_hash(1, nonce, ciphertext, CONTEXT)
    info = wrap_info(CONTEXT, header, AUTHORITY.key_id, 1, lie["epoch"])
    stanzas = (Stanza(AUTHORITY.key_id, 1, lie["epoch"], wrap(b"c" * 32, AUTHORITY.public, info)),)
    lying = Envelope(1, nonce, ciphertext, stanzas, PLATFORM.sign(sender_signed(CONTEXT, header, stanzas)))
    check_envelope(lying, CONTEXT)
    refused("envelope_unopenable", open_envelope, lying, CONTEXT, AUTHORITY)


def test_document_is_refused_when_it_is_not_the_one_committed_to():
    other = SealedDocument(DOCUMENT.salt, DOCUMENT.media, BODY.replace(b"3456", b"3457"))
    for plaintext in (sealed_document_codec.encode(other), BODY, b"", sealed_document_codec.encode(DOCUMENT) + b"\0"):
        lying = seal(plaintext, CONTEXT, RECIPIENTS, PLATFORM)
        check_envelope(lying, CONTEXT)
        refused("commitment_mismatch", open_document, lying, CONTEXT, AUTHORITY)


def test_second_reading_is_refused_when_a_sender_wraps_another_key_for_one_recipient():
    split = forged({AUTHORITY.public: b"c" * 32, SECOND.public: b"d" * 32}, sealed_document_codec.encode(DOCUMENT))
    assert open_document(split, CONTEXT, AUTHORITY) == DOCUMENT
    refused("envelope_unopenable", open_document, split, CONTEXT, SECOND)


def test_errors_show_neither_plaintext_nor_keys_when_opening_fails():
    lying = seal(BODY, CONTEXT, RECIPIENTS, PLATFORM)
    secret = AUTHORITY.to_bytes()[-32:]
    for envelope, context, key in (
        (lying, CONTEXT, AUTHORITY),
        (SEALED, CONTEXT, OUTSIDER),
        (SEALED, context_of(stage="order"), AUTHORITY),
        (forged({AUTHORITY.public: b"x" * 32}, BODY), CONTEXT, AUTHORITY),
    ):
        with pytest.raises(InvalidEnvelope) as caught:
            open_document(envelope, context, key)
        shown = ("".join(traceback.format_exception(caught.value)) + repr(caught.value.data)).encode()
        for hidden in (b"999-12", b"MedicationRequest", secret, secret.hex().encode(), b"x" * 32, b"c" * 32):
            assert hidden not in shown


# --- keys that change ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("later", [x25519(41, epoch=2), rsa_key(epoch=2)], ids=["x25519", "rsa"])
def test_rotation_touches_no_ciphertext_when_a_content_key_is_wrapped_again(later):
    before = envelope_codec.encode(SEALED)
    refused("envelope_not_for_us", open_document, SEALED, CONTEXT, later)
    rewrapped = rewrap(SEALED, CONTEXT, AUTHORITY, later.public, PLATFORM)
    assert envelope_codec.encode(SEALED) == before
    assert rewrapped.envelope == envelope_digest(SEALED)
    check_rewrap(rewrapped, SEALED, CONTEXT)
    assert open_rewrapped(SEALED, rewrapped, CONTEXT, later) == open_envelope(SEALED, CONTEXT, AUTHORITY)
    assert open_document(SEALED, CONTEXT, [OUTSIDER, later], via=rewrapped) == DOCUMENT
    assert open_document(SEALED, CONTEXT, AUTHORITY) == DOCUMENT


def test_document_opens_after_many_rotations_when_each_wraps_for_the_next():
    own, via = AUTHORITY, None
    for epoch in range(2, 7):
        later = x25519(50 + epoch, epoch=epoch)
        via = rewrap(SEALED, CONTEXT, own, later.public, PLATFORM, via=via)
        refused("envelope_not_for_us", open_document, SEALED, CONTEXT, own, via=via)
        own = later
        assert open_document(SEALED, CONTEXT, own, via=via) == DOCUMENT


def test_rewrap_is_refused_when_the_wrapper_cannot_open_the_envelope():
    refused("envelope_not_for_us", rewrap, SEALED, CONTEXT, OUTSIDER, SECOND.public, PLATFORM)
    wrong = forged({AUTHORITY.public: b"x" * 32}, b"content under another key")
    refused("envelope_unopenable", rewrap, wrong, CONTEXT, AUTHORITY, SECOND.public, PLATFORM)
    bad = msgspec.structs.replace(SECOND.public, public=bytes(32))
    refused("encryption_key_invalid", rewrap, SEALED, CONTEXT, AUTHORITY, bad, PLATFORM)


def test_rewrap_does_not_open_when_altered_moved_or_of_another_envelope():
    later = x25519(41, epoch=2)
    good = rewrap(SEALED, CONTEXT, AUTHORITY, later.public, PLATFORM)
    altered = msgspec.structs.replace(good, stanza=msgspec.structs.replace(good.stanza, wrapped=bytes(80)))
    refused("rewrap_signature_invalid", open_rewrapped, SEALED, altered, CONTEXT, later)
    refused("rewrap_foreign", open_rewrapped, sealed(), good, CONTEXT, later)
    refused("envelope_signature_invalid", open_rewrapped, SEALED, good, context_of(stage="order"), later)
    refused("envelope_not_for_us", open_rewrapped, SEALED, good, CONTEXT, AUTHORITY)


def test_rewrap_grants_nothing_when_somebody_without_the_key_makes_one():
    """Anyone can sign a rewrap; without the content key there is nothing in it that opens."""
    later = x25519(41, epoch=2)
    name = envelope_digest(SEALED)
    other = sealed([later.public]).stanzas[0]
    made_up = Rewrap(name, other, STRANGER.public, STRANGER.sign(rewrap_signed(CONTEXT, name, other, STRANGER.public)))
    check_rewrap(made_up, SEALED, CONTEXT)
    refused("envelope_unopenable", open_rewrapped, SEALED, made_up, CONTEXT, later)


# --- who pays for it -----------------------------------------------------------------------------------------------


def test_contracts_need_no_cryptography_library_when_they_check_envelopes():
    code = """
import sys
import ledger.envelope, ledger.token
print(sorted(name for name in sys.modules if name.split(".")[0] == "cryptography"))
"""
    root = Path(__file__).resolve().parents[2]
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=root, capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout.strip() == "[]"


def test_commitment_is_one_when_the_same_document_is_sealed_on_both_chains():
    there = context_of(chain_id=b"\x77" * 32, stage="review")
    assert there.commitment == CONTEXT.commitment == commitment_of(DOCUMENT)
    assert open_document(sealed(context=there), there, AUTHORITY) == open_document(SEALED, CONTEXT, AUTHORITY)
