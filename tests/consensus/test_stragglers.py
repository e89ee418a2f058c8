"""Who is stuck at a height that we have decided gets the block; who was merely late does not."""

from __future__ import annotations

from consensus import effects as do
from consensus import inputs as event
from consensus.verify import authenticate
from tests.consensus.making import CHAIN, commit, key, prepare, round_change, verify
from tests.consensus.single import Validator, of

ID = bytes(32)


def heard(message) -> event.StragglerHeard:
    return event.StragglerHeard(authenticate(message, CHAIN, verify))


def sent(effects) -> list[tuple[bytes, int]]:
    return [(effect.to, effect.height) for effect in of(do.SendDecided, effects)]


def at_height_9() -> Validator:
    v = Validator()
    v.now = 5_000
    v.start(9)
    return v


def test_a_round_change_for_a_decided_height_is_answered():
    v = at_height_9()
    assert sent(v.give(heard(round_change(1, 1, height=8)))) == [(key(1), 8)]
    w = at_height_9()
    assert sent(w.hear(round_change(1, 1, height=8))) == [(key(1), 8)]


def test_answers_are_rate_limited_whatever_height_is_named():
    v = at_height_9()
    answers = []
    for i in range(100):
        answers += sent(v.give(heard(round_change(1, 1, height=8 - i % 8)), at=5_000 + 30 * i))
    assert 1 <= len(answers) <= 3


def test_a_late_vote_is_not_answered():
    v = at_height_9()
    for i in range(4):
        assert sent(v.give(heard(commit(1, ID, height=8)), at=5_000 + i)) == []


def test_a_vote_repeated_after_a_while_is_answered():
    v = at_height_9()
    assert sent(v.give(heard(prepare(1, ID, height=8)))) == []
    assert sent(v.give(heard(prepare(1, ID, height=8)), at=6_000)) == [(key(1), 8)]


def test_who_was_heard_at_our_height_is_not_stuck():
    v = at_height_9()
    v.hear(prepare(1, ID, height=9))
    assert sent(v.give(heard(round_change(1, 1, height=8)))) == []


def test_strangers_and_ourselves_get_nothing_and_cost_no_memory():
    v = at_height_9()
    for i in (3, *range(50, 90)):
        assert v.give(heard(round_change(i, 1, height=8))) == []
    assert not v.state.stale


def test_a_straggler_counts_as_alive():
    v = at_height_9()
    v.give(heard(prepare(1, ID, height=2)), at=7_777)
    assert v.state.heard[key(1)] == 7_777
