from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consensus.epoch import Epoch, proposer
from consensus.timing import Parameters, is_plausible_time, round_timeout_ms
from ledger.errors import InvalidInput, LocalMisuse
from tests.consensus.making import key, validators

DEFAULT = Parameters()


def test_rounds_double_up_to_the_cap():
    lengths = [round_timeout_ms(DEFAULT, r) for r in range(9)]
    assert lengths == [1_000, 2_000, 4_000, 8_000, 16_000, 32_000, 60_000, 60_000, 60_000]


@given(st.integers(1, 10_000), st.integers(0, 10_000_000), st.integers(0, 2**31 - 1))
def test_any_round_has_a_bounded_timeout(base, more, round_):
    parameters = Parameters(base_timeout_ms=base, max_timeout_ms=base + more)
    length = round_timeout_ms(parameters, round_)
    assert length == min(base * 2 ** min(round_, 64), base + more)


@pytest.mark.parametrize(
    "wrong", [{"base_timeout_ms": 0}, {"max_timeout_ms": 999}, {"package_wait_ms": -1}, {"rebroadcast_ms": 0}]
)
def test_impossible_durations_are_refused(wrong):
    with pytest.raises(InvalidInput):
        Parameters(**wrong)


@pytest.mark.parametrize(
    ("time_ms", "parent_ms", "plausible"),
    [
        (100_000, 99_000, True),
        (105_000, 99_000, True),
        (105_001, 99_000, False),
        (40_000, 1_000, True),
        (39_999, 1_000, False),
        (200_001, 200_000, True),  # all clocks were set back: the lowest legal time is always plausible
        (200_002, 200_000, False),
    ],
)
def test_a_first_proposals_time_is_near_our_clock(time_ms, parent_ms, plausible):
    assert is_plausible_time(DEFAULT, time_ms, parent_ms, 100_000) is plausible


def test_proposers_rotate_with_height_and_round():
    members = validators(4)
    epoch = Epoch(2, 10, 1)
    assert [proposer(epoch, members, 10 + i, 0) for i in range(5)] == [key(i % 4) for i in (1, 2, 3, 4, 5)]
    assert [proposer(epoch, members, 10, r) for r in range(4)] == [key(i % 4) for i in (1, 2, 3, 4)]
    assert proposer(epoch, members, 2**53 - 1, 2**31 - 1) in members
    with pytest.raises(LocalMisuse):
        proposer(epoch, members, 9, 0)
