"""Real daemons as processes; each network in a directory of its own, ended with its test."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from node.devnet import Devnet
from tests.functional.load import make_network

HANGS_AFTER_S = 400
"""Real daemons on a busy machine take their time; only what hangs is ended."""
START_S = 120.0
"""Nodes that start all at once on a machine that does other things beside."""
Start = Callable[..., AbstractAsyncContextManager[Devnet]]


@pytest.fixture
def seed() -> int:
    """What picks everything random in a test; printed, and so shown when the test fails."""
    picked = secrets.randbelow(1 << 32)
    print(f"seed {picked}")
    return picked


@pytest.fixture
def start(tmp_path: Path) -> Start:
    """Makes a network and runs its nodes: ``async with start(observers=1) as devnet``."""

    @asynccontextmanager
    async def started(
        *, run: tuple[str, ...] | None = None, peers: int | None = None, **plan: Any
    ) -> AsyncIterator[Devnet]:
        network = make_network(tmp_path / "n", **plan)
        names = [node.name for node in network.nodes] if run is None else list(run)
        async with Devnet(network.directory) as devnet:
            await devnet.start(names)
            await devnet.wait_ready(names, peers=len(names) - 1 if peers is None else peers, timeout_s=START_S)
            try:
                yield devnet
            except BaseException:
                for node in network.nodes:
                    runs = "runs" if devnet.pid(node.name) else "does not run"
                    print(f"--- {node.name} {runs}; the end of its log:\n{devnet.log_tail(node.name)}")
                raise

    return started


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Longer than the suite's timeout: many processes share two cores."""
    for item in items:
        if item.path.is_relative_to(Path(__file__).parent) and item.get_closest_marker("timeout") is None:
            item.add_marker(pytest.mark.timeout(HANGS_AFTER_S))
