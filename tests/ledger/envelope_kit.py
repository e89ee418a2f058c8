"""Keys, a context and documents for the tests of envelopes; made once, since RSA keys take long."""

from functools import cache

import msgspec
import pytest

from ledger.envelope import EnvelopeContext, SealedDocument, commitment_of
from ledger.errors import InvalidEnvelope
from ledger.keys import SigningKey
from ledger.sealing import DecryptionKey, seal

CHAIN = bytes(range(32))
PLATFORM = SigningKey(b"\x01" * 32)
STRANGER = SigningKey(b"\x02" * 32)
BODY = b'{"resourceType":"MedicationRequest","subject":"999-12-3456"}'
DOCUMENT = SealedDocument(b"\x5a" * 32, "application/fhir+json", BODY)


def x25519(number, epoch=1):
    return DecryptionKey.from_x25519(epoch, bytes([number]) * 32)


@cache
def rsa_key(number=0, epoch=1, bits=2048):
    return DecryptionKey.generate_rsa(epoch, bits)


AUTHORITY, SECOND, PHARMACY, OUTSIDER = (x25519(number) for number in (11, 12, 13, 14))


def context_of(document=DOCUMENT, **changes):
    context = EnvelopeContext(CHAIN, b"\xf1" * 32, "file", PLATFORM.public, commitment_of(document))
    return msgspec.structs.replace(context, **changes)


CONTEXT = context_of()
RECIPIENTS = (AUTHORITY.public, SECOND.public, PHARMACY.public)
MOVES = {
    "chain": {"chain_id": bytes(32)},
    "flow": {"flow": b"\xf2" * 32},
    "stage": {"stage": "order"},
    "sender": {"sender": STRANGER.public},
    "commitment": {"commitment": bytes(32)},
}


def sealed(recipients=RECIPIENTS, document=DOCUMENT, context=CONTEXT):
    return seal(document, context, recipients, PLATFORM)


def flipped(data, at=0, mask=1):
    changed = bytearray(data)
    changed[at] ^= mask
    return bytes(changed)


def refused(code, act, *arguments, **named):
    """What ``act`` refuses with ``code``; nothing secret may be in it."""
    with pytest.raises(InvalidEnvelope) as caught:
        act(*arguments, **named)
    error = caught.value
    assert error.code == code, error
    assert error.__cause__ is None
    assert error.__suppress_context__ or error.__context__ is None
    told = (error.message + repr(error.data)).encode() + b"".join(
        value for value in error.data.values() if isinstance(value, bytes)
    )
    assert b"999-12" not in told
    assert DOCUMENT.salt not in told
    return error
