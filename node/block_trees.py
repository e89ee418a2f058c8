"""Merkle trees of the blocks that proofs were asked of last, so that a proof costs a path and not a block.

Whoever waits for its transactions asks for a proof of each: building the trees anew would cost 8 ms of a full block
each time.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from typing import Final

from ledger.chain_proof import Inclusion
from ledger.chain_reader import ChainReader
from ledger.errors import NotFound
from ledger.merkle import leaf_hash, node_hash
from ledger.transaction import TX_REF_BYTES

KEPT_BLOCKS: Final = 4
"""Blocks whose contents and trees are kept: at most about 10 MB each."""


class KeptTree:
    """An RFC 6962 tree with all its levels.

    Args:
        hashes: of the leaves, in order.
    """

    __slots__ = ("_levels", "size")

    def __init__(self, hashes: Sequence[bytes]) -> None:
        self.size = len(hashes)
        levels = [list(hashes)]
        while len(levels[-1]) > 1:
            below = levels[-1]
            level: list[bytes] = [node_hash(a, b) for a, b in zip(below[::2], below[1::2], strict=False)]
            if len(below) & 1:
                level.append(below[-1])
            levels.append(level)
        self._levels = levels

    def inclusion(self, index: int) -> Inclusion:
        """Proof of leaf ``index``.

        Raises:
            NotFound: there is no such leaf.
        """
        if not 0 <= index < self.size:
            raise NotFound(f"there is no entry {index} among {self.size}")
        path: list[bytes] = []
        place = index
        for level in self._levels[:-1]:
            if place ^ 1 < len(level):
                path.append(level[place ^ 1])
            place >>= 1
        return Inclusion(index, self.size, tuple(path))


class BlockContents:
    """What a block's proofs are made of.

    Attributes:
        refs: concatenated.
        transactions: wire bytes in order.
        receipts: canonical bytes in order; the last is the end of the block's.
        refs_tree: over the refs.
        receipts_tree: over the receipts.
    """

    __slots__ = ("receipts", "receipts_tree", "refs", "refs_tree", "transactions")

    def __init__(self, reader: ChainReader, height: int) -> None:
        refs = reader.block(height).refs
        self.refs = refs
        self.transactions = reader.transactions(height)
        self.receipts = reader.receipts(height)
        self.refs_tree = KeptTree([leaf_hash(refs[i : i + TX_REF_BYTES]) for i in range(0, len(refs), TX_REF_BYTES)])
        self.receipts_tree = KeptTree([leaf_hash(receipt) for receipt in self.receipts])


class BlockTrees:
    """The contents of the blocks asked for last.

    Args:
        reader: of the chain.
        kept: blocks at most; the one not asked for longest is forgotten.
    """

    def __init__(self, reader: ChainReader, kept: int = KEPT_BLOCKS) -> None:
        self._reader = reader
        self._kept = kept
        self._blocks: OrderedDict[int, BlockContents] = OrderedDict()

    def at(self, height: int) -> BlockContents:
        """Of a committed block.

        Raises:
            NotFound: above the tip, or pruned.
            StorageFault: a record is damaged.
        """
        found = self._blocks.get(height)
        if found is None:
            found = self._blocks[height] = BlockContents(self._reader, height)
            if len(self._blocks) > self._kept:
                self._blocks.popitem(last=False)
        else:
            self._blocks.move_to_end(height)
        return found
