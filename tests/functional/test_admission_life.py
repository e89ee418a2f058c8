"""A certificate in a running network: issued, warned about, renewed, rotated, revoked (docs/networks.md)."""

from __future__ import annotations

import asyncio
import json
from itertools import pairwise
from pathlib import Path

import pytest

from node.cli.exit_codes import CONFIG
from node.client import Client
from tests.functional.documented import Reader, reader
from tests.functional.load import until

pytestmark = pytest.mark.functional

NODES = ["platform-b", "insurer-c", "member-d"]
BLOCKS_TO_DISCONNECT = 2
WAIT_S = 120.0


async def test_certificate_lives_from_issue_to_revocation_while_the_network_goes_on(tmp_path: Path) -> None:
    async with reader(tmp_path) as operator:
        await operator.run("tidegate network example > network.toml")
        operator.change_ports()
        operator.edit("empty_block_ms = 5000", "empty_block_ms = 400")
        await operator.run("tidegate network new network.toml -o network")
        await operator.start_all(NODES)
        await _add(operator)
        await _renew(operator)
        await _revoke(operator)
        await _rotate(operator)


async def _add(operator: Reader) -> None:
    """A node joins, with a certificate that ends in 20 days."""
    await operator.follow("add")
    unsigned = json.loads((operator.directory / "request-hospital-e.json").read_bytes())
    assert set(unsigned) == {"tidegate_member", "keys", "proofs"}
    # Nobody has certified it: its peers are there and do not let it in.
    checked = await operator.run("tidegate config check --home network/homes/hospital-e", code=CONFIG)
    assert "certificate.missing" in checked
    assert checked.count("peer.refuses") == 3
    issue, sign, admit = operator.commands("admit")
    await operator.run(issue)
    # One key of the two that are needed: the chain does not take it.
    early = await operator.run(admit.replace("certificates.json", "certificates-1.json"), code=1)
    assert "admission_certificate_refused" in early
    await operator.run(sign)
    await operator.run(admit)
    await operator.start("hospital-e")

    async def joined() -> bool:
        status = await operator.status("hospital-e")
        return status is not None and len(status["peers"]) == 3 and status["chain"]["height"] > 1

    await until(joined, "the new node has connected and caught up", WAIT_S)


async def _renew(operator: Reader) -> None:
    """30 days before the end everybody is told; a renewal ends that without a restart."""

    async def warnings(name: str) -> list[str]:
        status = await operator.status(name)
        assert status is not None
        return [item["warning"] for item in status["certificates"] if item["warning"]]

    async def told() -> bool:
        found = [await warnings(name) for name in ("platform-b", "hospital-e")]
        return found == [["expires_soon", "expires_soon"]] * 2

    await until(told, "the node and another tell it", WAIT_S)

    async def logged() -> bool:
        return "certificate_expires" in operator.log("hospital-e")

    await until(logged, "the log says it", WAIT_S)
    checked = await operator.run("tidegate config check --home network/homes/hospital-e --json")
    assert "certificate.expires" in checked
    listed, _ = await operator.follow("renew")
    assert listed.count("Hospital E") == 2

    async def silent() -> bool:
        return not await warnings("hospital-e") and not await warnings("platform-b")

    await until(silent, "nobody warns any more", WAIT_S)


async def _rotate(operator: Reader) -> None:
    """A validator gets new node keys; the others go on deciding while it restarts."""
    before = await operator.status("member-d")
    assert before is not None
    first, *rest = operator.commands("rotate")
    told = json.loads(await operator.run(f"{first} --json"))
    await _refused(operator, "rotation_not_ready")  # not certified yet
    for command in rest:
        await operator.run(command)
    await _refused(operator, "rotation_not_ready")  # not in the set yet
    replace = next(step for step in told["steps"] if "propose-validators" in step)
    keys = " ".join(f"--key network/homes/{name}/keys/authority.key" for name in ("platform-b", "insurer-c"))
    await operator.run(replace.replace("--key GOVERNOR…", keys))
    await operator.follow("finish")
    height = await _height(operator, "platform-b")
    await operator.stop("member-d")
    await operator.start("member-d")

    async def votes_again() -> bool:
        status = await operator.status("member-d")
        return (
            status is not None
            and status["key"] != before["key"]
            and status["validator"]
            and status["signer"]["observing"] is None
            and status["chain"]["height"] > height + 2
        )

    await until(votes_again, "the node validates with its new key", WAIT_S)
    after = await operator.status("member-d")
    assert after is not None
    assert after["peer_id"] != before["peer_id"]
    async with Client(operator.home("platform-b").find_socket()) as client:
        last = await _height(operator, "platform-b")
        times = [(await client.header(number))[0].time_ms for number in range(height, last + 1)]
    gaps = [later - earlier for earlier, later in pairwise(times)]
    print(f"rotation: {len(gaps)} blocks meanwhile, the longest pause {max(gaps)} ms")
    assert len(gaps) >= 2


async def _refused(operator: Reader, code: str) -> None:
    (finish,) = operator.commands("finish")
    assert code in await operator.run(finish, code=1)


async def _revoke(operator: Reader) -> None:
    """The revoked node is disconnected within two blocks, everywhere, and stays out."""
    status = await operator.status("hospital-e")
    assert status is not None
    peer_id = status["peer_id"]
    watches = [asyncio.create_task(_height_without(operator, name, peer_id)) for name in NODES]
    try:
        revoked = await operator.follow("revoke", KEY=status["key"])
        shown = json.loads(
            await operator.run(f"tidegate admission show {status['key']} --home network/homes/member-d --json")
        )
        height = shown["revocation"]["height"]
        async with asyncio.timeout(WAIT_S):
            left = await asyncio.gather(*watches)
    finally:
        for watch in watches:
            watch.cancel()
    assert "revoked" in revoked[-1]
    print(f"revoked at {height}; disconnected at heights {dict(zip(NODES, left, strict=True))}")
    assert all(at <= height + BLOCKS_TO_DISCONNECT for at in left)

    async def later() -> bool:
        return min([await _height(operator, name) for name in NODES]) >= height + 3

    await until(later, "the network goes on", WAIT_S)
    for name in NODES:
        found = await operator.status(name)
        assert found is not None
        assert peer_id not in [peer["peer_id"] for peer in found["peers"]]


async def _height_without(operator: Reader, name: str, peer_id: str) -> int:
    """The height at which a node was first seen without that peer; it has to be connected at first."""
    seen = False
    while True:
        status = await operator.status(name)
        if status is not None:
            connected = peer_id in [peer["peer_id"] for peer in status["peers"]]
            if seen and not connected:
                return int(status["chain"]["height"])
            seen = seen or connected
        await asyncio.sleep(0.05)


async def _height(operator: Reader, name: str) -> int:
    status = await operator.status(name)
    assert status is not None
    return int(status["chain"]["height"])
