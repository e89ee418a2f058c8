"""Proposals: k of n, and all the ways to be fewer."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contracts.codes import ARGUMENTS_INVALID, CONTRACT_UNKNOWN, METHOD_UNKNOWN, SENDER_NOT_ADMITTED
from contracts.governance import contract as governance
from contracts.governance.calls import EXECUTED, EXPIRED, PENDING, WITHDRAWN, Propose
from contracts.governance.contract import proposal_id
from ledger.errors import NotFound
from ledger.keys import SigningKey
from tests.contracts.bench import ALICE, AUTHORITY, BOB, CAROL, ISSUER, STRANGER, Bench, call, lock
from tests.contracts.governance.kit import (
    Word,
    approve,
    decide,
    encode,
    governed_bench,
    outcome,
    propose,
    proposed,
    say,
    set_policy,
    withdraw,
    word_of,
)

GOVERNORS = (ALICE, BOB, CAROL)


@pytest.fixture
def bench() -> Bench:
    return governed_bench()


def status(bench: Bench, proposal: bytes) -> str:
    return bench.view("governance", "proposal", proposal).status


# --- enough -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("pair", [(ALICE, BOB), (BOB, CAROL), (CAROL, ALICE)])
def test_proposal_takes_effect_when_the_second_governor_approves(
    bench: Bench, pair: tuple[SigningKey, SigningKey]
) -> None:
    name = proposed(bench, say(bench, "yes", pair[0]))
    assert (status(bench, name), word_of(bench)) == (PENDING, None)
    receipt = bench.block(approve(bench, name, pair[1]))[0]
    assert outcome(receipt).status == EXECUTED
    assert [event.name for event in receipt.events] == ["executed", "heard"]
    assert (status(bench, name), word_of(bench)) == (EXECUTED, "yes")
    assert bench.view("governance", "proposal", name).approvals == tuple(sorted(key.public for key in pair))


def test_proposal_takes_effect_at_once_when_enough_governors_sign_it(bench: Bench) -> None:
    assert outcome(bench.block(say(bench, "yes", ALICE, CAROL))[0]).status == EXECUTED
    assert word_of(bench) == "yes"


def test_governor_counts_when_it_signs_what_another_member_sends(bench: Bench) -> None:
    name = proposed(bench, say(bench, "yes", ISSUER, ALICE))
    assert outcome(bench.block(approve(bench, name, ISSUER, BOB))[0]).status == EXECUTED


def test_admission_authority_governs_when_the_genesis_file_names_no_governors() -> None:
    bench = governed_bench(governors="")
    assert bench.code(say(bench, "yes", ALICE)) == governance.NOT_GOVERNOR
    assert outcome(bench.block(say(bench, "yes", ALICE, AUTHORITY))[0]).status == EXECUTED


# --- too few ----------------------------------------------------------------------------------------------------------


def test_nothing_happens_when_one_governor_alone_approves_twice(bench: Bench) -> None:
    name = proposed(bench, say(bench, "yes", ALICE))
    assert bench.code(approve(bench, name, ALICE)) == governance.ALREADY_APPROVED
    assert bench.code(approve(bench, name, ALICE)) == governance.ALREADY_APPROVED
    assert (status(bench, name), word_of(bench)) == (PENDING, None)


def test_nothing_happens_when_one_transaction_calls_approve_many_times(bench: Bench) -> None:
    name = proposed(bench, say(bench, "yes", ALICE))
    calls = [call("governance", "approve", name)] * 3
    assert bench.code(bench.make(calls=calls, sender=ALICE)) == governance.ALREADY_APPROVED
    assert word_of(bench) is None


@pytest.mark.parametrize("outsider", [ISSUER, STRANGER])
def test_outsider_is_refused_when_it_proposes_approves_or_withdraws(bench: Bench, outsider: SigningKey) -> None:
    expected = SENDER_NOT_ADMITTED if outsider is STRANGER else governance.NOT_GOVERNOR
    name = proposed(bench, say(bench, "yes", ALICE))
    assert bench.code(say(bench, "yes", outsider)) == expected
    assert bench.code(approve(bench, name, outsider)) == expected
    refused = bench.code(withdraw(bench, name, outsider))
    assert refused == (SENDER_NOT_ADMITTED if outsider is STRANGER else governance.NOT_APPROVED)
    assert (status(bench, name), word_of(bench)) == (PENDING, None)


def test_outsiders_signature_adds_nothing_when_it_stands_beside_a_governors(bench: Bench) -> None:
    assert bench.code(say(bench, "yes", ALICE, ISSUER)) == "signature_superfluous"
    assert word_of(bench) is None


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.booleans(), st.sampled_from(GOVERNORS)), max_size=8))
def test_proposal_is_executed_exactly_when_two_distinct_governors_approve_at_a_time(
    steps: list[tuple[bool, SigningKey]],
) -> None:
    bench = governed_bench()
    name = proposed(bench, say(bench, "yes", ALICE))
    approving, done = {ALICE}, False
    for add, key in steps:
        receipt = bench.block((approve if add else withdraw)(bench, name, key))[0]
        possible = not done and bool(approving) and (key in approving) != add
        assert (receipt.code == "ok") == possible
        if possible:
            approving ^= {key}
        done = done or len(approving) >= 2
        assert (word_of(bench) == "yes") == done
    assert status(bench, name) == (EXECUTED if done else PENDING if approving else WITHDRAWN)


# --- after the end ----------------------------------------------------------------------------------------------------


def test_proposal_is_executed_once_when_a_third_governor_approves_later(bench: Bench) -> None:
    name = proposed(bench, say(bench, "first", ALICE, BOB))
    assert bench.code(say(bench, "second", ALICE, BOB)) == "ok"
    assert bench.code(approve(bench, name, CAROL)) == governance.PROPOSAL_CLOSED
    assert bench.code(withdraw(bench, name, ALICE)) == governance.PROPOSAL_CLOSED
    assert word_of(bench) == "second"


def test_proposal_finds_itself_closed_when_what_it_does_approves_it_again(bench: Bench) -> None:
    assert decide(bench, "box", "say", Word("again")).code == governance.PROPOSAL_CLOSED
    assert word_of(bench) is None


def test_proposal_is_gone_when_its_only_approval_is_withdrawn(bench: Bench) -> None:
    name = proposed(bench, say(bench, "yes", ALICE))
    assert outcome(bench.block(withdraw(bench, name, ALICE))[0]).status == WITHDRAWN
    assert bench.code(approve(bench, name, BOB)) == governance.PROPOSAL_CLOSED
    assert bench.view("governance", "proposals", 0, 10, True).proposals == ()


def test_withdrawn_approval_does_not_count_when_another_comes() -> None:
    bench = governed_bench(f"threshold(3,{lock(ALICE)},{lock(BOB)},{lock(CAROL)})")
    name = proposed(bench, say(bench, "yes", ALICE, BOB))
    assert outcome(bench.block(withdraw(bench, name, ALICE))[0]).approvals == (BOB.public,)
    assert outcome(bench.block(approve(bench, name, CAROL))[0]).status == PENDING
    assert outcome(bench.block(approve(bench, name, ALICE))[0]).status == EXECUTED


def test_proposal_can_no_longer_be_approved_when_it_has_expired(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(governance, "PROPOSAL_LIFETIME_BLOCKS", 3)
    early, late = (proposed(bench, say(bench, text, ALICE)) for text in ("early", "late"))
    bench.block()
    assert outcome(bench.block(approve(bench, early, BOB))[0]).status == EXECUTED
    bench.block()
    assert status(bench, late) == EXPIRED
    assert bench.code(approve(bench, late, BOB)) == governance.PROPOSAL_EXPIRED
    assert bench.code(withdraw(bench, late, ALICE)) == governance.PROPOSAL_EXPIRED
    assert bench.view("governance", "proposals", 0, 10, True).proposals == ()
    assert word_of(bench) == "early"


def test_pending_proposals_are_bounded_and_expired_ones_make_room(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(governance, "MAX_PENDING", 3)
    monkeypatch.setattr(governance, "PROPOSAL_LIFETIME_BLOCKS", 6)
    names = [proposed(bench, say(bench, "yes", ALICE)) for _ in range(3)]
    assert bench.code(say(bench, "yes", BOB)) == governance.TOO_MANY_PENDING
    assert bench.code(withdraw(bench, names[1], ALICE)) == "ok"
    assert bench.code(say(bench, "yes", BOB)) == "ok"
    assert bench.code(say(bench, "yes", CAROL)) == governance.TOO_MANY_PENDING
    bench.block()
    assert bench.code(say(bench, "yes", CAROL)) == "ok"


# --- actions that refuse ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "code"),
    [(Word("no"), "box_refused"), (b"\xc1", ARGUMENTS_INVALID), (b"", ARGUMENTS_INVALID)],
)
def test_approval_is_undone_when_the_action_refuses(bench: Bench, data: Word | bytes, code: str) -> None:
    name = proposed(bench, propose(bench, "box", "say", data, ALICE))
    assert bench.code(approve(bench, name, BOB)) == code
    found = bench.view("governance", "proposal", name)
    assert (found.status, found.approvals, word_of(bench)) == (PENDING, (ALICE.public,), None)
    assert bench.code(withdraw(bench, name, ALICE)) == "ok"


@pytest.mark.parametrize("contract", ["accounts", "governance"])
def test_action_is_refused_when_the_contract_does_not_know_it(bench: Bench, contract: str) -> None:
    assert decide(bench, contract, "explode", b"").code == METHOD_UNKNOWN


def test_proposal_is_refused_when_there_is_no_such_contract_or_proposal(bench: Bench) -> None:
    for governors in ((ALICE,), (ALICE, BOB)):
        assert decide(bench, "nowhere", "say", b"", *governors).code == CONTRACT_UNKNOWN
    assert bench.code(approve(bench, bytes(32), ALICE)) == governance.PROPOSAL_UNKNOWN
    with pytest.raises(NotFound):
        bench.view("governance", "proposal", bytes(32))


def test_govern_cannot_be_called_when_nobody_approved(bench: Bench) -> None:
    calls = [call("box", "govern", "say", encode(Word("yes")))]
    assert bench.code(bench.make(calls=calls)) == METHOD_UNKNOWN


# --- what people see --------------------------------------------------------------------------------------------------


def test_id_names_the_content_when_two_proposals_differ_in_anything(bench: Bench) -> None:
    chain = bench.genesis.chain_id
    content = Propose("box", "say", encode(Word("yes")), "why")
    name = proposed(bench, propose(bench, "box", "say", content.data, ALICE, words="why"))
    assert name == proposal_id(chain, 1, content)
    others = [
        Propose("bix", "say", content.data, "why"),
        Propose("box", "sai", content.data, "why"),
        Propose("box", "say", b"", "why"),
        Propose("box", "say", content.data, "whi"),
    ]
    ids = {name, proposal_id(chain, 2, content), proposal_id(bytes(32), 1, content)}
    assert len(ids | {proposal_id(chain, 1, other) for other in others}) == 7


def test_pages_of_proposals_join_when_read_one_by_one(bench: Bench) -> None:
    names = [proposed(bench, say(bench, text, ALICE)) for text in "abcde"]
    bench.block(approve(bench, names[2], BOB))
    found, after = [], 0
    while page := bench.view("governance", "proposals", after, 2, False).proposals:
        found += [item.proposal for item in page]
        after = page[-1].number
    assert found == names
    pending = bench.view("governance", "proposals", 0, 100, True).proposals
    assert [item.proposal for item in pending] == [name for name in names if name != names[2]]


def test_approvals_of_former_governors_do_not_count_when_the_policy_changes(bench: Bench) -> None:
    name = proposed(bench, say(bench, "yes", ALICE))
    assert set_policy(bench, "governors", f"all({lock(BOB)},{lock(CAROL)})", BOB, CAROL) == "ok"
    receipt = bench.block(approve(bench, name, BOB))[0]
    assert (outcome(receipt).status, outcome(receipt).approvals) == (PENDING, (BOB.public,))
    assert bench.code(approve(bench, name, ALICE)) == governance.NOT_GOVERNOR
    assert outcome(bench.block(approve(bench, name, CAROL))[0]).status == EXECUTED


def test_proposal_takes_effect_when_its_approvals_are_enough_under_a_new_policy(bench: Bench) -> None:
    name = proposed(bench, say(bench, "yes", ALICE))
    assert set_policy(bench, "governors", lock(ALICE), BOB, CAROL) == "ok"
    assert word_of(bench) is None
    assert outcome(bench.block(approve(bench, name, ALICE))[0]).status == EXECUTED
