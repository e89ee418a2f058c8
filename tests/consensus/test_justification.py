from __future__ import annotations

import msgspec
import pytest

from consensus.justification import justification_flaw, justify, signers_are_quorum
from consensus.messages import EMPTY_JUSTIFICATION, Justification
from tests.consensus.making import certificate, key, prepare, round_change, validators

A, B = b"\xaa" * 32, b"\xbb" * 32
QUORUMS = {1: 1, 2: 2, 3: 2, 4: 3, 5: 4, 6: 4, 7: 5, 8: 6}
"""(2n−1)//3 + 1."""


def flaw(justification: Justification, block_id: bytes = A, round_: int = 1, count: int = 4) -> str | None:
    return justification_flaw(justification, round_, block_id, validators(count))


def test_round_zero_needs_none_and_allows_none():
    assert flaw(EMPTY_JUSTIFICATION, round_=0) is None
    assert flaw(justify([round_change(i, 0) for i in range(3)])[0], round_=0) == "justification_in_round_zero"
    assert flaw(EMPTY_JUSTIFICATION) == "round_changes_no_quorum"


@pytest.mark.parametrize(("count", "quorum"), QUORUMS.items())
def test_a_quorum_of_round_changes_is_needed(count, quorum):
    changes = [round_change(i, 1) for i in range(quorum)]
    assert validators(count).quorum == quorum
    assert flaw(justify(changes)[0], count=count) is None
    assert flaw(justify(changes[1:])[0], count=count) == "round_changes_no_quorum"


@pytest.mark.parametrize(("count", "quorum"), QUORUMS.items())
def test_signers_count_not_signatures(count, quorum):
    members = validators(count)
    keys = [key(i) for i in range(quorum)]
    assert signers_are_quorum(keys, members)
    if quorum > 1:
        assert not signers_are_quorum([*keys[:-1], keys[0]], members)
        assert not signers_are_quorum([*keys[:-1], keys[-2]], members)
        assert not signers_are_quorum(keys[::-1], members)
    assert not signers_are_quorum([*keys[:-1], key(99)], members)


def test_a_fresh_block_is_justified_when_none_prepared():
    justification, highest = justify([round_change(i, 2) for i in (2, 0, 1)])
    assert highest is None
    assert [vote.signer for vote in justification.round_changes] == [key(0), key(1), key(2)]
    assert flaw(justification, A, 2) is flaw(justification, B, 2) is None


def test_only_the_highest_prepared_block_is_justified():
    low, high = certificate([0, 1, 2], B, round_=0), certificate([0, 1, 3], A, round_=2)
    justification, highest = justify([round_change(0, 3, low), round_change(1, 3, high), round_change(2, 3)])
    assert highest == high
    assert flaw(justification, A, 3) is None
    assert flaw(justification, B, 3) == "not_the_highest_prepared"


def test_a_fresh_block_is_unjustified_when_one_prepared():
    held = certificate([0, 1, 2], A)
    justification, _ = justify([round_change(0, 1, held), round_change(1, 1), round_change(2, 1)])
    assert flaw(justification, B) == "not_the_highest_prepared"
    without = Justification(justification.round_changes, ())
    assert flaw(without, A) == "prepares_no_quorum"


@pytest.mark.parametrize("prepared_round", [1, 2, 2**31 - 1])
def test_a_round_change_cannot_have_prepared_in_its_own_round_or_later(prepared_round):
    held = certificate([0, 1, 2], A, round_=prepared_round)
    justification, _ = justify([round_change(0, 1, held), round_change(1, 1), round_change(2, 1)])
    assert flaw(justification, A) == "prepared_round_too_high"


@pytest.mark.parametrize("change", [{"prepared_round": None}, {"prepared_id": None}])
def test_prepared_round_and_block_come_together(change):
    held = certificate([0, 1, 2], A)
    justification, _ = justify([round_change(i, 1, held) for i in range(3)])
    half = msgspec.structs.replace(justification.round_changes[0], **change)
    assert flaw(Justification((half, *justification.round_changes[1:]), justification.prepares)) == (
        "round_change_half_prepared"
    )


def test_prepares_without_a_prepared_round_change_are_refused():
    justification, _ = justify([round_change(i, 1) for i in range(3)])
    seals = certificate([0, 1, 2], A).prepares
    assert flaw(Justification(justification.round_changes, seals)) == "prepares_without_round_change"


@pytest.mark.parametrize("signers", [[0, 1], [0, 0, 1], [0, 1, 9]])
def test_the_prepares_must_be_a_quorum_of_members(signers):
    held = certificate([0, 1, 2], A)
    justification, _ = justify([round_change(i, 1, held) for i in range(3)])
    seals = tuple((key(i), prepare(i, A).signature) for i in signers)
    assert flaw(Justification(justification.round_changes, seals)) == "prepares_no_quorum"


def test_a_false_claim_at_the_highest_round_does_not_bind():
    """Two claims for one round: the quorum of PREPAREs says which is true."""
    truth = certificate([0, 1, 2], A, round_=1)
    lie = certificate([3], B, round_=1)
    justification, _ = justify([round_change(0, 2, truth), round_change(1, 2), round_change(3, 2, lie)])
    honest = Justification(justification.round_changes, truth.prepares)
    assert flaw(honest, A, 2) is None
    assert flaw(Justification(justification.round_changes, lie.prepares), B, 2) == "prepares_no_quorum"
