"""The four messages of QBFT as they travel, and the bytes that their signatures cover.

A message decoded here has the right shape and size and nothing more: ``consensus.verify`` turns it into a verified one,
and only verified ones reach the state machine (arXiv 2002.03613, section 3; DESIGN.md 3).
"""

from __future__ import annotations

from typing import Final

from ledger.block import Block, block_codec
from ledger.certificate import VoteKind
from ledger.encoding import Codec, Record, encode
from ledger.errors import MalformedBytes
from ledger.validators import MAX_VALIDATORS
from ledger.votes import (
    EMPTY_JUSTIFICATION,
    HashField,
    HeightField,
    Justification,
    KeyField,
    PreparedCertificate,
    RoundChangeVote,
    RoundField,
    Seals,
    SignatureField,
    justification_hash,
    proposal_digest,
    round_change_digest,
)

__all__ = [
    "EMPTY_JUSTIFICATION",
    "MAX_VOTE_BYTES",
    "ROUND_CHANGE_BASE_BYTES",
    "ROUND_CHANGE_VOTE_BYTES",
    "SEAL_BYTES",
    "Commit",
    "HashField",
    "HeightField",
    "Justification",
    "KeyField",
    "Message",
    "Prepare",
    "PreparedCertificate",
    "Proposal",
    "RoundChange",
    "RoundChangeVote",
    "RoundField",
    "Seals",
    "SignatureField",
    "decode_message",
    "encode_message",
    "justification_hash",
    "max_proposal_bytes",
    "max_round_change_bytes",
    "proposal_digest",
    "round_change_digest",
]

MAX_VOTE_BYTES: Final = 4_096
"""Bound of a PREPARE or COMMIT message."""
ROUND_CHANGE_BASE_BYTES: Final = 4_096
SEAL_BYTES: Final = 112
"""Room for one (key, signature) pair in its encoding."""
ROUND_CHANGE_VOTE_BYTES: Final = 160
"""Room for one round change in a justification."""


class Proposal(Record, frozen=True, tag=int(VoteKind.PROPOSAL)):
    """A block proposed for one (height, round), with its justification when the round is above 0."""

    height: HeightField
    round: RoundField
    epoch: HeightField
    signer: KeyField
    signature: SignatureField
    block: Block
    justification: Justification


class Prepare(Record, frozen=True, tag=int(VoteKind.PREPARE)):
    """The signer has executed the block and accepts it in this round."""

    height: HeightField
    round: RoundField
    epoch: HeightField
    signer: KeyField
    signature: SignatureField
    block_id: HashField


class Commit(Record, frozen=True, tag=int(VoteKind.COMMIT)):
    """The signer holds a durable prepared certificate for the block; the signature is its seal."""

    height: HeightField
    round: RoundField
    epoch: HeightField
    signer: KeyField
    signature: SignatureField
    block_id: HashField


class RoundChange(Record, frozen=True, tag=int(VoteKind.ROUND_CHANGE)):
    """The signer wants ``round``, and says what it last prepared; the certificate proves that and is not signed."""

    height: HeightField
    round: RoundField
    epoch: HeightField
    signer: KeyField
    signature: SignatureField
    prepared: PreparedCertificate | None


Message = Proposal | Prepare | Commit | RoundChange

_prepare_codec = Codec(Prepare, MAX_VOTE_BYTES, "PREPARE")
_commit_codec = Codec(Commit, MAX_VOTE_BYTES, "COMMIT")


def max_round_change_bytes(validators: int) -> int:
    """Longest ROUND-CHANGE that a set of ``validators`` members needs."""
    return ROUND_CHANGE_BASE_BYTES + SEAL_BYTES * validators


def max_proposal_bytes(validators: int) -> int:
    """Longest PROPOSAL that a set of ``validators`` members needs."""
    return block_codec.max_bytes + 4_096 + (ROUND_CHANGE_VOTE_BYTES + SEAL_BYTES) * validators


_proposal_codec = Codec(Proposal, max_proposal_bytes(MAX_VALIDATORS), "PROPOSAL")
_round_change_codec = Codec(RoundChange, max_round_change_bytes(MAX_VALIDATORS), "ROUND-CHANGE")


def encode_message(message: Message) -> bytes:
    """Canonical wire bytes of ``message``; the kind is its first field."""
    return encode(message)


def decode_message(data: bytes, validators: int = MAX_VALIDATORS) -> Message:
    """The message that ``data`` encodes.

    Args:
        data: wire bytes.
        validators: size of the validator set; the bounds of proposals and round changes grow with it.

    Raises:
        MalformedBytes: another shape, unknown kind, or longer than its kind's bound.
        NonCanonicalBytes: not the canonical encoding.
    """
    # A message is an array of 7 or 8 fields (one byte) whose first is the kind (one byte).
    kind = data[1] if len(data) > 1 else -1
    if kind == VoteKind.PREPARE:
        return _prepare_codec.decode(data)
    if kind == VoteKind.COMMIT:
        return _commit_codec.decode(data)
    if kind == VoteKind.PROPOSAL:
        _check_size(data, max_proposal_bytes(validators), "PROPOSAL")
        return _proposal_codec.decode(data)
    if kind == VoteKind.ROUND_CHANGE:
        _check_size(data, max_round_change_bytes(validators), "ROUND-CHANGE")
        return _round_change_codec.decode(data)
    raise MalformedBytes("not a consensus message")


def _check_size(data: bytes, bound: int, name: str) -> None:
    if len(data) > bound:
        raise MalformedBytes(f"{name}: {len(data)} bytes, at most {bound} allowed", code="oversized")
