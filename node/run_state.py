"""``run/daemon.json``: what the last daemon of a home said about its own life, for who looks at the home afterwards.

Written when it starts, when it serves, and when it ends in order; a daemon that was killed leaves what it said last.
"""

from __future__ import annotations

import contextlib
import json
import os
import time
from dataclasses import asdict, dataclass, replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Final, Literal

from ledger.errors import InvalidConfig
from node.atomic_file import write_atomic
from node.process import ProcessRef

FILE: Final = "daemon.json"
Stage = Literal["starting", "serving", "stopping", "ended"]


@dataclass(frozen=True, slots=True)
class RunState:
    """See the module.

    Attributes:
        stage: how far it has come.
        pid: of the process.
        started: when that process began, as the system tells it; with ``pid`` it names the process.
        since_ms: wall clock at which the stage began.
        version: of the program.
        exit_code: of an ended one.
        code: stable code of the error that ended it; empty: none.
        why: its words.
    """

    stage: Stage
    pid: int
    started: str
    since_ms: int
    version: str = ""
    exit_code: int | None = None
    code: str = ""
    why: str = ""

    def alive(self) -> bool:
        """Whether that process still runs."""
        return ProcessRef(self.pid, self.started).alive()


def read_run_state(run_dir: Path) -> RunState | None:
    """What the last daemon said; None where none ran, or the file cannot be read."""
    try:
        document = json.loads((run_dir / FILE).read_bytes())
        code = document.get("exit_code")
        return RunState(
            document["stage"],
            int(document["pid"]),
            str(document["started"]),
            int(document["since_ms"]),
            str(document.get("version", "")),
            None if code is None else int(code),
            str(document.get("code", "")),
            str(document.get("why", "")),
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


class RunStateFile:
    """The writing side. What cannot be written is left out: no daemon ends for it.

    Args:
        run_dir: the home's ``run`` directory.
    """

    def __init__(self, run_dir: Path) -> None:
        self._file = run_dir / FILE
        process = ProcessRef.of(os.getpid())
        started = "" if process is None else process.started
        self._state = RunState("starting", os.getpid(), started, 0, _version())

    @property
    def stage(self) -> Stage:
        """How far it has come."""
        return self._state.stage

    def enter(self, stage: Stage, *, exit_code: int | None = None, code: str = "", why: str = "") -> None:
        """The daemon has come to ``stage``."""
        now = time.time_ns() // 1_000_000
        self._state = replace(self._state, stage=stage, since_ms=now, exit_code=exit_code, code=code, why=why[:2_000])
        data = json.dumps(asdict(self._state), ensure_ascii=False, indent=1).encode() + b"\n"
        with contextlib.suppress(InvalidConfig, OSError):
            write_atomic(self._file, data, mode=0o640, replace=True)


def _version() -> str:
    try:
        return version("tidegate")
    except PackageNotFoundError:
        return ""
