"""What happens in the mempool to transactions that could only be refused by now."""

from __future__ import annotations

from contracts.accounts import OpenArguments
from ledger.encoding import encode
from ledger.transaction import Call, Transaction
from tests.contracts.bench import ALICE, lock
from tests.node.pool import Pool, check_indexes


def opening(pool: Pool, nonce: bytes) -> Transaction:
    call = Call("accounts", "open", encode(OpenArguments("till", lock(ALICE))))
    return pool.bench.make([], [], sender=ALICE, calls=(call,), nonce=nonce)


def test_transaction_is_dropped_with_its_code_when_a_block_has_made_it_refusable() -> None:
    pool = Pool()
    first, second = opening(pool, bytes(16)), opening(pool, bytes(15) + b"\x01")
    assert pool.admit(first)
    assert pool.admit(second)
    pool.block(first)
    assert second.tx_id in pool.mempool
    assert not pool.mempool.recheck(pool.mempool.get(second.tx_id))
    assert pool.dropped == [(second.tx_id, "account_exists")]
    assert pool.mempool.dropped_code(second.tx_id) == "account_exists"
    check_indexes(pool.mempool)


def test_transaction_still_waits_when_it_is_still_good() -> None:
    pool = Pool()
    transaction = opening(pool, bytes(16))
    pool.admit(transaction)
    assert pool.mempool.recheck(pool.mempool.get(transaction.tx_id))
    assert transaction.tx_id in pool.mempool
    check_indexes(pool.mempool)


def test_waiting_parent_is_known_when_and_only_while_it_waits() -> None:
    pool = Pool()
    parent, child = pool.chain(2)
    pool.admit(parent)
    pool.admit(child)
    assert pool.mempool.has_waiting_parent(child.tx_id)
    assert not pool.mempool.has_waiting_parent(parent.tx_id)
    pool.block(parent)
    assert not pool.mempool.has_waiting_parent(child.tx_id)
