"""Named policies: from genesis, changed by governance, and never into what nobody can satisfy."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.codes import ARGUMENTS_INVALID, LOCK_INVALID, Refusal
from contracts.governance import contract as governance
from contracts.governance.policies import (
    POLICY_UNKNOWN,
    check_policy,
    find_policy,
    keys_of,
    policy,
    satisfied_by,
)
from contracts.interface import EndContext
from ledger.errors import InvalidGenesis, NotFound
from ledger.genesis import PolicyDoc
from ledger.lock import parse_lock
from tests.contracts.bench import ALICE, AUTHORITY, BOB, CAROL, STRANGER, Bench, key_of, lock, make_genesis
from tests.contracts.governance.kit import GOVERNORS, governed_bench, set_policy

A, B, C, X = (lock(key) for key in (ALICE, BOB, CAROL, STRANGER))


@pytest.fixture
def bench() -> Bench:
    return governed_bench(officers=f"threshold(2,{A},{B},{X})")


def context(bench: Bench, address: str = "accounts") -> EndContext:
    execution = bench.execution()
    return EndContext(execution.block, address, execution.overlay, execution)


def test_any_contract_reads_a_policy_when_genesis_names_it(bench: Bench) -> None:
    assert str(policy(context(bench), "officers")) == f"threshold(2,{A},{B},{X})"
    assert str(policy(context(bench), "governors")) == GOVERNORS
    assert bench.view("governance", "policy", "officers").lock == f"threshold(2,{A},{B},{X})"


def test_policy_is_refused_when_the_chain_has_none_of_that_name(bench: Bench) -> None:
    for chain in (bench, Bench()):
        assert find_policy(context(chain), "authorities") is None
        with pytest.raises(Refusal) as caught:
            policy(context(chain), "authorities")
        assert caught.value.code == POLICY_UNKNOWN
    with pytest.raises(NotFound):
        bench.view("governance", "policy", "authorities")


def test_policies_show_page_by_page_when_there_are_several(bench: Bench) -> None:
    assert set_policy(bench, "a", A) == "ok"
    assert [record.name for record in bench.view("governance", "policies", "", 2).policies] == ["a", "governors"]
    assert [record.name for record in bench.view("governance", "policies", "governors", 9).policies] == ["officers"]


def test_policy_holds_at_once_when_governance_sets_it(bench: Bench) -> None:
    assert set_policy(bench, "supervision.authorities", f"any({A},{X})") == "ok"
    assert keys_of(policy(context(bench), "supervision.authorities")) == tuple(sorted((ALICE.public, STRANGER.public)))
    assert set_policy(bench, "supervision.authorities", X) == "ok"
    assert keys_of(policy(context(bench), "supervision.authorities")) == (STRANGER.public,)
    assert set_policy(bench, "supervision.authorities", "") == "ok"
    assert find_policy(context(bench), "supervision.authorities") is None
    assert set_policy(bench, "supervision.authorities", "") == POLICY_UNKNOWN


@pytest.mark.parametrize(
    "text",
    [
        "account(shop)",
        "contract(assets)",
        "after(1)",
        f"hash({'0' * 64})",
        f"any({A},after(1))",
        f"all({A},account(shop))",
        "nonsense",
        f"any({A}, {B})",
        f"threshold(3,{A},{B})",
        # The same key under two names counts for one person, and must not make two of three.
        f"threshold(2,{A},any({A},{B}),{C})",
    ],
)
def test_policy_is_refused_when_it_is_no_plain_lock_of_distinct_keys(bench: Bench, text: str) -> None:
    before = bench.view("governance", "policies", "", 100)
    assert set_policy(bench, "officers", text * 9) in (LOCK_INVALID, ARGUMENTS_INVALID)
    assert set_policy(bench, "officers", text) == LOCK_INVALID
    assert set_policy(bench, "governors", text) == LOCK_INVALID
    assert bench.view("governance", "policies", "", 100) == before


@pytest.mark.parametrize("name", [" officers", "off(icers", "n\x00", "ö" * 33])
def test_policy_is_refused_when_its_name_is_bad(bench: Bench, name: str) -> None:
    assert set_policy(bench, name, A) == "governance_name_invalid"


def test_governors_stay_when_their_policy_would_go_or_be_unsatisfiable(bench: Bench) -> None:
    assert set_policy(bench, "governors", "") == governance.POLICY_NEEDED
    for text in (X, f"all({A},{X})", f"threshold(2,{A},{X},{lock(key_of('also nobody'))})"):
        assert set_policy(bench, "governors", text) == governance.UNSATISFIABLE
    assert str(policy(context(bench), "governors")) == GOVERNORS
    assert set_policy(bench, "governors", f"threshold(2,{A},{B},{X})") == "ok"


def test_unadmitted_governors_stay_possible_when_they_govern_already() -> None:
    bench = governed_bench(f"any({A},{lock(AUTHORITY)})")
    assert set_policy(bench, "governors", f"all({B},{lock(AUTHORITY)})", ALICE) == "ok"
    assert set_policy(bench, "governors", A, ALICE) == governance.NOT_GOVERNOR
    assert set_policy(bench, "governors", A, BOB, AUTHORITY) == "ok"


def test_policies_are_bounded_when_governance_adds_more(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(governance, "MAX_POLICIES", 3)
    assert set_policy(bench, "one", A) == "ok"
    assert set_policy(bench, "two", A) == governance.TOO_MANY_POLICIES
    assert set_policy(bench, "one", B) == "ok"


def test_governors_alone_change_policies_when_an_officer_tries(bench: Bench) -> None:
    assert set_policy(bench, "officers", X, ALICE) == "ok"  # proposed, by one alone: nothing has happened
    assert str(policy(context(bench), "officers")) == f"threshold(2,{A},{B},{X})"


@pytest.mark.parametrize(
    "docs",
    [
        [("officers", "after(1)")],
        [("officers", f"threshold(2,{A},all({A},{B}))")],
        [("governors", "account(shop)")],
        [("n" * 65, A)],
        [(f"p{number}", A) for number in range(64)],
    ],
    ids=lambda docs: docs[0][0][:12],
)
def test_no_chain_begins_when_its_policies_are_bad(docs: list[tuple[str, str]]) -> None:
    kinds = governed_bench().genesis.contracts
    policies = tuple(PolicyDoc(name=name, lock=text) for name, text in docs)
    with pytest.raises(InvalidGenesis):
        Bench(genesis=make_genesis(contracts=kinds, policies=policies))


@given(st.integers(1, 4), st.sets(st.integers(0, 5)))
def test_threshold_is_satisfied_exactly_when_that_many_of_its_own_keys_are_there(
    needed: int, signing: set[int]
) -> None:
    keys = [key_of(f"signer {number}") for number in range(6)]
    found = parse_lock(f"threshold({needed},{','.join(lock(key) for key in keys[:4])})")
    signers = {keys[number].public for number in signing}
    assert satisfied_by(found, signers) == (len(signing & set(range(4))) >= needed)


def test_nested_policy_is_satisfied_by_the_right_keys_only() -> None:
    found = check_policy(f"any({A},all({B},{C}))")
    assert satisfied_by(found, {ALICE.public})
    assert satisfied_by(found, [BOB.public, CAROL.public])
    assert not satisfied_by(found, {BOB.public})
    assert not satisfied_by(found, ())
    assert not satisfied_by(parse_lock("after(1)"), {ALICE.public})
    assert keys_of(found) == tuple(sorted(key.public for key in (ALICE, BOB, CAROL)))
