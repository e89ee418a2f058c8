from __future__ import annotations

import msgspec
import pytest

from consensus.epoch import Epoch
from consensus.justification import justify
from consensus.messages import Justification, Prepare
from consensus.verified import VerifiedCommit, VerifiedPrepare, VerifiedProposal, VerifiedRoundChange
from consensus.verify import authenticate, signed_bytes, verify_block, verify_message
from ledger.block import Block
from ledger.certificate import VoteKind, vote_digest
from ledger.errors import InvalidInput, InvalidSignature, MalformedBytes
from ledger.keys import SignatureCache, SigningKey
from ledger.validators import ValidatorSet
from tests.consensus.making import (
    CHAIN,
    EPOCH,
    block,
    certificate,
    commit,
    key,
    name,
    prepare,
    proposal,
    round_change,
    validators,
    verified,
    verify,
)

ID = bytes(32)


def code_of(message, **more) -> str:
    arguments = {"chain_id": CHAIN, "epoch": EPOCH, "validators": validators(4), "verify": verify} | more
    with pytest.raises(InvalidInput) as caught:
        verify_message(message, **arguments)
    return caught.value.code


def test_each_kind_becomes_its_verified_type():
    assert isinstance(verified(prepare(1, ID)), VerifiedPrepare)
    assert isinstance(verified(commit(1, ID)), VerifiedCommit)
    assert isinstance(verified(round_change(1, 1)), VerifiedRoundChange)
    made = block()
    assert verified(proposal(0, made)) == VerifiedProposal(proposal(0, made), verify_block(made))


@pytest.mark.parametrize("message", [prepare(1, ID), commit(1, ID), round_change(1, 1), proposal(0, block())])
@pytest.mark.parametrize(
    "change",
    [{"signature": b"\x01" + bytes(64)}, {"height": 5}, {"round": 4}, {"signer": key(3)}],
    ids=lambda change: next(iter(change)),
)
def test_a_changed_message_is_refused(message, change):
    changed = msgspec.structs.replace(message, **change)
    assert code_of(changed) in {"signature_invalid", "not_the_proposer"}


def test_a_vote_of_another_kind_cannot_be_replayed_as_this_one():
    vote = prepare(1, ID)
    forged = msgspec.structs.replace(commit(1, ID), signature=vote.signature)
    assert code_of(forged) == "signature_invalid"


def test_strangers_other_epochs_and_other_chains_are_refused():
    assert code_of(prepare(7, ID)) == "signer_unknown"
    assert code_of(prepare(1, ID), epoch=Epoch(1, 1, 0)) == "epoch_wrong"
    assert code_of(prepare(1, ID), chain_id=bytes(32)) == "signature_invalid"


def test_only_the_rounds_proposer_may_propose():
    assert code_of(proposal(1, block(proposer=1))) == "not_the_proposer"
    assert code_of(proposal(0, block(), height=0)) == "not_the_proposer"


def test_refs_that_do_not_match_the_header_are_refused():
    made = block(refs=bytes(128))
    for refs in (b"", bytes(64), bytes(192), bytes(64) + b"\x01" * 64):
        assert code_of(proposal(0, Block(made.header, refs))) == "block_refs_wrong"
    with pytest.raises(MalformedBytes):
        verify_block(Block(made.header, bytes(127)))


@pytest.mark.parametrize(
    ("by", "round_"),
    [([0, 1], 0), ([0, 1, 2], 2), ([0, 1, 2], 3), ([0, 1, 7], 0)],
    ids=["no quorum", "same round", "later round", "stranger"],
)
def test_prepared_certificates_must_be_of_a_quorum_in_a_lower_round(by, round_):
    assert code_of(round_change(1, 2, certificate(by, ID, round_=round_))) == "certificate_invalid"


def test_a_certificate_counts_signers_not_signatures():
    good = certificate([0, 1, 2], ID)
    twice = msgspec.structs.replace(good, prepares=(good.prepares[0], good.prepares[0], good.prepares[1]))
    unsorted = msgspec.structs.replace(good, prepares=good.prepares[::-1])
    assert code_of(round_change(1, 2, twice)) == "certificate_invalid"
    assert code_of(round_change(1, 2, unsorted)) == "certificate_invalid"


def test_a_forged_prepare_inside_a_certificate_is_refused():
    good = certificate([0, 1, 2], ID)
    forged = msgspec.structs.replace(good, prepares=(*good.prepares[:2], (key(2), bytes([1]) + bytes(64))))
    assert code_of(round_change(1, 2, forged)) == "certificate_invalid"
    other_block = msgspec.structs.replace(good, block_id=b"\x09" * 32)
    assert code_of(round_change(1, 2, other_block)) == "certificate_invalid"


def test_a_bad_signature_inside_a_justification_is_refused():
    made = block()
    held = certificate([0, 1, 2], name(made))
    changes = [round_change(i, 1, held) for i in range(3)]
    justification, _ = justify(changes)
    verified(proposal(1, made, round_=1, justification=justification))
    vote = msgspec.structs.replace(justification.round_changes[0], signature=b"\x01" + bytes(64))
    for bad in (
        Justification((vote, *justification.round_changes[1:]), justification.prepares),
        Justification(justification.round_changes, ((key(0), b"\x01" + bytes(64)), *justification.prepares[1:])),
    ):
        assert code_of(proposal(1, made, round_=1, justification=bad)) == "certificate_invalid"


def test_a_proposals_signature_covers_its_justification():
    made = block(proposer=1)
    changes = [round_change(i, 1) for i in range(4)]
    signed = proposal(1, made, round_=1, justification=justify(changes[:3])[0])
    swapped = msgspec.structs.replace(signed, justification=justify(changes[1:])[0])
    assert code_of(swapped) == "signature_invalid"


def test_authentication_needs_the_signature_only():
    own = authenticate(prepare(9, ID, height=77), CHAIN, verify)
    assert (own.signer, own.height, own.kind) == (key(9), 77, VoteKind.PREPARE)
    assert own.signed == signed_bytes(prepare(9, ID, height=77), CHAIN)
    with pytest.raises(InvalidSignature):
        authenticate(msgspec.structs.replace(prepare(9, ID), height=78), CHAIN, verify)


def test_real_keys_and_the_cache_fit():
    signing = SigningKey(bytes(32))
    signed = vote_digest(CHAIN, 0, VoteKind.PREPARE, 1, 0, ID)
    vote = Prepare(1, 0, 0, signing.public, signing.sign(signed), ID)
    cache = SignatureCache()
    for _ in range(3):
        verify_message(vote, CHAIN, EPOCH, ValidatorSet([signing.public]), cache.verify)
    assert cache.verified == 1
