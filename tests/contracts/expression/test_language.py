"""What an expression says about a document: examples, and what happens when it has no value."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.expression.expression import EvaluationFailed, compile_expression
from tests.contracts.expression.grammar import SCHEMA

VALUES = {
    "amount": 700,
    "count": 3,
    "drug": "860975",
    "subject": "p-1",
    "plain": "abc",
    "urgent": False,
    "drugs": ("860975", "197361", "313782"),
    "codes": (),
}
LISTED = {"blocked": {"p-9", "313782"}, "watched": {"197361", "p-1"}}


def listed(name, entry):
    return entry in LISTED[name]


def holds(source, values=VALUES, contains=listed):
    return compile_expression(source, SCHEMA).evaluate(values, contains)


def failure(source, values=VALUES, contains=listed):
    with pytest.raises(EvaluationFailed) as raised:
        holds(source, values, contains)
    return raised.value


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("amount > 500 && count <= 3", True),
        ("amount * count - 100 == 2000", True),
        ("-amount < -699", True),
        ("subject in blocked", False),
        ("subject in watched", True),
        ("!(subject in watched)", False),
        ("drug in drugs", True),
        ("drug in ['197361', '860975']", True),
        ("count in [1, 2]", False),
        ("drugs.exists(d, d in blocked)", True),
        ("drugs.all(d, d in blocked || d in watched)", False),
        ("drugs.all(d, size(d) == 6 && d != subject)", True),
        ("drugs.exists(d, d.startsWith('86') && amount > 500)", True),
        ("codes.all(c, false)", True),
        ("codes.exists(c, true)", False),
        ("size(drugs) == 3 && codes.size() == 0", True),
        ("plain.startsWith('ab') && !plain.startsWith('b')", True),
        ("urgent || drug == '860975' && amount < 500", False),
        ("(urgent || drug == '860975') && amount > 500", True),
        ("urgent == false && urgent < true", True),
        ("plain < 'abd' && plain >= 'abc'", True),
        ("1 + 2 * 3 == 7 && (1 + 2) * 3 == 9", True),
        ("\n  amount > 500 // dear\n  && urgent == false\n", True),
    ],
)
def test_a_rule_holds_or_not_when_it_is_evaluated(source, expected):
    assert holds(source) is expected


def test_strings_are_of_code_points_when_they_are_measured_and_ordered():
    values = {"drug": "\U0001f600é", "subject": "\uffff"}
    assert holds("size(drug) == 2 && drug.size() == 2", values)
    assert holds("drug > subject", values), "by UTF-16 units it would be less"


def test_variable_hides_an_attribute_when_it_has_its_name():
    assert holds("drugs.exists(drug, drug == '197361') && drug == '860975'")
    assert holds("drugs.exists(drugs, drugs == '197361')")
    assert holds("drugs.exists(blocked, blocked == '197361')")


def test_expression_names_what_it_reads_when_it_is_compiled():
    made = compile_expression("subject in watched || drugs.exists(d, d in blocked) || amount > count", SCHEMA)
    assert made.attributes == ("amount", "count", "drugs", "subject")
    assert made.lists == ("blocked", "watched")


# --- no value -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("source", "name", "line", "column"),
    [
        ("amount > 500", "amount", 1, 1),
        ("true &&\n  (subject in blocked)", "subject", 2, 4),
        ("!(amount > 500)", "amount", 1, 3),
        ("drugs.all(d, d == '')", "drugs", 1, 1),
        ("'a' in drugs", "drugs", 1, 8),
        ("size(drugs) == 0", "drugs", 1, 6),
        ("'a'.startsWith(drug)", "drug", 1, 16),
        ("amount + 1 == 1 || subject == ''", "amount", 1, 1),
    ],
)
def test_evaluation_fails_with_the_name_when_a_value_is_missing(source, name, line, column):
    failed = failure(source, {})
    assert failed.code == "expression_failed"
    assert failed.data == {"reason": "missing", "name": name, "line": line, "column": column}
    assert name in failed.message


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("amount", True, "wrong_type"),
        ("amount", "1", "wrong_type"),
        ("amount", 1.0, "wrong_type"),
        ("amount", 2**63, "out_of_bounds"),
        ("amount", -(2**63) - 1, "out_of_bounds"),
        ("urgent", 1, "wrong_type"),
        ("drug", ("a",), "wrong_type"),
        ("drug", b"a", "wrong_type"),
        ("drug", "x" * 257, "out_of_bounds"),
        ("drugs", "abc", "wrong_type"),
        ("drugs", ["a"], "wrong_type"),
        ("drugs", ("a", 1), "wrong_type"),
        ("drugs", ("a",) * 257, "out_of_bounds"),
        ("drugs", ("a", "x" * 257), "out_of_bounds"),
        ("drugs", None, "missing"),
    ],
)
def test_evaluation_fails_when_a_value_is_not_as_declared(name, value, reason):
    source = {
        "amount": "amount == 1",
        "urgent": "urgent",
        "drug": "drug == 'a'",
        "drugs": "drugs.exists(d, d == 'a')",
    }[name]
    failed = failure(source, {name: value})
    assert (failed.data["reason"], failed.data["name"]) == (reason, name)


@pytest.mark.parametrize(
    ("source", "column"),
    [
        ("amount + 1 > 0", 8),
        ("-count - 2 < 0", 8),
        ("1 < amount * 2", 12),
        ("-(-amount - 1) > 0", 1),
        ("amount - 1 + 1 + 1 > 0", 16),
        ("amount * -1 - 2 < 0", 13),
    ],
)
def test_evaluation_fails_when_a_number_leaves_64_bits(source, column):
    failed = failure(source, {"amount": 2**63 - 1, "count": 2**63 - 1})
    assert failed.data == {"reason": "overflow", "name": "", "line": 1, "column": column}


def test_smallest_number_stands_when_it_is_not_negated():
    assert holds("amount == -9223372036854775808 && amount + 1 < 0", {"amount": -(2**63)})
    assert failure("-amount > 0", {"amount": -(2**63)}).data["reason"] == "overflow"
    assert failure("-(-9223372036854775808) > 0").data["reason"] == "overflow"


FAILING = "amount > 0"
OTHER = "9223372036854775807 + 1 > 0"


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        (f"{FAILING} || true", True),
        (f"true || {FAILING}", True),
        (f"{FAILING} && false", False),
        (f"false && {FAILING}", False),
        (f"{FAILING} || {OTHER} || true", True),
        (f"!({FAILING} && {OTHER} && false)", True),
        (f"({FAILING} || {OTHER}) || (true && true)", True),
        (f"drugs.exists(d, {FAILING} || d == 'b')", True),
        (f"drugs.exists(d, (d == 'a' && {FAILING}) || d == 'b')", True),
        (f"drugs.all(d, d != 'b' && {FAILING})", False),
    ],
)
def test_error_does_not_count_when_another_side_decides(source, expected):
    assert holds(source, {"drugs": ("a", "b")}) is expected


@pytest.mark.parametrize(
    "source",
    [
        f"{FAILING} || false",
        f"false || {FAILING}",
        f"{FAILING} && true",
        f"true && {FAILING}",
        f"!({FAILING})",
        f"({FAILING}) == ({FAILING})",
        f"drugs.exists(d, {FAILING} && d == 'a')",
        f"drugs.all(d, d == 'b' || {FAILING})",
    ],
)
def test_evaluation_fails_when_no_side_decides(source):
    assert failure(source, {"drugs": ("a", "b")}).data["name"] == "amount"


def test_first_error_is_reported_when_there_are_several():
    assert failure(f"{OTHER} || {FAILING}", {}).data["reason"] == "overflow"
    assert failure(f"{FAILING} && {OTHER}", {}).data["reason"] == "missing"


def test_evaluations_do_not_see_one_another_when_an_expression_is_kept():
    made = compile_expression("drugs.exists(d, d in blocked && d in codes)", SCHEMA)
    first = {"drugs": ("a", "b"), "codes": ("b",)}
    assert made.evaluate(first, lambda _, entry: entry == "b") is True
    assert made.evaluate(first, lambda _, entry: entry == "a") is False
    assert made.evaluate({"drugs": ("a",), "codes": ("a",)}, lambda _, entry: entry == "a") is True
    with pytest.raises(EvaluationFailed):
        made.evaluate({"drugs": ("a",)}, lambda _, entry: entry == "a")


# --- the chain's lists ----------------------------------------------------------------------------------------------


def test_list_is_asked_once_for_an_entry_and_no_further_than_needed_when_it_is_used_often():
    asked = []

    def contains(name, entry):
        asked.append((name, entry))
        return name == "watched" and entry == "b"

    values = {"drugs": ("a", "a", "b", "c"), "subject": "a"}
    source = "subject in watched || drugs.exists(d, d in blocked || d in watched || d in blocked)"
    assert holds(source, values, contains)
    assert asked == [("watched", "a"), ("blocked", "a"), ("blocked", "b"), ("watched", "b")]


def test_trouble_with_a_list_comes_through_when_another_side_would_decide():
    def contains(_name, _entry):
        raise LookupError("out of reads")

    for source in ("subject in blocked || true", "drugs.exists(d, d in blocked || true)"):
        with pytest.raises(LookupError, match="out of reads"):
            holds(source, VALUES, contains)


def test_answer_counts_as_a_bool_when_the_callback_returns_something_like_it():
    assert holds("subject in blocked || false", VALUES, lambda *_: 1) is True
    assert holds("subject in blocked && true", VALUES, lambda *_: "") is False


@given(st.permutations(sorted(VALUES)), st.permutations(sorted(SCHEMA)))
def test_result_and_questions_are_equal_when_names_come_in_another_order(order, declared):
    source = "drugs.exists(d, d in blocked && amount > count) && (subject in watched || urgent) || missing_one"
    schema = {**{name: SCHEMA[name] for name in declared}, "missing_one": "bool"}
    asked = []

    def contains(name, entry):
        asked.append((name, entry))
        return listed(name, entry)

    made = compile_expression(source, schema)
    assert made.evaluate({name: VALUES[name] for name in order}, contains) is True
    assert asked == [("blocked", "860975"), ("blocked", "197361"), ("blocked", "313782"), ("watched", "p-1")]
    assert made.attributes == ("amount", "count", "drugs", "missing_one", "subject", "urgent")
