"""Contract ``assets``: defining, issuing, destroying, and what the views say."""

from __future__ import annotations

import pytest

from contracts import codes
from contracts.assets import MAX_ISSUERS
from ledger.errors import NotFound
from ledger.keys import SigningKey
from ledger.transaction import Call, Output
from ledger.types import MAX_AMOUNT
from tests.contracts.bench import ALICE, BIG, BIG_COINS, BOB, CNY, ISSUER, SUPPLY, Bench, call, lock

KEYS = tuple(sorted(SigningKey(bytes([number]) * 32).public for number in range(1, MAX_ISSUERS + 2)))


@pytest.fixture
def bench() -> Bench:
    return Bench()


def issue(bench: Bench, amount: int, *keys: SigningKey, sender: SigningKey = ISSUER, asset: str = CNY) -> str:
    transaction = bench.make(
        [],
        [Output(asset, amount, lock(BOB))],
        calls=[call("assets", "issue", asset, amount)],
        sender=sender,
        keys=[sender, *keys],
    )
    return bench.code(transaction)


def define(bench: Bench, *arguments: object) -> str:
    return bench.code(bench.make(calls=[call("assets", "define", *arguments)]))


def test_supply_grows_when_an_issuer_issues(bench: Bench) -> None:
    before = bench.supply(CNY)
    assert issue(bench, 500) == "ok"
    assert bench.supply(CNY) == before + 500 == bench.totals()[CNY]


def test_issuing_is_refused_when_the_sender_is_no_issuer(bench: Bench) -> None:
    before = bench.supply(CNY)
    assert issue(bench, 500, sender=ALICE) == codes.NOT_PERMITTED
    assert bench.supply(CNY) == before


def test_issuing_is_allowed_when_an_issuer_signs_what_another_sends(bench: Bench) -> None:
    assert issue(bench, 500, ISSUER, sender=ALICE) == "ok"


def test_issuing_is_refused_when_the_asset_is_unknown(bench: Bench) -> None:
    assert issue(bench, 500, asset="USD") == codes.ASSET_UNKNOWN


def test_nobody_issues_when_an_asset_has_no_issuers(bench: Bench) -> None:
    assert define(bench, "FIXED", [], 0) == "ok"
    assert issue(bench, 1, asset="FIXED") == codes.NOT_PERMITTED


def test_supply_stops_at_the_largest_amount_when_more_is_issued(bench: Bench) -> None:
    assert bench.supply(BIG) == MAX_AMOUNT
    assert issue(bench, 1, asset=BIG) == "asset_supply_exceeded"
    room = MAX_AMOUNT - bench.supply(CNY)
    assert issue(bench, room + 1) == "asset_supply_exceeded"
    assert issue(bench, room) == "ok"
    assert bench.supply(CNY) == MAX_AMOUNT


def test_supply_shrinks_when_the_owner_destroys(bench: Bench) -> None:
    transaction = bench.make(
        [bench.coin(0)], [Output(CNY, SUPPLY - 1, lock(ALICE))], calls=[call("assets", "destroy", CNY, 1)]
    )
    before = bench.supply(CNY)
    assert bench.code(transaction) == "ok"
    assert bench.supply(CNY) == before - 1 == bench.totals()[CNY]


def test_destroying_is_refused_when_the_inputs_do_not_hold_it(bench: Bench) -> None:
    assert bench.code(bench.make(calls=[call("assets", "destroy", CNY, 1)])) == codes.UNBALANCED


def test_destroying_is_refused_when_the_inputs_are_somebody_elses(bench: Bench) -> None:
    transaction = bench.make([bench.coin(6)], [], calls=[call("assets", "destroy", CNY, SUPPLY)])
    assert bench.code(transaction) == codes.LOCK_UNSATISFIED
    assert bench.supply(CNY) == bench.totals()[CNY]


def test_destroying_is_refused_when_it_exceeds_the_supply(bench: Bench) -> None:
    amount = bench.supply(CNY) + 1
    assert bench.code(bench.make(calls=[call("assets", "destroy", CNY, amount)])) == "asset_supply_exceeded"


def test_whole_supply_can_be_destroyed_and_issued_again_when_it_is_spent_at_once(bench: Bench) -> None:
    coins = [bench.coin(number) for number in BIG_COINS]
    assert bench.code(bench.make(coins, calls=[call("assets", "destroy", BIG, MAX_AMOUNT)])) == "ok"
    assert (bench.supply(BIG), bench.totals().get(BIG, 0)) == (0, 0)
    assert issue(bench, MAX_AMOUNT, asset=BIG) == "ok"


def test_issuing_and_destroying_in_one_transaction_cancel_when_amounts_are_equal(bench: Bench) -> None:
    calls = [call("assets", "issue", CNY, 7), call("assets", "destroy", CNY, 7)]
    before = bench.supply(CNY)
    assert bench.code(bench.make(calls=calls, sender=ISSUER)) == "ok"
    assert bench.supply(CNY) == before


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (("CNY", [], 2), "asset_exists"),
        (("probe:x", [], 2), "asset_definition_invalid"),
        ((" X", [], 2), "asset_definition_invalid"),
        (("a(b", [], 2), "asset_definition_invalid"),
        (("e\u0301", [], 2), "asset_definition_invalid"),
        (("X\n", [], 2), "asset_definition_invalid"),
        (("", [], 2), codes.ARGUMENTS_INVALID),
        (("X" * 65, [], 2), codes.ARGUMENTS_INVALID),
        (("X", [], 9), codes.ARGUMENTS_INVALID),
        (("X", [], -1), codes.ARGUMENTS_INVALID),
        (("X", [b"\x09" + bytes(32)], 2), "asset_definition_invalid"),
        (("X", [bytes(32)], 2), codes.ARGUMENTS_INVALID),
        (("X", [KEYS[1], KEYS[0]], 2), "asset_definition_invalid"),
        (("X", [KEYS[0], KEYS[0]], 2), "asset_definition_invalid"),
        (("X", KEYS, 2), codes.ARGUMENTS_INVALID),
        (("X", KEYS[:MAX_ISSUERS], 8), "ok"),
    ],
)
def test_definition_is_refused_when_it_is_not_well_formed(bench: Bench, arguments: tuple, code: str) -> None:
    assert define(bench, *arguments) == code


def test_definition_shows_in_the_views_when_it_is_made(bench: Bench) -> None:
    assert define(bench, "PTS", [ISSUER.public], 0) == "ok"
    record = bench.view("assets", "asset", "PTS")
    assert (record.asset, record.issuers, record.scale, record.supply) == ("PTS", (ISSUER.public,), 0, 0)
    page = bench.view("assets", "assets", "", 10)
    assert [item.asset for item in page.assets] == [BIG, CNY, "PTS"]
    assert [item.asset for item in bench.view("assets", "assets", BIG, 1).assets] == [CNY]
    assert bench.view("assets", "assets", "PTS", 1).assets == ()
    with pytest.raises(NotFound):
        bench.view("assets", "asset", "USD")


def test_two_of_equal_name_in_one_block_leave_the_first_when_both_define(bench: Bench) -> None:
    first = bench.make(calls=[call("assets", "define", "PTS", [ISSUER.public], 0)])
    second = bench.make(calls=[call("assets", "define", "PTS", [ALICE.public], 4)])
    receipts = bench.block(first, second)
    assert [receipt.code for receipt in receipts[:2]] == ["ok", "asset_exists"]
    assert bench.view("assets", "asset", "PTS").issuers == (ISSUER.public,)


def test_event_says_what_was_issued_when_it_takes_effect(bench: Bench) -> None:
    transaction = bench.make(
        [], [Output(CNY, 5, lock(BOB))], calls=[Call("assets", "issue", b"\x92\xa3CNY\x05")], sender=ISSUER
    )
    (event,) = bench.block(transaction)[0].events
    assert (event.contract, event.name, event.data) == ("assets", "asset_issued", b"\x92\xa3CNY\x05")
