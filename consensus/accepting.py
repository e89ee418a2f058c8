"""Whether to take a received proposal: justification, header, time (QBFT, Algorithm 2, line 1)."""

from __future__ import annotations

from consensus.deciding import advance_decision
from consensus.effects import EvidenceKind
from consensus.inputs import TimerKind
from consensus.justification import highest_prepared, justification_flaw
from consensus.liveness import arm_round_timer
from consensus.messages import Proposal
from consensus.rounds import enter_round
from consensus.timing import is_plausible_time
from consensus.turn import Turn
from consensus.verified import VerifiedProposal
from consensus.voting import take_proposal
from ledger.block import Header
from ledger.types import Round


def on_proposal(turn: Turn, proposal: VerifiedProposal, wall_ms: int) -> None:
    """Takes, refuses or ignores a proposal signed by its round's proposer.

    Args:
        turn: the step.
        proposal: verified.
        wall_ms: Unix time of its arrival.
    """
    current, message = turn.current, proposal.message
    if current.decided is not None:
        _keep_if_decided(turn, proposal)
        return
    if message.round < current.round:
        return
    if message.round == current.round and current.proposal is not None:
        first = current.proposal
        if first.block.id != proposal.block.id or first.message.justification != message.justification:
            turn.accuse(EvidenceKind.CONFLICTING_MESSAGES, first.message, message)
            return
        if not current.refused or current.checks.get(proposal.block.id) is not None:
            return
    flaw = justification_flaw(message.justification, message.round, proposal.block.id, current.validators)
    if flaw is not None:
        turn.accuse(EvidenceKind.UNJUSTIFIED_PROPOSAL, message)
        return
    if message.round > current.round:
        # A justified proposal of a later round: a quorum is there already.
        enter_round(turn, Round(message.round))
    refusal = _refusal(turn, message, wall_ms)
    if refusal is not None:
        current.proposal = proposal
        turn.refuse(message, refusal)
        if TimerKind.ROUND not in turn.state.timers:
            arm_round_timer(turn)  # Justified all the same: a quorum is in this round, and has to get out of it.
        return
    take_proposal(turn, proposal)


def header_flaw(turn: Turn, header: Header) -> str | None:
    """What of the header does not fit the height being decided, as a stable code. Execution checks the rest."""
    current = turn.current
    if header.chain_id != turn.state.chain_id:
        return "chain_wrong"
    if header.height != current.height:
        return "height_wrong"
    if header.parent != current.parent_id:
        return "parent_wrong"
    if header.epoch != current.epoch.number:
        return "epoch_wrong"
    if header.validators_hash != current.validators_hash:
        return "validators_wrong"
    if header.proposer not in current.validators:
        return "proposer_wrong"
    if header.time_ms <= current.parent_time_ms:
        return "time_not_above_parent"
    return None


def _refusal(turn: Turn, message: Proposal, wall_ms: int) -> str | None:
    current, header = turn.current, message.block.header
    flaw = header_flaw(turn, header)
    if flaw is not None:
        return flaw
    if highest_prepared(message.justification) is not None:
        return None  # Proposed again: a quorum found it timely when it was fresh.
    if header.proposer != message.signer:
        return "proposer_wrong"
    if not is_plausible_time(turn.state.parameters, header.time_ms, current.parent_time_ms, wall_ms):
        return "time_implausible"
    return None


def _keep_if_decided(turn: Turn, proposal: VerifiedProposal) -> None:
    """The decision may only lack its body, and this may be it."""
    current = turn.current
    if current.decided is not None and current.decided.block_id == proposal.block.id:
        current.keep_block(proposal.block)
        advance_decision(turn)
