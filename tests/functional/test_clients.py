"""Clients that foreign tools make from a live node's ``rpc.discover`` play the commission example; see clients/run.py.

It needs node and npm, and the registries of npm and Python packages the first time. Where these are not wanted,
``TIDEGATE_TEST_WITHOUT_NODE=1`` skips this file; otherwise it fails when they are missing.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from node.rpc.areas import described_areas

pytestmark = [
    pytest.mark.functional,
    pytest.mark.timeout(600),
    pytest.mark.skipif(os.environ.get("TIDEGATE_TEST_WITHOUT_NODE") == "1", reason="TIDEGATE_TEST_WITHOUT_NODE=1"),
]

ROOT = Path(__file__).parents[2]
CLIENTS = ROOT / "clients"
RUNS_S = 540


def run(environment: dict[str, str] | None = None, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-P", CLIENTS / "run.py", *arguments]
    return subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=RUNS_S, check=False
    )


def test_foreign_clients_complete_the_example_and_every_method_answers_as_documented():
    done = run()
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads(done.stdout)
    for name in ("typescript", "python"):
        played = found[name]
        books = played["books"]
        assert (books["booked"], books["settled"], books["paid"], books["pending"]) == (27_000, 27_000, 27_000, 0)
        assert (books["booked_count"], books["requests"], books["requests_open"]) == (3, 1, 0)
        assert len({*played["records"], played["settled_by"]}) == 4
    coverage = found["coverage"]
    served = {method.name for area in described_areas() for method in area.table()} | {"rpc.discover"}
    assert coverage["failed"] == []
    assert coverage["methods"] == coverage["documented"] == len(served), "a method was left out"


def test_missing_tools_are_named_when_they_are_not_installed(tmp_path: Path):
    environment = {**os.environ, "PATH": str(tmp_path), "TIDEGATE_CLIENTS_WORK": str(tmp_path / "w")}
    done = run(environment, "--install")
    assert done.returncode == 1
    assert "npm is not found; install Node.js 20" in done.stderr


def test_tools_are_pinned_without_addresses():
    lock = json.loads((CLIENTS / "package-lock.json").read_text())
    wanted = json.loads((CLIENTS / "package.json").read_text())["dependencies"]
    assert all(re.fullmatch(r"\d+\.\d+\.\d+", version) for version in wanted.values())
    packages = {name: entry for name, entry in lock["packages"].items() if name}
    assert all("integrity" in entry and "resolved" not in entry for entry in packages.values())
    assert "http" not in (CLIENTS / "package-lock.json").read_text()
    pins = (CLIENTS / "python" / "requirements.lock").read_text()
    assert "--hash=sha256:" in pins
    assert "://" not in pins


def test_clients_import_nothing_of_ours():
    for program in ("typescript/commission.ts", "python/commission.py"):
        text = (CLIENTS / program).read_text()
        assert not re.search(r"^(from|import) (ledger|node|contracts|tidegate)\b", text, re.MULTILINE)
