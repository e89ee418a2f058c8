"""A launcher of real daemons that die at a named point (``tests.crash_points``). For tests only; the product has none.

Reads one command a line from standard input, runs a daemon for it in a forked process (so that the libraries are
loaded once), and answers with one line when that has started and one when it has ended:

``{"home": …, "point": …|null, "count": 1, "bound_bytes": …, "sent": …, "failing": …|null}``

A daemon whose ``count``-th passing of ``point`` comes kills itself with SIGKILL. Every consensus message that it hands
to the overlay is first appended to the file ``sent``. ``failing`` names a function of ``os`` that fails with EIO once
``count`` calls of it have succeeded.
"""

from __future__ import annotations

import errno
import json
import os
import select
import signal
import sys
from functools import wraps
from pathlib import Path
from typing import Any, NoReturn

from node import app, daemon, signer_log
from node.keyfile import environment_passphrase
from node.peers import Peers
from node.signer_log import SignerLog
from tests.crash_points import install

assert app  # imported for its libraries: a child has them at once


def die() -> NoReturn:
    """As a power failure would have it, but for the page cache."""
    os.kill(os.getpid(), signal.SIGKILL)
    while True:
        signal.pause()


def record_sent(path: str) -> None:
    """Every consensus message that leaves is on record before it does."""
    file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)

    def recording(original: Any, place: int) -> Any:
        @wraps(original)
        def send(*arguments: Any, **named: Any) -> Any:
            payload = arguments[place]
            os.write(file, len(payload).to_bytes(4, "big") + payload)
            return original(*arguments, **named)

        return send

    Peers.broadcast_vote = recording(Peers.broadcast_vote, 1)  # type: ignore[method-assign]
    Peers.send_vote = recording(Peers.send_vote, 2)  # type: ignore[method-assign]


def make_fail(name: str, after: int) -> None:
    """The signer log's disk fails once ``after`` calls of ``os.<name>`` have succeeded."""
    original, calls = getattr(os, name), 0

    class FailingOs:
        def __getattr__(self, wanted: str) -> Any:
            return fail if wanted == name else getattr(os, wanted)

    def fail(*arguments: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls > after:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return original(*arguments)

    signer_log.os = FailingOs()  # type: ignore[attr-defined]


def live(command: dict[str, Any]) -> int:
    """One daemon, until it is told to stop."""
    os.setsid()
    home = Path(command["home"])
    (home / "log").mkdir(exist_ok=True)
    log = os.open(home / "log" / "node.log", os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(log, 1)
    os.dup2(log, 2)
    if command.get("bound_bytes"):
        SignerLog.__init__.__kwdefaults__["bound_bytes"] = command["bound_bytes"]
    if command.get("sent"):
        record_sent(command["sent"])
    if command.get("failing"):
        make_fail(command["failing"], command["count"])
    if command.get("point"):
        install(command["point"], command["count"], die)
    return daemon.run(home, {}, environment_passphrase)


def main() -> None:
    """Serves commands until standard input closes; then nothing of it is left running."""
    child: tuple[int, int] | None = None
    waiting = b""
    while True:
        readable, _, _ = select.select([0] if child is None else [0, child[1]], [], [])
        if child is not None and child[1] in readable:
            _, status = os.waitpid(child[0], 0)
            os.close(child[1])
            child = None
            print(json.dumps({"ended": os.waitstatus_to_exitcode(status)}), flush=True)
        if 0 in readable:
            data = os.read(0, 65_536)
            if not data:
                break
            waiting += data
            line, newline, rest = waiting.partition(b"\n")
            if newline:
                waiting = rest
                pid = os.fork()
                if pid == 0:
                    code = 70
                    try:
                        code = live(json.loads(line))
                    finally:
                        sys.stderr.flush()
                        os._exit(code)
                child = pid, os.pidfd_open(pid)
                print(json.dumps({"pid": pid}), flush=True)
    if child is not None:
        os.kill(child[0], signal.SIGKILL)
        os.waitpid(child[0], 0)


if __name__ == "__main__":
    main()
