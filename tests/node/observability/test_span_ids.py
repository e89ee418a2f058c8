"""Daemons agree on traces without speaking of them."""

from __future__ import annotations

from hashlib import sha256

from hypothesis import given
from hypothesis import strategies as st

from node.observability.span_ids import is_sampled, span_of, trace_of

IDS = st.binary(min_size=32, max_size=32)


@given(IDS, st.integers(0, 1_000), st.integers(0, 1_000))
def test_transaction_stays_traced_when_the_ratio_grows(tx_id: bytes, low: int, high: int) -> None:
    low, high = sorted((low, high))
    assert is_sampled(tx_id, high) or not is_sampled(tx_id, low)
    assert is_sampled(tx_id, 1_000)
    assert not is_sampled(tx_id, 0)


def test_share_of_the_traced_is_the_ratio_when_there_are_many() -> None:
    names = [sha256(b"%d" % number).digest() for number in range(20_000)]
    traced = sum(is_sampled(name, 100) for name in names)
    assert 1_700 < traced < 2_300


@given(IDS)
def test_trace_is_found_from_the_transaction_id_when_somebody_looks_for_it(tx_id: bytes) -> None:
    assert f"{trace_of(tx_id):032x}" == tx_id.hex()[:32]


@given(IDS, st.lists(st.binary(max_size=8), max_size=3), st.lists(st.binary(max_size=8), max_size=3))
def test_spans_differ_when_anything_about_them_differs(tx_id: bytes, one: list[bytes], other: list[bytes]) -> None:
    same = span_of(tx_id, "commit", *one) == span_of(tx_id, "commit", *other)
    assert same == (one == other)
    assert span_of(tx_id, "commit", *one) != span_of(tx_id, "admit", *one)
    assert 0 < span_of(tx_id, "commit", *one) < 2**64
