"""The transport key and the peer id made from it, without importing libp2p (which takes half a second).

The transport key is not the signing key: the admission certificate binds both.
Source: libp2p peer id specification (identity multihash of the protobuf public key, base58btc).
"""

from __future__ import annotations

from typing import Final

from nacl.signing import SigningKey

from ledger.errors import InvalidConfig, MalformedBytes
from p2p.transport import PeerId

SEED_BYTES: Final = 32
PUBLIC_KEY_BYTES: Final = 32

_ALPHABET: Final = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
_DIGIT_OF: Final = {character: digit for digit, character in enumerate(_ALPHABET)}
# Multihash: code 0 (identity), 36 bytes. Protobuf: field 1 (key type) = 1 (Ed25519), field 2 (data) of 32 bytes.
_PREFIX: Final = bytes.fromhex("0024" + "0801" + "1220")
# Base58 of 38 bytes that begin with 00 24; anything else is refused before the quadratic decoding.
_PEER_ID_CHARACTERS: Final = 52


def _base58_encode(data: bytes) -> str:
    number = int.from_bytes(data, "big")
    digits = ""
    while number:
        number, digit = divmod(number, 58)
        digits = _ALPHABET[digit] + digits
    return "1" * (len(data) - len(data.lstrip(b"\0"))) + digits


def _base58_decode(text: str) -> bytes:
    number = 0
    for character in text:
        digit = _DIGIT_OF.get(character)
        if digit is None:
            raise MalformedBytes("a peer id has a character outside base58")
        number = number * 58 + digit
    zeros = len(text) - len(text.lstrip("1"))
    return bytes(zeros) + number.to_bytes((number.bit_length() + 7) // 8, "big")


def peer_id_of_public_key(public_key: bytes) -> PeerId:
    """Give the peer id of an Ed25519 public key of 32 bytes.

    Raises:
        MalformedBytes: another length.
    """
    if len(public_key) != PUBLIC_KEY_BYTES:
        raise MalformedBytes("an Ed25519 public key has 32 bytes", length=len(public_key))
    return PeerId(_base58_encode(_PREFIX + public_key))


def public_key_of_peer_id(peer_id: str) -> bytes:
    """Give the 32-byte Ed25519 public key inside a peer id.

    Raises:
        MalformedBytes: not the base58 id of an Ed25519 key.
    """
    data = _base58_decode(peer_id) if len(peer_id) == _PEER_ID_CHARACTERS else b""
    if len(data) != len(_PREFIX) + PUBLIC_KEY_BYTES or not data.startswith(_PREFIX):
        raise MalformedBytes("not the peer id of an Ed25519 key (12D3Koo...)")
    return data[len(_PREFIX) :]


class TransportKey:
    """A node's libp2p identity: an Ed25519 key made from a secret seed of 32 bytes.

    Raises:
        InvalidConfig: the seed has another length.
    """

    __slots__ = ("_seed", "peer_id", "public_key")

    def __init__(self, seed: bytes) -> None:
        if len(seed) != SEED_BYTES:
            raise InvalidConfig("a transport key seed has 32 bytes", length=len(seed))
        self._seed = seed
        self.public_key: bytes = bytes(SigningKey(seed).verify_key)
        self.peer_id: PeerId = peer_id_of_public_key(self.public_key)

    @property
    def seed(self) -> bytes:
        """The secret."""
        return self._seed

    def __repr__(self) -> str:
        return f"TransportKey({self.peer_id})"
