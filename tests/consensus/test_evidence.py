"""What the state machine reports is proof for everybody else: it converts, and the proof holds."""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from consensus import effects as do
from consensus.effects import EvidenceKind
from consensus.evidence import contradicted_seal, contradicted_seals, misbehaviour_of
from consensus.justification import justify
from consensus.messages import Justification
from ledger.certificate import CommitCertificate
from ledger.errors import InvalidProof
from ledger.misbehaviour import Misbehaviour, check, misbehaviour_codec
from tests.consensus.making import (
    CHAIN,
    WALL,
    certificate,
    commit,
    key,
    name,
    prepare,
    proposal,
    round_change,
    validators,
    verify,
)
from tests.consensus.single import Validator, of

ONE, TWO = b"\x01" * 32, b"\x02" * 32


def reported(v: Validator) -> Misbehaviour:
    (effect,) = of(do.ReportEvidence, v.all)
    evidence = misbehaviour_of(effect, CHAIN)
    assert evidence.signer == effect.signer
    assert evidence.fault == effect.kind
    return misbehaviour_codec.decode(misbehaviour_codec.encode(evidence))


def started() -> Validator:
    v = Validator()
    v.start()
    return v


@pytest.mark.parametrize(
    "messages",
    [
        (prepare(1, ONE), prepare(1, TWO)),
        (prepare(1, TWO), prepare(1, ONE)),
        (commit(1, ONE), commit(1, TWO)),
        (round_change(1, 1), round_change(1, 1, certificate([0, 1, 2], ONE))),
    ],
    ids=["prepares", "prepares_turned", "commits", "round_changes"],
)
def test_conflicting_votes_are_proof_when_reported(messages) -> None:
    v = started()
    v.hear(*messages)
    check(reported(v), CHAIN, 0, validators(4), verify)


def test_the_same_conflict_is_the_same_evidence_whichever_message_came_first() -> None:
    found = []
    for messages in ((prepare(1, ONE), prepare(1, TWO)), (prepare(1, TWO), prepare(1, ONE))):
        v = started()
        v.hear(*messages)
        found.append(reported(v))
    assert found[0] == found[1]


def test_conflicting_proposals_are_proof_when_reported() -> None:
    v = started()
    v.hear(proposal(0, v.make()), proposal(0, v.make(time_ms=WALL + 2)))
    check(reported(v), CHAIN, 0, validators(4), verify)


@pytest.mark.parametrize("empty", [True, False])
def test_an_unjustified_proposal_is_proof_when_reported(empty: bool) -> None:
    v = started()
    made = v.lock()
    changes = [round_change(0, 1, certificate([0, 1, 3], name(made))), round_change(1, 1), round_change(2, 1)]
    lie = Justification() if empty else Justification(justify(changes)[0].round_changes, ())
    v.hear(proposal(1, v.make(proposer=1, time_ms=WALL + 5), round_=1, justification=lie))
    check(reported(v), CHAIN, 0, validators(4), verify)


def test_a_forgotten_lock_is_proof_when_reported() -> None:
    first, second = commit(1, ONE, round_=1), round_change(1, 3, certificate([0, 1, 2], TWO))
    effect = do.ReportEvidence(EvidenceKind.FORGOTTEN_LOCK, key(1), first, second)
    check(misbehaviour_of(effect, CHAIN), CHAIN, 0, validators(4), verify)
    kept = round_change(1, 3, certificate([0, 1, 2], ONE, round_=1))
    with pytest.raises(InvalidProof):
        check(misbehaviour_of(do.ReportEvidence(EvidenceKind.FORGOTTEN_LOCK, key(1), first, kept), CHAIN),
              CHAIN, 0, validators(4), verify)  # fmt: skip


# --- seals against votes ----------------------------------------------------------------------------------------------


def sealed(block: bytes, by: tuple[int, ...] = (0, 1, 2), *, height: int = 1, round_: int = 0) -> CommitCertificate:
    seals = tuple(sorted((key(i), commit(i, block, height=height, round_=round_).signature) for i in by))
    return CommitCertificate(height, 0, round_, block, seals)


def proved(effects: Iterable[do.ReportEvidence]) -> list[tuple[str, bytes]]:
    found = [misbehaviour_of(effect, CHAIN) for effect in effects]
    for evidence in found:
        check(evidence, CHAIN, 0, validators(4), verify)
    return [(evidence.fault, evidence.signer) for evidence in found]


def test_a_seal_contradicts_the_vote_that_we_were_told_instead() -> None:
    v = started()
    v.hear(commit(1, ONE), commit(2, TWO), commit(3, ONE))
    assert proved(contradicted_seals(v.state.current, sealed(TWO))) == [("conflicting_messages", key(1))]


def test_a_seal_contradicts_a_round_change_that_has_forgotten_it() -> None:
    v = started()
    v.hear(round_change(1, 3), round_change(2, 3, certificate([0, 1, 2], TWO, round_=1)))
    assert proved(contradicted_seals(v.state.current, sealed(TWO, round_=1))) == [("forgotten_lock", key(1))]


def test_seals_of_another_height_or_round_contradict_nothing() -> None:
    v = started()
    v.hear(commit(1, ONE), round_change(2, 1, certificate([0, 1, 2], ONE)))
    for other in (sealed(TWO, height=2), sealed(TWO, round_=1), sealed(ONE)):
        assert proved(contradicted_seals(v.state.current, other)) == []
    assert proved(contradicted_seals(None, sealed(TWO))) == []


def test_a_late_commit_contradicts_the_seal_of_its_signer() -> None:
    assert proved(filter(None, [contradicted_seal(commit(1, ONE), sealed(TWO))])) == [("conflicting_messages", key(1))]
    for message, decided in (
        (commit(1, TWO), sealed(TWO)),
        (commit(3, ONE), sealed(TWO)),
        (commit(1, ONE, round_=1), sealed(TWO)),
        (commit(1, ONE, height=2), sealed(TWO)),
        (commit(1, ONE), None),
    ):
        assert contradicted_seal(message, decided) is None
