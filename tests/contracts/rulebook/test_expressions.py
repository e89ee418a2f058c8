"""Rule expressions: what they see, what they lead to, and that what cannot be evaluated is refused or held."""

from __future__ import annotations

from typing import Any

import pytest

from contracts.codes import Refusal
from contracts.rulebook import codes
from contracts.rulebook.calls import Propose
from contracts.rulebook.definition import FACTS, changed
from contracts.rulebook.evaluation import values_of
from contracts.rulebook.records import Declared, Definition
from tests.contracts.rulebook.book import ALICE, DRUGS, REVIEWER, SUBJECT, Book, entry, expression, facts, listed

NOTHING = Definition((), (), ())


@pytest.fixture
def book() -> Book:
    return Book()


def refusal(**changes: Any) -> Refusal:
    """What a proposal is refused with."""
    with pytest.raises(Refusal) as caught:
        changed(NOTHING, Propose(0, "", **changes), 0)
    return caught.value


@pytest.mark.parametrize(
    ("source", "changes", "outcome"),
    [
        ("amount > 25499", {}, "refuse"),
        ("amount > 25500", {}, "allow"),
        ('"860975" in drugs', {}, "refuse"),
        ("drugs.exists(d, d in watched)", {}, "refuse"),
        ("drugs.all(d, d in watched)", {}, "allow"),
        (f'subject == "{SUBJECT.hex()}" && stage == "order"', {}, "refuse"),
        ("reviewer in colleagues", {}, "refuse"),
        ("organisation in partners", {}, "allow"),
        ('kind == "prescription" && age < 18', {"values": {"age": 17}}, "refuse"),
        ('kind == "prescription" && age < 18', {"values": {"age": 18}}, "allow"),
        ("amount > 0", {"amount": 0, "values": {"amount": 5}}, "allow"),
        ('kind == "commission" && age < 18', {}, "allow"),
        ("size(parties) == 2 && flow.size() == 64", {}, "refuse"),
    ],
)
def test_expression_refuses_when_it_is_true(source: str, changes: Any, outcome: str, book: Book) -> None:
    book.adopt(
        attributes=[Declared("age", "int")],
        lists=[listed("watched", "value"), listed("colleagues", "reviewer", stages=("file",)),
               listed("partners", "organisation", stages=("file",))],
        expressions=[expression("rule", source)],
        entries={"watched": [entry("value", DRUGS[1])], "colleagues": [entry("reviewer", REVIEWER)]},
    )  # fmt: skip
    said = book.ask(facts(**changes))
    assert said.outcome == outcome
    assert (said.reason, said.rule) == (("rules_expression", "rule") if outcome == "refuse" else ("", ""))


@pytest.mark.parametrize(
    ("source", "values", "reason"),
    [
        ("age < 18", {}, codes.VALUE_MISSING),
        ("!(age < 18)", {}, codes.VALUE_MISSING),
        ("age < 18", {"age": "17"}, codes.VALUE_INVALID),
        ("age * 9007199254740992 * 1024 > 0", {"age": 2}, codes.VALUE_INVALID),
    ],
)
@pytest.mark.parametrize("effect", ["refuse", "hold"])
def test_stage_is_held_when_an_expression_has_no_value(
    source: str, values: Any, reason: str, effect: str, book: Book
) -> None:
    # The reason that people gave it must not let a missing value pass for a refusal, or for nothing.
    rule = expression("minors", source, effect, reason=reason)
    book.adopt(attributes=[Declared("age", "int")], expressions=[rule])
    said = book.ask(facts(values=values))
    assert (said.outcome, said.reason, said.rule) == ("hold", reason, "minors")


def test_expression_is_not_evaluated_when_stage_or_kind_is_another(book: Book) -> None:
    rule = expression("minors", "age < 18", stages=("order", "review"), kinds=("prescription",))
    book.adopt(attributes=[Declared("age", "int")], expressions=[rule])
    assert book.ask(facts(stage="settle")).outcome == "allow"
    assert book.ask(facts(kind="commission")).outcome == "allow"
    assert book.ask(facts(stage="review")).outcome == "hold"


def test_refusal_wins_when_an_earlier_expression_holds(book: Book) -> None:
    book.adopt(
        expressions=[
            expression("a", "amount > 1", "hold", reason="large"),
            expression("b", "amount > 2", reason="too_large"),
            expression("c", "amount > 1", "hold", reason="later"),
        ]
    )
    assert book.ask(facts(amount=2)).reason == "large"
    said = book.ask(facts(amount=3))
    assert (said.outcome, said.reason, said.rule) == ("refuse", "too_large", "b")


def test_stage_is_held_when_an_expression_asks_lists_too_often(book: Book) -> None:
    lists = [listed(f"l{number:02}", "value") for number in range(32)]
    rules = [expression(f"r{number:02}", f"drugs.exists(d, d in l{number:02})") for number in range(32)]
    book.adopt(lists=lists, expressions=rules)
    drugs = tuple(f"{number:06}" for number in range(256))
    said = book.ask(facts(drugs=drugs))
    assert (said.outcome, said.reason, said.rule) == ("hold", codes.LOOKUPS_EXCEEDED, "r16")


def test_every_fact_has_a_value_of_its_type_when_nothing_is_known() -> None:
    values = values_of(facts(subject=b"", reviewer=b"", pharmacy=b"", order=b"", drugs=(), parties=(), amount=0))
    types = {"string": str, "int": int, "strings": tuple}
    assert {name: type(values[name]) for name in FACTS} == {name: types[kind] for name, kind in FACTS.items()}


# --- what a proposal is refused for -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("source", "line", "column"),
    [
        ("amount >", 1, 9),
        ("amount > 1\n  && nobody", 2, 6),
        ('amount > 1 &&\n\n  stage in "x"', 3, 12),
        ("amount in unknown_list", 1, 11),
        ("amount", 1, 1),
        ('kind.matches("a+")', 1, 6),
        ("amount / 2 > 1", 1, 8),
        ("1 == 1.0", 1, 6),
        ("(" * 500 + "true" + ")" * 500, 1, None),
        ("true" + " " * 2_000, 1, None),
        ("true || " * 500 + "true", 1, None),
    ],
)
def test_proposal_is_refused_with_line_and_column_when_an_expression_is_wrong(
    source: str, line: int, column: int | None, book: Book
) -> None:
    if len(source) <= 1_025:
        error = refusal(expressions=(expression("rule", source),))
        assert (error.code, error.data["expression"], error.data["line"]) == (codes.EXPRESSION_INVALID, "rule", line)
        assert column is None or error.data["column"] == column
        assert f"line {line}, column" in error.message
    before = book.status()
    code = book.call("propose", Propose(0, "", expressions=(expression("rule", source),))).code
    assert code == (codes.EXPRESSION_INVALID if len(source) <= 1_025 else "arguments_invalid")
    assert book.status() == before


def test_proposal_is_refused_when_its_expressions_together_are_slow() -> None:
    source = "drugs.all(d, " + " && ".join(f'd != "{number}"' for number in range(60)) + ")"
    rules = tuple(expression(f"rule_{number:02}", source) for number in range(10))
    changed(NOTHING, Propose(0, "", expressions=rules[:1]), 0)
    error = refusal(expressions=rules)
    assert error.code == codes.EXPRESSION_INVALID
    assert "steps" in error.message


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"attributes": (Declared("amount", "int"),)}, codes.NAME_INVALID),
        ({"attributes": (Declared("in", "int"),)}, codes.NAME_INVALID),
        ({"attributes": (Declared("age", "double"),)}, codes.FIELD_INVALID),
        ({"attributes": (Declared("age", "list"),)}, codes.FIELD_INVALID),
        ({"attributes": (Declared("b", "int"), Declared("a", "int"))}, codes.NAME_INVALID),
        ({"attributes": (Declared("a", "int"), Declared("a", "int"))}, codes.NAME_INVALID),
        ({"attributes": (Declared("a", "int"),), "lists": (listed("a", "value"),)}, codes.NAME_INVALID),
        ({"lists": (listed("a", "value"),), "expressions": (expression("a", "true"),)}, codes.NAME_INVALID),
        ({"lists": (listed("a", "drug"),)}, codes.FIELD_INVALID),
        ({"lists": (listed("a", "reviewer", "maybe"),)}, codes.FIELD_INVALID),
        ({"lists": (listed("a", "reviewer", effect="shrug"),)}, codes.FIELD_INVALID),
        ({"lists": (listed("a", "reviewer", stages=("never",)),)}, codes.FIELD_INVALID),
        ({"lists": (listed("a", "reviewer", stages=("order", "order")),)}, codes.FIELD_INVALID),
        ({"lists": (listed("a", "value", stages=("order",)),)}, codes.FIELD_INVALID),
        ({"lists": (listed("a", "value", "allow"),)}, codes.FIELD_INVALID),
        ({"lists": (listed("a", "reviewer", kinds=("x", "x")),)}, codes.FIELD_INVALID),
        ({"expressions": (expression("a", "true", stages=()),)}, codes.FIELD_INVALID),
        ({"expressions": (expression("a", "true", "allow"),)}, codes.FIELD_INVALID),
        ({"remove": ("a",)}, codes.NAME_UNKNOWN),
        ({"lists": (listed("a", "subject_drug"),), "expressions": (expression("b", "subject in a"),)},
         codes.EXPRESSION_INVALID),
    ],
)  # fmt: skip
def test_proposal_is_refused_when_something_in_it_is_wrong(changes: Any, code: str) -> None:
    assert refusal(**changes).code == code


def test_proposal_is_refused_when_it_removes_what_an_expression_uses() -> None:
    first = Propose(0, "", lists=(listed("watched", "value"),), expressions=(expression("rule", "kind in watched"),))
    base = changed(NOTHING, first, 0).definition
    with pytest.raises(Refusal) as caught:
        changed(base, Propose(1, "", remove=("watched",)), 1)
    assert (caught.value.code, caught.value.data["column"]) == (codes.EXPRESSION_INVALID, 9)
    assert changed(base, Propose(1, "", remove=("rule", "watched")), 1).definition == NOTHING


def test_version_is_bounded_when_proposals_add_up() -> None:
    base = changed(NOTHING, Propose(0, "", lists=tuple(listed(f"l{n:02}", "value") for n in range(64))), 0)
    assert base.lists == 64
    with pytest.raises(Refusal) as caught:
        changed(base.definition, Propose(1, "", lists=(listed("one_more", "value"),)), 64)
    assert caught.value.code == codes.TOO_MANY


def test_list_keeps_its_entries_when_replaced_and_is_empty_when_made_anew(book: Book) -> None:
    barred = [entry("reviewer", REVIEWER)]
    first = book.adopt(lists=[listed("barred", "reviewer")], entries={"barred": barred})
    second = book.adopt(first, lists=[listed("barred", "reviewer", reason="other_words")])
    assert (book.ask().outcome, book.ask().reason) == ("refuse", "other_words")
    change = Propose(second, "", lists=(listed("barred", "subject"),))
    assert book.call("propose", change, ALICE).code == codes.FIELD_INVALID
    third = book.adopt(second, remove=("barred",), lists=[listed("barred", "reviewer")])
    assert book.ask().outcome == "allow"
    assert [count.entries for count in book.version(second).version.counts] == [1]
    assert [count.entries for count in book.version(third).version.counts] == [0]
