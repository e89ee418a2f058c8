"""From records to sales: every fault with line and column, nothing planned of a faulty file, dedup by policy."""

from __future__ import annotations

import pytest

from contracts.commission.records import Condition
from node.importer.plan import Columns, Common, ImportPlan, default_common, plan_import
from node.importer.rows import InvalidFile, parse_table
from tests.node.services.members import B, agreement_of, members

AGREEMENT = agreement_of(members().keys)
PREMIUM = Columns("premium")
COMMON = Common("sales.csv", B, "health", "online", 20_260_101, 2)


def plan(text: str | bytes, columns: Columns = PREMIUM, *, skip: bool = False, **changes: object) -> ImportPlan:
    data = text if isinstance(text, bytes) else text.encode()
    agreement = agreement_of(members().keys, **changes)
    return plan_import(parse_table(data), agreement, "commission", columns, COMMON, skip_invalid=skip)


def faults(text: str | bytes, columns: Columns = PREMIUM, **changes: object) -> list[tuple[int, str, str]]:
    with pytest.raises(InvalidFile) as caught:
        plan(text, columns, **changes)
    return [(problem.line, problem.column, problem.code) for problem in caught.value.problems]


def test_policies_are_numbered_by_file_and_record_when_no_column_says_them():
    found = plan("premium\n3000\n3000\n16884.924\n")
    assert [item.sale.policy for item in found.sales] == ["sales.csv:1", "sales.csv:2", "sales.csv:3"]
    assert [item.commission for item in found.sales] == [9_000, 9_000, 50_655]
    assert [item.sale.premium for item in found.sales] == [300_000, 300_000, 1_688_492]


def test_numbers_stay_when_faulty_or_zero_records_are_skipped():
    found = plan("premium\nx\n0.01\n3000\n", skip=True)
    assert [item.sale.policy for item in found.sales] == ["sales.csv:3"]
    assert (found.zero, [p.line for p in found.skipped]) == (1, [2])


def test_policy_column_is_taken_when_given():
    found = plan("premium,no\n3000, C1 \n4000,C2\n", Columns("premium", "no"))
    assert [item.sale.policy for item in found.sales] == ["C1", "C2"]


@pytest.mark.parametrize(
    ("cell", "code"),
    [
        ("abc", "amount_invalid"),
        ("NaN", "amount_not_finite"),
        ("Infinity", "amount_not_finite"),
        ("-5", "amount_negative"),
        ("", "amount_missing"),
    ],
)
def test_line_and_column_are_named_when_a_premium_is_bad(cell: str, code: str):
    text = f"no,premium\n1,3000\n2,{cell}\n3,4000\n"
    assert faults(text) == [(3, "premium", code)]
    found = plan(text, skip=True)
    assert (len(found.sales), len(found.skipped)) == (2, 1)


def test_every_fault_is_named_when_there_are_several():
    text = b"premium,no\nx,1\n3000,2\n\xff,3\n-1,2\n1\n"
    expected = [(2, "premium", "amount_invalid"), (4, "", "csv_encoding"), (5, "no", "policy_duplicate"), (6, "", "csv_field_count")]  # fmt: skip  # noqa: E501
    assert faults(text, Columns("premium", "no")) == expected


def test_second_of_a_doubled_policy_is_the_fault():
    text = "premium,no\n3000,A\n4000,B\n5000,A\n"
    assert faults(text, Columns("premium", "no")) == [(4, "no", "policy_duplicate")]
    found = plan(text, Columns("premium", "no"), skip=True)
    assert [item.sale.policy for item in found.sales] == ["A", "B"]


@pytest.mark.parametrize("number", ["", "with(bracket", "x" * 129, "tab\tinside"])
def test_policy_is_refused_when_it_cannot_be_a_name(number: str):
    assert len(faults(f"premium,no\n3000,{number}\n", Columns("premium", "no"))) == 1


@pytest.mark.parametrize("skip", [False, True])
def test_file_is_refused_when_a_column_is_missing(skip: bool):
    for columns in (Columns("price"), Columns("premium", "number"), Columns("premium", amount_insured="insured")):
        with pytest.raises(InvalidFile) as caught:
            plan("premium,x\n3000,1\n", columns, skip=skip)
        assert caught.value.code == "csv_column_missing"
        assert "premium, x" in caught.value.message


def test_zero_commissions_are_counted_when_they_round_to_nothing():
    found = plan("premium\n0\n0.001\n0.16\n0.17\n")
    assert found.zero == 3
    assert [item.commission for item in found.sales] == [1]


def test_rounding_is_the_agreements_when_premiums_have_more_decimals():
    assert plan("premium\n0.175\n", rounding="half_even").sales[0].sale.premium == 18
    assert plan("premium\n16.669\n", rounding="down").sales[0].sale.premium == 1_666


def test_amount_insured_is_the_base_when_the_agreement_says_so():
    columns = Columns("premium", amount_insured="insured")
    assert plan("premium,insured\n10,1000\n", columns, base="amount_insured").sales[0].commission == 3_000
    assert faults("premium\n10\n", base="amount_insured") == [(2, "", "commission_base_missing")]


@pytest.mark.parametrize(("cell", "day"), [("2026-01-05", 20_260_105), ("20260105", 20_260_105)])
def test_day_is_read_when_a_column_has_it(cell: str, day: int):
    assert plan(f"premium,day\n10,{cell}\n", Columns("premium", sold_on="day")).sales[0].sale.sold_on == day


def test_day_is_refused_when_there_is_no_such():
    assert faults("premium,day\n10,2026-02-30\n", Columns("premium", sold_on="day")) == [(2, "day", "day_invalid")]


def test_fault_when_no_condition_of_the_agreement_holds():
    condition = Condition("state", "lapsed")
    assert faults("premium\n10\n", conditions=(condition,)) == [(2, "", "commission_condition_unmet")]


@pytest.mark.parametrize("name", ["sales (1).csv", 'a"b.csv', "x" * 300 + ".csv", "tab\t.csv", "e\u0301.csv"])
def test_policy_numbers_are_names_and_distinct_when_the_file_name_is_odd(name: str):
    seen = set()
    for file_name in (name, name + "2"):
        common = Common(file_name, B, "health", "online", 20_260_101, 2)
        table = parse_table(b"premium\n3000\n")
        found = plan_import(table, AGREEMENT, "commission", Columns("premium"), common)
        seen.add(found.sales[0].sale.policy)
        assert len(found.sales[0].sale.policy.encode()) <= 128
    assert len(seen) == 2


def test_defaults_come_from_the_first_mapping_row():
    common = default_common(AGREEMENT, "f.csv")
    assert (common.seller, common.scale, common.file_name) == (B, 2, "f.csv")
