"""From a quorum of COMMITs to the committed block."""

from __future__ import annotations

from consensus.effects import CheckBlock, CommitBlock, EvidenceKind, FetchBlock, Halt
from consensus.inputs import TimerKind
from consensus.messages import Commit, RoundChange
from consensus.state import Check
from consensus.tally import Added
from consensus.turn import Turn
from consensus.verified import VerifiedBlock
from ledger.certificate import CommitCertificate
from ledger.types import Hash32, PublicKey


def on_commit(turn: Turn, message: Commit) -> None:
    """Counts a COMMIT of any round (QBFT, Algorithm 2, line 8; DESIGN.md 3: any single round and block id)."""
    current = turn.current
    added = current.commits.add(message, current.round)
    if added is Added.CONFLICT:
        first = current.commits.first(message.round, message.signer)
        assert first is not None
        turn.accuse(EvidenceKind.CONFLICTING_MESSAGES, first, message)
    elif added is Added.NEW:
        change = current.round_changes.latest(message.signer)
        if change is not None:
            accuse_of_forgetting(turn, message, change)
        if current.decided is not None:
            return
        seals = current.commits.support(message.round, message.block_id)
        if len(seals) >= current.validators.quorum:
            current.decided = CommitCertificate(
                message.height, message.epoch, message.round, message.block_id, tuple(sorted(seals.items()))
            )
            turn.cancel_timer(TimerKind.ROUND)
            turn.cancel_timer(TimerKind.PROPOSE)
            advance_decision(turn)


def accuse_of_forgetting(turn: Turn, commit: Commit, change: RoundChange) -> None:
    """Reports whoever COMMITs and then changes rounds as if it had prepared nothing since (DESIGN.md 3)."""
    claimed = -1 if change.prepared is None else change.prepared.round
    if claimed < commit.round < change.round:
        turn.accuse(EvidenceKind.FORGOTTEN_LOCK, commit, change)


def advance_decision(turn: Turn) -> None:
    """Does the next thing that a decided block still needs: its body, its execution, or to be committed."""
    current = turn.current
    certificate = current.decided
    if certificate is None or current.committed:
        return
    block = current.blocks.get(certificate.block_id)
    sources = others(turn, [key for key, _ in certificate.seals])
    if block is None:
        turn.order(FetchBlock(current.height, Hash32(certificate.block_id), sources))
        return
    check = current.checks.get(block.id)
    if check is None:
        request_check(turn, block, sources)
    elif check is Check.INVALID:
        # A quorum, so at least one honest validator, found the block good: our state or our code differs from theirs.
        turn.state.halted = True
        turn.order(Halt(current.height, block.id, "decided_block_invalid"))
    elif check is Check.VALID:
        current.committed = True
        turn.order(CommitBlock(block, certificate))


def request_check(turn: Turn, block: VerifiedBlock, sources: tuple[PublicKey, ...]) -> None:
    """Orders the execution of ``block``, once."""
    turn.current.note_check(block.id, Check.PENDING)
    turn.order(CheckBlock(turn.current.height, block, sources))


def others(turn: Turn, keys: list[bytes]) -> tuple[PublicKey, ...]:
    """``keys`` without our own, without repetition, in order."""
    return tuple(PublicKey(key) for key in dict.fromkeys(keys) if key != turn.state.key)
