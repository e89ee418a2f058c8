"""Decryption keys, and wrapping one content key for one recipient: HPKE (RFC 9180) or RSA-OAEP (RFC 8017).

Only the node and the client import this: nothing that validates a block needs a decryption key.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Annotated, Final

from cryptography.exceptions import InvalidTag, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.padding import MGF1, OAEP
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey, generate_private_key
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.hpke import AEAD, KDF, KEM, Suite
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_der_private_key,
    load_der_public_key,
)
from msgspec import Meta

from ledger.encoding import Codec, Record, encode
from ledger.envelope_key import (
    HPKE_X25519,
    MAX_RSA_BITS,
    MIN_RSA_BITS,
    RSA_OAEP_256,
    EncryptionKey,
    check_encryption_key,
    key_id,
)
from ledger.errors import InvalidEnvelope, MalformedBytes
from ledger.types import MAX_HEIGHT

CONTENT_KEY_BYTES: Final = 32
DEFAULT_RSA_BITS: Final = 3_072
_RSA_EXPONENT: Final = 65_537
_HPKE: Final = Suite(KEM.X25519, KDF.HKDF_SHA256, AEAD.CHACHA20_POLY1305)


class _KeyBytes(Record, frozen=True):
    """What a key file holds; never printed."""

    suite: Annotated[int, Meta(ge=1, le=255)]
    epoch: Annotated[int, Meta(ge=1, le=MAX_HEIGHT)]
    private: Annotated[bytes, Meta(min_length=32, max_length=4_096)]

    def __repr__(self) -> str:
        return f"_KeyBytes(suite={self.suite}, epoch={self.epoch})"


_key_codec = Codec(_KeyBytes, 4_096 + 32, "decryption key")


class DecryptionKey:
    """A private key that envelopes are opened with. Never printed: its ``repr`` shows suite, epoch and key id only.

    Args:
        suite: ``HPKE_X25519`` or ``RSA_OAEP_256``.
        epoch: as registered on chain.
        private: the key itself, of the suite's kind.

    Attributes:
        public: the half that others seal to.
        key_id: ``ledger.envelope.key_id`` of ``public``, 32 bytes.

    Raises:
        InvalidEnvelope: ``decryption_key_invalid``: the key is of another kind than its suite;
            ``encryption_key_invalid``: nobody could seal to its public half (size, exponent, epoch).
    """

    __slots__ = ("_private", "key_id", "public")

    def __init__(self, suite: int, epoch: int, private: X25519PrivateKey | RSAPrivateKey) -> None:
        if suite == HPKE_X25519 and isinstance(private, X25519PrivateKey):
            raw = private.public_key().public_bytes_raw()
        elif suite == RSA_OAEP_256 and isinstance(private, RSAPrivateKey):
            raw = private.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        else:
            raise _key_invalid("it is of another kind than its suite, or the suite is unknown")
        self._private = private
        self.public = check_encryption_key(EncryptionKey(suite, epoch, raw))
        self.key_id = key_id(self.public)

    @property
    def suite(self) -> int:
        """The recipient suite."""
        return self.public.suite

    @property
    def epoch(self) -> int:
        """The epoch; 1 is the first."""
        return self.public.epoch

    @classmethod
    def generate_x25519(cls, epoch: int) -> DecryptionKey:
        """A new X25519 key from the operating system's randomness."""
        return cls(HPKE_X25519, epoch, X25519PrivateKey.generate())

    @classmethod
    def generate_rsa(cls, epoch: int, bits: int = DEFAULT_RSA_BITS) -> DecryptionKey:
        """A new RSA key of 2048 to 4096 bits; takes a good part of a second.

        Raises:
            InvalidEnvelope: ``decryption_key_invalid``: another size.
        """
        if not MIN_RSA_BITS <= bits <= MAX_RSA_BITS:
            raise _key_invalid(f"RSA keys have {MIN_RSA_BITS} to {MAX_RSA_BITS} bits")
        return cls(RSA_OAEP_256, epoch, generate_private_key(_RSA_EXPONENT, bits))

    @classmethod
    def from_x25519(cls, epoch: int, private: bytes) -> DecryptionKey:
        """The X25519 key with these 32 secret bytes.

        Raises:
            InvalidEnvelope: ``decryption_key_invalid``: another length.
        """
        if len(private) != 32:
            raise _key_invalid("an X25519 key has 32 bytes")
        return cls(HPKE_X25519, epoch, X25519PrivateKey.from_private_bytes(private))

    @classmethod
    def from_bytes(cls, data: bytes) -> DecryptionKey:
        """The key that ``to_bytes`` wrote.

        Raises:
            InvalidEnvelope: ``decryption_key_invalid``: not those bytes; none of them is repeated.
        """
        try:
            read = _key_codec.decode(data)
            if read.suite == HPKE_X25519:
                return cls.from_x25519(read.epoch, read.private)
            loaded = load_der_private_key(read.private, password=None)
        except (MalformedBytes, ValueError, TypeError, UnsupportedAlgorithm):
            raise _key_invalid("its bytes are damaged or of another form") from None
        if not isinstance(loaded, RSAPrivateKey):
            raise _key_invalid("it is neither X25519 nor RSA")
        return cls(read.suite, read.epoch, loaded)

    def to_bytes(self) -> bytes:
        """Secret bytes for a key file: suite, epoch, and 32 raw bytes (X25519) or PKCS #8 DER (RSA)."""
        private = self._private
        if isinstance(private, X25519PrivateKey):
            secret = private.private_bytes_raw()
        else:
            secret = private.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
        return encode(_KeyBytes(self.suite, self.epoch, secret))

    def unwrap(self, wrapped: bytes, info: bytes) -> bytes:
        """The content key that ``wrap`` wrapped for this key under the same ``info``.

        Raises:
            InvalidEnvelope: ``envelope_unopenable``: wrapped for another key, under another ``info``, or altered.
        """
        try:
            if isinstance(self._private, X25519PrivateKey):
                content_key = _HPKE.decrypt(wrapped, self._private, info)
            else:
                content_key = self._private.decrypt(wrapped, _oaep(info))
        except (InvalidTag, ValueError):
            raise self._unopenable() from None
        if len(content_key) != CONTENT_KEY_BYTES:
            raise self._unopenable()
        return content_key

    def _unopenable(self) -> InvalidEnvelope:
        return InvalidEnvelope(
            "envelope: the key that was wrapped for us does not unwrap", code="envelope_unopenable", key_id=self.key_id
        )

    def __repr__(self) -> str:
        return f"DecryptionKey(suite={self.suite}, epoch={self.epoch}, key_id={self.key_id.hex()})"


def wrap(content_key: bytes, to: EncryptionKey, info: bytes) -> bytes:
    """``content_key`` wrapped for ``to``: 80 bytes for X25519, as long as the modulus for RSA.

    Raises:
        InvalidEnvelope: ``encryption_key_invalid``.
    """
    public = _load(to)
    if isinstance(public, X25519PublicKey):
        return _HPKE.encrypt(content_key, public, info)
    return public.encrypt(content_key, _oaep(info))


@lru_cache(maxsize=1_024)
def _load(key: EncryptionKey) -> X25519PublicKey | RSAPublicKey:
    """The library's form of a checked key; RSA takes longer to read than to use, hence the cache."""
    check_encryption_key(key)
    if key.suite == HPKE_X25519:
        return X25519PublicKey.from_public_bytes(key.public)
    try:
        loaded = load_der_public_key(key.public)
    except (ValueError, UnsupportedAlgorithm):
        loaded = None
    if not isinstance(loaded, RSAPublicKey):
        raise InvalidEnvelope("encryption key: the library refuses it", code="encryption_key_invalid", suite=key.suite)
    return loaded


def _oaep(label: bytes) -> OAEP:
    return OAEP(mgf=MGF1(hashes.SHA256()), algorithm=hashes.SHA256(), label=label)


def _key_invalid(why: str) -> InvalidEnvelope:
    return InvalidEnvelope(f"decryption key: {why}", code="decryption_key_invalid", reason=why)
