"""Canonical bytes: the one way to turn a value into bytes that are hashed, signed, stored or sent.

MessagePack by msgspec of array-like frozen structs: no maps, no floats, one encoding for each value. A decoder accepts
only bytes that re-encode to themselves. Everything hashed or signed starts with a domain tag and the chain id
(DESIGN.md 2).
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any, Generic, TypeVar

import msgspec

from ledger.errors import MalformedBytes, NonCanonicalBytes
from ledger.types import Hash32

T = TypeVar("T")

_encoder = msgspec.msgpack.Encoder()
encode: Callable[[Any], bytes] = _encoder.encode
"""Canonical bytes of a struct, tuple, int, bytes, str, bool or None."""


class Record(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True, gc=False):
    """Base of every value with canonical bytes: an immutable, array-like struct."""


class Codec(Generic[T]):
    """Encoder and strict decoder for one type.

    Args:
        kind: the type; its fields carry their bounds as ``msgspec.Meta``.
        max_bytes: longer input is refused before it is looked at.
        name: what the bytes are, for error texts.
    """

    __slots__ = ("_decode", "max_bytes", "name")

    def __init__(self, kind: type[T], max_bytes: int, name: str | None = None) -> None:
        self._decode = msgspec.msgpack.Decoder(kind).decode
        self.max_bytes = max_bytes
        self.name = name or getattr(kind, "__name__", str(kind))

    def encode(self, value: T) -> bytes:
        """Canonical bytes of ``value``."""
        return encode(value)

    def decode(self, data: bytes) -> T:
        """The value that ``data`` encodes.

        Raises:
            MalformedBytes: too long, truncated, of another shape, out of bounds, or followed by more bytes.
            NonCanonicalBytes: another encoding of the same value exists and is the canonical one.
        """
        if len(data) > self.max_bytes:
            raise MalformedBytes(
                f"{self.name}: {len(data)} bytes, at most {self.max_bytes} allowed",
                code="oversized",
                size_bytes=len(data),
                max_bytes=self.max_bytes,
            )
        try:
            value: T = self._decode(data)
        except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
            raise MalformedBytes(f"{self.name}: {error}") from error
        if encode(value) != data:
            raise NonCanonicalBytes(f"{self.name}: the bytes are not the canonical encoding of the value")
        return value


def digest(tag: bytes, chain_id: bytes, *parts: bytes) -> Hash32:
    """SHA-256 over a domain tag, the chain id and ``parts``, each with its length in front.

    Args:
        tag: ASCII name of what is hashed; no two uses share one.
        chain_id: 32 bytes, or empty where no chain exists yet.
        *parts: the bytes proper.
    """
    state = hashlib.sha256(b"%c%b%c%b" % (len(tag), tag, len(chain_id), chain_id))
    for part in parts:
        state.update(len(part).to_bytes(4, "big"))
        state.update(part)
    return Hash32(state.digest())
