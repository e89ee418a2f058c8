"""``tidegate proof`` against a node on a real socket: files that hold without it, and what is said when they do not."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from ledger.genesis import format_genesis
from node.cli.app import root
from tests.node.client.stage import Node
from tests.node.cluster import Cluster


class Desk:
    """A node with a payment, its socket and its genesis file."""

    def __init__(self, node: Node, folder: Path) -> None:
        self.node, self.folder = node, folder
        self.genesis = folder / "genesis.json"
        self.genesis.write_bytes(format_genesis(node.genesis))
        self.socket = folder / "rpc.sock"

    async def run(self, *arguments: str) -> Result:
        return await asyncio.to_thread(CliRunner().invoke, root, ["proof", *arguments])

    async def fetch(self, *arguments: str, file: str = "proof.json") -> Result:
        place = ["--socket", str(self.socket), "--genesis", str(self.genesis), "-o", str(self.folder / file)]
        return await self.run(*arguments, *place)

    async def verify(self, file: str = "proof.json", *more: str) -> Result:
        return await self.run("verify", str(self.folder / file), "--genesis", str(self.genesis), *more)


@pytest.fixture
async def desk(tmp_path: Path) -> Any:
    node = Node(Cluster(4, checkpoint_interval=4))
    found = Desk(node, tmp_path)
    runner = await node.serve(found.socket)
    yield found
    await runner.cleanup()


async def test_a_transaction_is_proved_offline_when_a_node_gave_the_file(desk: Desk):
    payment = await desk.node.pay_soon()
    await desk.node.grow(3)
    done = await desk.fetch("transaction", payment.tx_id.hex())
    assert done.exit_code == 0, done.output
    assert "took effect" in done.output
    shown = await desk.verify("proof.json", "--json")
    document = json.loads(shown.stdout)
    assert (document["valid"], document["tx_id"], document["height"]) == (True, payment.tx_id.hex(), 1)
    assert document["transaction"]["outputs"][0]["amount"] == 5


async def test_headers_and_state_are_proved_offline_when_a_node_gave_the_files(desk: Desk):
    payment = await desk.node.pay_soon()
    await desk.node.grow(9)
    spent, kept = payment.body.inputs[0].hex(), desk.node.cluster.genesis_output(1).hex()
    for arguments, words in (
        (("header", "4"), "block 4 of test is"),
        (("state", "--output", spent), "after block 4 of test the state key held nothing"),
        (("state", "--output", kept), "held 8"),
        (("state", "--contract", "accounts", "--record", "00ff"), "held nothing"),
        (("state", "--state-key", "63"), "held nothing"),
    ):
        done = await desk.fetch(*arguments)
        assert done.exit_code == 0, done.output
        assert words in done.output
        shown = await desk.verify()
        assert shown.exit_code == 0, shown.output
        assert words in shown.output


async def test_the_block_is_the_proof_when_the_checkpoint_is_older(desk: Desk):
    await desk.node.grow(2)
    payment = await desk.node.pay_soon()
    await desk.node.grow(1)
    done = await desk.fetch("state", "--output", payment.body.inputs[0].hex())
    assert done.exit_code == 0, done.output
    assert "block 3 of test deleted the state key" in done.output


async def test_a_file_is_refused_with_its_field_when_a_byte_is_another(desk: Desk):
    await desk.node.grow(3)
    await desk.fetch("header", "2")
    file = desk.folder / "proof.json"
    text = file.read_text()
    file.write_text(text.replace('"time_ms": 17', '"time_ms": 18'))
    shown = await desk.verify()
    assert shown.exit_code == 1
    assert "proof" in shown.output
    file.write_text(text.replace('"header"', '"Header"'))
    shown = await desk.verify()
    assert shown.exit_code == 1
    assert "Header" in shown.output


async def test_nothing_is_written_when_the_node_lies(desk: Desk):
    payment = await desk.node.pay_soon()
    await desk.node.grow(1)
    desk.node.lies["proof.transaction"] = lambda _, answer: {**answer, "proof": answer["proof"][:-2] + "00"}
    done = await desk.fetch("transaction", payment.tx_id.hex())
    assert done.exit_code == 1, done.output
    assert not (desk.folder / "proof.json").exists()


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (("transaction", "zz"), 3),
        (("transaction", "00" * 32), 5),
        (("header", "99"), 5),
        (("state",), 2),
        (("state", "--contract", "accounts"), 2),
        (("state", "--output", "00", "--state-key", "00"), 2),
        (("state", "--output", "00"), 3),
        (("state", "--state-key", "63"), 5),
    ],
)
async def test_the_exit_code_says_what_is_wrong_when_a_question_is(desk: Desk, arguments: tuple[str, ...], code: int):
    await desk.node.grow(1)
    done = await desk.fetch(*arguments)
    assert done.exit_code == code, done.output


async def test_a_url_needs_the_genesis_file(desk: Desk):
    done = await desk.run("header", "1", "--url", "https://127.0.0.1:1", "-o", "x")
    assert done.exit_code == 2
    assert "--genesis" in done.output
    done = await desk.run("verify", str(desk.folder / "nothing"), "--genesis", str(desk.genesis))
    assert done.exit_code == 78
