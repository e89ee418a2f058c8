"""Networks of real daemons whose links a test can cut: in network namespaces of their own, or through proxies.

Namespaces are the real thing: each node has an interface of its own on a bridge, packets are lost by the kernel. They
need a kernel that lets this user make user and network namespaces; ``Namespaces.refused`` says why it does not. Proxies
work everywhere: each node reaches each other one through a TCP proxy of the test, which can stop to forward.
"""

from __future__ import annotations

import asyncio
import contextlib
import subprocess
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Protocol

from node.devnet import Devnet
from node.network_file import Network, NetworkNode

CHUNK = 65_536
DELAY_S = 0.1
ADDRESS = "10.77.0.{}"


class Links(Protocol):
    """What lies between the nodes of a network."""

    def prefix(self, node: NetworkNode) -> list[str]:
        """What stands before the command that runs a node."""

    async def cut(self, *groups: Iterable[str]) -> None:
        """Only nodes named in one group reach each other."""

    async def disturb(self) -> None:
        """Everybody reaches everybody, badly."""

    async def heal(self) -> None:
        """Everybody reaches everybody."""


class PlacedDevnet(Devnet):
    """A devnet whose nodes run where ``links`` wants them."""

    def __init__(self, directory: Path, links: Links) -> None:
        super().__init__(directory)
        self._links = links

    def _command(self, node: NetworkNode) -> list[str]:
        return [*self._links.prefix(node), *super()._command(node)]


def _rewrite(node: NetworkNode, changes: Iterable[tuple[str, str]]) -> None:
    file = node.home / "config.toml"
    text = file.read_text(encoding="utf-8")
    for before, after in changes:
        assert before in text, f"{node.name}: {before} is not in its configuration"
        text = text.replace(before, after)
    file.write_text(text, encoding="utf-8")


# --- namespaces -------------------------------------------------------------------------------------------------------

# Classic BPF, for kernels without netem: load a random number; below the threshold drop the packet (TC_ACT_SHOT).
LOSS = "4,32 0 0 4294963256,53 1 0 {threshold},6 0 0 2,6 0 0 0"
HUB = "set -e; ip link set lo up; ip link add b0 type bridge; ip link set b0 up; echo ready; read _ || true"


class Namespaces:
    """One network namespace a node, joined by bridges in another one; all below one user namespace."""

    LOSS_PERCENT = 10

    def __init__(self, network: Network) -> None:
        self._nodes = network.nodes
        self._hub: subprocess.Popen[str] | None = None
        self._holders: dict[str, subprocess.Popen[str]] = {}
        self._bridges = 1

    @staticmethod
    def refused() -> str:
        """Why this machine cannot do it, or nothing."""
        try:
            done = subprocess.run(
                ["unshare", "-rn", "bash", "-c", HUB + "; unshare -n true; ip link add v0 type veth peer name e0"],
                input="\n", capture_output=True, text=True, check=False, timeout=30,
            )  # fmt: skip
        except OSError as error:
            return str(error)
        return "" if done.returncode == 0 else done.stderr.strip()

    @classmethod
    @asynccontextmanager
    async def made(cls, network: Network) -> AsyncIterator[Namespaces]:
        links = cls(network)
        try:
            await links._build()
            yield links
        finally:
            for holder in [*links._holders.values(), links._hub]:
                if holder is not None:
                    holder.kill()
                    holder.communicate()

    async def _build(self) -> None:
        pipe = subprocess.PIPE
        self._hub = subprocess.Popen(["unshare", "-rn", "bash", "-c", HUB], stdin=pipe, stdout=pipe, text=True)
        assert self._hub.stdout is not None
        assert await asyncio.to_thread(self._hub.stdout.readline) == "ready\n"
        places = {node.name: ADDRESS.format(number + 1) for number, node in enumerate(self._nodes)}
        for number, node in enumerate(self._nodes):
            command = [*self._enter(self._hub.pid), "unshare", "-n", "sh", "-c", "echo ready; exec sleep infinity"]
            holder = self._holders[node.name] = subprocess.Popen(command, stdout=pipe, text=True)
            assert holder.stdout is not None
            assert await asyncio.to_thread(holder.stdout.readline) == "ready\n"
            self._in_hub(f"ip link add v{number} type veth peer name e0 netns {holder.pid}")
            self._in_hub(f"ip link set v{number} master b0 up")
            self._run(holder.pid, "ip link set lo up")
            self._run(holder.pid, f"ip addr add {places[node.name]}/24 dev e0")
            self._run(holder.pid, "ip link set e0 up")
            peers = [(f"@{n.host}:{n.port}", f"@{places[n.name]}:{n.port}") for n in self._nodes if n is not node]
            _rewrite(node, [(f'listen_host = "{node.host}"', f'listen_host = "{places[node.name]}"'), *peers])

    @staticmethod
    def _enter(pid: int) -> list[str]:
        return ["nsenter", "--preserve-credentials", "-U", "-n", "-t", str(pid)]

    def _run(self, pid: int, command: str) -> None:
        done = subprocess.run([*self._enter(pid), *command.split(" ")], capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{command}: {done.stderr}"

    def _in_hub(self, command: str) -> None:
        assert self._hub is not None
        self._run(self._hub.pid, command)

    def prefix(self, node: NetworkNode) -> list[str]:
        return self._enter(self._holders[node.name].pid)

    async def cut(self, *groups: Iterable[str]) -> None:
        for bridge, group in enumerate(groups):
            if bridge == self._bridges:
                self._in_hub(f"ip link add b{bridge} type bridge")
                self._in_hub(f"ip link set b{bridge} up")
                self._bridges += 1
            for number, node in enumerate(self._nodes):
                if node.name in group:
                    self._in_hub(f"ip link set v{number} master b{bridge}")

    def lose(self, percent: int, names: Sequence[str]) -> None:
        """Loses packets that these nodes send; ``heal`` ends it. With 100 they hear everybody, and nobody them."""
        code = LOSS.format(threshold=min(percent * 2**32 // 100, 2**32 - 1))
        for number, node in enumerate(self._nodes):
            if node.name in names:
                self._in_hub(f"tc qdisc add dev v{number} ingress")
                found = [*f"tc filter add dev v{number} parent ffff: bpf da bytecode".split(" "), code]
                assert self._hub is not None
                subprocess.run([*self._enter(self._hub.pid), *found], check=True)

    async def disturb(self) -> None:
        self.lose(self.LOSS_PERCENT, [node.name for node in self._nodes])

    async def heal(self) -> None:
        assert self._hub is not None
        for number in range(len(self._nodes)):
            self._in_hub(f"ip link set v{number} master b0")
            command = [*self._enter(self._hub.pid), "tc", "qdisc", "del", "dev", f"v{number}", "ingress"]
            subprocess.run(command, capture_output=True, check=False)  # there is none where nothing was lost


# --- proxies ----------------------------------------------------------------------------------------------------------


class Proxies:
    """One listening socket for each node and each other one, forwarding as long as the link is there."""

    def __init__(self, network: Network) -> None:
        self._nodes = network.nodes
        self._open: dict[tuple[str, str], asyncio.Event] = {}
        self._delay_s = 0.0
        self._tasks: set[asyncio.Task[None]] = set()

    @staticmethod
    def refused() -> str:
        return ""

    @classmethod
    @asynccontextmanager
    async def made(cls, network: Network) -> AsyncIterator[Proxies]:
        links = cls(network)
        servers = []
        try:
            for node in links._nodes:
                changes = []
                for other in links._nodes:
                    if other is not node:
                        server = await links._serve(node.name, other)
                        servers.append(server)
                        changes.append((f"@{other.host}:{other.port}", f"@{other.host}:{_port(server)}"))
                _rewrite(node, changes)
            yield links
        finally:
            for server in servers:
                server.close()
            for task in links._tasks:
                task.cancel()
            await asyncio.gather(*links._tasks, return_exceptions=True)

    async def _serve(self, name: str, other: NetworkNode) -> asyncio.Server:
        gate = self._open[name, other.name] = asyncio.Event()
        gate.set()

        async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = asyncio.current_task()
            assert task is not None
            self._tasks.add(task)
            try:
                await gate.wait()
                with contextlib.suppress(OSError):
                    far_reader, far_writer = await asyncio.open_connection(other.host, other.port)
                    try:
                        async with asyncio.TaskGroup() as group:
                            group.create_task(self._forward(reader, far_writer, gate))
                            group.create_task(self._forward(far_reader, writer, gate))
                    finally:
                        far_writer.close()
            except* OSError:
                pass
            finally:
                writer.close()
                self._tasks.discard(task)

        return await asyncio.start_server(connected, other.host, 0)

    async def _forward(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, gate: asyncio.Event) -> None:
        while data := await reader.read(CHUNK):
            if self._delay_s:
                await asyncio.sleep(self._delay_s)
            await gate.wait()
            writer.write(data)
            await writer.drain()
        raise ConnectionResetError  # ends the other direction too

    def prefix(self, node: NetworkNode) -> list[str]:
        return []

    async def cut(self, *groups: Iterable[str]) -> None:
        found = [set(group) for group in groups]
        for pair, gate in self._open.items():
            if any(pair[0] in group and pair[1] in group for group in found):
                gate.set()
            else:
                gate.clear()

    async def disturb(self) -> None:
        self._delay_s = DELAY_S

    async def heal(self) -> None:
        self._delay_s = 0.0
        for gate in self._open.values():
            gate.set()


def _port(server: asyncio.Server) -> int:
    port: int = server.sockets[0].getsockname()[1]
    return port
