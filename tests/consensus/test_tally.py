from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from consensus.tally import MAX_ROUNDS_PER_SIGNER, Added, RoundChangeTally, SeenRounds, VoteTally
from tests.consensus.making import certificate, key, prepare, round_change

A, B = b"\xaa" * 32, b"\xbb" * 32


def test_each_signer_counts_once():
    tally = VoteTally()
    assert tally.add(prepare(1, A), 0) is Added.NEW
    assert tally.add(prepare(1, A), 0) is Added.REPEATED
    assert tally.add(prepare(1, B), 0) is Added.CONFLICT
    assert set(tally.support(0, A)) == {key(1)}
    assert not tally.support(0, B)
    assert tally.first(0, key(1)) == prepare(1, A)


def test_rounds_and_blocks_are_counted_apart():
    tally = VoteTally()
    for vote in (prepare(0, A), prepare(1, B), prepare(2, A, round_=1), prepare(0, A, round_=1)):
        assert tally.add(vote, 0) is Added.NEW
    assert len(tally.support(0, A)) == len(tally.support(0, B)) == 1
    assert len(tally.support(1, A)) == 2


@given(st.lists(st.integers(0, 2**31 - 1)), st.integers(0, 5))
def test_a_signer_displaces_only_itself(rounds, current):
    tally = VoteTally()
    tally.add(prepare(0, A, round_=current), current)
    tally.add(prepare(1, A, round_=current), current)
    for round_ in rounds:
        tally.add(prepare(1, A, round_=round_), current)
    assert len(tally) <= 1 + MAX_ROUNDS_PER_SIGNER
    assert set(tally.support(current, A)) == {key(0), key(1)}  # the current round is never displaced


def test_the_oldest_other_round_makes_room():
    tally = VoteTally()
    for round_ in range(1, MAX_ROUNDS_PER_SIGNER + 2):
        tally.add(prepare(1, A, round_=round_), 1)
    assert tally.first(1, key(1)) is not None
    assert tally.first(2, key(1)) is None
    assert tally.first(MAX_ROUNDS_PER_SIGNER + 1, key(1)) is not None
    assert tally.add(prepare(1, A, round_=0), 1) is Added.REPEATED


def test_only_the_latest_round_change_of_a_signer_counts():
    tally = RoundChangeTally()
    assert tally.add(round_change(1, 3)) is Added.NEW
    assert tally.add(round_change(1, 2)) is Added.REPEATED
    assert tally.add(round_change(1, 3)) is Added.REPEATED
    assert tally.add(round_change(1, 3, certificate([0, 1, 2], A))) is Added.CONFLICT
    assert tally.add(round_change(2, 3)) is Added.NEW
    assert {change.signer for change in tally.of_round(3)} == {key(1), key(2)}
    assert tally.add(round_change(1, 2**31 - 1)) is Added.NEW
    assert {change.signer for change in tally.of_round(3)} == {key(2)}
    assert tally.latest(key(1)).round == 2**31 - 1


def test_a_jump_goes_to_the_weak_quorums_highest_round():
    seen = SeenRounds()
    seen.see(key(0), 9)
    assert seen.jump_target(1, 2, key(3)) is None
    seen.see(key(1), 4)
    seen.see(key(2), 1)
    assert seen.jump_target(1, 2, key(3)) == 4
    seen.see(key(2), 7)
    assert seen.jump_target(1, 2, key(3)) == 7
    assert seen.jump_target(1, 2, key(0)) == 4  # our own round is no reason to follow
    assert seen.jump_target(1, 1, None) == 9


def test_seen_rounds_only_grow():
    seen = SeenRounds()
    assert seen.see(key(0), 2)
    assert not seen.see(key(0), 1)
    assert not seen.see(key(0), 2)
    assert seen.at_least(2) == 1
    assert seen.at_least(3) == 0
