"""Envelopes: a sealed document with one wrapped content key for each recipient, and what can be checked from outside.

Contracts, validators and relays check form, signature and recipients here; none of them can open an envelope, and no
cryptography library is needed. Sealing and opening are in ledger/sealing.py (DESIGN.md 7, PROTOCOL.md 2.5).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from itertools import pairwise
from typing import Annotated, Final

from msgspec import Meta

from ledger.encoding import Codec, Record, digest, encode
from ledger.envelope_document import (
    MAX_BODY_BYTES,
    SALT_BYTES,
    SealedDocument,
    commitment,
    commitment_of,
    normalised_id_number,
    plain_pseudonym,
    pseudonym,
    sealed_document_codec,
)
from ledger.envelope_key import (
    HPKE_X25519,
    MAX_RSA_BITS,
    MIN_RSA_BITS,
    RECIPIENT_SUITES,
    RSA_OAEP_256,
    EncryptionKey,
    check_encryption_key,
    encryption_key_codec,
    key_id,
)
from ledger.errors import InvalidEnvelope
from ledger.keys import verify as verify_signature
from ledger.types import MAX_HEIGHT, Hash32

__all__ = [
    "CHACHA20_POLY1305",
    "HPKE_X25519",
    "MAX_BODY_BYTES",
    "MAX_CIPHERTEXT_BYTES",
    "MAX_STANZAS",
    "RSA_OAEP_256",
    "SALT_BYTES",
    "EncryptionKey",
    "Envelope",
    "EnvelopeContext",
    "Rewrap",
    "SealedDocument",
    "Stanza",
    "associated_data",
    "check_encryption_key",
    "check_envelope",
    "check_recipients",
    "check_rewrap",
    "commitment",
    "commitment_of",
    "context_codec",
    "encryption_key_codec",
    "envelope_codec",
    "envelope_digest",
    "header_hash",
    "key_id",
    "normalised_id_number",
    "plain_pseudonym",
    "pseudonym",
    "rewrap_codec",
    "rewrap_signed",
    "sealed_document_codec",
    "sender_signed",
    "wrap_info",
]

CHACHA20_POLY1305: Final = 1
"""Content suite: RFC 8439 with a fresh 256-bit key. 2 is kept for SM4."""
CONTENT_SUITES: Final = frozenset({CHACHA20_POLY1305})
MAX_STANZAS: Final = 32
MAX_CIPHERTEXT_BYTES: Final = 48 * 1024
MAX_WRAPPED_BYTES: Final = 1_024
MAX_STAGE_CHARS: Final = 32
NONCE_BYTES: Final = 12
TAG_BYTES: Final = 16
X25519_WRAPPED_BYTES: Final = 80
"""Encapsulated key 32, content key 32, tag 16."""

_Hash = Annotated[bytes, Meta(min_length=32, max_length=32)]
_Key = Annotated[bytes, Meta(min_length=33, max_length=33)]
_Signature = Annotated[bytes, Meta(min_length=65, max_length=65)]
_Suite = Annotated[int, Meta(ge=1, le=255)]


class EnvelopeContext(Record, frozen=True):
    """Where an envelope belongs. It is not inside the envelope: who checks or opens one knows where it was found.

    Attributes:
        chain_id: chain that carries it, 32 bytes.
        flow: id of the flow, 32 bytes.
        stage: stage of the flow.
        sender: signing key of who sealed it, 33 bytes.
        commitment: salted commitment to the document inside, 32 bytes.
    """

    chain_id: _Hash
    flow: _Hash
    stage: Annotated[str, Meta(min_length=1, max_length=MAX_STAGE_CHARS)]
    sender: _Key
    commitment: _Hash


class Stanza(Record, frozen=True):
    """The content key, wrapped for one recipient.

    Attributes:
        recipient: ``key_id`` of the encryption key.
        suite: of that key.
        epoch: of that key.
        wrapped: HPKE: encapsulated key and ciphertext, 80 bytes; RSA: as long as the modulus.
    """

    recipient: _Hash
    suite: _Suite
    epoch: Annotated[int, Meta(ge=1, le=MAX_HEIGHT)]
    wrapped: Annotated[bytes, Meta(min_length=1, max_length=MAX_WRAPPED_BYTES)]


class Envelope(Record, frozen=True):
    """A sealed document.

    Attributes:
        suite: content suite.
        nonce: 12 bytes.
        ciphertext: with the tag at its end, at most 48 KiB.
        stanzas: sorted by recipient, distinct.
        signature: the sender's, over ``sender_signed``: content, context and these very stanzas.
    """

    suite: _Suite
    nonce: Annotated[bytes, Meta(min_length=NONCE_BYTES, max_length=NONCE_BYTES)]
    ciphertext: Annotated[bytes, Meta(min_length=TAG_BYTES, max_length=MAX_CIPHERTEXT_BYTES)]
    stanzas: Annotated[tuple[Stanza, ...], Meta(min_length=1, max_length=MAX_STANZAS)]
    signature: _Signature

    def stanza_for(self, recipient: bytes) -> Stanza | None:
        """The stanza of the key with id ``recipient``, or None."""
        return next((stanza for stanza in self.stanzas if stanza.recipient == recipient), None)


class Rewrap(Record, frozen=True):
    """A content key wrapped once more, for a later key, by somebody who could open the envelope.

    Attributes:
        envelope: ``envelope_digest`` of the envelope, which stays as it is.
        stanza: for the new recipient.
        wrapper: signing key of who wrapped it; whether that one may is the contract's to say.
        signature: the wrapper's, over ``rewrap_signed``.
    """

    envelope: _Hash
    stanza: Stanza
    wrapper: _Key
    signature: _Signature


context_codec = Codec(EnvelopeContext, 512, "envelope context")
envelope_codec = Codec(Envelope, MAX_CIPHERTEXT_BYTES + MAX_STANZAS * (MAX_WRAPPED_BYTES + 64) + 256, "envelope")
rewrap_codec = Codec(Rewrap, MAX_WRAPPED_BYTES + 512, "rewrap")


def associated_data(suite: int, context: EnvelopeContext) -> bytes:
    """What the content cipher authenticates beside the plaintext: suite and context, no recipients."""
    return encode((suite, context))


def header_hash(suite: int, nonce: bytes, ciphertext: bytes, context: EnvelopeContext) -> Hash32:
    """Hash of the sealed content in its context, without the recipients."""
    return digest(b"tidegate/envelope-header", context.chain_id, encode((suite, nonce, context)), ciphertext)


def wrap_info(context: EnvelopeContext, header: bytes, recipient: bytes, suite: int, epoch: int) -> Hash32:
    """HPKE ``info`` and OAEP label of a stanza: ties it to one content, one key and its epoch."""
    return digest(b"tidegate/envelope-wrap", context.chain_id, header, encode((recipient, suite, epoch)))


def sender_signed(context: EnvelopeContext, header: bytes, stanzas: tuple[Stanza, ...]) -> Hash32:
    """The 32 bytes that the sender signs."""
    return digest(b"tidegate/envelope", context.chain_id, encode(context), header, encode(stanzas))


def rewrap_signed(context: EnvelopeContext, envelope: bytes, stanza: Stanza, wrapper: bytes) -> Hash32:
    """The 32 bytes that the wrapper of ``stanza`` signs; ``envelope`` is the envelope's digest."""
    return digest(b"tidegate/rewrap", context.chain_id, encode(context), envelope, encode(stanza), wrapper)


def envelope_digest(envelope: Envelope) -> Hash32:
    """Name of an envelope: covers all of it, recipients and signature included."""
    return digest(b"tidegate/envelope-id", b"", encode(envelope))


def check_envelope(
    envelope: Envelope,
    context: EnvelopeContext,
    required: Iterable[bytes] = (),
    verify: Callable[[bytes, bytes, bytes], bool] = verify_signature,
) -> None:
    """Checks all that can be seen from outside: form, the sender's signature, and the recipients' presence.

    Args:
        envelope: as decoded.
        context: where it was found; an envelope of another chain, flow, stage, sender or commitment is refused.
        required: key ids that must have a stanza.
        verify: signature check, ``SignatureCache.verify`` for example.

    Raises:
        InvalidEnvelope: ``envelope_malformed``, ``envelope_signature_invalid``, ``envelope_recipient_missing`` (with
            ``recipients`` in its data).
    """
    _check_form(envelope)
    header = header_hash(envelope.suite, envelope.nonce, envelope.ciphertext, context)
    if not verify(context.sender, sender_signed(context, header, envelope.stanzas), envelope.signature):
        raise InvalidEnvelope(
            "envelope: not what this sender signed for this flow, stage and these recipients",
            code="envelope_signature_invalid",
            sender=context.sender,
            flow=context.flow,
            stage=context.stage,
        )
    present = {stanza.recipient for stanza in envelope.stanzas}
    missing = [recipient for recipient in required if recipient not in present]
    if missing:
        raise _recipients_missing(missing)


def check_recipients(envelope: Envelope, current: Sequence[EncryptionKey]) -> None:
    """Checks that every one of the ``current`` keys can open the envelope, and none by a stanza of an earlier epoch.

    A key's id covers its epoch, so a stanza for the key that it replaced does not count. Form and signature are
    ``check_envelope``'s to check.

    Raises:
        InvalidEnvelope: ``envelope_key_epoch_old``: a current key has no stanza, and one for an earlier epoch that is
            no current key's is there; ``envelope_recipient_missing``: a current key has no stanza;
            ``envelope_malformed``: a stanza says another suite or epoch than its key.
    """
    stanzas = {stanza.recipient: stanza for stanza in envelope.stanzas}
    missing: list[tuple[Hash32, int]] = []
    for key in current:
        name = key_id(key)
        stanza = stanzas.pop(name, None)
        if stanza is None:
            missing.append((name, key.epoch))
        elif (stanza.suite, stanza.epoch) != (key.suite, key.epoch):
            raise _malformed("a stanza says another suite or epoch than its recipient's key", recipient=name)
    for name, epoch in missing:
        earlier = sorted(stanza.epoch for stanza in stanzas.values() if stanza.epoch < epoch)
        if earlier:
            raise InvalidEnvelope(
                f"envelope: sealed to a key of epoch {earlier[-1]}, the current one is of epoch {epoch}",
                code="envelope_key_epoch_old",
                recipient=name,
                epoch=epoch,
                sealed_epoch=earlier[-1],
            )
    if missing:
        raise _recipients_missing([name for name, _ in missing])


def check_rewrap(
    rewrap: Rewrap,
    envelope: Envelope,
    context: EnvelopeContext,
    verify: Callable[[bytes, bytes, bytes], bool] = verify_signature,
) -> None:
    """Checks that ``rewrap`` is of this envelope, well-formed, and signed by its wrapper.

    Raises:
        InvalidEnvelope: ``rewrap_foreign``: of another envelope; ``envelope_malformed``; ``rewrap_signature_invalid``.
    """
    name = envelope_digest(envelope)
    if rewrap.envelope != name:
        raise InvalidEnvelope("rewrap: it is of another envelope", code="rewrap_foreign", envelope=name)
    _check_stanza(rewrap.stanza)
    signed = rewrap_signed(context, name, rewrap.stanza, rewrap.wrapper)
    if not verify(rewrap.wrapper, signed, rewrap.signature):
        raise InvalidEnvelope(
            "rewrap: not what this wrapper signed", code="rewrap_signature_invalid", wrapper=rewrap.wrapper
        )


def _malformed(why: str, **data: object) -> InvalidEnvelope:
    return InvalidEnvelope(f"envelope: {why}", code="envelope_malformed", reason=why, **data)


def _recipients_missing(missing: list[bytes] | list[Hash32]) -> InvalidEnvelope:
    return InvalidEnvelope(
        f"envelope: {len(missing)} required recipients cannot open it",
        code="envelope_recipient_missing",
        recipients=tuple(missing),
    )


def _check_form(envelope: Envelope) -> None:
    if envelope.suite not in CONTENT_SUITES:
        raise _malformed("its content suite is unknown", suite=envelope.suite)
    if len(envelope.nonce) != NONCE_BYTES:
        raise _malformed(f"a nonce has {NONCE_BYTES} bytes", size_bytes=len(envelope.nonce))
    if not TAG_BYTES <= len(envelope.ciphertext) <= MAX_CIPHERTEXT_BYTES:
        raise _malformed(
            f"a ciphertext has {TAG_BYTES} to {MAX_CIPHERTEXT_BYTES} bytes", size_bytes=len(envelope.ciphertext)
        )
    stanzas = envelope.stanzas
    if not 1 <= len(stanzas) <= MAX_STANZAS:
        raise _malformed(f"1 to {MAX_STANZAS} recipients are allowed", recipients=len(stanzas))
    if any(a.recipient >= b.recipient for a, b in pairwise(stanzas)):
        raise _malformed("recipients must be sorted and distinct")
    for stanza in stanzas:
        _check_stanza(stanza)


def _check_stanza(stanza: Stanza) -> None:
    size = len(stanza.wrapped)
    if stanza.suite not in RECIPIENT_SUITES:
        raise _malformed("a recipient's suite is unknown", suite=stanza.suite)
    if stanza.suite == HPKE_X25519:
        good = size == X25519_WRAPPED_BYTES
    else:
        good = MIN_RSA_BITS // 8 <= size <= MAX_RSA_BITS // 8
    if not good:
        raise _malformed("a wrapped key has another length than its suite's", suite=stanza.suite, size_bytes=size)
