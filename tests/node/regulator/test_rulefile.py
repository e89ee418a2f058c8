"""Rule files: what they become, and where they are wrong."""

from __future__ import annotations

from pathlib import Path

import pytest

from contracts.rulebook.definition import changed
from contracts.rulebook.fingerprints import fingerprint
from contracts.rulebook.records import Definition, ListRule
from node.regulator import rulefile
from node.regulator.rulebook import RulePlan
from node.regulator.rulefile import RuleFileInvalid, base_named_in, load_plan

NOTHING = Definition((), (), ())
GOOD = """
description = "week 7"
[attributes]
items = "int"
[lists.trusted]
kind = "organisation"
mode = "allow"
effect = "hold"
entries = ["City Hospital", {organisation = "County", expires = 2027-01-31}]
[lists.codes]
kind = "value"
entries = "codes.csv"
[expressions.too_many]
when = \"\"\"
items > 10
  && !(organisation in trusted)
\"\"\"
stages = ["file"]
effect = "hold"
reason = "too_many_items"
"""


def load(directory: Path, text: str, base: Definition = NOTHING, number: int = 0) -> RulePlan:
    (directory / "codes.csv").write_text("value\n860975\n", encoding="utf-8")
    (directory / "r.toml").write_text(text, encoding="utf-8")
    return load_plan(directory / "r.toml", number, base)


def problems(directory: Path, text: str, base: Definition = NOTHING) -> list[str]:
    with pytest.raises(RuleFileInvalid) as caught:
        load(directory, text, base)
    assert caught.value.message == caught.value.problems[0]
    prefix = f"{directory / 'r.toml'}: "
    assert all(problem.startswith(prefix) for problem in caught.value.problems)
    return [problem.removeprefix(prefix) for problem in caught.value.problems]


def base_of(directory: Path) -> Definition:
    return changed(NOTHING, load(directory, GOOD).proposal(0), 0).definition


def test_plan_says_what_the_file_says_when_it_is_good(tmp_path: Path) -> None:
    plan = load(tmp_path, GOOD, number=0)
    assert (plan.base, plan.description, plan.attributes) == (0, "week 7", {"items": "int"})
    assert plan.lists[0] == ListRule("trusted", "organisation", "allow", "hold")
    assert plan.expressions[0].reason == "too_many_items"
    assert [(c.list, c.present, [e.fingerprint for e in c.entries]) for c in plan.changes] == [
        ("trusted", True, [fingerprint("organisation", "City Hospital"), fingerprint("organisation", "County")]),
        ("codes", True, [fingerprint("value", "860975")]),
    ]


def test_list_of_the_base_keeps_its_rule_when_only_entries_are_given(tmp_path: Path) -> None:
    base = base_of(tmp_path)
    plan = load(tmp_path, '[lists.trusted]\nentries = ["New"]\nremoved = ["County"]\n', base)
    assert plan.lists == ()
    assert [(c.present, len(list(c.entries))) for c in plan.changes] == [(False, 1), (True, 1)]


def test_list_of_the_base_changes_only_what_is_named(tmp_path: Path) -> None:
    plan = load(tmp_path, '[lists.trusted]\neffect = "refuse"\n', base_of(tmp_path))
    (rule,) = plan.lists
    assert (rule.effect, rule.mode, rule.kind) == ("refuse", "allow", "organisation")
    assert len(rule.stages) == 7


def test_base_is_the_one_that_the_file_names(tmp_path: Path) -> None:
    (tmp_path / "r.toml").write_text("base = 4\n", encoding="utf-8")
    assert base_named_in(tmp_path / "r.toml") == 4
    (tmp_path / "r.toml").write_text("", encoding="utf-8")
    assert base_named_in(tmp_path / "r.toml") is None


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("descr = 1", "Object contains unknown field `descr`"),
        ("description = 1", "description: Expected `str`, got `int`"),
        ("a = = 1", "(at line 1"),
        ("[attributes]\nx = 5", "attributes.x: its type is needed"),
        ('[attributes]\nx = "float"', "attributes.x: type: known: bool, int, string, strings"),
        ('[attributes]\n"1x" = "int"', "proposal"),
        ('[attributes]\namount = "int"', "attributes.amount: 'amount' is a fact"),
        ("[lists.x]\nentries = []", "lists.x: the base has no such list"),
        ('[lists.x]\nkind = "people"', "lists.x.kind: known: reviewer"),
        ('[lists.x]\nkind = "value"\nkindness = 1', "lists.x: Object contains unknown field `kindness`"),
        ('[lists.x]\nkind = "reviewer"\nmode = "maybe"', "lists.x: mode: known: deny, allow"),
        ('[lists.x]\nkind = "reviewer"\nreason = "Not A Code"', "lists.x.reason: Expected"),
        ('[lists.x]\nkind = "reviewer"\nstages = ["dream"]', "lists.x: stages: stages are distinct and among file"),
        ('[lists.x]\nkind = "value"\nentries = ["a", 5]', "lists.x.entries[1]: an entry is text or a table"),
        ('[lists.x]\nkind = "value"\nentries = 5', "lists.x.entries: a list of entries is needed"),
        ('[lists.x]\nkind = "subject"\nremoved = ["zz"]', "lists.x.removed[0]: subject: 64 lower-case"),
        ('[lists.x]\nkind = "value"\nentries = "none.csv"', "none.csv: line 1: cannot be read"),
        ('[lists.x]\nkind = "reviewer"\nentries = "codes.csv"', "codes.csv: line 1: an entry of kind reviewer has"),
        ('remove = ["x"]', "the base has nothing called 'x' to remove"),
        ('[expressions.e]\nwhen = "true"', "expressions.e: Object missing required field `stages`"),
        ('[expressions.e]\nwhen = "true"\nstages = []', "expressions.e: stages: an expression names the stages"),
        (
            '[expressions.e]\nstages = ["file"]\nwhen = "total > 5"',
            "expressions.e (line 3): line 1, column 1: unknown name total",
        ),
        (
            "[expressions.e]\nstages = ['file']\nwhen = '''\ntrue\n  && items ==\n'''",
            "expressions.e (line 4): line 3, column 1:",
        ),
        (
            '[expressions.e]\nstages = ["file"]\nwhen = "amount"',
            "expressions.e (line 3): line 1, column 1: an expression",
        ),
        (
            '[expressions.e]\nstages = ["file"]\nwhen = "reviewer in nobody"',
            "expressions.e (line 3): line 1, column 13: unknown name nobody",
        ),
    ],
)
def test_file_is_refused_with_the_place_when_it_is_wrong(tmp_path: Path, text: str, expected: str) -> None:
    found = problems(tmp_path, text)
    assert expected in found[0]


def test_expression_is_refused_when_it_is_huge(tmp_path: Path) -> None:
    source = " && ".join(["amount > 1"] * 5_000)
    found = problems(tmp_path, f'[expressions.e]\nstages = ["file"]\nwhen = "{source}"')
    assert "expressions.e" in found[0]


def test_all_faults_are_told_when_there_are_several(tmp_path: Path) -> None:
    text = '[lists.a]\nkind = "value"\nentries = [5, {}]\n[lists.b]\n[expressions.c]\nwhen = 5\nstages = ["file"]\n'
    found = problems(tmp_path, text)
    assert [problem.split(":")[0] for problem in found] == [
        "lists.a.entries[0]", "lists.a.entries[1]", "lists.b", "expressions.c",
    ]  # fmt: skip


def test_list_is_refused_when_it_is_to_be_of_another_kind_than_the_base_has(tmp_path: Path) -> None:
    found = problems(tmp_path, '[lists.trusted]\nkind = "value"\nmode = "deny"\nstages = []\n', base_of(tmp_path))
    assert "lists.trusted" in found[0]
    assert "keeps its kind" in found[0]


def test_file_is_refused_when_it_is_too_large_or_no_text(tmp_path: Path, monkeypatch) -> None:
    path = tmp_path / "r.toml"
    path.write_bytes(b"description = '\xff'\n")
    with pytest.raises(RuleFileInvalid, match="not UTF-8 at byte 16"):
        base_named_in(path)
    monkeypatch.setattr(rulefile, "MAX_FILE_BYTES", 3)
    with pytest.raises(RuleFileInvalid, match="put entries into a CSV file"):
        base_named_in(path)
