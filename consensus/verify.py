"""From a received message to a verified one: pure checks of form, membership and signatures.

``verify`` is passed in, so that the driver can hand in a caching verifier (``ledger.keys.SignatureCache.verify``).
"""

from __future__ import annotations

from collections.abc import Callable

from consensus.epoch import Epoch, proposer
from consensus.justification import is_quorum_of_seals, justification_flaw
from consensus.messages import (
    Commit,
    Message,
    Prepare,
    PreparedCertificate,
    Proposal,
    RoundChange,
    Seals,
    proposal_digest,
    round_change_digest,
)
from consensus.verified import (
    Authentic,
    VerifiedBlock,
    VerifiedCommit,
    VerifiedMessage,
    VerifiedPrepare,
    VerifiedProposal,
    VerifiedRoundChange,
)
from ledger.block import Block, block_id, split_refs, transactions_root
from ledger.certificate import VoteKind, vote_digest
from ledger.errors import InvalidInput, InvalidSignature
from ledger.types import Hash32, Height, PublicKey, Round
from ledger.validators import ValidatorSet

Verify = Callable[[bytes, bytes, bytes], bool]
"""(public key, 32-byte message, signature) -> whether it verifies."""


def signed_bytes(message: Message, chain_id: bytes, proposed_id: bytes | None = None) -> Hash32:
    """The 32 bytes that ``message``'s signature must cover.

    Args:
        message: any of the four.
        chain_id: 32 bytes.
        proposed_id: id of a proposal's block when it is known already.
    """
    height, round_ = message.height, message.round
    match message:
        case Prepare():
            return vote_digest(chain_id, message.epoch, VoteKind.PREPARE, height, round_, message.block_id)
        case Commit():
            return vote_digest(chain_id, message.epoch, VoteKind.COMMIT, height, round_, message.block_id)
        case Proposal():
            name = block_id(message.block.header) if proposed_id is None else proposed_id
            return proposal_digest(chain_id, message.epoch, height, round_, name, justification=message.justification)
        case RoundChange(prepared=None):
            return round_change_digest(chain_id, message.epoch, height, round_, prepared_round=None, prepared_id=None)
        case RoundChange(prepared=certificate):
            assert certificate is not None
            return round_change_digest(
                chain_id,
                message.epoch,
                height,
                round_,
                prepared_round=certificate.round,
                prepared_id=certificate.block_id,
            )


def verify_message(
    message: Message, chain_id: bytes, epoch: Epoch, validators: ValidatorSet, verify: Verify
) -> VerifiedMessage:
    """``message`` as a verified one.

    Args:
        message: decoded from a peer.
        chain_id: 32 bytes.
        epoch: epoch record of the message's height.
        validators: set of the message's height.
        verify: checks one signature.

    Raises:
        InvalidSignature: ``signature_invalid``, or ``certificate_invalid`` for one inside a certificate or
            justification. The latter was not necessarily the signer's doing: a prepared certificate is unsigned.
        InvalidInput: ``signer_unknown``, ``epoch_wrong``, ``not_the_proposer``, ``certificate_invalid``.
        InvalidBlock, MalformedBytes: the block of a proposal does not match its header.
    """
    signer = PublicKey(message.signer)
    if signer not in validators:
        raise InvalidInput("the signer is not a validator of that height", code="signer_unknown", height=message.height)
    if message.epoch != epoch.number:
        raise InvalidInput(f"epoch {message.epoch}, not {epoch.number}", code="epoch_wrong", height=message.height)
    match message:
        case Prepare():
            _check(message, signed_bytes(message, chain_id), verify)
            return VerifiedPrepare(message)
        case Commit():
            _check(message, signed_bytes(message, chain_id), verify)
            return VerifiedCommit(message)
        case Proposal():
            return _verify_proposal(message, chain_id, epoch, validators, verify)
        case RoundChange():
            _check(message, signed_bytes(message, chain_id), verify)
            if message.prepared is not None:
                _check_prepared(message, message.prepared, chain_id, validators, verify)
            return VerifiedRoundChange(message)


def verify_block(block: Block) -> VerifiedBlock:
    """``block`` with its id, after checking that its refs are those that its header commits to.

    The id covers the header alone: without this check, right header and wrong refs would get a good block refused.

    Raises:
        InvalidInput: ``block_refs_wrong``.
        MalformedBytes: the refs have no whole number of entries.
    """
    refs = split_refs(block.refs)
    header = block.header
    if header.transactions_count != len(refs) or header.transactions_root != transactions_root(refs):
        raise InvalidInput("the block's refs do not match its header", code="block_refs_wrong", height=header.height)
    return VerifiedBlock(block_id(header), block)


def authenticate(message: Message, chain_id: bytes, verify: Verify) -> Authentic:
    """What can be known of a message without its height's validator set: that its signer signed it.

    Raises:
        InvalidSignature: ``signature_invalid``.
    """
    signed = signed_bytes(message, chain_id)
    _check(message, signed, verify)
    return Authentic(kind_of(message), Height(message.height), Round(message.round), PublicKey(message.signer), signed)


def kind_of(message: Message) -> VoteKind:
    """The message's kind, as it is signed."""
    match message:
        case Prepare():
            return VoteKind.PREPARE
        case Commit():
            return VoteKind.COMMIT
        case Proposal():
            return VoteKind.PROPOSAL
        case RoundChange():
            return VoteKind.ROUND_CHANGE


def _check(message: Message, signed: bytes, verify: Verify) -> None:
    if not verify(message.signer, signed, message.signature):
        raise InvalidSignature("the message's signature does not verify", height=message.height)


def _verify_proposal(
    message: Proposal, chain_id: bytes, epoch: Epoch, validators: ValidatorSet, verify: Verify
) -> VerifiedProposal:
    if message.height < epoch.start or message.signer != proposer(
        epoch, validators, Height(message.height), Round(message.round)
    ):
        raise InvalidInput("another validator proposes in this round", code="not_the_proposer", height=message.height)
    name = block_id(message.block.header)
    _check(message, signed_bytes(message, chain_id, name), verify)
    block = verify_block(message.block)
    # What breaks the rule is not worth checking signatures for: step refuses it, and the proposer did sign it.
    if justification_flaw(message.justification, message.round, name, validators) is None:
        _check_justification(message, name, chain_id, verify)
    return VerifiedProposal(message, block)


def _check_justification(message: Proposal, name: Hash32, chain_id: bytes, verify: Verify) -> None:
    highest: int | None = None
    for vote in message.justification.round_changes:
        signed = round_change_digest(
            chain_id,
            message.epoch,
            message.height,
            message.round,
            prepared_round=vote.prepared_round,
            prepared_id=vote.prepared_id,
        )
        if not verify(vote.signer, signed, vote.signature):
            raise _bad_certificate(message)
        if vote.prepared_round is not None and (highest is None or vote.prepared_round > highest):
            highest = vote.prepared_round
    if highest is not None:
        signed = vote_digest(chain_id, message.epoch, VoteKind.PREPARE, message.height, highest, name)
        _check_seals(message, message.justification.prepares, signed, verify)


def _check_prepared(
    message: RoundChange, certificate: PreparedCertificate, chain_id: bytes, validators: ValidatorSet, verify: Verify
) -> None:
    """QBFT, Algorithm 4, JustifyRoundChange: a claim to have prepared needs a quorum of PREPAREs of a lower round."""
    if certificate.round >= message.round or not is_quorum_of_seals(certificate.prepares, validators):
        raise InvalidInput(
            "the prepared certificate is not of a quorum in a lower round",
            code="certificate_invalid",
            height=message.height,
        )
    signed = vote_digest(
        chain_id, message.epoch, VoteKind.PREPARE, message.height, certificate.round, certificate.block_id
    )
    _check_seals(message, certificate.prepares, signed, verify)


def _check_seals(message: Message, seals: Seals, signed: bytes, verify: Verify) -> None:
    for key, signature in seals:
        if not verify(key, signed, signature):
            raise _bad_certificate(message)


def _bad_certificate(message: Message) -> InvalidSignature:
    return InvalidSignature(
        "a signature inside the message does not verify", code="certificate_invalid", height=message.height
    )
