"""What a daemon meets over the years: it is stopped and restarted, its log rotated, its disk full, its clock set."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from ledger.errors import Overloaded
from ledger.genesis import Parameters
from node.cli.exit_codes import DISK_FULL, INTERRUPTED
from node.client import Client
from node.devnet import Devnet
from node.network_file import NetworkNode
from node.run_state import RunState, read_run_state
from tests.functional.conftest import START_S, Start
from tests.functional.load import Load, add_config, assert_agreement, height_of, make_network, purses_of, until
from tests.functional.namespaces import SmallDisk

pytestmark = [pytest.mark.functional, pytest.mark.timeout(400)]

MB = 1_000_000
PACKAGE_MS = 60_000
ROOT = Path(__file__).parents[2]


def life_of(node: NetworkNode) -> RunState:
    """What the node's daemon says of itself."""
    state = read_run_state(node.home / "run")
    assert state is not None
    return state


async def ended(node: NetworkNode, before: RunState | None = None) -> RunState:
    """Waits for the last words of the daemon, or of one after the one that said ``before``."""

    async def found() -> RunState | None:
        state = life_of(node)
        later = before is None or state.started != before.started
        return state if later and state.stage == "ended" and not state.alive() else None

    state: RunState = await until(found, f"{node.name} has ended")
    return state


class Launched(Devnet):
    """A devnet whose nodes are run by another command, where one is given."""

    def __init__(self, directory: Path, *, environment: dict[str, str] | None = None) -> None:
        super().__init__(directory, environment=environment)
        self.launcher: dict[str, list[str]] = {}
        self.prefix: list[str] = []

    def _command(self, node: NetworkNode) -> list[str]:
        module, *arguments = self.launcher.get(node.name, [""])
        if not module:
            return [*self.prefix, *super()._command(node)]
        return [*self.prefix, sys.executable, "-P", "-m", module, str(node.home), *arguments]


# --- stopping and starting --------------------------------------------------------------------------------------------


async def test_nothing_acknowledged_is_lost_when_every_node_is_restarted_under_load(start: Start, seed: int) -> None:
    async with start() as devnet:
        load = Load(devnet.network, seed)
        async with load.running():
            await load.wait_more(20)
            for node in devnet.network.nodes:
                # Killed after ten seconds, it would not come to say that it has ended.
                await devnet.stop([node.name])
                state = life_of(node)
                assert (state.stage, state.exit_code) == ("ended", 0), state
                assert '"event": "drained"' in node.home.joinpath("log", "node.log").read_text(encoding="utf-8")
                await devnet.start_one(node.name, timeout_s=START_S)
                await load.wait_more(10)
        await devnet.wait_ready(peers=3, timeout_s=START_S)
        await assert_agreement(load)


async def test_a_stopping_node_finishes_what_it_took_and_takes_no_more(tmp_path: Path) -> None:
    # A block is made of two transactions: one alone waits as long as the test likes.
    packages = Parameters(empty_block_ms=600_000, package_transactions=2, package_ms=PACKAGE_MS)
    network = make_network(tmp_path / "n", validators=2, parameters=packages)
    node0, node1 = network.nodes
    taken, late, other, waits = (purse.transfer() for purse in purses_of(network)[:4])
    async with Launched(network.directory) as devnet:
        devnet.launcher["node0"] = ["tests.functional.patched_launcher", "node.app", "DRAIN_S", "300"]
        await devnet.start()
        await devnet.wait_ready(peers=1, timeout_s=START_S)
        async with Client(node0.socket) as client, Client(node1.socket) as at_node1:
            waiting = asyncio.create_task(client.submit_and_wait(taken, 90))
            await until(lambda: _waits(client), "the transfer waits at node0")
            devnet.signal("node0", signal.SIGTERM)
            await until(lambda: _stage(node0, "stopping"), "node0 is stopping")
            with pytest.raises(Overloaded) as refused:
                await client.submit(late)
            assert refused.value.code == "stopping"
            assert await client.submit(taken) == taken.tx_id
            await at_node1.submit(other)
            outcome = await waiting
        assert outcome.status == "committed"
        assert (before := await ended(node0)).exit_code == 0

        # Whoever asks a second time does not want to wait.
        await devnet.start_one("node0", timeout_s=START_S)
        await devnet.wait_ready(peers=1, timeout_s=START_S)
        async with Client(node0.socket) as client:
            await client.submit(waits)
            devnet.signal("node0", signal.SIGTERM)
            await until(lambda: _stage(node0, "stopping"), "node0 is stopping")
            devnet.signal("node0", signal.SIGINT)
            assert (await ended(node0, before)).exit_code == INTERRUPTED


async def _waits(client: Client) -> bool:
    return bool((await client.status())["mempool"]["transactions"])


async def _stage(node: NetworkNode, stage: str) -> bool:
    return life_of(node).stage == stage


# --- the service manager, the log, the clock --------------------------------------------------------------------------


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[socket.socket]:
    """Listens where a service manager would."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(str(tmp_path / "notify"))
        listening.settimeout(90)
        yield listening


def hears(manager: socket.socket, wanted: str) -> None:
    """Reads what the daemon says until it says that."""
    while wanted not in manager.recv(65_536).decode().splitlines():
        pass


def log_files(node: NetworkNode) -> list[Path]:
    return sorted((node.home / "log").glob("tidegate.log*"))


async def test_manager_log_and_clock_over_a_daemons_life(tmp_path: Path, manager: socket.socket, seed: int) -> None:
    network = make_network(tmp_path / "n", validators=1)
    node, ahead = network.nodes[0], tmp_path / "ahead"
    config = node.home / "config.toml"
    settings = '[log]\nfile = "log/tidegate.log"\nmax_bytes = 4000\nkeep = 1000\n'
    config.write_text(config.read_text(encoding="utf-8").replace("[log]\n", settings), encoding="utf-8")
    environment = {"NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": "3000000"}
    async with Launched(network.directory, environment=environment) as devnet:
        devnet.launcher[node.name] = ["tests.functional.clock_launcher", "0", str(ahead)]
        await devnet.start()
        for said in ("READY=1", "WATCHDOG=1", "WATCHDOG=1"):
            await asyncio.to_thread(hears, manager, said)
        load = Load(network, seed)
        async with load.running():
            await load.wait_more(20)
            moved = node.home / "log" / "by-logrotate"
            node.home.joinpath("log", "tidegate.log").rename(moved)
            devnet.signal(node.name, signal.SIGHUP)
            for said in ("RELOADING=1", "READY=1"):
                await asyncio.to_thread(hears, manager, said)
            await load.wait_more(20)
            ahead.write_text("7.5", encoding="ascii")
            async with Client(node.socket) as client:
                await until(lambda: _jumped(client), "the jump is noticed")
                clock = (await client.status())["clock"]
            assert abs(clock["last_jump_ms"] - 7_500) < 500
            await load.wait_more(10)
        await assert_agreement(load)
        devnet.signal(node.name, signal.SIGTERM)
        await asyncio.to_thread(hears, manager, "STOPPING=1")
        assert (await ended(node)).exit_code == 0

    lines = []
    for file in [moved, *log_files(node)]:
        assert file.stat().st_mode & 0o777 == 0o640, file
        lines += [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
    events = [line["event"] for line in sorted(lines, key=lambda line: line["timestamp"])]
    assert events.count("node_ready") == events.count("node_stopped") == events.count("log_reopened") == 1
    assert "clock_jumped" in events
    assert all(file.stat().st_size < 4_500 for file in log_files(node))
    assert node.home.joinpath("log", "node.log").read_text(encoding="utf-8") == "", "nothing goes to standard error"


async def _jumped(client: Client) -> bool:
    return bool((await client.status())["clock"]["jumps"])


# --- a full disk ------------------------------------------------------------------------------------------------------

SMALL = pytest.mark.skipif(bool(SmallDisk.refused()), reason=f"no mount namespaces here: {SmallDisk.refused()}")


def doctor_in(disk: SmallDisk, node: NetworkNode) -> tuple[int, str]:
    """The doctor's exit code and first line, as seen from where the small disk is."""
    done = subprocess.run(
        [*disk.prefix, sys.executable, "-P", "-m", "node.cli", "doctor", "--home", str(node.home)],
        capture_output=True, text=True, check=False, env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    return done.returncode, done.stdout


@SMALL
@pytest.mark.parametrize("reserve", [40 * MB, 0])
async def test_a_node_stops_in_order_when_its_disk_fills_and_starts_when_there_is_room(
    tmp_path: Path, seed: int, reserve: int
) -> None:
    """With a reserve it stops before the store notices; without one a write that finds no room stops it."""
    network = make_network(tmp_path / "n", validators=1)
    node = network.nodes[0]
    add_config(node, f"[storage]\nmin_free_bytes = {reserve}\n")
    node.home.joinpath("data").mkdir(exist_ok=True)
    async with SmallDisk.made(node.home / "data", 96 * MB) as disk, Launched(network.directory) as devnet:
        devnet.prefix = disk.prefix
        await devnet.start_one(node.name, timeout_s=START_S)
        load = Load(network, seed)
        async with load.running():
            await load.wait_more(20)
            await disk.fill(60 * MB if reserve else None)
            # Under load until it is gone, as it would be.
            state = await ended(node)
            assert (state.exit_code, state.code) == (DISK_FULL, "disk_full"), state
            if reserve:
                log = node.home.joinpath("log", "node.log").read_text(encoding="utf-8")
                assert log.index('"event": "disk_full"') < log.index('"event": "node_stopped"')
                await devnet.start([node.name])
                assert (await ended(node, state)).exit_code == DISK_FULL
                code, said = await asyncio.to_thread(doctor_in, disk, node)
                assert code == 1
                assert "error [disk.full]" in said.splitlines()[1], said
            await disk.empty()
            await devnet.start_one(node.name, timeout_s=START_S)
            await load.wait_more(20)
        assert await height_of(node) > 0
        await assert_agreement(load)
