"""`tidegate utxo`: unspent outputs and their sums."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from node.cli import utxo as utxo_module
from tests.node.cli.commission_kit import Desk, desk
from tests.node.services.members import CASH_C, SUPPLY, C


@pytest.fixture
def at(tmp_path: Path) -> Iterator[Desk]:
    with desk(tmp_path) as found:
        yield found


def test_outputs_are_listed_when_locked_to_an_account(at: Desk):
    found = at.json("utxo", "list", "--account", CASH_C)
    assert (found["lock"], found["sums"]) == (f"account({CASH_C})", {"CNY": SUPPLY})
    assert "10,000,000.00" in at.run("utxo", "list", "--lock", f"account({CASH_C})", "--asset", "CNY").output


def test_own_key_is_meant_when_nothing_is_said(at: Desk):
    found = at.json("utxo", "list", by=C)
    assert found["lock"].startswith("key(ed25519:")
    assert found["unspent"] == []


def test_pages_are_joined_when_there_are_many(at: Desk, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(utxo_module, "PAGE", 1)
    assert len(at.json("utxo", "list", "--account", CASH_C)["unspent"]) == 1
    assert "may be more" in at.run("utxo", "list", "--account", CASH_C, "--limit", "1").output


def test_usage_error_when_lock_and_account_are_given(at: Desk):
    at.run("utxo", "list", "--account", "a", "--lock", "b", code=2)
