"""Jumps of the wall clock, and how far it is off against those of the other validators."""

from __future__ import annotations

import structlog
from hypothesis import given
from hypothesis import strategies as st

from node.clock_watch import FRESH_MS, JUMP_MS, MAX_PROPOSERS, SAMPLES, ClockWatch

A, B, C = (bytes([0]) + bytes([number]) * 32 for number in (1, 2, 3))
START_MS = 1_700_000_000_000


class Clocks:
    """Two clocks that go together until one is set."""

    def __init__(self) -> None:
        self.now = 5_000
        self.ahead = 0

    def watch(self) -> ClockWatch:
        return ClockWatch(lambda: self.now, lambda: START_MS + self.now + self.ahead)

    @property
    def true_ms(self) -> int:
        return START_MS + self.now


def test_a_jump_is_counted_and_said_when_the_wall_clock_is_set() -> None:
    clocks = Clocks()
    watch = clocks.watch()
    assert watch.check() is None
    clocks.now += 1_000
    assert watch.check() is None
    clocks.ahead += 7_000
    clocks.now += 1_000
    with structlog.testing.capture_logs() as logs:
        assert watch.check() == 7_000
    assert [(line["event"], line["by_ms"]) for line in logs] == [("clock_jumped", 7_000)]
    clocks.now += 1_000
    clocks.ahead -= 9_000
    assert watch.check() == -9_000
    assert (watch.jumps, watch.last_jump_ms) == (2, -9_000)
    clocks.now += 400
    assert watch.document()["jumped_ms_ago"] == 400


@given(steps=st.lists(st.tuples(st.integers(0, 60_000), st.integers(-JUMP_MS + 1, JUMP_MS - 1)), max_size=30))
def test_slewing_is_no_jump_however_long_a_check_waits(steps: list[tuple[int, int]]) -> None:
    clocks = Clocks()
    watch = clocks.watch()
    watch.check()
    for waited, slewed in steps:
        clocks.now += waited
        clocks.ahead += slewed
        assert watch.check() is None
    assert watch.jumps == 0


def test_the_offset_is_the_median_of_what_each_proposer_shows_at_its_best() -> None:
    clocks = Clocks()
    watch = clocks.watch()
    clocks.ahead = 3_000
    for proposer, delays in ((A, (900, 40, 500)), (B, (60,)), (C, (2_000, 50))):
        for delay in delays:
            watch.on_block_time(proposer, clocks.true_ms - delay, 0)
    assert watch.offset_ms == 3_050
    assert watch.offsets() == {A: 3_040, B: 3_060, C: 3_050}


def test_nothing_is_concluded_when_one_proposer_alone_was_seen() -> None:
    clocks = Clocks()
    watch = clocks.watch()
    watch.on_block_time(A, clocks.true_ms - 8_000, 0)
    assert watch.offset_ms is None
    assert watch.document()["offset_ms"] is None


def test_one_liar_moves_the_offset_of_three_nowhere() -> None:
    clocks = Clocks()
    watch = clocks.watch()
    for proposer, lie in ((A, 0), (B, 0), (C, 10**12)):
        watch.on_block_time(proposer, clocks.true_ms - 50 + lie, 0)
    assert watch.offset_ms == 50


def test_a_time_just_above_the_parents_says_nothing_of_its_proposers_clock() -> None:
    clocks = Clocks()
    watch = clocks.watch()
    for proposer in (A, B):
        watch.on_block_time(proposer, clocks.true_ms, clocks.true_ms - 1)
    assert watch.offsets() == {}


def test_old_samples_are_forgotten_when_newer_ones_come_or_time_passes() -> None:
    clocks = Clocks()
    watch = clocks.watch()
    watch.on_block_time(A, clocks.true_ms + 60_000, 0)
    for _ in range(SAMPLES):
        watch.on_block_time(A, clocks.true_ms - 30, 0)
    assert watch.offsets() == {A: 30}
    clocks.now += FRESH_MS + 1
    assert watch.offsets() == {}


def test_what_was_seen_before_a_jump_does_not_count_after_it() -> None:
    clocks = Clocks()
    watch = clocks.watch()
    watch.check()
    for proposer in (A, B):
        watch.on_block_time(proposer, clocks.true_ms, 0)
    clocks.ahead += 10_000
    watch.check()
    assert watch.offset_ms is None


def test_memory_is_bounded_however_many_propose() -> None:
    clocks = Clocks()
    watch = clocks.watch()
    for number in range(MAX_PROPOSERS + 50):
        watch.on_block_time(number.to_bytes(33, "big"), clocks.true_ms, 0)
    assert len(watch.offsets()) == MAX_PROPOSERS
