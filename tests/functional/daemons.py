"""What can be seen of a daemon from outside beside RPC: its log, its exit code."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from pathlib import Path
from typing import Any

from node.network_file import NetworkNode
from tests.functional.load import until

REFUSES_WITHIN_S = 30.0


async def run_node(home: Path) -> tuple[int | None, str]:
    """Exit code and error output of a daemon that must not start; a node that runs after all is ended."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-P", "-m", "node.cli", "node", "run", "--home", str(home),
        stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
    )  # fmt: skip
    try:
        async with asyncio.timeout(REFUSES_WITHIN_S):
            _, errors = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.communicate()
    return process.returncode, errors.decode()


def log_lines(node: NetworkNode) -> list[dict[str, Any]]:
    """What a node has logged."""
    text = (node.home / "log" / "node.log").read_text(encoding="utf-8")
    return [json.loads(line) for line in text.splitlines() if line.startswith("{")]


async def wait_logged(node: NetworkNode, event: str, peer_id: str | None = None) -> dict[str, Any]:
    """The node's first log line of that event, about that peer if one is named."""

    async def found() -> dict[str, Any] | None:
        return next((line for line in log_lines(node) if (line["event"], line.get("peer")) == (event, peer_id)), None)

    line: dict[str, Any] = await until(found, f"{event} in the log of {node.name}", 60)
    return line
