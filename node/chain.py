"""The committed chain of this node, and the blocks on top of it: build, check, commit, import.

Executes; does not decide. Long executions yield to the loop every ``YIELD_EVERY`` transactions, so that votes and
requests are not kept waiting (DESIGN.md 8).
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from hashlib import sha256
from time import perf_counter
from typing import Final

import structlog

from consensus.epoch import Epoch
from contracts.block_result import BlockFull, ExecutionResult
from contracts.builtin import build_rules, genesis_block
from contracts.executor import BlockExecution
from contracts.interface import BlockInfo, StateSpace
from ledger.block import PROTOCOL_VERSION, Block, Header, block_id, transactions_root
from ledger.certificate import CommitCertificate
from ledger.chain_records import height_key
from ledger.chain_store import ChainStore, Tip
from ledger.checkpoint import CheckpointTree
from ledger.errors import InvalidBlock, InvalidTransaction
from ledger.genesis import Genesis, Parameters
from ledger.state import Overlay, StoredState
from ledger.state_cache import CachedState
from ledger.store import Batch, Kind, Store
from ledger.store_memory import MemoryStore
from ledger.transaction import Transaction
from ledger.types import Hash32, Height, PublicKey, TxId
from ledger.validators import ValidatorSet
from node.observability.histogram import DISK_S, Histogram
from node.parameters import ParameterBook
from node.seats import SeatBook, Seats

log = structlog.get_logger(__name__)

YIELD_EVERY: Final = 64
"""Transactions executed between two yields: about 3 ms."""
MAX_CANDIDATES: Final = 8
"""Executed and uncommitted blocks of the next height that are kept."""
LOCK_INDEX: Final = Kind.LOCAL + b"o"
"""``l o ‖ first 16 bytes of SHA-256(lock text) ‖ outpoint``: unspent outputs by lock, for wallets; under no root."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A block that was executed here on top of the tip, and what came out of it."""

    id: Hash32
    block: Block
    transactions: tuple[Transaction, ...]
    result: ExecutionResult


@dataclass(frozen=True, slots=True)
class Committed:
    """A block that is on the disk: what subscribers hear of."""

    height: Height
    candidate: Candidate
    certificate: CommitCertificate


@lru_cache(maxsize=8_192)
def lock_index_prefix(lock: str) -> bytes:
    """Beginning of the index entries of a lock text."""
    return LOCK_INDEX + sha256(lock.encode()).digest()[:16]


class Chain:
    """See the module.

    Args:
        genesis: checked genesis of the chain.
        store: opened store; initialised here when it is empty.

    Raises:
        InvalidGenesis: the store holds another chain, or the genesis asks for what this program does not have.
        StorageFault: the store is damaged.

    Attributes:
        genesis: as given.
        rules: contracts and bounds.
        store: blocks and state.
        state: the committed state, cached.
        chain_id: 32 bytes.
        write_seconds: of commits to the store, synced.
        writing_since_s: when the commit that is under way began (``perf_counter``), or None.
        block_bytes: what the last committed block's references and transactions take in the store.
    """

    def __init__(self, genesis: Genesis, store: Store) -> None:
        self.genesis = genesis
        self.rules = build_rules(genesis)
        self.chain_id = genesis.chain_id
        self.store = ChainStore(store, self.chain_id, genesis.hash)
        interval = genesis.parameters.checkpoint_interval
        self._snapshot = store.snapshot()
        self.state = CachedState(StoredState(self._snapshot))
        header, result = genesis_block(genesis, self.rules, StoredState(MemoryStore()))
        if self.store.initialised:
            self.store.initialise(header, result.writes, result.receipts)
            self.checkpoints = CheckpointTree(store, interval, self.store.height)
        else:
            self.checkpoints = CheckpointTree(store, interval)
            extra = self.checkpoints.block_records(0, _changes(result))
            extra.update(_lock_index(result))
            self.store.initialise(header, result.writes, result.receipts, extra)
            self.checkpoints.committed(0)
            self._show(result)
        self._seats = SeatBook(genesis, self.rules, self.state, self.tip.height)
        self._parameters = ParameterBook(genesis, self.rules, self.state, self.tip.height)
        self._candidates: OrderedDict[Hash32, Candidate] = OrderedDict()
        self._writer = ThreadPoolExecutor(1, thread_name_prefix="store")
        self._busy = asyncio.Lock()
        self.write_seconds = Histogram(DISK_S)
        self.writing_since_s: float | None = None
        self.block_bytes = 0

    @property
    def tip(self) -> Tip:
        """The last committed block."""
        return self.store.tip

    @property
    def validators(self) -> ValidatorSet:
        """The set that decides the block after the tip."""
        return self._seats.at(self.tip.height + 1).validators

    @property
    def epoch(self) -> Epoch:
        """The epoch of the block after the tip."""
        return self._seats.at(self.tip.height + 1).epoch

    @property
    def parameters(self) -> Parameters:
        """The numbers in force for the block after the tip."""
        return self._parameters.now

    @property
    def next_parameters(self) -> Parameters:
        """The numbers in force for the height after that, which differ where governance has just changed them."""
        return self._parameters.next

    @property
    def retained_height(self) -> Height:
        """Lowest height whose transactions, receipts and changes are kept; 0: all of them."""
        return self.store.retained_height

    def seats_at(self, height: int) -> Seats:
        """Who decides ``height``, at most two above the tip.

        Raises:
            LocalMisuse: higher than that: nobody knows yet.
        """
        return self._seats.at(height)

    def was_validator(self, key: bytes) -> bool:
        """Whether ``key`` may have signed for a height up to the tip."""
        return self._seats.was_seated(key)

    def close(self) -> None:
        """Waits for a write under way and closes the store."""
        self._writer.shutdown(wait=True)
        self._snapshot.close()
        self.store.store.close()

    def _show(self, result: ExecutionResult) -> None:
        """Lets readers see what was written.

        Until then they read the state before it, whole: the write runs beside them, and a reader that sees half of a
        block finds lists that name records which are not there.
        """
        before, self._snapshot = self._snapshot, self.store.store.snapshot()
        self.state.committed(result.writes, StoredState(self._snapshot))
        before.close()

    def next_block(self, time_ms: int | None = None) -> BlockInfo:
        """The block after the tip, at ``time_ms`` or at the tip's own time."""
        tip = self.tip
        return BlockInfo(self.chain_id, Height(tip.height + 1), tip.header.time_ms if time_ms is None else time_ms)

    def next_due_ms(self) -> int | None:
        """Block time from which some contract has work to do without any transaction, or None."""
        overlay = Overlay(self.state)
        due = [contract.next_due_ms(StateSpace(overlay, address)) for address, contract in self.rules.contracts.items()]
        return min((time for time in due if time is not None), default=None)

    # --- executing ----------------------------------------------------------------------------------------------

    async def build(
        self,
        transactions: Iterable[Transaction],
        proposer: PublicKey,
        time_ms: int,
        on_unfit: Callable[[TxId, str], None],
    ) -> Candidate:
        """Executes as many of ``transactions`` as fit, in order, as the next block.

        Args:
            transactions: in order; parents before children.
            proposer: our signing key.
            time_ms: the block's time; must be above the tip's.
            on_unfit: told of transactions that can be in no block any more.
        """
        parameters = self.parameters
        execution = BlockExecution(self.rules, self.state, self.next_block(time_ms))
        taken: list[Transaction] = []
        size_bytes = 0
        for transaction in transactions:
            if len(taken) >= parameters.max_block_transactions:
                break
            if size_bytes + transaction.size_bytes > parameters.max_block_bytes:
                break
            try:
                execution.add(transaction)
            except InvalidTransaction as error:
                on_unfit(transaction.tx_id, error.code)
                continue
            except BlockFull:
                break
            taken.append(transaction)
            size_bytes += transaction.size_bytes
            if len(taken) % YIELD_EVERY == 0:
                await asyncio.sleep(0)
        result = execution.finish()
        refs = [transaction.ref for transaction in taken]
        header = self._header(execution.block, refs, result, proposer)
        return self._keep(Candidate(block_id(header), Block(header, b"".join(refs)), tuple(taken), result))

    def _header(self, block: BlockInfo, refs: Sequence[bytes], result: ExecutionResult, proposer: PublicKey) -> Header:
        history = self.store.history
        seats = self._seats.at(block.height)
        checkpoint_height, checkpoint_root = self.checkpoints.header_fields(block.height)
        return Header(
            version=PROTOCOL_VERSION,
            chain_id=self.chain_id,
            height=block.height,
            time_ms=block.time_ms,
            parent=self.tip.block_id,
            history_root=history.root(),
            history_size=history.size,
            proposer=proposer,
            epoch=seats.epoch.number,
            validators_hash=seats.validators_hash,
            next_validators_hash=self._seats.at(block.height + 1).validators_hash,
            transactions_root=transactions_root(refs),
            transactions_count=len(refs),
            receipts_root=result.receipts_root,
            changes_root=result.changes_root,
            changes_count=len(result.change_hashes),
            checkpoint_height=checkpoint_height,
            checkpoint_root=checkpoint_root,
        )

    def candidate(self, name: bytes) -> Candidate | None:
        """The executed block of that id on top of the tip, or None."""
        return self._candidates.get(Hash32(name))

    def _keep(self, candidate: Candidate) -> Candidate:
        self._candidates[candidate.id] = candidate
        if len(self._candidates) > MAX_CANDIDATES:
            self._candidates.popitem(last=False)
        return candidate

    async def check(self, name: Hash32, block: Block, transactions: Sequence[Transaction]) -> Candidate:
        """Executes a block that others made, and compares every field of its header.

        Args:
            name: id of the block.
            block: to check; its refs match ``transactions``.
            transactions: in block order.

        Raises:
            InvalidBlock: ``code`` says what differs; every honest validator finds the same.
        """
        known = self._candidates.get(name)
        if known is not None:
            return known
        header = block.header
        self._check_frame(header, transactions)
        execution = BlockExecution(self.rules, self.state, self.next_block(header.time_ms))
        try:
            for index, transaction in enumerate(transactions):
                execution.add(transaction)
                if index % YIELD_EVERY == YIELD_EVERY - 1:
                    await asyncio.sleep(0)
        except InvalidTransaction as error:
            raise InvalidBlock(f"block {header.height}: {error.message}", code=error.code) from error
        except BlockFull as error:
            raise InvalidBlock(f"block {header.height} exceeds the execution bounds", code=error.code) from error
        result = execution.finish()
        refs = [transaction.ref for transaction in transactions]
        expected = self._header(execution.block, refs, result, PublicKey(header.proposer))
        if expected != header:
            wrong = [field for field in Header.__struct_fields__ if getattr(expected, field) != getattr(header, field)]
            raise InvalidBlock(
                f"block {header.height}: our execution differs in {', '.join(wrong)}",
                code="header_mismatch",
                fields=wrong,
            )
        return self._keep(Candidate(name, block, tuple(transactions), result))

    def _check_frame(self, header: Header, transactions: Sequence[Transaction]) -> None:
        parameters = self.parameters
        tip = self.tip
        if header.version != PROTOCOL_VERSION:
            raise InvalidBlock(
                f"block {header.height} has protocol version {header.version}, unknown here", code="version_unknown"
            )
        if header.height != tip.height + 1 or header.parent != tip.block_id:
            raise InvalidBlock(f"block {header.height} does not follow our tip {tip.height}", code="parent_wrong")
        if header.time_ms <= tip.header.time_ms:
            raise InvalidBlock("the block's time is not above its parent's", code="time_wrong")
        if header.proposer not in self.validators:
            raise InvalidBlock("the proposer is not a validator", code="proposer_wrong")
        size_bytes = sum([transaction.size_bytes for transaction in transactions])
        if len(transactions) > parameters.max_block_transactions or (
            size_bytes > parameters.max_block_bytes and len(transactions) > 1
        ):
            raise InvalidBlock("the block is larger than the chain allows", code="block_too_large")

    # --- committing ---------------------------------------------------------------------------------------------

    async def commit(self, candidate: Candidate, certificate: CommitCertificate) -> Committed:
        """Writes a decided block and everything that follows from it in one synced batch.

        Args:
            candidate: executed on top of the tip.
            certificate: verified by the caller.

        Raises:
            StorageFault: the write failed; the node must stop.
        """
        async with self._busy:
            header = candidate.block.header
            result = candidate.result
            extra = self.checkpoints.block_records(header.height, _changes(result))
            extra.update(_lock_index(result))
            batch = self.store.prepare_commit(
                candidate.block,
                candidate.transactions,
                result.receipts,
                result.writes,
                change_hashes=result.change_hashes,
                certificate=certificate,
                extra=extra,
            )
            self.writing_since_s = perf_counter()
            await asyncio.get_running_loop().run_in_executor(self._writer, self._write, batch)
            self.writing_since_s = None
            self.block_bytes = len(batch[height_key(Kind.TRANSACTIONS, header.height)] or b"")
            self.store.committed(candidate.block)
            self._show(result)
            self._seats.on_block(header.height, result.change_hashes)
            self._parameters.on_block(header.height, result.change_hashes)
            self.checkpoints.committed(header.height)
            self._candidates.clear()
            return Committed(Height(header.height), candidate, certificate)

    def _write(self, batch: Batch) -> None:
        begun = perf_counter()
        self.store.store.write(batch)
        self.write_seconds.observe(perf_counter() - begun)

    async def put_back(self, batch: Batch) -> None:
        """Writes records beside the chain's growth: mended blocks, or what pruning removes. Not a tip or a state.

        Raises:
            StorageFault: the write failed; the node must stop.
        """
        async with self._busy:
            await asyncio.get_running_loop().run_in_executor(self._writer, self._write, batch)


def _changes(result: ExecutionResult) -> list[tuple[bytes, bytes, bool]]:
    writes = result.writes
    return [(key, leaf, writes[key] is None) for key, leaf in result.change_hashes]


def _lock_index(result: ExecutionResult) -> dict[bytes, bytes | None]:
    entries: dict[bytes, bytes | None] = {}
    for outpoint, lock in result.created.items():
        entries[lock_index_prefix(lock) + outpoint] = b""
    for outpoint, lock in result.spent.items():
        entries[lock_index_prefix(lock) + outpoint] = None
    return entries
