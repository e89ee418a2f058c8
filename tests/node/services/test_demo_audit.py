"""The demo's auditor shares nothing with what it audits, and notices when something is wrong."""

from __future__ import annotations

import ast
import sys
from pathlib import Path

import pytest

from node.demo import audit, flow_audit
from node.demo.audit import Audit, Change, commission_cents, expected
from node.demo.changes import CHANGES
from node.demo.stage import quorum, survives_a_loss

CHARGES = Path(audit.__file__).with_name("charges.csv")


@pytest.mark.parametrize("module", [audit, flow_audit])
def test_auditor_imports_the_standard_library_only(module):
    tree = ast.parse(Path(module.__file__).read_text())
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0
            if node.module != "node.demo.audit":  # the auditor's own first part
                names.add((node.module or "").split(".")[0])
    assert names <= sys.stdlib_module_names


@pytest.mark.parametrize(
    ("premium", "cents"),
    [("3000", 9_000), ("4000", 12_000), ("2000", 6_000), ("16884.924", 50_655), ("1725.5523", 5_177), ("0.01", 0)],
)
def test_commission_is_rounded_twice(premium: str, cents: int):
    assert commission_cents(premium) == cents


def test_books_follow_from_file_and_changes():
    plain = expected(CHARGES, ())
    assert (plain.policies, plain.booked, plain.cancelled) == (900, 35_561_957, 0)
    changed = expected(CHARGES, (Change(1, None), Change(2, "3000")))
    assert changed.cancelled == 50_655 + 5_177
    assert changed.booked == plain.booked + 9_000


def test_corrections_book_more_than_all_changes_take_back():
    assert expected(CHARGES, CHANGES).cancelled < sum(commission_cents(c.premium) for c in CHANGES if c.premium)


def test_check_fails_when_the_figures_differ():
    found = Audit({})
    found.check("equal", 1, 1)
    found.check("different", 1, 2)
    assert [(check.name, check.ok) for check in found.checks] == [("equal", True), ("different", False)]


@pytest.mark.parametrize(
    ("validators", "needed", "survives"), [(1, 1, False), (2, 2, False), (3, 2, True), (4, 3, True), (7, 5, True)]
)
def test_a_validator_is_killed_only_when_a_quorum_is_left(validators: int, needed: int, survives: bool):
    assert quorum(validators) == needed
    assert survives_a_loss(validators) is survives
