"""The documentation of flows and of attacks says what is there: examples run, tables are whole, named tests exist."""

from __future__ import annotations

import doctest
import re
from pathlib import Path
from types import ModuleType

import pytest

from contracts.flow import amounts, calls, kinds
from contracts.flow import codes as flow_codes
from contracts.flow.contract import Flow
from contracts.messages import STAGES
from contracts.supervision import codes as supervision_codes
from node.flow.importer.report import OUTCOMES

ROOT = Path(__file__).parents[2]
FLOWS = (ROOT / "docs" / "flows.md").read_text(encoding="utf-8")
ATTACKS = (ROOT / "docs" / "attacks.md").read_text(encoding="utf-8")


def codes_of(module: ModuleType) -> set[str]:
    return {value for name, value in vars(module).items() if name.isupper() and isinstance(value, str)}


@pytest.mark.parametrize(
    ("prefix", "known"),
    [
        ("flow_", codes_of(flow_codes) | {amounts.AMOUNT_INVALID, amounts.RATIO_INVALID, amounts.RATIO_UNKNOWN}),
        ("supervision_", codes_of(supervision_codes)),
    ],
)
def test_tables_have_every_code_once_when_compared_with_the_modules(prefix: str, known: set[str]) -> None:
    rows = re.findall(rf"^\| `({prefix}\w+)` \| (.+) \|$", FLOWS, re.MULTILINE)
    assert sorted(code for code, _ in rows) == sorted(known)
    assert all(meaning.strip() for _, meaning in rows)


def test_examples_say_what_comes_out_when_they_are_run() -> None:
    examples = doctest.DocTestParser().get_doctest(
        FLOWS.replace("```", ""), {}, "docs/flows.md", str(ROOT / "docs" / "flows.md"), 0
    )
    assert len(examples.examples) >= 5
    result = doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE).run(examples)
    assert result.failed == 0


def test_every_method_stage_context_and_outcome_is_described() -> None:
    contexts = {kinds.FILE_COPY, kinds.RELEASE, kinds.OPINION_COPY, kinds.SETTLE_COPY}
    for name in (*Flow.methods, *STAGES, *contexts, *OUTCOMES):
        assert f"`{name}`" in FLOWS, name
    assert calls.DEFINE_KIND in FLOWS


def test_every_test_that_the_attack_list_names_is_there() -> None:
    named = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", ATTACKS)
    assert len(named) > 60
    for path, test in named:
        text = (ROOT / path).read_text(encoding="utf-8")
        assert re.search(rf"def {test}\b", text), f"{path}::{test}"
