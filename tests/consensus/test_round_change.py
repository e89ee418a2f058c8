"""From round to round: timers, jumps, justified proposals, and the block that must be proposed again."""

from __future__ import annotations

import pytest

from consensus import effects as do
from consensus import inputs as event
from consensus.inputs import TimerKind
from consensus.justification import justify
from consensus.messages import Proposal, RoundChange
from ledger.certificate import MAX_ROUND
from tests.consensus.making import WALL, certificate, commit, key, name, prepare, proposal, round_change
from tests.consensus.single import Validator, kinds, of, said


def enter(v: Validator, round_: int, others: tuple[int, ...] = (0, 1)) -> None:
    """Takes ``v`` to ``round_`` by the round changes of others."""
    v.hear(*[round_change(i, round_) for i in others])
    assert v.state.current.round == round_


def test_a_timeout_asks_for_the_next_round():
    v = Validator()
    v.start()
    effects = v.fire()
    assert kinds(effects) == ["Persist", "Broadcast"]
    assert said(effects) == [round_change(3, 1)]
    assert v.state.current.round == 1


def test_a_round_change_carries_what_was_prepared():
    v = Validator()
    v.start()
    made = v.lock()
    (change,) = said(v.fire())
    assert change == round_change(3, 1, certificate([0, 1, 3], name(made)))


def test_the_lock_is_kept_through_many_rounds():
    v = Validator()
    v.start()
    made = v.lock()
    for round_ in (1, 2, 5):
        v.hear(round_change(0, round_), round_change(1, round_))
        assert v.state.current.round == round_
        assert v.state.current.own[3].prepared.block_id == name(made)


def test_the_timer_of_a_later_round_waits_for_a_quorum():
    v = Validator()
    v.start()
    v.fire()
    assert v.timer() is None
    v.hear(round_change(0, 1))
    assert v.timer() is None
    v.hear(round_change(1, 1))
    assert v.timer() == v.now + 2_000


def test_the_timer_counts_any_message_of_that_round_or_later():
    v = Validator()
    v.start()
    v.fire()
    v.hear(prepare(0, bytes(32), round_=1), commit(1, bytes(32), round_=1))
    assert v.timer() == v.now + 2_000


def test_the_timer_starts_with_a_justified_proposal():
    v = Validator()
    v.start()
    v.fire()
    justification, _ = justify([round_change(i, 1) for i in (0, 1, 2)])
    v.hear(proposal(1, v.make(proposer=1), round_=1, justification=justification))
    assert v.timer() == v.now + 2_000


@pytest.mark.parametrize(
    ("rounds", "target"),
    [((5,), 0), ((5, 5), 5), ((9, 5), 5), ((9, 5, 7), 7), ((MAX_ROUND, MAX_ROUND), MAX_ROUND)],
)
def test_a_weak_quorum_ahead_pulls_us_to_its_place(rounds, target):
    v = Validator()
    v.start()
    effects = []
    for i, round_ in enumerate(rounds):
        effects += v.hear(round_change(i, round_))
    assert v.state.current.round == target
    if target:
        assert round_change(3, target) in said(effects)


@pytest.mark.parametrize(("count", "weak"), [(2, 1), (3, 1), (4, 2), (6, 2), (7, 3), (8, 3)])
def test_the_jump_needs_exactly_a_weak_quorum_of_others(count, weak):
    v = Validator(me=count - 1, count=count)
    v.start()
    v.hear(*[round_change(i, 4) for i in range(weak - 1)])
    assert v.state.current.round == 0
    v.hear(round_change(weak - 1, 4))
    assert v.state.current.round == 4


def test_huge_rounds_cost_nothing():
    v = Validator()
    v.start()
    for round_ in range(MAX_ROUND, MAX_ROUND - 300, -1):
        v.hear(round_change(0, round_), prepare(0, bytes(32), round_=round_), commit(0, bytes(32), round_=round_))
    assert v.state.current.round == 0
    assert len(v.state.current.prepares) + len(v.state.current.commits) <= 8
    v.hear(round_change(1, MAX_ROUND))
    assert v.state.current.round == MAX_ROUND
    v.hear(round_change(2, MAX_ROUND))
    assert v.timer() == v.now + 60_000
    assert v.fire() == []  # there is no later round


def test_the_proposer_of_a_later_round_needs_a_quorum_for_exactly_that_round():
    v = Validator(me=1)
    v.start()
    v.fire()
    assert not of(do.BuildBlock, v.hear(round_change(0, 1)))
    assert not of(do.BuildBlock, v.hear(round_change(2, 2)))
    effects = v.hear(round_change(3, 1))
    assert of(do.BuildBlock, effects) == [do.BuildBlock(1, 1, WALL, allow_empty=True)]
    made = v.make(proposer=1)
    fresh, _ = said(v.built(made, round_=1))
    assert isinstance(fresh, Proposal)
    assert fresh.justification == justify([round_change(i, 1) for i in (0, 1, 3)])[0]


def test_the_proposer_proposes_the_highest_prepared_block_again():
    v = Validator(me=2)
    v.start()
    low, high = v.make(), v.make(proposer=1)
    v.hear(proposal(0, low))
    old, new = certificate([0, 1, 3], name(low)), certificate([0, 1, 3], name(high), round_=1)
    justification, _ = justify([round_change(i, 1) for i in (0, 1, 3)])
    v.hear(proposal(1, high, round_=1, justification=justification))
    v.fire()
    effects = v.hear(round_change(0, 2, old), round_change(1, 2, new))
    (again,) = [m for m in said(effects) if isinstance(m, Proposal)]
    assert again.block == high
    assert again.justification.prepares == new.prepares
    assert not of(do.BuildBlock, effects)


def test_a_missing_body_is_fetched_from_those_who_prepared_it():
    v = Validator(me=1)
    v.start()
    v.fire()
    held = v.make()
    prepared = certificate([0, 1, 2], name(held))
    effects = v.hear(round_change(0, 1, prepared), round_change(2, 1))
    assert of(do.FetchBlock, effects) == [do.FetchBlock(1, name(held), (key(0), key(2)))]
    assert not said(effects)
    v.fire(TimerKind.REBROADCAST)
    assert of(do.FetchBlock, v.fire(TimerKind.REBROADCAST))  # a second after we last said something
    assert v.fetched(v.make(time_ms=WALL + 5)) == []
    effects = v.fetched(held)
    (again,) = said(effects)
    assert again.block == held
    assert of(do.CheckBlock, effects)
    assert said(v.checked(held)) == [prepare(1, name(held), round_=1)]


def test_a_body_that_comes_too_late_is_not_proposed():
    v = Validator(me=1)
    v.start()
    v.fire()
    held = v.make()
    v.hear(round_change(0, 1, certificate([0, 1, 2], name(held))), round_change(2, 1))
    v.fire()
    assert v.fetched(held) == []


def test_a_justified_proposal_of_a_later_round_is_followed_at_once():
    v = Validator()
    v.start()
    justification, _ = justify([round_change(i, 6) for i in (0, 1, 2)])
    made = v.make(proposer=2)
    v.hear(proposal(2, made, round_=6, justification=justification))
    assert v.state.current.round == 6
    assert said(v.checked(made)) == [prepare(3, name(made), round_=6)]


def test_prepares_that_ran_ahead_count_once_we_are_there():
    v = Validator()
    v.start()
    made = v.make(proposer=1)
    v.hear(prepare(1, name(made), round_=1), prepare(2, name(made), round_=1))
    justification, _ = justify([round_change(i, 1) for i in (0, 1, 2)])
    v.hear(proposal(1, made, round_=1, justification=justification))
    assert said(v.checked(made)) == [prepare(3, name(made), round_=1), commit(3, name(made), round_=1)]


def test_the_time_of_a_block_proposed_again_is_not_judged():
    v = Validator()
    v.start()
    late = v.make(time_ms=WALL + 50_000)
    assert [e.reason for e in of(do.RefuseBlock, v.hear(proposal(0, late)))] == ["time_implausible"]
    held = certificate([0, 1, 2], name(late))
    justification, _ = justify([round_change(i, 1, held) for i in (0, 1, 2)])
    assert of(do.CheckBlock, v.hear(proposal(1, late, round_=1, justification=justification)))


def test_a_later_certificate_replaces_the_lock():
    v = Validator()
    v.start()
    v.lock()
    other = v.make(proposer=1, time_ms=WALL + 9)
    justification, _ = justify([round_change(i, 1) for i in (0, 1, 2)])
    v.hear(proposal(1, other, round_=1, justification=justification))
    v.checked(other)
    v.hear(prepare(0, name(other), round_=1), prepare(1, name(other), round_=1))
    (change,) = [m for m in said(v.fire()) if isinstance(m, RoundChange)]
    assert change.prepared == certificate([0, 1, 3], name(other), round_=1)


def test_late_answers_of_an_earlier_round_are_ignored():
    v = Validator(me=0)
    v.start()
    v.fire()
    assert v.built(v.make(), round_=0) == []
    assert v.give(event.TimerFired(TimerKind.ROUND, 1, 0)) == []


def test_a_verdict_of_an_earlier_round_serves_the_later_one():
    v = Validator()
    v.start()
    made = v.make()
    v.hear(proposal(0, made))
    v.fire()
    assert said(v.checked(made)) == []
    held = certificate([0, 1, 2], name(made))
    justification, _ = justify([round_change(i, 1, held) for i in (0, 1, 2)])
    effects = v.hear(proposal(1, made, round_=1, justification=justification))
    assert not of(do.CheckBlock, effects)
    assert said(effects) == [prepare(3, name(made), round_=1)]


def test_a_timer_that_fires_early_is_set_again():
    v = Validator()
    v.start()
    at = v.timer()
    assert v.give(event.TimerFired(TimerKind.ROUND, 1, 0), at=at - 1) == [do.SetTimer(TimerKind.ROUND, 1, 0, at)]
    assert said(v.fire())


def test_what_we_said_is_said_again_every_second():
    v = Validator()
    v.start()
    made = v.lock()
    v.now = 100
    again = [e for e in of(do.Broadcast, v.fire(TimerKind.REBROADCAST)) if e.repeat]
    assert {type(e.message).__name__ for e in again} == {"Prepare", "Commit"}
    v.fire()
    at = v.now
    effects = v.fire(TimerKind.REBROADCAST)
    if v.now - at < 1_000:
        effects = v.fire(TimerKind.REBROADCAST)
    assert v.now == at + 1_000
    assert [e.message for e in of(do.Broadcast, effects)] == [
        round_change(3, 1, certificate([0, 1, 3], name(made))),
        commit(3, name(made)),
    ]


def test_rounds_entered_do_not_resurrect_an_old_proposal():
    v = Validator(me=0)
    v.start()
    enter(v, 4, (1, 2))
    assert v.state.current.proposal is None
    assert of(do.BuildBlock, v.all)[-1] == do.BuildBlock(1, 4, WALL, allow_empty=True)
    assert v.built(v.make(), round_=0) == []
    assert [m.round for m in said(v.built(v.make(), round_=4))] == [4, 4]


def test_a_justified_proposal_that_is_refused_starts_the_timer_all_the_same():
    v = Validator()
    v.start()
    justification, _ = justify([round_change(i, 2) for i in (0, 1, 2)])
    bad = v.make(proposer=2, parent=bytes(32))
    effects = v.hear(proposal(2, bad, round_=2, justification=justification))
    assert [e.reason for e in of(do.RefuseBlock, effects)] == ["parent_wrong"]
    assert v.timer() == v.now + 4_000
