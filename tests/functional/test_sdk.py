"""The SDK against real daemons: finality, state, blocks and subscriptions proved, over a killed node, from the file."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from ledger.genesis import Parameters
from ledger.proofs import StateProofAt
from ledger.transaction import outpoint
from node.cli.app import root
from node.client import Client, ProvedState
from tests.functional.conftest import START_S, Start
from tests.functional.load import purses_of

pytestmark = pytest.mark.functional


async def command(*arguments: str) -> str:
    done = await asyncio.to_thread(CliRunner().invoke, root, list(arguments))
    assert done.exit_code == 0, done.output
    return done.stdout


async def follow_blocks(client: Client, count: int) -> list[int]:
    """Heights of the next blocks, each proved."""
    found: list[int] = []
    async for note in client.subscribe("blocks", from_height=1):
        assert note.cursor is not None
        found.append(note.cursor.height)
        if len(found) == count:
            break
    return found


async def proved_after(client: Client, source: bytes, height: int) -> ProvedState:
    """An output's state at the first checkpoint that the chain proves from ``height`` on."""
    async with asyncio.timeout(START_S):
        while True:
            found = await client.proved_output(source)
            if isinstance(found.proof, StateProofAt) and found.height >= height:
                return found
            await asyncio.sleep(0.2)


async def test_nothing_that_matters_is_believed_when_daemons_are_used_through_the_sdk(start: Start, tmp_path: Path):
    parameters = Parameters(empty_block_ms=1_000, max_timeout_ms=8_000, checkpoint_interval=4)
    async with start(parameters=parameters) as devnet:
        network = devnet.network
        genesis, light = network.genesis(), tmp_path / "light"
        purse = purses_of(network)[0]
        sockets = [node.socket for node in network.nodes]
        async with Client(sockets, genesis=genesis, light_file=light) as client:
            first = purse.transfer()
            outcome = await client.submit_and_wait(first, START_S)
            assert outcome.status == "committed"
            assert client.light.height >= outcome.height
            await devnet.kill(network.nodes[0].name)
            second = purse.transfer()
            later = await client.submit_and_wait(second, START_S)
            assert later.status == "committed"
            assert client.liars == {}
            proved = await client.proved_transaction(first.tx_id)
            assert (proved.header.height, proved.transaction.wire) == (outcome.height, first.wire)
            held = await client.proved_output(outpoint(second.tx_id, 0))
            assert held.value is not None
            assert held.height >= later.height
            assert (await client.block(height=later.height))["transactions"] == [second.tx_id.hex()]
            assert (await proved_after(client, outpoint(first.tx_id, 0), outcome.height)).value is not None
            assert (await proved_after(client, first.body.inputs[0], outcome.height)).value is None
            assert await asyncio.wait_for(follow_blocks(client, later.height), START_S) == list(
                range(1, later.height + 1)
            )
        async with Client(sockets[1:], genesis=genesis, light_file=light) as client:
            assert client.light.height >= later.height
        home, file = network.nodes[1].home, tmp_path / "proof.json"
        await command("proof", "transaction", second.tx_id.hex(), "--home", str(home), "-o", str(file))
    shown = await command(
        "proof", "verify", str(file), "--genesis", str(network.nodes[2].home / "genesis.json"), "--json"
    )
    assert json.loads(shown)["tx_id"] == second.tx_id.hex()
