"""The light client alone: which headers carry it forward, and which proofs it refuses."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from ledger.block import block_id
from ledger.chain_proof import Inclusion, inclusion_of
from ledger.encoding import encode
from ledger.errors import InvalidInput
from ledger.keys import SignatureCache, SigningKey
from ledger.light_client import (
    ClientState,
    advance,
    begin,
    check_certified,
    check_conflict,
    check_older,
    client_codec,
    contradicts,
    trusted,
)
from ledger.merkle import EMPTY_ROOT, GrowingTree, leaf_hash
from ledger.packet import HeaderProof
from ledger.validators import ValidatorSet
from tests.ledger.chains import CHAIN_ID, KEYS, VALIDATORS, certificate_for, genesis_header

OTHERS = sorted((SigningKey(bytes([i]) * 32) for i in range(11, 15)), key=lambda key: key.public)
OTHER_SET = ValidatorSet(key.public for key in OTHERS)


class Line:
    """Headers that follow each other; ``turn`` changes the set from the block after that height on."""

    def __init__(self, count=8, turn=None):
        tree, self.headers, self.proofs = GrowingTree(), [], []
        for height in range(count):
            now = OTHER_SET if turn is not None and height > turn else VALIDATORS
            then = OTHER_SET if turn is not None and height + 1 > turn else VALIDATORS
            header = genesis_header(
                {},
                height=height,
                time_ms=1_000 * (height + 1),
                parent=block_id(self.headers[-1]) if self.headers else bytes(32),
                history_root=tree.root() if height else EMPTY_ROOT,
                history_size=height,
                validators_hash=now.hash(CHAIN_ID),
                next_validators_hash=then.hash(CHAIN_ID),
            )
            keys = OTHERS if now is OTHER_SET else KEYS
            self.headers.append(header)
            self.proofs.append(HeaderProof(header, certificate_for(header, keys), tuple(now.keys), 0, None))
            tree.append(block_id(header))

    def client(self, height=0):
        header = self.headers[height]
        named = VALIDATORS if header.next_validators_hash == VALIDATORS.hash(CHAIN_ID) else OTHER_SET
        return begin("other", "bridge", header, named)

    def older(self, height, anchor):
        ids = [leaf_hash(block_id(header)) for header in self.headers[:anchor]]
        return HeaderProof(self.headers[height], None, (), anchor, inclusion_of(ids, height))


def refused(work, code):
    with pytest.raises(InvalidInput) as found:
        work()
    assert found.value.code == code


def test_a_client_begins_when_the_validators_are_those_that_the_header_names():
    line = Line()
    client = line.client()
    assert client == ClientState(CHAIN_ID, "other", "bridge", VALIDATORS.keys, trusted(line.headers[0]), frozen=False)
    assert client_codec.decode(encode(client)) == client
    refused(lambda: begin("other", "bridge", line.headers[0], OTHER_SET), "client_set_wrong")
    refused(lambda: begin("o", "b", replace(line.headers[0], version=9), VALIDATORS), "client_version_unknown")


@given(st.lists(st.integers(1, 11), min_size=1, max_size=6, unique=True).map(sorted))
def test_a_client_follows_any_choice_of_headers_when_the_set_stays(heights):
    line = Line(12)
    client = line.client()
    for height in heights:
        client = advance(client, replace(line.proofs[height], validators=()))
    assert client.latest == trusted(line.headers[heights[-1]])


def test_a_client_follows_a_set_change_when_it_sees_the_header_that_makes_it():
    line = Line(8, turn=3)
    client = advance(line.client(), line.proofs[3])
    assert client.validators == VALIDATORS.keys
    client = advance(client, line.proofs[5])
    assert client.validators == OTHER_SET.keys
    assert advance(client, replace(line.proofs[7], validators=())).latest.height == 7


def test_a_header_is_refused_when_the_set_change_before_it_was_not_shown():
    line = Line(8, turn=3)
    refused(lambda: advance(line.client(), line.proofs[5]), "client_set_wrong")


def test_a_header_is_refused_when_the_former_set_decided_it():
    line = Line(8, turn=3)
    client = advance(line.client(), line.proofs[3])
    forged = replace(line.headers[5], validators_hash=VALIDATORS.hash(CHAIN_ID))
    for header in (forged, line.headers[5]):
        shown = HeaderProof(header, certificate_for(header, KEYS), VALIDATORS.keys, 0, None)
        refused(lambda shown=shown: advance(client, shown), "client_set_wrong")
    shown = HeaderProof(line.headers[5], certificate_for(line.headers[5], KEYS), OTHER_SET.keys, 0, None)
    refused(lambda: advance(client, shown), "certificate_invalid")


@pytest.mark.parametrize("signers", [[], KEYS[:1], KEYS[:2], OTHERS])
def test_a_header_is_refused_when_no_quorum_of_its_set_signed(signers):
    line = Line()
    certificate = replace(line.proofs[1].certificate, seals=certificate_for(line.headers[1], signers).seals)
    refused(lambda: advance(line.client(), replace(line.proofs[1], certificate=certificate)), "certificate_invalid")
    quorum = replace(line.proofs[1], certificate=certificate_for(line.headers[1], KEYS[1:]))
    assert advance(line.client(), quorum).latest.height == 1


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"chain_id": b"\x07" * 32}, "client_chain_wrong"),
        ({"height": 0}, "client_header_old"),
        ({"time_ms": 1_000}, "client_header_old"),
        ({"history_size": 7}, "client_header_wrong"),
        ({"version": 2}, "client_version_unknown"),
        ({"validators_hash": b"\x07" * 32}, "client_set_wrong"),
        ({"parent": b"\x07" * 32}, "client_parent_wrong"),
    ],
)
def test_a_header_is_refused_when_it_cannot_follow_the_latest(changes, code):
    line = Line()
    header = replace(line.headers[1], **changes)
    shown = HeaderProof(header, certificate_for(header), (), 0, None)
    refused(lambda: advance(line.client(), shown), code)


def test_a_header_is_refused_when_its_certificate_is_for_something_else():
    line = Line()
    for certificate in (
        certificate_for(line.headers[2]),
        replace(line.proofs[1].certificate, height=2),
        replace(line.proofs[1].certificate, epoch=1),
        replace(line.proofs[1].certificate, block_id=b"\x07" * 32),
    ):
        shown = replace(line.proofs[1], certificate=certificate)
        refused(lambda shown=shown: advance(line.client(), shown), "client_certificate_wrong")
    other_round = replace(line.proofs[1], certificate=replace(line.proofs[1].certificate, round=1))
    refused(lambda: advance(line.client(), other_round), "certificate_invalid")
    bare = replace(line.proofs[1], certificate=None)
    refused(lambda: advance(line.client(), bare), "client_certificate_missing")


def test_a_frozen_client_goes_nowhere():
    line = Line()
    frozen = replace(line.client(), frozen=True)
    refused(lambda: advance(frozen, line.proofs[1]), "client_frozen")


@given(st.integers(1, 11), st.data())
def test_an_older_header_counts_when_it_is_in_the_history_of_the_anchor(anchor, data):
    line = Line(12)
    height = data.draw(st.integers(0, anchor - 1))
    kept, proof = trusted(line.headers[anchor]), line.older(height, anchor)
    check_older(kept, proof)
    for wrong in (
        replace(proof, history=None),
        replace(proof, header=line.headers[height + 1]),
        replace(proof, history=replace(proof.history, size=anchor + 1)),
    ):
        refused(lambda wrong=wrong: check_older(kept, wrong), "client_history_missing")
    altered = replace(proof, header=replace(proof.header, receipts_root=b"\x07" * 32))
    refused(lambda: check_older(kept, altered), "proof_invalid")


def test_a_header_is_not_in_a_history_that_it_does_not_belong_to():
    line = Line()
    wrong = replace(line.older(1, 4), history=Inclusion(1, 4, line.older(2, 4).history.path))
    refused(lambda: check_older(trusted(line.headers[4]), wrong), "proof_invalid")


def test_two_certified_headers_contradict_each_other_when_they_are_of_one_height_or_one_denies_the_other():
    line = Line()
    client, kept = advance(line.client(), line.proofs[3]), trusted(line.headers[3])
    fork = replace(line.headers[3], receipts_root=b"\x07" * 32)
    child = replace(line.headers[4], parent=block_id(fork))
    assert contradicts(client, kept, HeaderProof(fork, certificate_for(fork), (), 0, None))
    assert contradicts(client, kept, HeaderProof(child, certificate_for(child), (), 0, None))
    for height in (3, 4, 5):
        assert not contradicts(client, kept, line.proofs[height])
    refused(
        lambda: contradicts(client, kept, HeaderProof(fork, certificate_for(fork, KEYS[:2]), (), 0, None)),
        "certificate_invalid",
    )


def test_a_conflict_counts_when_the_set_of_that_height_made_it():
    line = Line(8, turn=3)
    client = advance(advance(line.client(), line.proofs[3]), line.proofs[5])

    def fork(height, keys):
        header = replace(line.headers[height], receipts_root=b"\x07" * 32)
        return HeaderProof(header, certificate_for(header, keys), ValidatorSet(k.public for k in keys).keys, 0, None)

    check_conflict(client, trusted(line.headers[3]), line.proofs[3], fork(3, KEYS))
    check_conflict(client, None, line.proofs[6], fork(6, OTHERS))
    refused(lambda: check_conflict(client, None, line.proofs[4], fork(4, OTHERS)), "client_no_conflict")
    refused(lambda: check_conflict(client, None, line.proofs[6], line.proofs[6]), "client_no_conflict")
    refused(lambda: check_conflict(client, None, line.proofs[6], fork(7, OTHERS)), "client_no_conflict")
    refused(lambda: check_conflict(client, None, line.proofs[6], fork(6, KEYS)), "client_set_wrong")
    kept = trusted(line.headers[5])
    refused(lambda: check_conflict(client, kept, line.proofs[5], fork(5, KEYS)), "client_set_wrong")


def test_signatures_are_verified_once_when_a_cache_is_given():
    line = Line()
    cache = SignatureCache(64)
    client = line.client()
    for _ in range(3):
        check_certified(client, line.proofs[1], client.latest.next_validators_hash, cache.verify)
        advance(client, line.proofs[1], cache.verify)
    assert cache.verified == len(KEYS)
