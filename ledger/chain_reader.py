"""Reads of a stored chain: blocks, results, indexes, and inclusion proofs over them."""

from __future__ import annotations

from collections.abc import Callable

from ledger.block import Block, Header, header_codec
from ledger.certificate import CommitCertificate
from ledger.chain_proof import Inclusion, history_path, inclusion_of
from ledger.chain_records import (
    BASE_KEY,
    RETAINED_KEY,
    Change,
    StoredBlock,
    StoredTransactions,
    decided_block_bytes,
    height_key,
    history_key,
    read_block,
    read_certificate,
    read_changes,
    read_height,
    read_list,
    read_transactions,
)
from ledger.errors import MalformedBytes, NotFound, StorageFault
from ledger.merkle import GrowingTree, leaf_hash
from ledger.store import Kind, Reader
from ledger.transaction import TX_REF_BYTES
from ledger.types import Height


class ChainReader:
    """What a store or a snapshot of it holds of a chain.

    Args:
        reader: where from.
        blocks: how many there are, the genesis block included.

    Attributes:
        retained_height: lowest height whose transactions, receipts and changes are kept; 0: all of them.
        base_height: height from which every header is kept: 0, but on a node that joined from a snapshot. Below it
            there are block 0 and the headers that change the set of validators.
        on_damage: told the height of a block of which a record was found damaged or missing; the read raises all the
            same.
    """

    __slots__ = ("_blocks", "_reader", "base_height", "on_damage", "retained_height")

    def __init__(self, reader: Reader, blocks: int = 0) -> None:
        self._reader = reader
        self._blocks = blocks
        self.retained_height = Height(0)
        self.base_height = Height(0)
        self.on_damage: Callable[[int], None] = _ignore
        self._read_bounds()

    def _read_bounds(self) -> None:
        get = self._reader.get
        self.retained_height = Height(read_height(RETAINED_KEY, get(RETAINED_KEY)))
        self.base_height = Height(read_height(BASE_KEY, get(BASE_KEY)))

    def _record(self, kind: bytes, height: int) -> tuple[bytes, bytes]:
        if not 0 <= height < self._blocks:
            raise NotFound(f"there is no block {height} yet", height=height)
        if kind != Kind.BLOCK and height < self.retained_height:
            raise self._pruned(height)
        key = height_key(kind, height)
        try:
            record = self._reader.get(key)
        except StorageFault:
            self.on_damage(height)
            raise
        if record is None:
            if height < self.base_height:
                raise self._pruned(height)
            self.on_damage(height)
            raise StorageFault(f"a record of block {height} is missing", key=key, height=height)
        return key, record

    def _pruned(self, height: int) -> NotFound:
        return NotFound(
            f"block {height} is not kept here any more; from {self.retained_height} on all are",
            code="pruned",
            height=height,
            retained_height=self.retained_height,
        )

    def _stored_block(self, height: int) -> tuple[bytes, StoredBlock]:
        key, record = self._record(Kind.BLOCK, height)
        return key, read_block(key, record)

    def _stored_transactions(self, height: int) -> tuple[bytes, StoredTransactions]:
        key, record = self._record(Kind.TRANSACTIONS, height)
        return key, read_transactions(key, record)

    def header(self, height: int) -> Header:
        """Header of a block.

        Raises:
            NotFound: above the tip; ``pruned``: not kept here any more, ``data["retained_height"]`` says what is.
            StorageFault: missing or damaged; the same holds for every read below.
        """
        key, stored = self._stored_block(height)
        try:
            return header_codec.decode(bytes(stored.header))
        except MalformedBytes as error:
            raise StorageFault(error.message, key=key, height=height) from error

    def block(self, height: int) -> Block:
        """Header and refs of a block."""
        return Block(self.header(height), self._stored_transactions(height)[1].refs)

    def certificate(self, height: int) -> CommitCertificate:
        """The commit certificate of a block.

        Raises:
            NotFound: above the tip, or the genesis block, which nobody sealed.
        """
        key, stored = self._stored_block(height)
        certificate = read_certificate(key, stored.certificate)
        if certificate is None:
            raise NotFound("the genesis block has no certificate", height=height)
        return certificate

    def transactions(self, height: int) -> list[bytes]:
        """Wire bytes of a block's transactions, in order."""
        key, stored = self._stored_transactions(height)
        return read_list(key, stored.transactions)

    def receipts(self, height: int) -> list[bytes]:
        """Canonical receipt bytes of a block: one for each transaction, then the end of the block's."""
        return read_list(*self._record(Kind.RECEIPTS, height))

    def changes(self, height: int) -> list[Change]:
        """(state key, leaf hash, deleted) of each change of a block, sorted by key."""
        return read_changes(*self._record(Kind.CHANGES, height))

    def find_transaction(self, tx_id: bytes) -> tuple[Height, int] | None:
        """Height and index of a committed transaction, or None."""
        record = self._reader.get(Kind.TX_INDEX + tx_id)
        if record is None:
            return None
        return Height(int.from_bytes(record[:8], "big")), int.from_bytes(record[8:], "big")

    def height_of(self, name: bytes) -> Height | None:
        """Height of the block with that id, or None."""
        record = self._reader.get(Kind.BLOCK_INDEX + name)
        return None if record is None else Height(int.from_bytes(record, "big"))

    def decided_block(self, height: int) -> bytes:
        """Canonical bytes of the ``DecidedBlock``, as peers fetch it.

        Raises:
            NotFound: above the tip, or the genesis block, which comes from the genesis file.
        """
        if height == 0:
            raise NotFound("the genesis block is not fetched from peers", height=0)
        return decided_block_bytes(self._stored_block(height)[1], self._stored_transactions(height)[1])

    def kept_below_base(self) -> list[Height]:
        """Heights below ``base_height`` whose headers are kept, ascending."""
        if not self.base_height:
            return []
        found: list[Height] = []
        for key, _ in self._reader.iterate(Kind.BLOCK):
            height = Height(int.from_bytes(key[1:], "big"))
            if height >= self.base_height:
                break
            found.append(height)
        return found

    # --- proofs ---------------------------------------------------------------------------------------------------

    def transaction_inclusion(self, height: int, index: int) -> Inclusion:
        """Proof that ref ``index`` is under ``transactions_root`` of that header; the leaf is the 64-byte ref."""
        refs = self._stored_transactions(height)[1].refs
        return inclusion_of([leaf_hash(refs[i : i + TX_REF_BYTES]) for i in range(0, len(refs), TX_REF_BYTES)], index)

    def receipt_inclusion(self, height: int, index: int) -> Inclusion:
        """Proof that receipt ``index`` is under ``receipts_root`` of that header; the leaf is its canonical bytes."""
        return inclusion_of([leaf_hash(receipt) for receipt in self.receipts(height)], index)

    def change_inclusion(self, height: int, key: bytes) -> Inclusion:
        """Proof that a change of ``key`` is under ``changes_root``; the leaf is ``change_leaf(key, value)``.

        Raises:
            NotFound: the block did not change that key.
        """
        changes = self.changes(height)
        for index, change in enumerate(changes):
            if change[0] == key:
                return inclusion_of([leaf for _, leaf, _ in changes], index)
        raise NotFound(f"block {height} did not change that key", height=height)

    def history_inclusion(self, height: int, size: int) -> Inclusion:
        """Proof that block ``height`` is under the ``history_root`` of header ``size``; the leaf is its block id.

        Raises:
            NotFound: ``size`` is above the next header's, or not above ``height``.
        """
        if not 0 <= height < size <= self._blocks:
            raise NotFound(f"no history of {size} blocks holds block {height}", height=height)
        return Inclusion(height, size, history_path(self._node, height, size))

    def history_leaf(self, height: int) -> bytes:
        """Leaf hash of the id of block ``height`` in the history tree: what it must be, whatever its record says.

        Raises:
            StorageFault: the node is missing or damaged.
        """
        return self._node(0, height)

    def history_at(self, size: int) -> GrowingTree:
        """The tree over the ids of blocks 0 … ``size − 1``."""
        peaks, offset = [], 0
        for level in reversed(range(size.bit_length())):
            if size >> level & 1:
                peaks.append(self._node(level, offset >> level))
                offset += 1 << level
        return GrowingTree(size, tuple(peaks))

    def _node(self, level: int, index: int) -> bytes:
        key = history_key(level, index)
        record = self._reader.get(key)
        if record is None:
            raise StorageFault("a node of the history tree is missing", key=key)
        return record


def _ignore(height: int) -> None:
    del height
