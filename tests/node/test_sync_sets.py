"""A block of others counts by the seals of its own height's validators, not of those before or after them."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from consensus.epoch import Epoch
from ledger.certificate import CommitCertificate, VoteKind, verify_certificate, vote_digest
from ledger.errors import InvalidBlock
from ledger.types import ZERO_HASH, Height
from ledger.validators import ValidatorSet
from node.seats import Seats
from node.sync import Synchroniser
from tests.consensus.making import CHAIN, key, signer, verify

HANDOVER = 5
"""First height of the second set."""
BLOCK = bytes([7]) * 32


def seats_at(height: int) -> Seats:
    first, members = (1, range(4)) if height < HANDOVER else (HANDOVER, range(4, 8))
    return Seats(Epoch(first, first, 0), ValidatorSet([key(member) for member in members]), ZERO_HASH)


def sealed(height: int, by: Seats) -> CommitCertificate:
    """A certificate for ``BLOCK`` at ``height`` by everybody of ``by``, in its epoch."""
    signed = vote_digest(CHAIN, by.epoch.number, VoteKind.COMMIT, height, 0, BLOCK)
    seals = tuple((member, signer(member)(signed)) for member in by.validators.keys)
    return CommitCertificate(height, by.epoch.number, 0, BLOCK, seals)


@pytest.fixture
def sync(monkeypatch: pytest.MonkeyPatch) -> Synchroniser:
    monkeypatch.setattr("node.sync.verify_certificate", _verify_with_test_keys)
    return Synchroniser(SimpleNamespace(chain_id=CHAIN, seats_at=seats_at), SimpleNamespace())


def _verify_with_test_keys(certificate: CommitCertificate, chain_id: bytes, validators: ValidatorSet) -> None:
    verify_certificate(certificate, chain_id, validators, verify)


@pytest.mark.parametrize("height", [HANDOVER - 1, HANDOVER])
def test_block_is_taken_when_its_heights_own_validators_sealed_it(sync: Synchroniser, height: int) -> None:
    sync._verify(sealed(height, seats_at(height)), BLOCK, height)


@pytest.mark.parametrize(("height", "by"), [(HANDOVER, HANDOVER - 1), (HANDOVER - 1, HANDOVER)])
def test_block_is_refused_when_validators_of_another_height_sealed_it(sync: Synchroniser, height: int, by: int) -> None:
    with pytest.raises(InvalidBlock) as refused:
        sync._verify(sealed(height, seats_at(Height(by))), BLOCK, height)
    assert refused.value.code == "certificate_invalid"
