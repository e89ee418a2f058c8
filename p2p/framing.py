"""Frames on a stream, without I/O: ``u32 length | u8 kind | payload``, length of the payload, big endian.

On the request stream ``kind`` is a ``Control``, and payloads of requests and answers begin ``u64 id | u8 kind``.
"""

from __future__ import annotations

import struct
from enum import IntEnum
from typing import TYPE_CHECKING, Final

from ledger.errors import PeerMisbehaved

if TYPE_CHECKING:
    from collections.abc import Callable

_HEADER: Final = struct.Struct(">IB")
_REQUEST: Final = struct.Struct(">QB")
HEADER_BYTES: Final = _HEADER.size
REQUEST_HEADER_BYTES: Final = _REQUEST.size
KIND_MAX: Final = 255


class Lane(IntEnum):
    """A stream of a connection; the first two are ``Channel`` s."""

    VOTE = 0
    BULK = 1
    REQUEST = 2


class Control(IntEnum):
    """What a frame on the request stream is."""

    REQUEST = 0
    ANSWER = 1
    REFUSAL = 2
    PING = 3
    PONG = 4
    READY = 5
    """The accepting side took the connection into use: its first frame."""


def frame_header(kind: int, payload_bytes: int) -> bytes:
    """Give the 5 bytes that precede a payload."""
    return _HEADER.pack(payload_bytes, kind)


def request_prefix(request_id: int, kind: int) -> bytes:
    """Give the 9 bytes that precede the payload of a request, answer or refusal inside its frame."""
    return _REQUEST.pack(request_id, kind)


def split_request(payload: bytes) -> tuple[int, int, bytes]:
    """Split a request-stream payload into (id, kind, payload).

    Raises:
        PeerMisbehaved: shorter than its prefix.
    """
    if len(payload) < REQUEST_HEADER_BYTES:
        raise PeerMisbehaved("a request frame is shorter than its prefix", code="frame_truncated")
    request_id, kind = _REQUEST.unpack_from(payload)
    return request_id, kind, payload[REQUEST_HEADER_BYTES:]


class FrameDecoder:
    """Turns the bytes of one stream into frames; keeps at most one incomplete frame.

    Args:
        cap_of_kind: the largest payload of a frame kind, in bytes; a negative cap refuses the kind.
    """

    __slots__ = ("_buffer", "_cap_of_kind", "_need")

    def __init__(self, cap_of_kind: Callable[[int], int]) -> None:
        self._cap_of_kind = cap_of_kind
        self._buffer = bytearray()
        # Bytes that the buffer must hold before looking at it again: a large frame is parsed once, not per read.
        self._need = HEADER_BYTES

    @property
    def buffered_bytes(self) -> int:
        """Bytes of the incomplete frame."""
        return len(self._buffer)

    def feed(self, data: bytes) -> list[tuple[int, bytes]]:
        """Take bytes and give the frames that are now complete, as (kind, payload).

        Raises:
            PeerMisbehaved: a length is over its cap; nothing of that frame was kept, the stream must be closed.
        """
        source: bytes | bytearray = data
        if self._buffer:
            self._buffer += data
            source = self._buffer
        size = len(source)
        if size < self._need:
            if source is data:
                self._buffer += data
            return []
        frames: list[tuple[int, bytes]] = []
        # Slicing bytes copies once, slicing a bytearray and making bytes of it would copy twice.
        view = memoryview(source)
        offset = 0
        while True:
            self._need = HEADER_BYTES
            if size - offset < HEADER_BYTES:
                break
            length, kind = _HEADER.unpack_from(source, offset)
            if length > self._cap_of_kind(kind):
                self._buffer = bytearray()
                raise PeerMisbehaved("a frame is over its cap", code="frame_too_large", kind=kind, length=length)
            end = offset + HEADER_BYTES + length
            if size < end:
                self._need = end - offset
                break
            payload = source[offset + HEADER_BYTES : end] if source is data else view[offset + HEADER_BYTES : end]
            frames.append((kind, bytes(payload)))
            offset = end
        # A fresh buffer, so that a large one is not kept for life.
        self._buffer = bytearray(view[offset:])
        return frames
