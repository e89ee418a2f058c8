"""Certificates that come by transaction, are renewed, revoked, delegated; and what was signed, at a bad time."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contracts.admission import contract as admission
from contracts.admission.calls import SetAuthority
from contracts.codes import ARGUMENTS_INVALID, LOCK_INVALID, SENDER_NOT_ADMITTED
from ledger.admission import FIRST_DELEGATED_SERIAL, Revocation, sign_certificate, sign_revocation
from ledger.encoding import encode
from ledger.errors import InvalidGenesis, NotFound
from ledger.genesis import certificate_doc
from ledger.keys import SigningKey
from ledger.transaction import Call
from tests.contracts.admission_kit import NEW, OTHER, admit, admitting, certificate, organisation, revoke, serials
from tests.contracts.bench import (
    ALICE,
    AUTHORITY,
    BOB,
    CAROL,
    LATE,
    LATE_UNTIL_MS,
    START_MS,
    VALIDATOR,
    Bench,
    call,
    certificates,
    lock,
    make_genesis,
)
from tests.contracts.governance.kit import decide, governed_bench


@pytest.fixture
def bench() -> Bench:
    return governed_bench()


# --- coming -----------------------------------------------------------------------------------------------------------


def test_key_may_submit_when_any_member_brings_its_certificate(bench: Bench) -> None:
    assert bench.code(bench.make(calls=[call("accounts", "open", "a", "after(1)")], sender=NEW)) == SENDER_NOT_ADMITTED
    made = certificate(bench, 100)
    receipt = bench.block(bench.make(calls=[admitting(made)], sender=CAROL))[0]
    assert (receipt.code, [event.name for event in receipt.events]) == ("ok", ["certificate_admitted"])
    assert receipt.events[0].data == encode(made)
    assert organisation(bench, NEW) == "new"
    assert bench.view("admission", "certificate", NEW.public) == made
    assert serials(bench)[-1] == 100
    assert bench.code(bench.make(calls=[call("accounts", "open", "a", "after(1)")], sender=NEW)) == "ok"


def test_key_may_submit_in_the_same_block_that_admits_it(bench: Bench) -> None:
    first = bench.make(calls=[admitting(certificate(bench, 100))])
    second = bench.make(calls=[call("accounts", "open", "a", "after(1)")], sender=NEW)
    assert [receipt.code for receipt in bench.block(first, second)[:2]] == ["ok", "ok"]


def test_newcomer_cannot_bring_its_own_certificate_when_nobody_knows_it(bench: Bench) -> None:
    assert admit(bench, certificate(bench, 100), by=NEW) == SENDER_NOT_ADMITTED
    assert organisation(bench, NEW) is None


@pytest.mark.parametrize("keys", [(ALICE,), (OTHER,), (ALICE, BOB, CAROL)])
def test_certificate_is_refused_when_the_authority_did_not_sign(bench: Bench, keys: tuple[SigningKey, ...]) -> None:
    assert admit(bench, certificate(bench, 100), *keys) == admission.CERTIFICATE_REFUSED


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"chain_id": bytes(32)}, admission.CERTIFICATE_REFUSED),
        ({"roles": ("king",)}, admission.CERTIFICATE_REFUSED),
        ({"organisation": " new"}, admission.CERTIFICATE_REFUSED),
        ({"transport": b"t"}, admission.CERTIFICATE_REFUSED),
        ({"not_before_ms": 9, "not_after_ms": 8}, admission.CERTIFICATE_REFUSED),
        ({"not_after_ms": START_MS - 1}, admission.VALIDITY_WRONG),
        ({"serial": FIRST_DELEGATED_SERIAL}, admission.CERTIFICATE_REFUSED),
        ({"key": b"\x02" + bytes(32)}, admission.KEY_INVALID),
        ({"serial": 2}, admission.SERIAL_USED),
        ({"serial": 91}, admission.SERIAL_USED),
        ({"serial": 0}, ARGUMENTS_INVALID),
    ],
    ids=str,
)
def test_certificate_is_refused_when_the_authority_signed_what_cannot_be(
    bench: Bench, changes: dict[str, object], code: str
) -> None:
    before = bench.view("admission", "certificates", 0, 200)
    assert admit(bench, msgspec.structs.replace(certificate(bench, 100), **changes)) == code
    assert bench.view("admission", "certificates", 0, 200) == before


def test_changed_certificate_is_refused_when_the_signature_is_of_another(bench: Bench) -> None:
    signed = sign_certificate(certificate(bench, 100), [AUTHORITY])
    forged = msgspec.structs.replace(signed, certificate=certificate(bench, 100, roles=("officer",)))
    call_ = Call("admission", "admit", encode(forged))
    assert bench.code(bench.make(calls=[call_])) == admission.CERTIFICATE_REFUSED


# --- renewing ---------------------------------------------------------------------------------------------------------


def test_key_stays_admitted_when_its_certificate_is_renewed(bench: Bench) -> None:
    at = LATE_UNTIL_MS + 1
    assert organisation(bench, LATE, at) is None
    renewed = certificate(bench, 100, key=LATE.public, organisation="late")
    assert admit(bench, renewed) == "ok"
    assert organisation(bench, LATE, at) == "late"
    assert 91 not in serials(bench)
    assert serials(bench)[-1] == 100


def test_certificate_is_refused_when_it_was_replaced_and_is_brought_again(bench: Bench) -> None:
    first, second = certificate(bench, 100), certificate(bench, 101, roles=("service",))
    assert [admit(bench, made) for made in (first, second)] == ["ok", "ok"]
    assert admit(bench, first) == admission.SERIAL_USED
    assert bench.view("admission", "certificate", NEW.public) == second


def test_older_certificate_is_refused_when_a_newer_one_took_a_role_away(bench: Bench) -> None:
    officer, member = certificate(bench, 100, roles=("officer",)), certificate(bench, 101)
    assert admit(bench, member) == "ok"
    assert admit(bench, officer) == admission.SERIAL_OUTDATED
    assert bench.view("admission", "certificate", NEW.public).roles == ("member",)


def test_key_is_not_locked_out_when_its_next_certificate_is_brought_too_early(bench: Bench) -> None:
    assert admit(bench, certificate(bench, 100)) == "ok"
    later = certificate(bench, 101, not_before_ms=START_MS + 1_000)
    assert admit(bench, later) == admission.VALIDITY_WRONG
    assert organisation(bench, NEW) == "new"
    assert admit(bench, later, at=START_MS + 1_000) == "ok"


def test_key_changes_organisation_and_role_when_the_authority_signs_it(bench: Bench) -> None:
    moved = certificate(bench, 100, key=BOB.public, organisation="elsewhere", roles=("member", "validator"))
    assert admit(bench, moved, by=BOB) == "ok"
    assert organisation(bench, BOB) == "elsewhere"


def test_certificate_shows_once_when_it_was_renewed_often(bench: Bench) -> None:
    for serial in range(100, 106):
        assert admit(bench, certificate(bench, serial)) == "ok"
    assert [serial for serial in serials(bench) if serial >= 100] == [105]


# --- revoking ---------------------------------------------------------------------------------------------------------


def test_key_is_nobody_when_it_is_revoked(bench: Bench) -> None:
    assert admit(bench, certificate(bench, 100)) == "ok"
    assert revoke(bench, NEW, 100) == "ok"
    assert organisation(bench, NEW) is None
    assert bench.code(bench.make(calls=[call("accounts", "open", "a", "after(1)")], sender=NEW)) == SENDER_NOT_ADMITTED
    with pytest.raises(NotFound):
        bench.view("admission", "certificate", NEW.public)
    record = bench.view("admission", "revocation", NEW.public)
    assert (record.revocation.reason, record.certificate.serial, record.height) == ("key_lost", 100, 2)
    assert bench.view("admission", "revocations", b"", 10).revocations == (record,)
    assert bench.view("admission", "revocations", NEW.public, 10).revocations == ()
    assert 100 not in serials(bench)


def test_revocation_takes_effect_within_its_block(bench: Bench) -> None:
    revocation = sign_revocation(Revocation(bench.genesis.chain_id, BOB.public, 3, "x"), [AUTHORITY])
    transactions = [
        bench.make(calls=[Call("admission", "revoke", encode(revocation))]),
        bench.make(calls=[call("accounts", "open", "a", "after(1)")], sender=BOB),
    ]
    assert [receipt.code for receipt in bench.block(*transactions)[:2]] == ["ok", SENDER_NOT_ADMITTED]


@pytest.mark.parametrize("keys", [(ALICE,), (OTHER,), (BOB,)])
def test_revocation_is_refused_when_the_authority_did_not_sign(bench: Bench, keys: tuple[SigningKey, ...]) -> None:
    assert revoke(bench, BOB, 3, *keys) == admission.REVOCATION_REFUSED
    assert organisation(bench, BOB) == "bob"


def test_revocation_is_refused_when_it_is_for_another_chain(bench: Bench) -> None:
    assert revoke(bench, BOB, 3, chain=bytes(32)) == admission.REVOCATION_REFUSED


def test_certificates_signature_is_no_revocations(bench: Bench) -> None:
    made = certificate(bench, 3, key=BOB.public)
    revocation = Revocation(bench.genesis.chain_id, BOB.public, 3, "x")
    signed = sign_revocation(revocation, [AUTHORITY])
    stolen = msgspec.structs.replace(signed, signatures=sign_certificate(made, [AUTHORITY]).signatures)
    call_ = Call("admission", "revoke", encode(stolen))
    assert bench.code(bench.make(calls=[call_])) == admission.REVOCATION_REFUSED


def test_revoked_key_stays_out_when_what_was_signed_before_is_brought(bench: Bench) -> None:
    used, unused = certificate(bench, 100), certificate(bench, 101)
    assert admit(bench, used) == "ok"
    assert revoke(bench, NEW, 110) == "ok"
    assert admit(bench, used) == admission.SERIAL_USED
    assert admit(bench, unused) == admission.KEY_REVOKED
    assert organisation(bench, NEW) is None
    assert admit(bench, certificate(bench, 111)) == "ok"
    assert organisation(bench, NEW) == "new"


def test_old_revocation_does_nothing_when_the_key_was_admitted_anew(bench: Bench) -> None:
    assert admit(bench, certificate(bench, 100)) == "ok"
    assert revoke(bench, NEW, 100) == "ok"
    assert revoke(bench, NEW, 100) == admission.SERIAL_USED
    assert admit(bench, certificate(bench, 101)) == "ok"
    assert revoke(bench, NEW, 100) == admission.SERIAL_OUTDATED
    assert organisation(bench, NEW) == "new"


def test_key_never_comes_in_when_it_was_revoked_before_its_certificate_was_brought(bench: Bench) -> None:
    assert revoke(bench, NEW, 100) == "ok"
    assert admit(bench, certificate(bench, 100)) == admission.KEY_REVOKED
    assert bench.view("admission", "revocation", NEW.public).certificate is None


def test_validator_can_be_revoked_and_its_set_does_not_change(bench: Bench) -> None:
    assert revoke(bench, VALIDATOR, 1) == "ok"
    assert organisation(bench, VALIDATOR) is None
    assert VALIDATOR.public in bench.genesis.validator_set()
    assert bench.view("admission", "revocation", VALIDATOR.public).certificate.transport == b"t" * 32


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(["admit", "revoke"]), st.integers(100, 105)), max_size=12))
def test_newest_word_of_the_authority_holds_when_its_words_come_in_any_order(steps: list[tuple[str, int]]) -> None:
    bench = governed_bench()
    holds, used, revoked = 0, set[int](), 0
    for what, serial in steps:
        if what == "admit":
            good = serial not in used and serial > revoked and serial > holds
            assert (admit(bench, certificate(bench, serial)) == "ok") == good
            if good:
                holds = serial
                used.add(serial)
        else:
            good = serial >= holds and serial > revoked
            assert (revoke(bench, NEW, serial) == "ok") == good
            if good:
                holds, revoked = 0, serial
        assert (organisation(bench, NEW) is not None) == (holds > 0)
        if holds:
            assert bench.view("admission", "certificate", NEW.public).serial == holds


# --- the authority ----------------------------------------------------------------------------------------------------


def test_new_authority_alone_admits_when_governance_has_set_it(bench: Bench) -> None:
    text = f"all({lock(OTHER)},{lock(AUTHORITY)})"
    assert decide(bench, "admission", "set_authority", SetAuthority(text)).code == "ok"
    assert bench.view("admission", "authority").lock == text
    assert admit(bench, certificate(bench, 100)) == admission.CERTIFICATE_REFUSED
    assert revoke(bench, BOB, 3) == admission.REVOCATION_REFUSED
    assert admit(bench, certificate(bench, 100), AUTHORITY, OTHER) == "ok"
    assert revoke(bench, BOB, 3, OTHER, AUTHORITY) == "ok"
    assert organisation(bench, CAROL) == "carol"


@pytest.mark.parametrize("text", ["after(1)", "account(shop)", "x", f"threshold(2,{lock(ALICE)},any({lock(ALICE)}))"])
def test_authority_stays_when_the_new_one_is_no_policy_of_keys(bench: Bench, text: str) -> None:
    assert decide(bench, "admission", "set_authority", SetAuthority(text)).code == LOCK_INVALID
    assert admit(bench, certificate(bench, 100)) == "ok"


def test_authority_itself_changes_nothing_when_governance_does_not_agree(bench: Bench) -> None:
    assert bench.code(bench.make(calls=[call("admission", "set_authority", lock(OTHER))])) == "method_unknown"


def test_no_chain_begins_when_a_serial_is_one_of_the_chains_own() -> None:
    genesis = make_genesis()
    *others, last = certificates(genesis.chain_id)
    changed = msgspec.structs.replace(last, serial=FIRST_DELEGATED_SERIAL)
    docs = tuple(certificate_doc(sign_certificate(made, [AUTHORITY])) for made in (*others, changed))
    with pytest.raises(InvalidGenesis):
        Bench(genesis=make_genesis(certificates=docs))
