"""One height in round 0, from work to the committed block, seen from one validator."""

from __future__ import annotations

import pytest

from consensus import effects as do
from consensus import inputs as event
from consensus.epoch import Epoch
from consensus.inputs import TimerKind
from consensus.messages import Commit, Prepare, Proposal
from consensus.records import PreparedBlock, SignedVote
from ledger.certificate import verify_certificate
from ledger.errors import LocalMisuse
from tests.consensus.making import (
    BAD_RECEIPTS,
    CHAIN,
    WALL,
    block,
    commit,
    key,
    name,
    prepare,
    proposal,
    validators,
    verify,
)
from tests.consensus.single import Validator, decide_all, kinds, of, said


def test_a_height_is_decided_with_everything_in_order():
    v = Validator(me=3)
    v.start()
    v.now = 40
    made = v.make()
    effects = v.hear(proposal(0, made))
    assert kinds(effects) == ["SetTimer", "CheckBlock"]
    assert effects[1].block.block == made
    assert effects[1].sources == (key(0),)
    effects = v.checked(made)
    assert kinds(effects) == ["Persist", "Broadcast"]
    assert said(effects) == [prepare(3, name(made))]
    assert v.hear(prepare(0, name(made))) == []
    effects = v.hear(prepare(1, name(made)))
    assert kinds(effects) == ["Persist", "Persist", "Broadcast"]
    assert isinstance(effects[0].record, PreparedBlock)
    assert effects[0].record.block == made
    assert isinstance(effects[1].record, SignedVote)
    assert said(effects) == [commit(3, name(made))]
    assert v.hear(prepare(2, name(made))) == []  # COMMIT once
    assert v.hear(commit(0, name(made))) == []
    effects = v.hear(commit(2, name(made)))
    assert kinds(effects) == ["CancelTimer", "CommitBlock"]
    verify_certificate(effects[1].certificate, CHAIN, validators(4), verify)
    assert [seal[0] for seal in effects[1].certificate.seals] == [key(0), key(2), key(3)]


def test_nothing_more_happens_at_a_committed_height():
    v = Validator()
    v.start()
    made = v.lock()
    assert of(do.CommitBlock, decide_all(v, made))
    assert v.hear(commit(1, name(made)), prepare(2, name(made)), proposal(0, made)) == []
    assert v.give(event.WorkAvailable(5)) == []
    assert v.timer(TimerKind.ROUND) is None


@pytest.mark.parametrize("count", range(1, 9))
def test_exactly_a_quorum_of_prepares_and_of_commits_is_needed(count):
    me = count - 1
    v = Validator(me=me, count=count)
    v.start()
    quorum = (2 * count - 1) // 3 + 1
    made = v.make()
    if count > 1:
        v.hear(proposal(0, made))
        effects = v.checked(made)
    else:
        effects = v.built(made)
    for needed in range(quorum - 1):
        assert not of(do.CommitBlock, effects)
        assert not any(isinstance(m, Commit) for m in said(effects))
        effects = v.hear(prepare(needed, name(made)))
    assert any(isinstance(m, Commit) for m in said(effects))
    for needed in range(quorum - 1):
        assert not of(do.CommitBlock, effects)
        effects = v.hear(commit(needed, name(made)))
    assert len(of(do.CommitBlock, effects)) == 1


def test_a_single_validator_decides_within_one_step():
    v = Validator(me=0, count=1)
    assert kinds(v.start()) == ["SetTimer", "SetTimer", "BuildBlock"]
    effects = v.built(v.make())
    order = kinds(effects)
    assert order[-1] == "CommitBlock"
    assert order.count("Persist") == 4
    last_persist = max(i for i, kind in enumerate(order) if kind == "Persist")
    assert isinstance(effects[last_persist].record, SignedVote)
    assert last_persist < order.index("CommitBlock")


def test_a_signature_is_durable_before_it_leaves():
    v = Validator(me=0)
    v.start()
    v.built(v.make())
    for i, effect in enumerate(v.all):
        if isinstance(effect, do.Broadcast):
            before = [e.record for e in v.all[:i] if isinstance(e, do.Persist)]
            assert any(getattr(r, "signature", None) == effect.message.signature for r in before)


def test_the_proposer_proposes_and_prepares_what_it_built():
    v = Validator(me=0)
    assert of(do.BuildBlock, v.start()) == [do.BuildBlock(1, 0, WALL, allow_empty=False)]
    made = v.make()
    assert [type(m) for m in said(v.built(made))] == [Proposal, Prepare]
    assert v.built(v.make(time_ms=WALL + 7)) == []  # once


@pytest.mark.parametrize(
    "wrong",
    [
        {"height": 2},
        {"proposer": 1},
        {"parent": bytes(32)},
        {"time_ms": WALL},
        {"epoch": 1},
        {"chain": bytes(32)},
    ],
    ids=lambda wrong: next(iter(wrong)),
)
def test_a_block_built_for_somewhere_else_is_the_drivers_bug(wrong):
    v = Validator(me=0)
    v.start()
    with pytest.raises(LocalMisuse):
        v.give(event.BlockBuilt(1, 0, v.make(**wrong)))
    assert said(v.built(v.make()))  # the state has not changed


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        ({"height": 2}, "height_wrong"),
        ({"proposer": 1}, "proposer_wrong"),
        ({"parent": bytes(32)}, "parent_wrong"),
        ({"time_ms": WALL}, "time_not_above_parent"),
        ({"time_ms": WALL + 60_000}, "time_implausible"),
        ({"epoch": 1}, "epoch_wrong"),
        ({"chain": bytes(32)}, "chain_wrong"),
    ],
    ids=lambda wrong: next(iter(wrong)) if isinstance(wrong, dict) else "",
)
def test_a_proposal_that_does_not_fit_is_refused(wrong, reason):
    v = Validator()
    v.start()
    effects = v.hear(proposal(0, v.make(**wrong)))
    assert [effect.reason for effect in of(do.RefuseBlock, effects)] == [reason]
    assert not of(do.CheckBlock, effects)
    assert not said(effects)


def test_another_validator_set_is_refused():
    v = Validator()
    v.start()
    effects = v.hear(proposal(0, block(validator_set=validators(5))))
    assert [effect.reason for effect in of(do.RefuseBlock, effects)] == ["validators_wrong"]


def test_a_proposal_from_the_future_is_taken_once_its_time_has_come():
    v = Validator()
    v.start()
    early = v.make(time_ms=WALL + 9_000)
    assert of(do.RefuseBlock, v.hear(proposal(0, early)))
    assert of(do.CheckBlock, v.hear(proposal(0, early), wall=WALL + 5_000))
    assert said(v.checked(early)) == [prepare(3, name(early))]


def test_a_block_that_fails_its_check_is_not_prepared():
    v = Validator()
    v.start()
    bad = v.make(receipts=BAD_RECEIPTS)
    v.hear(proposal(0, bad))
    effects = v.checked(bad, ok=False)
    assert kinds(effects) == ["RefuseBlock"]
    assert v.hear(prepare(0, name(bad)), prepare(1, name(bad)), prepare(2, name(bad))) == []
    assert v.state.current.prepared is None


def test_nothing_is_committed_before_our_own_check():
    v = Validator()
    v.start()
    made = v.make()
    v.hear(proposal(0, made), *[prepare(i, name(made)) for i in range(3)])
    assert not any(isinstance(m, Commit) for m in said(v.all))
    effects = v.checked(made)
    assert [type(m) for m in said(effects)] == [Prepare, Commit]


def test_votes_before_the_proposal_count():
    v = Validator()
    v.start()
    made = v.make()
    v.hear(prepare(1, name(made)), prepare(2, name(made)), commit(1, name(made)), commit(2, name(made)))
    v.hear(proposal(0, made))
    effects = v.checked(made)
    assert [type(m) for m in said(effects)] == [Prepare, Commit]
    assert of(do.CommitBlock, effects)


def test_messages_of_the_next_height_wait_for_it():
    v = Validator()
    v.start()
    first = v.lock()
    second = v.make(height=2, proposer=1, parent=name(first), time_ms=WALL + 2)
    assert v.hear(proposal(1, second, height=2), prepare(0, name(second), height=2)) == []
    decide_all(v, first)
    effects = v.start(2, parent=name(first))
    assert [effect.block.id for effect in of(do.CheckBlock, effects)] == [name(second)]
    v.checked(second)
    effects = v.hear(prepare(1, name(second), height=2))
    assert said(effects) == [commit(3, name(second), height=2)]


def test_messages_beyond_the_next_height_are_dropped():
    v = Validator()
    v.start()
    assert v.hear(prepare(0, bytes(32), height=3), commit(1, bytes(32), height=2**40)) == []
    assert len(v.state.early) == 0


def test_early_messages_are_dropped_when_a_height_is_skipped():
    v = Validator()
    v.start()
    v.hear(prepare(0, bytes(32), height=2))
    v.start(5)
    assert len(v.state.early) == 0
    assert len(v.state.current.prepares) == 0


@pytest.mark.parametrize("height", [0, 1])
def test_a_height_starts_only_once(height):
    v = Validator()
    v.start(1)
    with pytest.raises(LocalMisuse):
        v.start(height)


def test_nothing_happens_before_the_first_height():
    v = Validator()
    assert v.hear(prepare(0, bytes(32))) == []
    assert v.give(event.WorkAvailable(0)) == []
    assert v.give(event.PeerConnected(key(1))) == [do.ReturnLatest(key(1), None)]
    assert v.give(event.TimerFired(TimerKind.ROUND, 1, 0)) == []


def test_a_height_before_its_epoch_changes_nothing():
    v = Validator()
    v.start(1)
    with pytest.raises(LocalMisuse):
        v.give(event.HeightStarted(2, Epoch(1, 9, 0), validators(4), bytes(32), WALL))
    assert v.state.current.height == 1
