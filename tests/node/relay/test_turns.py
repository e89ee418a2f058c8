"""Whose turn it is: relays that know each other agree, a silent one is left out, and nobody is waited for long."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from node.relay.turns import FORGET_MS, MAX_RELAYS, SPREAD_MS, STEP_MS, TURN_BLOCKS, Turns

KEYS = [bytes([number]) * 33 for number in range(1, 6)]


def knowing(own: bytes, others: list[bytes], now_ms: int = 0) -> Turns:
    turns = Turns(own)
    for key in others:
        turns.seen(key, now_ms)
    return turns


@given(height=st.integers(0, 2**40), count=st.integers(1, 5))
def test_exactly_one_goes_first_and_the_others_one_step_after_another_when_all_know_each_other(height, count):
    keys = KEYS[:count]
    delays = [knowing(key, keys).delay_ms(height, 0) for key in keys]
    assert sorted(delays) == [STEP_MS * place for place in range(count)]


def test_every_relay_has_its_turn_when_blocks_go_by():
    all_turns = [knowing(key, KEYS) for key in KEYS]
    first = [
        next(key for key, turns in zip(KEYS, all_turns, strict=True) if turns.delay_ms(height, 0) == 0)
        for height in range(0, 200 * TURN_BLOCKS, TURN_BLOCKS)
    ]
    assert set(first) == set(KEYS)
    assert max(first.count(key) for key in KEYS) < 80


def test_turn_stays_with_one_relay_for_consecutive_blocks():
    turns = knowing(KEYS[0], KEYS)
    for window in range(20):
        assert len({turns.delay_ms(window * TURN_BLOCKS + place, 0) for place in range(TURN_BLOCKS)}) == 1


def turn_of_other(turns: Turns) -> int:
    return next(height for height in range(0, 10_000, TURN_BLOCKS) if turns.delay_ms(height, 0))


def test_nobody_is_waited_for_when_nobody_was_seen():
    turns = Turns(KEYS[0])
    assert all(turns.delay_ms(height, 0) == 0 for height in range(1_000))


def test_own_deliveries_are_no_other_relay():
    turns = knowing(KEYS[0], [KEYS[0]])
    assert all(turns.delay_ms(height, 0) == 0 for height in range(1_000))


def test_silent_relay_is_left_out_after_one_miss_until_it_is_seen_again():
    turns = knowing(KEYS[0], [KEYS[1]])
    height = turn_of_other(turns)
    turns.missed(height, 0)
    assert turns.taken_over == 1
    assert turns.delay_ms(height, 0) == 0
    turns.missed(height, 0)
    assert turns.taken_over == 1
    turns.seen(KEYS[1], 5)
    assert turns.delay_ms(height, 5) == STEP_MS


def test_nothing_is_taken_over_when_it_was_our_turn():
    turns = knowing(KEYS[0], [KEYS[1]])
    own = next(height for height in range(0, 10_000, TURN_BLOCKS) if not turns.delay_ms(height, 0))
    turns.missed(own, 0)
    assert turns.taken_over == 0
    assert turns.delay_ms(turn_of_other(turns), 0) == STEP_MS


def test_relay_is_forgotten_when_it_was_not_seen_for_long():
    turns = knowing(KEYS[0], [KEYS[1]])
    height = turn_of_other(turns)
    assert turns.delay_ms(height, FORGET_MS) == STEP_MS
    assert turns.delay_ms(height, FORGET_MS + 1) == 0


def test_relays_are_bounded_when_thousands_of_keys_deliver():
    turns = Turns(KEYS[0])
    for number in range(5_000):
        turns.seen(number.to_bytes(33, "big"), 0)
    assert max(turns.delay_ms(height, 0) for height in range(0, 3_200, TURN_BLOCKS)) <= MAX_RELAYS * STEP_MS


def test_relays_that_have_not_seen_each_other_pause_in_the_order_of_their_turns():
    keys = [bytes([number]) * 33 for number in range(8)]
    known = {key: Turns(key) for key in keys}
    for turns in known.values():
        for key in keys:
            turns.seen(key, 0)
    for height in range(0, 320, 32):
        pauses = {key: Turns(key).spread_ms(height) for key in keys}
        assert all(0 <= pause < SPREAD_MS for pause in pauses.values())
        by_turn = sorted(keys, key=lambda key: known[key].delay_ms(height, 0))
        assert [pauses[key] for key in by_turn] == sorted(pauses.values())
