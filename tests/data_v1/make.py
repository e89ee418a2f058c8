"""Makes the kept data directory with the program that stands on the path: ``python -m tests.data_v1.make DIR``.

Run it with a release's own tree, once; tests/data_v1/README.md says with which it was.
"""

from __future__ import annotations

import asyncio
import json
import shutil
import sys
from hashlib import sha256
from pathlib import Path

from ledger.certificate import VoteKind, vote_digest
from ledger.encoding import encode
from ledger.misbehaviour import Fault, Misbehaviour, Statement, misbehaviour_codec
from node import network as making
from node.client import Client
from node.devnet import Devnet
from node.host import EVIDENCE_FILE
from node.node_keys import NodeKeys
from tests.data_v1.keys import kept_keys
from tests.functional.load import Load, ask, make_network

TRANSFERS = 60


def evidence(chain_id: bytes) -> bytes:
    """The evidence file of a node that has seen its own validator sign two COMMITs."""
    key = kept_keys().validator

    def vote(block: bytes) -> Statement:
        signed = vote_digest(chain_id, 0, VoteKind.COMMIT, 3, 2, block)
        return Statement(2, 0, 3, 2, key.public, key.sign(signed), block)

    found = Misbehaviour(Fault.CONFLICTING_MESSAGES.value, vote(b"\x01" * 32), vote(b"\x02" * 32), None)
    data = encode((misbehaviour_codec.encode(found),))
    return sha256(data).digest() + data


async def make(directory: Path) -> None:
    """Runs a network of one, under load, with a restart, and keeps what it leaves."""
    making.NodeKeys = type("Kept", (NodeKeys,), {"generate": staticmethod(kept_keys)})  # type: ignore[attr-defined,misc]
    network = make_network(directory / "network", validators=1)
    node, load = network.nodes[0], Load(network, 1)
    async with Devnet(network.directory) as devnet:
        for _ in range(2):
            await devnet.start_one(node.name)
            async with load.running():
                await load.wait_more(TRANSFERS // 2)
            (state,) = await ask(node, "chain.state_hash", [{}])
            async with Client(node.socket) as client:
                info = await client.info()
            await devnet.stop()
    assert state["height"] == info.height
    (node.home / "data" / EVIDENCE_FILE).write_bytes(evidence(network.chain_id))
    expected = {
        "height": info.height,
        "block_id": info.block_id.hex(),
        "state_hash": state["hash"],
        "acknowledged": {name.hex(): place for name, place in load.acknowledged.items()},
    }
    directory.joinpath("expected.json").write_text(json.dumps(expected, indent=1) + "\n", encoding="utf-8")
    for name in ("keys", "run", "log", "lock"):
        path = node.home / name
        shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
    for path in [network.directory / "issuer", network.directory / "authority"]:
        shutil.rmtree(path, ignore_errors=True)
    for name in ("LOCK", "LOG", "LOG.old"):
        (node.home / "data" / "chain" / name).unlink(missing_ok=True)


if __name__ == "__main__":
    asyncio.run(make(Path(sys.argv[1])))
