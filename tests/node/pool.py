"""A mempool over a chain in memory, for the tests of what waits: it is told of blocks, and its indexes are checked."""

from __future__ import annotations

import pytest

from ledger.errors import InvalidTransaction, Overloaded
from ledger.keys import SigningKey
from ledger.transaction import Output, Transaction
from ledger.types import Height
from node.mempool import MAX_CHAIN_DEPTH, Mempool, MempoolLimits
from tests.contracts.bench import ALICE, CNY, Bench, fresh, lock


class Pool:
    """A mempool over a chain, and what it said of transactions that left."""

    def __init__(self, limits: MempoolLimits | None = None) -> None:
        self.bench = Bench()
        self.dropped: list[tuple[bytes, str]] = []
        self.mempool = Mempool(
            self.bench.rules,
            self.bench.state,
            limits or MempoolLimits(),
            lambda tx_id, code: self.dropped.append((tx_id, code)),
        )
        self.clock_ms = 0
        self.mempool.start_height(self.bench.next_block())

    def admit(self, transaction: Transaction) -> bool:
        self.clock_ms += 1
        return self.mempool.admit(fresh(transaction), self.clock_ms)

    def refused(self, transaction: Transaction) -> str:
        waiting = len(self.mempool), self.mempool.size_bytes
        with pytest.raises((InvalidTransaction, Overloaded)) as caught:
            self.admit(transaction)
        assert (len(self.mempool), self.mempool.size_bytes) == waiting
        check_indexes(self.mempool)
        return caught.value.code

    def block(self, *transactions: Transaction) -> None:
        """A block with these is decided."""
        receipts = self.bench.block(*transactions)
        refused = frozenset(receipt.tx_id for receipt in receipts[:-1] if receipt.code != "ok")
        self.mempool.on_block([fresh(t) for t in transactions], refused, Height(self.bench.height))
        self.mempool.start_height(self.bench.next_block())
        check_indexes(self.mempool)

    def then(self, parent: Transaction, key: SigningKey = ALICE, **changes: object) -> Transaction:
        """Passes the first output of ``parent`` on, from ``key`` to itself."""
        output = parent.body.outputs[0]
        source = parent.tx_id + bytes(4)
        return self.bench.make([source], [Output(CNY, output.amount, lock(key))], sender=key, **changes)

    def chain(self, length: int, number: int = 0) -> list[Transaction]:
        """``length`` transactions of Alice, each on the one before."""
        found = [self.bench.pay(number, to=lock(ALICE))]
        while len(found) < length:
            found.append(self.then(found[-1]))
        return found


def check_indexes(mempool: Mempool) -> None:
    """Every index is exactly what the waiting transactions say."""
    entries = mempool._entries
    transactions = [entry.transaction for entry in entries.values()]
    assert list(entries) == [transaction.tx_id for transaction in transactions]
    assert mempool.size_bytes == sum(transaction.size_bytes for transaction in transactions)
    organisations: dict[str, int] = {}
    expiring: dict[int, set[bytes]] = {}
    for entry in entries.values():
        transaction = entry.transaction
        organisations[entry.organisation] = organisations.get(entry.organisation, 0) + transaction.size_bytes
        expiring.setdefault(transaction.body.expiry_height, set()).add(transaction.tx_id)
        parents = [entries[name[:32]].depth for name in transaction.body.inputs if name[:32] in entries]
        assert entry.depth == max((depth + 1 for depth in parents), default=0) <= MAX_CHAIN_DEPTH
    assert mempool._organisation_bytes == organisations
    assert mempool._expiring == expiring
    assert mempool._spenders == {name: t.tx_id for t in transactions for name in t.body.inputs}
    assert set(mempool._outputs) == {
        b"u" + t.tx_id + index.to_bytes(4, "big") for t in transactions for index in range(len(t.body.outputs))
    }
