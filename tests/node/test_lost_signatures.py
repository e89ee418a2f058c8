"""Through which height a validator that lost its signer state may have signed: nobody it must ask may be left out."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consensus.inputs import ObserveThrough
from consensus.records import Forgotten
from consensus.state import restore
from consensus.timing import Parameters
from ledger.validators import ValidatorSet
from node.votes import VoteDesk
from tests.consensus.making import CHAIN, key, signer


class Desk:
    """The vote desk of validator 0 of ``count``, whose log is lost."""

    def __init__(self, count: int, tip: int) -> None:
        self.fed: list[object] = []
        self.chain = SimpleNamespace(
            validators=ValidatorSet(key(index) for index in range(count)), tip=SimpleNamespace(height=tip)
        )
        state = restore([Forgotten(None)], CHAIN, key(0), signer(key(0)), Parameters())
        self.desk = VoteDesk(self.chain, state, feed=self.fed.append, backlog=lambda: 0)

    def answers(self, *indices: int, claim: int) -> None:
        for index in indices:
            self.desk.on_latest(key(index), b"")
            self.desk.on_claim(key(index), claim)

    @property
    def through(self) -> int | None:
        heights = [event.height for event in self.fed if isinstance(event, ObserveThrough)]
        return max(heights, default=None)


def test_it_is_told_when_all_three_others_have_answered():
    desk = Desk(4, tip=10)
    desk.answers(1, 2, claim=10)
    assert desk.through is None
    desk.answers(3, claim=10)
    assert desk.through == 12


def test_an_answer_without_a_claim_does_not_count():
    desk = Desk(4, tip=10)
    desk.answers(1, 2, claim=10)
    desk.desk.on_latest(key(3), b"")
    assert desk.through is None
    desk.desk.on_claim(key(3), 9)
    assert desk.through == 12


def test_our_own_store_counts_when_it_is_ahead_of_what_others_claim():
    desk = Desk(4, tip=20)
    desk.answers(1, 2, 3, claim=10)
    assert desk.through == 21


def test_it_waits_until_it_knows_the_validators_when_it_is_far_behind():
    desk = Desk(4, tip=3)
    desk.answers(1, 2, 3, claim=500)
    assert desk.through is None
    desk.chain.tip.height = 500
    desk.answers(3, claim=501)
    assert desk.through == 503


def test_others_than_validators_do_not_count():
    desk = Desk(4, tip=10)
    desk.answers(1, 2, 9, 0, claim=10)
    assert desk.through is None


def test_nobody_can_tell_a_single_validator():
    desk = Desk(1, tip=10)
    desk.answers(0, 5, claim=10)
    assert desk.through is None


@pytest.mark.parametrize(("count", "needed"), [(2, 1), (3, 2), (4, 3), (5, 3), (6, 4), (7, 5), (10, 7)])
def test_so_many_others_are_asked(count, needed):
    desk = Desk(count, tip=10)
    desk.answers(*range(1, needed), claim=10)
    assert desk.through is None
    desk.answers(needed, claim=10)
    assert desk.through is not None


@given(st.integers(2, 10), st.integers(5, 50), st.data())
def test_no_signature_is_forgotten_whoever_lies_and_whoever_is_asked(count, signed_at, draw):
    """We signed at ``signed_at``: a quorum had COMMITted below it, each of them at ``signed_at − 2`` or higher."""
    desk = Desk(count, tip=draw.draw(st.integers(0, signed_at)))  # our own store was rolled back, or not
    validators = desk.chain.validators
    everybody = range(count)
    committed = draw.draw(st.permutations(everybody))[: validators.quorum]
    liars = set(draw.draw(st.permutations(range(1, count)))[: draw.draw(st.integers(0, validators.max_faulty))])
    for index in draw.draw(st.permutations(range(1, count))):
        least = signed_at - 2 if index in committed and index not in liars else 0
        claim = draw.draw(st.integers(least, signed_at))
        desk.chain.tip.height = max(desk.chain.tip.height, claim - 1)  # it has caught up meanwhile
        desk.answers(index, claim=claim)
        if desk.through is not None:
            assert desk.through >= signed_at
            return
