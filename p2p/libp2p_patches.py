"""What we change in py-libp2p 0.8.1, and the check that it is that version.

Tidegate takes the parts of the library that speak the wire protocols (multistream-select, Noise, Yamux) and leaves
its host and swarm aside: there an exception in any stream handler ends the host, every inbound connection leaks a
task and a slot for life, a failed dial blocks the peer for 60 s, and a successful one waits 250 ms.
"""

from __future__ import annotations

import logging
from importlib.metadata import version
from typing import TYPE_CHECKING, Any, Final

from libp2p.stream_muxer.yamux import yamux

if TYPE_CHECKING:
    from collections.abc import Callable

LIBP2P_VERSION: Final = "0.8.1"


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
