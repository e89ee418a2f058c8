"""The outgoing queue of one lane of one peer, bounded in bytes; frames leave coalesced."""

from __future__ import annotations

from collections import deque

from p2p.framing import HEADER_BYTES, frame_header


class Outbox:
    """A queue of frames that refuses what would exceed ``max_bytes``, and wakes its writer when it stops being empty.

    ``wake`` is an attribute: the owner of the writer sets it, and a writer that is busy need not be woken.
    """

    __slots__ = ("_frames", "_in_flight", "frames_out", "max_bytes", "queued_bytes", "wake", "written_bytes")

    def __init__(self, max_bytes: int) -> None:
        self.max_bytes = max_bytes
        self.queued_bytes = 0
        self.written_bytes = 0
        self.frames_out = 0
        self.wake = _nobody
        self._frames: deque[bytes] = deque()
        self._in_flight = 0

    def push(self, kind: int, payload: bytes) -> bool:
        """Queue a frame; False when it would exceed the bound (what is being written counts)."""
        size = HEADER_BYTES + len(payload)
        if self.queued_bytes + size > self.max_bytes:
            return False
        was_empty = not self._frames
        self.queued_bytes += size
        self.frames_out += 1
        self._frames.append(frame_header(kind, len(payload)) + payload)
        if was_empty:
            self.wake()
        return True

    def take(self, limit_bytes: int) -> bytes:
        """Take frames up to ``limit_bytes``, at least one if there is any; ``written`` must follow."""
        frames = self._frames
        if not frames:
            return b""
        first = frames.popleft()
        size = len(first)
        if not frames or size >= limit_bytes:
            self._in_flight = size
            return first
        taken = [first]
        while frames and size + len(frames[0]) <= limit_bytes:
            size += len(frames[0])
            taken.append(frames.popleft())
        self._in_flight = size
        return b"".join(taken)

    def written(self) -> None:
        """What was last taken has left: it no longer counts."""
        self.queued_bytes -= self._in_flight
        self.written_bytes += self._in_flight
        self._in_flight = 0


def _nobody() -> None:
    """Wake nobody: no writer has been attached yet."""
