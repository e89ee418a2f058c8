"""Making the justification of a proposal; the rule that judges one is ``ledger.justification``."""

from __future__ import annotations

from collections.abc import Sequence

from consensus.messages import Justification, PreparedCertificate, RoundChange, RoundChangeVote
from ledger.justification import highest_prepared, is_quorum_of_seals, justification_flaw, signers_are_quorum

__all__ = ["highest_prepared", "is_quorum_of_seals", "justification_flaw", "justify", "signers_are_quorum"]


def justify(round_changes: Sequence[RoundChange]) -> tuple[Justification, PreparedCertificate | None]:
    """The justification made of ``round_changes``, and the certificate whose block has to be proposed again.

    Args:
        round_changes: a quorum, verified, of one (height, round) and distinct signers.
    """
    ordered = sorted(round_changes, key=lambda message: message.signer)
    certificates = [message.prepared for message in ordered if message.prepared is not None]
    highest = max(certificates, key=lambda certificate: certificate.round, default=None)
    votes = tuple(
        RoundChangeVote(
            message.signer,
            message.signature,
            None if message.prepared is None else message.prepared.round,
            None if message.prepared is None else message.prepared.block_id,
        )
        for message in ordered
    )
    return Justification(votes, () if highest is None else highest.prepares), highest
