"""What waits for a block: who was first, how deep, how much, and what a block does to it."""

from __future__ import annotations

import contextlib
import random

import pytest
from hypothesis import given, note, settings
from hypothesis import strategies as st

from contracts import codes
from ledger.errors import InvalidTransaction, Overloaded
from ledger.transaction import Output, Transaction, assemble, sign_body
from ledger.types import Height, TxRef
from node.mempool import MAX_CHAIN_DEPTH, MAX_DROPPED_REMEMBERED, Mempool, MempoolLimits
from tests.contracts.bench import (
    ALICE,
    BOB,
    CAROL,
    CNY,
    EARLY,
    EARLY_COIN,
    STRANGER,
    STRANGER_COIN,
    SUPPLY,
    WINDOW,
    Bench,
    fresh,
    lock,
)
from tests.node.pool import Pool, check_indexes

# --- admission ------------------------------------------------------------------------------------------------------


def test_transaction_waits_when_it_is_good() -> None:
    pool = Pool()
    transaction = pool.bench.pay(0)
    assert pool.admit(transaction)
    assert transaction.tx_id in pool.mempool
    assert pool.mempool.get(transaction.tx_id).wire == transaction.wire
    assert pool.mempool.find(transaction.ref).wire == transaction.wire
    assert [waiting.tx_id for waiting in pool.mempool.candidates()] == [transaction.tx_id]


def test_transaction_waits_once_when_it_comes_twice() -> None:
    pool = Pool()
    transaction = pool.bench.pay(0)
    assert pool.admit(transaction)
    assert not pool.admit(transaction)
    assert len(pool.mempool) == 1
    check_indexes(pool.mempool)


def test_other_witness_is_not_taken_for_the_same_bytes_when_the_id_is_equal() -> None:
    pool = Pool()
    good = pool.bench.pay(0)
    other = assemble(good.body, [(ALICE.public, b"\x01" + bytes(64))])
    assert other.tx_id == good.tx_id
    assert other.ref != good.ref
    assert pool.refused(other) == codes.SIGNATURE_INVALID
    assert pool.admit(good)
    assert not pool.admit(other)
    assert pool.mempool.get(other.tx_id).wire == good.wire
    assert pool.mempool.find(other.ref) is None
    assert pool.mempool.find(TxRef(good.ref)).wire == good.wire
    assert len(pool.mempool) == 1
    check_indexes(pool.mempool)


def test_witness_of_other_signers_or_preimages_is_no_transaction_when_the_body_does_not_name_them() -> None:
    pool = Pool()
    good = pool.bench.pay(0)
    for keys, preimages, code in (
        ([ALICE, BOB], [], codes.SIGNATURE_SUPERFLUOUS),
        ([], [], "signature_missing"),
        ([ALICE], [b"preimage"], "preimage_wrong"),
    ):
        with pytest.raises(InvalidTransaction) as caught:
            assemble(good.body, sign_body(good.body, keys), preimages)
        assert caught.value.code == code
    assert pool.admit(good)


def test_transaction_is_refused_when_it_names_what_nothing_asks_for() -> None:
    pool = Pool()
    assert pool.refused(pool.bench.pay(0, keys=[ALICE, BOB])) == codes.SIGNATURE_SUPERFLUOUS
    assert pool.refused(pool.bench.pay(0, preimages=[b"preimage"])) == codes.PREIMAGE_SUPERFLUOUS
    assert pool.admit(pool.bench.pay(0))


def test_first_seen_wins_when_two_spend_the_same_output() -> None:
    pool = Pool()
    first, second = pool.bench.pay(0), pool.bench.pay(0, to=lock(CAROL))
    pool.admit(first)
    assert pool.refused(second) == "input_conflict"
    assert first.tx_id in pool.mempool


@pytest.mark.parametrize(
    ("make", "code"),
    [
        (lambda b: b.pay(0, chain_id=bytes(32)), codes.CHAIN_WRONG),
        (lambda b: b.pay(0, expiry_height=0), codes.EXPIRED),
        (lambda b: b.pay(0, expiry_height=WINDOW + 2), codes.EXPIRY_TOO_FAR),
        (lambda b: b.pay(6), codes.LOCK_UNSATISFIED),
        (lambda b: b.pay(STRANGER_COIN, sender=STRANGER), codes.SENDER_NOT_ADMITTED),
        (lambda b: b.pay(EARLY_COIN, sender=EARLY), codes.SENDER_NOT_ADMITTED),
        (lambda b: b.make([bytes(36)], [Output(CNY, 1, lock(BOB))]), codes.INPUT_MISSING),
        (lambda b: b.make([b.coin(0)], [Output(CNY, 1, lock(BOB))]), codes.UNBALANCED),
        (lambda b: b.make(), codes.EMPTY),
        (lambda b: assemble(b.pay(0).body, [(ALICE.public, b"\x01" + bytes(64))]), codes.SIGNATURE_INVALID),
    ],
)
def test_transaction_is_refused_when_it_would_not_take_effect(make: object, code: str) -> None:
    pool = Pool()
    assert pool.refused(make(pool.bench)) == code
    assert pool.dropped == []


def test_transaction_is_refused_when_a_block_has_it_already() -> None:
    pool = Pool()
    transaction = pool.bench.pay(0)
    pool.block(transaction)
    assert pool.refused(transaction) == codes.REPLAYED


def test_nothing_is_admitted_when_the_node_has_not_started() -> None:
    bench = Bench()
    mempool = Mempool(bench.rules, bench.state, MempoolLimits())
    with pytest.raises(Overloaded) as caught:
        mempool.admit(bench.pay(0), 0)
    assert caught.value.data["retry_after_ms"] > 0


# --- chains ---------------------------------------------------------------------------------------------------------


def test_chain_is_refused_when_it_gets_one_too_deep() -> None:
    pool = Pool()
    chain = pool.chain(MAX_CHAIN_DEPTH + 2)
    assert [pool.admit(transaction) for transaction in chain[:-1]] == [True] * 26  # 25 deep on the first
    assert pool.refused(chain[-1]) == "chain_too_deep"
    pool.block(chain[0])
    assert pool.admit(chain[-1])


def test_chain_goes_on_for_ever_when_blocks_keep_up_with_it() -> None:
    pool = Pool()
    chain = pool.chain(1)
    for number in range(70):
        assert pool.admit(chain[-1]), f"transaction {number} of a chain that is never more than 6 deep"
        if number >= 5:
            pool.block(chain[number - 5])
        chain.append(pool.then(chain[-1]))
    assert len(pool.mempool) == 5


def test_depth_is_that_of_the_deepest_parent_when_there_are_several() -> None:
    pool = Pool()
    chain = pool.chain(MAX_CHAIN_DEPTH + 1, 0)
    for transaction in chain:
        pool.admit(transaction)
    shallow = pool.bench.pay(1, to=lock(ALICE))
    pool.admit(shallow)
    sources = [shallow.tx_id + bytes(4), chain[-1].tx_id + bytes(4)]
    joined = pool.bench.make(sources, [Output(CNY, 2 * SUPPLY, lock(BOB))])
    assert pool.refused(joined) == "chain_too_deep"


def test_child_is_refused_when_its_parent_does_not_wait_here() -> None:
    pool = Pool()
    parent, child = pool.chain(2)
    assert pool.refused(child) == codes.INPUT_MISSING
    pool.admit(parent)
    assert pool.admit(child)


def test_descendants_leave_when_a_parent_is_dropped() -> None:
    pool = Pool()
    chain, other = pool.chain(5), pool.bench.pay(1)
    for transaction in (*chain, other):
        pool.admit(transaction)
    pool.mempool.drop(chain[1].tx_id, "input_missing")
    assert [waiting.tx_id for waiting in pool.mempool.candidates()] == [chain[0].tx_id, other.tx_id]
    assert pool.dropped == [(transaction.tx_id, "input_missing") for transaction in chain[1:]]
    assert pool.mempool.dropped_code(chain[4].tx_id) == "input_missing"
    assert pool.mempool.dropped_code(other.tx_id) is None
    check_indexes(pool.mempool)
    assert pool.admit(chain[1])


def test_dropping_is_harmless_when_the_transaction_does_not_wait() -> None:
    pool = Pool()
    pool.mempool.drop(pool.bench.pay(0).tx_id, "expired")
    assert pool.dropped == []


# --- bounds -----------------------------------------------------------------------------------------------------------


def test_mempool_refuses_and_keeps_everything_when_its_count_is_reached() -> None:
    pool = Pool(MempoolLimits(max_transactions=3))
    sent = [pool.bench.pay(number) for number in range(4)]
    for transaction in sent[:3]:
        pool.admit(transaction)
    assert pool.mempool.nearly_full
    assert pool.refused(sent[3]) == "overloaded"
    assert [waiting.tx_id for waiting in pool.mempool.candidates()] == [t.tx_id for t in sent[:3]]
    pool.block(sent[0])
    assert pool.admit(sent[3])


def test_mempool_refuses_when_its_bytes_are_used() -> None:
    sample = Pool().bench.pay(0)
    pool = Pool(MempoolLimits(max_bytes=2 * sample.size_bytes))
    assert pool.admit(pool.bench.pay(0))
    assert not pool.mempool.nearly_full
    assert pool.admit(pool.bench.pay(1))
    assert pool.mempool.nearly_full
    assert pool.refused(pool.bench.pay(2)) == "overloaded"


def test_one_organisation_cannot_take_the_place_of_others_when_it_floods() -> None:
    sample = Pool().bench.pay(0)
    pool = Pool(MempoolLimits(organisation_bytes=2 * sample.size_bytes + 1))
    first = pool.bench.pay(0)
    assert pool.admit(first)
    assert pool.admit(pool.bench.pay(1))
    assert pool.refused(pool.bench.pay(2)) == "organisation_quota"
    assert pool.admit(pool.bench.pay(6, sender=BOB))
    pool.block(first)
    assert pool.admit(pool.bench.pay(2))


def test_every_refusal_for_want_of_room_says_when_to_come_back() -> None:
    for limits in (MempoolLimits(max_transactions=0), MempoolLimits(max_bytes=1), MempoolLimits(organisation_bytes=1)):
        pool = Pool(limits)
        with pytest.raises(Overloaded) as caught:
            pool.admit(pool.bench.pay(0))
        assert caught.value.data["retry_after_ms"] > 0


def test_only_the_last_dropped_are_remembered_when_there_are_very_many() -> None:
    pool = Pool()
    first = pool.bench.pay(0)
    pool.admit(first)
    pool.mempool.drop(first.tx_id, "expired")
    for number in range(MAX_DROPPED_REMEMBERED):
        pool.mempool._dropped[number.to_bytes(32, "big")] = "x"
    second = pool.bench.pay(1)
    pool.admit(second)
    pool.mempool.drop(second.tx_id, "expired")
    assert len(pool.mempool._dropped) <= MAX_DROPPED_REMEMBERED + 1
    assert pool.mempool.dropped_code(first.tx_id) is None
    assert pool.mempool.dropped_code(second.tx_id) == "expired"


# --- blocks -----------------------------------------------------------------------------------------------------------


def test_block_wins_when_it_spends_what_a_waiting_transaction_spends() -> None:
    pool = Pool()
    waiting = pool.chain(3)
    for transaction in waiting:
        pool.admit(transaction)
    pool.block(pool.bench.pay(0, to=lock(CAROL)))
    assert len(pool.mempool) == 0
    assert pool.dropped == [(transaction.tx_id, "input_conflict") for transaction in waiting]


def test_transactions_of_the_block_leave_silently_when_it_is_decided() -> None:
    pool = Pool()
    parent, child = pool.chain(2)
    pool.admit(parent)
    pool.admit(child)
    pool.block(parent)
    assert [waiting.tx_id for waiting in pool.mempool.candidates()] == [child.tx_id]
    pool.block(child)
    assert (len(pool.mempool), pool.mempool.size_bytes, pool.dropped) == (0, 0, [])


def test_children_leave_when_a_block_refused_their_parent() -> None:
    pool = Pool()
    parent, child, grandchild = pool.chain(3)
    for transaction in (parent, child, grandchild):
        pool.admit(transaction)
    pool.mempool.on_block([fresh(parent)], frozenset({parent.tx_id}), Height(1))
    assert len(pool.mempool) == 0
    assert pool.dropped == [(child.tx_id, "parent_refused"), (grandchild.tx_id, "parent_refused")]
    check_indexes(pool.mempool)


def test_rival_stays_when_the_block_refused_the_other_spender() -> None:
    pool = Pool()
    waiting = pool.bench.pay(0)
    pool.admit(waiting)
    pool.block(pool.bench.make([pool.bench.coin(0)], [Output(CNY, SUPPLY + 1, lock(BOB))]))
    assert waiting.tx_id in pool.mempool
    assert pool.dropped == []


def test_transaction_leaves_when_it_can_be_in_no_later_block() -> None:
    pool = Pool()
    soon, later = pool.bench.pay(0, expiry_height=2), pool.bench.pay(1, expiry_height=3)
    pool.admit(soon)
    pool.admit(later)
    pool.block()
    assert len(pool.mempool) == 2
    pool.block()
    assert pool.dropped == [(soon.tx_id, codes.EXPIRED)]
    assert later.tx_id in pool.mempool


def test_oldest_arrival_is_told_when_transactions_come_and_go() -> None:
    pool = Pool()
    assert pool.mempool.oldest_ms is None
    first, second = pool.bench.pay(0), pool.bench.pay(1)
    pool.admit(first)
    pool.admit(second)
    assert pool.mempool.oldest_ms == 1
    pool.block(first)
    assert pool.mempool.oldest_ms == 2


def test_clients_own_transactions_are_said_again_sooner_when_both_wait() -> None:
    pool = Pool()
    local, foreign, young = (pool.bench.pay(number) for number in range(3))
    pool.mempool.admit(fresh(local), 10, local=True)
    pool.mempool.admit(fresh(foreign), 20)
    pool.mempool.admit(fresh(young), 30, local=True)

    def said(*arguments: int) -> list[bytes]:
        return [transaction.tx_id for transaction in pool.mempool.waiting_since(*arguments)]

    assert said(10, 5, 9) == []
    assert said(25, 5, 9) == [local.tx_id]
    assert said(25, 20, 9) == [local.tx_id]
    assert said(25, 21, 9) == [local.tx_id, foreign.tx_id]
    assert said(31, 21, 9) == [local.tx_id, foreign.tx_id, young.tx_id]
    assert said(31, 21, 2) == [local.tx_id, foreign.tx_id]


# --- any history ----------------------------------------------------------------------------------------------------


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32))
def test_every_index_fits_what_waits_when_anything_has_happened(seed: int) -> None:
    rng = random.Random(seed)
    sample = Pool().bench.pay(0).size_bytes
    pool = Pool(MempoolLimits(max_transactions=12, organisation_bytes=10 * sample))
    known = [(pool.bench.coin(number), ALICE if number < 6 else BOB, SUPPLY) for number in range(10)]
    made: list[Transaction] = []
    happened = {"admitted": 0, "blocks": 0, "dropped": 0}
    for _ in range(60):
        choice = rng.random()
        if choice < 0.65 or not made:
            if made and rng.random() < 0.2:
                transaction = rng.choice(made)
            else:
                source, key, amount = rng.choice(known)
                owner = rng.choice((ALICE, BOB))
                expiry = pool.bench.height + rng.randint(0, 4)
                parts = [amount] if amount < 2 or rng.random() < 0.5 else [amount // 2, amount - amount // 2]
                outputs = [Output(CNY, part, lock(owner)) for part in parts]
                transaction = pool.bench.make([source], outputs, sender=key, expiry_height=expiry)
                made.append(transaction)
                known += [(transaction.tx_id + i.to_bytes(4, "big"), owner, part) for i, part in enumerate(parts)]
            with contextlib.suppress(InvalidTransaction, Overloaded):
                happened["admitted"] += pool.admit(transaction)
        elif choice < 0.75:
            pool.mempool.drop(rng.choice(made).tx_id, "unfit")
            happened["dropped"] += 1
        else:
            wanted = [t for t in pool.mempool.candidates() if rng.random() < 0.6]
            wanted += rng.sample(made, min(len(made), 2))
            execution, fit = pool.bench.execution(), []
            for transaction in wanted:
                try:
                    execution.add(fresh(transaction))
                except InvalidTransaction:
                    continue
                fit.append(transaction)
            pool.block(*fit)
            happened["blocks"] += 1
        check_indexes(pool.mempool)
    note(str(happened))
    for transaction in list(pool.mempool.candidates()):
        pool.mempool.drop(transaction.tx_id, "end")
    mempool = pool.mempool
    assert mempool.size_bytes == 0
    for index in ("_entries", "_spenders", "_outputs", "_expiring", "_organisation_bytes"):
        assert not getattr(mempool, index), index
