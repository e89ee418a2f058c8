"""Encryption keys of recipients: their form, their id, and what a contract can check of them without opening anything.

No cryptography library here: contracts register keys, and every node must refuse the same ones.
"""

from __future__ import annotations

from typing import Annotated, Final

from msgspec import Meta

from ledger.encoding import Codec, Record, digest, encode
from ledger.errors import InvalidEnvelope
from ledger.types import MAX_HEIGHT, Hash32

HPKE_X25519: Final = 1
"""RFC 9180 base mode: DHKEM(X25519, HKDF-SHA256), HKDF-SHA256, ChaCha20-Poly1305."""
RSA_OAEP_256: Final = 2
"""RFC 8017 RSAES-OAEP with SHA-256 in hash and MGF1. 3 is kept for SM2."""
RECIPIENT_SUITES: Final = frozenset({HPKE_X25519, RSA_OAEP_256})
X25519_KEY_BYTES: Final = 32
MAX_PUBLIC_BYTES: Final = 1_024
MIN_RSA_BITS: Final = 2_048
MAX_RSA_BITS: Final = 4_096
MIN_RSA_EXPONENT: Final = 65_537
MAX_RSA_EXPONENT: Final = 2**32 - 1

_FIELD: Final = 2**255 - 19
# The points of order 1, 2, 4 and 8 (RFC 7748, 6.1): a secret shared with them is known to everyone.
_SMALL_ORDER: Final = frozenset(
    {
        0,
        1,
        _FIELD - 1,
        325606250916557431795983626356110631294008115727848805560023387167927233504,
        39382357235489614581723060781553021112529911719440698176882885853963445705823,
    }
)
_RSA_ALGORITHM: Final = bytes.fromhex("300d06092a864886f70d0101010500")
"""DER of the AlgorithmIdentifier rsaEncryption with NULL parameters (RFC 8017, A.1)."""
_INTEGER: Final = 0x02
_BIT_STRING: Final = 0x03
_SEQUENCE: Final = 0x30


class EncryptionKey(Record, frozen=True):
    """A public key that content keys are wrapped for.

    Attributes:
        suite: ``HPKE_X25519`` or ``RSA_OAEP_256``.
        epoch: 1 for an owner's first key, one more for each that replaces it.
        public: X25519: 32 bytes; RSA: DER SubjectPublicKeyInfo, 2048 to 4096 bits.
    """

    suite: Annotated[int, Meta(ge=1, le=255)]
    epoch: Annotated[int, Meta(ge=1, le=MAX_HEIGHT)]
    public: Annotated[bytes, Meta(min_length=1, max_length=MAX_PUBLIC_BYTES)]


encryption_key_codec = Codec(EncryptionKey, MAX_PUBLIC_BYTES + 32, "encryption key")


def key_id(key: EncryptionKey) -> Hash32:
    """Name of a key in stanzas: covers suite, epoch and public half, the same on every chain."""
    return digest(b"tidegate/encryption-key", b"", encode(key))


def check_encryption_key(key: EncryptionKey) -> EncryptionKey:
    """``key`` itself when it is of a known suite and one that documents may be sealed to.

    Raises:
        InvalidEnvelope: ``encryption_key_invalid`` with the reason in words: another suite or length, an X25519 point
            of small order or not below the field's prime, RSA that is not canonical DER, of another size, or with an
            even or unusual exponent.
    """
    if not 1 <= key.epoch <= MAX_HEIGHT:
        raise _refused(key, "its epoch is out of bounds")
    if key.suite == HPKE_X25519:
        _check_x25519(key)
    elif key.suite == RSA_OAEP_256:
        rsa_bits(key)
    else:
        raise _refused(key, "its suite is unknown")
    return key


def rsa_bits(key: EncryptionKey) -> int:
    """Size in bits of an RSA key's modulus.

    Raises:
        InvalidEnvelope: as ``check_encryption_key``.
    """
    if len(key.public) > MAX_PUBLIC_BYTES:
        raise _refused(key, f"at most {MAX_PUBLIC_BYTES} bytes are allowed")
    try:
        modulus, exponent = _read_rsa(key.public)
    except (ValueError, IndexError):
        raise _refused(key, "it is no DER SubjectPublicKeyInfo of rsaEncryption") from None
    if write_rsa(modulus, exponent) != key.public:
        raise _refused(key, "its DER is not the canonical one")
    bits = modulus.bit_length()
    if not MIN_RSA_BITS <= bits <= MAX_RSA_BITS:
        raise _refused(key, f"RSA keys have {MIN_RSA_BITS} to {MAX_RSA_BITS} bits, not {bits}")
    if not modulus & 1 or not exponent & 1 or not MIN_RSA_EXPONENT <= exponent <= MAX_RSA_EXPONENT:
        raise _refused(key, "its modulus is even, or its exponent even, below 65537 or above 32 bits")
    return bits


def write_rsa(modulus: int, exponent: int) -> bytes:
    """Canonical DER SubjectPublicKeyInfo of an RSA public key (RFC 5280, 4.1; RFC 8017, A.1.1)."""
    numbers = _der(_SEQUENCE, _der_integer(modulus) + _der_integer(exponent))
    return _der(_SEQUENCE, _RSA_ALGORITHM + _der(_BIT_STRING, b"\x00" + numbers))


def _refused(key: EncryptionKey, why: str) -> InvalidEnvelope:
    return InvalidEnvelope(
        f"encryption key: {why}", code="encryption_key_invalid", suite=key.suite, epoch=key.epoch, reason=why
    )


def _check_x25519(key: EncryptionKey) -> None:
    if len(key.public) != X25519_KEY_BYTES:
        raise _refused(key, f"an X25519 key has {X25519_KEY_BYTES} bytes, not {len(key.public)}")
    point = int.from_bytes(key.public, "little")
    if point >= _FIELD:
        raise _refused(key, "its point is not below the field's prime")
    if point in _SMALL_ORDER:
        raise _refused(key, "its point is of small order")


def _read_rsa(der: bytes) -> tuple[int, int]:
    """Modulus and exponent; lenient, because the caller compares with what ``write_rsa`` makes of them."""
    info, _ = _der_content(der, 0, _SEQUENCE)
    bits, _ = _der_content(info, len(_RSA_ALGORITHM), _BIT_STRING)
    numbers, _ = _der_content(bits, 1, _SEQUENCE)
    modulus, end = _der_content(numbers, 0, _INTEGER)
    exponent, _ = _der_content(numbers, end, _INTEGER)
    return int.from_bytes(modulus, "big"), int.from_bytes(exponent, "big")


def _der_content(data: bytes, at: int, tag: int) -> tuple[bytes, int]:
    if data[at] != tag:
        raise ValueError
    length, start = data[at + 1], at + 2
    if length & 0x80:
        count = length & 0x7F
        length = int.from_bytes(data[start : start + count], "big")
        start += count
    return data[start : start + length], start + length


def _der(tag: int, content: bytes) -> bytes:
    size = len(content)
    if size < 0x80:
        return bytes((tag, size)) + content
    length = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes((tag, 0x80 | len(length))) + length + content


def _der_integer(value: int) -> bytes:
    # One bit more than the value, so that it does not read as negative.
    return _der(_INTEGER, value.to_bytes(value.bit_length() // 8 + 1, "big"))
