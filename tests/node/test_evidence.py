"""From a fault that one node sees to its record on chain: kept, gossiped, reported in turn, never forged."""

from __future__ import annotations

from pathlib import Path

import pytest
from msgspec.structs import replace

from consensus.effects import EvidenceKind, ReportEvidence
from consensus.epoch import proposer
from consensus.messages import (
    EMPTY_JUSTIFICATION,
    Commit,
    Message,
    Prepare,
    Proposal,
    RoundChange,
    encode_message,
)
from contracts.validators import evidence as on_chain
from ledger.certificate import VoteKind, vote_digest
from ledger.encoding import encode
from ledger.keys import SigningKey, key_text
from ledger.misbehaviour import Fault, Misbehaviour, Statement, misbehaviour_codec
from ledger.types import Height, Round
from node import evidence as pool_module
from node.core import NodeCore
from node.evidence import MAX_PER_SIGNER, EvidencePool
from node.wire import Topic
from p2p.gossip import Verdict
from p2p.transport import PeerId
from tests.node.cluster import Cluster, running

PATIENCE_S = 90.0
SOMEBODY = PeerId("somebody")


@pytest.fixture(autouse=True)
def short_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool_module, "STEP_MS", 100)
    monkeypatch.setattr(pool_module, "RETRY_MS", 100)


def prepare(cluster: Cluster, key: SigningKey, height: int, block: int, round_: int = 0, epoch: int = 0) -> Prepare:
    name = block.to_bytes(32, "big")
    signed = vote_digest(cluster.genesis.chain_id, epoch, VoteKind.PREPARE, height, round_, name)
    return Prepare(height, round_, epoch, key.public, key.sign(signed), name)


def fault(cluster: Cluster, key: SigningKey, height: int = 1, blocks: tuple[int, int] = (1, 2)) -> ReportEvidence:
    first, second = (prepare(cluster, key, height, block) for block in blocks)
    return ReportEvidence(EvidenceKind.CONFLICTING_MESSAGES, key.public, first, second)


def proof(cluster: Cluster, key: SigningKey, height: int = 1, **where: int) -> Misbehaviour:
    votes = [prepare(cluster, key, height, block, **where) for block in (1, 2)]
    first, second = (Statement(1, v.epoch, v.height, v.round, v.signer, v.signature, v.block_id) for v in votes)
    return Misbehaviour(Fault.CONFLICTING_MESSAGES.value, first, second, None)


def wire(evidence: Misbehaviour) -> bytes:
    return misbehaviour_codec.encode(evidence)


def recorded(core: NodeCore) -> list[on_chain.EvidenceSummary]:
    return [found.summary for found in on_chain.latest(core.chain.state, "validators", 100)]


def hear(core: NodeCore, evidence: Misbehaviour | bytes) -> Verdict:
    payload = evidence if isinstance(evidence, bytes) else wire(evidence)
    return core.evidence._on_gossip(SOMEBODY, payload)


def vote(cluster: Cluster, key: SigningKey, kind: VoteKind, payload: bytes, round_: int) -> bytes:
    """What a validator signs at height 1, as ``vote_digest`` has it."""
    return key.sign(vote_digest(cluster.genesis.chain_id, 0, kind, 1, round_, payload))


def commit(cluster: Cluster, key: SigningKey, block: int, round_: int) -> Commit:
    name = block.to_bytes(32, "big")
    return Commit(1, round_, 0, key.public, vote(cluster, key, VoteKind.COMMIT, name, round_), name)


def empty_round_change(cluster: Cluster, key: SigningKey, round_: int) -> RoundChange:
    signature = vote(cluster, key, VoteKind.ROUND_CHANGE, encode((None, None)), round_)
    return RoundChange(1, round_, 0, key.public, signature, None)


async def unjustified(cluster: Cluster, key: SigningKey) -> Proposal:
    """A proposal of a later round of the liar's, without any ROUND-CHANGE."""
    chain = cluster.core(3).chain
    mine = next(r for r in range(1, 9) if proposer(chain.epoch, chain.validators, Height(1), Round(r)) == key.public)
    made = await chain.build([], key.public, chain.tip.header.time_ms + 1, lambda _tx_id, _code: None)
    signature = vote(cluster, key, VoteKind.PROPOSAL, made.id + bytes(32), mine)
    return Proposal(1, mine, 0, key.public, signature, made.block, EMPTY_JUSTIFICATION)


async def lies(cluster: Cluster, key: SigningKey, fault_: str) -> list[Message]:
    # Of later rounds, so that it does not matter how far this height is.
    match fault_:
        case "two PREPAREs":
            return [prepare(cluster, key, 1, block, 5) for block in (1, 2)]
        case "two COMMITs":
            return [commit(cluster, key, block, 5) for block in (1, 2)]
        case "unjustified_proposal":
            return [await unjustified(cluster, key)]
        case _:
            return [commit(cluster, key, 1, 5), empty_round_change(cluster, key, 7)]


@pytest.mark.parametrize("name", ["two PREPAREs", "two COMMITs", "unjustified_proposal", "forgotten_lock"])
async def test_a_fault_in_the_votes_is_recorded_once_and_leaves_every_pool(name: str) -> None:
    async with running(Cluster(empty_block_ms=60_000)) as cluster:
        liar = cluster.members[3].validator
        # Votes that come before the first height has started are put off.
        await cluster.wait(lambda: all(cluster.core(i).driver._state.current for i in range(4)), PATIENCE_S)
        for message in await lies(cluster, liar, name):
            cluster.core(3).gossip.publish(Topic.VOTES, encode_message(message))
        cores = [cluster.core(i) for i in range(4)]
        await cluster.wait(lambda: all(recorded(core) for core in cores), PATIENCE_S)
        await cluster.wait(lambda: not any(core.evidence.document()["waiting"] for core in cores), PATIENCE_S)
        for core in cores:
            (summary,) = recorded(core)
            expected = "conflicting_messages" if name.startswith("two") else name
            assert (summary.signer, summary.height, summary.fault) == (liar.public, 1, expected)
            assert summary.reporter != cluster.members[3].member.public
        shown = cores[0].evidence.document()
        assert shown["recorded"] == 1
        assert shown["latest"][0]["validator"] == key_text(liar.public)
        assert shown["latest"][0]["recorded_at"] == recorded(cores[0])[0].recorded_at


async def test_who_sealed_a_block_and_commits_another_one_later_is_reported() -> None:
    async with running(Cluster(empty_block_ms=60_000)) as cluster:
        transfer = cluster.transfer(0, 1, 5)
        assert (await cluster.core(0).gateway.submit_and_wait(transfer, PATIENCE_S)).height == 1
        await cluster.wait_height(1, seconds=PATIENCE_S)
        # All have the same block, not the same seals: whoever sees the seal of this one reports it.
        certificate = cluster.core(0).chain.store.certificate(1)
        assert certificate is not None
        liar = next(m for m in cluster.members[1:] if m.validator.public in dict(certificate.seals))
        late = encode_message(commit(cluster, liar.validator, 9, certificate.round))
        assert cluster.core(0).driver.votes.on_vote(late) is Verdict.ACCEPT
        await cluster.wait(lambda: all(recorded(cluster.core(i)) for i in range(4)), PATIENCE_S)
        assert recorded(cluster.core(0))[0].signer == liar.validator.public


@pytest.mark.parametrize("silenced", ["no key", "a key that is not admitted"])
async def test_evidence_reaches_the_chain_when_who_saw_the_fault_may_not_send(silenced: str) -> None:
    cluster = Cluster()
    cluster.members[0].reporter = None if silenced == "no key" else SigningKey.generate()
    async with running(cluster):
        # Its evidence comes from nowhere but here, and it is offered once more at each attempt.
        await cluster.wait(lambda: len(cluster.core(0).transport.peers()) == 3)
        cluster.core(0).driver.on_evidence(fault(cluster, cluster.members[3].validator))
        await cluster.wait(lambda: all(recorded(cluster.core(i)) for i in range(4)), PATIENCE_S)
        assert recorded(cluster.core(0))[0].reporter in [cluster.members[i].member.public for i in (1, 2)]


async def test_consensus_goes_on_when_nobody_can_record_evidence() -> None:
    cluster = Cluster()
    for member in cluster.members:
        member.reporter = None
    async with running(cluster):
        for i in range(4):
            cluster.core(i).driver.on_evidence(fault(cluster, cluster.members[3].validator))
        transfer = cluster.transfer(0, 1, 5)
        assert (await cluster.core(0).gateway.submit_and_wait(transfer, PATIENCE_S)).status == "committed"
        assert cluster.core(1).evidence.document()["waiting"] == 1


async def test_false_evidence_condemns_who_sends_it_on() -> None:
    async with running(Cluster(1)) as cluster:
        core, key = cluster.core(0), cluster.members[0].validator
        good = proof(cluster, key)
        assert good.second is not None
        foreign = vote_digest(bytes(32), 0, VoteKind.PREPARE, 1, 0, good.second.payload)
        for evidence in (
            b"\xc1",
            wire(good)[:-1],
            replace(good, second=good.first),
            replace(good, second=replace(good.second, signature=key.sign(foreign))),
            proof(cluster, SigningKey.generate()),
            proof(cluster, key, epoch=1),
            proof(cluster, key, height=0),
        ):
            assert hear(core, evidence) is Verdict.REJECT
        assert core.evidence.document()["waiting"] == 0
        assert hear(core, good) is Verdict.ACCEPT
        assert hear(core, good) is Verdict.IGNORE


async def test_evidence_of_a_height_far_ahead_is_put_off() -> None:
    async with running(Cluster(1)) as cluster:
        core, key = cluster.core(0), cluster.members[0].validator
        assert hear(core, proof(cluster, key, height=core.chain.tip.height + 1_000)) is Verdict.LATER


async def test_a_flood_of_evidence_against_one_validator_is_bounded() -> None:
    cluster = Cluster(1, base_timeout_ms=60_000, empty_block_ms=60_000)
    cluster.members[0].reporter = None
    async with running(cluster):
        core, key = cluster.core(0), cluster.members[0].validator
        for number in range(3):
            transfer = cluster.transfer(0, 0, 1, cluster.genesis_output(0, number))
            assert (await core.gateway.submit_and_wait(transfer, PATIENCE_S)).status == "committed"
        heights = range(1, core.chain.tip.height + 3)
        verdicts = []
        for height in heights:
            verdicts.append(hear(core, proof(cluster, key, height)))
            other = replace(proof(cluster, key, height), fault=Fault.FORGOTTEN_LOCK.value)
            assert hear(core, other) in (Verdict.REJECT, Verdict.IGNORE)
        assert verdicts[: min(MAX_PER_SIGNER, len(heights))] == [Verdict.ACCEPT] * min(MAX_PER_SIGNER, len(heights))
        assert core.evidence.document()["waiting"] <= MAX_PER_SIGNER
        for height in heights:
            core.evidence.on_report(fault(cluster, key, height, (3, 4)))
        assert core.evidence.document()["waiting"] <= MAX_PER_SIGNER


def fresh_pool(core: NodeCore, file: Path, monkeypatch: pytest.MonkeyPatch) -> EvidencePool:
    monkeypatch.setattr(core.gossip, "subscribe", lambda *_args, **_kwargs: None)
    return EvidencePool(core.chain, core.mempool, core.gossip, core.key.public, file=file)


async def test_evidence_is_there_after_a_restart_and_reported_then(tmp_path: Path) -> None:
    cluster = Cluster(2, validators=2)
    member = cluster.members[0]
    member.evidence_file = tmp_path / "evidence.bin"
    member.reporter = None
    async with running(cluster, 0):  # one of two: no block is made
        cluster.core(0).driver.on_evidence(fault(cluster, cluster.members[1].validator))
        await cluster.wait(member.evidence_file.exists, PATIENCE_S)
        await cluster.stop(0)
        member.reporter = member.member
        await cluster.start(0)
        assert cluster.core(0).evidence.document()["waiting"] == 1
        await cluster.start(1)
        await cluster.wait(lambda: bool(recorded(cluster.core(1))), PATIENCE_S)
        await cluster.wait(lambda: cluster.core(0).evidence.document()["waiting"] == 0, PATIENCE_S)


async def test_a_damaged_file_of_kept_evidence_does_no_harm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cluster = Cluster(1)
    cluster.members[0].reporter = None
    cluster.members[0].evidence_file = file = tmp_path / "evidence.bin"
    async with running(cluster):
        core = cluster.core(0)
        core.evidence.on_report(fault(cluster, cluster.members[0].validator))
        await cluster.wait(file.exists, PATIENCE_S)
        assert fresh_pool(core, file, monkeypatch).document()["waiting"] == 1
        whole = file.read_bytes()
        for damaged in (b"", whole[:-1], whole[:40], whole[:50] + b"\x00" + whole[51:]):
            file.write_bytes(damaged)
            assert fresh_pool(core, file, monkeypatch).document()["waiting"] == 0


async def test_validators_take_turns_and_the_accused_has_none() -> None:
    async with running(Cluster(4, links=[])) as cluster:
        for accused in cluster.members:
            evidence = proof(cluster, accused.validator)
            turns = {
                member.name: cluster.core(i).evidence._turn(evidence, b"name")
                for i, member in enumerate(cluster.members)
            }
            assert turns.pop(accused.name) == 4 * 100
            assert sorted(turns.values()) == [0, 100, 200]
