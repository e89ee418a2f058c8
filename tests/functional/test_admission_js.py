"""A stock js-libp2p peer and our nodes: admitted it connects and pings, not admitted it is refused in the handshake.

It needs node and npm, and the npm registry the first time. Where these are not wanted, ``TIDEGATE_TEST_WITHOUT_NODE=1``
skips this file; otherwise it fails when they are missing, so that nobody believes it has run.
"""

from __future__ import annotations

import asyncio
import json
import os
import secrets
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from node.client import Client
from node.network_file import NetworkNode
from p2p.identity import TransportKey
from tests.functional.conftest import Start
from tests.functional.daemons import wait_logged

pytestmark = [
    pytest.mark.functional,
    pytest.mark.timeout(240),
    pytest.mark.skipif(os.environ.get("TIDEGATE_TEST_WITHOUT_NODE") == "1", reason="TIDEGATE_TEST_WITHOUT_NODE=1"),
]

SOURCE = Path(__file__).parent / "js"
INSTALL_S = 180
PINGS = 3


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The peer's program beside its installed packages, exactly those of package-lock.json."""
    missing = [name for name in ("node", "npm") if shutil.which(name) is None]
    assert not missing, f"{' and '.join(missing)} not found: install Node.js 20, or set TIDEGATE_TEST_WITHOUT_NODE=1"
    directory = tmp_path_factory.mktemp("js")
    for name in ("package.json", "package-lock.json", "peer.mjs"):
        shutil.copy(SOURCE / name, directory)
    command = ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"]
    installed = subprocess.run(
        command, cwd=directory, capture_output=True, text=True, timeout=INSTALL_S, stdin=subprocess.DEVNULL, check=False
    )
    assert installed.returncode == 0, f"npm ci failed:\n{installed.stdout}\n{installed.stderr}"
    return directory / "peer.mjs"


async def dial(program: Path, key: TransportKey, node: NetworkNode) -> dict[str, Any]:
    """What a js-libp2p peer with that identity meets at a node."""
    orders = {
        "seed": key.seed.hex(),
        "address": f"/ip4/{node.host}/tcp/{node.port}/p2p/{node.peer_id}",
        "pings": PINGS,
    }
    process = await asyncio.create_subprocess_exec(
        "node", str(program), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    try:
        async with asyncio.timeout(60):
            answer, errors = await process.communicate(json.dumps(orders).encode())
    finally:
        if process.returncode is None:
            process.kill()
            await process.communicate()
    assert process.returncode == 0, errors.decode()
    document: dict[str, Any] = json.loads(answer)
    assert document["peer_id"] == key.peer_id
    return document


async def test_a_js_peer_connects_only_when_its_key_is_certified(start: Start, program: Path) -> None:
    async with start(validators=1, observers=1, run=("node0",)) as devnet:
        node, observer = devnet.network.nodes
        met = await dial(program, observer.keys().transport, node)
        assert met["connected"], met
        assert len(met["ping_ms"]) == PINGS
        assert met["agent"] == "tidegate"
        assert any(name.endswith("/vote/1") for name in met["protocols"])

        stranger = TransportKey(secrets.token_bytes(32))
        met = await dial(program, stranger, node)
        assert not met["connected"], met
        assert met["error"]
        assert (await wait_logged(node, "peer_refused", stranger.peer_id))["code"] == "peer_not_admitted"
        async with Client(node.socket) as client:
            assert (await client.status())["peers"] == []
