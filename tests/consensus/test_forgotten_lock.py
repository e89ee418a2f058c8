"""COMMIT, and then a change of rounds as if nothing had been prepared since: no honest validator forgets its lock."""

from __future__ import annotations

import pytest

from consensus import effects as do
from consensus.effects import EvidenceKind
from tests.consensus.making import certificate, commit, key, name, round_change
from tests.consensus.single import Validator, of


@pytest.mark.parametrize("commit_first", [True, False])
def test_forgotten_lock_is_reported_when_both_messages_are_here(commit_first: bool) -> None:
    v = Validator()
    v.start()
    made = v.make()
    said = [commit(1, name(made), round_=1), round_change(1, 3)]
    effects = v.hear(*(said if commit_first else reversed(said)))
    (report,) = of(do.ReportEvidence, effects)
    assert (report.kind, report.signer) == (EvidenceKind.FORGOTTEN_LOCK, key(1))
    assert (report.first, report.second) == (said[0], said[1])


def test_older_prepared_round_than_the_commit_is_reported_and_the_same_round_is_not() -> None:
    v = Validator()
    v.start()
    made = v.make()
    proof = certificate([0, 1, 2], name(made), round_=2)
    v.hear(commit(1, name(made), round_=2), commit(2, name(made), round_=3))
    assert not of(do.ReportEvidence, v.hear(round_change(1, 4, proof)))
    (report,) = of(do.ReportEvidence, v.hear(round_change(2, 4, proof)))
    assert report.signer == key(2)


def test_commit_of_a_later_round_is_no_fault_after_a_change_of_rounds() -> None:
    v = Validator()
    v.start()
    made = v.make()
    v.hear(round_change(1, 1), commit(1, name(made), round_=1), commit(1, name(made), round_=2))
    assert not of(do.ReportEvidence, v.all)


def test_forgotten_lock_is_reported_once_when_it_is_shown_again() -> None:
    v = Validator()
    v.start()
    made = v.make()
    v.hear(commit(1, name(made), round_=0), round_change(1, 1), round_change(1, 2), round_change(1, 3))
    assert len(of(do.ReportEvidence, v.all)) == 1
