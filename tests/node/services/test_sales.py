"""Raw sales become the sale of a commission record: amounts exact, rounding as agreed, orders whole."""

from __future__ import annotations

import pytest

from contracts.codes import Refusal
from ledger.errors import InvalidInput
from node.services.messages import Order
from node.services.sales import RawSale, SaleOrder, check_order, order_of, standardise
from tests.node.services.members import B, agreement_of, members, sale

KEYS = members().keys


def raw(premium: str, **changes: object) -> RawSale:
    return RawSale("P1", B, "health", "online", premium, 20_260_101, **changes)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("premium", "rounding", "cents"),
    [
        ("3000", "half_up", 300_000),
        ("16884.924", "half_up", 1_688_492),
        ("0.005", "half_up", 1),
        ("0.015", "half_up", 2),
        ("0.025", "half_even", 2),
        ("0.035", "half_even", 4),
        ("0.999", "down", 99),
    ],
)
def test_premium_rounds_as_agreed_when_standardised(premium: str, rounding: str, cents: int):
    agreement = agreement_of(KEYS, rounding=rounding)
    assert standardise(raw(premium), agreement).premium == cents


def test_amount_insured_is_brought_to_minor_units_when_given():
    assert standardise(raw("1", amount_insured="100000.005"), agreement_of(KEYS)).amount_insured == 10_000_001


def test_raw_hash_differs_when_anything_of_the_sale_does():
    agreement = agreement_of(KEYS)
    assert standardise(raw("1.00"), agreement).raw_hash != standardise(raw("1.000"), agreement).raw_hash


@pytest.mark.parametrize(
    ("premium", "code"),
    [
        ("0", "premium_zero"),
        ("0.004", "premium_zero"),
        ("-1", "amount_negative"),
        ("NaN", "amount_not_finite"),
        ("x", "amount_invalid"),
        ("", "amount_missing"),
    ],
)
def test_refused_when_the_premium_cannot_be(premium: str, code: str):
    with pytest.raises(InvalidInput) as caught:
        standardise(raw(premium), agreement_of(KEYS))
    assert caught.value.code == code


def test_refused_when_the_day_is_none():
    with pytest.raises(Refusal):
        standardise(RawSale("P1", B, "health", "online", "1", 20_260_231), agreement_of(KEYS))


@pytest.mark.parametrize(
    "order",
    [
        Order(1, "steal", "a", b"", None),
        Order(1, "book", "a", b"", None),
        Order(1, "cancel", "a", b"", None),
        Order(1, "correct", "a", bytes(32), None),
        Order(1, "cancel", "a", bytes(31), None),
    ],
)
def test_refused_when_the_order_is_not_whole(order: Order):
    with pytest.raises(InvalidInput) as caught:
        check_order(order)
    assert caught.value.code == "order_invalid"


def test_refused_when_a_cancellation_brings_a_sale():
    request = sale("P1", "1")
    with pytest.raises(InvalidInput):
        order_of(SaleOrder(1, "cancel", "a", bytes(32), request.raw), agreement_of(KEYS))
