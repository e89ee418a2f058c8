"""Runs the commands of a document in a directory, as a newcomer would copy them."""

from __future__ import annotations

import asyncio
import os
import re
import stat
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from node.devnet import ask_status
from node.layout import HomeLayout
from node.network import free_ports
from tests.functional.load import until

ROOT = Path(__file__).parents[2]
COMMAND_S = 120.0
READY_S = 120.0
_BLOCK = re.compile(r"^```sh (\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


class Reader:
    """Somebody who follows docs/networks.md in a directory of their own.

    The ports of the example are put in place of others, because the tests may not rely on them.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        text = (ROOT / "docs" / "networks.md").read_text(encoding="utf-8")
        self.blocks = dict(_BLOCK.findall(text))
        self._ports = dict(zip((str(port) for port in range(7301, 7305)), free_ports(4), strict=True))
        self._nodes: dict[str, asyncio.subprocess.Process] = {}
        shim = directory / "bin" / "tidegate"
        shim.parent.mkdir()
        shim.write_text(f'#!/bin/sh\nexec "{sys.executable}" -P -m node.cli "$@"\n', encoding="utf-8")
        shim.chmod(shim.stat().st_mode | stat.S_IXUSR)
        self._environment = {
            **os.environ, "PATH": f"{shim.parent}{os.pathsep}{os.environ['PATH']}", "PYTHONPATH": str(ROOT),
        }  # fmt: skip

    def commands(self, block: str) -> list[str]:
        """The commands of a block, continued lines joined."""
        text = self.blocks[block].replace("\\\n", " ")
        return [line for line in text.splitlines() if line.strip()]

    async def follow(self, block: str, **words: str) -> list[str]:
        """Runs a block, each command after the one before; what each wrote. ``words`` take the place of capitals."""
        outputs = []
        for command in self.commands(block):
            for word, value in words.items():
                command = command.replace(word, value)  # noqa: PLW2901 - the command as it is run
            outputs.append(await self.run(command))
            if "network example" in command:
                self.change_ports()
        return outputs

    async def run(self, command: str, *, code: int = 0) -> str:
        """Runs one command line; what it wrote to both outputs. It must end with ``code``."""
        for documented, port in self._ports.items():
            command = command.replace(f":{documented}", f":{port}")
        process = await asyncio.create_subprocess_exec(
            "bash", "-c", command, cwd=self.directory, env=self._environment,
            stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
        )  # fmt: skip
        async with asyncio.timeout(COMMAND_S):
            output, _ = await process.communicate()
        assert process.returncode == code, f"{command}\nended with {process.returncode}:\n{output.decode()}"
        return output.decode()

    def change_ports(self) -> None:
        """Puts free ports in the place of the documented ones in network.toml."""
        path = self.directory / "network.toml"
        text = path.read_text(encoding="utf-8")
        for documented, port in self._ports.items():
            text = text.replace(f":{documented}", f":{port}")
        path.write_text(text, encoding="utf-8")

    def edit(self, old: str, new: str) -> None:
        """Changes network.toml, as a reader would by hand."""
        path = self.directory / "network.toml"
        text = path.read_text(encoding="utf-8")
        assert old in text
        path.write_text(text.replace(old, new), encoding="utf-8")

    def home(self, name: str) -> HomeLayout:
        """The home of that name, wherever the document put it."""
        return HomeLayout(next(path for path in self.directory.rglob(f"homes/{name}") if path.is_dir()))

    async def start(self, name: str) -> None:
        """Starts a node and waits until it answers."""
        home = self.home(name)
        with (home.log_dir / "node.log").open("ab") as log:
            self._nodes[name] = await asyncio.create_subprocess_exec(
                sys.executable, "-P", "-m", "node.cli", "node", "run", "--home", str(home.path),
                stdin=asyncio.subprocess.DEVNULL, stdout=log, stderr=log, env=self._environment,
            )  # fmt: skip
        await until(lambda: self.status(name), f"{name} answers", READY_S)

    async def start_all(self, names: list[str]) -> None:
        """Starts nodes and waits until all are connected to each other."""
        await asyncio.gather(*(self.start(name) for name in names))

        async def connected() -> bool:
            found = [await self.status(name) for name in names]
            return all(status and len(status["peers"]) >= len(names) - 1 for status in found)

        await until(connected, "all are connected", READY_S)

    async def stop(self, name: str) -> None:
        """Ends a node in order."""
        process = self._nodes.pop(name)
        process.terminate()
        await process.wait()

    async def status(self, name: str) -> dict[str, Any] | None:
        """``node.status`` of a node, or None."""
        return await ask_status(self.home(name).find_socket())

    def log(self, name: str) -> str:
        """What a node has logged."""
        return (self.home(name).log_dir / "node.log").read_text(encoding="utf-8")

    async def end(self) -> None:
        """Ends what still runs."""
        for process in self._nodes.values():
            if process.returncode is None:
                process.kill()
            await process.wait()


@asynccontextmanager
async def reader(directory: Path) -> AsyncIterator[Reader]:
    """A reader whose nodes end with the block."""
    following = Reader(directory)
    try:
        yield following
    finally:
        await following.end()
