"""Tells the service manager how the daemon is: the datagrams of sd_notify(3), without its library.

Does nothing where there is no ``NOTIFY_SOCKET``.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import MutableMapping
from typing import Final

SEND_TIMEOUT_S: Final = 1.0
"""A manager that does not read must not hold up the node."""


class Notifier:
    """See the module. Takes its variables out of the environment, so that no child speaks in this process' name.

    Args:
        environment: where ``NOTIFY_SOCKET``, ``WATCHDOG_USEC`` and ``WATCHDOG_PID`` stand.

    Attributes:
        watchdog_s: how often ``watchdog`` has to be called at the latest; None: nobody waits for it.
    """

    def __init__(self, environment: MutableMapping[str, str] | None = None) -> None:
        variables = os.environ if environment is None else environment
        self._address = _address(variables.pop("NOTIFY_SOCKET", ""))
        self.watchdog_s = _interval_s(variables.pop("WATCHDOG_USEC", ""), variables.pop("WATCHDOG_PID", ""))
        if self._address is None:
            self.watchdog_s = None

    @property
    def enabled(self) -> bool:
        """Whether a manager listens."""
        return self._address is not None

    def ready(self, words: str = "") -> bool:
        """The daemon serves."""
        return self.send("READY=1", *_status(words))

    def stopping(self, words: str = "") -> bool:
        """The daemon has begun to end."""
        return self.send("STOPPING=1", *_status(words))

    def reloading(self) -> bool:
        """A reload has begun; ``ready`` ends it."""
        now_usec = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1_000
        return self.send("RELOADING=1", f"MONOTONIC_USEC={now_usec}")

    def status(self, words: str) -> bool:
        """One line for people."""
        return self.send(*_status(words))

    def watchdog(self) -> bool:
        """The daemon is alive."""
        return self.send("WATCHDOG=1")

    def extend(self, seconds: float) -> bool:
        """Starting or stopping takes so much longer."""
        return self.send(f"EXTEND_TIMEOUT_USEC={int(seconds * 1e6)}")

    def send(self, *assignments: str) -> bool:
        """Sends assignments in one datagram; False where nobody listens, or does not take it."""
        if self._address is None or not assignments:
            return False
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as out:
                out.settimeout(SEND_TIMEOUT_S)
                out.connect(self._address)
                out.sendall("\n".join(assignments).encode())
        except OSError:
            return False
        return True


def _address(text: str) -> str | None:
    if text.startswith("@") and len(text) > 1:
        return "\0" + text[1:]  # Linux' abstract names
    return text if text.startswith("/") else None


def _interval_s(interval: str, pid: str) -> float | None:
    if not interval.isascii() or not interval.isdigit() or int(interval) == 0:
        return None
    if pid and pid != str(os.getpid()):
        return None
    return int(interval) / 1e6


def _status(words: str) -> tuple[str, ...]:
    return (f"STATUS={' '.join(words.split())}",) if words else ()
