"""Over random histories: equal blocks give equal roots, and no asset comes from nothing or is lost."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, note, settings
from hypothesis import strategies as st

from contracts.executor import BlockExecution
from ledger.block import receipt_codec
from ledger.errors import InvalidTransaction
from ledger.keys import SigningKey
from ledger.state import StoredState
from ledger.state_root import state_root
from ledger.store import Kind
from ledger.store_memory import MemoryStore
from ledger.transaction import Call, Output, Transaction, preimage_hash, sign_body
from ledger.types import MAX_AMOUNT
from tests.contracts.bench import (
    ALICE,
    BIG,
    BOB,
    CAROL,
    CNY,
    ISSUER,
    START_MS,
    STRANGER,
    Bench,
    call,
    fresh,
    lock,
    with_witness,
)

KEYS = (ALICE, BOB, CAROL, ISSUER, STRANGER)
LOCKS = (
    *map(lock, KEYS),
    "account(shop)",
    "account(both)",
    "account(new)",
    f"any({lock(ALICE)},{lock(BOB)})",
    f"hash({preimage_hash(b'p')})",
    "after(3)",
    "nonsense",
)


class Attacker:
    """Makes transactions, most of them wrong in one way or another."""

    def __init__(self, bench: Bench, seed: int) -> None:
        self.bench = bench
        self.random = random.Random(seed)
        self.known = [bench.coin(number) for number in range(15)]
        self.made: list[Transaction] = []

    def transaction(self) -> Transaction:
        rng = self.random
        if self.made and rng.random() < 0.1:
            return fresh(rng.choice(self.made))
        inputs = rng.sample(self.known, rng.randint(0, 3))
        assets = {CNY: 0, BIG: 0}
        for name in inputs:
            output = self.bench.output(name)
            if output is not None:
                assets[output.asset] = assets.get(output.asset, 0) + output.amount
        calls: list[Call] = []
        sender = rng.choice(KEYS)
        if rng.random() < 0.4:
            asset, amount = rng.choice((CNY, BIG, "NEW")), rng.choice((1, 7, 500, MAX_AMOUNT))
            calls.append(call("assets", rng.choice(("issue", "destroy")), asset, amount))
            assets[asset] = assets.get(asset, 0) + (amount if calls[0].method == "issue" else -amount)
        if rng.random() < 0.1:
            calls.append(call("assets", "define", "NEW", [ISSUER.public], 2))
        if rng.random() < 0.1:
            calls.append(call("accounts", "open", "new", rng.choice(LOCKS)))
        outputs = []
        for asset, total in assets.items():
            rest = total
            while rest > 0:
                part = min(rng.choice((rest, max(1, rest // 2), rest + rng.choice((0, 0, 0, 1)))), MAX_AMOUNT)
                outputs.append(Output(asset, part, rng.choice(LOCKS[:-1] if rng.random() < 0.9 else LOCKS)))
                rest -= part
        keys = {sender} if rng.random() < 0.9 else set()
        if rng.random() < 0.8:  # sign for what is spent
            for name in inputs:
                output = self.bench.output(name)
                keys |= {key for key in KEYS if output is not None and lock(key) in output.lock}
        preimages = [b"p"] if rng.random() < 0.1 else []
        if sender not in keys:
            with pytest.raises(InvalidTransaction, match="signature is missing"):
                self.bench.make(inputs, outputs, calls=calls, sender=sender, keys=keys, preimages=preimages)
            keys = {sender, rng.choice(KEYS)}
        made = self.bench.make(inputs, outputs, calls=calls, sender=sender, keys=keys, preimages=preimages)
        self.made.append(made)
        self.known += [made.tx_id + index.to_bytes(4, "big") for index in range(len(outputs))]
        return made


def block_of(bench: Bench, attacker: Attacker, count: int) -> list[Transaction]:
    """Transactions that may be in the next block, though they may be refused in it."""
    execution, fit = bench.execution(), []
    for _ in range(count):
        transaction = attacker.transaction()
        try:
            execution.add(transaction)
        except InvalidTransaction:
            continue
        fit.append(transaction)
    return fit


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32))
def test_every_asset_is_conserved_when_anything_is_tried(seed: int) -> None:
    bench = Bench()
    attacker = Attacker(bench, seed)
    took_effect = 0
    for _ in range(6):
        transactions = block_of(bench, attacker, 10)
        receipts = bench.block(*transactions)
        took_effect += sum(receipt.code == "ok" for receipt in receipts[:-1])
        totals = bench.totals()
        for asset in (CNY, BIG):
            assert totals.get(asset, 0) == bench.supply(asset)
            assert 0 <= bench.supply(asset) <= MAX_AMOUNT
        assert set(totals) <= {CNY, BIG, "NEW"}
        if "NEW" in totals:
            assert totals["NEW"] == bench.supply("NEW")
    note(f"{took_effect} transactions took effect")


def test_attacker_of_these_tests_often_succeeds_when_it_is_let_loose() -> None:
    codes: dict[str, int] = {}
    for seed in range(12):
        bench = Bench()
        attacker = Attacker(bench, seed)
        for _ in range(4):
            for receipt in bench.block(*block_of(bench, attacker, 10))[:-1]:
                codes[receipt.code] = codes.get(receipt.code, 0) + 1
    assert codes["ok"] >= 20
    assert len(codes) >= 8


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32))
def test_roots_are_equal_when_a_block_is_executed_anew_on_another_store(seed: int) -> None:
    bench = Bench()
    attacker = Attacker(bench, seed)
    other = MemoryStore()
    other.write(dict(bench.store.iterate(b"")))
    for _ in range(4):
        transactions = block_of(bench, attacker, 8)
        block = bench.next_block()
        first = bench.run(transactions)
        twice = bench.run(transactions)
        elsewhere = BlockExecution(bench.rules, StoredState(other), block)
        for transaction in transactions:
            elsewhere.add(fresh(transaction))
        third = elsewhere.finish()
        for result in (twice, third):
            assert result.receipts == first.receipts
            assert result.change_hashes == first.change_hashes
            assert (result.receipts_root, result.changes_root) == (first.receipts_root, first.changes_root)
            assert (result.created, result.spent) == (first.created, first.spent)
        bench.block(*transactions)
        other.write({Kind.STATE + key: value for key, value in third.writes.items()})
    assert state_root(StoredState(other)) == bench.root()


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32))
def test_indexes_of_outputs_match_the_state_when_a_block_ends(seed: int) -> None:
    bench = Bench()
    attacker = Attacker(bench, seed)
    for _ in range(3):
        transactions = block_of(bench, attacker, 10)
        before = {key[1:] for key, _ in bench.state.iterate(b"u")}
        result = bench.run(transactions)
        bench.block(*transactions)
        after = {key[1:]: bench.output(key[1:]) for key, _ in bench.state.iterate(b"u")}
        assert set(result.spent) == before - set(after)
        assert result.created == {name: output.lock for name, output in after.items() if name not in before}


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32))
def test_check_says_what_execution_does_and_leaves_no_trace_when_a_transaction_is_tried(seed: int) -> None:
    bench = Bench()
    attacker = Attacker(bench, seed)
    bench.block(*block_of(bench, attacker, 10))
    for _ in range(10):
        transaction = attacker.transaction()
        checker = bench.execution()
        before = dict(checker.overlay.writes)
        try:
            checker.check(fresh(transaction))
            expected = "ok"
        except InvalidTransaction as error:
            expected = error.code
        assert checker.overlay.writes == before
        execution = bench.execution()
        try:
            refusal = execution.add(fresh(transaction))
            found = "ok" if refusal is None else refusal.code
        except InvalidTransaction as error:
            found = error.code
        assert found == expected


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32), st.sets(st.sampled_from(KEYS)), st.sets(st.sampled_from([b"p", b"q", b"r"])))
def test_no_other_witness_is_decoded_when_signers_or_preimages_change(
    seed: int, signers: set[SigningKey], preimages: set[bytes]
) -> None:
    bench = Bench()
    attacker = Attacker(bench, seed)
    for _ in range(5):
        good = attacker.transaction()
        other = with_witness(good, sign_body(good.body, signers), sorted(preimages))
        named = {good.body.sender, *good.body.cosigners}
        if {key.public for key in signers} == named and tuple(sorted(preimages)) == good.witness.preimages:
            assert Transaction.decode(other.wire).ref == good.ref
        else:
            with pytest.raises(InvalidTransaction) as caught:
                Transaction.decode(other.wire)
            assert caught.value.code in ("signature_missing", "signature_superfluous", "preimage_wrong")


def test_receipts_tell_the_whole_story_when_read_again() -> None:
    bench = Bench()
    good, bad = bench.pay(0), bench.make([], [])
    result = bench.run([good, bad])
    receipts = [receipt_codec.decode(data) for data in result.receipts]
    assert [(receipt.tx_id, receipt.code) for receipt in receipts] == [
        (good.tx_id, "ok"),
        (bad.tx_id, "transaction_empty"),
        (bytes(32), "ok"),
    ]


def test_time_of_the_block_alone_changes_nothing_when_nobody_asks_for_it() -> None:
    bench = Bench()
    transactions = [bench.pay(0), bench.pay(6, sender=BOB)]
    early = bench.run(transactions, START_MS + 1)
    late = bench.run(transactions, START_MS + 10**9)
    assert (early.receipts_root, early.changes_root) == (late.receipts_root, late.changes_root)
