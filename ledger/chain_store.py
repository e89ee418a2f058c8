"""The chain of one node over any store: blocks, results, state, indexes, and the tip.

A block and everything that follows from it (receipts, changes, state, indexes, history) is one batch, so there is never
a height without its state. Building the batch is pure computation; the caller writes it, in a thread when it likes, and
then tells ``committed``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from ledger.block import (
    Block,
    Header,
    block_id,
    changes_root,
    receipts_root,
)
from ledger.block import change_hashes as hashes_of
from ledger.certificate import CommitCertificate
from ledger.chain_proof import history_nodes
from ledger.chain_reader import ChainReader
from ledger.chain_recheck import DEFAULT_DEPTH, RecheckReport, recheck, verify_chain
from ledger.chain_records import (
    FORMAT_KEY,
    FORMAT_VERSION,
    TIP_KEY,
    Change,
    Format,
    changes_record,
    height_key,
    index_entries,
    read_format,
    read_tip,
)
from ledger.encoding import encode
from ledger.errors import InvalidGenesis, LocalMisuse, StorageFault
from ledger.merkle import EMPTY_ROOT, GrowingTree, leaf_hash
from ledger.state import StoredState
from ledger.store import Batch, Kind, Store
from ledger.types import Hash32, Height
from ledger.validators import ValidatorSet


class CommittedTransaction(Protocol):
    """What is kept of a transaction; ``ledger.transaction.Transaction`` is one."""

    @property
    def tx_id(self) -> bytes:
        """Its id, 32 bytes."""
        ...

    @property
    def wire(self) -> bytes:
        """Its canonical bytes."""
        ...


@dataclass(frozen=True, slots=True)
class Tip:
    """The last committed block.

    Attributes:
        height: of it.
        block_id: its id.
        header: its header.
    """

    height: Height
    block_id: Hash32
    header: Header


class ChainStore(ChainReader):
    """What a node keeps of its chain.

    Args:
        store: where; may be empty, then ``initialise`` comes first.
        chain_id: 32 bytes.
        genesis_hash: hash of the genesis file; the parent of block 0.

    Raises:
        InvalidGenesis: ``genesis_mismatch``: the store holds another chain; ``format_unknown``: another layout.
        StorageFault: the records that name the tip are missing or damaged: the chain must be synced again.

    Attributes:
        store: as given.
        chain_id: as given.
        genesis_hash: as given.
        state: the committed state.
    """

    __slots__ = ("_history", "_tip", "chain_id", "genesis_hash", "state", "store")

    def __init__(self, store: Store, chain_id: bytes, genesis_hash: bytes) -> None:
        super().__init__(store)
        self.store = store
        self.chain_id = bytes(chain_id)
        self.genesis_hash = bytes(genesis_hash)
        self.state = StoredState(store)
        self._tip: Tip | None = None
        self._history = GrowingTree()
        self.reload()

    def reload(self) -> None:
        """Reads the tip from the store again.

        Raises:
            InvalidGenesis, StorageFault: as the constructor.
        """
        record = self.store.get(FORMAT_KEY)
        if record is None:
            if any(True for _ in self.store.iterate(Kind.BLOCK, limit=1)):
                raise StorageFault("the store has blocks and no format marker", key=FORMAT_KEY)
            return
        check_format(read_format(record), self.chain_id, self.genesis_hash)
        record = self.store.get(TIP_KEY)
        if record is None:
            raise StorageFault("the store does not say which block is its last", key=TIP_KEY)
        self._read_bounds()
        height, tip_id = read_tip(record)
        self._blocks = height + 1
        header = self.header(height)
        if header.height != height or block_id(header) != tip_id:
            raise StorageFault(f"the stored header of the tip, height {height}, is not that block", key=TIP_KEY)
        self._tip = Tip(Height(height), Hash32(tip_id), header)
        self._history = self.history_at(height + 1)

    # --- the tip --------------------------------------------------------------------------------------------------

    @property
    def initialised(self) -> bool:
        """True once the genesis block is there."""
        return self._tip is not None

    @property
    def tip(self) -> Tip:
        """The last committed block.

        Raises:
            LocalMisuse: the store is still empty.
        """
        if self._tip is None:
            raise LocalMisuse("the chain has no genesis block yet")
        return self._tip

    @property
    def height(self) -> Height:
        """Height of the tip."""
        return self.tip.height

    @property
    def history(self) -> GrowingTree:
        """The tree over the ids of blocks 0 … tip: its root and size stand in the next header. Do not append to it."""
        return self._history

    # --- writing --------------------------------------------------------------------------------------------------

    def initialise(
        self,
        header: Header,
        writes: Mapping[bytes, bytes | None],
        receipts: Sequence[bytes] = (),
        extra: Batch | None = None,
    ) -> Tip:
        """Writes the genesis block, synced, and its state; a chain that already has the same one is left alone.

        Args:
            header: of height 0, without transactions; its roots must fit ``writes`` and ``receipts``.
            writes: the state that the chain starts with.
            receipts: canonical receipt bytes of what contracts did at genesis.
            extra: further records of the same batch (checkpoint, node).

        Raises:
            InvalidGenesis: ``genesis_mismatch``: another genesis block is there, or the header names another chain or
                genesis file; ``genesis_invalid``: a root in the header is wrong.
            StorageFault: it could not be written.
        """
        name = block_id(header)
        if (header.chain_id, header.parent, header.height) != (self.chain_id, self.genesis_hash, 0):
            raise InvalidGenesis("the genesis block is of another chain or genesis file", code="genesis_mismatch")
        if self._tip is not None:
            if block_id(self.header(0)) != name:
                raise InvalidGenesis("the data directory holds another genesis block", code="genesis_mismatch")
            return self._tip
        hashes = hashes_of(writes)
        expected = (EMPTY_ROOT, 0, EMPTY_ROOT, 0, receipts_root(receipts), changes_root(hashes), len(hashes))
        if expected != (
            header.history_root,
            header.history_size,
            header.transactions_root,
            header.transactions_count,
            header.receipts_root,
            header.changes_root,
            header.changes_count,
        ):
            raise InvalidGenesis("a root in the genesis block's header does not fit its contents")
        batch = self._records(Block(header, b""), name, None, (), receipts)
        batch.update(_state_records(0, writes, hashes))
        batch[FORMAT_KEY] = encode(Format(FORMAT_VERSION, self.chain_id, self.genesis_hash))
        batch.update(extra or {})
        self.store.write(batch, sync=True)
        return self._advance(header, name)

    def prepare_commit(
        self,
        block: Block,
        transactions: Sequence[CommittedTransaction],
        receipts: Sequence[bytes],
        writes: Mapping[bytes, bytes | None],
        *,
        change_hashes: Sequence[tuple[bytes, bytes]],
        certificate: CommitCertificate,
        extra: Batch | None = None,
    ) -> dict[bytes, bytes | None]:
        """The one batch that commits ``block``; nothing is written and nothing changes here.

        The caller has verified the certificate and executed the block. It then runs ``store.write(batch, sync=True)``,
        in a worker thread when it likes, and calls ``committed``.

        Args:
            block: the decided block; its parent is the tip.
            transactions: in block order.
            receipts: canonical bytes, in order: one for each transaction, then the end of the block's.
            writes: state keys with their new values, None where deleted (``Overlay.writes``).
            change_hashes: ``ledger.block.change_hashes(writes)``.
            certificate: the quorum's seals.
            extra: further records of the same batch (checkpoint, services, signer state).

        Raises:
            LocalMisuse: the block does not follow the tip, or the parts do not belong to it.
        """
        header, tip = block.header, self.tip
        name = block_id(header)
        if header.height != tip.height + 1 or header.parent != tip.block_id:
            raise LocalMisuse(f"block {header.height} does not follow the tip {tip.height}")
        if certificate.block_id != name or certificate.height != header.height:
            raise LocalMisuse(f"the certificate is not of block {header.height}")
        if len(transactions) != header.transactions_count or len(change_hashes) != header.changes_count:
            raise LocalMisuse(f"transactions or changes are not those of block {header.height}")
        batch = self._records(block, name, certificate, transactions, receipts)
        batch.update(_state_records(header.height, writes, change_hashes))
        if extra:
            batch.update(extra)
        return batch

    def _records(
        self,
        block: Block,
        name: Hash32,
        certificate: CommitCertificate | None,
        transactions: Sequence[CommittedTransaction],
        receipts: Sequence[bytes],
    ) -> dict[bytes, bytes | None]:
        height = block.header.height
        batch = index_entries([transaction.tx_id for transaction in transactions], height)
        batch[height_key(Kind.BLOCK, height)] = encode((block.header, certificate))
        batch[height_key(Kind.TRANSACTIONS, height)] = encode(
            (block.refs, [transaction.wire for transaction in transactions])
        )
        batch[height_key(Kind.RECEIPTS, height)] = encode(receipts)
        batch[Kind.BLOCK_INDEX + name] = height.to_bytes(8, "big")
        batch.update(history_nodes(self._history, leaf_hash(name)))
        batch[TIP_KEY] = encode((height, name))
        return batch

    def committed(self, block: Block) -> Tip:
        """The batch of ``block`` is on the disk: makes it the tip.

        Raises:
            LocalMisuse: the block does not follow the tip.
        """
        header, tip = block.header, self.tip
        if header.height != tip.height + 1 or header.parent != tip.block_id:
            raise LocalMisuse(f"block {header.height} does not follow the tip {tip.height}")
        return self._advance(header, block_id(header))

    def _advance(self, header: Header, name: Hash32) -> Tip:
        # A new tree each time, so that whoever holds the old one keeps what it saw.
        self._history = self._history.copy()
        self._history.append(name)
        self._tip = Tip(Height(header.height), name, header)
        self._blocks = header.height + 1
        return self._tip

    # --- trust ----------------------------------------------------------------------------------------------------

    def recheck(self, validators_at: Callable[[int], ValidatorSet | None], depth: int = DEFAULT_DEPTH) -> RecheckReport:
        """Recomputes what binds the last ``depth`` blocks and the state that they wrote (DESIGN.md 2).

        Damage does not raise: it is in the report, with the repair that it needs.

        Args:
            validators_at: the set that decided a height (from state or memory), or None where it is not known; then
                only the seals' form is checked.
            depth: how many blocks, from the tip down.
        """
        return recheck(self, validators_at, depth)

    def verify_all(
        self, validators_at: Callable[[int], ValidatorSet | None], progress: Callable[[int], None] | None = None
    ) -> RecheckReport:
        """Checks every record, every block, and the whole state; takes minutes. See ``recheck``.

        Args:
            validators_at: as in ``recheck``.
            progress: called with each height done.
        """
        return verify_chain(self, validators_at, progress)


def _state_records(
    height: int, writes: Mapping[bytes, bytes | None], hashes: Sequence[tuple[bytes, bytes]]
) -> dict[bytes, bytes | None]:
    state = Kind.STATE
    records: dict[bytes, bytes | None] = {state + key: value for key, value in writes.items()}
    records[height_key(Kind.CHANGES, height)] = changes_record(hashes, [writes[key] is None for key, _ in hashes])
    return records


def check_format(found: Format, chain_id: bytes, genesis_hash: bytes) -> None:
    """Refuses a store of another layout or chain.

    Raises:
        InvalidGenesis: ``format_unknown`` or ``genesis_mismatch``.
    """
    if found.version != FORMAT_VERSION:
        raise InvalidGenesis(
            f"the data directory has format {found.version}; this program knows {FORMAT_VERSION}",
            code="format_unknown",
            found=found.version,
        )
    if (found.chain_id, found.genesis_hash) != (chain_id, genesis_hash):
        raise InvalidGenesis(
            "the data directory belongs to another chain or genesis file",
            code="genesis_mismatch",
            found=found.genesis_hash.hex(),
            expected=genesis_hash.hex(),
        )


__all__ = ["ChainStore", "Change", "CommittedTransaction", "Tip", "check_format"]
