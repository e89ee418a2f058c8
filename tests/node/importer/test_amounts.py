"""Amounts as spreadsheets write them: exact, or refused with the reason."""

from __future__ import annotations

from decimal import ROUND_HALF_UP, Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.errors import InvalidInput
from ledger.types import MAX_AMOUNT
from node.importer.amounts import read_amount


@pytest.mark.parametrize(
    ("text", "cents"),
    [
        ("3000", 300_000),
        ("16884.924", 1_688_492),
        ("1725.5523", 172_555),
        (" 12.5 ", 1_250),
        ("+7", 700),
        (".5", 50),
        ("5.", 500),
        ("1e+05", 10_000_000),
        ("1.2345E2", 12_345),
        ("1e-3", 0),
        ("-0", 0),
        ("0.005", 1),
        ("0.0049999999999999999999999999", 0),
        ("00012", 1_200),
    ],
)
def test_amount_is_exact_when_it_is_a_number(text: str, cents: int):
    assert read_amount(text, 2) == cents


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("", "amount_missing"),
        ("   ", "amount_missing"),
        ("NaN", "amount_not_finite"),
        ("-nan", "amount_not_finite"),
        ("Infinity", "amount_not_finite"),
        ("-inf", "amount_not_finite"),
        ("-1", "amount_negative"),
        ("-0.01", "amount_negative"),
        ("abc", "amount_invalid"),
        ("1,000.00", "amount_invalid"),
        ("1_000", "amount_invalid"),
        ("1 000", "amount_invalid"),
        ("12.3.4", "amount_invalid"),
        (".", "amount_invalid"),
        ("e5", "amount_invalid"),
        ("1e999", "amount_invalid"),
        ("1e31", "amount_invalid"),
        ("٣", "amount_invalid"),
        ("0x10", "amount_invalid"),
        ("9" * 41, "amount_invalid"),
        (str(MAX_AMOUNT), "amount_invalid"),
    ],
)
def test_amount_is_refused_when(text: str, code: str):
    with pytest.raises(InvalidInput) as caught:
        read_amount(text, 2)
    assert caught.value.code == code


@given(st.decimals(0, 10**12, allow_nan=False, allow_infinity=False, places=6), st.integers(0, 6))
def test_rounds_half_up_when_there_are_more_decimals(value: Decimal, scale: int):
    expected = value.scaleb(scale).quantize(Decimal(1), ROUND_HALF_UP)
    assert read_amount(str(value), scale) == expected
    assert read_amount(f"{value:E}", scale) == expected
