"""Sealing documents into envelopes, opening them, and wrapping a content key once more for a later key.

What an opener learns is never taken on trust: the sender's signature is checked before anything is decrypted, and the
document against its commitment afterwards. The commitment also settles that every recipient reads the same document,
which a cipher that does not commit to its key would not (a sender can make one ciphertext open under two keys).
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

from ledger.encoding import encode
from ledger.envelope import (
    CHACHA20_POLY1305,
    MAX_CIPHERTEXT_BYTES,
    MAX_STANZAS,
    NONCE_BYTES,
    TAG_BYTES,
    Envelope,
    EnvelopeContext,
    Rewrap,
    Stanza,
    associated_data,
    check_envelope,
    check_rewrap,
    envelope_digest,
    header_hash,
    rewrap_signed,
    sender_signed,
    wrap_info,
)
from ledger.envelope_document import (
    MAX_BODY_BYTES,
    MAX_MEDIA_CHARS,
    SALT_BYTES,
    SealedDocument,
    commitment_of,
    sealed_document_codec,
)
from ledger.envelope_key import EncryptionKey, key_id
from ledger.errors import InvalidEnvelope, LocalMisuse, MalformedBytes
from ledger.keys import SigningKey
from ledger.sealing_keys import CONTENT_KEY_BYTES, DecryptionKey, wrap

__all__ = [
    "DecryptionKey",
    "new_document",
    "open_document",
    "open_envelope",
    "open_rewrapped",
    "rewrap",
    "seal",
]

MAX_PLAINTEXT_BYTES: Final = MAX_CIPHERTEXT_BYTES - TAG_BYTES


def new_document(body: bytes, media: str) -> SealedDocument:
    """``body`` with a fresh salt.

    Raises:
        InvalidEnvelope: ``document_oversized``: over 40 KiB, or a media type over 64 characters.
    """
    document = SealedDocument(secrets.token_bytes(SALT_BYTES), media, body)
    _check_size(document)
    return document


def seal(
    document: SealedDocument | bytes,
    context: EnvelopeContext,
    recipients: Sequence[EncryptionKey],
    sender: SigningKey,
) -> Envelope:
    """Seals ``document`` for ``recipients``, in ``context``, signed by ``sender``.

    Args:
        document: a document that the context's commitment is to, or other bytes (at most 48 KiB − 16), which
            ``open_envelope`` gives back and nothing is compared with.
        context: names ``sender`` as its sender.
        recipients: 1 to 32 keys; one named twice counts once.
        sender: who seals and signs.

    Raises:
        InvalidEnvelope: ``document_oversized``; ``commitment_mismatch``: the context commits to another document;
            ``encryption_key_invalid``; ``envelope_recipients_invalid``: none, or too many.
        LocalMisuse: the context names another sender.
    """
    if context.sender != sender.public:
        raise LocalMisuse("seal: the context names another sender than the key that signs")
    keys = {key_id(key): key for key in recipients}
    if not 1 <= len(keys) <= MAX_STANZAS:
        raise InvalidEnvelope(
            f"envelope: 1 to {MAX_STANZAS} recipients are allowed, not {len(keys)}",
            code="envelope_recipients_invalid",
            recipients=len(keys),
        )
    plaintext = _plaintext(document, context)
    content_key, nonce = secrets.token_bytes(CONTENT_KEY_BYTES), secrets.token_bytes(NONCE_BYTES)
    suite = CHACHA20_POLY1305
    ciphertext = ChaCha20Poly1305(content_key).encrypt(nonce, plaintext, associated_data(suite, context))
    header = header_hash(suite, nonce, ciphertext, context)
    stanzas = tuple(_stanza(content_key, context, header, name, keys[name]) for name in sorted(keys))
    signature = sender.sign(sender_signed(context, header, stanzas))
    return Envelope(suite, nonce, ciphertext, stanzas, signature)


def open_envelope(
    envelope: Envelope,
    context: EnvelopeContext,
    keys: DecryptionKey | Sequence[DecryptionKey],
    via: Rewrap | None = None,
) -> bytes:
    """What is inside, after the sender's signature was checked. An RSA key takes about a millisecond.

    Args:
        envelope: as found.
        context: where it was found.
        keys: ours; the first that has a stanza opens it.
        via: a rewrap for one of ``keys``, used instead of the envelope's own stanzas.

    Raises:
        InvalidEnvelope: ``envelope_not_for_us``: no stanza for any of ``keys``; ``envelope_unopenable``: there is one,
            but the wrapped key or the content was altered, or was sealed in another context; and what
            ``check_envelope`` and ``check_rewrap`` raise.
    """
    return _open(envelope, context, keys, via)[0]


def open_document(
    envelope: Envelope,
    context: EnvelopeContext,
    keys: DecryptionKey | Sequence[DecryptionKey],
    via: Rewrap | None = None,
) -> SealedDocument:
    """The document inside, as ``open_envelope``, once it is what the context's commitment is to.

    Raises:
        InvalidEnvelope: as ``open_envelope``; ``commitment_mismatch``: another document, or no document at all.
    """
    plaintext = open_envelope(envelope, context, keys, via)
    try:
        document = sealed_document_codec.decode(plaintext)
    except MalformedBytes:
        # Its words may quote what was sealed.
        raise _mismatch(context, "what is inside is no document") from None
    if commitment_of(document) != context.commitment:
        raise _mismatch(context, "the document inside is not the one committed to")
    return document


def rewrap(
    envelope: Envelope,
    context: EnvelopeContext,
    own: DecryptionKey,
    to: EncryptionKey,
    wrapper: SigningKey,
    via: Rewrap | None = None,
) -> Rewrap:
    """Wraps the envelope's content key once more, for ``to``; the envelope stays as it is.

    Args:
        envelope: as found.
        context: where it was found.
        own: a key that opens it.
        to: the later key.
        wrapper: who signs for having wrapped it.
        via: the rewrap by which ``own`` opens it, when it was not among the first recipients.

    Raises:
        InvalidEnvelope: as ``open_envelope``, so that nothing is passed on that does not open;
            ``encryption_key_invalid``.
    """
    content_key = _open(envelope, context, own, via)[1]
    header = header_hash(envelope.suite, envelope.nonce, envelope.ciphertext, context)
    stanza = _stanza(content_key, context, header, key_id(to), to)
    name = envelope_digest(envelope)
    return Rewrap(name, stanza, wrapper.public, wrapper.sign(rewrap_signed(context, name, stanza, wrapper.public)))


def open_rewrapped(envelope: Envelope, rewrapped: Rewrap, context: EnvelopeContext, key: DecryptionKey) -> bytes:
    """What is inside, opened by a rewrap; ``open_document`` takes one too.

    Raises:
        InvalidEnvelope: as ``open_envelope``.
    """
    return open_envelope(envelope, context, key, via=rewrapped)


def _check_size(document: SealedDocument) -> None:
    if len(document.body) > MAX_BODY_BYTES or len(document.media) > MAX_MEDIA_CHARS:
        raise InvalidEnvelope(
            f"document: {len(document.body)} bytes, at most {MAX_BODY_BYTES} allowed "
            f"(media type: {MAX_MEDIA_CHARS} characters)",
            code="document_oversized",
            size_bytes=len(document.body),
            max_bytes=MAX_BODY_BYTES,
        )


def _plaintext(document: SealedDocument | bytes, context: EnvelopeContext) -> bytes:
    if isinstance(document, SealedDocument):
        _check_size(document)
        if commitment_of(document) != context.commitment:
            raise _mismatch(context, "the context commits to another document")
        return encode(document)
    if len(document) > MAX_PLAINTEXT_BYTES:
        raise InvalidEnvelope(
            f"document: {len(document)} bytes, at most {MAX_PLAINTEXT_BYTES} allowed",
            code="document_oversized",
            size_bytes=len(document),
            max_bytes=MAX_PLAINTEXT_BYTES,
        )
    return document


def _stanza(content_key: bytes, context: EnvelopeContext, header: bytes, name: bytes, key: EncryptionKey) -> Stanza:
    wrapped = wrap(content_key, key, wrap_info(context, header, name, key.suite, key.epoch))
    return Stanza(name, key.suite, key.epoch, wrapped)


def _open(
    envelope: Envelope,
    context: EnvelopeContext,
    keys: DecryptionKey | Sequence[DecryptionKey],
    via: Rewrap | None,
) -> tuple[bytes, bytes]:
    """Plaintext and content key."""
    check_envelope(envelope, context)
    if via is not None:
        check_rewrap(via, envelope, context)
    stanzas = {stanza.recipient: stanza for stanza in (envelope.stanzas if via is None else (via.stanza,))}
    ours = (keys,) if isinstance(keys, DecryptionKey) else keys
    failed: InvalidEnvelope | None = None
    for key in ours:
        stanza = stanzas.get(key.key_id)
        if stanza is None:
            continue
        try:
            return _open_by(envelope, context, key, stanza)
        except InvalidEnvelope as error:
            failed = error
    if failed is not None:
        raise failed
    raise InvalidEnvelope(
        "envelope: none of our keys is among its recipients",
        code="envelope_not_for_us",
        keys=tuple(key.key_id for key in ours),
        recipients=tuple(stanzas),
    )


def _open_by(envelope: Envelope, context: EnvelopeContext, key: DecryptionKey, stanza: Stanza) -> tuple[bytes, bytes]:
    header = header_hash(envelope.suite, envelope.nonce, envelope.ciphertext, context)
    # Our own suite and epoch, not what the stanza says: a stanza that lies about them does not unwrap.
    content_key = key.unwrap(stanza.wrapped, wrap_info(context, header, key.key_id, key.suite, key.epoch))
    try:
        cipher = ChaCha20Poly1305(content_key)
        plaintext = cipher.decrypt(envelope.nonce, envelope.ciphertext, associated_data(envelope.suite, context))
    except InvalidTag:
        raise InvalidEnvelope(
            "envelope: the content does not open with the key that was wrapped for us",
            code="envelope_unopenable",
            key_id=key.key_id,
        ) from None
    return plaintext, content_key


def _mismatch(context: EnvelopeContext, why: str) -> InvalidEnvelope:
    return InvalidEnvelope(
        f"envelope: {why}", code="commitment_mismatch", commitment=context.commitment, flow=context.flow, reason=why
    )
