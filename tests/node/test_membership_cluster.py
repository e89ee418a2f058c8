"""Nodes that come and go by transaction, in a whole network."""

from __future__ import annotations

import secrets

import pytest
from structlog.testing import capture_logs

from ledger.admission import AdmissionCertificate, Revocation, sign_certificate, sign_revocation
from ledger.encoding import Record, encode
from ledger.keys import key_text
from ledger.state_root import state_root
from ledger.transaction import Body, Call, build
from node import core
from tests.node.cluster import FAR_FUTURE_MS, Cluster, Member, running

NEWCOMER = 4
VALIDATORS = range(4)


async def submit(cluster: Cluster, method: str, arguments: Record) -> int:
    """Has member 0 call the admission contract; the height."""
    key = cluster.members[0].member
    body = Body(
        version=1,
        chain_id=cluster.genesis.chain_id,
        sender=key.public,
        expiry_height=1_000,
        nonce=secrets.token_bytes(16),
        inputs=(),
        outputs=(),
        calls=(Call("admission", method, encode(arguments)),),
        attachments=(),
        memo=b"",
    )
    outcome = await cluster.core(0).gateway.submit_and_wait(build(body, [key]), 20)
    assert (outcome.status, outcome.code) == ("committed", "ok")
    return outcome.height


async def admit(cluster: Cluster, member: Member, serial: int) -> int:
    certificate = AdmissionCertificate(
        cluster.genesis.chain_id,
        serial,
        member.validator.public,
        member.transport.public_key,
        member.name,
        ("observer",),
        0,
        FAR_FUTURE_MS,
    )
    return await submit(cluster, "admit", sign_certificate(certificate, [cluster.authority]))


async def revoke(cluster: Cluster, member: Member, serial: int) -> int:
    revocation = Revocation(cluster.genesis.chain_id, member.validator.public, serial, "key_lost")
    return await submit(cluster, "revoke", sign_revocation(revocation, [cluster.authority]))


def newcomer(cluster: Cluster) -> Member:
    """A member that genesis does not know and that nobody dials; it knows where the others are."""
    member = Member(NEWCOMER)
    cluster.members.append(member)
    cluster.links += [(index, NEWCOMER) for index in VALIDATORS]
    return member


def connected(cluster: Cluster, member: Member) -> list[int]:
    """The validators that have a connection to ``member``."""
    return [index for index in VALIDATORS if member.transport.peer_id in cluster.core(index).transport.peers()]


async def test_node_connects_and_catches_up_when_its_certificate_came_by_transaction() -> None:
    cluster = Cluster()
    async with running(cluster):
        member = newcomer(cluster)
        await cluster.start(NEWCOMER)
        await cluster.core(0).gateway.submit_and_wait(cluster.transfer(0, 1, 7), 20)
        assert connected(cluster, member) == []
        assert cluster.nodes[NEWCOMER].height == 0
        height = await admit(cluster, member, 100)
        await cluster.wait(lambda: connected(cluster, member) == list(VALIDATORS))
        await cluster.wait_height(height)
        assert len({state_root(node.core.chain.store.state) for node in cluster.nodes.values()}) == 1
        after = await cluster.core(NEWCOMER).gateway.submit_and_wait(cluster.transfer(1, 0, 7), 20)
        assert after.status == "committed"


async def test_node_is_disconnected_within_two_blocks_when_it_is_revoked() -> None:
    cluster = Cluster()
    async with running(cluster):
        member = newcomer(cluster)
        await admit(cluster, member, 100)
        await cluster.start(NEWCOMER)
        await cluster.wait(lambda: connected(cluster, member) == list(VALIDATORS))
        height = await revoke(cluster, member, 100)
        assert 0 not in connected(cluster, member)
        await cluster.wait_height(height, VALIDATORS)
        assert connected(cluster, member) == []
        assert all(cluster.nodes[index].height <= height + 2 for index in VALIDATORS)
        missed = await cluster.core(0).gateway.submit_and_wait(cluster.transfer(0, 1, 7), 20)
        await cluster.wait_height(missed.height, VALIDATORS)
        assert connected(cluster, member) == []
        assert cluster.nodes[NEWCOMER].height < missed.height
        await admit(cluster, member, 101)
        await cluster.wait(lambda: connected(cluster, member) == list(VALIDATORS))


async def test_revoked_node_is_disconnected_when_everybody_has_its_address() -> None:
    cluster = Cluster(5, validators=4)
    async with running(cluster):
        member = cluster.members[NEWCOMER]
        await cluster.wait(lambda: connected(cluster, member) == list(VALIDATORS))
        await revoke(cluster, member, 2 * NEWCOMER + 1)
        await cluster.wait(lambda: connected(cluster, member) == [])


async def test_chain_goes_on_with_the_vote_of_a_revoked_validator(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(core, "HOUSEKEEPING_S", 0.02)
    cluster = Cluster()
    async with running(cluster):
        with capture_logs() as logs:
            await revoke(cluster, cluster.members[3], 7)
            key = key_text(cluster.members[3].validator.public)
            warning = {"event": "validator_certificate_lapsed", "validator": key, "log_level": "warning"}
            await cluster.wait(lambda: logs.count(warning) == len(VALIDATORS))
        await cluster.stop(2)
        outcome = await cluster.core(0).gateway.submit_and_wait(cluster.transfer(0, 1, 5), 20)
        assert outcome.status == "committed"
        assert cluster.members[3].transport.peer_id in cluster.core(0).transport.peers()
