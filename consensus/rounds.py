"""From one round to a later one: timeout, jump, or a proposal from there (QBFT, Algorithm 3)."""

from __future__ import annotations

from consensus.deciding import accuse_of_forgetting
from consensus.effects import EvidenceKind
from consensus.inputs import TimerKind
from consensus.liveness import arm_gated_round_timer
from consensus.messages import RoundChange, round_change_digest
from consensus.proposing import propose_again
from consensus.tally import Added
from consensus.turn import Turn
from ledger.certificate import MAX_ROUND, VoteKind
from ledger.types import Round


def enter_round(turn: Turn, round_: Round) -> None:
    """Leaves the current round's proposal behind. The lock, COMMITs and what others said stay."""
    current = turn.current
    current.round = round_
    current.proposal = None
    current.refused = False
    current.asked_to_build = False
    current.justification = None
    current.wanted = None
    turn.cancel_timer(TimerKind.ROUND)
    turn.cancel_timer(TimerKind.PROPOSE)


def change_round(turn: Turn, round_: int) -> None:
    """Enters ``round_`` and says so, with our prepared certificate (QBFT, Algorithm 3, lines 1 to 10)."""
    if round_ > MAX_ROUND:
        return
    enter_round(turn, Round(round_))
    _say_round_change(turn)
    arm_gated_round_timer(turn)
    propose_again(turn)


def on_timeout(turn: Turn) -> None:
    """The current round took too long."""
    if turn.current.decided is None and turn.state.can_sign:
        change_round(turn, turn.current.round + 1)


def see(turn: Turn, signer: bytes, round_: int) -> None:
    """Notes in which round a validator is; jumps when a weak quorum of others is ahead, and arms the gated timer.

    Any message shows its signer's round, not only a ROUND-CHANGE (DESIGN.md 3: "seen at round ≥ r").
    """
    current = turn.current
    if not current.seen.see(signer, round_) or round_ == 0 or round_ < current.round or current.decided is not None:
        return
    target = current.seen.jump_target(current.round, current.validators.weak_quorum, turn.state.key)
    if target is not None:
        change_round(turn, target)
    else:
        arm_gated_round_timer(turn)


def on_round_change(turn: Turn, message: RoundChange) -> None:
    """Counts a ROUND-CHANGE; a quorum of them for the current round may be our turn to propose."""
    current = turn.current
    added = current.round_changes.add(message)
    if added is Added.CONFLICT:
        first = current.round_changes.latest(message.signer)
        assert first is not None
        turn.accuse(EvidenceKind.CONFLICTING_MESSAGES, first, message)
    elif added is Added.NEW:
        commit = current.commits.latest_below(message.round, message.signer)
        if commit is not None:
            accuse_of_forgetting(turn, commit, message)
        if message.round == current.round:
            propose_again(turn)


def _say_round_change(turn: Turn) -> None:
    state, current = turn.state, turn.current
    certificate = None if current.prepared is None else current.prepared.certificate
    epoch, height, round_ = current.epoch.number, current.height, current.round
    signed = round_change_digest(
        state.chain_id,
        epoch,
        height,
        round_,
        prepared_round=None if certificate is None else certificate.round,
        prepared_id=None if certificate is None else certificate.block_id,
    )
    message = turn.say(
        VoteKind.ROUND_CHANGE,
        signed,
        lambda key, signature: RoundChange(height, round_, epoch, key, signature, certificate),
    )
    if isinstance(message, RoundChange):
        current.seen.see(message.signer, round_)
        current.round_changes.add(message)
