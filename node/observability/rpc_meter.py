"""Counts RPC requests: by method and code, and how long they took. The dispatcher calls ``observe`` once a request."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from node.observability.histogram import REQUEST_S, Histogram

MAX_METHODS: Final = 256
MAX_CODES: Final = 1_024
"""Pairs of method and code that are told apart; beyond either bound a request counts as ``other``."""
OTHER: Final = "other"
OK: Final = "ok"


class RpcMeter:
    """See the module. One for each chain that a daemon hosts.

    Attributes:
        requests: by (method, code); ``ok`` where it succeeded.
        seconds: by method.
        count_connections: says how many are open now, by kind: ``unix``, ``tcp``, ``websocket``. The server sets it.
        refused: requests told to come back, by code of the limit. The server keeps it.
    """

    __slots__ = ("count_connections", "refused", "requests", "seconds")

    def __init__(self) -> None:
        self.requests: dict[tuple[str, str], int] = {}
        self.seconds: dict[str, Histogram] = {}
        self.count_connections: Callable[[], dict[str, int]] = dict
        self.refused: dict[str, int] = {}

    def observe(self, method: str, code: str, seconds: float) -> None:
        """Counts a request that was answered.

        Args:
            method: its name as in the table of methods; ``other`` for one that is not there, whatever was asked for.
            code: ``ok``, or the error's stable code.
            seconds: from its arrival to its answer.
        """
        histogram = self.seconds.get(method)
        if histogram is None:
            if len(self.seconds) >= MAX_METHODS:
                method = OTHER
            histogram = self.seconds.setdefault(method, Histogram(REQUEST_S))
        histogram.observe(seconds)
        key = (method, code)
        if key not in self.requests and len(self.requests) >= MAX_CODES:
            key = (OTHER, OTHER)
        self.requests[key] = self.requests.get(key, 0) + 1

    def refuse(self, code: str) -> None:
        """Counts a request that a limit turned away before any method was called."""
        self.refused[code] = self.refused.get(code, 0) + 1
