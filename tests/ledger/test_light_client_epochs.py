"""A light client over many epochs: committees of four of nine, one seat of which changes hands every few blocks."""

from __future__ import annotations

from collections.abc import Iterable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from ledger.block import Header, block_id
from ledger.certificate import CommitCertificate, VoteKind, vote_digest
from ledger.errors import InvalidInput
from ledger.keys import SigningKey
from ledger.light_client import ClientState, advance, begin
from ledger.merkle import EMPTY_ROOT, GrowingTree
from ledger.packet import HeaderProof
from ledger.validators import ValidatorSet
from tests.ledger.chains import CHAIN_ID, genesis_header

EPOCH_BLOCKS, EPOCHS, SEATS = 4, 8, 4
KEYS = sorted((SigningKey(bytes([number]) * 32) for number in range(41, 50)), key=lambda key: key.public)


def committee(height: int) -> list[SigningKey]:
    """Who decides a height; block 0 counts to the first epoch."""
    epoch = max(0, height - 1) // EPOCH_BLOCKS
    chosen = [KEYS[(epoch + seat) % len(KEYS)] for seat in range(SEATS)]
    return sorted(chosen, key=lambda key: key.public)


def set_of(height: int) -> ValidatorSet:
    return ValidatorSet(key.public for key in committee(height))


def certify(header: Header, keys: Iterable[SigningKey], *, epoch: int | None = None) -> CommitCertificate:
    """The certificate of a header, its votes of the header's epoch or of another."""
    number, name = header.epoch if epoch is None else epoch, block_id(header)
    signed = vote_digest(CHAIN_ID, number, VoteKind.COMMIT, header.height, 0, name)
    seals = sorted((bytes(key.public), key.sign(signed)) for key in keys)
    return CommitCertificate(header.height, header.epoch, 0, name, tuple(seals))


def line() -> list[Header]:
    tree, headers = GrowingTree(), list[Header]()
    for height in range(EPOCH_BLOCKS * EPOCHS + 1):
        header = genesis_header(
            {},
            height=height,
            time_ms=1_000 * (height + 1),
            parent=block_id(headers[-1]) if headers else bytes(32),
            history_root=tree.root() if height else EMPTY_ROOT,
            history_size=height,
            epoch=max(0, height - 1) // EPOCH_BLOCKS,
            validators_hash=set_of(height).hash(CHAIN_ID),
            next_validators_hash=set_of(height + 1).hash(CHAIN_ID),
        )
        headers.append(header)
        tree.append(block_id(header))
    return headers


HEADERS = line()
CHANGES = [header.height for header in HEADERS if header.next_validators_hash != header.validators_hash]
PROOFS = [
    HeaderProof(header, certify(header, committee(header.height)), set_of(header.height).keys, 0, None)
    for header in HEADERS
]
TIP = len(HEADERS) - 1


def client_at(height: int) -> ClientState:
    return begin("other", "bridge", HEADERS[height], set_of(height + 1))


def follow(client: ClientState, upto: int) -> ClientState:
    """As a relay does: every header that changes the set, then the one asked for."""
    for height in [*(change for change in CHANGES if client.latest.height < change < upto), upto]:
        client = advance(client, PROOFS[height])
    return client


def code_of(client: ClientState, proof: HeaderProof) -> str:
    with pytest.raises(InvalidInput) as caught:
        advance(client, proof)
    return caught.value.code


def test_the_sets_of_this_file_change_with_every_epoch() -> None:
    assert [EPOCH_BLOCKS * epoch for epoch in range(1, EPOCHS + 1)] == CHANGES


@pytest.mark.parametrize("start", range(0, TIP, 3))
def test_a_client_that_begins_anywhere_follows_to_the_end(start: int) -> None:
    client = follow(client_at(start), TIP)
    assert client.latest.height == TIP
    assert client.validators == set_of(TIP).keys


@settings(max_examples=40, deadline=None)
@given(st.sets(st.integers(1, TIP)), st.sampled_from(CHANGES[:-1]))
def test_a_client_is_stopped_at_the_first_change_that_it_is_not_shown(shown: set[int], skipped: int) -> None:
    client = client_at(0)
    stopped = False
    for height in sorted((shown | set(CHANGES)) - {skipped}):
        # A header below the change that was left out is fine, and so is nothing above it.
        if height > skipped:
            assert code_of(client, PROOFS[height]) == "client_set_wrong"
            stopped = True
        else:
            client = advance(client, PROOFS[height])
    assert stopped
    assert client.latest.height < skipped
    assert follow(client, TIP).latest.height == TIP


@settings(max_examples=100, deadline=None)
@given(st.integers(1, TIP - 2), st.integers(1, TIP), st.data())
def test_a_former_committee_forges_nothing_when_the_client_has_followed(at: int, by: int, data: st.DataObject) -> None:
    client = follow(client_at(0), at)
    named = set_of(at + 1)
    former = committee(by)
    if ValidatorSet(key.public for key in former) == named:
        return
    height = data.draw(st.integers(at + 1, at + 3 * EPOCH_BLOCKS))
    claims = set_of(by) if data.draw(st.booleans()) else named
    forged = replace(
        HEADERS[min(height, TIP)],
        height=height,
        history_size=height,
        parent=client.latest.block_id,
        time_ms=client.latest.time_ms + 1,
        validators_hash=claims.hash(CHAIN_ID),
        next_validators_hash=set_of(by).hash(CHAIN_ID),
    )
    keys = data.draw(st.sampled_from([(), set_of(by).keys, named.keys]))
    proof = HeaderProof(forged, certify(forged, former), tuple(keys), 0, None)
    assert code_of(client, proof) in ("client_set_wrong", "certificate_invalid")


def test_members_who_stayed_are_no_quorum_with_one_who_left() -> None:
    change = CHANGES[2]
    client = follow(client_at(0), change)
    header = HEADERS[change + 1]
    stayed = [key for key in committee(change) if key in committee(change + 1)]
    left = [key for key in committee(change) if key not in stayed]
    assert (len(stayed), len(left)) == (SEATS - 1, 1)
    with_former = replace(PROOFS[change + 1], certificate=certify(header, [*stayed[:2], *left]))
    assert code_of(client, with_former) == "certificate_invalid"
    assert advance(client, replace(with_former, certificate=certify(header, stayed))).latest.height == header.height


def test_votes_of_another_epoch_do_not_count_when_block_and_signers_are_right() -> None:
    of_another = certify(HEADERS[2], committee(2), epoch=7)
    assert code_of(client_at(0), replace(PROOFS[2], certificate=of_another)) == "certificate_invalid"
