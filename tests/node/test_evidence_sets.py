"""Evidence while validators come and go: judged by the set of its height, and provable over every change of it."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from consensus.effects import EvidenceKind, ReportEvidence
from ledger.errors import InvalidProof, NotFound
from ledger.genesis import format_genesis, parse_genesis
from ledger.rotation import GroupDoc, RotationDoc
from ledger.types import Height
from node.client import Client
from node.evidence_bundle import read_bundle
from node.misbehaviour_bundle import export_misbehaviour, find_evidence, recorded_evidence, verify_misbehaviour
from node.rpc.areas import areas_of
from node.rpc.server import RpcServer
from p2p.gossip import Verdict
from tests.node.cluster import Cluster, make_genesis, running
from tests.node.sets import PATIENCE_S, change
from tests.node.test_evidence import hear, prepare, proof, recorded

STEADY = {"base_timeout_ms": 20_000, "max_timeout_ms": 60_000, "empty_block_ms": 3_600_000}
"""A block only for a transaction, no later round however busy the machine is."""


class Status:
    def document(self) -> dict[str, Any]:
        return {}


async def no_service(service: str, payload: bytes) -> bytes:
    raise NotImplementedError


@asynccontextmanager
async def client_of(cluster: Cluster, index: int, directory: Path) -> AsyncIterator[Client]:
    core, path = cluster.core(index), directory / "rpc.sock"
    server = RpcServer(areas_of(core.chain, core.gateway, Status(), no_service), core.gateway, core.intake, path)
    await server.start()
    try:
        async with Client(path) as client:
            yield client
    finally:
        await server.stop()


async def moved(cluster: Cluster, number: int) -> None:
    """One more block."""
    transfer = cluster.transfer(1, 1, 5, cluster.genesis_output(1, number))
    assert (await cluster.core(1).gateway.submit_and_wait(transfer, PATIENCE_S)).status == "committed"


def accuse(cluster: Cluster, at: int, member: int, height: int, epoch: int) -> None:
    """What consensus of node ``at`` would report of two PREPAREs of ``member``."""
    key = cluster.members[member].validator
    first, second = (prepare(cluster, key, height, block, 0, epoch) for block in (1, 2))
    effect = ReportEvidence(EvidenceKind.CONFLICTING_MESSAGES, key.public, first, second)
    cluster.core(at).driver.on_evidence(effect)


async def test_evidence_is_recorded_and_provable_over_changes_of_the_set(tmp_path: Path) -> None:
    async with running(Cluster(5, validators=4, **STEADY)) as cluster:
        came = await change(cluster, 1, add=[4])
        await moved(cluster, 0)
        left = await change(cluster, 1, remove=[0])
        for number in range(1, 4):
            await moved(cluster, number)
        await cluster.wait_height(left, seconds=PATIENCE_S)
        epochs = [cluster.core(1).chain.seats_at(height).epoch.number for height in (1, came, left)]
        assert len(set(epochs)) == 3
        # Member 0 did it before it left, member 4 after it came.
        accuse(cluster, 1, 0, 1, epochs[0])
        accuse(cluster, 2, 4, left, epochs[2])
        await cluster.wait(lambda: len(recorded(cluster.core(3))) == 2, PATIENCE_S)
        genesis = cluster.genesis
        async with client_of(cluster, 3, tmp_path) as client:
            found = {item.height: item for item in await recorded_evidence(client)}
            old, new = [await export_misbehaviour(client, found[height].id) for height in (1, left)]
            assert (await find_evidence(client, found[1].id.hex()[:12])).signer == cluster.members[0].validator.public
            with pytest.raises(NotFound):
                await find_evidence(client, "99")
        for data, member, heights in ((old, 0, [1]), (new, 4, [came - 1, left - 1, left])):
            proved = verify_misbehaviour(read_bundle(data), genesis)
            assert proved.evidence.signer == cluster.members[member].validator.public
            headers = json.loads(data)["content"]["headers"]
            assert [step["header"]["height"] for step in headers] == heights
        with pytest.raises(InvalidProof):
            verify_misbehaviour(read_bundle(new), make_genesis(cluster.members, cluster.members[:4]))


async def test_evidence_is_judged_by_the_set_of_its_height_while_sets_change() -> None:
    async with running(Cluster(5, validators=4, **STEADY)) as cluster:
        came = await change(cluster, 1, add=[4], remove=[0])
        for number in range(3):
            await moved(cluster, number)
        core, chain = cluster.core(2), cluster.core(2).chain
        await cluster.wait_height(came, seconds=PATIENCE_S)
        first, second = (chain.seats_at(height).epoch.number for height in (came - 1, came))
        gone, new = cluster.members[0].validator, cluster.members[4].validator
        assert hear(core, proof(cluster, new, came - 1, epoch=first)) is Verdict.REJECT
        assert hear(core, proof(cluster, gone, came, epoch=second)) is Verdict.REJECT
        assert hear(core, proof(cluster, gone, came - 1, epoch=second)) is Verdict.REJECT
        assert hear(core, proof(cluster, gone, came - 1, epoch=first)) is Verdict.ACCEPT
        assert hear(core, proof(cluster, new, came, epoch=second)) is Verdict.ACCEPT
        assert chain.store.header(Height(came)).epoch == second


async def test_evidence_is_provable_when_a_committee_rotates(tmp_path: Path) -> None:
    cluster = Cluster(6, empty_block_ms=100)
    groups = (
        GroupDoc(name="regulator", organisations=(), exempt=True),
        GroupDoc(name="operations", organisations=("Member 4", "Member 5"), seats=1),
    )
    rotation = RotationDoc(committee=4, epoch_blocks=4, groups=groups)
    cluster.genesis = parse_genesis(format_genesis(replace(cluster.genesis, rotation=rotation)))
    async with running(cluster):
        chain = cluster.core(0).chain
        await cluster.wait(lambda: chain.epoch.number >= 3, PATIENCE_S)
        height = chain.epoch.start
        accused = next(i for i, m in enumerate(cluster.members) if m.validator.public in chain.validators)
        accuse(cluster, (accused + 1) % 6, accused, height, chain.epoch.number)
        await cluster.wait(lambda: bool(recorded(cluster.core(0))), PATIENCE_S)
        async with client_of(cluster, 0, tmp_path) as client:
            (found,) = await recorded_evidence(client)
            data = await export_misbehaviour(client, found.id)
    assert verify_misbehaviour(read_bundle(data), cluster.genesis).evidence.height == height
    content = json.loads(data)["content"]
    assert len(content["headers"]) > 2
    for left_out in range(len(content["headers"]) - 1):
        fewer = [*content["headers"][:left_out], *content["headers"][left_out + 1 :]]
        document = {**json.loads(data), "content": {**content, "headers": fewer}}
        with pytest.raises(InvalidProof):
            verify_misbehaviour(read_bundle(json.dumps(document, indent=1).encode() + b"\n"), cluster.genesis)
