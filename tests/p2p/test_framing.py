"""Frames: whatever way the bytes are cut, the same frames come out; no cap is exceeded in memory."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.errors import PeerMisbehaved
from p2p.framing import HEADER_BYTES, FrameDecoder, frame_header, request_prefix, split_request

FRAMES = st.lists(st.tuples(st.integers(0, 255), st.binary(max_size=300)), max_size=20)


@given(frames=FRAMES, cuts=st.lists(st.integers(1, 50), min_size=1, max_size=30))
def test_frames_come_out_whole_however_the_bytes_are_cut(frames: list[tuple[int, bytes]], cuts: list[int]) -> None:
    data = b"".join(frame_header(kind, len(payload)) + payload for kind, payload in frames)
    decoder = FrameDecoder(lambda _: 300)
    got: list[tuple[int, bytes]] = []
    turn = 0
    while data:
        size = cuts[turn % len(cuts)]
        got += decoder.feed(data[:size])
        data = data[size:]
        turn += 1
    assert got == frames
    assert decoder.buffered_bytes == 0


def test_length_over_the_cap_of_its_kind_is_refused_before_its_payload_comes() -> None:
    decoder = FrameDecoder(lambda kind: 10 if kind == 1 else 1000)
    assert decoder.feed(frame_header(2, 11) + bytes(11)) == [(2, bytes(11))]
    with pytest.raises(PeerMisbehaved) as caught:
        decoder.feed(frame_header(1, 11))
    assert caught.value.code == "frame_too_large"


def test_negative_cap_refuses_even_an_empty_frame() -> None:
    with pytest.raises(PeerMisbehaved):
        FrameDecoder(lambda _: -1).feed(frame_header(1, 0))


@given(st.binary(max_size=2000))
def test_garbage_is_refused_or_kept_within_the_cap(data: bytes) -> None:
    decoder = FrameDecoder(lambda _: 64)
    try:
        for start in range(0, len(data), 7):
            decoder.feed(data[start : start + 7])
            assert decoder.buffered_bytes <= 64 + HEADER_BYTES
    except PeerMisbehaved:
        assert decoder.buffered_bytes == 0


def test_layout_is_length_kind_payload() -> None:
    assert frame_header(7, 258) == struct.pack(">IB", 258, 7)
    assert request_prefix(1, 2) == struct.pack(">QB", 1, 2)


@given(st.integers(0, 2**64 - 1), st.integers(0, 255), st.binary(max_size=50))
def test_request_prefix_splits_back(request_id: int, kind: int, payload: bytes) -> None:
    assert split_request(request_prefix(request_id, kind) + payload) == (request_id, kind, payload)


def test_truncated_request_is_refused() -> None:
    with pytest.raises(PeerMisbehaved):
        split_request(bytes(8))
