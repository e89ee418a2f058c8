"""Steps of consensus are told apart, and each later round has its reason."""

from __future__ import annotations

from consensus.inputs import MessageReceived, TimerFired, TimerKind
from consensus.messages import EMPTY_JUSTIFICATION, Commit, Prepare, Proposal, RoundChange
from consensus.verified import VerifiedCommit, VerifiedProposal
from ledger.types import Height, PublicKey, Round
from node.observability.step_times import COMMIT, JUMP, LATER_PROPOSAL, PREPARE, PROPOSAL, STORE, TIMEOUT, StepTimes

KEY = PublicKey(b"\x01" * 33)
AT = (Height(1), Round(0), 0, KEY, b"s" * 65)


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_each_step_gets_its_own_time_when_a_block_is_decided_in_the_normal_way() -> None:
    clock = Clock()
    times = StepTimes(clock)
    times.begin_height()
    clock.now = 100.0  # nothing to do for long: no step
    times.begin_proposal()
    clock.now += 1
    times.said(Prepare(*AT, b"b" * 32))
    clock.now += 2
    times.said(Commit(*AT, b"b" * 32))
    clock.now += 4
    times.decided()
    clock.now += 8
    times.stored()
    times.begin_height()
    assert {step: times.seconds[step].sum for step in times.seconds} == {PROPOSAL: 1, PREPARE: 2, COMMIT: 4, STORE: 8}


def test_only_storing_is_timed_when_a_block_was_decided_elsewhere() -> None:
    clock = Clock()
    times = StepTimes(clock)
    times.begin_height()
    times.decided()
    clock.now += 3
    times.stored()
    assert {step: times.seconds[step].count for step in times.seconds} == {PROPOSAL: 0, PREPARE: 0, COMMIT: 0, STORE: 1}


def test_steps_begin_anew_when_the_round_changes() -> None:
    clock = Clock()
    times = StepTimes(clock)
    times.begin_proposal()
    clock.now = 50.0
    times.said(RoundChange(Height(1), Round(1), 0, KEY, b"s" * 65, None))
    times.begin_proposal()
    clock.now = 51.0
    times.said(Prepare(*AT, b"b" * 32))
    assert times.seconds[PROPOSAL].sum == 1.0


def test_rounds_are_counted_by_reason_when_later_ones_begin() -> None:
    times = StepTimes()
    proposal = Proposal(*AT, None, EMPTY_JUSTIFICATION)  # type: ignore[arg-type]
    times.saw_round(TimerFired(TimerKind.ROUND, Height(1), Round(0)), 1)
    times.saw_round(MessageReceived(VerifiedCommit(Commit(*AT, b"b" * 32)), 0), 2)
    times.saw_round(MessageReceived(VerifiedProposal(proposal, None), 0), 5)  # type: ignore[arg-type]
    times.saw_round(TimerFired(TimerKind.REBROADCAST, Height(1), Round(0)), 5)  # the same round: nothing new
    times.saw_round(TimerFired(TimerKind.ROUND, Height(1), Round(0)), 0)  # the next height
    assert {reason: count for reason, count in times.rounds.items() if count} == {
        TIMEOUT: 1, JUMP: 1, LATER_PROPOSAL: 1,
    }  # fmt: skip
