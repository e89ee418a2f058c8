"""Scripted attacks, each aimed at one mistake that a QBFT implementation can make."""

from __future__ import annotations

import msgspec
import pytest

from consensus import effects as do
from consensus.effects import EvidenceKind
from consensus.justification import justify
from consensus.messages import Commit, Justification, Prepare, Proposal
from ledger.certificate import MAX_ROUND
from ledger.errors import InvalidInput
from tests.consensus.making import WALL, certificate, commit, key, name, prepare, proposal, round_change, verified
from tests.consensus.network import Network
from tests.consensus.single import Validator, decide_all, of, said


def accused(v: Validator) -> list[tuple[EvidenceKind, bytes]]:
    return [(effect.kind, effect.signer) for effect in of(do.ReportEvidence, v.all)]


def test_an_equivocating_proposer_gets_one_vote_and_is_reported():
    v = Validator()
    v.start()
    one, other = v.make(), v.make(time_ms=WALL + 2)
    v.hear(proposal(0, one), proposal(0, other), proposal(0, other), proposal(0, one))
    v.checked(one)
    v.checked(other)
    assert [m.block_id for m in said(v.all) if isinstance(m, Prepare)] == [name(one)]
    assert accused(v) == [(EvidenceKind.CONFLICTING_MESSAGES, key(0))]


@pytest.mark.parametrize("vote", [prepare, commit])
def test_an_equivocating_voter_counts_once_and_is_reported(vote):
    v = Validator()
    v.start()
    v.hear(vote(1, b"\x01" * 32), vote(1, b"\x02" * 32), vote(1, b"\x03" * 32))
    assert accused(v) == [(EvidenceKind.CONFLICTING_MESSAGES, key(1))]
    tally = v.state.current.prepares if vote is prepare else v.state.current.commits
    assert len(tally) == 1


def test_conflicting_round_changes_are_reported():
    v = Validator()
    v.start()
    v.hear(round_change(1, 1), round_change(1, 1, certificate([0, 1, 2], b"\x01" * 32)))
    assert accused(v) == [(EvidenceKind.CONFLICTING_MESSAGES, key(1))]


def test_repeated_signatures_of_one_signer_are_no_quorum():
    v = Validator()
    v.start()
    made = v.make()
    v.hear(proposal(0, made))
    v.checked(made)
    v.hear(*[prepare(1, name(made))] * 4)
    assert v.state.current.prepared is None
    assert not any(isinstance(m, Commit) for m in said(v.all))


def test_a_fresh_block_over_a_lock_is_refused_and_reported():
    """The IBFT 1 bug: a prepared block must not be replaced by the next proposer's own."""
    v = Validator()
    v.start()
    made = v.lock()
    fresh = v.make(proposer=1, time_ms=WALL + 5)
    held = certificate([0, 1, 3], name(made))
    changes = [round_change(0, 1, held), round_change(1, 1), round_change(2, 1)]
    lie = Justification(justify(changes)[0].round_changes, ())
    v.hear(proposal(1, fresh, round_=1, justification=lie))
    assert not of(do.CheckBlock, v.all)[1:]
    assert accused(v) == [(EvidenceKind.UNJUSTIFIED_PROPOSAL, key(1))]
    assert v.state.current.round == 0


def test_an_older_prepared_block_over_a_newer_one_is_refused():
    v = Validator()
    v.start()
    old, new = v.make(), v.make(proposer=1, time_ms=WALL + 5)
    low, high = certificate([0, 1, 2], name(old)), certificate([0, 1, 2], name(new), round_=1)
    changes = [round_change(0, 2, low), round_change(1, 2, high), round_change(2, 2)]
    lie = Justification(justify(changes)[0].round_changes, low.prepares)
    v.hear(proposal(2, old, round_=2, justification=lie))
    assert accused(v) == [(EvidenceKind.UNJUSTIFIED_PROPOSAL, key(2))]


@pytest.mark.parametrize("justification", [Justification(), justify([round_change(i, 1) for i in (0, 1)])[0]])
def test_a_proposal_without_a_quorum_of_round_changes_is_refused(justification):
    v = Validator()
    v.start()
    v.hear(proposal(1, v.make(proposer=1), round_=1, justification=justification))
    assert accused(v) == [(EvidenceKind.UNJUSTIFIED_PROPOSAL, key(1))]
    assert v.state.current.round == 0


def test_round_changes_of_another_round_justify_nothing():
    v = Validator()
    v.start()
    justification, _ = justify([round_change(i, 2) for i in (0, 1, 2)])
    with pytest.raises(InvalidInput):
        v.hear(proposal(1, v.make(proposer=1), round_=1, justification=justification))


def test_a_forged_certificate_of_a_later_round_cannot_unlock():
    v = Validator()
    v.start()
    v.lock()
    evil = v.make(proposer=1, time_ms=WALL + 5)
    for round_ in (1, 2, MAX_ROUND):
        forged = certificate([0, 1, 2], name(evil), round_=round_)
        with pytest.raises(InvalidInput):
            v.hear(round_change(1, 1, forged))
        changes = [round_change(0, 1), round_change(1, 1, forged), round_change(2, 1)]
        v.hear(proposal(1, evil, round_=1, justification=justify(changes)[0]))
    assert not any(isinstance(m, Prepare) and m.block_id == name(evil) for m in said(v.all))


def test_the_right_header_with_the_wrong_refs_condemns_the_sender_only():
    v = Validator()
    v.start()
    good = v.make(refs=bytes(64))
    with pytest.raises(InvalidInput):
        v.hear(msgspec.structs.replace(proposal(0, good), block=msgspec.structs.replace(good, refs=b"\x01" * 64)))
    v.hear(proposal(0, good))
    assert said(v.checked(good)) == [prepare(3, name(good))]


def test_commit_is_said_once_however_the_prepares_come():
    v = Validator()
    v.start()
    made = v.lock()
    v.hear(*[prepare(i, name(made)) for i in (0, 1, 2)] * 3, proposal(0, made))
    v.checked(made)
    assert [m for m in said(v.all) if isinstance(m, Commit)] == [commit(3, name(made))]


def test_a_flood_of_one_signer_costs_bounded_memory():
    v = Validator()
    v.start()
    for i in range(500):
        ident = i.to_bytes(32, "big")
        v.hear(prepare(1, ident, round_=i), commit(1, ident, round_=i), round_change(1, i + 1))
        v.hear(prepare(1, ident, round_=i, height=2), commit(1, ident, round_=i, height=2))
    current = v.state.current
    assert len(current.prepares) <= 4
    assert len(current.commits) <= 4
    assert len(v.state.early) <= 6
    assert current.round == 0
    assert len(v.state.latest) == 1


def test_a_flood_of_proposals_keeps_few_bodies():
    v = Validator()
    v.start()
    for round_ in range(1, 40):
        justification, _ = justify([round_change(i, round_) for i in (0, 1, 2)])
        made = v.make(proposer=round_ % 4, time_ms=WALL + round_)
        if round_ % 4 != v.me:
            v.hear(proposal(round_ % 4, made, round_=round_, justification=justification))
    assert len(v.state.current.blocks) <= 5
    assert len(v.state.current.checks) <= 64


def test_a_decision_in_a_withheld_round_is_not_lost():
    """One validator decides in round 0 and falls silent: the others, locked, must decide the same block."""
    locked = [Validator(me=me) for me in (1, 2)]
    for v in locked:
        v.start()
        made = v.lock()
        v.fire()
    one, two = locked
    # Validator 3 is not locked; validator 0 has decided and is gone. Proposer of round 1 is validator 1.
    change = next(m for m in said(two.all) if type(m).__name__ == "RoundChange")
    effects = one.hear(change, round_change(3, 1))
    (again,) = [m for m in said(effects) if isinstance(m, Proposal)]
    assert again.block == made
    fresh = Validator(me=3)
    fresh.start()
    fresh.hear(again)
    assert said(fresh.checked(made)) == [prepare(3, name(made), round_=1)]


def test_votes_for_a_block_that_nobody_proposed_do_nothing():
    v = Validator()
    v.start()
    v.hear(*[prepare(i, b"\x01" * 32) for i in (0, 1, 2)])
    assert v.state.current.prepared is None
    made = v.make()
    v.hear(proposal(0, made))
    assert said(v.checked(made)) == [prepare(3, name(made))]


def test_a_second_decision_at_a_height_is_impossible_to_ask_for():
    v = Validator()
    v.start()
    made = v.lock()
    decide_all(v, made)
    v.hear(*[commit(i, b"\x09" * 32, round_=3) for i in (0, 1, 2)])
    assert len(of(do.CommitBlock, v.all)) == 1


def test_verified_messages_of_another_epoch_are_not_counted():
    v = Validator()
    v.start()
    vote = verified(prepare(1, bytes(32)))
    other = msgspec.structs.replace(vote, message=msgspec.structs.replace(vote.message, epoch=5))
    from consensus.inputs import MessageReceived

    assert v.give(MessageReceived(other, WALL)) == []
    assert len(v.state.current.prepares) == 0


@pytest.mark.parametrize("seed", range(6))
def test_a_cluster_with_a_withholding_proposer_decides(seed):
    """The proposer of a height shows its proposal to one other validator only."""
    net = Network(seed, 4)
    favoured = net.nodes[1 + seed % 3]
    net.filter = lambda sender, receiver: sender is not net.nodes[0] or receiver is favoured
    net.start()
    net.run(15_000, lambda: all(node.height >= 6 for node in net.nodes[1:]))
    assert all(node.height >= 6 for node in net.nodes[1:])
