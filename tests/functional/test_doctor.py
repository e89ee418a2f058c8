"""``tidegate doctor`` before real networks and real homes with staged faults: the right finding comes first."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from time import monotonic

import pytest

from ledger.genesis import Parameters
from node.cli.exit_codes import CONFIG, DISK_FULL, TRANSPORT
from node.devnet import Devnet
from node.doctor.examine import Examined, examine
from node.network_file import NetworkNode
from tests.functional.conftest import START_S, Start
from tests.functional.daemons import run_node
from tests.functional.load import POLL_S, Load, assert_agreement, make_network

pytestmark = [pytest.mark.functional, pytest.mark.timeout(400)]

PATIENCE_S = 90.0
TIB = 1 << 40


async def finds(home: Path, code: str, *words: str) -> Examined:
    """The doctor's report once ``code`` is its first finding; the words stand in it."""
    deadline = monotonic() + PATIENCE_S
    while True:
        examined = await examine(home)
        first = examined.findings[0] if examined.findings else None
        if first is not None and first.code == code and all(word in first.words for word in words):
            print(f"{home.name}: [{first.code}] {first.words}")
            return examined
        assert monotonic() < deadline, f"{home.name}: not {code} {words}, but {examined.findings}"
        await asyncio.sleep(POLL_S)


async def is_well(home: Path) -> None:
    """The doctor finds nothing."""
    deadline = monotonic() + PATIENCE_S
    while (examined := await examine(home)).findings:
        assert monotonic() < deadline, f"{home.name}: {examined.findings}"
        await asyncio.sleep(POLL_S)
    assert examined.state == "running"


async def command(home: Path) -> tuple[int, str]:
    """Exit code and text of the command itself."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-P", "-m", "node.cli", "doctor", "--home", str(home),
        stdout=asyncio.subprocess.PIPE, env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
    )  # fmt: skip
    said, _ = await process.communicate()
    assert process.returncode is not None
    return process.returncode, said.decode()


class Ward(Devnet):
    """A devnet whose daemons may be started with a clock that is off."""

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        self.ahead_s: dict[str, float] = {}

    def _command(self, node: NetworkNode) -> list[str]:
        if node.name not in self.ahead_s:
            return super()._command(node)
        launcher = [sys.executable, "-P", "-m", "tests.functional.clock_launcher"]
        return [*launcher, str(node.home), str(self.ahead_s[node.name])]


@asynccontextmanager
async def ward(directory: Path) -> AsyncIterator[Ward]:
    """Four validators that have met; what a failing test needs to be understood is printed."""
    network = make_network(directory, parameters=Parameters(empty_block_ms=1_000, max_timeout_ms=8_000))
    async with Ward(network.directory) as devnet:
        await devnet.start()
        await devnet.wait_ready(peers=3, timeout_s=START_S)
        try:
            yield devnet
        except BaseException:
            for node in network.nodes:
                print(f"--- {node.name}, pid {devnet.pid(node.name)}:\n{devnet.log_tail(node.name)}")
            raise


async def test_the_cause_comes_first_when_validators_fail(tmp_path: Path, seed: int) -> None:
    async with ward(tmp_path / "n") as devnet:
        nodes = devnet.network.nodes
        node0, node2, node3 = nodes[0], nodes[2], nodes[3]
        for node in nodes:
            await is_well(node.home)
        assert (await command(node0.home))[0] == 0

        # Gone for good, one after the other.
        await devnet.kill("node3")
        await finds(node0.home, "validator.missing", node3.organisation, "does not run", "3 of 4", "no other one")
        await finds(node3.home, "daemon.killed", "serving")
        devnet.signal("node2", signal.SIGSTOP)
        await finds(node2.home, "daemon.hangs")
        await finds(node0.home, "quorum.partition", node2.organisation, node3.organisation, "3 of 4", "2 heard")
        devnet.signal("node2", signal.SIGCONT)
        await devnet.stop(["node2"])
        await finds(node2.home, "daemon.stopped")
        await finds(node0.home, "quorum.lost", node2.organisation, "nobody listens")
        code, said = await command(node0.home)
        assert code == 1
        assert "[quorum.lost]" in said
        assert node3.organisation in said

        # A node of another chain, a clock that is off, a log that is damaged: two come back, and one of them badly.
        await devnet.start(["node2"])
        text = node3.home.joinpath("genesis.json").read_text(encoding="utf-8")
        edited = text.replace('"max_timeout_ms": 8000', '"max_timeout_ms": 8001')
        other = tmp_path / "other"
        shutil.copytree(node3.home, other, ignore=shutil.ignore_patterns("data", "wal", "run", "lock"))
        other.joinpath("genesis.json").write_text(edited, encoding="utf-8")
        config = other.joinpath("config.toml").read_text(encoding="utf-8")
        other.joinpath("config.toml").write_text(config.partition("\n[chain]")[0] + "\n", encoding="utf-8")
        async with running(other):
            await finds(other, "peers.other_chain")
        devnet.ahead_s["node3"] = 60.0
        await devnet.start(["node3"])
        await finds(node3.home, "clock.off", "ahead")
        await finds(node0.home, "validator.clock_off", node3.organisation, "ahead")
        del devnet.ahead_s["node3"]
        await devnet.stop(["node3"])
        await devnet.start(["node3"])
        await devnet.wait_ready(peers=3, timeout_s=START_S)
        async with Load(devnet.network, seed).running() as load:
            for node in nodes:
                await is_well(node.home)
        await assert_agreement(load)


@asynccontextmanager
async def running(home: Path) -> AsyncIterator[None]:
    """A daemon of that home beside the network's own."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-P", "-m", "node.cli", "node", "run", "--home", str(home),
        stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
    )  # fmt: skip
    try:
        yield
    finally:
        process.kill()
        await process.wait()


async def test_the_cause_comes_first_when_a_home_is_broken(start: Start, tmp_path: Path, seed: int) -> None:
    async with start(validators=1) as devnet:
        node = devnet.network.nodes[0]
        load = Load(devnet.network, seed)
        async with load.running():
            await load.wait_more(30)
        await is_well(node.home)
        await devnet.stop([node.name])
        healthy = tmp_path / "healthy"
        shutil.copytree(node.home, healthy, symlinks=True)
        before = _content(node.home)
        examined = await finds(node.home, "daemon.stopped")
        assert examined.height is not None
        assert len(examined.findings) == 1
        assert _content(node.home) == before, "the doctor has changed the home"

        for number, (spoil, code) in enumerate(SPOILED):
            home = tmp_path / f"h{number}"
            shutil.copytree(healthy, home)
            spoil(home)
            await finds(home, code)
        await finds(tmp_path / "nowhere", "home.missing")

        # What a daemon itself met, and said, before it ended.
        with socket.socket() as taken:
            taken.bind((node.host, node.port))
            taken.listen()
            assert (await run_node(node.home))[0] == TRANSPORT
            await finds(node.home, "port.taken", str(node.port))
        full = tmp_path / "full"
        shutil.copytree(healthy, full)
        _append(full, f"[storage]\nmin_free_bytes = {TIB}\n")
        assert (await run_node(full))[0] == DISK_FULL
        examined = await finds(full, "disk.full")
        assert examined.findings[1].data["exit_code"] == DISK_FULL
        node.socket.parent.joinpath("x").write_text("")
        node.socket.parent.joinpath("x").replace(node.socket)
        assert (await run_node(node.home))[0] == CONFIG
        await finds(node.home, "daemon.failed", "exit code 78", "is no socket")
        node.socket.unlink()

        # A validator that does not know any more what it has signed; alone, it waits for nobody in vain.
        log = node.home / "wal" / "signer.log"
        data = bytearray(log.read_bytes())
        data[len(data) // 2] ^= 0xFF
        log.write_bytes(data)
        examined = await finds(node.home, "daemon.failed")
        assert "signer.damaged" in [finding.code for finding in examined.findings]
        _append(node.home, f"[storage]\nmin_free_bytes = {_free(node.home) // 2}\n")
        await devnet.start_one(node.name)
        examined = await finds(node.home, "validator.observing", "signer state lost", "signer.log.damaged")
        assert "disk.scarce" in [finding.code for finding in examined.findings]
        await assert_agreement(load)


def _free(home: Path) -> int:
    room = os.statvfs(home)
    return room.f_bavail * room.f_frsize


def _content(home: Path) -> dict[str, bytes]:
    return {str(file): file.read_bytes() for file in sorted(home.rglob("*")) if file.is_file()}


def _append(home: Path, text: str) -> None:
    file = home / "config.toml"
    file.write_text(file.read_text(encoding="utf-8") + "\n" + text, encoding="utf-8")


def _unknown_key(home: Path) -> None:
    _append(home, "[log]\ncolour = true\n")


def _no_genesis(home: Path) -> None:
    home.joinpath("genesis.json").unlink()


def _other_genesis(home: Path, *, pinned: bool = True) -> None:
    file = home / "genesis.json"
    text = file.read_text(encoding="utf-8")
    assert '"max_timeout_ms": 8000' in text
    file.write_text(text.replace('"max_timeout_ms": 8000', '"max_timeout_ms": 8001'), encoding="utf-8")
    if not pinned:
        config = home / "config.toml"
        config.write_text(config.read_text(encoding="utf-8").partition("\n[chain]")[0] + "\n", encoding="utf-8")


def _other_chain(home: Path) -> None:
    _other_genesis(home, pinned=False)


def _open_key(home: Path) -> None:
    home.joinpath("keys", "validator.key").chmod(0o644)


def _no_manifest(home: Path) -> None:
    next(home.joinpath("data", "chain").glob("MANIFEST-*")).write_bytes(b"nothing that LevelDB reads")


def _holes(home: Path) -> None:
    """Every part of the newest log and tables is wrong somewhere."""
    for file in home.joinpath("data", "chain").iterdir():
        if file.suffix in (".ldb", ".log") and file.stat().st_size:
            data = bytearray(file.read_bytes())
            for place in range(40, len(data), 64):
                data[place] ^= 0x55
            file.write_bytes(data)


SPOILED = (
    (_unknown_key, "config.invalid"),
    (_no_genesis, "genesis.missing"),
    (_other_genesis, "genesis.wrong"),
    (_other_chain, "store.other_chain"),
    (_open_key, "keys.unusable"),
    (_no_manifest, "store.damaged"),
    (_holes, "store.damaged"),
)
