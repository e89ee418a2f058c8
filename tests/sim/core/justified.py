"""Whether a proposal is justified: the rule of DESIGN.md 3 written a second time, signatures included."""

from __future__ import annotations

from consensus.messages import Proposal, round_change_digest
from ledger.block import block_id
from ledger.certificate import VoteKind, vote_digest
from tests.sim.core.material import CHAIN, Seats


def is_justified(proposal: Proposal, here: Seats) -> bool:
    """Round 0: by nothing. Later: by a quorum of ROUND-CHANGEs, and by PREPAREs when one of them names a block."""
    height, round_, why = proposal.height, proposal.round, proposal.justification
    if round_ == 0:
        return not why.round_changes and not why.prepares
    signers: list[bytes] = []
    highest = -1
    for vote in why.round_changes:
        pair = (vote.prepared_round, vote.prepared_id)
        digest = round_change_digest(
            CHAIN, here.epoch.number, height, round_, prepared_round=pair[0], prepared_id=pair[1]
        )
        half = (pair[0] is None) != (pair[1] is None)
        if half or vote.signer not in here.validators or vote.signature != vote.signer + digest:
            return False
        if pair[0] is not None:
            if pair[0] >= round_:
                return False
            highest = max(highest, pair[0])
        signers.append(vote.signer)
    if signers != sorted(set(signers)) or len(signers) < here.quorum:
        return False
    if highest < 0:
        return not why.prepares
    name = block_id(proposal.block.header)
    if not any((vote.prepared_round, vote.prepared_id) == (highest, name) for vote in why.round_changes):
        return False
    digest = vote_digest(CHAIN, here.epoch.number, VoteKind.PREPARE, height, highest, name)
    keys = [key for key, signature in why.prepares if key in here.validators and signature == key + digest]
    return keys == sorted(set(keys)) and len(keys) == len(why.prepares) >= here.quorum
