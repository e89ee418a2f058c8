"""Commit certificates: accepted with a quorum of that height, and each reason to refuse one."""

from itertools import combinations

import msgspec
import pytest
from chains import CHAIN_ID, KEYS, VALIDATORS, certificate_for, genesis_header

from ledger.block import block_id
from ledger.certificate import (
    MAX_ROUND,
    CommitCertificate,
    VoteKind,
    certificate_codec,
    verify_certificate,
    vote_digest,
)
from ledger.encoding import digest, encode
from ledger.errors import InvalidBlock, MalformedBytes
from ledger.keys import SigningKey
from ledger.validators import MAX_VALIDATORS, ValidatorSet

HEADER = genesis_header({}, height=7)
GOOD = certificate_for(HEADER)


def refused(certificate, words, validators=VALIDATORS, chain_id=CHAIN_ID):
    with pytest.raises(InvalidBlock) as error:
        verify_certificate(certificate, chain_id, validators)
    assert error.value.code == "certificate_invalid"
    assert error.value.data["height"] == certificate.height
    assert words in error.value.message


def changed(**fields):
    return msgspec.structs.replace(GOOD, **fields)


def test_quorum_and_more_are_accepted():
    assert GOOD.block_id == block_id(HEADER)
    for count in (3, 4):
        for keys in combinations(KEYS, count):
            verify_certificate(certificate_for(HEADER, keys), CHAIN_ID, VALIDATORS)


@pytest.mark.parametrize("count", [1, 2])
def test_fewer_than_a_quorum_are_refused(count):
    for keys in combinations(KEYS, count):
        refused(certificate_for(HEADER, keys), f"{count} signers, 3 needed")


def test_signer_counted_twice_is_refused():
    first, second, _, _ = GOOD.seals
    refused(changed(seals=(first, second, second)), "sorted and distinct")
    refused(changed(seals=(first, first, first, first)), "sorted and distinct")


def test_unsorted_signers_are_refused():
    refused(changed(seals=GOOD.seals[::-1]), "sorted and distinct")


def test_signer_that_is_not_a_validator_is_refused():
    refused(certificate_for(HEADER, [*KEYS[:3], SigningKey(b"\x77" * 32)]), "not a validator")
    refused(certificate_for(HEADER, KEYS), "not a validator", ValidatorSet([key.public for key in KEYS[:3]]))


def test_one_bad_signature_among_enough_good_ones_is_refused():
    for place in range(4):
        seals = list(GOOD.seals)
        key, signature = seals[place]
        seals[place] = (key, signature[:-1] + bytes([signature[-1] ^ 1]))
        refused(changed(seals=tuple(seals)), "does not verify")


def test_seals_given_to_each_other_are_refused():
    (a, sa), (b, sb), c, d = GOOD.seals
    refused(changed(seals=((a, sb), (b, sa), c, d)), "does not verify")


@pytest.mark.parametrize("fields", [{"height": 8}, {"epoch": 1}, {"round": 1}, {"block_id": bytes(32)}], ids=repr)
def test_seals_are_of_one_height_epoch_round_and_block(fields):
    refused(changed(**fields), "does not verify")


def test_seals_of_another_chain_are_refused():
    refused(GOOD, "does not verify", chain_id=bytes(32))


@pytest.mark.parametrize("kind", [kind for kind in VoteKind if kind is not VoteKind.COMMIT])
def test_votes_of_another_kind_are_no_seals(kind):
    signed = vote_digest(CHAIN_ID, 0, kind, 7, 0, block_id(HEADER))
    seals = tuple(sorted((key.public, key.sign(signed)) for key in KEYS))
    refused(changed(seals=seals), "does not verify")


def test_verifier_that_is_handed_in_is_asked():
    asked = []
    verify_certificate(GOOD, CHAIN_ID, VALIDATORS, lambda *parts: asked.append(parts) or True)
    assert [key for key, _, _ in asked] == [key for key, _ in GOOD.seals]


def test_signed_bytes_are_what_the_docstring_says():
    expected = digest(b"tidegate/vote", CHAIN_ID, encode((1, 2, 3, 4)), b"payload")
    assert vote_digest(CHAIN_ID, 1, VoteKind.COMMIT, 3, 4, b"payload") == expected
    assert [int(kind) for kind in VoteKind] == [0, 1, 2, 3]


def test_codec_and_bounds():
    assert certificate_codec.decode(encode(GOOD)) == GOOD
    key, signature = GOOD.seals[0]
    for fields in (
        {"seals": ()},
        {"seals": ((key, signature),) * (MAX_VALIDATORS + 1)},
        {"seals": ((key[1:], signature),)},
        {"seals": ((key, signature[1:]),)},
        {"round": MAX_ROUND + 1},
        {"round": -1},
        {"block_id": bytes(33)},
        {"height": -1},
    ):
        with pytest.raises(MalformedBytes):
            certificate_codec.decode(encode(changed(**fields)))


def test_one_validator_alone_is_a_quorum():
    alone = ValidatorSet([KEYS[0].public])
    verify_certificate(certificate_for(HEADER, KEYS[:1]), CHAIN_ID, alone)
    assert isinstance(GOOD, CommitCertificate)
