"""What the state machine reports is proof for everybody else: it converts, and the proof holds."""

from __future__ import annotations

import pytest

from consensus import effects as do
from consensus.effects import EvidenceKind
from consensus.evidence import misbehaviour_of
from consensus.justification import justify
from consensus.messages import Justification
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
