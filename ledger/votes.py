"""The signed parts of QBFT's messages that outlive them: certificates, justifications, and the bytes that are signed.

They stand below consensus because evidence of misbehaviour is checked by contracts and by readers of the chain too
(arXiv 2002.03613, section 3; DESIGN.md 3).
"""

from __future__ import annotations

from typing import Annotated, Final

from msgspec import Meta

from ledger.certificate import MAX_ROUND, VoteKind, vote_digest
from ledger.encoding import Record, digest, encode
from ledger.keys import PUBLIC_KEY_BYTES, SIGNATURE_BYTES
from ledger.types import MAX_HEIGHT, ZERO_HASH, Hash32
from ledger.validators import MAX_VALIDATORS

HeightField = Annotated[int, Meta(ge=0, le=MAX_HEIGHT)]
RoundField = Annotated[int, Meta(ge=0, le=MAX_ROUND)]
HashField = Annotated[bytes, Meta(min_length=32, max_length=32)]
KeyField = Annotated[bytes, Meta(min_length=PUBLIC_KEY_BYTES, max_length=PUBLIC_KEY_BYTES)]
SignatureField = Annotated[bytes, Meta(min_length=SIGNATURE_BYTES, max_length=SIGNATURE_BYTES)]
Seals = Annotated[tuple[tuple[KeyField, SignatureField], ...], Meta(max_length=MAX_VALIDATORS)]
"""(validator key, signature) pairs, sorted by key, distinct."""


class PreparedCertificate(Record, frozen=True):
    """Proof that a quorum prepared a block: PREPARE signatures of one (height, round, block id).

    Attributes:
        round: of the PREPAREs.
        block_id: prepared block.
        prepares: (validator key, PREPARE signature), sorted by key, distinct.
    """

    round: RoundField
    block_id: HashField
    prepares: Seals


class RoundChangeVote(Record, frozen=True):
    """The signed part of a ROUND-CHANGE, without height, round and epoch, as a justification holds it.

    Attributes:
        prepared_round: highest round in which the signer prepared, or None.
        prepared_id: block prepared there; None exactly when ``prepared_round`` is.
    """

    signer: KeyField
    signature: SignatureField
    prepared_round: RoundField | None
    prepared_id: HashField | None


class Justification(Record, frozen=True):
    """Why a proposal of a round above 0 is allowed (QBFT, section 4.4; DESIGN.md 3).

    Attributes:
        round_changes: ROUND-CHANGEs for exactly the proposal's (height, round), sorted by signer, distinct.
        prepares: PREPAREs of the highest prepared (round, block) among them, sorted by key; empty when none prepared.
    """

    round_changes: Annotated[tuple[RoundChangeVote, ...], Meta(max_length=MAX_VALIDATORS)] = ()
    prepares: Seals = ()


EMPTY_JUSTIFICATION: Final = Justification()


def justification_hash(chain_id: bytes, justification: Justification) -> Hash32:
    """What a PROPOSAL's signature covers of its justification; zeros for the empty one."""
    if not justification.round_changes and not justification.prepares:
        return ZERO_HASH
    return digest(b"tidegate/justification", chain_id, encode(justification))


def proposal_digest(
    chain_id: bytes, epoch: int, height: int, round_: int, block_id: bytes, *, justification: Justification
) -> Hash32:
    """The 32 bytes signed by a PROPOSAL: block id and justification hash."""
    payload = block_id + justification_hash(chain_id, justification)
    return vote_digest(chain_id, epoch, VoteKind.PROPOSAL, height, round_, payload)


def round_change_digest(
    chain_id: bytes, epoch: int, height: int, round_: int, *, prepared_round: int | None, prepared_id: bytes | None
) -> Hash32:
    """The 32 bytes signed by a ROUND-CHANGE: prepared round and value."""
    payload = encode((prepared_round, prepared_id))
    return vote_digest(chain_id, epoch, VoteKind.ROUND_CHANGE, height, round_, payload)
