"""A small disk for one directory: a tmpfs in user and mount namespaces of its own."""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

SCRIPT = "mount -t tmpfs -o size={size} tmpfs '{directory}' && echo ready && exec sleep infinity"


class SmallDisk:
    """See the module.

    Attributes:
        prefix: what stands before the command that is to see the small disk.
    """

    def __init__(self, pid: int, directory: Path) -> None:
        self.prefix = ["nsenter", "--preserve-credentials", "-U", "-m", "-t", str(pid)]
        self._directory = directory

    @staticmethod
    def refused() -> str:
        """Why this machine cannot do it, or nothing."""
        try:
            done = subprocess.run(
                ["unshare", "-rm", "mount", "-t", "tmpfs", "tmpfs", "/mnt"],
                capture_output=True, text=True, check=False, timeout=30,
            )  # fmt: skip
        except OSError as error:
            return str(error)
        return "" if done.returncode == 0 else done.stderr.strip()

    @classmethod
    @asynccontextmanager
    async def made(cls, directory: Path, size_bytes: int) -> AsyncIterator[SmallDisk]:
        script = SCRIPT.format(size=size_bytes, directory=directory)
        holder = await asyncio.create_subprocess_exec(
            "unshare", "-rm", "sh", "-c", script, stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE
        )
        try:
            assert holder.stdout is not None
            assert await holder.stdout.readline() == b"ready\n"
            yield cls(holder.pid, directory)
        finally:
            holder.kill()
            await holder.wait()

    async def run(self, *command: str) -> None:
        """Runs a command that sees it; it may fail, a full disk being what it makes."""
        process = await asyncio.create_subprocess_exec(
            *self.prefix, *command, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL
        )
        await process.wait()

    async def fill(self, size_bytes: int | None = None) -> None:
        """Takes that much room, or all of it."""
        count = [] if size_bytes is None else [f"count={size_bytes // 4096}"]
        await self.run("dd", "if=/dev/zero", f"of={self._directory}/filler", "bs=4096", *count)

    async def empty(self) -> None:
        """Gives the room back."""
        await self.run("rm", "-f", f"{self._directory}/filler")
