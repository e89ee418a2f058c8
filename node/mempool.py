"""Transactions that wait for a block: admitted once, kept in order of arrival, bounded in every direction.

First seen wins for each outpoint. Transactions may spend outputs of waiting ones, up to a depth. What a block decides
overrides all of it (DESIGN.md 1).
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from time import time_ns
from typing import Final

from contracts.codes import EXPIRED
from contracts.executor import BlockExecution
from contracts.interface import BlockInfo
from contracts.rules import Rules
from ledger.encoding import encode
from ledger.errors import InvalidTransaction, Overloaded
from ledger.state import StateReader
from ledger.transaction import Transaction
from ledger.types import Height, TxId, TxRef

MAX_CHAIN_DEPTH: Final = 25
MAX_DROPPED_REMEMBERED: Final = 10_000
RETRY_AFTER_MS: Final = 500
MAX_COUNTED_CODES: Final = 128
"""Codes that are counted apart; contracts may refuse with codes of their own."""


@dataclass(frozen=True, slots=True)
class MempoolLimits:
    """Bounds of a mempool; at each of them a transaction is refused as ``overloaded`` and nothing is lost.

    Attributes:
        max_transactions: that wait at once.
        max_bytes: sum of their wire bytes.
        organisation_bytes: the part of it that one organisation may take.
    """

    max_transactions: int = 50_000
    max_bytes: int = 64 * 1024 * 1024
    organisation_bytes: int = 48 * 1024 * 1024


class _Entry:
    __slots__ = ("arrived_ms", "depth", "local", "organisation", "transaction")

    def __init__(
        self, transaction: Transaction, organisation: str, depth: int, *, arrived_ms: int, local: bool
    ) -> None:
        self.transaction = transaction
        self.organisation = organisation
        self.depth = depth
        self.arrived_ms = arrived_ms
        self.local = local


class _View:
    """The committed state with the outputs of waiting transactions on top."""

    __slots__ = ("_base_get", "_outputs", "base")

    def __init__(self, base: StateReader, outputs: dict[bytes, bytes]) -> None:
        self.base = base
        self._base_get = base.get
        self._outputs = outputs

    def get(self, key: bytes) -> bytes | None:
        return self._outputs.get(key) or self._base_get(key)

    def iterate(
        self, prefix: bytes, *, start: bytes | None = None, limit: int | None = None
    ) -> Iterator[tuple[bytes, bytes]]:
        return self.base.iterate(prefix, start=start, limit=limit)


class Mempool:
    """See the module.

    Args:
        rules: of the chain.
        state: the committed state.
        limits: bounds.
        on_dropped: told of each transaction that leaves without being in a block, with its reason code.

    Attributes:
        size_bytes: wire bytes of what waits.
        refused: transactions that were not admitted, by code, since the start.
        left: transactions that left without being in a block, likewise.
        on_admitted: told of each transaction with ``local`` and when its checks began (Unix nanoseconds); None: nobody.
    """

    def __init__(
        self,
        rules: Rules,
        state: StateReader,
        limits: MempoolLimits,
        on_dropped: Callable[[TxId, str], None] = lambda _tx_id, _code: None,
    ) -> None:
        self._rules = rules
        self._limits = limits
        self._on_dropped = on_dropped
        self._outputs: dict[bytes, bytes] = {}
        self._view = _View(state, self._outputs)
        self._entries: OrderedDict[TxId, _Entry] = OrderedDict()
        self._spenders: dict[bytes, TxId] = {}
        self._expiring: dict[int, set[TxId]] = {}
        self._organisation_bytes: dict[str, int] = {}
        self._dropped: OrderedDict[TxId, str] = OrderedDict()
        self.size_bytes = 0
        self._checker: BlockExecution | None = None
        self.refused: dict[str, int] = {}
        self.left: dict[str, int] = {}
        self.on_admitted: Callable[[Transaction, bool, int], None] | None = None

    def __len__(self) -> int:
        return len(self._entries)

    def __contains__(self, tx_id: object) -> bool:
        return tx_id in self._entries

    def start_height(self, block: BlockInfo) -> None:
        """From now on transactions are checked for ``block``, the next one: its height and the time of its parent."""
        self._checker = BlockExecution(self._rules, self._view, block, sweep=False)

    @property
    def organisation_bytes(self) -> Mapping[str, int]:
        """Wire bytes that wait, by organisation; read only."""
        return self._organisation_bytes

    @property
    def limits(self) -> MempoolLimits:
        """Its bounds."""
        return self._limits

    def get(self, tx_id: bytes) -> Transaction | None:
        """The waiting transaction with that id, or None."""
        entry = self._entries.get(TxId(tx_id))
        return None if entry is None else entry.transaction

    def find(self, ref: TxRef) -> Transaction | None:
        """The waiting transaction with exactly that id and witness, or None."""
        entry = self._entries.get(TxId(ref[:32]))
        if entry is None or entry.transaction.ref != ref:
            return None
        return entry.transaction

    def dropped_code(self, tx_id: bytes) -> str | None:
        """Why a transaction left without being in a block, for the last ones that did, or None."""
        return self._dropped.get(TxId(tx_id))

    @property
    def has_local(self) -> bool:
        """Whether a transaction waits that a client handed in here."""
        return any(entry.local for entry in self._entries.values())

    @property
    def oldest_ms(self) -> int | None:
        """Arrival (monotonic clock) of the transaction that waits longest, or None when there is none."""
        for entry in self._entries.values():
            return entry.arrived_ms
        return None

    @property
    def nearly_full(self) -> bool:
        """True from nine tenths of a bound on: a proposer then does not wait for more."""
        limits = self._limits
        return len(self._entries) * 10 >= limits.max_transactions * 9 or self.size_bytes * 10 >= limits.max_bytes * 9

    def admit(self, transaction: Transaction, now_ms: int, *, local: bool = False) -> bool:
        """Takes a transaction in after all checks.

        Args:
            transaction: decoded; its signatures are verified here unless somebody has done that already.
            now_ms: monotonic clock.
            local: it came from a client of this node, not from a peer.

        Returns:
            False when it was waiting already.

        Raises:
            InvalidTransaction: it cannot be in the next block; ``code`` says why.
            Overloaded: a bound is reached; try again later.
        """
        tx_id = transaction.tx_id
        if tx_id in self._entries:
            return False
        begun_ns = 0 if self.on_admitted is None else time_ns()
        try:
            organisation, depth = self._examine(transaction)
        except (InvalidTransaction, Overloaded) as error:
            _count(self.refused, error.code)
            raise
        self._insert(_Entry(transaction, organisation, depth, arrived_ms=now_ms, local=local))
        if self.on_admitted is not None:
            self.on_admitted(transaction, local, begun_ns)
        return True

    def _examine(self, transaction: Transaction) -> tuple[str, int]:
        """The sender's organisation, and the depth that the transaction would have. Raises as ``admit``."""
        checker = self._checker
        if checker is None:
            raise Overloaded("the node is starting", retry_after_ms=RETRY_AFTER_MS)
        self._check_room(transaction)
        depth = self._depth(transaction)
        checker.check(transaction)
        member = checker.member(transaction.body.sender)
        organisation = member.organisation if member is not None else ""
        self._check_quota(organisation, transaction.size_bytes)
        return organisation, depth

    def _check_room(self, transaction: Transaction) -> None:
        limits = self._limits
        if len(self._entries) >= limits.max_transactions or self.size_bytes + transaction.size_bytes > limits.max_bytes:
            raise Overloaded(
                f"the mempool is full ({len(self._entries)} transactions, {self.size_bytes} bytes); try again later",
                retry_after_ms=RETRY_AFTER_MS,
            )

    def _check_quota(self, organisation: str, size_bytes: int) -> None:
        if self._organisation_bytes.get(organisation, 0) + size_bytes > self._limits.organisation_bytes:
            raise Overloaded(
                f"{organisation} has its {self._limits.organisation_bytes} bytes of the mempool in use; try later",
                code="organisation_quota",
                retry_after_ms=RETRY_AFTER_MS,
            )

    def _depth(self, transaction: Transaction) -> int:
        for outpoint in transaction.body.inputs:
            spender = self._spenders.get(outpoint)
            if spender is not None:
                raise InvalidTransaction(
                    f"input {outpoint.hex()} is spent by {spender.hex()}, which was here first",
                    code="input_conflict",
                    outpoint=outpoint,
                )
        depth = self._waiting_ancestors(transaction)
        if depth > MAX_CHAIN_DEPTH:
            raise InvalidTransaction(
                f"it builds on more than {MAX_CHAIN_DEPTH} waiting transactions; wait until some are in a block",
                code="chain_too_deep",
            )
        return depth

    def _waiting_ancestors(self, transaction: Transaction) -> int:
        depth = 0
        for outpoint in transaction.body.inputs:
            parent = self._entries.get(TxId(outpoint[:32]))
            if parent is not None and parent.depth >= depth:
                depth = parent.depth + 1
        return depth

    def _insert(self, entry: _Entry) -> None:
        transaction = entry.transaction
        tx_id = transaction.tx_id
        body = transaction.body
        self._entries[tx_id] = entry
        self.size_bytes += transaction.size_bytes
        self._organisation_bytes[entry.organisation] = (
            self._organisation_bytes.get(entry.organisation, 0) + transaction.size_bytes
        )
        for outpoint in body.inputs:
            self._spenders[outpoint] = tx_id
        for index, output in enumerate(body.outputs):
            self._outputs[b"u" + tx_id + index.to_bytes(4, "big")] = encode(output)
        self._expiring.setdefault(body.expiry_height, set()).add(tx_id)

    def _remove(self, tx_id: TxId) -> _Entry | None:
        entry = self._entries.pop(tx_id, None)
        if entry is None:
            return None
        transaction = entry.transaction
        body = transaction.body
        self.size_bytes -= transaction.size_bytes
        rest = self._organisation_bytes[entry.organisation] - transaction.size_bytes
        if rest:
            self._organisation_bytes[entry.organisation] = rest
        else:
            del self._organisation_bytes[entry.organisation]
        for outpoint in body.inputs:
            del self._spenders[outpoint]
        for index in range(len(body.outputs)):
            del self._outputs[b"u" + tx_id + index.to_bytes(4, "big")]
        expiring = self._expiring[body.expiry_height]
        expiring.discard(tx_id)
        if not expiring:
            del self._expiring[body.expiry_height]
        return entry

    def recheck(self, transaction: Transaction) -> bool:
        """Checks a waiting transaction again on the state of now; one that could only be refused is dropped.

        Returns:
            True when it still waits.
        """
        if self._checker is not None and transaction.tx_id in self._entries:
            try:
                self._checker.check(transaction)
            except InvalidTransaction as error:
                self.drop(transaction.tx_id, error.code)
        return transaction.tx_id in self._entries

    def has_waiting_parent(self, tx_id: TxId) -> bool:
        """True when a waiting transaction spends an output of another waiting one."""
        entry = self._entries.get(tx_id)
        return entry is not None and any(
            TxId(outpoint[:32]) in self._entries for outpoint in entry.transaction.body.inputs
        )

    def drop(self, tx_id: TxId, code: str) -> None:
        """Removes a transaction that cannot be in a block any more, and all that build on it."""
        pending = [tx_id]
        while pending:
            name = pending.pop()
            entry = self._remove(name)
            if entry is None:
                continue
            pending.extend(self._children(entry.transaction))
            self._dropped[name] = code
            _count(self.left, code)
            if len(self._dropped) > MAX_DROPPED_REMEMBERED:
                self._dropped.popitem(last=False)
            self._on_dropped(name, code)

    def _children(self, transaction: Transaction) -> list[TxId]:
        prefix = transaction.tx_id
        spenders = (self._spenders.get(prefix + i.to_bytes(4, "big")) for i in range(len(transaction.body.outputs)))
        return [spender for spender in spenders if spender is not None]

    def candidates(self) -> Iterable[Transaction]:
        """The waiting transactions in order of arrival; do not change the mempool while iterating."""
        for entry in self._entries.values():
            yield entry.transaction

    def on_block(self, transactions: Iterable[Transaction], refused: frozenset[bytes], height: Height) -> None:
        """A block is committed: its transactions leave, and so does what it made impossible.

        Args:
            transactions: of the block.
            refused: ids of those with a refused receipt; what builds on them leaves too.
            height: of the block.
        """
        building_on: list[TxId] = []
        for transaction in transactions:
            tx_id = transaction.tx_id
            if tx_id in refused:
                for child in self._children(transaction):
                    self.drop(child, "parent_refused")
                self._remove(tx_id)
                continue
            self._remove(tx_id)
            for outpoint in transaction.body.inputs:
                rival = self._spenders.get(outpoint)
                if rival is not None:
                    self.drop(rival, "input_conflict")
            building_on.extend(self._children(transaction))
        self._shorten_chains(building_on)
        for expiry in sorted(self._expiring):
            if expiry > height:
                break
            for tx_id in sorted(self._expiring.get(expiry, ())):
                self.drop(tx_id, EXPIRED)

    def _shorten_chains(self, pending: list[TxId]) -> None:
        """What builds on committed transactions has a shorter way to the state now."""
        while pending:
            entry = self._entries.get(pending.pop())
            if entry is None:
                continue
            depth = self._waiting_ancestors(entry.transaction)
            if depth != entry.depth:
                entry.depth = depth
                pending.extend(self._children(entry.transaction))

    def waiting_since(self, local_before_ms: int, before_ms: int, limit: int) -> list[Transaction]:
        """At most ``limit`` transactions that wait for long, oldest first.

        Args:
            local_before_ms: those from clients of this node that arrived before (monotonic clock).
            before_ms: those from peers that arrived before.
            limit: how many.
        """
        found: list[Transaction] = []
        for entry in self._entries.values():
            if entry.arrived_ms >= local_before_ms or len(found) >= limit:
                break
            if entry.local or entry.arrived_ms < before_ms:
                found.append(entry.transaction)
        return found


def _count(counts: dict[str, int], code: str) -> None:
    if code not in counts and len(counts) >= MAX_COUNTED_CODES:
        code = "other"
    counts[code] = counts.get(code, 0) + 1
