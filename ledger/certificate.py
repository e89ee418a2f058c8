"""Commit certificates: a quorum's COMMIT signatures over one block of one height.

The COMMIT vote of consensus *is* the seal, so its signed bytes are defined here, below consensus (DESIGN.md 3).
"""

from __future__ import annotations

from collections.abc import Callable
from enum import IntEnum
from itertools import pairwise
from typing import Annotated, Final

from msgspec import Meta

from ledger.encoding import Codec, Record, digest, encode
from ledger.errors import InvalidBlock
from ledger.keys import verify as verify_signature
from ledger.types import MAX_HEIGHT, Hash32
from ledger.validators import MAX_VALIDATORS, ValidatorSet

MAX_ROUND: Final = 2**31 - 1


class VoteKind(IntEnum):
    """The four signed message types of QBFT."""

    PROPOSAL = 0
    PREPARE = 1
    COMMIT = 2
    ROUND_CHANGE = 3


def vote_digest(chain_id: bytes, epoch: int, kind: VoteKind, height: int, round_: int, payload: bytes) -> Hash32:
    """The 32 bytes that a validator signs.

    Args:
        chain_id: 32 bytes.
        epoch: number of the validator epoch.
        kind: message type.
        height: height voted on.
        round_: round voted in.
        payload: PREPARE, COMMIT: the block id. PROPOSAL: block id and justification hash. ROUND-CHANGE: canonical
            bytes of prepared round and value.
    """
    return digest(b"tidegate/vote", chain_id, encode((epoch, int(kind), height, round_)), payload)


class CommitCertificate(Record, frozen=True):
    """Proof that a quorum decided a block.

    Attributes:
        height: of the block.
        epoch: validator epoch of the votes.
        round: round of the votes; all votes are of one round.
        block_id: the decided block.
        seals: (validator key, COMMIT signature), sorted by key, distinct.
    """

    height: Annotated[int, Meta(ge=0, le=MAX_HEIGHT)]
    epoch: Annotated[int, Meta(ge=0, le=MAX_HEIGHT)]
    round: Annotated[int, Meta(ge=0, le=MAX_ROUND)]
    block_id: Annotated[bytes, Meta(min_length=32, max_length=32)]
    seals: Annotated[
        tuple[
            tuple[
                Annotated[bytes, Meta(min_length=33, max_length=33)],
                Annotated[bytes, Meta(min_length=65, max_length=65)],
            ],
            ...,
        ],
        Meta(min_length=1, max_length=MAX_VALIDATORS),
    ]


certificate_codec = Codec(CommitCertificate, 64 * 1024, "commit certificate")


def verify_certificate(
    certificate: CommitCertificate,
    chain_id: bytes,
    validators: ValidatorSet,
    verify: Callable[[bytes, bytes, bytes], bool] = verify_signature,
) -> None:
    """Checks that a quorum of ``validators`` (the set of *that height*) sealed the block.

    Raises:
        InvalidBlock: ``certificate_invalid`` with the reason in words: unsorted or foreign signers, too few, or a
            signature that does not verify.
    """

    def refuse(why: str) -> InvalidBlock:
        return InvalidBlock(
            f"certificate of height {certificate.height}: {why}", code="certificate_invalid", height=certificate.height
        )

    seals = certificate.seals
    if any(a[0] >= b[0] for a, b in pairwise(seals)):
        raise refuse("signers must be sorted and distinct")
    if len(seals) < validators.quorum:
        raise refuse(f"{len(seals)} signers, {validators.quorum} needed")
    signed = vote_digest(
        chain_id, certificate.epoch, VoteKind.COMMIT, certificate.height, certificate.round, certificate.block_id
    )
    for key, signature in seals:
        if key not in validators:
            raise refuse("a signer is not a validator of that height")
        if not verify(key, signed, signature):
            raise refuse("a signature does not verify")
