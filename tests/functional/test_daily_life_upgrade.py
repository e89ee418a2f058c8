"""The present program on the data directory of the release before: it verifies all of it, and goes on."""

from __future__ import annotations

import json
import secrets
import shutil
import socket
from collections import deque
from pathlib import Path
from typing import Any

import pytest

from ledger.keys import SigningKey, key_text
from ledger.store_leveldb import LevelStore
from node.chain import Chain
from node.client import Client
from node.devnet import Devnet
from node.doctor.examine import examine
from node.keyfile import write_key
from node.layout import HomeLayout
from node.network_file import Network, load_network
from node.signer_log import read_signer_log
from node.signer_state import decode_records
from tests.data_v1.keys import kept_keys
from tests.functional.load import ASSET, Purse, ask

pytestmark = [pytest.mark.functional, pytest.mark.timeout(400)]

KEPT = Path(__file__).parents[1] / "data_v1"
EXPECTED: dict[str, Any] = json.loads(KEPT.joinpath("expected.json").read_text(encoding="utf-8"))


@pytest.fixture
def network(tmp_path: Path) -> Network:
    """A copy to run, with its keys and a port that is free."""
    shutil.copytree(KEPT / "network", tmp_path / "n")
    before = load_network(tmp_path / "n")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    for file in (tmp_path / "n" / "network.json", before.nodes[0].home / "config.toml"):
        text = file.read_text(encoding="utf-8")
        assert str(before.nodes[0].port) in text
        file.write_text(text.replace(str(before.nodes[0].port), str(port)), encoding="utf-8")
    layout = HomeLayout(before.nodes[0].home)
    layout.make_directories()
    for kind, seed in kept_keys().seeds().items():
        write_key(layout.key_file(kind), kind, seed)
    return load_network(tmp_path / "n")


async def test_every_record_verifies_when_the_present_program_opens_it(network: Network) -> None:
    node = network.nodes[0]
    chain = Chain(network.genesis(), LevelStore(str(node.home / "data" / "chain")))
    try:
        assert (chain.tip.height, chain.tip.block_id.hex()) == (EXPECTED["height"], EXPECTED["block_id"])
        report = chain.store.verify_all(lambda height: chain.seats_at(height).validators)
        assert report.ok, report.damage
        for name, place in EXPECTED["acknowledged"].items():
            assert chain.store.find_transaction(bytes.fromhex(name)) == tuple(place)
    finally:
        chain.close()
    assert decode_records(read_signer_log(node.home / "wal"))


async def test_the_chain_goes_on_when_the_present_program_runs_it(network: Network) -> None:
    node = network.nodes[0]
    assert [finding.code for finding in (await examine(node.home)).findings] == ["daemon.stopped"]
    async with Devnet(network.directory) as devnet:
        await devnet.start_one(node.name, timeout_s=120)
        async with Client(node.socket) as client:
            status = await client.status()
            assert status["observing"] is False
            assert status["chain"]["height"] >= EXPECTED["height"]
            (block,) = await ask(node, "block.get", [{"height": EXPECTED["height"]}])
            assert block["block_id"] == EXPECTED["block_id"]
            outcomes = await ask(node, "tx.outcome", ({"tx_id": name} for name in EXPECTED["acknowledged"]))
            places = [[outcome["height"], outcome["index"]] for outcome in outcomes]
            assert places == list(EXPECTED["acknowledged"].values())
            # What is known against the validator waits on: nobody reports himself.
            assert status["misbehaviour"]["waiting"] == 1
            for transaction in await _transfers(client, network):
                assert (await client.submit_and_wait(transaction, 60)).status == "committed"
        assert [finding.code for finding in (await examine(node.home)).findings] == ["validator.misbehaved"]
        await devnet.stop()
    # Stopped and started by the present program, it is still the same chain.
    chain = Chain(network.genesis(), LevelStore(str(node.home / "data" / "chain")))
    try:
        assert chain.tip.height > EXPECTED["height"]
        assert chain.store.verify_all(lambda height: chain.seats_at(height).validators).ok
    finally:
        chain.close()


async def _transfers(client: Client, network: Network, count: int = 8) -> list[Any]:
    """Spends what the kept chain left unspent."""
    key = kept_keys().member
    lock = f"key({key_text(key.public)})"
    found = await client.unspent(lock, asset=ASSET, limit=count)
    assert len(found) == count
    sink = f"key({key_text(SigningKey(secrets.token_bytes(32)).public)})"
    info = await client.info()
    outputs = deque((item.outpoint, item.output.amount) for item in found)
    purse = Purse(key, network.chain_id, sink, info.height + 100, outputs)
    return [purse.transfer() for _ in range(count)]
