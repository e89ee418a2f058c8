"""The examples as their readers run them: programs of their own, against one devnet of real daemons."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from ledger.keys import key_text
from node.devnet import Devnet
from tests.functional.load import make_network

pytestmark = [pytest.mark.functional, pytest.mark.timeout(300)]

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples"


class Stage:
    """A running network and the examples that are started beside it."""

    def __init__(self, runner: asyncio.Runner, devnet: Devnet, directory: Path) -> None:
        self.runner, self.devnet, self.directory = runner, devnet, directory
        self.nodes = devnet.network.nodes
        self.sockets = [str(node.socket) for node in self.nodes]
        self.genesis = str(self.nodes[0].home / "genesis.json")
        self.keys = [str(node.home / "keys" / "member.key") for node in self.nodes]

    def lock(self, number: int) -> str:
        return f"key({key_text(self.nodes[number].keys().member.public)})"

    def run(self, example: str, *arguments: str, fails: bool = False) -> str:
        done = subprocess.run(
            [sys.executable, "-P", EXAMPLES / f"{example}.py", *arguments],
            cwd=self.directory,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert (done.returncode != 0) == fails, done.stdout + done.stderr
        return done.stdout + done.stderr

    def start(self, example: str, *arguments: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-P", EXAMPLES / f"{example}.py", *arguments],
            cwd=self.directory,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )


@pytest.fixture(scope="module")
def stage() -> Iterator[Stage]:
    with tempfile.TemporaryDirectory(prefix="tg-") as directory, asyncio.Runner() as runner:
        network = make_network(Path(directory) / "n", validators=4)
        devnet = Devnet(network.directory)
        runner.run(devnet.__aenter__())
        try:
            runner.run(devnet.start())
            runner.run(devnet.wait_ready(peers=3, timeout_s=120))
            yield Stage(runner, devnet, Path(directory))
        finally:
            runner.run(devnet.__aexit__(None, None, None))


def test_every_example_is_tested():
    text = Path(__file__).read_text()
    untested = [path.stem for path in EXAMPLES.glob("*.py") if f'"{path.stem}"' not in text]
    assert untested == []


def test_guide_names_every_example():
    guide = (ROOT / "docs" / "integrator.md").read_text()
    assert [path.name for path in EXAMPLES.glob("*.py") if path.name not in guide] == []


def test_proof_of_a_payment_is_good_offline_and_a_flipped_byte_is_not(stage: Stage):
    arguments = ("--genesis", stage.genesis, "--key", stage.keys[0], "--to", stage.lock(1), "--amount", "7")
    told = stage.run("submit_with_proof", stage.sockets[0], *arguments, "-o", "paid.json")
    tx_id = told.split("committed in block ")[1].split(": ")[1].split()[0]
    shown = stage.run("verify_offline", "paid.json", "--genesis", stage.genesis)
    assert tx_id in shown
    data = bytearray((stage.directory / "paid.json").read_bytes())
    place = data.index(b'"', len(data) // 2) + 4
    data[place] ^= 1
    (stage.directory / "forged.json").write_bytes(data)
    stage.run("verify_offline", "forged.json", "--genesis", stage.genesis, fails=True)


def test_events_are_followed_on_from_the_cursor_when_the_program_comes_back(stage: Stage):
    open_account = "accounts"
    for name in ("first", "second", "third"):
        _open_account(stage, name)
    arguments = ("--genesis", stage.genesis, "--contract", open_account, "--cursor", "cursor.json", "--count")
    first = stage.run("follow_events", *stage.sockets, *arguments, "1").splitlines()
    rest = stage.run("follow_events", *stage.sockets, *arguments, "2").splitlines()
    told = [json.loads(line) for line in (*first, *rest)]
    assert [line["name"] for line in told] == ["account_opened"] * 3
    assert len({line["tx_id"] for line in told}) == 3
    assert [line["height"] for line in told] == sorted(line["height"] for line in told)


def _open_account(stage: Stage, name: str) -> None:
    from contracts.accounts import OpenArguments
    from node.calling import Caller
    from node.client import Client

    async def open_account() -> None:
        async with Client(stage.sockets[1]) as client:
            caller = Caller(client, stage.nodes[1].keys().member)
            await caller.call("accounts", "open", OpenArguments(name, stage.lock(1)))

    stage.runner.run(open_account())


def test_order_is_prepared_signed_and_submitted_in_three_places(stage: Stage):
    sender = key_text(stage.nodes[2].keys().member.public)
    where = ("--genesis", stage.genesis)
    to = ("--to", stage.lock(3), "--amount", "11")
    stage.run("sign_elsewhere", "prepare", stage.sockets[2], *where, "--sender", sender, *to, "-o", "order.json")
    shown = stage.run("sign_elsewhere", "sign", "order.json", *where, "--key", stage.keys[2], "-o", "signed.json")
    assert stage.lock(3) in shown
    assert "committed ok" in stage.run("sign_elsewhere", "submit", stage.sockets[3], *where, "signed.json")
    order = json.loads((stage.directory / "order.json").read_text())
    order["outputs"][0]["amount"] += 1
    (stage.directory / "order.json").write_text(json.dumps(order))
    stage.run("sign_elsewhere", "sign", "order.json", *where, "--key", stage.keys[2], "-o", "greedy.json")
    refused = stage.run("sign_elsewhere", "submit", stage.sockets[3], *where, "greedy.json", fails=True)
    assert "committed" not in refused
    wrong = stage.run("sign_elsewhere", "sign", "order.json", *where, "--key", stage.keys[0], "-o", "x", fails=True)
    assert "the order is for" in wrong


def test_statement_adds_up_to_what_stands_there(stage: Stage):
    arguments = ("--genesis", stage.genesis, "--key", stage.keys[3], "--to", stage.lock(0), "--amount", "5")
    stage.run("submit_with_proof", stage.sockets[0], *arguments, "-o", "again.json")
    told = stage.run("account_statement", stage.sockets[0], "--lock", stage.lock(3)).splitlines()
    changed, _, now = told[-1].removeprefix("changed by ").partition(" stands at ")
    supplied = [supply for asset in stage.devnet.network.genesis().assets for supply in asset.supply]
    before = sum(supply.amount for supply in supplied if supply.lock == stage.lock(3))
    assert before + _figure(changed) == _figure(now)
    assert f"{_figure(changed):+}" in told[-2], "the running balance is the last line's"


def _figure(text: str) -> int:
    (figure,) = json.loads(text.replace("'", '"')).values()
    return int(figure)


def test_payments_go_on_when_a_node_is_killed(stage: Stage):
    arguments = ("--genesis", stage.genesis, "--key", stage.keys[1], "--payments", "12")
    program = stage.start("failover", *stage.sockets, *arguments)
    assert program.stdout is not None
    lines = [program.stdout.readline() for _ in range(2)]
    stage.runner.run(stage.devnet.kill("node0"))
    rest, _ = program.communicate(timeout=180)
    assert program.returncode == 0, "".join(lines) + rest
    told = "".join(lines) + rest
    assert told.count(": committed in block ") == 12, told
    assert "nodes caught lying: []" in told
