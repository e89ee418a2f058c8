"""A validator whose signer state is lost signs again above every height at which it may have signed, not before."""

from __future__ import annotations

import pytest

from consensus import effects as do
from consensus import inputs as event
from consensus.effects import ObserveReason
from consensus.records import Forgotten, record_codec
from consensus.state import Observing, live_records
from consensus.verify import authenticate
from tests.consensus.making import CHAIN, commit, prepare, verify
from tests.consensus.single import Validator, of

LOST = Observing(ObserveReason.SIGNER_STATE_LOST)


def entered(through: int | None) -> do.EnterObserve:
    return do.EnterObserve(ObserveReason.SIGNER_STATE_LOST, through)


def again(v: Validator, records) -> Validator:
    return Validator(v.me, v.count, records=[record_codec.decode(record_codec.encode(record)) for record in records])


def signs(v: Validator) -> bool:
    return v.state.can_sign and v.timer() is not None


def test_it_signs_above_the_height_that_it_is_told():
    v = Validator(records=[Forgotten(None)])
    assert of(do.EnterObserve, v.start(5)) == [entered(None)]
    assert v.give(event.ObserveThrough(6)) == [do.Persist(Forgotten(6)), entered(6)]
    v.start(6)
    assert not signs(v)
    assert of(do.LeaveObserve, v.start(7)) == [do.LeaveObserve(7)]
    assert signs(v)


def test_it_may_be_told_before_the_first_height():
    v = Validator(observing=LOST)
    assert v.give(event.ObserveThrough(6)) == [do.Persist(Forgotten(6))]
    assert of(do.EnterObserve, v.start(6)) == [entered(6)]
    assert of(do.LeaveObserve, v.start(7)) == [do.LeaveObserve(7)]


def test_it_signs_at_once_when_the_chain_is_past_that_height_already():
    v = Validator(observing=LOST)
    v.give(event.ObserveThrough(6))
    assert of(do.LeaveObserve, v.start(9)) == [do.LeaveObserve(9)]
    assert signs(v)


@pytest.mark.parametrize("before_the_first_height", [True, False])
def test_a_returned_message_of_a_later_height_counts_more(before_the_first_height):
    v = Validator(observing=LOST)
    returned = event.LatestOwnMessage(authenticate(commit(3, bytes(32), height=8), CHAIN, verify))
    if not before_the_first_height:
        v.start(5)
    assert of(do.EnterObserve, v.give(returned)) == []
    assert of(do.Persist, v.give(event.ObserveThrough(6))) == [do.Persist(Forgotten(8))]


def test_a_returned_message_counts_when_the_height_was_told_before_it():
    v = Validator(observing=LOST)
    v.start(5)
    v.give(event.ObserveThrough(6))
    v.hear(prepare(3, bytes(32), height=5))
    v.give(event.LatestOwnMessage(authenticate(commit(3, bytes(32), height=8), CHAIN, verify)))
    v.start(8)
    assert not signs(v)
    assert of(do.LeaveObserve, v.start(9))


def test_it_is_told_only_once():
    v = Validator(observing=LOST)
    v.start(5)
    v.give(event.ObserveThrough(6))
    assert v.give(event.ObserveThrough(5)) == []
    assert v.give(event.ObserveThrough(9)) == []


def test_a_validator_that_remembers_is_not_told_anything():
    v = Validator()
    v.start(5)
    assert v.give(event.ObserveThrough(9)) == []
    assert signs(v)


def test_a_restart_does_not_make_it_forget_that_it_has_forgotten():
    v = Validator(records=[Forgotten(None)])
    v.start(5)
    w = again(v, [Forgotten(None), *v.records()])
    assert of(do.EnterObserve, w.start(5)) == [entered(None)]
    w.give(event.ObserveThrough(6))
    x = again(w, [Forgotten(None), *w.records()])
    assert of(do.EnterObserve, x.start(6)) == [entered(6)]
    assert of(do.LeaveObserve, x.start(7)) == [do.LeaveObserve(7)]


def test_compaction_keeps_how_much_was_forgotten():
    v = Validator(observing=LOST)
    v.start(5)
    v.give(event.ObserveThrough(6))
    w = again(v, live_records(v.state))
    w.start(6)
    assert not signs(w)
    v.start(7)
    assert live_records(v.state)[0] == Forgotten(6)


def test_nothing_is_forgotten_when_the_log_begins_with_that():
    v = Validator(records=[Forgotten(0)])
    assert of(do.EnterObserve, v.start()) == []
    assert signs(v)


def test_a_restart_does_not_make_it_forget_that_it_was_rolled_back():
    v = Validator(records=[Forgotten(0)])
    v.start(5)
    v.give(event.LatestOwnMessage(authenticate(commit(3, bytes(32), height=8), CHAIN, verify)))
    w = again(v, [Forgotten(0), *v.records()])
    w.start(8)
    assert not signs(w)
    assert of(do.LeaveObserve, w.start(9))


def test_a_store_that_was_rolled_back_alone_is_told_from_the_log_again():
    v = Validator(records=[Forgotten(0)])
    v.start(7)
    v.fire()
    w = again(v, [Forgotten(0), *v.records()])
    assert of(do.EnterObserve, w.start(5)) == [do.EnterObserve(ObserveReason.STORE_BEHIND_SIGNER, 6)]
    assert w.records() == []
