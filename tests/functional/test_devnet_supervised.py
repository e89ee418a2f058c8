"""A new user's way through a supervised devnet, by the command line alone."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytestmark = [pytest.mark.functional, pytest.mark.timeout(300)]

DATA = Path(__file__).parents[1] / "node" / "fhir" / "data"


def tidegate(*arguments: str, code: int = 0) -> dict[str, Any]:
    command = [sys.executable, "-m", "node.cli", *arguments, "--json"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == code, done.stdout + done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


@pytest.fixture
def home() -> Iterator[Path]:
    # Not pytest's own directory: its path is too long for the sockets in it.
    with tempfile.TemporaryDirectory(prefix="tg-") as directory:
        path = Path(directory) / "d"
        try:
            yield path
        finally:
            subprocess.run(
                [sys.executable, "-m", "node.cli", "devnet", "down", "--home", str(path)],
                capture_output=True,
                timeout=60,
                check=False,
            )


def test_prescriptions_go_through_when_a_new_user_follows_the_readme(home: Path) -> None:
    made = tidegate(
        "devnet", "init", "--supervised", "--validators", "1", "--supervision-validators", "1", "--home", str(home)
    )
    assert made["fusion"] == ["node2", "node3"]
    assert "Payer" in made["parties"]
    up = tidegate("devnet", "up", "--home", str(home), "--timeout", "120")
    assert all(node["answers"] for node in (*up["business"], *up["supervision"]))
    again = tidegate("devnet", "up", "--home", str(home), "--timeout", "120")
    assert again["started"] == []

    imported = tidegate("flow", "import", str(DATA), "--devnet", str(home), "--patience", "20", "--concurrency", "8")
    total = imported["requests_total"]
    assert total >= 10
    assert imported["outcomes"] == {"delivered": total}, "the sample's providers file through no controlled hospital"
    assert imported["money"]["claims_total"] == 255_00 * total

    directions = tidegate("fusion", "status", "--home", str(home / "business" / "node2"))["directions"]
    assert [direction["unanswered"] for direction in directions] == [0, 0]
    resumed = tidegate("flow", "import", str(DATA), "--devnet", str(home))
    assert resumed["already"] == total
    down = tidegate("devnet", "down", "--home", str(home))
    assert down["stopped"] is True
    status = tidegate("devnet", "status", "--home", str(home), code=4)
    assert not any(node["answers"] for node in (*status["business"], *status["supervision"]))


@pytest.mark.parametrize(
    "arguments",
    [("--observers", "1"), ("--organisation", "A"), ("--topology", "line"), ("--name", "other")],
)
def test_own_cast_is_refused_when_the_devnet_is_supervised(home: Path, arguments: tuple[str, ...]) -> None:
    command = [sys.executable, "-m", "node.cli", "devnet", "init", "--supervised", "--home", str(home), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2
    assert "--supervised makes its own cast" in done.stderr
    assert not home.exists()
