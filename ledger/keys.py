"""Signing keys and signatures, with a suite byte in front of each.

One verification rule for the whole network: libsodium's Ed25519 (cofactorless; S below the group order; small-order and
non-canonical keys refused). Two libraries that disagree on one edge case would split the chain, so nothing else
verifies consensus data; tests/ledger/test_keys.py compares the rule with another library on the known edge cases.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from typing import Final

import nacl.bindings
import nacl.exceptions

from ledger.errors import InvalidSignature
from ledger.types import PublicKey

SUITE_ED25519: Final = 0x01
"""Ed25519 with SHA-256 hashing. 0x02 is kept for SM2 with SM3 (DESIGN.md 2)."""
PUBLIC_KEY_BYTES: Final = 33
SIGNATURE_BYTES: Final = 65
SEED_BYTES: Final = 32
_SUITE = bytes([SUITE_ED25519])
_PREFIX = "ed25519:"
_HEX_DIGITS = frozenset("0123456789abcdef")

_open = nacl.bindings.crypto_sign_open


class SigningKey:
    """A private Ed25519 key. Never printed: its ``repr`` shows the public half only.

    Args:
        seed: 32 secret bytes.
    """

    __slots__ = ("_secret", "public")

    def __init__(self, seed: bytes) -> None:
        if len(seed) != SEED_BYTES:
            raise InvalidSignature(f"an Ed25519 seed has {SEED_BYTES} bytes, not {len(seed)}")
        raw, self._secret = nacl.bindings.crypto_sign_seed_keypair(seed)
        self.public = PublicKey(_SUITE + raw)

    @classmethod
    def generate(cls) -> SigningKey:
        """A new key from the operating system's randomness."""
        return cls(secrets.token_bytes(SEED_BYTES))

    @property
    def seed(self) -> bytes:
        """The 32 secret bytes, for writing a key file."""
        return self._secret[:SEED_BYTES]

    def sign(self, message: bytes) -> bytes:
        """The signature of ``message`` (a digest from ``ledger.encoding``): suite byte and 64 bytes."""
        return _SUITE + nacl.bindings.crypto_sign(message, self._secret)[:64]

    def __repr__(self) -> str:
        return f"SigningKey({key_text(self.public)})"


def verify(public: bytes, message: bytes, signature: bytes) -> bool:
    """True when ``signature`` over ``message`` verifies under ``public``; False for anything else, forms included."""
    if (
        len(public) != PUBLIC_KEY_BYTES
        or len(signature) != SIGNATURE_BYTES
        or public[0] != SUITE_ED25519
        or signature[0] != SUITE_ED25519
    ):
        return False
    try:
        _open(signature[1:] + message, public[1:])
    except (nacl.exceptions.BadSignatureError, ValueError):
        return False
    return True


def check_public_key(public: bytes) -> PublicKey:
    """``public`` itself when its suite and length are known.

    Raises:
        InvalidSignature: another suite or length.
    """
    if len(public) != PUBLIC_KEY_BYTES or public[0] != SUITE_ED25519:
        raise InvalidSignature("a public key is the suite byte 01 and 32 bytes", code="key_invalid")
    return PublicKey(public)


def key_text(public: bytes) -> str:
    """How people read a key: ``ed25519:`` and 64 hex digits."""
    return _PREFIX + public[1:].hex()


def parse_key(text: str) -> PublicKey:
    """The public key written by ``key_text``.

    Raises:
        InvalidSignature: not that form, upper-case hex included.
    """
    body = text.removeprefix(_PREFIX)
    # bytes.fromhex skips spaces, so the digits are looked at first.
    if text.startswith(_PREFIX) and len(body) == 64 and _HEX_DIGITS.issuperset(body):
        return PublicKey(_SUITE + bytes.fromhex(body))
    raise InvalidSignature(f"no public key (ed25519: and 64 lower-case hex digits): {text[:80]!r}", code="key_invalid")


class SignatureCache:
    """Verifies each (key, message, signature) once.

    Remembers good signatures only, in two generations of at most ``size`` entries, so that memory is bounded and a
    flood of bad ones evicts nothing.
    """

    __slots__ = ("_new", "_old", "_size", "_verify", "verified")

    def __init__(self, size: int = 65_536, verify_one: Callable[[bytes, bytes, bytes], bool] = verify) -> None:
        self._new: set[bytes] = set()
        self._old: set[bytes] = set()
        self._size = size
        self._verify = verify_one
        self.verified = 0

    def verify(self, public: bytes, message: bytes, signature: bytes) -> bool:
        """Same answer as ``verify``; ``message`` is 32 bytes."""
        entry = public + message + signature
        if entry in self._new or entry in self._old:
            return True
        self.verified += 1
        if not self._verify(public, message, signature):
            return False
        if len(self._new) >= self._size:
            self._old, self._new = self._new, set()
        self._new.add(entry)
        return True
