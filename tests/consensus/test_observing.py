"""A validator whose memory cannot be trusted follows without signing."""

from __future__ import annotations

import msgspec
import pytest

from consensus import effects as do
from consensus import inputs as event
from consensus.effects import ObserveReason
from consensus.inputs import TimerKind
from consensus.state import Observing
from consensus.verify import authenticate
from tests.consensus.making import CHAIN, commit, key, name, prepare, proposal, round_change, verify
from tests.consensus.single import Validator, decide_all, of, said


def returned(message) -> event.LatestOwnMessage:
    return event.LatestOwnMessage(authenticate(message, CHAIN, verify))


def rolled_back(through: int) -> do.EnterObserve:
    return do.EnterObserve(ObserveReason.SIGNER_STATE_ROLLED_BACK, through)


def test_a_lost_signer_state_never_signs():
    v = Validator(me=0, observing=Observing(ObserveReason.SIGNER_STATE_LOST))
    effects = v.start()
    assert of(do.EnterObserve, effects) == [do.EnterObserve(ObserveReason.SIGNER_STATE_LOST, None)]
    assert not of(do.BuildBlock, effects)
    assert v.timer() is None
    v.start(2)
    assert not of(do.LeaveObserve, v.all)
    assert not of(do.Broadcast, v.all)


def test_an_unknown_own_message_ends_signing_until_its_height_is_decided():
    v = Validator()
    v.start()
    assert of(do.EnterObserve, v.give(returned(prepare(3, bytes(32))))) == [rolled_back(1)]
    assert v.timer() is None
    made = v.make()
    v.hear(proposal(0, made))
    effects = v.checked(made) + v.hear(prepare(0, name(made)), prepare(1, name(made)), prepare(2, name(made)))
    assert not of(do.Broadcast, effects)
    assert of(do.CommitBlock, decide_all(v, made))
    effects = v.start(2, parent=name(made))
    assert of(do.LeaveObserve, effects) == [do.LeaveObserve(2)]
    assert v.timer() is not None


def test_a_message_known_to_us_changes_nothing():
    v = Validator()
    v.start()
    made = v.lock()
    for own in (prepare(3, name(made)), commit(3, name(made))):
        assert v.give(returned(own)) == []
        assert v.hear(own) == []


def test_a_message_of_a_decided_height_changes_nothing():
    v = Validator()
    v.start(5)
    assert v.give(returned(round_change(3, 9, height=4))) == []


def test_the_answer_may_come_before_the_first_height():
    v = Validator()
    assert of(do.EnterObserve, v.give(returned(commit(3, bytes(32), height=8)))) == [rolled_back(8)]
    v.start(7)
    assert v.timer() is None
    v.start(8)
    assert v.timer() is None
    assert of(do.LeaveObserve, v.start(9))


def test_an_answer_below_the_first_height_does_no_harm():
    v = Validator()
    v.give(returned(commit(3, bytes(32), height=2)))
    assert of(do.LeaveObserve, v.start(7))
    assert v.timer() is not None


@pytest.mark.parametrize("height", [1, 2])
def test_an_own_message_relayed_by_anyone_tells_as_much(height):
    v = Validator()
    v.start()
    assert of(do.EnterObserve, v.hear(prepare(3, bytes(32), height=height))) == [rolled_back(height)]


def test_an_own_vote_from_before_the_rollback_still_counts():
    v = Validator()
    v.start()
    made = v.make()
    v.hear(proposal(0, made))
    v.checked(made)
    v.hear(commit(3, name(made)), commit(0, name(made)))
    assert of(do.CommitBlock, v.hear(commit(1, name(made))))


def test_the_longest_reason_wins():
    v = Validator()
    v.start()
    v.give(returned(commit(3, bytes(32), height=5)))
    assert v.give(returned(commit(3, bytes(32), height=4))) == []
    assert of(do.EnterObserve, v.give(returned(commit(3, bytes(32), height=6)))) == [rolled_back(6)]


def test_somebody_elses_message_is_not_ours():
    v = Validator()
    v.start()
    assert v.give(returned(prepare(2, bytes(32)))) == []


def test_observers_follow_the_rounds_of_the_others():
    v = Validator(observing=Observing(ObserveReason.SIGNER_STATE_LOST))
    v.start()
    v.hear(round_change(0, 4), round_change(1, 4))
    assert v.state.current.round == 4
    assert v.timer(TimerKind.ROUND) is None
    assert not of(do.Broadcast, v.all)


def test_a_connecting_peer_gets_its_latest_message_back():
    v = Validator()
    v.start()
    assert of(do.ReturnLatest, v.give(event.PeerConnected(key(1)))) == [do.ReturnLatest(key(1), None)]
    v.hear(commit(1, bytes(32)), prepare(1, bytes(32)))
    assert of(do.ReturnLatest, v.give(event.PeerConnected(key(1)))) == [do.ReturnLatest(key(1), commit(1, bytes(32)))]
    v.hear(round_change(1, 2))
    v.start(2)
    assert of(do.ReturnLatest, v.give(event.PeerConnected(key(1)))) == [do.ReturnLatest(key(1), round_change(1, 2))]


def test_a_connecting_peer_hears_what_we_said():
    v = Validator()
    v.start()
    made = v.lock()
    sent = [e.message for e in of(do.SendTo, v.give(event.PeerConnected(key(1))))]
    assert sent == [prepare(3, name(made)), commit(3, name(made))]


def test_a_message_is_unknown_when_it_differs_from_the_one_signed():
    v = Validator()
    v.start()
    made = v.lock()
    other = msgspec.structs.replace(prepare(3, b"\x05" * 32))
    assert name(made) != other.block_id
    assert of(do.EnterObserve, v.give(returned(other))) == [rolled_back(1)]
    assert said(v.fire(TimerKind.REBROADCAST)) == []
