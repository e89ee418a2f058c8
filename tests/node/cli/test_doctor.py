"""``tidegate doctor``: what it says, in words and for programs, and how it ends."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from node.cli import doctor
from node.cli.app import root
from node.doctor.catalogue import found
from node.doctor.examine import Examined
from tests.node.doctor.statuses import healthy


def run(*arguments: str) -> tuple[int, str]:
    done = CliRunner().invoke(root, ["doctor", *arguments])
    return done.exit_code, done.output


@pytest.fixture
def examined(monkeypatch: pytest.MonkeyPatch):
    def give(answer: Examined) -> None:
        async def examine(_home: Path) -> Examined:
            return answer

        monkeypatch.setattr(doctor, "examine", examine)

    return give


def test_it_ends_with_0_and_says_how_the_chain_is_when_nothing_is_wrong(examined, tmp_path: Path) -> None:
    examined(Examined(tmp_path, "running", (), (healthy(),), 100))
    code, said = run("--home", str(tmp_path))
    assert code == 0
    assert said.splitlines()[0] == "nothing is wrong, as far as this node can tell"
    assert "business: height 100, last block 4 s ago, 4 of 4 validators connected, 3 needed" in said


def test_it_ends_with_1_and_says_cause_and_remedy_when_something_is_wrong(examined, tmp_path: Path) -> None:
    findings = (found("quorum.lost", "3 of 4 needed, 2 heard"), found("certificate.lapsing", "in 3 days"))
    examined(Examined(tmp_path, "running", findings, (healthy(),), 100))
    code, said = run("--home", str(tmp_path))
    assert code == 1
    lines = said.splitlines()
    assert lines[0] == "error [quorum.lost] 3 of 4 needed, 2 heard"
    assert lines[1].startswith("    do: start the validators")
    assert lines[2] == "warning [certificate.lapsing] in 3 days"


def test_it_shows_the_end_of_the_log_when_the_node_failed(examined, tmp_path: Path) -> None:
    findings = (found("daemon.failed", "exit code 70"),)
    examined(Examined(tmp_path, "stopped", findings, height=7, log_tail=("critical node_failed",)))
    code, said = run("--home", str(tmp_path))
    assert code == 1
    assert "the store's last block is 7" in said
    assert "  | critical node_failed" in said


def test_programs_get_everything_in_one_document(tmp_path: Path) -> None:
    code, said = run("--home", str(tmp_path / "nowhere"), "--json")
    document = json.loads(said)
    assert code == 1
    assert (document["state"], document["healthy"], document["height"]) == ("stopped", False, None)
    (finding,) = document["findings"]
    assert (finding["code"], finding["severity"]) == ("home.missing", "error")
    assert finding["remedy"]
