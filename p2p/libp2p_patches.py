"""What we change in py-libp2p 0.8.1, and the check that it is that version.

Tidegate takes the parts of the library that speak the wire protocols (multistream-select, Noise, Yamux) and leaves
its host and swarm aside: there an exception in any stream handler ends the host, every inbound connection leaks a
task and a slot for life, a failed dial blocks the peer for 60 s, and a successful one waits 250 ms.
"""

from __future__ import annotations

import logging
import struct
from importlib.metadata import version
from typing import TYPE_CHECKING, Any, Final

import trio
from libp2p.stream_muxer.exceptions import MuxedStreamEOF, MuxedStreamError
from libp2p.stream_muxer.yamux import yamux

if TYPE_CHECKING:
    from collections.abc import Callable

    from p2p.libp2p_stack import Wire

LIBP2P_VERSION: Final = "0.8.1"
_FRAME = struct.Struct(yamux.YAMUX_HEADER_FORMAT)
_FRAME_DATA_MAX_BYTES: Final = yamux.MAX_MESSAGE_SIZE - yamux.HEADER_SIZE
# The library polls for a window too, every 10 ms.
_WINDOW_POLL_S: Final = 0.005


def check_version() -> None:
    """Refuse another libp2p than the one whose private parts this package relies on.

    Raises:
        ImportError: another version is installed.
    """
    installed = version("libp2p")
    if installed != LIBP2P_VERSION:
        raise ImportError(f"p2p is written for libp2p {LIBP2P_VERSION}, {installed} is installed")


class _BoundedBuffer(bytearray):
    """A receive buffer that reports, instead of keeping, what exceeds the window."""

    limit = 0
    on_excess: Callable[[], None] | None = None

    def extend(self, data: Any) -> None:
        if len(self) + len(data) > self.limit:
            if self.on_excess is not None:
                self.on_excess()
            raise OverflowError("a peer sent more than the receive window")
        super().extend(data)


class _BoundedBuffers(dict[int, bytearray]):
    """Yamux' receive buffers by stream; each becomes a bounded one on its way in."""

    def __init__(self, limit: int, on_excess: Callable[[], None]) -> None:
        super().__init__()
        self._limit = limit
        self._on_excess = on_excess

    def __setitem__(self, stream_id: int, buffer: bytearray) -> None:
        bounded = _BoundedBuffer(buffer)
        bounded.limit = self._limit
        bounded.on_excess = self._on_excess
        super().__setitem__(stream_id, bounded)


def bound_windows(muxer: yamux.Yamux, limit_bytes: int, on_excess: Callable[[], None]) -> None:
    """Make a new Yamux connection enforce its receive window, which the library only announces.

    Args:
        muxer: a connection without streams.
        limit_bytes: the most that is kept of one stream; at least the library's initial window of 256 KB.
        on_excess: called when a peer sends more; must end the connection.
    """
    muxer.stream_buffers = _BoundedBuffers(limit_bytes, on_excess)


def prepare_library(window_max_bytes: int) -> None:
    """Check the version; cap the window that Yamux grows to (16 MB in the library) and its log. Per process."""
    check_version()
    yamux.MAX_WINDOW_SIZE = window_max_bytes
    # The library logs at error level whatever a peer does, sometimes with the bytes; our own events say what matters.
    logging.getLogger("libp2p").setLevel(logging.CRITICAL)


class Muxer(yamux.Yamux):  # type: ignore[misc]  # mypy does not follow libp2p
    """A Yamux connection that takes a frame's body at once where it came in one Noise message with its header."""

    async def _read_data_body(self, length: int) -> bytes:
        session = self.secured_conn
        if session.high_watermark - session.low_watermark >= length:
            return bytes(session._drain(length))  # noqa: SLF001 - see the module; the version is checked
        return bytes(await super()._read_data_body(length))


async def read_stream(muxer: yamux.Yamux, stream: yamux.YamuxStream, limit_bytes: int) -> bytes:
    """Read from a Yamux stream as ``YamuxStream.read`` does, but give window back only once half of it is used up.

    The library answers every read with a window update, a frame for each frame; the specification asks for none of
    them while there is window left.

    Args:
        muxer: the connection.
        stream: read by one task only.
        limit_bytes: most that is given at once.

    Raises:
        MuxedStreamEOF: the stream or its connection is closed, and everything has been read.
        ConnectionClosedError: the connection is.
    """
    name = stream.stream_id
    while not (buffer := muxer.stream_buffers.get(name)):
        event = muxer.stream_events.get(name)
        over = stream.recv_closed or stream.closed or stream.reset_received or muxer.event_shutting_down.is_set()
        if over or buffer is None or event is None:
            raise MuxedStreamEOF("the stream is closed")
        await event.wait()
        if name in muxer.stream_events:
            muxer.stream_events[name] = trio.Event()
    data = bytes(buffer[:limit_bytes])
    del buffer[:limit_bytes]
    target, rest = stream.target_recv_window, len(buffer)
    # No await between looking at the window and changing it: its lock is not needed.
    if target - (stream.recv_window + rest) >= target // 2:
        await stream.send_window_update(stream._grow_to_delta(rest) + stream._apply_autotune_epoch(rest))  # noqa: SLF001
    return data


async def write_stream(
    muxer: yamux.Yamux, stream: yamux.YamuxStream, wire: Wire, data: bytes, batch_bytes: int
) -> None:
    """Write to a Yamux stream as ``YamuxStream.write`` does, several frames in one system call.

    The library's own takes five passes of the scheduler for each 64 KB, which are dear in guest mode. Waits for window
    without limit: the caller sets the time.

    Args:
        muxer: the connection.
        stream: written by one task only.
        wire: the socket under both.
        data: any number of bytes.
        batch_bytes: most that is written at once; others wait for so long.

    Raises:
        MuxedStreamError: the stream is closed.
        ConnectionClosedError: the connection is.
    """
    offset = 0
    while offset < len(data):
        if stream.closed or stream.send_closed:
            raise MuxedStreamError("the stream is closed")
        if stream.send_window <= 0:
            await trio.sleep(_WINDOW_POLL_S)
            continue
        async with muxer._write_lock:  # noqa: SLF001 - see above; the version is checked
            # No await between reading and taking the window: its lock is not needed.
            end = min(len(data), offset + min(stream.send_window, batch_bytes))
            stream.send_window -= end - offset
            parts: list[bytes] = []
            for start in range(offset, end, _FRAME_DATA_MAX_BYTES):
                stop = min(end, start + _FRAME_DATA_MAX_BYTES)
                parts += (_FRAME.pack(0, yamux.TYPE_DATA, 0, stream.stream_id, stop - start), data[start:stop])
            wire.cork()
            try:
                await muxer.secured_conn.write(b"".join(parts))
            finally:
                await wire.uncork()
        offset = end
