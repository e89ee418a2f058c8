"""Names a process safely: by id and start time, so that a reused process id is never taken for it or signalled."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from node.atomic_file import write_atomic

_POLL_S: Final = 0.03


@dataclass(frozen=True, slots=True)
class ProcessRef:
    """A process that was started at a known moment.

    Attributes:
        pid: its id.
        started: when it started, as the system tells it; compared for equality only.
    """

    pid: int
    started: str

    @classmethod
    def of(cls, pid: int) -> ProcessRef | None:
        """The process that has this id now, or None when there is none, or it has ended and only waits to be reaped."""
        started = _start_of(pid)
        return None if started is None else cls(pid, started)

    def alive(self) -> bool:
        """True while this very process runs."""
        return _start_of(self.pid) == self.started

    def send(self, signum: signal.Signals) -> bool:
        """Sends a signal to this very process; False when it is gone."""
        try:
            # A file descriptor of the process first, the check second: what it names cannot be replaced in between.
            descriptor = os.pidfd_open(self.pid)
        except ProcessLookupError:
            return False
        except (AttributeError, OSError):
            return self._send_by_id(signum)
        try:
            if not self.alive():
                return False
            signal.pidfd_send_signal(descriptor, signum)
        except ProcessLookupError:
            return False
        finally:
            os.close(descriptor)
        return True

    def _send_by_id(self, signum: signal.Signals) -> bool:
        """For systems without process descriptors."""
        if not self.alive():
            return False
        try:
            os.kill(self.pid, signum)
        except ProcessLookupError:
            return False
        return True

    async def wait_ended(self, timeout_s: float) -> bool:
        """Waits until this process has ended (a child may still have to be reaped); False after ``timeout_s``."""
        try:
            async with asyncio.timeout(timeout_s):
                await self._ended()
        except TimeoutError:
            return False
        return True

    async def _ended(self) -> None:
        try:
            descriptor = os.pidfd_open(self.pid)
        except ProcessLookupError:
            return
        except (AttributeError, OSError):
            while self.alive():  # noqa: ASYNC110 - nothing tells, where there are no process descriptors
                await asyncio.sleep(_POLL_S)
            return
        loop, ended = asyncio.get_running_loop(), asyncio.Event()
        loop.add_reader(descriptor, ended.set)
        try:
            if self.alive():
                await ended.wait()
        finally:
            loop.remove_reader(descriptor)
            os.close(descriptor)

    def save(self, path: Path) -> None:
        """Writes a process id file."""
        write_atomic(path, json.dumps({"pid": self.pid, "started": self.started}).encode() + b"\n", replace=True)


def load_process(path: Path) -> ProcessRef | None:
    """The process of a process id file while it runs; None when it has ended, or the file is missing or damaged."""
    try:
        document = json.loads(path.read_bytes())
        process = ProcessRef(int(document["pid"]), str(document["started"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return process if process.pid > 0 and process.alive() else None


def _start_of(pid: int) -> str | None:
    stat = Path(f"/proc/{pid}/stat")
    if Path("/proc/self/stat").exists():
        try:
            # The second field is the program's name in brackets, and may hold anything; the 3rd is the state, the
            # 22nd the start in ticks since the system booted.
            fields = stat.read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
        except OSError:
            return None
        return None if fields[0] in ("Z", "X") else fields[19]
    found = subprocess.run(
        ["ps", "-o", "lstart=", "-p", str(pid)], capture_output=True, text=True, check=False, timeout=5
    )
    return found.stdout.strip() or None
