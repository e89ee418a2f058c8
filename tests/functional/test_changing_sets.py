"""Validators that come and go in a network of real daemons, under load, by the commands that an operator types."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import pytest

from contracts.validators.calls import EpochPage, EpochsQuery
from ledger.certificate import CommitCertificate, verify_certificate
from ledger.document import from_document
from ledger.genesis import Parameters
from ledger.types import PublicKey
from ledger.validators import ValidatorSet
from node.client import Client
from node.devnet import Devnet
from node.network_file import NetworkNode
from tests.functional.conftest import Start
from tests.functional.load import Load, ask, assert_agreement, height_of, until, wait_height

pytestmark = pytest.mark.functional

PATIENCE_S = 120.0
UNHURRIED = Parameters(empty_block_ms=3_000, max_timeout_ms=8_000, package_transactions=64, package_ms=100)
"""One validator alone would make hundreds of blocks a second, and every one of them is compared on seven nodes."""
SERVED = ["node0", "node2", "node4", "node6"]
"""Where transactions are handed in: nodes that come, that stay and that leave."""


async def tidegate(devnet: Devnet, *arguments: str) -> tuple[int | None, Any]:
    """Exit code of a command and the document that it writes, asked at the network's first node."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-P", "-m", "node.cli", *arguments, "--home", str(devnet.network.directory), "--json",
        stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
    )  # fmt: skip
    async with asyncio.timeout(PATIENCE_S):
        output, errors = await process.communicate()
    assert output, errors.decode()
    return process.returncode, json.loads(output)


async def simulated(devnet: Devnet, *names: str, live: int) -> tuple[int | None, Any]:
    """What ``governance simulate`` says of these newcomers once it sees so many live ones."""

    async def seen() -> tuple[int | None, Any] | None:
        found = await tidegate(devnet, "governance", "simulate", *_each("--add", names))
        return found if found[1].get("live") == live else None

    found: tuple[int | None, Any] = await until(seen, f"{live} live ones", PATIENCE_S)
    return found


def _each(option: str, names: Iterable[str]) -> list[str]:
    return [part for name in names for part in (option, name)]


async def change(devnet: Devnet, *, add: Iterable[str] = (), remove: Iterable[str] = ()) -> None:
    """Has the governor decide a change, and waits until it is in force everywhere that runs."""
    key = devnet.network.directory / "authority" / "keys" / "authority.key"
    words = [*_each("--add", add), *_each("--remove", remove), "--key", str(key)]
    code, done = await tidegate(devnet, "governance", "propose-validators", *words)
    assert (code, done.get("status")) == (0, "executed"), done
    async with Client(devnet.network.nodes[0].socket) as client:
        page = await client.view("validators", "epochs", EpochsQuery(0, 1), EpochPage)
    running = [node for node in devnet.network.nodes if devnet.pid(node.name) is not None]
    await wait_height(running, page.epochs[0].start, PATIENCE_S)


async def sets_of(node: NetworkNode) -> dict[int, tuple[int, ValidatorSet]]:
    """Epoch and set of every height up to the tip, as contract ``validators`` on this node says."""
    async with Client(node.socket) as client:
        tip = (await client.info()).height
        page = await client.view("validators", "epochs", EpochsQuery(0, 32), EpochPage)
    found: dict[int, tuple[int, ValidatorSet]] = {}
    for epoch in page.epochs:
        validators = ValidatorSet(PublicKey(key) for key in epoch.keys)
        found.update(dict.fromkeys(range(epoch.start, (epoch.end or tip) + 1), (epoch.number, validators)))
    return {height: found[height] for height in range(1, tip + 1)}


async def assert_certified(devnet: Devnet, node: NetworkNode) -> list[int]:
    """Every block has a certificate of a quorum of its own height's set; sizes of the sets in order."""
    sets, sizes = await sets_of(node), []
    blocks = await ask(node, "block.get", ({"height": height} for height in sets))
    for (epoch, validators), block in zip(sets.values(), blocks, strict=True):
        certificate = from_document(block["certificate"], CommitCertificate)
        assert certificate.epoch == epoch == block["header"]["epoch"]
        verify_certificate(certificate, devnet.network.chain_id, validators)
        if len(validators) not in sizes[-1:]:
            sizes.append(len(validators))
    return sizes


async def assert_seated(nodes: Sequence[NetworkNode], expected: set[str]) -> None:
    """Every node that runs knows these validators, and each of these knows that it is one."""
    for node in nodes:
        async with Client(node.socket) as client:
            status = await client.status()
        assert {item["organisation"] for item in status["validators"]} == expected
        assert status["validator"] == (node.organisation in expected)


async def test_set_goes_from_one_to_four_to_seven_to_four_others_under_load(start: Start, seed: int) -> None:
    async with start(validators=1, observers=6, candidates=True, parameters=UNHURRIED) as devnet:
        nodes = devnet.network.nodes
        names = {node.name: node.organisation for node in nodes}
        load = Load(devnet.network, seed, at=SERVED)
        async with load.running():
            await load.wait_more(20, PATIENCE_S)
            newcomers = ["node1", "node2", "node3"]
            code, forecast = await simulated(devnet, *newcomers, live=4)
            assert (code, len(forecast["after"]), forecast["quorum"], forecast["warnings"]) == (0, 4, 3, [])
            await change(devnet, add=newcomers)
            await load.wait_more(20, PATIENCE_S)

            # One of the next three is offline: known before, and borne by the set.
            await devnet.stop(["node5"])
            newcomers = ["node4", "node5", "node6"]
            code, forecast = await simulated(devnet, *newcomers, live=6)
            assert (code, forecast["quorum"], forecast["spare"]) == (1, 5, 1)
            assert [warned["code"] for warned in forecast["warnings"]] == ["added_offline"]
            await change(devnet, add=newcomers)
            await load.wait_more(20, PATIENCE_S)
            await devnet.start_one("node5", timeout_s=PATIENCE_S)
            await wait_height([devnet.network.node("node5")], await height_of(nodes[0]), PATIENCE_S)
            await assert_seated(nodes, set(names.values()))

            await change(devnet, remove=["node0", "node1", "node2"])
            await load.wait_more(20, PATIENCE_S)
        await assert_seated(nodes, {names[name] for name in ("node3", "node4", "node5", "node6")})
        # Those who came decide alone, and those who left serve.
        await devnet.stop(["node1", "node2", "node3"])
        async with load.running():
            await load.wait_more(10, PATIENCE_S)
        await devnet.start(["node1", "node2", "node3"])
        await devnet.wait_ready(peers=6, timeout_s=PATIENCE_S)
        await assert_agreement(load, timeout_s=PATIENCE_S)
        print(f"{await height_of(nodes[0])} blocks, {len(load.acknowledged)} transfers")
        for node in nodes:
            assert await assert_certified(devnet, node) == [1, 4, 7, 4]
