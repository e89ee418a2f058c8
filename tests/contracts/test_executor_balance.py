"""Amounts, assets, senders and calls: refusals that cost the transaction's id and nothing else."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contracts import codes
from ledger.encoding import encode
from ledger.errors import InvalidInput, InvalidTransaction, MalformedBytes
from ledger.transaction import Call, Output, Transaction, _Wire, build
from ledger.types import MAX_AMOUNT
from tests.contracts.bench import (
    ALICE,
    BIG,
    BIG_COINS,
    BOB,
    CAROL,
    CNY,
    EARLY,
    EARLY_COIN,
    EARLY_FROM_MS,
    ISSUER,
    LATE,
    LATE_COIN,
    LATE_UNTIL_MS,
    STRANGER,
    STRANGER_COIN,
    SUPPLY,
    Bench,
    call,
    fresh,
    lock,
)


@pytest.fixture
def bench() -> Bench:
    return Bench()


def refusal(bench: Bench, transaction: Transaction) -> str:
    """The code of a transaction alone in a block; asserts that nothing but its id is left of it."""
    state = dict(bench.store.iterate(b"s"))
    totals = bench.totals()
    receipt, end = bench.block(transaction)
    assert (receipt.events, receipt.results, end.events) == ((), (), ())
    assert receipt.tx_id == transaction.tx_id
    added = set(dict(bench.store.iterate(b"s"))) ^ set(state)
    assert added == {b"si" + transaction.body.expiry_height.to_bytes(8, "big") + transaction.tx_id}
    assert bench.totals() == totals
    return receipt.code


# --- amounts ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("amounts", [[SUPPLY + 1], [SUPPLY - 1], [SUPPLY, 1], [1], [MAX_AMOUNT, MAX_AMOUNT], []])
def test_transaction_is_refused_when_it_makes_or_loses_money(bench: Bench, amounts: list[int]) -> None:
    outputs = [Output(CNY, amount, lock(BOB)) for amount in amounts]
    assert refusal(bench, bench.make([bench.coin(0)], outputs)) == codes.UNBALANCED


def test_transaction_is_refused_when_sums_match_only_across_assets(bench: Bench) -> None:
    outputs = [Output(CNY, 1, lock(BOB)), Output(BIG, SUPPLY, lock(BOB))]
    assert refusal(bench, bench.make([bench.coin(0), bench.coin(BIG_COINS[1])], outputs)) == codes.UNBALANCED


def test_amounts_do_not_wrap_around_when_inputs_exceed_the_largest_amount(bench: Bench) -> None:
    coins = [bench.coin(number) for number in BIG_COINS]
    whole = [Output(BIG, MAX_AMOUNT, lock(BOB))]
    assert bench.code(bench.make(coins, whole)) == "ok"
    assert bench.totals()[BIG] == MAX_AMOUNT


@pytest.mark.parametrize("amount", [0, -1, -(2**63), MAX_AMOUNT + 1, 2**64 - 1])
def test_bytes_are_refused_when_an_amount_is_out_of_bounds(bench: Bench, amount: int) -> None:
    body = bench.body(inputs=(bench.coin(0),), outputs=(Output(CNY, amount, lock(BOB)),))
    with pytest.raises(MalformedBytes):
        build(body, [ALICE])


def test_bytes_are_refused_when_an_outpoint_stands_twice_among_the_inputs(bench: Bench) -> None:
    with pytest.raises(InvalidTransaction) as caught:
        bench.make([bench.coin(0), bench.coin(0)], [Output(CNY, 2 * SUPPLY, lock(BOB))])
    assert caught.value.code == "input_duplicate"


def test_transaction_is_refused_when_it_does_nothing(bench: Bench) -> None:
    assert refusal(bench, bench.make()) == codes.EMPTY
    assert refusal(bench, bench.make(memo=b"hello")) == codes.EMPTY


@pytest.mark.parametrize("asset", ["USD", "cny", "nothing:claim", ":", "a" * 64])
def test_transaction_is_refused_when_an_output_has_an_unknown_asset(bench: Bench, asset: str) -> None:
    outputs = [Output(CNY, SUPPLY, lock(BOB)), Output(asset, 5, lock(BOB))]
    assert refusal(bench, bench.make([bench.coin(0)], outputs)) == codes.ASSET_UNKNOWN


def test_asset_of_a_contract_cannot_be_made_from_nothing_when_nobody_issues_it(bench: Bench) -> None:
    assert refusal(bench, bench.make([], [Output("assets:mine", 5, lock(ALICE))])) == codes.UNBALANCED


# --- senders --------------------------------------------------------------------------------------------------------


def test_transaction_is_refused_when_the_sender_is_not_admitted(bench: Bench) -> None:
    assert refusal(bench, bench.pay(STRANGER_COIN, sender=STRANGER)) == codes.SENDER_NOT_ADMITTED


@pytest.mark.parametrize(
    ("key", "coin", "time_ms", "code"),
    [
        (EARLY, EARLY_COIN, EARLY_FROM_MS - 1, codes.SENDER_NOT_ADMITTED),
        (EARLY, EARLY_COIN, EARLY_FROM_MS, "ok"),
        (LATE, LATE_COIN, LATE_UNTIL_MS, "ok"),
        (LATE, LATE_COIN, LATE_UNTIL_MS + 1, codes.SENDER_NOT_ADMITTED),
    ],
)
def test_certificate_counts_only_when_the_block_is_within_its_validity(
    bench: Bench, key: object, coin: int, time_ms: int, code: str
) -> None:
    assert bench.code(bench.pay(coin, sender=key), time_ms=time_ms) == code


def test_output_of_an_unadmitted_key_moves_when_an_admitted_sender_carries_it(bench: Bench) -> None:
    transaction = bench.make(
        [bench.coin(STRANGER_COIN)], [Output(CNY, SUPPLY, lock(BOB))], sender=ALICE, keys=[ALICE, STRANGER]
    )
    assert bench.code(transaction) == "ok"


# --- calls ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("asked", "code"),
    [
        (call("nothing", "issue", CNY, 5), codes.CONTRACT_UNKNOWN),
        (call("assets", "steal", CNY, 5), codes.METHOD_UNKNOWN),
        (call("assets", "asset", CNY), codes.METHOD_UNKNOWN),  # a view is no method
        (call("assets", "__init__", CNY), codes.METHOD_UNKNOWN),
        (call("admission", "certificate", b"k"), codes.METHOD_UNKNOWN),
        (Call("assets", "issue", b""), codes.ARGUMENTS_INVALID),
        (Call("assets", "issue", b"\xc1"), codes.ARGUMENTS_INVALID),
        (Call("assets", "issue", encode((CNY, 5)) + b"\x00"), codes.ARGUMENTS_INVALID),
        (Call("assets", "issue", encode((CNY,))), codes.ARGUMENTS_INVALID),
        (Call("assets", "issue", encode((CNY, 5, 5))), codes.ARGUMENTS_INVALID),
        (Call("assets", "issue", encode((CNY, -5))), codes.ARGUMENTS_INVALID),
        (Call("assets", "issue", encode((CNY, 0))), codes.ARGUMENTS_INVALID),
        (Call("assets", "issue", encode((CNY, 2**63))), codes.ARGUMENTS_INVALID),
        (Call("assets", "issue", encode((CNY, "5"))), codes.ARGUMENTS_INVALID),
        (Call("assets", "issue", encode((CNY, 5.0))), codes.ARGUMENTS_INVALID),
        (Call("assets", "issue", encode({"asset": CNY, "amount": 5})), codes.ARGUMENTS_INVALID),
        (Call("assets", "issue", b"\x92\xa3CNY\xd3\x00\x00\x00\x00\x00\x00\x00\x05"), codes.ARGUMENTS_INVALID),
        (Call("assets", "issue", b"\x91" * 5_000), codes.ARGUMENTS_INVALID),
    ],
)
def test_call_is_refused_when_contract_method_or_arguments_are_wrong(bench: Bench, asked: Call, code: str) -> None:
    outputs = [Output(CNY, 5, lock(ISSUER))]
    assert refusal(bench, bench.make([], outputs, calls=[asked], sender=ISSUER)) == code


def test_first_call_leaves_no_trace_when_the_second_is_refused(bench: Bench) -> None:
    calls = [call("assets", "issue", CNY, 5), call("assets", "issue", CNY, MAX_AMOUNT)]
    outputs = [Output(CNY, 5, lock(ISSUER))]
    assert refusal(bench, bench.make([], outputs, calls=calls, sender=ISSUER)) == "asset_supply_exceeded"


def test_call_leaves_no_trace_when_the_balance_is_wrong_afterwards(bench: Bench) -> None:
    transaction = bench.make([], [Output(CNY, 6, lock(ISSUER))], calls=[call("assets", "issue", CNY, 5)], sender=ISSUER)
    assert refusal(bench, transaction) == codes.UNBALANCED


def test_calls_see_what_earlier_ones_of_the_transaction_did_when_they_run(bench: Bench) -> None:
    calls = [
        call("assets", "define", "PTS", [ISSUER.public], 0),
        call("assets", "issue", "PTS", 7),
        call("accounts", "open", "points", lock(CAROL)),
    ]
    transaction = bench.make([], [Output("PTS", 7, "account(points)")], calls=calls, sender=ISSUER)
    receipt, _ = bench.block(transaction)
    assert receipt.code == "ok"
    assert [event.name for event in receipt.events] == ["asset_defined", "asset_issued", "account_opened"]
    assert len(receipt.results) == 3
    assert bench.totals()["PTS"] == bench.supply("PTS") == 7


def test_asset_defined_by_a_refused_transaction_does_not_exist_when_the_next_one_uses_it(bench: Bench) -> None:
    bad = bench.make(
        [bench.coin(0)], [Output("PTS", 1, lock(ALICE))], calls=[call("assets", "define", "PTS", [ALICE.public], 0)]
    )
    good = bench.make([bench.coin(1)], [Output(CNY, SUPPLY, lock(BOB)), Output("PTS", 1, lock(ALICE))])
    receipts = bench.block(bad, good)
    assert [receipt.code for receipt in receipts[:2]] == [codes.UNBALANCED, codes.ASSET_UNKNOWN]


# --- any bytes at all -----------------------------------------------------------------------------------------------


@settings(max_examples=150, deadline=None)
@given(st.binary(max_size=300), st.integers(0, 400), st.binary(min_size=1, max_size=4))
def test_decoding_never_fails_otherwise_when_bytes_are_damaged(data: bytes, position: int, patch: bytes) -> None:
    wire = bytearray(_WIRE)
    wire[position % len(wire) : position % len(wire) + len(patch)] = patch
    for candidate in (data, bytes(wire), encode(_Wire(data, data))):
        try:
            transaction = Transaction.decode(candidate)
        except InvalidInput:
            continue
        assert transaction.wire == candidate
        assert fresh(transaction).ref == transaction.ref


_WIRE = Bench().pay().wire
