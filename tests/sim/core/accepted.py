"""What may pass verification, written a second time: asserted of every message that somebody faulty sent."""

from __future__ import annotations

from consensus.messages import Message, Proposal, RoundChange
from consensus.verify import signed_bytes
from ledger.certificate import VoteKind, vote_digest
from tests.sim.core.material import CHAIN, Seats, proposer


def flaw_of(message: Message, here: Seats) -> str | None:
    """Why ``message`` should not have been accepted at its height, or None.

    Whether a proposal is justified is asserted where it is prepared (``oracle``).
    """
    if message.signer not in here.validators:
        return "its signer has no seat"
    if message.epoch != here.epoch.number:
        return "it is of another epoch"
    if message.signature != message.signer + signed_bytes(message, CHAIN):
        return "its signature does not verify"
    if isinstance(message, Proposal) and message.signer != proposer(here, message.height, message.round):
        return "it is another's turn"
    held = message.prepared if isinstance(message, RoundChange) else None
    if held is not None:
        if held.round >= message.round:
            return "its certificate is not of a lower round"
        digest = vote_digest(CHAIN, here.epoch.number, VoteKind.PREPARE, message.height, held.round, held.block_id)
        good = {key for key, seal in held.prepares if key in here.validators and seal == key + digest}
        if len(good) < here.quorum or len(good) != len(held.prepares):
            return "its certificate is not of a quorum"
    return None
