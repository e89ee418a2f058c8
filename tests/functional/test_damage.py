"""Damaged files of a stopped validator: it starts with the right state or refuses, and never serves wrong data."""

from __future__ import annotations

import random
import shutil
from pathlib import Path

import pytest

from node.cli.exit_codes import STORAGE
from node.client import Client
from node.devnet import Devnet, NodeFailed
from node.network_file import NetworkNode
from tests.functional.conftest import Start
from tests.functional.daemons import log_lines, run_node, wait_logged
from tests.functional.load import Load, ask, assert_agreement, chain_goes_on, height_of

pytestmark = pytest.mark.functional

TRIALS = 6
FLIPS = 3


async def fill(devnet: Devnet, load: Load, count: int = 60) -> NetworkNode:
    """Some blocks; then the victim is stopped."""
    async with load.running():
        await load.wait_more(count)
    await assert_agreement(load)
    victim = devnet.network.node("node2")
    await devnet.stop([victim.name])
    return victim


def flip(file: Path, moments: random.Random, count: int = FLIPS) -> list[int]:
    """Changes bytes of a file in place."""
    data = bytearray(file.read_bytes())
    places = [moments.randrange(len(data)) for _ in range(count)]
    for place in places:
        data[place] ^= moments.randrange(1, 256)
    file.write_bytes(data)
    return places


async def starts(devnet: Devnet, victim: NetworkNode) -> bool:
    """Whether the victim starts; when it refuses, it has said why."""
    try:
        await devnet.start_one(victim.name)
    except NodeFailed as error:
        refused = str(error)
    else:
        return True
    assert "[storage_fault]" in refused, refused
    assert (await run_node(victim.home))[0] == STORAGE
    await devnet.stop([victim.name])
    return False


async def observes(victim: NetworkNode) -> bool:
    async with Client(victim.socket) as client:
        return bool((await client.status())["observing"])


async def test_a_validator_serves_nothing_wrong_when_its_store_is_damaged(start: Start, seed: int) -> None:
    moments, refused = random.Random(seed), 0
    async with start() as devnet:
        load = Load(devnet.network, seed)
        victim = await fill(devnet, load)
        saved = victim.home / "saved"
        shutil.copytree(victim.home / "data", saved)
        # LevelDB's own lock file is empty: there is nothing in it to damage.
        files = sorted(file.relative_to(saved) for file in (saved / "chain").iterdir() if file.stat().st_size)
        newest = [file for file in files if file.suffix in (".ldb", ".log")]
        for trial in range(TRIALS):
            shutil.rmtree(victim.home / "data")
            shutil.copytree(saved, victim.home / "data")
            # The newest table and log first, then any file of the store.
            file = newest[-1 - trial] if trial < len(newest) else moments.choice(files)
            places = flip(victim.home / "data" / file, moments)
            print(f"trial {trial}: {file} at {places}")
            if await starts(devnet, victim):
                await assert_agreement(load)
                await devnet.stop([victim.name])
            else:
                refused += 1
        print(f"refused {refused} of {TRIALS}")
        # What an operator does: without the damaged data the node gets everything from its peers.
        shutil.rmtree(victim.home / "data")
        await devnet.start_one(victim.name)
        await assert_agreement(load)
        await chain_goes_on(devnet.network.nodes)


async def test_a_validator_signs_when_the_end_of_its_signer_log_was_never_written(start: Start, seed: int) -> None:
    async with start() as devnet:
        load = Load(devnet.network, seed)
        victim = await fill(devnet, load)
        log = victim.home / "wal" / "signer.log"
        log.write_bytes(log.read_bytes() + random.Random(seed).randbytes(100))
        await devnet.start_one(victim.name)
        assert not await observes(victim)
        await devnet.stop(["node0"])
        await chain_goes_on(devnet.network.nodes[1:], 2)
        await devnet.start_one("node0")
        await assert_agreement(load)


async def test_a_validator_contradicts_nothing_when_its_signer_log_is_truncated(start: Start, seed: int) -> None:
    async with start() as devnet:
        load = Load(devnet.network, seed)
        victim = await fill(devnet, load)
        log = victim.home / "wal" / "signer.log"
        data = log.read_bytes()
        log.write_bytes(data[: random.Random(seed).randrange(len(data) // 2, len(data))])
        await devnet.start_one(victim.name)
        async with load.running():
            await load.wait_more(20)
        await assert_agreement(load)
        for node in devnet.network.nodes:
            async with Client(node.socket) as client:
                assert (await client.status())["evidence"] == 0


@pytest.mark.parametrize("part", ["middle", "header"])
async def test_a_validator_observes_until_it_is_safe_when_its_signer_log_is_damaged(
    start: Start, seed: int, part: str
) -> None:
    async with start() as devnet:
        load = Load(devnet.network, seed)
        victim = await fill(devnet, load)
        log = victim.home / "wal" / "signer.log"
        data = bytearray(log.read_bytes())
        data[len(data) // 2 if part == "middle" else 10] ^= 0x55
        log.write_bytes(data)
        before = await height_of(devnet.network.nodes[0])
        await devnet.start_one(victim.name)
        async with load.running():
            through = (await wait_logged(victim, "signing_again"))["height"] - 1
            await load.wait_more(20)
        await assert_agreement(load)
        assert through > before
        # It may have signed the block that was being decided while it stopped.
        assert not await signed_between(victim, before + 2, through)
        # Nothing of it is lost for whoever wants to know what happened to the disk.
        (kept,) = (victim.home / "wal").glob("signer.log.damaged-*")
        assert kept.read_bytes() == data
        assert [line["kept"] for line in log_lines(victim) if line["event"] == "signer_log_damaged"] == [str(kept)]
        async with Client(victim.socket) as client:
            assert (await client.status())["signer"] == {
                "observing": None,
                "through_height": None,
                "damaged_logs": [kept.name],
            }
        # Without one of the others its signature is needed.
        await devnet.stop(["node0"])
        await chain_goes_on(devnet.network.nodes[1:], 2)
        for node in devnet.network.nodes[1:]:
            async with Client(node.socket) as client:
                assert (await client.status())["evidence"] == 0


async def signed_between(node: NetworkNode, first: int, last: int) -> bool:
    """Whether any block there carries the node's signature."""
    key = node.keys().validator.public.hex()
    blocks = await ask(node, "block.get", ({"height": height} for height in range(first, last + 1)))
    return any(key in (seal[0] for seal in block["certificate"]["seals"]) for block in blocks)
