"""Sockets of nodes that a test drives."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
from aiohttp import web

from tests.node.client.stage import Door

Serve = Callable[[Door], Awaitable[Path]]


@pytest.fixture
async def serve(tmp_path: Path) -> AsyncIterator[Serve]:
    """Serves a door; gives its socket's path."""
    runners: list[web.AppRunner] = []

    async def start(door: Door) -> Path:
        path = tmp_path / f"{len(runners)}.sock"
        runners.append(await door.serve(path))
        return path

    yield start
    for runner in runners:
        await runner.cleanup()
