"""A validator that equivocates in a real network: the chain goes on, its fault is on chain, and it is voted out."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from contracts.validators.evidence import EvidencePage, EvidencePageQuery
from ledger.keys import key_text
from node.client import Client
from node.devnet import Devnet
from node.network_file import NetworkNode
from tests.functional.conftest import Start
from tests.functional.load import PATIENCE_S, Load, assert_agreement, chain_goes_on, until

pytestmark = pytest.mark.functional

ROOT = Path(__file__).parents[2]
HONEST = ("node0", "node1", "node2")
GOVERNORS = "threshold(2,key({Member 0}),key({Member 1}),key({Member 2}))"


@asynccontextmanager
async def byzantine(node: NetworkNode) -> AsyncIterator[asyncio.subprocess.Process]:
    """The node's daemon as the launcher runs it; ended with the block."""
    (node.home / "log").mkdir(exist_ok=True)
    with (node.home / "log" / "node.log").open("ab") as log:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-P", "-m", "tests.functional.byzantine_launcher", str(node.home),
            stdin=asyncio.subprocess.PIPE, stdout=log, stderr=log, env={**os.environ, "PYTHONPATH": str(ROOT)},
        )  # fmt: skip
    try:
        yield process
        assert process.returncode is None, "the byzantine daemon ended by itself"
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def tidegate(*arguments: object) -> tuple[int | None, dict[str, Any]]:
    """Exit code and JSON document of a command."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-P", "-m", "node.cli", *map(str, arguments), "--json",
        stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    async with asyncio.timeout(PATIENCE_S):
        out, errors = await process.communicate()
    print(*arguments, process.returncode, errors.decode())
    return process.returncode, json.loads(out) if out else {}


async def on_chain(node: NetworkNode) -> tuple[Any, ...]:
    async with Client(node.socket) as client:
        return (await client.view("validators", "evidence_page", EvidencePageQuery(0, 100), EvidencePage)).evidence


async def test_an_equivocating_validator_is_exposed_and_removed(start: Start, seed: int, tmp_path: Path) -> None:
    async with start(run=HONEST, policies={"governors": GOVERNORS}) as devnet:
        network = devnet.network
        honest, liar = network.nodes[:3], network.nodes[3]
        load = Load(network, seed, at=HONEST)
        async with byzantine(liar):
            await devnet.wait_ready(HONEST, peers=3)
            async with load.running():
                await load.wait_more(30)
                found = await until(lambda: on_chain(honest[0]), "evidence on chain")
                await load.wait_more(10)
                await remove(devnet, liar)
                await load.wait_more(30)
            assert {key_text(item.signer) for item in await on_chain(honest[0])} == {liar.validator}
            assert all(item.reporter != liar.keys().member.public for item in found)
            await chain_goes_on(honest)
            await check_status(honest[1], liar)
            bundle = tmp_path / "fault.json"
            code, exported = await tidegate("evidence", "export", 1, "-o", bundle, "--home", honest[2].home)
            assert (code, exported["validator"]) == (0, liar.validator)
            await assert_agreement(load, honest)
    await check_offline(bundle, network.directory / "genesis.json", liar)


async def remove(devnet: Devnet, liar: NetworkNode) -> None:
    """Two of three governors vote the validator out; from then on it decides nothing."""
    keys = [node.home / "keys" / "member.key" for node in devnet.network.nodes[:2]]
    code, approval = await tidegate(
        "governance", "propose-validators", "--remove", liar.validator, "--home", devnet.network.nodes[0].home,
        "--key", keys[0], "--key", keys[1],
    )  # fmt: skip
    assert (code, approval["status"]) == (0, "executed")

    async def gone() -> bool:
        for node in devnet.network.nodes[:3]:
            async with Client(node.socket) as client:
                seated = (await client.status())["validators"]
            if liar.validator in [validator["key"] for validator in seated]:
                return False
        return True

    await until(gone, "the set without the liar")


async def check_status(node: NetworkNode, liar: NetworkNode) -> None:
    """The operator of another node sees who did what."""
    async with Client(node.socket) as client:
        shown = (await client.status())["misbehaviour"]
    assert shown["recorded"] >= 1
    assert {(item["validator"], item["fault"]) for item in shown["latest"]} == {
        (liar.validator, "conflicting_messages")
    }
    code, listed = await tidegate("evidence", "list", "--home", node.home)
    assert code == 0
    assert {item["organisation"] for item in listed["recorded"]} == {liar.organisation}


async def check_offline(bundle: Path, genesis: Path, liar: NetworkNode) -> None:
    """No node runs any more: the file proves the fault, and no other file does."""
    code, proved = await tidegate("evidence", "verify", bundle, "--genesis", genesis)
    assert (code, proved["valid"], proved["validator"]) == (0, True, liar.validator)
    data = bundle.read_bytes()
    for place in (len(data) // 3, 2 * len(data) // 3, len(data) - 40):
        bundle.write_bytes(data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :])
        code, refused = await tidegate("evidence", "verify", bundle, "--genesis", genesis)
        assert (code, list(refused)) == (1, ["error"])
