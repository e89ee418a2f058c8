"""``tidegate flow`` typed against a whole consortium: two chains on a thread of their own, behind real sockets."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from click.testing import CliRunner, Result

from node.cli.app import root
from node.consortium.parties import PartyBook
from node.rpc.areas import areas_of
from node.rpc.server import RpcServer
from tests.node.two_chains import World, two_chains


class FlowDesk:
    """Where commands are typed.

    Attributes:
        directory: of everything.
        sockets: of two nodes of the business chain.
        parties: directory of the parties.
        world: the consortium; it lives on another thread.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.sockets = [directory / "0.sock", directory / "1.sock"]
        self.parties = directory / "parties"
        self.world: World
        self._loop: asyncio.AbstractEventLoop
        self._servers: list[RpcServer] = []
        self._ready = threading.Event()
        self._failed: BaseException | None = None
        self._done: asyncio.Event
        self._thread = threading.Thread(target=self._serve)

    def __enter__(self) -> FlowDesk:
        self._thread.start()
        assert self._ready.wait(60)
        if self._failed is not None:
            raise self._failed
        PartyBook(self.parties).add(self.world.cast.parties)
        return self

    def __exit__(self, *unused: object) -> None:
        self._loop.call_soon_threadsafe(self._done.set)
        self._thread.join(30)

    def _serve(self) -> None:
        try:
            asyncio.run(self._run())
        except BaseException as error:
            self._failed = error
            self._ready.set()

    async def _run(self) -> None:
        self._loop, self._done = asyncio.get_running_loop(), asyncio.Event()
        async with two_chains() as self.world:
            for index, path in enumerate(self.sockets):
                core = self.world.business.core(index)
                methods = areas_of(core.chain, core.gateway, None, None)  # type: ignore[arg-type]
                server = RpcServer(methods, core.gateway, core.intake, path)
                await server.start()
                self._servers.append(server)
            self._ready.set()
            await self._done.wait()
            for server in self._servers:
                await server.stop()

    def do(self, work: Coroutine[Any, Any, Any]) -> Any:
        """Runs a coroutine where the consortium lives."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(60)

    def stop_node(self, index: int) -> None:
        """Its socket is gone."""
        self.do(self._servers[index].stop())

    def run(self, *arguments: str, code: int = 0, socket: bool = True) -> Result:
        """Runs ``tidegate flow …``; checks the exit code."""
        where = ["--socket", str(self.sockets[0])] if socket else []
        result = CliRunner().invoke(root, ["flow", *arguments, *where], env={"TIDEGATE_PARTIES": str(self.parties)})
        assert result.exit_code == code, f"{result.exit_code}: {result.output}{result.stderr}"
        assert result.exception is None or isinstance(result.exception, SystemExit)
        return result

    def json(self, *arguments: str, code: int = 0, socket: bool = True) -> Any:
        """The document that ``tidegate flow … --json`` writes."""
        return json.loads(self.run(*arguments, "--json", code=code, socket=socket).stdout)

    def refused(self, *arguments: str, code: int = 1, socket: bool = True) -> str:
        """The reason code that a command ends with."""
        return str(self.json(*arguments, code=code, socket=socket)["error"]["code"])


@contextmanager
def flow_desk(directory: Path) -> Iterator[FlowDesk]:
    """A desk while its consortium runs."""
    with FlowDesk(directory) as desk:
        yield desk
