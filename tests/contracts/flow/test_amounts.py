"""Reimbursement: rounds each item half up, the patient pays the exact remainder, out of bounds is refused."""

from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.codes import Refusal
from contracts.flow.amounts import (
    DEFAULT_RATIOS,
    MAX_RATIOS,
    Ratio,
    check_ratios,
    ratio_for,
    reimbursement,
    split,
)
from ledger.encoding import Codec
from ledger.errors import MalformedBytes
from ledger.types import MAX_AMOUNT

PRICES = st.integers(1, MAX_AMOUNT)
RATIOS = st.integers(0, 1_000_000)


@dataclass(frozen=True)
class Item:
    price_minor: int
    drug_code: str = ""


def test_demo_ratios_are_those_of_the_protocol():
    coverages = ("medicare", "medicaid", "private", "dual_eligible", "no_insurance")
    shares = {coverage: ratio_for(DEFAULT_RATIOS, coverage, "310965") for coverage in coverages}
    assert shares == {
        "medicare": 800_000,
        "medicaid": 900_000,
        "private": 700_000,
        "dual_eligible": 900_000,
        "no_insurance": 0,
    }
    check_ratios(DEFAULT_RATIOS)


@pytest.mark.parametrize(
    ("price", "ppm", "paid"),
    [
        (25_500, 800_000, 20_400),  # every Claim of the data
        (25_500, 700_000, 17_850),
        (1, 800_000, 1),  # 0.01: 0.008 rounds up
        (1, 500_000, 1),  # exactly half rounds up
        (1, 499_999, 0),
        (3, 700_000, 2),  # 0.03: 2.1
        (3, 500_000, 2),  # 1.5
        (3, 900_000, 3),  # 2.7
        (5, 700_000, 4),  # 3.5 rounds up
        (5, 900_000, 5),  # 4.5 rounds up, where half to even would give 4
        (1_005, 700_000, 704),  # 10.05: 703.5
        (10_050, 333_333, 3_350),  # 3349.99665
        (99, 0, 0),
        (99, 1_000_000, 99),
        (MAX_AMOUNT, 1_000_000, MAX_AMOUNT),
        (MAX_AMOUNT, 0, 0),
        (MAX_AMOUNT, 500_000, 2**62),  # (2**63 - 1) / 2 is a half
        (MAX_AMOUNT, 1, 9_223_372_036_855),  # ….775807
        (MAX_AMOUNT, 999_999, 9_223_362_813_482_738_952),  # ….224193
        (MAX_AMOUNT - 1, 700_000, 6_456_360_425_798_343_064),  # ….2
    ],
)
def test_reimbursement_rounds_half_up_when_the_share_is_no_whole_unit(price, ppm, paid):
    assert reimbursement(price, ppm) == paid


@given(PRICES, RATIOS)
def test_reimbursement_agrees_with_decimal_arithmetic_when_anything_is_in_bounds(price, ppm):
    exact = Decimal(price) * ppm / 1_000_000  # 19 + 7 digits fit the default context of 28
    paid = reimbursement(price, ppm)
    assert paid == int(exact.quantize(Decimal(1), ROUND_HALF_UP))
    assert 0 <= paid <= price


@pytest.mark.parametrize("price", [0, -1, MAX_AMOUNT + 1])
def test_price_is_refused_when_out_of_bounds(price):
    with pytest.raises(Refusal) as refused:
        reimbursement(price, 800_000)
    assert refused.value.code == "flow_amount_invalid"


@pytest.mark.parametrize("ppm", [-1, 1_000_001])
def test_ratio_is_refused_when_out_of_bounds(ppm):
    with pytest.raises(Refusal) as refused:
        reimbursement(100, ppm)
    assert refused.value.code == "flow_ratio_invalid"
    with pytest.raises(Refusal) as refused:
        check_ratios((Ratio("private", "", ppm),))
    assert refused.value.code == "flow_ratio_invalid"


def test_items_are_rounded_one_by_one_when_there_are_several():
    items = [Item(1), Item(1), Item(1)]
    assert split(items, lambda _: 500_000) == (3, 0)  # together they would give 1.5, so 2
    assert split(items, lambda _: 400_000) == (0, 3)  # and 1.2, so 1


def test_each_item_has_its_own_ratio_when_drugs_differ():
    table = (Ratio("private", "", 700_000), Ratio("private", "7", 333_333), Ratio("medicare", "7", 1))
    items = [Item(100, "7"), Item(101, "8")]
    assert split(items, lambda item: ratio_for(table, "private", item.drug_code)) == (33 + 71, 67 + 30)


@given(st.lists(st.tuples(st.integers(1, 2**58), RATIOS), min_size=1, max_size=20))
def test_shares_add_up_to_the_price_when_items_are_any(rows):
    items = [Item(price, str(ppm)) for price, ppm in rows]
    reimbursed, patient = split(items, lambda item: int(item.drug_code))
    assert reimbursed + patient == sum(price for price, _ in rows)
    assert patient >= 0
    assert reimbursed == sum(reimbursement(price, ppm) for price, ppm in rows)


def test_order_is_refused_when_its_sum_does_not_fit():
    assert split([Item(MAX_AMOUNT - 1), Item(1)], lambda _: 0) == (0, MAX_AMOUNT)
    with pytest.raises(Refusal) as refused:
        split([Item(MAX_AMOUNT), Item(1)], lambda _: 0)
    assert refused.value.code == "flow_amount_invalid"


def test_order_is_refused_when_it_has_no_items():
    with pytest.raises(Refusal) as refused:
        split([], lambda _: 0)
    assert refused.value.code == "flow_amount_invalid"


@pytest.mark.parametrize("order", [1, -1])
def test_ratio_of_the_drug_wins_when_it_has_one(order):
    table = (Ratio("medicare", "", 800_000), Ratio("medicare", "310965", 0), Ratio("private", "1", 5))[::order]
    assert ratio_for(table, "medicare", "310965") == 0
    assert ratio_for(table, "medicare", "1") == 800_000


@pytest.mark.parametrize("coverage", ["", "Medicare", "cash"])
def test_coverage_is_refused_when_the_table_does_not_know_it(coverage):
    with pytest.raises(Refusal) as refused:
        ratio_for(DEFAULT_RATIOS, coverage, "310965")
    assert refused.value.code == "flow_ratio_unknown"


def test_coverage_is_refused_when_only_another_drug_has_a_ratio():
    with pytest.raises(Refusal) as refused:
        ratio_for((Ratio("private", "1", 5),), "private", "2")
    assert refused.value.code == "flow_ratio_unknown"


def test_table_is_refused_when_a_key_comes_twice_or_it_is_too_long():
    for table in (
        (Ratio("private", "1", 5), Ratio("private", "1", 5)),
        tuple(Ratio("private", str(place), 5) for place in range(MAX_RATIOS + 1)),
    ):
        with pytest.raises(Refusal) as refused:
            check_ratios(table)
        assert refused.value.code == "flow_ratio_invalid"


def test_row_is_undecodable_when_its_ratio_is_above_the_whole():
    codec = Codec(Ratio, 1_000)
    assert codec.decode(codec.encode(Ratio("private", "", 1_000_000))) == Ratio("private", "", 1_000_000)
    with pytest.raises(MalformedBytes):
        codec.decode(codec.encode(Ratio("private", "", 1_000_001)))
