"""Who has been heard of lately, and how long the current round may take because of it."""

from __future__ import annotations

from consensus.inputs import TimerKind
from consensus.state import State
from consensus.timing import round_timeout_ms
from consensus.turn import Turn
from ledger.types import PublicKey


def is_silent(state: State, key: PublicKey, now_ms: int) -> bool:
    """Whether ``key`` alone is silent: not heard for a while, though enough others for a quorum with us are.

    In a quiet network everybody is silent, and nobody is suspected.
    """
    since = now_ms - state.parameters.silent_after_ms
    current = state.current
    if current is None or key == state.key or state.heard.get(key, now_ms) > since:
        return False
    others = sum(1 for other, at_ms in state.heard.items() if at_ms > since and other not in (key, state.key))
    return others >= current.validators.quorum - 1


def current_timeout_ms(turn: Turn) -> int:
    """Length of the current round: base · 2^r, capped; short when its proposer is silent (DESIGN.md 3)."""
    parameters, current = turn.state.parameters, turn.current
    full = round_timeout_ms(parameters, current.round)
    if current.proposal is None and is_silent(turn.state, current.proposer(), turn.now_ms):
        return min(full, parameters.silent_timeout_ms)
    return full


def arm_round_timer(turn: Turn) -> None:
    """Starts the current round's timer now, with its full length (again, when a proposal arrives)."""
    current = turn.current
    if turn.state.can_sign and current.decided is None:
        turn.set_timer(TimerKind.ROUND, current.round, turn.now_ms + current_timeout_ms(turn))


def arm_gated_round_timer(turn: Turn) -> None:
    """Starts the timer of a round above 0 once a quorum is seen in that round or beyond (DESIGN.md 3).

    A lone validator that cannot reach the others would otherwise race ahead through ever longer rounds.
    """
    current = turn.current
    if (
        current.round > 0
        and TimerKind.ROUND not in turn.state.timers
        and current.seen.at_least(current.round) >= current.validators.quorum
    ):
        arm_round_timer(turn)


def arm_first_round_timer(turn: Turn) -> None:
    """Round 0 is measured from the oldest waiting work, or from the maximum block interval.

    So an idle chain does not change rounds, and yet a dead proposer is noticed.
    """
    current, parameters = turn.current, turn.state.parameters
    if current.round != 0 or current.proposal is not None or not turn.state.can_sign or current.decided is not None:
        return
    starts = current.idle_at_ms
    if current.work_since_ms is not None:
        starts = min(starts, max(current.work_since_ms, current.started_ms) + parameters.package_wait_ms)
    if current.package_ready_ms is not None:
        starts = min(starts, current.package_ready_ms)
    at_ms = starts + current_timeout_ms(turn)
    armed = turn.state.timers.get(TimerKind.ROUND)
    if armed is None or at_ms < armed[2]:
        turn.set_timer(TimerKind.ROUND, current.round, at_ms)
