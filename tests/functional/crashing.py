"""A node of a real network that runs under ``crash_launcher``, and what it said in all its lives."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from consensus.messages import Commit, Message, RoundChange, decode_message
from consensus.verify import kind_of, signed_bytes
from node.client import Client
from node.network_file import NetworkNode
from tests.functional.load import until

ROOT = Path(__file__).parents[2]
LIFE_S = 120.0
"""A point that is not passed for so long is not passed at all."""
SMALL_LOG_BYTES = 8_000
"""So small that the signer log is compacted every few heights."""


class Crasher:
    """Starts one node again and again; one life at a time."""

    def __init__(self, node: NetworkNode, process: asyncio.subprocess.Process) -> None:
        self.node = node
        self.sent = node.home / "sent.bin"
        self._process = process
        self._pid: int | None = None

    async def begin(self, point: str | None = None, count: int = 1, *, failing: str | None = None) -> None:
        """A new life, which ends at a point if one is named."""
        assert self._pid is None, "the node still runs"
        command = {
            "home": str(self.node.home),
            "point": point,
            "count": count,
            "bound_bytes": SMALL_LOG_BYTES,
            "sent": str(self.sent),
            "failing": failing,
        }
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(command).encode() + b"\n")
        self._pid = (await self._answer())["pid"]

    async def wait_ready(self) -> None:
        """Until the node answers over RPC."""

        async def answers() -> bool:
            async with Client(self.node.socket) as client:
                return bool((await client.status())["ready"])

        await until(answers, f"{self.node.name} answers", LIFE_S)

    async def end(self, timeout_s: float = LIFE_S) -> int:
        """How the life has ended: an exit code, or a signal's number, negative. Raises ``TimeoutError``."""
        async with asyncio.timeout(timeout_s):
            code = (await self._answer())["ended"]
        self._pid = None
        return int(code)

    async def stop(self, signum: signal.Signals = signal.SIGTERM) -> int:
        """Ends the life from outside."""
        assert self._pid is not None
        os.kill(self._pid, signum)
        return await self.end()

    async def _answer(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = await self._process.stdout.readline()
        assert line, "the launcher has ended"
        document: dict[str, Any] = json.loads(line)
        return document

    def messages(self) -> list[Message]:
        """Everything that the node has said in all its lives, in order."""
        data, found, place = self.sent.read_bytes(), [], 0
        while place < len(data):
            size = int.from_bytes(data[place : place + 4], "big")
            found.append(decode_message(data[place + 4 : place + 4 + size]))
            place += 4 + size
        return found


@asynccontextmanager
async def crasher(node: NetworkNode) -> AsyncIterator[Crasher]:
    """The launcher for a node; whatever runs at the end is killed."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-P", "-m", "tests.functional.crash_launcher",
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert process.stdin is not None
    try:
        yield Crasher(node, process)
    finally:
        process.stdin.close()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(10):
                await process.wait()
        if process.returncode is None:
            process.kill()
            await process.wait()


def assert_no_contradiction(messages: list[Message], chain_id: bytes) -> None:
    """One signed statement for each (height, round, kind), and no COMMIT is forgotten in a later round change."""
    said: dict[tuple[int, int, int], bytes] = {}
    committed: dict[int, int] = {}
    for message in messages:
        kind = kind_of(message)
        place = (message.height, message.round, int(kind))
        signed = signed_bytes(message, chain_id)
        assert said.setdefault(place, signed) == signed, f"two different {kind.name} at {place[:2]}"
        if isinstance(message, Commit):
            committed[message.height] = max(message.round, committed.get(message.height, -1))
        elif isinstance(message, RoundChange) and message.round > committed.get(message.height, message.round):
            claimed = -1 if message.prepared is None else message.prepared.round
            assert claimed >= committed[message.height], f"a COMMIT of height {message.height} was forgotten"
