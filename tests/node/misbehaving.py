"""A chain on paper whose set changes, and a validator of the later set that signs two COMMITs."""

from __future__ import annotations

import secrets

from msgspec.structs import replace

from contracts.builtin import build_rules, genesis_block
from ledger.block import Header, block_id
from ledger.certificate import CommitCertificate, VoteKind, vote_digest
from ledger.genesis import Genesis
from ledger.keys import SigningKey
from ledger.misbehaviour import Fault, Misbehaviour, Statement
from ledger.state import StoredState
from ledger.store_memory import MemoryStore
from ledger.types import PublicKey
from ledger.validators import ValidatorSet
from node.evidence_bundle import write_bundle
from node.misbehaviour_bundle import KIND, CertifiedHeader, MisbehaviourContent
from tests.node.cluster import Member, make_genesis

MEMBERS = [Member(i) for i in range(4)]
GENESIS = make_genesis(MEMBERS, MEMBERS)
SET = {member.validator.public: member.validator for member in MEMBERS}
NEW_SET = {key.public: key for key in (*list(SET.values())[:2], *(SigningKey.generate() for _ in range(5)))}
CHANGE_AT, FAULT_AT = 5, 9


def names(keys: dict[PublicKey, SigningKey], chain_id: bytes) -> bytes:
    return ValidatorSet(keys).hash(chain_id)


def certified(header: Header, keys: dict[PublicKey, SigningKey], quorum: int | None = None) -> CertifiedHeader:
    name = block_id(header)
    signed = vote_digest(header.chain_id, header.epoch, VoteKind.COMMIT, header.height, 0, name)
    signers = sorted(keys)[: ValidatorSet(keys).quorum if quorum is None else quorum]
    seals = tuple((key, keys[key].sign(signed)) for key in signers)
    certificate = CommitCertificate(header.height, header.epoch, 0, name, seals)
    return CertifiedHeader(header, tuple(sorted(keys)), certificate)


def header_at(height: int, epoch: int, decides: bytes, following: bytes, genesis: Genesis = GENESIS) -> Header:
    first, _ = genesis_block(genesis, build_rules(genesis), StoredState(MemoryStore()))
    return replace(
        first,
        height=height,
        time_ms=first.time_ms + height,
        parent=secrets.token_bytes(32),
        history_size=height,
        epoch=epoch,
        proposer=min(SET),
        validators_hash=decides,
        next_validators_hash=following,
    )


def headers() -> tuple[CertifiedHeader, ...]:
    """Block 5 hands over to the new set; the fault is at 9."""
    old, new = names(SET, GENESIS.chain_id), names(NEW_SET, GENESIS.chain_id)
    return (
        certified(header_at(CHANGE_AT, 0, old, new), SET),
        certified(header_at(FAULT_AT, 1, new, new), NEW_SET),
    )


def fault(key: SigningKey, *, height: int = FAULT_AT, epoch: int = 1, chain: bytes = GENESIS.chain_id) -> Misbehaviour:
    def vote(block: bytes) -> Statement:
        signed = vote_digest(chain, epoch, VoteKind.COMMIT, height, 2, block)
        return Statement(2, epoch, height, 2, key.public, key.sign(signed), block)

    return Misbehaviour(Fault.CONFLICTING_MESSAGES.value, vote(b"\x01" * 32), vote(b"\x02" * 32), None)


GUILTY = next(key for public, key in NEW_SET.items() if public not in SET)
GOOD = MisbehaviourContent(headers(), fault(GUILTY))


def written(content: MisbehaviourContent = GOOD, genesis: Genesis = GENESIS) -> bytes:
    return write_bundle(KIND, (genesis.hash,), content)
