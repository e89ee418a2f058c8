"""Spans of sampled transactions: from a client's submission to what their packets cause on the other chain.

::

    transaction        the node that a client gave it to: from there to its block
    ├── admit          every node: the checks of the mempool
    ├── propose        the proposer: from ordering the block to sending it out
    ├── commit         every node: from the decision to the block being in force
    └── relay          the fusion daemon: from the block with the packet to the delivery's block on the other chain
        └── deliver    every node of the other chain: the block with the delivery

A daemon says only what it did itself; the ids say how it belongs together (``span_ids``). Nothing here is loaded or
called where no spans are wanted.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator
from time import perf_counter, time_ns
from typing import Final

from consensus.messages import Proposal
from ledger.block import block_id, receipt_codec
from ledger.encoding import Codec
from ledger.errors import InvalidInput
from ledger.packet import PACKET_EVENT, Delivery
from ledger.transaction import MAX_CALL_BYTES, Transaction
from node.chain import Committed
from node.core import NodeCore
from node.driver import is_ok
from node.observability.harmless import harmless
from node.observability.span_ids import is_sampled, span_of, trace_of
from node.observability.span_queue import Span
from node.relay.direction import Direction
from node.relay.ends import DELIVER

TRANSACTION: Final = "transaction"
ADMIT: Final = "admit"
PROPOSE: Final = "propose"
COMMIT: Final = "commit"
RELAY: Final = "relay"
DELIVERED: Final = "deliver"
MAX_OPEN: Final = 10_000
"""Transactions of clients whose end is waited for; the oldest are forgotten first."""
_delivery_codec = Codec(Delivery, MAX_CALL_BYTES, "delivery")


class ChainTracer:
    """One chain of a daemon.

    Args:
        core: its node; from now on it tells this object what happens to transactions.
        chain: name of the chain.
        node: name of the node.
        ratio: share of the transactions that are traced, in thousandths.
        put: takes finished spans.
    """

    def __init__(self, core: NodeCore, chain: str, node: str, ratio: int, put: Callable[[Span], None]) -> None:
        self._core = core
        self._facts: dict[str, str | int | bool] = {"chain": chain, "node": node}
        self._own = core.key.public
        self._ratio = ratio
        self._put = put
        self._open: OrderedDict[bytes, int] = OrderedDict()
        self._bridge = core.chain.rules.address_of("bridge")
        core.mempool.on_admitted = self._on_admitted
        core.driver.times.on_proposal = self._on_proposal
        core.drop_listeners.append(self._on_dropped)
        core.listeners.append(self._on_block)

    @harmless
    def _on_admitted(self, transaction: Transaction, local: bool, begun_ns: int) -> None:
        tx_id = transaction.tx_id
        if not is_sampled(tx_id, self._ratio):
            return
        if local:
            self._open[tx_id] = begun_ns
            if len(self._open) > MAX_OPEN:
                self._open.popitem(last=False)
        self._child(tx_id, ADMIT, begun_ns, from_client=local)

    @harmless
    def _on_proposal(self, proposal: Proposal) -> None:
        candidate = self._core.chain.candidate(block_id(proposal.block.header))
        begun_s = self._core.driver.times.proposal_begun_s
        if candidate is not None and begun_s is not None:
            for tx_id in self._sampled(candidate.transactions):
                self._child(tx_id, PROPOSE, _wall_ns(begun_s), height=proposal.height, round=proposal.round)

    @harmless
    def _on_dropped(self, tx_id: bytes, code: str) -> None:
        begun_ns = self._open.pop(tx_id, None)
        if begun_ns is not None:
            self._root(tx_id, begun_ns, code=code, failed=True)

    @harmless
    def _on_block(self, committed: Committed) -> None:
        transactions, receipts = committed.candidate.transactions, committed.candidate.result.receipts
        begun_s = self._core.driver.times.decided_s or perf_counter()
        for transaction, receipt in zip(transactions, receipts, strict=False):
            if self._bridge and _is_delivery(transaction, self._bridge) and is_ok(receipt):
                self._on_delivery(transaction, begun_s, committed.height)
            tx_id = transaction.tx_id
            if not is_sampled(tx_id, self._ratio):
                continue
            code = "ok" if is_ok(receipt) else receipt_codec.decode(receipt).code
            self._child(tx_id, COMMIT, _wall_ns(begun_s), height=committed.height, code=code)
            opened_ns = self._open.pop(tx_id, None)
            if opened_ns is not None:
                self._root(tx_id, opened_ns, code=code, failed=code != "ok", height=committed.height)

    def _on_delivery(self, transaction: Transaction, begun_s: float, height: int) -> None:
        for origin in origins(transaction.body.calls[0].arguments, self._ratio):
            parent = relay_span(origin, transaction.tx_id)
            span = span_of(origin, DELIVERED, transaction.tx_id, self._own)
            facts: dict[str, str | int | bool] = {**self._facts, "height": height, "delivery": transaction.tx_id.hex()}
            self._put(Span(DELIVERED, trace_of(origin), span, parent, _wall_ns(begun_s), time_ns(), facts))

    def _sampled(self, transactions: tuple[Transaction, ...]) -> Iterator[bytes]:
        return (each.tx_id for each in transactions if is_sampled(each.tx_id, self._ratio))

    def _child(self, tx_id: bytes, name: str, begun_ns: int, **facts: str | int | bool) -> None:
        span = span_of(tx_id, name, self._own, str(facts.get("round", "")).encode())
        self._put(Span(name, trace_of(tx_id), span, root_span(tx_id), begun_ns, time_ns(), {**self._facts, **facts}))

    def _root(self, tx_id: bytes, begun_ns: int, *, failed: bool, **facts: str | int) -> None:
        found = {**self._facts, "transaction": tx_id.hex(), **facts}
        self._put(Span(TRANSACTION, trace_of(tx_id), root_span(tx_id), 0, begun_ns, time_ns(), found, failed))


class RelayTracer:
    """One direction of a relay.

    Args:
        direction: tells this object of its deliveries from now on.
        node: name of the node.
        ratio: in thousandths.
        put: takes finished spans.
    """

    def __init__(self, direction: Direction, node: str, ratio: int, put: Callable[[Span], None]) -> None:
        self._facts = {"node": node, "source": direction.source.name, "destination": direction.destination.name}
        self._ratio = ratio
        self._put = put
        direction.on_delivered = self._on_delivered

    @harmless
    def _on_delivered(self, transaction: Transaction, begun_ns: int, outcome: str) -> None:
        if outcome != "brought":
            return
        facts = {**self._facts, "delivery": transaction.tx_id.hex()}
        for origin in origins(transaction.body.calls[0].arguments, self._ratio):
            span = relay_span(origin, transaction.tx_id)
            self._put(Span(RELAY, trace_of(origin), span, root_span(origin), begun_ns, time_ns(), facts))


def root_span(tx_id: bytes) -> int:
    """Id of a transaction's own span, which all others of its chain hang on."""
    return span_of(tx_id, TRANSACTION)


def relay_span(origin: bytes, delivery: bytes) -> int:
    """Id of the span of a delivery that brought what transaction ``origin`` sent."""
    return span_of(origin, RELAY, delivery)


def origins(arguments: bytes, ratio: int) -> list[bytes]:
    """Sampled transactions whose packets a delivery brings, in order.

    Args:
        arguments: canonical bytes of the ``Delivery``.
        ratio: in thousandths.
    """
    try:
        delivery = _delivery_codec.decode(arguments)
        receipts = [receipt_codec.decode(proof.receipt) for proof in delivery.receipts]
    except InvalidInput:
        return []
    return [
        receipt.tx_id
        for receipt in receipts
        if is_sampled(receipt.tx_id, ratio) and any(event.name == PACKET_EVENT for event in receipt.events)
    ]


def _is_delivery(transaction: Transaction, bridge: str) -> bool:
    calls = transaction.body.calls
    return bool(calls) and calls[0].contract == bridge and calls[0].method == DELIVER


def _wall_ns(perf_s: float) -> int:
    """Unix nanoseconds of a moment of ``perf_counter``."""
    return time_ns() - int((perf_counter() - perf_s) * 1e9)
