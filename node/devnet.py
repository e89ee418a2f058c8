"""Runs the daemons of a local network: starts them, waits until they answer, stops them, kills one.

Each node is a process of its own with its log in ``<home>/log/node.log``. Only processes that a process id file of this
network names, with the start time that it says, are ever signalled.
"""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from types import TracebackType
from typing import Any, Final

from ledger.errors import InvalidConfig, RemoteFault, TidegateError
from node.client import Client
from node.layout import HomeLayout
from node.network_file import Network, NetworkNode, load_network
from node.process import ProcessRef, load_process

STOP_S: Final = 10.0
"""A node that was asked to stop is killed after so long."""
KILL_S: Final = 5.0
"""A killed process is gone after so long, unless the system is in trouble."""
READY_S: Final = 30.0
STATUS_S: Final = 2.0
TAIL_LINES: Final = 15
MAX_TAIL_BYTES: Final = 64 * 1024
_PAUSE_S: Final = 0.03


class NodeFailed(RemoteFault):
    """A node ended, or did not answer in time. The text ends with its log's last lines.

    ``data["node"]`` is its name, ``data["exit_code"]`` how it ended, or None while it runs.
    """

    code = "node_failed"


@dataclass(frozen=True, slots=True)
class NodeState:
    """How a node is.

    Attributes:
        node: which.
        pid: of its process, or None when it does not run.
        status: its ``node.status`` document, or None when it does not answer.
    """

    node: NetworkNode
    pid: int | None
    status: dict[str, Any] | None


class Devnet:
    """The processes of one network.

    As an async context manager it ends, whatever happens in the block, the nodes that it started; should even the
    calling process be killed, they notice and stop. With ``detach`` they are left running.

    Args:
        directory: a network's directory (``node.network``).
        detach: nodes outlive this object and the process.
        environment: variables set for the nodes, beside those of this process.
    """

    def __init__(
        self, directory: Path | str, *, detach: bool = False, environment: Mapping[str, str] | None = None
    ) -> None:
        self.network: Network = load_network(directory)
        self._detach = detach
        self._environment = dict(environment or {})
        self._children: dict[str, subprocess.Popen[bytes]] = {}
        self._log_start: dict[str, int] = {}

    async def __aenter__(self) -> Devnet:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._detach:
            for child in self._children.values():
                if child.poll() is None:
                    child.returncode = 0  # let go: Popen would warn that nobody waits for it
            return
        try:
            await self.stop(self._children)
        finally:
            # Cancelled while stopping: do not leave anything behind.
            for child in self._children.values():
                child.kill()
                child.wait()

    def pid(self, name: str) -> int | None:
        """Process id of a node, or None when it does not run."""
        process = self._process(self.network.node(name))
        return None if process is None else process.pid

    async def start(self, names: Iterable[str] | None = None) -> list[str]:
        """Starts nodes, by default all that are processes of their own; returns the names of those that did not run.

        Raises:
            NotFound: no such node.
        """
        started: list[str] = []
        for node in self._nodes(names):
            if self._process(node) is None:
                self._spawn(node)
                started.append(node.name)
        return started

    async def start_one(self, name: str, *, timeout_s: float = READY_S) -> None:
        """Starts one node and waits until it answers.

        Raises:
            NotFound, NodeFailed: see ``start`` and ``wait_ready``.
        """
        await self.start([name])
        await self.wait_ready([name], timeout_s=timeout_s)

    async def wait_ready(
        self, names: Iterable[str] | None = None, *, timeout_s: float = READY_S, peers: int = 0
    ) -> None:
        """Waits until nodes answer on their sockets and each has at least ``peers`` connected peers.

        Raises:
            NodeFailed: one ended, or did not get there within ``timeout_s`` seconds; the text shows its log.
        """
        deadline = monotonic() + timeout_s
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(self._outcome(node, deadline, peers)) for node in self._nodes(names)]
        for task in tasks:
            failed = task.result()
            if failed is not None:
                raise failed

    async def stop(self, names: Iterable[str] | None = None) -> None:
        """Asks nodes to stop, and kills those that still run after ``STOP_S`` seconds.

        Raises:
            NodeFailed: one cannot even be killed.
        """
        nodes = self._nodes(names)
        running = {node.name: process for node in nodes if (process := self._process(node)) is not None}
        for process in running.values():
            process.send(signal.SIGTERM)
            process.send(signal.SIGCONT)  # a stopped process takes no signal but this one and KILL
        await asyncio.gather(*(process.wait_ended(STOP_S) for process in running.values()))
        for process in running.values():
            process.send(signal.SIGKILL)
        for node in nodes:
            await self._gone(node)

    async def kill(self, name: str) -> None:
        """Kills one node at once (SIGKILL), and returns when it is gone.

        Raises:
            NotFound: no such node.
        """
        node = self.network.node(name)
        self.signal(name, signal.SIGKILL)
        await self._gone(node)

    def signal(self, name: str, signum: signal.Signals) -> bool:
        """Sends a node a signal; False when it does not run.

        Raises:
            NotFound: no such node.
        """
        process = self._process(self.network.node(name))
        return process is not None and process.send(signum)

    async def status(self) -> list[NodeState]:
        """How every node is, in order."""
        documents = await asyncio.gather(*(ask_status(node.socket) for node in self.network.nodes))
        return [
            NodeState(node, self.pid(node.name), document)
            for node, document in zip(self.network.nodes, documents, strict=True)
        ]

    def log_tail(self, name: str, lines: int = TAIL_LINES) -> str:
        """The last lines of a node's log; of the run that this object started, where it did."""
        node = self.network.node(name)
        try:
            with _log_file(node).open("rb") as file:
                end = file.seek(0, os.SEEK_END)
                file.seek(max(end - MAX_TAIL_BYTES, self._log_start.get(node.name, 0)))
                data = file.read()
        except OSError:
            return ""
        return "\n".join(data.decode(errors="replace").splitlines()[-lines:])

    def _nodes(self, names: Iterable[str] | None) -> list[NetworkNode]:
        if names is None:
            return [node for node in self.network.nodes if not node.hosted]
        return [self.network.node(name) for name in list(names)]

    def _process(self, node: NetworkNode) -> ProcessRef | None:
        child = self._children.get(node.name)
        if child is not None:
            child.poll()  # reaps it, so that it does not stay as a zombie
        return load_process(_pid_file(node))

    def _command(self, node: NetworkNode) -> list[str]:
        """What runs a node."""
        return [sys.executable, "-P", "-m", "node.cli", "node", "run", "--home", str(node.home)]

    def _spawn(self, node: NetworkNode) -> None:
        root = str(Path(__file__).resolve().parent.parent)
        paths = [root, *filter(None, [os.environ.get("PYTHONPATH")])]
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths), **self._environment}
        command = self._command(node)
        HomeLayout(node.home).make_directories()
        self._release(node)  # of an earlier run that ended by itself
        try:
            with _log_file(node).open("ab") as log:
                self._log_start[node.name] = log.tell()
                child = subprocess.Popen(
                    command if self._detach else [*command, "--with-parent"],
                    stdin=subprocess.DEVNULL if self._detach else subprocess.PIPE,
                    stdout=log,
                    stderr=log,
                    env=environment,
                    start_new_session=True,  # an interrupt at the terminal is for the caller, who then stops the nodes
                )
        except OSError as error:
            raise InvalidConfig(f"cannot start {node.name}: {error.strerror}", code="node_unstartable") from error
        self._children[node.name] = child
        process = ProcessRef.of(child.pid)
        if process is not None:
            process.save(_pid_file(node))

    async def _outcome(self, node: NetworkNode, deadline: float, peers: int) -> NodeFailed | None:
        while True:
            process = self._process(node)
            document = None if process is None else await ask_status(node.socket)
            if document is not None and len(document.get("peers", ())) >= peers:
                return None
            if process is None or monotonic() > deadline:
                return self._failed(node, running=process is not None)
            await asyncio.sleep(_PAUSE_S)

    def _failed(self, node: NetworkNode, *, running: bool) -> NodeFailed:
        child = self._children.get(node.name)
        exit_code = None if child is None or running else child.poll()
        how = "does not answer in time" if running else "does not run"
        if exit_code is not None:
            how = f"ended with exit code {exit_code}"
        tail = "\n".join(f"  | {line}" for line in self.log_tail(node.name).splitlines())
        return NodeFailed(
            f"{node.name} ({node.organisation}) {how}; the end of {_log_file(node)}:\n{tail or '  | (empty)'}",
            node=node.name,
            exit_code=exit_code,
        )

    async def _gone(self, node: NetworkNode) -> None:
        process = self._process(node)
        if process is not None and not await process.wait_ended(KILL_S):
            raise NodeFailed(f"{node.name} (pid {process.pid}) does not end", node=node.name, exit_code=None)
        self._release(node)
        _pid_file(node).unlink(missing_ok=True)

    def _release(self, node: NetworkNode) -> None:
        """Reaps a child that has ended, and closes our end of its standard input."""
        child = self._children.pop(node.name, None)
        if child is not None:
            if child.stdin is not None:
                child.stdin.close()
            child.wait()


async def ask_status(socket: Path, timeout_s: float = STATUS_S) -> dict[str, Any] | None:
    """The ``node.status`` document of the node behind ``socket``, or None when it does not answer in time."""
    try:
        async with asyncio.timeout(timeout_s), Client(socket) as client:
            document = await client.call("node.status")
    except (TidegateError, TimeoutError, OSError):
        return None
    return document if isinstance(document, dict) else None


def _log_file(node: NetworkNode) -> Path:
    return node.home / "log" / "node.log"


def _pid_file(node: NetworkNode) -> Path:
    return node.home / "run" / "node.pid"
