"""When it is our turn: what to propose, and when (QBFT, Algorithms 1 and 3; DESIGN.md 3)."""

from __future__ import annotations

from consensus.deciding import others
from consensus.effects import BuildBlock, FetchBlock
from consensus.inputs import BlockBuilt, TimerKind
from consensus.justification import justify
from consensus.messages import EMPTY_JUSTIFICATION, PreparedCertificate, Proposal, proposal_digest
from consensus.state import Check
from consensus.turn import Turn
from consensus.verified import VerifiedBlock, VerifiedProposal
from consensus.verify import verify_block
from consensus.voting import take_proposal
from ledger.certificate import VoteKind
from ledger.errors import LocalMisuse
from ledger.types import Hash32


def may_propose(turn: Turn) -> bool:
    """Whether the current round is ours and nothing was proposed in it, before a restart neither."""
    state, current = turn.state, turn.current
    return (
        state.can_sign
        and current.proposal is None
        and current.decided is None
        and state.key == current.proposer()
        and not state.guard.has_signed(VoteKind.PROPOSAL, current.height, current.round)
    )


def propose_first(turn: Turn) -> None:
    """In round 0: asks for a block when there is reason for one, else sets a timer for when there will be.

    Reasons are a full package, work that has waited long enough, and the maximum block interval.
    """
    state, current = turn.state, turn.current
    if current.round != 0 or current.asked_to_build or not may_propose(turn):
        return
    due_ms = current.idle_at_ms
    if current.work_since_ms is not None:
        due_ms = min(due_ms, current.work_since_ms + state.parameters.package_wait_ms)
    if current.package_ready_ms is not None:
        due_ms = turn.now_ms
    if due_ms > turn.now_ms:
        turn.set_timer(TimerKind.PROPOSE, current.round, due_ms)
        return
    turn.cancel_timer(TimerKind.PROPOSE)
    _ask_for_block(turn, allow_empty=turn.now_ms >= current.idle_at_ms)


def propose_again(turn: Turn) -> None:
    """In a later round: proposes once a quorum of ROUND-CHANGEs for exactly this round is there.

    QBFT, Algorithm 3, lines 11 to 16: the highest prepared block of that quorum, or a fresh one when none prepared.
    """
    current = turn.current
    if current.round == 0 or current.justification is not None or not may_propose(turn):
        return
    changes = current.round_changes.of_round(current.round)
    if len(changes) < current.validators.quorum:
        return
    current.justification, highest = justify(changes)
    if highest is None:
        _ask_for_block(turn, allow_empty=True)
        return
    current.wanted = highest
    propose_wanted(turn)


def propose_wanted(turn: Turn) -> None:
    """Proposes the prepared block again, fetching its body from those who prepared it when we lack it."""
    current = turn.current
    wanted = current.wanted
    if wanted is None or not may_propose(turn):
        return
    block = current.blocks.get(wanted.block_id)
    if block is None:
        _fetch(turn, wanted)
        return
    current.wanted = None
    _say_proposal(turn, block)


def on_block_built(turn: Turn, answer: BlockBuilt) -> None:
    """The driver's block, if it is still wanted.

    Raises:
        LocalMisuse: the block is not one that we may propose here.
    """
    current = turn.current
    if answer.round != current.round or not current.asked_to_build or not may_propose(turn):
        return
    if answer.block is None:
        current.asked_to_build = False
        # What was announced as work turned out not to be executable: wait for more, or for the interval.
        current.work_since_ms = None
        current.package_ready_ms = None
        propose_first(turn)
        return
    header = answer.block.header
    if (
        header.height != current.height
        or header.parent != current.parent_id
        or header.proposer != turn.state.key
        or header.epoch != current.epoch.number
        or header.validators_hash != current.validators_hash
        or header.chain_id != turn.state.chain_id
        or header.time_ms <= current.parent_time_ms
    ):
        raise LocalMisuse("the block built does not fit the height that is being decided", height=current.height)
    block = verify_block(answer.block)
    current.asked_to_build = False
    current.note_check(block.id, Check.VALID)
    _say_proposal(turn, block)


def _ask_for_block(turn: Turn, *, allow_empty: bool) -> None:
    current = turn.current
    current.asked_to_build = True
    turn.order(BuildBlock(current.height, current.round, current.parent_time_ms, allow_empty))


def _fetch(turn: Turn, wanted: PreparedCertificate) -> None:
    sources = others(turn, [key for key, _ in wanted.prepares])
    turn.order(FetchBlock(turn.current.height, Hash32(wanted.block_id), sources))


def _say_proposal(turn: Turn, block: VerifiedBlock) -> None:
    state, current = turn.state, turn.current
    justification = EMPTY_JUSTIFICATION if current.justification is None else current.justification
    epoch, height, round_ = current.epoch.number, current.height, current.round
    signed = proposal_digest(state.chain_id, epoch, height, round_, block.id, justification=justification)
    message = turn.say(
        VoteKind.PROPOSAL,
        signed,
        lambda key, signature: Proposal(height, round_, epoch, key, signature, block.block, justification),
    )
    if isinstance(message, Proposal):
        current.seen.see(message.signer, round_)
        take_proposal(turn, VerifiedProposal(message, block))
