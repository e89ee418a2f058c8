"""Contracts ``accounts`` and ``admission``: names, their locks, and who belongs to which organisation."""

from __future__ import annotations

import pytest

from contracts import codes
from contracts.admission import all_certificates, find_member
from ledger.errors import NotFound
from ledger.transaction import Output
from tests.contracts.bench import (
    ADMITTED,
    ALICE,
    BOB,
    CAROL,
    CNY,
    EARLY,
    EARLY_FROM_MS,
    LATE,
    LATE_UNTIL_MS,
    START_MS,
    STRANGER,
    SUPPLY,
    VALIDATOR,
    Bench,
    call,
    lock,
)


@pytest.fixture
def bench() -> Bench:
    return Bench()


def open_account(bench: Bench, name: object, text: object, sender: object = ALICE) -> str:
    return bench.code(bench.make(calls=[call("accounts", "open", name, text)], sender=sender))


# --- accounts ---------------------------------------------------------------------------------------------------------


def test_account_belongs_to_the_senders_organisation_when_it_is_opened(bench: Bench) -> None:
    text = f"any({lock(BOB)},{lock(CAROL)})"
    assert open_account(bench, "Kasse 1 – Zürich", text) == "ok"
    record = bench.view("accounts", "account", "Kasse 1 – Zürich")
    assert (record.name, record.organisation, record.lock) == ("Kasse 1 – Zürich", "alice", text)


def test_output_on_an_account_opens_by_the_lock_it_was_opened_with(bench: Bench) -> None:
    assert open_account(bench, "till", lock(CAROL)) == "ok"
    paid = bench.pay(0, to="account(till)")
    assert bench.code(paid) == "ok"
    outputs = [Output(CNY, SUPPLY, lock(BOB))]
    assert bench.code(bench.make([paid.tx_id + bytes(4)], outputs)) == codes.LOCK_UNSATISFIED
    assert bench.code(bench.make([paid.tx_id + bytes(4)], outputs, sender=CAROL)) == "ok"


@pytest.mark.parametrize("name", ["shop", "both"])
def test_account_keeps_its_lock_when_somebody_opens_it_again(bench: Bench, name: str) -> None:
    before = bench.view("accounts", "account", name)
    assert open_account(bench, name, lock(ALICE)) == "account_exists"
    assert bench.view("accounts", "account", name) == before


def test_second_account_of_a_name_is_refused_when_both_are_in_one_block(bench: Bench) -> None:
    first = bench.make(calls=[call("accounts", "open", "till", lock(ALICE))])
    second = bench.make(calls=[call("accounts", "open", "till", lock(BOB))], sender=BOB)
    assert [receipt.code for receipt in bench.block(first, second)[:2]] == ["ok", "account_exists"]
    assert bench.view("accounts", "account", "till").organisation == "alice"


@pytest.mark.parametrize(
    ("name", "text", "code"),
    [
        ("till", "account(shop)", codes.LOCK_INVALID),
        ("till", f"all({lock(ALICE)},account(shop))", codes.LOCK_INVALID),
        ("till", f"any({lock(ALICE)},any(after(1),account(till)))", codes.LOCK_INVALID),
        ("till", "contract(assets)", codes.CONTRACT_UNKNOWN),
        ("till", "nonsense", codes.LOCK_INVALID),
        ("till", f"any({lock(ALICE)}, {lock(BOB)})", codes.LOCK_INVALID),
        ("till", "", codes.ARGUMENTS_INVALID),
        ("till", "x" * 2_049, codes.ARGUMENTS_INVALID),
        ("", "after(1)", codes.ARGUMENTS_INVALID),
        ("n" * 129, "after(1)", codes.ARGUMENTS_INVALID),
        ("é" * 65, "after(1)", "account_name_invalid"),
        (" till", "after(1)", "account_name_invalid"),
        ("till)", "after(1)", "account_name_invalid"),
        ("ti\u0000ll", "after(1)", "account_name_invalid"),
        ("ti\u202ell", "after(1)", "account_name_invalid"),
        ("e\u0301", "after(1)", "account_name_invalid"),
        ("till", 5, codes.ARGUMENTS_INVALID),
        ("n" * 128, f"all(after(1),hash({'0' * 64}))", "ok"),
    ],
)
def test_account_is_refused_when_name_or_lock_is_bad(bench: Bench, name: str, text: object, code: str) -> None:
    before = bench.view("accounts", "accounts", "", 200)
    assert open_account(bench, name, text) == code
    assert (bench.view("accounts", "accounts", "", 200) == before) == (code != "ok")


def test_account_is_refused_when_the_sender_is_not_admitted(bench: Bench) -> None:
    assert open_account(bench, "till", lock(STRANGER), STRANGER) == codes.SENDER_NOT_ADMITTED


def test_pages_of_accounts_join_without_gap_or_repetition_when_read_one_by_one(bench: Bench) -> None:
    names = {"both", "shop"}
    for name in ("a", "aa", "ab", "z", "ä"):
        open_account(bench, name, "after(1)")
        names.add(name)
    found: list[str] = []
    while page := bench.view("accounts", "accounts", found[-1] if found else "", 2).accounts:
        found += [record.name for record in page]
    assert found == sorted(names, key=str.encode)


def test_view_says_not_found_when_there_is_no_such_account(bench: Bench) -> None:
    with pytest.raises(NotFound):
        bench.view("accounts", "account", "nobody")


# --- admission --------------------------------------------------------------------------------------------------------


def test_every_certificate_of_the_genesis_file_shows_when_asked_for(bench: Bench) -> None:
    record = bench.view("admission", "certificate", ALICE.public)
    assert (record.organisation, record.roles, record.serial) == ("alice", ("member",), 2)
    serials = [certificate.serial for certificate in bench.view("admission", "certificates", 0, 200).certificates]
    assert serials == [1, *range(2, 2 + len(ADMITTED)), 90, 91]
    assert {c.serial for c in all_certificates(bench.state, "admission")} == set(serials)
    page = bench.view("admission", "certificates", 2, 2).certificates
    assert [certificate.serial for certificate in page] == [3, 4]
    assert bench.view("admission", "certificates", 2**53 - 1, 2).certificates == ()
    with pytest.raises(NotFound):
        bench.view("admission", "certificate", STRANGER.public)


@pytest.mark.parametrize(
    ("key", "time_ms", "member"),
    [
        (ALICE, START_MS, "alice"),
        (VALIDATOR, START_MS, "validator"),
        (STRANGER, START_MS, None),
        (EARLY, EARLY_FROM_MS - 1, None),
        (EARLY, EARLY_FROM_MS, "early"),
        (LATE, LATE_UNTIL_MS, "late"),
        (LATE, LATE_UNTIL_MS + 1, None),
    ],
)
def test_key_has_an_organisation_only_when_its_certificate_is_valid(
    bench: Bench, key: object, time_ms: int, member: str | None
) -> None:
    found = find_member(bench.state, "admission", key.public, time_ms)
    assert (None if found is None else found.organisation) == member
    assert bench.execution(time_ms).member(key.public) == found


def test_nobody_is_admitted_when_another_contract_is_asked(bench: Bench) -> None:
    assert find_member(bench.state, "accounts", ALICE.public, START_MS) is None
