from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consensus.guard import MAX_VOTES_PER_KIND, DoubleSignRefusedError, Guard
from consensus.records import SignedVote
from ledger.certificate import VoteKind
from ledger.errors import LocalMisuse

A, B = b"\xaa" * 32, b"\xbb" * 32


def vote(height: int, round_: int, signed: bytes = A, kind: VoteKind = VoteKind.PREPARE) -> SignedVote:
    return SignedVote(int(kind), height, round_, signed, b"\x01" + signed + signed, b"")


def test_the_same_request_returns_the_same_signature():
    guard = Guard()
    assert guard.signature(VoteKind.PREPARE, 1, 0, A) is None
    guard.remember(vote(1, 0))
    guard.remember(vote(1, 0))
    assert guard.signature(VoteKind.PREPARE, 1, 0, A) == vote(1, 0).signature
    assert guard.has_signed(VoteKind.PREPARE, 1, 0)
    assert guard.knows(VoteKind.PREPARE, 1, 0, A)
    assert not guard.knows(VoteKind.PREPARE, 1, 0, B)


def test_a_conflicting_request_is_refused():
    guard = Guard([vote(1, 0)])
    with pytest.raises(DoubleSignRefusedError) as caught:
        guard.signature(VoteKind.PREPARE, 1, 0, B)
    assert isinstance(caught.value, LocalMisuse)
    assert caught.value.data == {"kind": VoteKind.PREPARE, "height": 1, "round": 0}
    with pytest.raises(DoubleSignRefusedError):
        guard.remember(vote(1, 0, B))


def test_other_kinds_rounds_and_heights_are_free():
    guard = Guard()
    guard.remember(vote(1, 0))
    assert guard.signature(VoteKind.COMMIT, 1, 0, B) is None
    assert guard.signature(VoteKind.PREPARE, 1, 1, B) is None
    assert guard.signature(VoteKind.PREPARE, 2, 0, B) is None


def test_pruned_heights_are_refused_for_good():
    guard = Guard([vote(1, 0), vote(2, 0), vote(3, 0)])
    guard.prune(3)
    assert [record.height for record in guard.records()] == [3]
    for height in (1, 2):
        with pytest.raises(DoubleSignRefusedError):
            guard.signature(VoteKind.PREPARE, height, 0, A)
        with pytest.raises(DoubleSignRefusedError):
            guard.signature(VoteKind.COMMIT, height, 99, A)
    guard.prune(2)
    with pytest.raises(DoubleSignRefusedError):
        guard.signature(VoteKind.PREPARE, 2, 0, A)


def test_memory_is_bounded_when_rounds_never_end():
    guard = Guard()
    for round_ in range(200):
        guard.remember(vote(1, round_))
    assert len(guard.records()) == MAX_VOTES_PER_KIND
    assert guard.signature(VoteKind.PREPARE, 1, 199, A) is not None
    with pytest.raises(DoubleSignRefusedError):
        guard.signature(VoteKind.PREPARE, 1, 5, A)
    assert guard.knows(VoteKind.PREPARE, 1, 5, B)


def test_forgotten_rounds_stay_refused_after_a_restart():
    guard = Guard()
    for round_ in range(40):
        guard.remember(vote(1, round_))
    again = Guard(guard.records())
    for kind in VoteKind:
        with pytest.raises(DoubleSignRefusedError):
            again.signature(kind, 1, 3, B)
    assert again.height == 1
    assert Guard().height == -1


@given(
    st.lists(
        st.tuples(
            st.sampled_from(list(VoteKind)),
            st.integers(1, 3),
            st.integers(0, 40),
            st.sampled_from([A, B]),
            st.booleans(),
        )
    )
)
def test_never_two_signatures_in_one_place(requests):
    guard = Guard()
    given_out: dict[tuple[VoteKind, int, int], bytes] = {}
    for kind, height, round_, signed, restart in requests:
        if restart:
            guard = Guard(guard.records())
        try:
            if guard.signature(kind, height, round_, signed) is None:
                guard.remember(vote(height, round_, signed, kind))
        except DoubleSignRefusedError:
            continue
        assert given_out.setdefault((kind, height, round_), signed) == signed
