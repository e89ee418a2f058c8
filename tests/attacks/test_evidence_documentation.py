"""docs/evidence.md names tests that exist, every fault, and every code of a refused report."""

from __future__ import annotations

import re
from pathlib import Path

from contracts.validators import evidence
from ledger.misbehaviour import Fault

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs" / "evidence.md").read_text(encoding="utf-8")


def test_every_test_that_is_named_exists() -> None:
    named = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", TEXT)
    assert len(named) > 10
    missing = [name for file, name in named if f"def {name}(" not in (ROOT / file).read_text(encoding="utf-8")]
    assert missing == []


def test_every_fault_and_every_refusal_is_explained() -> None:
    codes = {value for name, value in vars(evidence).items() if name.startswith("EVIDENCE_")}
    assert [word for word in (*Fault, *codes, evidence.RECORDED_EVENT) if f"`{word}`" not in TEXT] == []


def test_bounds_are_those_of_the_program() -> None:
    from node.evidence import MAX_KEPT, MAX_PER_SIGNER, STEP_MS

    assert f"at most {MAX_PER_SIGNER} pieces against one validator and {MAX_KEPT} in all" in TEXT
    assert f"at most {evidence.MAX_RECORDED_PER_SIGNER} times against one validator" in TEXT
    assert STEP_MS == 4_000
    assert "four seconds apart" in TEXT
