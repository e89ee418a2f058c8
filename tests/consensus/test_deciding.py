"""Q COMMITs of any single round and block decide, wherever we are ourselves."""

from __future__ import annotations

import pytest

from consensus import effects as do
from consensus import inputs as event
from consensus.inputs import TimerKind
from tests.consensus.making import BAD_RECEIPTS, WALL, commit, key, name, proposal
from tests.consensus.single import Validator, kinds, of


def test_commits_of_an_earlier_round_decide():
    v = Validator()
    v.start()
    made = v.lock()
    v.fire()
    assert v.state.current.round == 1
    v.hear(commit(0, name(made)))
    assert of(do.CommitBlock, v.hear(commit(1, name(made))))


def test_commits_of_a_later_round_decide():
    v = Validator()
    v.start()
    made = v.lock()
    effects = v.hear(*[commit(i, name(made), round_=7) for i in range(3)])
    decided = of(do.CommitBlock, effects)
    assert [effect.certificate.round for effect in decided] == [7]


def test_commits_of_different_rounds_do_not_add_up():
    v = Validator()
    v.start()
    made = v.lock()
    v.hear(commit(0, name(made), round_=1), commit(1, name(made), round_=2), commit(2, name(made), round_=3))
    assert not of(do.CommitBlock, v.all)
    v.hear(commit(0, b"\x07" * 32), commit(1, b"\x08" * 32))
    assert not of(do.CommitBlock, v.all)


def test_signers_are_counted_when_one_sends_many_commits():
    v = Validator()
    v.start()
    made = v.lock()
    v.hear(*[commit(0, name(made))] * 5)
    assert not of(do.CommitBlock, v.all)


def test_a_decided_block_is_fetched_checked_and_committed_when_its_body_is_missing():
    v = Validator()
    v.start()
    made = v.make()
    effects = v.hear(*[commit(i, name(made)) for i in range(3)])
    assert of(do.FetchBlock, effects) == [do.FetchBlock(1, name(made), (key(0), key(1), key(2)))]
    assert of(do.FetchBlock, v.fire(TimerKind.REBROADCAST))  # again until answered
    assert v.fetched(v.make(time_ms=WALL + 999)) == []  # not what was asked for
    assert kinds(v.fetched(made)) == ["CheckBlock"]
    assert kinds(v.checked(made)) == ["CommitBlock"]


def test_a_late_proposal_may_bring_the_decided_body():
    v = Validator()
    v.start()
    made = v.make()
    v.hear(*[commit(i, name(made)) for i in range(3)])
    assert kinds(v.hear(proposal(0, made))) == ["CheckBlock"]
    assert kinds(v.checked(made)) == ["CommitBlock"]


def test_a_decision_waits_for_a_running_check():
    v = Validator()
    v.start()
    made = v.make()
    v.hear(proposal(0, made))
    assert not of(do.CommitBlock, v.hear(*[commit(i, name(made)) for i in range(3)]))
    effects = v.checked(made)
    assert of(do.CommitBlock, effects)
    assert not of(do.Broadcast, effects)


def test_the_node_halts_when_a_decided_block_fails_its_check():
    v = Validator()
    v.start()
    bad = v.make(receipts=BAD_RECEIPTS)
    v.hear(proposal(0, bad))
    v.checked(bad, ok=False)
    effects = v.hear(*[commit(i, name(bad)) for i in range(3)])
    assert of(do.Halt, effects) == [do.Halt(1, name(bad), "decided_block_invalid")]
    assert v.start(2) == []
    assert v.give(event.WorkAvailable(0)) == []


def test_an_unasked_verdict_is_ignored():
    v = Validator()
    v.start()
    made = v.make()
    assert v.checked(made, ok=False) == []
    v.hear(proposal(0, made))
    assert v.give(event.BlockChecked(2, name(made), ok=False)) == []
    v.checked(made)
    assert v.checked(made, ok=False) == []
    assert not of(do.RefuseBlock, v.all)


@pytest.mark.parametrize("me", range(4))
def test_a_node_outside_the_set_follows_without_a_word(me):
    v = Validator(me=me)
    v.state.key = key(99)
    v.start()
    made = v.make()
    v.hear(proposal(0, made))
    v.checked(made)
    effects = v.hear(*[commit(i, name(made)) for i in range(3)])
    assert of(do.CommitBlock, effects)
    assert not of(do.Broadcast, v.all)
    assert not of(do.Persist, v.all)
    assert v.timer() is None
