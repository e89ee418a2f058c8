"""Encryption keys of one chain: by their owners, epoch after epoch."""

from __future__ import annotations

import pytest

from contracts import keyring
from contracts.codes import ARGUMENTS_INVALID, NOT_PERMITTED, SENDER_NOT_ADMITTED
from contracts.interface import EndContext
from contracts.messages import KeyNotice
from ledger.envelope_key import HPKE_X25519, RSA_OAEP_256, EncryptionKey, write_rsa
from ledger.errors import NotFound
from ledger.keys import SigningKey
from tests.contracts.bench import ALICE, BOB, CAROL, STRANGER, Bench, call, lock
from tests.contracts.governance.kit import governed_bench, set_policy

RSA = write_rsa((1 << 2_047) + 1, 65_537)


@pytest.fixture
def bench() -> Bench:
    return governed_bench(authorities=f"any({lock(ALICE)},{lock(BOB)})")


def public(number: int) -> bytes:
    return bytes([number]) + b"\x07" * 31


def notice(owner: SigningKey, epoch: int, **changes: object) -> KeyNotice:
    fields = {"owner": owner.public, "suite": HPKE_X25519, "epoch": epoch, "public": public(epoch), "retired": False}
    return KeyNotice(**(fields | changes))


def publish(bench: Bench, made: KeyNotice, by: SigningKey = ALICE) -> str:
    return bench.code(bench.make(calls=[call("keyring", "publish", made)], sender=by))


def context(bench: Bench) -> EndContext:
    execution = bench.execution()
    return EndContext(execution.block, "accounts", execution.overlay, execution)


def test_any_contract_finds_a_key_when_its_owner_published_it(bench: Bench) -> None:
    transaction = bench.make(calls=[call("keyring", "publish", notice(ALICE, 1))])
    receipt = bench.block(transaction)[0]
    assert (receipt.code, [event.name for event in receipt.events]) == ("ok", ["key_published"])
    assert keyring.current_key(context(bench), ALICE.public) == EncryptionKey(HPKE_X25519, 1, public(1))
    assert keyring.current_key(context(bench), BOB.public) is None
    shown = bench.view("keyring", "key", ALICE.public)
    assert (shown.notice, shown.tx_id, shown.height) == (notice(ALICE, 1), transaction.tx_id, 1)


def test_newest_epoch_is_the_key_and_the_old_ones_are_kept_when_an_owner_rotates(bench: Bench) -> None:
    for epoch in range(1, 6):
        assert publish(bench, notice(ALICE, epoch)) == "ok"
    assert publish(bench, notice(BOB, 1), BOB) == "ok"
    assert keyring.current_key(context(bench), ALICE.public) == EncryptionKey(HPKE_X25519, 5, public(5))
    for epoch in range(1, 6):
        assert keyring.key_at(context(bench), ALICE.public, epoch) == EncryptionKey(HPKE_X25519, epoch, public(epoch))
        assert bench.view("keyring", "epoch", ALICE.public, epoch).notice == notice(ALICE, epoch)
    assert keyring.key_at(context(bench), ALICE.public, 6) is None
    page = bench.view("keyring", "history", ALICE.public, 1, 3).keys
    assert [found.notice.epoch for found in page] == [2, 3, 4]
    assert [found.notice.epoch for found in bench.view("keyring", "history", ALICE.public, 4, 9).keys] == [5]


@pytest.mark.parametrize("epoch", [1, 2, 4, 100])
def test_key_is_refused_when_its_epoch_is_not_the_next(bench: Bench, epoch: int) -> None:
    assert publish(bench, notice(ALICE, 1)) == "ok"
    assert publish(bench, notice(ALICE, 2)) == "ok"
    assert publish(bench, notice(ALICE, epoch)) == keyring.EPOCH_WRONG
    assert keyring.current_key(context(bench), ALICE.public) == EncryptionKey(HPKE_X25519, 2, public(2))


def test_first_epoch_is_one(bench: Bench) -> None:
    assert publish(bench, notice(ALICE, 2)) == keyring.EPOCH_WRONG
    assert publish(bench, notice(ALICE, 0)) == ARGUMENTS_INVALID


def test_key_is_refused_when_somebody_else_publishes_it(bench: Bench) -> None:
    assert publish(bench, notice(ALICE, 1), BOB) == NOT_PERMITTED
    calls = [call("keyring", "publish", notice(ALICE, 1))]
    assert bench.code(bench.make(calls=calls, sender=BOB, keys=[ALICE, BOB])) == NOT_PERMITTED
    assert publish(bench, notice(STRANGER, 1), STRANGER) == SENDER_NOT_ADMITTED
    assert keyring.current_key(context(bench), ALICE.public) is None


@pytest.mark.parametrize(
    "changes",
    [
        {"public": bytes(32)},
        {"public": b"\x01" + bytes(31)},
        {"public": b"\xff" * 32},
        {"public": public(1)[:31]},
        {"public": public(1) + b"\x00"},
        {"suite": 3},
        {"suite": RSA_OAEP_256},
        {"suite": RSA_OAEP_256, "public": write_rsa((1 << 1_023) + 1, 65_537)},
        {"suite": HPKE_X25519, "public": RSA},
    ],
    ids=lambda changes: f"{changes.get('suite', 1)}-{len(changes.get('public', b''))}",
)
def test_key_is_refused_when_nothing_should_be_sealed_to_it(bench: Bench, changes: dict[str, object]) -> None:
    assert publish(bench, notice(ALICE, 1, **changes)) == keyring.KEY_INVALID
    assert keyring.current_key(context(bench), ALICE.public) is None


def test_rsa_key_is_taken_when_the_owner_has_only_that(bench: Bench) -> None:
    assert publish(bench, notice(ALICE, 1, suite=RSA_OAEP_256, public=RSA)) == "ok"
    assert keyring.current_key(context(bench), ALICE.public) == EncryptionKey(RSA_OAEP_256, 1, RSA)


def test_owner_has_no_key_when_it_is_retired_until_it_publishes_the_next(bench: Bench) -> None:
    assert publish(bench, notice(ALICE, 1)) == "ok"
    assert publish(bench, notice(ALICE, 2, retired=True, public=b"-")) == "ok"
    assert keyring.current_key(context(bench), ALICE.public) is None
    assert keyring.key_at(context(bench), ALICE.public, 2) is None
    assert keyring.key_at(context(bench), ALICE.public, 1) is not None
    assert bench.view("keyring", "key", ALICE.public).notice.retired
    assert publish(bench, notice(ALICE, 3)) == "ok"
    assert keyring.current_key(context(bench), ALICE.public) == EncryptionKey(HPKE_X25519, 3, public(3))


def test_authorities_are_those_of_the_policy_that_have_a_key_now(bench: Bench) -> None:
    assert keyring.authority_keys(context(bench)) == ()
    for owner in (ALICE, BOB, CAROL):
        assert publish(bench, notice(owner, 1), owner) == "ok"
    key = EncryptionKey(HPKE_X25519, 1, public(1))
    both = sorted((owner.public, key) for owner in (ALICE, BOB))
    assert keyring.authority_keys(context(bench)) == tuple(sorted(both, key=lambda pair: pair[0]))
    assert publish(bench, notice(BOB, 2, retired=True), BOB) == "ok"
    assert keyring.authority_keys(context(bench)) == ((ALICE.public, key),)
    assert [found.notice.owner for found in bench.view("keyring", "authorities").keys] == [ALICE.public]
    assert set_policy(bench, "authorities", lock(CAROL)) == "ok"
    assert keyring.authority_keys(context(bench)) == ((CAROL.public, key),)


def test_nobody_is_an_authority_when_the_chain_has_no_such_policy() -> None:
    bench = governed_bench()
    assert publish(bench, notice(ALICE, 1)) == "ok"
    assert keyring.authority_keys(context(bench)) == ()
    assert bench.code(bench.make(calls=[call("keyring", "announce")])) == "ok"


def test_authority_publishes_when_the_chain_has_no_client_of_another(bench: Bench) -> None:
    assert publish(bench, notice(ALICE, 1)) == "ok"
    assert bench.code(bench.make(calls=[call("keyring", "announce")])) == "ok"
    with pytest.raises(NotFound):
        bench.view("keyring", "announced", ALICE.public)


def test_views_say_not_found_when_an_owner_has_no_key(bench: Bench) -> None:
    for name, arguments in (("key", ()), ("epoch", (1,))):
        with pytest.raises(NotFound):
            bench.view("keyring", name, ALICE.public, *arguments)
    assert bench.view("keyring", "history", ALICE.public, 0, 9).keys == ()
