"""When blocks are made, and when an absent proposer is noticed."""

from __future__ import annotations

from consensus import effects as do
from consensus import inputs as event
from consensus.inputs import TimerKind
from consensus.timing import Parameters
from tests.consensus.making import WALL, key, name, proposal
from tests.consensus.single import Validator, of, said


def builds(effects) -> list[bool]:
    return [effect.allow_empty for effect in of(do.BuildBlock, effects)]


def test_work_is_proposed_at_once():
    v = Validator(me=0)
    assert builds(v.start(work=None)) == []
    v.now = 300
    assert builds(v.give(event.WorkAvailable(290))) == [False]
    assert builds(v.give(event.WorkAvailable(290))) == []


def test_an_empty_block_is_made_at_the_interval():
    v = Validator(me=0)
    v.start(work=None)
    assert v.timer(TimerKind.PROPOSE) == 10_000
    assert builds(v.fire(TimerKind.PROPOSE)) == [True]


def test_a_package_waits_for_more_work_but_not_for_long():
    v = Validator(me=0, parameters=Parameters(package_wait_ms=400))
    v.start(work=None)
    v.now = 100
    assert builds(v.give(event.WorkAvailable(50))) == []
    assert v.timer(TimerKind.PROPOSE) == 450
    assert builds(v.fire(TimerKind.PROPOSE)) == [False]


def test_a_full_package_is_proposed_at_once():
    v = Validator(me=0, parameters=Parameters(package_wait_ms=400))
    v.start(work=0)
    assert builds(v.give(event.PackageReady())) == [False]
    w = Validator(me=0, parameters=Parameters(package_wait_ms=400))
    assert builds(w.start(work=0, package_ready=True)) == [False]


def test_work_that_was_none_is_waited_for_again():
    v = Validator(me=0)
    v.start(work=0)
    v.now = 7
    v.built(None)
    assert v.timer(TimerKind.PROPOSE) == 10_000
    assert builds(v.give(event.WorkAvailable(20), at=20)) == [False]


def test_nothing_is_built_when_it_is_not_our_turn():
    v = Validator(me=1)
    assert builds(v.start(work=0)) == []
    assert v.timer(TimerKind.PROPOSE) is None


def test_round_zero_is_measured_from_the_oldest_work():
    v = Validator()
    v.start(work=None)
    assert v.timer() == 11_000
    v.give(event.WorkAvailable(500), at=600)
    assert v.timer() == 1_500
    v.give(event.WorkAvailable(900), at=900)
    assert v.timer() == 1_500


def test_work_older_than_the_height_is_measured_from_its_start():
    v = Validator()
    v.now = 50_000
    v.start(work=1)
    assert v.timer() == 51_000


def test_the_wait_for_a_package_is_not_held_against_the_proposer():
    v = Validator(parameters=Parameters(package_wait_ms=400))
    v.start(work=0)
    assert v.timer() == 1_400
    v.give(event.PackageReady(), at=200)
    assert v.timer() == 1_200


def test_a_proposal_gives_its_round_the_full_time():
    v = Validator()
    v.start(work=0)
    v.now = 900
    v.hear(proposal(0, v.make()))
    assert v.timer() == 1_900


def test_a_silent_proposer_gets_the_short_timer():
    v = Validator()
    v.start(work=None)
    for other in (1, 2):
        v.give(event.ValidatorHeard(key(other)), at=5_500)
    v.give(event.WorkAvailable(6_000), at=6_000)
    assert v.timer() == 6_250


def test_a_proposer_heard_of_through_others_is_not_silent():
    v = Validator()
    v.start(work=None)
    for other in (0, 1, 2):
        v.give(event.ValidatorHeard(key(other)), at=5_500)
    v.give(event.WorkAvailable(6_000), at=6_000)
    assert v.timer() == 7_000


def test_nobody_is_suspected_when_everything_is_quiet():
    v = Validator()
    v.start(work=None)
    v.give(event.ValidatorHeard(key(1)), at=6_900)
    v.give(event.WorkAvailable(7_000), at=7_000)
    assert v.timer() == 8_000


def test_strangers_are_not_noted():
    v = Validator()
    v.start()
    v.give(event.ValidatorHeard(key(77)))
    assert key(77) not in v.state.heard


def test_a_proposal_is_proposed_once_even_when_built_twice():
    v = Validator(me=0)
    v.start()
    made = v.make()
    v.built(made)
    assert said(v.built(v.make(time_ms=WALL + 3))) == []
    assert v.state.current.proposal.block.id == name(made)
