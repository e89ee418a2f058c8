"""Reading a Yamux stream: window is given back in halves, not with every read."""

from __future__ import annotations

import struct
from typing import Any, cast

import pytest
import trio
import trio.testing
from libp2p.stream_muxer.exceptions import MuxedStreamEOF
from libp2p.stream_muxer.yamux import yamux

from p2p.libp2p_patches import read_stream

WINDOW = yamux.DEFAULT_WINDOW_SIZE
NAME = 1


class Connection:
    """What a stream needs of its connection; keeps the frames that are written."""

    def __init__(self) -> None:
        self.stream_buffers = {NAME: bytearray()}
        self.stream_events = {NAME: trio.Event()}
        self.event_shutting_down = trio.Event()
        self.frames: list[tuple[int, int]] = []

    def rtt(self) -> float:
        return 0.0

    async def _write_frame(self, frame: bytes) -> None:
        _, kind, _, _, length = struct.unpack(yamux.YAMUX_HEADER_FORMAT, frame)
        self.frames.append((kind, length))


def pair() -> tuple[Any, yamux.YamuxStream]:
    connection = cast(Any, Connection())
    return connection, yamux.YamuxStream(NAME, connection, is_initiator=True)


def arrive(connection: Any, stream: yamux.YamuxStream, data: bytes) -> None:
    """As the library does when a frame comes."""
    stream.recv_window -= len(data)
    connection.stream_buffers[NAME].extend(data)
    connection.stream_events[NAME].set()


def test_no_window_is_given_back_when_more_than_half_is_left() -> None:
    async def run() -> None:
        connection, stream = pair()
        for _ in range(100):
            arrive(connection, stream, bytes(1_000))
            assert await read_stream(connection, stream, 1 << 20) == bytes(1_000)
        assert connection.frames == []

    trio.run(run)


def test_window_is_given_back_when_half_is_used_up() -> None:
    async def run() -> None:
        connection, stream = pair()
        sent, credit = 0, WINDOW
        for _ in range(1_000):
            size = min(credit, 20_000)
            assert size, "the sender has window left whenever everything was read"
            arrive(connection, stream, bytes(size))
            sent, credit = sent + size, credit - size
            await read_stream(connection, stream, 1 << 20)
            credit += sum(length for _, length in connection.frames)
            assert stream.recv_window == credit
            connection.frames.clear()
        assert sent > 10 * WINDOW

    trio.run(run)


def test_window_comes_back_when_the_sender_used_all_of_it_before_anything_was_read() -> None:
    async def run() -> None:
        connection, stream = pair()
        arrive(connection, stream, bytes(WINDOW))
        found = 0
        while found < WINDOW:
            found += len(await read_stream(connection, stream, 50_000))
        kinds = {kind for kind, _ in connection.frames}
        assert kinds == {yamux.TYPE_WINDOW_UPDATE}
        assert sum(length for _, length in connection.frames) >= WINDOW // 2
        assert len(connection.frames) <= 3

    trio.run(run)


def test_a_reader_is_woken_when_data_arrive() -> None:
    async def run() -> None:
        connection, stream = pair()
        found: list[bytes] = []

        async def read() -> None:
            found.extend([await read_stream(connection, stream, 3), await read_stream(connection, stream, 3)])

        with trio.fail_after(5):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(read)
                await trio.testing.wait_all_tasks_blocked()
                arrive(connection, stream, b"abcd")
        assert found == [b"abc", b"d"]

    trio.run(run)


@pytest.mark.parametrize("how", ["recv_closed", "closed", "reset_received", "gone", "shut"])
def test_reading_ends_when_the_stream_does(how: str) -> None:
    async def run() -> None:
        connection, stream = pair()
        if how == "gone":
            del connection.stream_buffers[NAME], connection.stream_events[NAME]
        elif how == "shut":
            connection.event_shutting_down.set()
        else:
            setattr(stream, how, True)
        with pytest.raises(MuxedStreamEOF):
            await read_stream(connection, stream, 10)

    trio.run(run)


def test_what_came_before_the_end_is_read_first() -> None:
    async def run() -> None:
        connection, stream = pair()
        arrive(connection, stream, b"last")
        stream.recv_closed = True
        assert await read_stream(connection, stream, 10) == b"last"
        with pytest.raises(MuxedStreamEOF):
            await read_stream(connection, stream, 10)

    trio.run(run)
