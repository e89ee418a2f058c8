"""When a proposal is justified: the rule that keeps a prepared block from being replaced.

QBFT, predicate JustifyPrePrepare of Algorithm 4 (arXiv 2002.03613) and ``isProposalJustification`` of its Dafny
specification, with the precisions of DESIGN.md 3. The rule stands below consensus, since evidence of breaking it is
checked on chain too; signatures are the business of those who apply it (``consensus.verify``, ``ledger.misbehaviour``).
"""

from __future__ import annotations

from collections.abc import Sequence

from ledger.validators import ValidatorSet
from ledger.votes import Justification, Seals


def signers_are_quorum(signers: Sequence[bytes], validators: ValidatorSet) -> bool:
    """Whether ``signers`` are sorted, distinct, members of the set, and a quorum: signers count, never signatures."""
    return (
        validators.quorum <= len(signers) <= len(validators)
        and all(signers[i - 1] < signers[i] for i in range(1, len(signers)))
        and all(signer in validators for signer in signers)
    )


def is_quorum_of_seals(seals: Seals, validators: ValidatorSet) -> bool:
    """Whether the seals are of a quorum of distinct members, sorted by key."""
    return signers_are_quorum([key for key, _ in seals], validators)


def highest_prepared(justification: Justification) -> int | None:
    """The highest prepared round that any of the round changes names, or None when all are empty."""
    rounds = [vote.prepared_round for vote in justification.round_changes if vote.prepared_round is not None]
    return max(rounds) if rounds else None


def justification_flaw(
    justification: Justification, round_: int, block_id: bytes, validators: ValidatorSet
) -> str | None:
    """Why ``justification`` does not allow proposing ``block_id`` in ``round_``, as a stable code; None when it does.

    Args:
        justification: all of its signatures have been verified.
        round_: the proposal's round.
        block_id: the proposed block.
        validators: set of the proposal's height.
    """
    votes = justification.round_changes
    if round_ == 0:
        # Algorithm 4: round 0 needs no justification; a superfluous one would only be a way to make two proposals.
        return None if not votes and not justification.prepares else "justification_in_round_zero"
    if not signers_are_quorum([vote.signer for vote in votes], validators):
        return "round_changes_no_quorum"
    for vote in votes:
        if (vote.prepared_round is None) != (vote.prepared_id is None):
            return "round_change_half_prepared"
        if vote.prepared_round is not None and vote.prepared_round >= round_:
            return "prepared_round_too_high"
    highest = highest_prepared(justification)
    if highest is None:
        return None if not justification.prepares else "prepares_without_round_change"
    # The lower ones need not agree; of the highest round, the quorum of PREPAREs decides which block it was.
    if not any(vote.prepared_round == highest and vote.prepared_id == block_id for vote in votes):
        return "not_the_highest_prepared"
    if not is_quorum_of_seals(justification.prepares, validators):
        return "prepares_no_quorum"
    return None
