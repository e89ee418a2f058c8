"""Parameters by governance: from when they hold, and what they may not become."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import asdict

from contracts.codes import ARGUMENTS_INVALID
from contracts.governance import parameters
from contracts.governance.parameters import (
    CHANGEABLE,
    SET_PARAMETERS,
    ParameterValue,
    SetParameters,
    in_force,
    parameters_at,
    record_codec,
)
from ledger.genesis import PARAMETER_BOUNDS, Parameters
from ledger.state import StoredState
from ledger.store_memory import MemoryStore
from tests.contracts.bench import ALICE, STRANGER
from tests.contracts.validators.changing import Changing

FIXED = ("expiry_window", "checkpoint_interval")


@pytest.fixture
def chain() -> Changing:
    return Changing(first=1)


def proposal(chain: Changing, **values: int):  # type: ignore[no-untyped-def]
    order = SetParameters(tuple(ParameterValue(name, value) for name, value in values.items()))
    return chain.propose("governance", SET_PARAMETERS, order)


def at(chain: Changing, height: int) -> Parameters:
    return in_force(chain.genesis.parameters, parameters_at(chain.state, "governance", height))


def test_genesis_parameters_hold_until_something_is_decided(chain: Changing) -> None:
    assert [at(chain, height) for height in (1, 2, 1_000)] == [chain.genesis.parameters] * 3


def test_parameters_hold_two_heights_above_the_block_that_decides_them(chain: Changing) -> None:
    before = chain.genesis.parameters
    chain.skip(3)
    receipt = chain.block(proposal(chain, base_timeout_ms=700, max_block_bytes=300_000))[0]
    assert receipt.code == "ok"
    height = chain.height
    assert [at(chain, height), at(chain, height + 1)] == [before, before]
    after = at(chain, height + 2)
    assert asdict(after) == {**asdict(before), "base_timeout_ms": 700, "max_block_bytes": 300_000}
    (event,) = [event for event in receipt.events if event.name == "parameters_decided"]
    assert record_codec.decode(event.data).start == height + 2


def test_changes_of_one_block_and_of_the_next_add_up(chain: Changing) -> None:
    receipts = chain.block(proposal(chain, package_ms=5), proposal(chain, package_transactions=9, package_ms=6))
    assert [receipt.code for receipt in receipts[:2]] == ["ok", "ok"]
    assert chain.code(proposal(chain, base_timeout_ms=500)) == "ok"
    top = chain.height
    found = [(p.package_ms, p.package_transactions, p.base_timeout_ms) for p in (at(chain, top + n) for n in range(3))]
    assert found == [(0, 1, 1_000), (6, 9, 1_000), (6, 9, 500)]


def test_history_stays_readable(chain: Changing) -> None:
    for number in range(4):
        assert chain.code(proposal(chain, empty_block_ms=1_000 + number)) == "ok"
    shown = [chain.view("governance", "parameters", height).empty_block_ms for height in range(1, chain.height + 3)]
    assert shown == [10_000, 10_000, 1_000, 1_001, 1_002, 1_003]
    assert chain.view("governance", "parameters", 0).empty_block_ms == 1_002


@pytest.mark.parametrize("name", CHANGEABLE)
def test_parameter_keeps_within_the_bounds_of_genesis_files(chain: Changing, name: str) -> None:
    low, high = PARAMETER_BOUNDS[name]
    # The two timeouts bound each other: both go together here.
    others = {"max_timeout_ms": 3_600_000} if name == "base_timeout_ms" else {}
    others = {"base_timeout_ms": 50} if name == "max_timeout_ms" else others
    for value in (low, high):
        assert chain.code(proposal(chain, **{**others, name: value})) == "ok"
    for value in (low - 1, high + 1):
        if value >= 0:
            assert chain.code(proposal(chain, **{**others, name: value})) == parameters.PARAMETER_INVALID
    assert getattr(at(chain, chain.height + 2), name) == high


def test_longest_timeout_stays_above_the_first(chain: Changing) -> None:
    assert chain.code(proposal(chain, max_timeout_ms=999)) == parameters.PARAMETER_INVALID
    assert chain.code(proposal(chain, max_timeout_ms=999, base_timeout_ms=999)) == "ok"
    assert chain.code(proposal(chain, base_timeout_ms=1_000)) == parameters.PARAMETER_INVALID


@pytest.mark.parametrize("name", [*FIXED, "start", "colour"])
def test_what_is_fixed_for_ever_or_unknown_is_refused(chain: Changing, name: str) -> None:
    assert chain.code(proposal(chain, **{name: 100})) == parameters.PARAMETER_UNKNOWN


def test_order_is_refused_when_it_says_nothing_or_something_twice(chain: Changing) -> None:
    assert chain.code(proposal(chain)) == ARGUMENTS_INVALID
    twice = SetParameters((ParameterValue("package_ms", 1), ParameterValue("package_ms", 2)))
    assert chain.code(chain.propose("governance", SET_PARAMETERS, twice)) == parameters.PARAMETER_REPEATED
    assert at(chain, chain.height + 2) == chain.genesis.parameters


def test_nothing_changes_when_too_few_governors_sign(chain: Changing) -> None:
    order = SetParameters((ParameterValue("package_ms", 1),))
    assert chain.code(chain.propose("governance", SET_PARAMETERS, order, ALICE)) == "ok"
    assert chain.code(chain.propose("governance", SET_PARAMETERS, order, STRANGER)) == "sender_not_admitted"
    assert at(chain, chain.height + 2) == chain.genesis.parameters


def test_state_without_governance_has_no_parameters_of_its_own() -> None:
    assert parameters_at(StoredState(MemoryStore()), "governance", 5) is None
    assert in_force(Parameters(package_ms=7), None) == Parameters(package_ms=7)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.lists(st.tuples(st.sampled_from(CHANGEABLE), st.integers(0, 70_000)), max_size=2), max_size=6))
def test_parameters_of_every_height_follow_a_model(history: list[list[tuple[str, int]]]) -> None:
    chain = Changing(first=1)
    model = [chain.genesis.parameters] * 3
    for wanted in history:
        receipts = chain.block(*(proposal(chain, **{name: value}) for name, value in wanted))
        model.append(model[-1])
        for (name, value), receipt in zip(wanted, receipts, strict=False):
            if receipt.code == "ok":
                model[-1] = type(model[-1])(**{**asdict(model[-1]), name: value})
            else:
                assert receipt.code == parameters.PARAMETER_INVALID
        assert [at(chain, height) for height in range(1, chain.height + 3)] == model[1:]
        assert all(low <= getattr(model[-1], name) <= high for name, (low, high) in PARAMETER_BOUNDS.items())
