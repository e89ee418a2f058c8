"""The specification against what was written by hand from the paper, and against itself."""

from __future__ import annotations

import ast
import doctest
import sys
from pathlib import Path

import pytest

from tests.spec import justification, qbft
from tests.spec.expectations import HIGHEST, JUMPS, JUSTIFIED, LEADERS, SIZES
from tests.spec.justification import HighestPrepared, JustifyPrePrepare, RoundChange, leader, quorum, weak_quorum
from tests.spec.notation import proposal
from tests.spec.qbft import State, jump_target
from tests.spec.stories import STORIES
from tests.spec.storytelling import SpecTeller, tell


@pytest.mark.parametrize("module", [qbft, justification])
def test_examples_hold(module):
    assert doctest.testmod(module).failed == 0


@pytest.mark.parametrize("module", [qbft, justification])
def test_imports_nothing_of_the_program(module):
    tree = ast.parse(Path(module.__file__).read_text(encoding="utf-8"))
    names = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    names |= {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert {name for name in names if name.split(".")[0] not in sys.stdlib_module_names} <= {"tests.spec.justification"}


@pytest.mark.parametrize("n", SIZES)
def test_sizes(n):
    assert (justification.f(n), quorum(n), weak_quorum(n)) == SIZES[n]


@pytest.mark.parametrize("n", range(1, 101))
def test_two_quorums_share_an_honest_validator_and_honest_ones_alone_are_a_quorum(n):
    faulty, enough = justification.f(n), quorum(n)
    assert enough == (n + faulty) // 2 + 1, "the paper writes it so"
    assert 2 * enough - n > faulty
    assert n - faulty >= enough
    assert 2 * (enough - 1) - n <= faulty, "a smaller one would do"


@pytest.mark.parametrize(("place", "turn"), LEADERS)
def test_leaders(place, turn):
    assert leader(*place) == turn


@pytest.mark.parametrize(("situation", "target"), JUMPS)
def test_jumps(situation, target):
    n, round_, others = situation
    assert jump_target(others, round_, n) == target


@pytest.mark.parametrize(("claims", "highest"), HIGHEST)
def test_highest_prepared(claims, highest):
    changes = [
        RoundChange(1, 9, *(claim if claim is not None else (None, None)), signer)
        for signer, claim in enumerate(claims)
    ]
    assert HighestPrepared(changes) == set(highest)


@pytest.mark.parametrize(("n", "text"), JUSTIFIED)
def test_justification(n, text):
    assert JustifyPrePrepare(proposal(text, n), n) is JUSTIFIED[n, text]


@pytest.mark.parametrize("name", STORIES)
def test_stories(name):
    n, me, script = STORIES[name]
    tell(script, SpecTeller(State(n, me, 1)), n)
