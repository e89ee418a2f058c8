"""The way of transactions into the mempool: from clients one by one or in bulk, from peers in gossiped batches.

Signatures are verified inline in slices of about a millisecond, so that votes never wait long; what was admitted goes
out to the other nodes in batches (DESIGN.md 1, 8). At saturation gossip is dropped here, never admitted work: its
origin says it again until it is in a block.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from typing import Final

import structlog

from contracts.codes import CHAIN_WRONG, EXPIRED, INPUT_MISSING, REPLAYED, SIGNATURE_INVALID
from contracts.rules import verify_signatures
from ledger.errors import InvalidTransaction, MalformedBytes, Overloaded, TidegateError
from ledger.transaction import Transaction
from ledger.types import TxId
from node.chain import Chain
from node.mempool import Mempool
from node.wire import Topic, encode_batch, transaction_batch_codec
from p2p.gossip import Gossip, Verdict
from p2p.transport import PeerId

log = structlog.get_logger(__name__)

SLICE: Final = 16
"""Transactions checked between two yields: about 1 ms of signature verification."""
FLUSH_AFTER_S: Final = 0.004
FLUSH_BYTES: Final = 48 * 1024
"""A batch leaves when it has this many bytes, or after ``FLUSH_AFTER_S``. Below gossip's announce-and-fetch bound."""
MAX_QUEUED_BYTES: Final = 16 * 1024 * 1024
"""Gossiped batches that wait to be checked; beyond it they are dropped."""
REPUBLISH_OWN_AFTER_MS: Final = 2_000
"""Transactions of our clients are said again after this long without a block, others after ``REPUBLISH_AFTER_MS``."""
REPUBLISH_AFTER_MS: Final = 10_000
REPUBLISH_COUNT: Final = 256

STOPPING: Final = "stopping"
STOPPING_RETRY_MS: Final = 1_000

MAX_EARLY: Final = 64
"""Transactions from peers that are kept although they cannot be admitted yet; others wait to be said again."""
EARLY_BLOCKS: Final = 3
"""Blocks after which one that still cannot be admitted is forgotten."""

_CONDEMNING: Final = frozenset({SIGNATURE_INVALID, CHAIN_WRONG})
"""Codes that no honest relay lets pass, whatever its state."""


class Intake:
    """See the module.

    Args:
        chain: for what is committed already.
        mempool: where they go.
        clock_ms: monotonic milliseconds.
        on_waiting: told after transactions were admitted.
    """

    def __init__(
        self, chain: Chain, mempool: Mempool, clock_ms: Callable[[], int], on_waiting: Callable[[], None]
    ) -> None:
        self._chain = chain
        self._mempool = mempool
        self._clock_ms = clock_ms
        self._on_waiting = on_waiting
        self._gossip: Gossip | None = None
        self._outgoing: list[bytes] = []
        self._outgoing_bytes = 0
        self._flush_timer: asyncio.TimerHandle | None = None
        self._queue: deque[tuple[PeerId, bytes]] = deque()
        self._queued_bytes = 0
        self._wake = asyncio.Event()
        self._early: dict[TxId, tuple[Transaction, int]] = {}
        self._refusing = False
        self.dropped_batches = 0

    def attach(self, gossip: Gossip) -> None:
        """Says where batches go; called once, before anything else."""
        self._gossip = gossip

    # --- from clients -------------------------------------------------------------------------------------------

    def submit(self, transaction: Transaction) -> None:
        """Admits a client's transaction and sends it on; one that is known or committed is accepted again.

        Raises:
            InvalidTransaction: refused; ``code`` says why.
            Overloaded: the mempool is full; ``stopping``: this node is about to end.
        """
        if self._admit(transaction):
            self._send_on(transaction.wire)
            self._on_waiting()

    async def submit_many(
        self, wires: Sequence[bytes], on_admit: Callable[[TxId], None] = lambda _tx_id: None
    ) -> list[Transaction | TidegateError]:
        """The same for many, in slices; for each the transaction or why it was refused.

        ``on_admit`` is told of each id before a block can contain it.
        """
        answers: list[Transaction | TidegateError] = []
        for start in range(0, len(wires), SLICE):
            admitted = False
            for wire in wires[start : start + SLICE]:
                try:
                    transaction = Transaction.decode(wire)
                    if self._admit(transaction):
                        on_admit(transaction.tx_id)
                        self._send_on(wire)
                        admitted = True
                    answers.append(transaction)
                except (InvalidTransaction, MalformedBytes, Overloaded) as error:
                    answers.append(error)
            if admitted:
                self._on_waiting()
            await asyncio.sleep(0)
        return answers

    def _admit(self, transaction: Transaction) -> bool:
        if transaction.tx_id in self._mempool:
            return False
        if self._refusing:
            if self._chain.store.find_transaction(transaction.tx_id) is not None:
                return False
            raise Overloaded(
                "this node is stopping; hand the transaction to another one, or to this one again once it is back",
                code=STOPPING,
                retry_after_ms=STOPPING_RETRY_MS,
            )
        try:
            return self._mempool.admit(transaction, self._clock_ms(), local=True)
        except InvalidTransaction as error:
            # Who asks again after the expiry of what is in a block must not be told to sign it anew: that pays twice.
            if error.code not in (INPUT_MISSING, REPLAYED, EXPIRED):
                raise
            if self._chain.store.find_transaction(transaction.tx_id) is None:
                raise
            return False

    # --- to the other nodes -------------------------------------------------------------------------------------

    def _send_on(self, wire: bytes) -> None:
        self._outgoing.append(wire)
        self._outgoing_bytes += len(wire)
        if self._outgoing_bytes >= FLUSH_BYTES:
            self._flush()
        elif self._flush_timer is None:
            self._flush_timer = asyncio.get_running_loop().call_later(FLUSH_AFTER_S, self._flush)

    def _flush(self) -> None:
        if self._flush_timer is not None:
            self._flush_timer.cancel()
            self._flush_timer = None
        if self._outgoing and self._gossip is not None:
            self._gossip.publish(Topic.TRANSACTIONS, encode_batch(self._outgoing))
        self._outgoing = []
        self._outgoing_bytes = 0

    def refuse_clients(self) -> None:
        """From now on clients' new transactions are refused with ``stopping``; peers' are still taken."""
        self._refusing = True
        self._flush()

    def stop(self) -> None:
        """The node ends: what was admitted a moment ago goes out, while the overlay still takes it."""
        self._flush()

    def republish(self) -> None:
        """Says again what has waited for long: somebody may have missed it.

        What the others would refuse by now is dropped instead: it would hold its inputs until it expires.
        """
        now = self._clock_ms()
        waiting = self._mempool.waiting_since(now - REPUBLISH_OWN_AFTER_MS, now - REPUBLISH_AFTER_MS, REPUBLISH_COUNT)
        for transaction in waiting:
            if self._mempool.recheck(transaction):
                self._send_on(transaction.wire)

    def on_block(self) -> None:
        """The next height has begun: what was here before the block that it rests on is tried again.

        Who reacts to a block at once is faster than the block is everywhere. Without this the next proposer would miss
        such a transaction, and the height would wait for the timer of round 0.
        """
        height, admitted = self._chain.tip.height, False
        for tx_id, (transaction, until) in list(self._early.items()):
            if height > until or tx_id in self._mempool:
                del self._early[tx_id]
                continue
            try:
                taken = self._mempool.admit(transaction, self._clock_ms())
            except (InvalidTransaction, Overloaded):
                continue
            del self._early[tx_id]
            if taken:
                self._send_on(transaction.wire)
                admitted = True
        if admitted:
            self._on_waiting()

    # --- from peers ---------------------------------------------------------------------------------------------

    def on_batch(self, peer: PeerId, payload: bytes) -> Verdict | None:
        """Takes a gossiped batch; the verdict follows when it has been checked."""
        if self._queued_bytes + len(payload) > MAX_QUEUED_BYTES:
            self.dropped_batches += 1
            return Verdict.LATER
        self._queue.append((peer, payload))
        self._queued_bytes += len(payload)
        self._wake.set()
        return None

    async def run(self) -> None:
        """Checks gossiped batches until cancelled."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            while self._queue:
                peer, payload = self._queue.popleft()
                self._queued_bytes -= len(payload)
                verdict = await self._check_batch(payload)
                if verdict is Verdict.REJECT:
                    log.warning("transaction_batch_rejected", peer=peer)
                if self._gossip is not None:
                    self._gossip.report(Topic.TRANSACTIONS, payload, verdict)

    async def _check_batch(self, payload: bytes) -> Verdict:
        try:
            wires = transaction_batch_codec.decode(payload)
            verdict = Verdict.IGNORE
            for start in range(0, len(wires), SLICE):
                admitted = [self._take(wire) for wire in wires[start : start + SLICE]]
                if any(admitted):
                    verdict = Verdict.ACCEPT
                    self._on_waiting()
                await asyncio.sleep(0)
        except (MalformedBytes, InvalidTransaction):
            return Verdict.REJECT
        return verdict

    def _take(self, wire: bytes) -> bool:
        transaction = Transaction.decode(wire)
        if transaction.tx_id in self._mempool:
            return False
        verify_signatures(transaction)
        try:
            return self._mempool.admit(transaction, self._clock_ms())
        except InvalidTransaction as error:
            if error.code in _CONDEMNING:
                raise
            if error.code not in (REPLAYED, EXPIRED) and len(self._early) < MAX_EARLY:
                self._early[transaction.tx_id] = (transaction, self._chain.tip.height + EARLY_BLOCKS)
            return False
        except Overloaded:
            return False
