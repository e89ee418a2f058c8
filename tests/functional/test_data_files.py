"""Any file of a home damaged at random: the daemon starts with the truth or refuses with words; it serves nothing else.

And what operators do with a node's data: verify, copy, restore, archive, prune.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest

from ledger.errors import TidegateError
from ledger.genesis import Parameters
from node.cli.exit_codes import CONFIG, INVALID_INPUT, OK, STORAGE
from node.client import Client
from node.devnet import Devnet, NodeFailed
from node.network_file import NetworkNode
from tests.functional.conftest import Start
from tests.functional.daemons import run_node, wait_logged
from tests.functional.load import Load, ask, assert_agreement, chain_goes_on, height_of, until, wait_height

pytestmark = pytest.mark.functional

TRIALS = int(os.environ.get("TIDEGATE_DAMAGE_TRIALS", "5"))
PLACES = ("data/chain", "data/chain", "wal", "genesis.json", "config.toml", "keys")


async def tidegate(*arguments: object) -> tuple[int, Any]:
    """Exit code and JSON document of a command."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-P", "-m", "node.cli", *map(str, arguments), "--json",
        stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
    )  # fmt: skip
    out, errors = await process.communicate()
    assert process.returncode is not None
    print(errors.decode()[-500:])
    return process.returncode, json.loads(out) if out.strip() else None


def damage(home: Path, moments: random.Random) -> str:
    """Flips bytes of a random file of a home, cuts it, or deletes it; says what it did."""
    place = home / moments.choice(PLACES)
    file = place
    if place.is_dir():
        file = moments.choice(sorted(path for path in place.iterdir() if path.is_file() and path.stat().st_size))
    data = bytearray(file.read_bytes())
    how = moments.choice(["flip", "flip", "cut", "delete"])
    if how == "flip":
        for _ in range(3):
            data[moments.randrange(len(data))] ^= moments.randrange(1, 256)
        file.write_bytes(data)
    elif how == "cut":
        file.write_bytes(data[: moments.randrange(len(data))])
    else:
        file.unlink()
    return f"{how} {file.relative_to(home)}"


async def serves_the_truth(victim: NetworkNode, healthy: NetworkNode) -> None:
    """Every block that the victim has, as the healthy node has it; nothing at all is the truth as well."""
    await wait_height([victim], await height_of(healthy) - 1)
    heights = range(min(await height_of(victim), await height_of(healthy)) + 1)
    theirs = await ask(healthy, "block.get", ({"height": h} for h in heights))

    async def whole() -> list[dict[str, Any]] | None:
        try:
            return [*await ask(victim, "block.get", ({"height": h} for h in heights))]
        except (AssertionError, TidegateError) as error:
            print(f"not yet: {error}")  # it is being mended, or the node is between two runs
            return None

    for mine, other in zip(await until(whole, "every block can be read", 120), theirs, strict=True):
        for part in ("block_id", "header", "transactions", "receipts"):
            assert mine[part] == other[part]


async def test_a_node_starts_with_the_truth_or_refuses_when_any_file_is_damaged(start: Start, seed: int) -> None:
    moments, outcomes = random.Random(seed), []
    async with start() as devnet:
        load = Load(devnet.network, seed)
        async with load.running():
            await load.wait_more(40)
        victim = devnet.network.node("node2")
        await devnet.stop([victim.name])
        saved = victim.home.parent / "saved"
        shutil.copytree(victim.home, saved, symlinks=True)
        for _ in range(TRIALS):
            shutil.rmtree(victim.home)
            shutil.copytree(saved, victim.home, symlinks=True)
            what = damage(victim.home, moments)
            print(what)
            outcomes.append((what, await _starts(devnet, victim)))
            if outcomes[-1][1]:
                await serves_the_truth(victim, devnet.network.nodes[0])
                await devnet.stop([victim.name])
        print(outcomes)
        for node in devnet.network.nodes:
            if node.name != victim.name:
                async with Client(node.socket) as client:
                    assert (await client.status())["evidence"] == 0


async def _starts(devnet: Devnet, victim: NetworkNode) -> bool:
    try:
        await devnet.start_one(victim.name)
    except NodeFailed:
        code, errors = await run_node(victim.home)
        assert code in (STORAGE, CONFIG, INVALID_INPUT), (code, errors)
        assert "error" in errors
        assert "Traceback" not in errors
        await devnet.stop([victim.name])
        return False
    return True


async def test_what_operators_do_with_a_node_s_data(start: Start, seed: int, tmp_path: Path) -> None:
    quick = Parameters(empty_block_ms=300, max_timeout_ms=8_000, checkpoint_interval=8)
    async with start(parameters=quick) as devnet:
        nodes = devnet.network.nodes
        load = Load(devnet.network, seed)
        copy, home, genesis = tmp_path / "copy", nodes[2].home, nodes[2].home / "genesis.json"
        async with load.running():
            await load.wait_more(40)
            # A copy of a running node, under load.
            assert (await tidegate("db", "snapshot", "--home", home, "-o", copy))[0] == OK
            await load.wait_more(20)
        assert (await tidegate("db", "verify", "--home", home))[0] != OK  # it runs
        code, found = await tidegate("db", "verify", "--home", home, "--snapshot", copy)
        assert (code, found["ok"]) == (OK, True)
        await wait_height(nodes, 2 * 8 + 64 + 12)
        await devnet.stop(["node2"])
        code, found = await tidegate("db", "verify", "--home", home)
        assert (code, found["ok"], found["findings"]) == (OK, True, [])
        # An archive, and nothing is pruned that is in none.
        file = tmp_path / "first.archive"
        assert (await tidegate("archive", "export", "--home", home, "--from-height", 1, "--to-height", 4, "-o", file))[
            0
        ] == 0
        assert (await tidegate("archive", "verify", file, "--genesis", genesis))[0] == OK
        code, refused = await tidegate("db", "prune", "--home", home, "--retain", 1, "--archived", file)
        assert (code != OK, refused["error"]["code"]) == (True, "not_archived")
        code, pruned = await tidegate("db", "prune", "--home", home, "--retain", 1)
        assert (code, pruned["retained_height"] > 4) == (OK, True)
        assert (await tidegate("db", "verify", "--home", home))[0] == OK
        # Restored to the copy's height, it observes until it is safe, and then its vote counts.
        assert (await tidegate("db", "restore", copy, "--home", home))[0] == CONFIG  # there is data
        code, restored = await tidegate("db", "restore", copy, "--home", home, "--replace")
        assert (code, restored["height"] > 0) == (OK, True)
        await devnet.start_one("node2")
        await wait_logged(nodes[2], "signing_again")
        await assert_agreement(load)
        await devnet.stop(["node0"])
        await chain_goes_on(nodes[1:], 2)


async def test_a_running_node_mends_itself_or_stops_when_its_tables_are_damaged(start: Start, seed: int) -> None:
    """Bytes of LevelDB's tables change under the running daemon: what it reads from them is refused and mended."""
    moments = random.Random(seed)
    async with start() as devnet:
        load = Load(devnet.network, seed)
        victim = devnet.network.node("node2")
        async with load.running():
            await load.wait_more(60)
            # A restart moves what was in the log into tables.
            await devnet.stop([victim.name])
            await devnet.start_one(victim.name)
            await load.wait_more(10)
            for file in (victim.home / "data" / "chain").glob("*.ldb"):
                with file.open("r+b") as table:
                    for _ in range(40):
                        table.seek(moments.randrange(file.stat().st_size))
                        table.write(moments.randbytes(1))
            # Whoever asks the victim for a block gets it, or hears that it cannot be had.
            for height in range(await height_of(devnet.network.nodes[0])):
                await _asked_until_true(devnet, victim, height)
            await load.wait_more(10)
        if devnet.pid(victim.name) is None:
            assert (await run_node(victim.home))[0] in (STORAGE, None)
            await devnet.stop([victim.name])
            await devnet.start_one(victim.name)
        await serves_the_truth(victim, devnet.network.nodes[0])
        await assert_agreement(load)


async def _asked_until_true(devnet: Devnet, victim: NetworkNode, height: int) -> None:
    """One block of the victim is the healthy node's, or an error; an answer that differs fails."""
    (truth,) = await ask(devnet.network.nodes[0], "block.get", [{"height": height}])
    try:
        async with Client(victim.socket) as client:
            told = await client.call("block.get", {"height": height})
    except TidegateError as error:
        print(f"block {height}: {error.code}")
        return
    for part in ("block_id", "header", "transactions", "receipts"):
        assert told[part] == truth[part]
