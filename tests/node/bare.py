"""A node without consensus and overlay: chain, mempool, intake and gateway, whose blocks a test commits itself."""

from __future__ import annotations

from collections.abc import Sequence

from ledger.certificate import CommitCertificate, VoteKind, vote_digest
from ledger.errors import InvalidTransaction
from ledger.store import Store
from ledger.transaction import Transaction
from node.chain import Candidate, Chain, Committed
from node.driver import is_ok
from node.intake import Intake
from node.local import LocalGateway
from node.mempool import Mempool, MempoolLimits
from tests.node.cluster import Cluster, MemoryDisk


class Bare:
    """One node of a chain of which it is the only validator."""

    def __init__(
        self, limits: MempoolLimits | None = None, store: Store | None = None, cluster: Cluster | None = None
    ) -> None:
        self.cluster = cluster or Cluster(1)
        self.chain = Chain(self.cluster.genesis, store or MemoryDisk())
        self.mempool = Mempool(self.chain.rules, self.chain.state, limits or MempoolLimits(), self._on_dropped)
        self.mempool.start_height(self.chain.next_block())
        self.now_ms = 0
        self.woken = 0
        self.intake = Intake(self.chain, self.mempool, lambda: self.now_ms, self._on_waiting)
        self.gateway = LocalGateway(self.chain, self.mempool, self.intake)

    def _on_dropped(self, tx_id: bytes, code: str) -> None:
        self.gateway.on_dropped(tx_id, code)

    def _on_waiting(self) -> None:
        self.woken += 1

    def pay(self, number: int = 0, amount: int = 5, **changes: int) -> Transaction:
        return self.cluster.transfer(0, 0, amount, self.cluster.genesis_output(0, number), **changes)

    async def build(self, transactions: Sequence[Transaction]) -> tuple[Candidate, CommitCertificate]:
        key = self.cluster.members[0].validator
        candidate = await self.chain.build(transactions, key.public, self.chain.tip.header.time_ms + 1, _impossible)
        header = candidate.block.header
        signed = vote_digest(header.chain_id, 0, VoteKind.COMMIT, header.height, 0, candidate.id)
        return candidate, CommitCertificate(header.height, 0, 0, candidate.id, ((key.public, key.sign(signed)),))

    async def commit(self, *transactions: Transaction) -> Committed:
        """Decides a block of these transactions, or of all that wait; does what the driver does."""
        candidate, certificate = await self.build(transactions or list(self.mempool.candidates()))
        return self.tell(await self.chain.commit(candidate, certificate))

    def tell(self, committed: Committed) -> Committed:
        """Tells mempool and gateway of a block that is on the disk."""
        candidate = committed.candidate
        refused = frozenset(
            transaction.tx_id
            for transaction, receipt in zip(candidate.transactions, candidate.result.receipts, strict=False)
            if not is_ok(receipt)
        )
        self.mempool.on_block(candidate.transactions, refused, committed.height)
        self.mempool.start_height(self.chain.next_block())
        self.gateway.on_committed(committed)
        return committed


def _impossible(tx_id: bytes, code: str) -> None:
    raise InvalidTransaction("a test put an unfit transaction into a block", code=code, tx_id=tx_id)
