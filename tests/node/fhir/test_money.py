"""Amounts: exact minor units or refused; prices of items, and never one sum counted twice."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.types import MAX_AMOUNT
from node.fhir import strict_json
from node.fhir.money import CURRENCY_SCALES, MAX_ITEMS, read_minor_units, read_prices
from node.fhir.problems import Place, Problems


@pytest.mark.parametrize(
    ("written", "scale", "units"),
    [
        (b"255", 2, 25_500),
        (b"255.0", 2, 25_500),
        (b"255.00", 2, 25_500),
        (b"0.01", 2, 1),
        (b"0.03", 2, 3),
        (b"1.1", 2, 110),
        (b"0.29", 2, 29),  # 0.29 * 100 is 28.999999999999996 in binary
        (b"2.55e2", 2, 25_500),
        (b"1E+2", 2, 10_000),
        (b"500", 0, 500),
        (b"92233720368547758.07", 2, MAX_AMOUNT),
        (b"9223372036854775807", 0, MAX_AMOUNT),
        (b"9223372036854775.807", 3, MAX_AMOUNT),
    ],
)
def test_amount_is_exact_when_the_currency_can_say_it(written, scale, units):
    assert read_minor_units(strict_json.decode(written), scale) == units


@pytest.mark.parametrize(
    ("written", "scale", "word"),
    [
        (b"1.005", 2, "3 decimals"),
        (b"0.001", 2, "3 decimals"),
        (b"255.000", 2, "3 decimals"),
        (b"1e-3", 2, "3 decimals"),
        (b"1e-999999", 2, "decimals"),
        (b"0.5", 0, "1 decimals"),
        (b"0.1000000000000000055511151231257827", 2, "decimals"),
        (b"0", 2, "zero"),
        (b"0.00", 2, "zero"),
        (b"-0", 2, "zero"),
        (b"-0.01", 2, "negative"),
        (b"-1e-999999", 2, "negative"),
        (b"92233720368547758.08", 2, "more than"),
        (b"9223372036854775808", 0, "more than"),
        (b"1e30", 2, "more than"),
        (b"1e999999", 2, "more than"),
        (b"1e999999999999", 2, "more than"),
        (b'"255"', 2, "not a number"),
        (b"true", 2, "not a number"),
        (b"null", 2, "not a number"),
    ],
)
def test_amount_is_refused_with_the_reason_when_it_is_none(written, scale, word):
    with pytest.raises(ValueError, match=word):
        read_minor_units(strict_json.decode(written), scale)


@given(st.integers(1, MAX_AMOUNT), st.integers(0, 6))
def test_amount_survives_being_written_in_major_units(units, scale):
    text = f"{Decimal(units).scaleb(-scale):f}".encode()
    assert read_minor_units(strict_json.decode(text), scale) == units


def item(sequence, net=None):
    entry = {"sequence": sequence, "productOrService": {"text": f"item {sequence}"}}
    return entry if net is None else {**entry, "net": money(net)}


def money(value, currency="USD"):
    return {"value": Decimal(value), "currency": currency}


def prices(claim):
    problems = Problems()
    found = read_prices(claim, "310965", CURRENCY_SCALES, Place(problems, "Claim.ndjson", 1))
    return found, [(each.path, each.code) for each in problems.found]


def paid(claim):
    found, problems = prices(claim)
    assert problems == []
    return [(each.sequence, each.price_minor, each.drug_code) for each in found.items], found.total_minor


def test_price_is_the_total_when_the_only_item_has_no_net():
    assert paid({"item": [item(1)], "total": money("255")}) == ([(1, 25_500, "310965")], 25_500)


def test_price_is_the_net_when_there_is_one_whatever_the_total():
    claim = {"item": [item(1, "100.01"), item(2, "0.03")], "total": money("255")}
    assert paid(claim) == ([(1, 10_001, "310965"), (2, 3, "310965")], 25_500)


def test_total_is_the_sum_when_the_claim_has_none():
    assert paid({"item": [item(1, "100.01"), item(2, "0.03")]})[1] == 10_004


def test_total_is_paid_once_when_several_items_have_no_net():
    assert paid({"item": [item(4), item(5), item(6)], "total": money("255")}) == ([(4, 25_500, "310965")], 25_500)


def test_total_is_paid_when_there_are_no_items():
    assert paid({"total": money("255")}) == ([(1, 25_500, "310965")], 25_500)


@pytest.mark.parametrize(
    ("claim", "path"),
    [
        ({"item": [item(1, "1"), item(2)], "total": money("255")}, "Claim.item[1].net"),
        ({"item": [item(1), item(2, "1"), item(3)], "total": money("255")}, "Claim.item[0].net"),
        ({"item": [item(1)]}, "Claim.total"),
        ({"item": [item(1, "1.001")]}, "Claim.item[0].net.value"),
        ({"item": [item(1, "1"), item(2, "-1")], "total": money("2")}, "Claim.item[1].net.value"),
        ({"item": [item(1, "1")], "total": money("1", "EUR")}, "Claim.item[0].net.currency"),
        ({"item": [item(1)], "total": money("1.5", "JPY")}, "Claim.total.value"),
        ({"item": [item(1)], "total": money("1.5", "XXX")}, "Claim.total.currency"),
        ({"item": [item(1, "92233720368547758.07"), item(2, "0.01")]}, "Claim.item"),
    ],
)
def test_claim_is_refused_when_its_prices_are_not_plain(claim, path):
    assert prices(claim) == (None, [(path, "fhir_amount_invalid")])


def test_claim_is_refused_when_it_has_more_items_than_anyone_orders():
    claim = {"item": [item(place, "1") for place in range(1, MAX_ITEMS + 2)]}
    assert prices(claim) == (None, [("Claim.item", "fhir_too_large")])
    assert len(paid({"item": claim["item"][:-1]})[0]) == MAX_ITEMS


def test_yen_have_no_decimals():
    assert paid({"item": [item(1)], "total": money("255", "JPY")})[1] == 255
