"""After a crash only the signer log is left: the lock, the round and the guard must come back from it."""

from __future__ import annotations

import pytest

from consensus import effects as do
from consensus import inputs as event
from consensus.guard import MAX_VOTES_PER_KIND
from consensus.inputs import TimerKind
from consensus.justification import justify
from consensus.messages import PreparedCertificate, RoundChange
from consensus.records import PreparedBlock, SignedVote, record_codec
from consensus.state import live_records, restore
from consensus.timing import Parameters
from ledger.errors import StorageFault
from tests.consensus.making import CHAIN, WALL, certificate, commit, key, name, prepare, proposal, round_change, signer
from tests.consensus.single import Validator, kinds, of, said


def again(v: Validator, **more) -> Validator:
    """The same validator after a crash, through the bytes of its records."""
    records = [record_codec.decode(record_codec.encode(record)) for record in v.records()]
    return Validator(v.me, v.count, records=records, **more)


def test_the_prepared_certificate_survives():
    v = Validator()
    v.start()
    made = v.lock()
    w = again(v)
    w.start()
    (change,) = said(w.fire())
    assert change == round_change(3, 1, certificate([0, 1, 3], name(made)))


def test_the_prepared_body_survives():
    v = Validator(me=1)
    v.start()
    made = v.lock()
    w = again(v)
    w.start()
    w.fire()
    effects = w.hear(round_change(0, 1), round_change(2, 1))
    assert [m.block for m in said(effects)] == [made]


def test_the_timer_is_armed_at_once_whatever_the_round():
    v = Validator()
    v.start()
    v.hear(round_change(0, 3), round_change(1, 3))
    w = again(v)
    w.now = 70_000
    w.start(work=None)
    assert w.state.current.round == 3
    assert w.timer() == 78_000


def test_what_was_said_is_said_again_after_a_restart():
    v = Validator()
    v.start()
    made = v.lock()
    w = again(v)
    effects = w.start()
    repeated = of(do.Broadcast, effects)
    assert all(effect.repeat for effect in repeated)
    assert [e.message for e in repeated] == [prepare(3, name(made)), commit(3, name(made))]
    assert not of(do.Persist, effects)


def test_the_same_proposal_gets_the_same_vote_after_a_restart():
    v = Validator()
    v.start()
    made = v.make()
    v.hear(proposal(0, made))
    v.checked(made)
    w = again(v)
    w.start()
    w.hear(proposal(0, made))
    effects = w.checked(made)
    assert not of(do.Persist, effects)
    assert not of(do.ReportSigningRefused, effects)
    assert said(w.hear(prepare(0, name(made)), prepare(1, name(made)))) == [commit(3, name(made))]


def test_another_proposal_in_the_same_round_is_refused_after_a_restart():
    v = Validator()
    v.start()
    made, other = v.make(), v.make(time_ms=WALL + 2)
    v.hear(proposal(0, made))
    v.checked(made)
    w = again(v)
    w.start()
    w.hear(proposal(0, other))
    effects = w.checked(other)
    assert kinds(effects) == ["ReportSigningRefused"]


def test_a_proposer_does_not_propose_twice_after_a_restart():
    v = Validator(me=0)
    v.start()
    v.built(v.make())
    w = again(v)
    assert not of(do.BuildBlock, w.start())
    assert w.timer() == 1_000
    assert said(w.fire()) == [round_change(0, 1)]


def test_the_commit_follows_when_the_crash_came_between_lock_and_commit():
    v = Validator()
    v.start()
    made = v.lock()
    records = [r for r in v.records() if not (isinstance(r, SignedVote) and r.kind == 2)]
    w = Validator(records=records)
    assert said(w.start()) == [commit(3, name(made))]


def test_own_commits_count_towards_the_decision_after_a_restart():
    v = Validator()
    v.start()
    made = v.lock()
    w = again(v)
    w.start()
    effects = w.hear(commit(0, name(made)), commit(1, name(made)))
    assert kinds(effects)[-1] == "CheckBlock"  # its execution did not survive
    assert of(do.CommitBlock, w.checked(made))


def test_a_single_validator_goes_on_where_it_stopped():
    v = Validator(me=0, count=1)
    v.start()
    made = v.make()
    v.built(made)
    w = again(v)
    assert of(do.CheckBlock, w.start())
    assert of(do.CommitBlock, w.checked(made))
    records = [r for r in v.records() if isinstance(r, SignedVote) and r.kind < 2]
    x = Validator(me=0, count=1, records=records)
    x.start()
    assert of(do.BuildBlock, x.fire())  # the body is lost with the proposal; the next round makes a new one


def test_records_of_decided_heights_are_forgotten():
    v = Validator()
    v.start()
    v.lock()
    w = again(v)
    w.start(2)
    assert w.state.current.prepared is None
    assert w.state.current.round == 0
    assert live_records(w.state) == []


def test_a_store_behind_the_signer_is_only_observed_with():
    v = Validator()
    v.start(5)
    v.fire()
    w = again(v)
    effects = w.start(3)
    assert of(do.EnterObserve, effects) == [do.EnterObserve(do.ObserveReason.STORE_BEHIND_SIGNER, 4)]
    assert w.timer() is None
    w.start(4)
    effects = w.start(5)
    assert of(do.LeaveObserve, effects) == [do.LeaveObserve(5)]
    assert w.state.current.round == 1
    assert w.timer() is not None


def test_live_records_rebuild_the_same_state():
    v = Validator()
    v.start()
    v.lock()
    v.fire()
    v.hear(round_change(0, 4), round_change(1, 4))
    compacted = Validator(records=live_records(v.state))
    compacted.start()
    full = again(v)
    full.start()
    for w in (compacted, full):
        assert w.state.current.round == 4
        assert w.state.current.prepared == v.state.current.prepared
        assert w.state.current.own == v.state.current.own
    before_start = Validator(records=live_records(v.state))
    assert live_records(before_start.state) == live_records(v.state)


def test_live_records_stay_few_when_rounds_go_on():
    v = Validator()
    v.start()
    v.lock()
    for round_ in range(1, 200):
        v.hear(round_change(0, round_), round_change(1, round_))
    assert len(live_records(v.state)) <= 4 * MAX_VOTES_PER_KIND + 1


def test_records_that_make_no_sense_are_a_storage_fault():
    v = Validator()
    v.start()
    made = v.lock()
    other = PreparedBlock(1, PreparedCertificate(0, bytes(32), ()), made)
    garbled = SignedVote(1, 1, 0, bytes(32), bytes(65), b"not a message")
    conflicting = [SignedVote(1, 1, 0, bytes([i]) * 32, bytes(65), b"") for i in (1, 2)]
    for records in ([other], [garbled], conflicting):
        with pytest.raises(StorageFault):
            restore(records, CHAIN, key(3), signer(key(3)), Parameters())


def test_a_lock_older_than_the_latest_is_superseded():
    v = Validator()
    v.start()
    v.lock()
    other = v.make(proposer=1, time_ms=WALL + 9)
    justification, _ = justify([round_change(i, 1) for i in (0, 1, 2)])
    v.hear(proposal(1, other, round_=1, justification=justification))
    v.checked(other)
    v.hear(prepare(0, name(other), round_=1), prepare(1, name(other), round_=1))
    w = again(v)
    w.start()
    (change,) = [m for m in said(w.fire()) if isinstance(m, RoundChange)]
    assert change.prepared.block_id == name(other)


def test_late_timers_of_the_earlier_life_do_nothing():
    v = Validator()
    v.start()
    v.fire()
    w = again(v)
    w.start()
    assert w.give(event.TimerFired(TimerKind.ROUND, 1, 0)) == []


def test_an_earlier_commit_does_not_replace_the_one_that_is_due():
    v = Validator()
    v.start()
    made = v.lock()
    held = certificate([0, 1, 3], name(made))
    justification, _ = justify([round_change(i, 1, held) for i in (0, 1, 2)])
    v.hear(proposal(1, made, round_=1, justification=justification))
    v.hear(prepare(0, name(made), round_=1), prepare(1, name(made), round_=1))
    records = [r for r in v.records() if not (isinstance(r, SignedVote) and (r.kind, r.round) == (2, 1))]
    w = Validator(records=records)
    assert said(w.start()) == [commit(3, name(made), round_=1)]
