"""What a daemon says of its own life, read by who comes after it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from node.run_state import FILE, RunStateFile, read_run_state


def test_the_stage_is_there_to_read_when_a_daemon_enters_it(tmp_path: Path) -> None:
    life = RunStateFile(tmp_path)
    assert read_run_state(tmp_path) is None
    life.enter("starting")
    state = read_run_state(tmp_path)
    assert state is not None
    assert (state.stage, state.pid, state.alive()) == ("starting", os.getpid(), True)
    life.enter("ended", exit_code=74, code="storage_fault", why="broken " * 1_000)
    state = read_run_state(tmp_path)
    assert state is not None
    assert (state.exit_code, state.code, life.stage) == (74, "storage_fault", "ended")
    assert len(state.why) <= 2_000


def test_a_process_that_was_killed_is_told_from_one_with_its_id(tmp_path: Path) -> None:
    script = (
        f"import sys; sys.path.insert(0, {str(Path(__file__).parents[2])!r})\n"
        "from pathlib import Path\nfrom node.run_state import RunStateFile\n"
        f"RunStateFile(Path({str(tmp_path)!r})).enter('serving')\nimport os; os.kill(os.getpid(), 9)"
    )
    subprocess.run([sys.executable, "-c", script], check=False)
    state = read_run_state(tmp_path)
    assert state is not None
    assert (state.stage, state.alive()) == ("serving", False)


@pytest.mark.parametrize("content", [b"", b"[]", b"{}", b'{"stage": "serving", "pid": "x"}', b"\xff"])
def test_nothing_is_known_when_the_file_is_damaged(tmp_path: Path, content: bytes) -> None:
    tmp_path.joinpath(FILE).write_bytes(content)
    assert read_run_state(tmp_path) is None


def test_the_daemon_goes_on_when_the_file_cannot_be_written(tmp_path: Path) -> None:
    RunStateFile(tmp_path / "missing").enter("serving")
