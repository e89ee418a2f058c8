"""The normal case inside a round: an accepted proposal, PREPAREs, the lock, our COMMIT (QBFT, Algorithm 2)."""

from __future__ import annotations

from consensus.deciding import advance_decision, on_commit, others, request_check
from consensus.effects import EvidenceKind, Persist
from consensus.liveness import arm_round_timer
from consensus.messages import Commit, Prepare, PreparedCertificate
from consensus.records import PreparedBlock
from consensus.state import Check
from consensus.tally import Added
from consensus.turn import Turn
from consensus.verified import VerifiedProposal
from ledger.certificate import VoteKind, vote_digest
from ledger.types import Hash32


def take_proposal(turn: Turn, proposal: VerifiedProposal) -> None:
    """Accepts a justified, timely proposal of the current round: PREPARE follows as soon as its block is checked.

    QBFT, Algorithm 2, lines 1 to 3, the timer included.
    """
    current = turn.current
    current.proposal = proposal
    current.refused = False
    current.keep_block(proposal.block)
    arm_round_timer(turn)
    if proposal.block.id not in current.checks:
        preparers = [key for key, _ in proposal.message.justification.prepares]
        request_check(turn, proposal.block, others(turn, [proposal.message.signer, *preparers]))
    else:
        advance_proposal(turn)


def advance_proposal(turn: Turn) -> None:
    """PREPAREs the accepted proposal when its block has been found good."""
    current = turn.current
    proposal = current.proposal
    if proposal is None or current.refused or current.decided is not None:
        return
    check = current.checks.get(proposal.block.id)
    if check is Check.INVALID:
        turn.refuse(proposal.message, "block_invalid")
    elif check is Check.VALID:
        _say_prepare(turn, proposal.block.id)
        _lock_if_prepared(turn)


def on_prepare(turn: Turn, message: Prepare) -> None:
    """Counts a PREPARE; those of later rounds wait until we get there, those of earlier ones are of no use."""
    current = turn.current
    if message.round < current.round:
        return
    added = current.prepares.add(message, current.round)
    if added is Added.CONFLICT:
        first = current.prepares.first(message.round, message.signer)
        assert first is not None
        turn.accuse(EvidenceKind.CONFLICTING_MESSAGES, first, message)
    elif added is Added.NEW and message.round == current.round:
        _lock_if_prepared(turn)


def on_block_checked(turn: Turn, block_id: Hash32, *, ok: bool) -> None:
    """The execution's verdict: the proposal and a waiting decision go on."""
    turn.current.note_check(block_id, Check.VALID if ok else Check.INVALID)
    proposal = turn.current.proposal
    if proposal is not None and proposal.block.id == block_id:
        advance_proposal(turn)
    advance_decision(turn)


def say_commit(turn: Turn, block_id: bytes) -> None:
    """COMMITs the block that we have just prepared, or had prepared in this round before a restart."""
    state, current = turn.state, turn.current
    signed = vote_digest(state.chain_id, current.epoch.number, VoteKind.COMMIT, current.height, current.round, block_id)
    message = turn.say(
        VoteKind.COMMIT,
        signed,
        lambda key, signature: Commit(current.height, current.round, current.epoch.number, key, signature, block_id),
    )
    if isinstance(message, Commit):
        current.seen.see(message.signer, message.round)
        on_commit(turn, message)


def _say_prepare(turn: Turn, block_id: bytes) -> None:
    state, current = turn.state, turn.current
    own = current.own.get(VoteKind.PREPARE)
    if isinstance(own, Prepare) and (own.round, own.block_id) == (current.round, block_id):
        return  # Said before a restart, or while the check of the same proposal was repeated.
    signed = vote_digest(
        state.chain_id, current.epoch.number, VoteKind.PREPARE, current.height, current.round, block_id
    )
    message = turn.say(
        VoteKind.PREPARE,
        signed,
        lambda key, signature: Prepare(current.height, current.round, current.epoch.number, key, signature, block_id),
    )
    if isinstance(message, Prepare):
        current.seen.see(message.signer, message.round)
        on_prepare(turn, message)


def _lock_if_prepared(turn: Turn) -> None:
    """On a quorum of PREPAREs: certificate and body durable, then COMMIT, once (QBFT, Algorithm 2, lines 4 to 7).

    Only for a block that we executed ourselves: a quorum of PREPAREs may reach us before our own verdict does.
    """
    current = turn.current
    proposal = current.proposal
    if proposal is None or current.refused or current.decided is not None or not turn.state.can_sign:
        return
    name = proposal.block.id
    if current.prepared is not None and current.prepared.certificate.round == current.round:
        return
    seals = current.prepares.support(current.round, name)
    if len(seals) < current.validators.quorum or current.checks.get(name) is not Check.VALID:
        return
    certificate = PreparedCertificate(current.round, name, tuple(sorted(seals.items())))
    current.prepared = PreparedBlock(current.height, certificate, proposal.block.block)
    turn.order(Persist(current.prepared))
    say_commit(turn, name)
