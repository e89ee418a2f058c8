"""The gossip's messages, without I/O. Kinds 240 to 244 of either channel; integers big endian.

* PUSH: ``u8 topic | u8 n | n * 8-byte short peer id | item``: the item, and who is known to have it already.
* ANNOUNCE: ``(u8 topic | 16-byte item id | u32 size)`` repeated: items that the sender can give.
* FETCH, MISSING: item ids: please give; I cannot give.
* ITEM: ``u8 topic | item``: the answer to FETCH.
"""

from __future__ import annotations

import struct
from enum import IntEnum
from hashlib import sha256
from typing import TYPE_CHECKING, Final, NewType

from ledger.errors import PeerMisbehaved

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from p2p.transport import PeerId

ItemId = NewType("ItemId", bytes)
"""The first 16 bytes of SHA-256 over topic byte and payload."""
ShortId = NewType("ShortId", bytes)
"""The first 8 bytes of SHA-256 over a peer id: enough to tell peers apart, whose ids nobody chooses freely."""

ITEM_ID_BYTES: Final = 16
SHORT_ID_BYTES: Final = 8
_ENTRY: Final = struct.Struct(f">B{ITEM_ID_BYTES}sI")


class GossipKind(IntEnum):
    """Message kinds that belong to the gossip."""

    PUSH = 240
    ANNOUNCE = 241
    FETCH = 242
    ITEM = 243
    MISSING = 244


def item_id(topic: int, payload: bytes) -> ItemId:
    """Give the id of an item."""
    digest = sha256(bytes((topic,)))
    digest.update(payload)
    return ItemId(digest.digest()[:ITEM_ID_BYTES])


def short_id(peer: PeerId) -> ShortId:
    """Give the short id of a peer."""
    return ShortId(sha256(peer.encode()).digest()[:SHORT_ID_BYTES])


def encode_push(topic: int, covered: Sequence[ShortId], payload: bytes) -> bytes:
    """Encode a PUSH; at most 255 short ids."""
    return b"".join((bytes((topic, len(covered))), *covered, payload))


def decode_push(message: bytes) -> tuple[int, frozenset[ShortId], bytes]:
    """Decode a PUSH into (topic, short ids of who has it, item).

    Raises:
        PeerMisbehaved: truncated.
    """
    if len(message) < 2 or len(message) < (start := 2 + message[1] * SHORT_ID_BYTES):
        raise PeerMisbehaved("a pushed item is truncated", code="gossip_malformed")
    covered = frozenset(ShortId(message[at : at + SHORT_ID_BYTES]) for at in range(2, start, SHORT_ID_BYTES))
    return message[0], covered, message[start:]


def encode_announce(entries: Iterable[tuple[int, ItemId, int]]) -> bytes:
    """Encode an ANNOUNCE of (topic, id, size in bytes)."""
    return b"".join(_ENTRY.pack(topic, identity, size) for topic, identity, size in entries)


def decode_announce(message: bytes, entries_max: int) -> list[tuple[int, ItemId, int]]:
    """Decode an ANNOUNCE.

    Raises:
        PeerMisbehaved: truncated, or more than ``entries_max``.
    """
    if len(message) % _ENTRY.size or len(message) > entries_max * _ENTRY.size:
        raise PeerMisbehaved("an announcement is malformed or too long", code="gossip_malformed")
    return [(topic, ItemId(identity), size) for topic, identity, size in _ENTRY.iter_unpack(message)]


def encode_ids(ids: Iterable[ItemId]) -> bytes:
    """Encode a FETCH or MISSING."""
    return b"".join(ids)


def decode_ids(message: bytes, entries_max: int) -> list[ItemId]:
    """Decode a FETCH or MISSING.

    Raises:
        PeerMisbehaved: truncated, or more than ``entries_max``.
    """
    if len(message) % ITEM_ID_BYTES or len(message) > entries_max * ITEM_ID_BYTES:
        raise PeerMisbehaved("a list of item ids is malformed or too long", code="gossip_malformed")
    return [ItemId(message[at : at + ITEM_ID_BYTES]) for at in range(0, len(message), ITEM_ID_BYTES)]


def encode_item(topic: int, payload: bytes) -> bytes:
    """Encode an ITEM."""
    return bytes((topic,)) + payload


def decode_item(message: bytes) -> tuple[int, bytes]:
    """Decode an ITEM into (topic, item).

    Raises:
        PeerMisbehaved: empty.
    """
    if not message:
        raise PeerMisbehaved("an item is empty", code="gossip_malformed")
    return message[0], message[1:]
