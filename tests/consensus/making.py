"""Keys, blocks and messages for the consensus tests. Signatures are hashes, for speed."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable

from consensus.epoch import Epoch
from consensus.messages import (
    EMPTY_JUSTIFICATION,
    Commit,
    Justification,
    Message,
    Prepare,
    PreparedCertificate,
    Proposal,
    RoundChange,
    proposal_digest,
    round_change_digest,
)
from consensus.verify import verify_message
from ledger.block import Block, Header, block_id, transactions_root
from ledger.certificate import VoteKind, vote_digest
from ledger.types import ZERO_HASH, Hash32, PublicKey
from ledger.validators import ValidatorSet

CHAIN = bytes(range(32))
EPOCH = Epoch(0, 1, 0)
WALL = 1_700_000_000_000
"""Unix time at virtual time 0."""
GENESIS = Hash32(b"\x47" * 32)
GOOD_RECEIPTS = ZERO_HASH
BAD_RECEIPTS = Hash32(b"\xbd" * 32)
"""A block with this root is refused by every check."""


def key(index: int) -> PublicKey:
    return PublicKey(b"\x01" + bytes([index]) + bytes(31))


def signer(public: PublicKey) -> Callable[[bytes], bytes]:
    return lambda message: b"\x01" + hashlib.sha512(public + message).digest()


def verify(public: bytes, message: bytes, signature: bytes) -> bool:
    return signature == b"\x01" + hashlib.sha512(public + message).digest()


def validators(count: int) -> ValidatorSet:
    return ValidatorSet([key(i) for i in range(count)])


def block(
    height: int = 1,
    *,
    proposer: int = 0,
    parent: bytes = GENESIS,
    time_ms: int = WALL + 1,
    validator_set: ValidatorSet | None = None,
    refs: bytes = b"",
    receipts: bytes = GOOD_RECEIPTS,
    epoch: int = 0,
    chain: bytes = CHAIN,
) -> Block:
    members = validators(4) if validator_set is None else validator_set
    split = [refs[i : i + 64] for i in range(0, len(refs), 64)]
    header = Header(
        version=1,
        chain_id=chain,
        height=height,
        time_ms=time_ms,
        parent=parent,
        history_root=ZERO_HASH,
        history_size=height,
        proposer=key(proposer),
        epoch=epoch,
        validators_hash=members.hash(CHAIN),
        next_validators_hash=members.hash(CHAIN),
        transactions_root=transactions_root(split),
        transactions_count=len(split),
        receipts_root=receipts,
        changes_root=ZERO_HASH,
        changes_count=0,
        checkpoint_height=0,
        checkpoint_root=ZERO_HASH,
    )
    return Block(header, refs)


def name(of: Block) -> Hash32:
    return block_id(of.header)


def prepare(by: int, block_id_: bytes, *, height: int = 1, round_: int = 0) -> Prepare:
    signed = vote_digest(CHAIN, 0, VoteKind.PREPARE, height, round_, block_id_)
    return Prepare(height, round_, 0, key(by), signer(key(by))(signed), block_id_)


def commit(by: int, block_id_: bytes, *, height: int = 1, round_: int = 0) -> Commit:
    signed = vote_digest(CHAIN, 0, VoteKind.COMMIT, height, round_, block_id_)
    return Commit(height, round_, 0, key(by), signer(key(by))(signed), block_id_)


def proposal(
    by: int, of: Block, *, height: int = 1, round_: int = 0, justification: Justification = EMPTY_JUSTIFICATION
) -> Proposal:
    signed = proposal_digest(CHAIN, 0, height, round_, name(of), justification=justification)
    return Proposal(height, round_, 0, key(by), signer(key(by))(signed), of, justification)


def certificate(by: Iterable[int], block_id_: bytes, *, height: int = 1, round_: int = 0) -> PreparedCertificate:
    seals = [(key(i), prepare(i, block_id_, height=height, round_=round_).signature) for i in sorted(by)]
    return PreparedCertificate(round_, block_id_, tuple(seals))


def round_change(by: int, round_: int, prepared: PreparedCertificate | None = None, *, height: int = 1) -> RoundChange:
    signed = round_change_digest(
        CHAIN,
        0,
        height,
        round_,
        prepared_round=None if prepared is None else prepared.round,
        prepared_id=None if prepared is None else prepared.block_id,
    )
    return RoundChange(height, round_, 0, key(by), signer(key(by))(signed), prepared)


def verified(message: Message, count: int = 4):
    return verify_message(message, CHAIN, EPOCH, validators(count), verify)
