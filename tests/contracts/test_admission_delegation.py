"""Patients that a platform admits itself, as far as governance lets it (PROTOCOL.md 2.4)."""

from __future__ import annotations

import pytest

from contracts.admission import contract as admission
from contracts.admission.calls import MAX_PATIENTS_PER_CALL, PatientsAdmitted
from contracts.codes import ARGUMENTS_INVALID, NOT_PERMITTED
from ledger.admission import FIRST_DELEGATED_SERIAL
from ledger.block import Receipt
from ledger.encoding import Codec
from ledger.errors import NotFound
from ledger.keys import SigningKey
from tests.contracts.admission_kit import FAR, NEW, admit, certificate, organisation, revoke, serials
from tests.contracts.bench import (
    ALICE,
    BOB,
    LATE,
    START_MS,
    VALIDATOR,
    Bench,
    call,
    key_of,
)
from tests.contracts.governance.kit import delegate, governed_bench

PATIENT = key_of("patient")


@pytest.fixture
def bench() -> Bench:
    return governed_bench()


def patients(
    bench: Bench, *keys: SigningKey | bytes, by: SigningKey = ALICE, until: int = FAR, at: int | None = None
) -> Receipt:
    raw = [key.public if isinstance(key, SigningKey) else key for key in keys]
    return bench.block(bench.make(calls=[call("admission", "admit_patient", raw, until)], sender=by), time_ms=at)[0]


def counts(receipt: Receipt) -> tuple[int, int]:
    assert receipt.code == "ok", receipt.code
    found = Codec(PatientsAdmitted, 100).decode(receipt.results[0])
    return found.admitted, found.skipped


def many(count: int, first: int = 0) -> list[SigningKey]:
    return [key_of(f"patient {number}") for number in range(first, first + count)]


def test_patients_are_of_the_platform_when_it_admits_them(bench: Bench) -> None:
    assert delegate(bench, "alice", 100, FAR) == "ok"
    keys = many(MAX_PATIENTS_PER_CALL)
    receipt = patients(bench, *keys, until=FAR - 1)
    assert counts(receipt) == (64, 0)
    assert [event.name for event in receipt.events] == ["patients_admitted"]
    for key in keys:
        found = bench.view("admission", "certificate", key.public)
        assert (found.organisation, found.roles, found.transport) == ("alice", ("patient",), b"")
        assert (found.not_before_ms, found.not_after_ms) == (START_MS + 2, FAR - 1)
        assert found.serial >= FIRST_DELEGATED_SERIAL
    assert serials(bench)[-64:] == list(range(FIRST_DELEGATED_SERIAL, FIRST_DELEGATED_SERIAL + 64))
    assert bench.view("admission", "delegation", "alice").used == 64


def test_import_goes_on_where_it_stopped_when_it_is_run_again(bench: Bench) -> None:
    delegate(bench, "alice", 10, FAR)
    assert counts(patients(bench, *many(6))) == (6, 0)
    before = [bench.view("admission", "certificate", key.public) for key in many(6)]
    assert counts(patients(bench, *many(10))) == (4, 6)
    assert counts(patients(bench, *many(10))) == (0, 10)
    assert [bench.view("admission", "certificate", key.public) for key in many(6)] == before
    assert bench.view("admission", "delegation", "alice").used == 10


def test_key_counts_once_when_a_call_names_it_twice(bench: Bench) -> None:
    delegate(bench, "alice", 1, FAR)
    assert counts(patients(bench, PATIENT, PATIENT)) == (1, 1)


def test_quota_is_kept_when_several_calls_use_it(bench: Bench) -> None:
    delegate(bench, "alice", 5, FAR)
    assert counts(patients(bench, *many(5))) == (5, 0)
    assert patients(bench, PATIENT).code == admission.QUOTA_EXHAUSTED
    assert organisation(bench, PATIENT) is None
    assert delegate(bench, "alice", 6, FAR) == "ok"
    assert counts(patients(bench, PATIENT)) == (1, 0)
    assert patients(bench, NEW).code == admission.QUOTA_EXHAUSTED
    assert delegate(bench, "alice", 0, FAR) == "ok"
    assert patients(bench, NEW).code == admission.QUOTA_EXHAUSTED


def test_call_changes_nothing_when_its_last_key_is_over_the_quota(bench: Bench) -> None:
    delegate(bench, "alice", 3, FAR)
    assert patients(bench, *many(4)).code == admission.QUOTA_EXHAUSTED
    assert all(organisation(bench, key) is None for key in many(4))
    assert bench.view("admission", "delegation", "alice").used == 0


def test_nobody_admits_patients_when_nothing_is_delegated_to_him(bench: Bench) -> None:
    delegate(bench, "alice", 10, START_MS + 50)
    assert patients(bench, PATIENT, by=BOB).code == admission.NOT_DELEGATED
    assert patients(bench, PATIENT, until=START_MS + 51).code == admission.VALIDITY_WRONG
    assert patients(bench, PATIENT, until=START_MS).code == admission.VALIDITY_WRONG
    assert patients(bench, PATIENT, until=START_MS + 51, at=START_MS + 51).code == admission.NOT_DELEGATED
    with pytest.raises(NotFound):
        bench.view("admission", "delegation", "bob")


def test_patient_admits_nobody_when_its_platform_may(bench: Bench) -> None:
    delegate(bench, "alice", 10, FAR)
    assert counts(patients(bench, PATIENT)) == (1, 0)
    assert patients(bench, NEW, by=PATIENT).code == NOT_PERMITTED


@pytest.mark.parametrize("taken", [BOB, VALIDATOR, LATE, ALICE])
def test_key_is_refused_as_a_patient_when_it_is_somebody_already(bench: Bench, taken: SigningKey) -> None:
    delegate(bench, "alice", 10, FAR)
    before = bench.view("admission", "certificate", taken.public)
    assert patients(bench, PATIENT, taken).code == admission.KEY_TAKEN
    assert bench.view("admission", "certificate", taken.public) == before
    assert organisation(bench, PATIENT) is None


def test_patient_of_one_platform_is_not_taken_by_another(bench: Bench) -> None:
    delegate(bench, "alice", 10, FAR)
    delegate(bench, "bob", 10, FAR)
    assert counts(patients(bench, PATIENT)) == (1, 0)
    assert patients(bench, PATIENT, by=BOB).code == admission.KEY_TAKEN
    assert organisation(bench, PATIENT, START_MS + 10) == "alice"


def test_patient_is_admitted_anew_without_quota_when_its_certificate_has_ended(bench: Bench) -> None:
    delegate(bench, "alice", 1, FAR)
    assert counts(patients(bench, PATIENT, until=START_MS + 100)) == (1, 0)
    assert counts(patients(bench, PATIENT, until=FAR)) == (0, 1)
    assert counts(patients(bench, PATIENT, until=FAR, at=START_MS + 101)) == (1, 0)
    assert organisation(bench, PATIENT, START_MS + 102) == "alice"
    assert bench.view("admission", "delegation", "alice").used == 1


def test_revoked_patient_stays_out_when_its_platform_admits_it_again(bench: Bench) -> None:
    delegate(bench, "alice", 10, FAR)
    assert counts(patients(bench, PATIENT)) == (1, 0)
    assert revoke(bench, PATIENT, 5) == admission.SERIAL_OUTDATED
    assert revoke(bench, PATIENT, FIRST_DELEGATED_SERIAL) == "ok"
    assert patients(bench, PATIENT).code == admission.KEY_REVOKED
    assert organisation(bench, PATIENT, START_MS + 10) is None


def test_authority_has_the_last_word_when_a_platform_took_a_key_as_its_patients(bench: Bench) -> None:
    delegate(bench, "alice", 10, FAR)
    assert counts(patients(bench, NEW)) == (1, 0)
    assert admit(bench, certificate(bench, 100)) == "ok"
    assert organisation(bench, NEW) == "new"
    assert patients(bench, NEW).code == admission.KEY_TAKEN


@pytest.mark.parametrize("roles", [("member",), ("member", "patient"), ("validator",), ("patient", "patient")])
def test_no_other_role_is_delegated_when_governance_asks_for_it(bench: Bench, roles: tuple[str, ...]) -> None:
    assert delegate(bench, "alice", 10, FAR, *roles) == admission.DELEGATION_INVALID
    assert patients(bench, PATIENT).code == admission.NOT_DELEGATED


@pytest.mark.parametrize("keys", [[], [b"\x01" * 32], [key.public for key in many(65)]], ids=len)
def test_call_is_refused_when_it_names_no_keys_or_too_many(bench: Bench, keys: list[bytes]) -> None:
    delegate(bench, "alice", 100, FAR)
    assert patients(bench, *keys).code == ARGUMENTS_INVALID


def test_call_is_refused_when_a_key_is_of_an_unknown_suite(bench: Bench) -> None:
    delegate(bench, "alice", 100, FAR)
    assert patients(bench, b"\x02" * 33).code == admission.KEY_INVALID
