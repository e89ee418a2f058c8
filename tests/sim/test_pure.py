"""``step`` reads no clock, draws no chance, opens nothing: whatever could do so raises while it runs."""

from __future__ import annotations

import asyncio
import builtins
import os
import random
import secrets
import socket
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from tests.sim.core import process
from tests.sim.core.schedule import run

FORBIDDEN: list[tuple[Any, tuple[str, ...]]] = [
    (
        time,
        ("time", "time_ns", "monotonic", "monotonic_ns", "perf_counter", "perf_counter_ns", "process_time", "sleep"),
    ),
    (random, ("random", "randrange", "randint", "choice", "getrandbits", "shuffle", "seed", "Random")),
    (secrets, ("token_bytes", "token_hex", "randbelow", "choice")),
    (os, ("urandom", "open", "getrandom", "write", "read", "fsync")),
    (socket, ("socket", "create_connection", "getaddrinfo")),
    (asyncio, ("get_running_loop", "get_event_loop", "sleep", "create_task", "ensure_future", "run")),
    (threading, ("Thread", "Lock")),
    (builtins, ("open", "print", "input")),
]


class ForbiddenCallError(Exception):
    """Something that is not pure was called inside ``step``."""


def forbid(name: str) -> Callable[..., Any]:
    def called(*_args: Any, **_named: Any) -> Any:
        raise ForbiddenCallError(name)

    return called


TRAPS = [(module, name, forbid(name)) for module, names in FORBIDDEN for name in names if hasattr(module, name)]


def guarded(step: Callable[..., Any]) -> Callable[..., Any]:
    """``step``, during which everything forbidden raises."""
    originals = [(module, name, getattr(module, name)) for module, name, _ in TRAPS]

    def stepping(*args: Any) -> Any:
        for module, name, trap in TRAPS:
            setattr(module, name, trap)
        try:
            return step(*args)
        finally:
            for module, name, original in originals:
                setattr(module, name, original)

    return stepping


def test_step_calls_nothing_impure_when_whole_schedules_run(monkeypatch):
    steps = 0
    plain = process.step

    def counted(*args: Any) -> Any:
        nonlocal steps
        steps += 1
        return plain(*args)

    monkeypatch.setattr(process, "step", guarded(counted))
    for seed in range(40):
        assert run(seed).violation is None
    assert steps > 1_000


def test_the_guard_notices_when_step_would_call_something_impure(monkeypatch):
    plain = process.step

    def impure(*args: Any) -> Any:
        time.monotonic()
        return plain(*args)

    monkeypatch.setattr(process, "step", guarded(impure))
    assert "ForbiddenCallError" in (run(0).violation or "")
    assert time.monotonic() > 0  # and everything is put back


@pytest.mark.parametrize("name", ["time", "random", "socket", "asyncio", "secrets"])
def test_no_module_of_consensus_holds_a_reference_when_it_could_call_it(name):
    import sys

    impure = sys.modules[name]
    holders = [
        module_name
        for module_name, module in sys.modules.items()
        if module_name.startswith("consensus") and impure in vars(module).values()
    ]
    assert holders == []
