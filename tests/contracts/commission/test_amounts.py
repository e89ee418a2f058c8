"""Rounding, against Decimal."""

from __future__ import annotations

from decimal import ROUND_DOWN, ROUND_HALF_EVEN, ROUND_HALF_UP, Context, Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.commission.amounts import commission_of, minor_units
from ledger.errors import InvalidInput
from ledger.types import MAX_AMOUNT

ROUNDINGS = {"half_up": ROUND_HALF_UP, "half_even": ROUND_HALF_EVEN, "down": ROUND_DOWN}
EXACT = Context(prec=100)


@given(
    base=st.one_of(st.integers(1, MAX_AMOUNT), st.integers(1, 500)),
    rate=st.one_of(st.integers(1, 1_000_000), st.sampled_from((500_000, 250_000, 5_000, 1))),
    rounding=st.sampled_from(sorted(ROUNDINGS)),
)
def test_commission_is_what_decimal_says(base, rate, rounding):
    exact = EXACT.multiply(Decimal(base), EXACT.divide(Decimal(rate), Decimal(1_000_000)))
    assert commission_of(base, rate, rounding) == int(exact.quantize(Decimal(1), ROUNDINGS[rounding], EXACT))
    assert commission_of(base, rate, rounding) <= MAX_AMOUNT


@pytest.mark.parametrize(
    ("base", "rate", "half_up", "half_even", "down"),
    [(1, 500_000, 1, 0, 0), (3, 500_000, 2, 2, 1), (5, 500_000, 3, 2, 2), (17, 30_000, 1, 1, 0), (16, 30_000, 0, 0, 0)],
)
def test_odd_amounts_round_as_the_agreement_says(base, rate, half_up, half_even, down):
    assert [commission_of(base, rate, r) for r in ("half_up", "half_even", "down")] == [half_up, half_even, down]


@pytest.mark.parametrize(
    ("raw", "scale", "rounding", "units"),
    [
        ("3000", 2, "half_up", 300_000),
        ("16884.924", 2, "half_up", 1_688_492),
        ("0.005", 2, "half_up", 1),
        ("0.005", 2, "half_even", 0),
        ("0.015", 2, "half_even", 2),
        ("0.019", 2, "down", 1),
        ("0.004", 2, "half_up", 0),
        ("7", 0, "half_up", 7),
        ("9223372036854775807", 0, "half_up", MAX_AMOUNT),
        ("8." + "9" * 60, 18, "down", 9 * 10**18 - 1),
    ],
)
def test_raw_premium_comes_to_the_minor_unit(raw, scale, rounding, units):
    assert minor_units(raw, scale, rounding) == units


@pytest.mark.parametrize(
    "raw", ["", "-1", "1e3", " 1", "1,000", ".5", "5.", "NaN", "١", "9223372036854775808", "1" * 65]
)
def test_raw_premium_is_refused_when_it_is_no_plain_amount(raw):
    with pytest.raises(InvalidInput) as caught:
        minor_units(raw, 0)
    assert caught.value.code == "amount_invalid"


def test_premium_is_rounded_before_the_commission():
    # 0.99 at 50 % is 0 when rounded once, and 1 when rounded at both steps.
    assert commission_of(minor_units("0.99", 0), 500_000) == 1
