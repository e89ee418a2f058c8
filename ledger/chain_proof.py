"""Inclusion proofs over what a chain store keeps, and the stored nodes of the history tree."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Annotated

from msgspec import Meta

from ledger.chain_records import history_key
from ledger.encoding import Codec, Record
from ledger.errors import NotFound
from ledger.merkle import GrowingTree, inclusion_proof, leaf_hash, node_hash, verify_inclusion
from ledger.types import MAX_HEIGHT, Hash32

_Hash = Annotated[bytes, Meta(min_length=32, max_length=32)]
_Count = Annotated[int, Meta(ge=0, le=MAX_HEIGHT)]


class Inclusion(Record, frozen=True):
    """An RFC 6962 audit path.

    Attributes:
        index: of the leaf.
        size: leaves of the tree; compare it with the header's count.
        path: siblings, from the leaf upwards.
    """

    index: _Count
    size: _Count
    path: Annotated[tuple[_Hash, ...], Meta(max_length=64)]

    def check(self, leaf: bytes, expected_root: bytes) -> None:
        """Checks that ``leaf`` (its bytes, not its hash) is under ``expected_root``.

        Raises:
            InvalidProof: it is not shown to be.
        """
        verify_inclusion(leaf_hash(leaf), self.index, self.size, self.path, expected_root)


inclusion_codec = Codec(Inclusion, 4_096, "inclusion proof")


def inclusion_of(hashes: Sequence[bytes], index: int) -> Inclusion:
    """The proof for leaf ``index`` of the tree over ``hashes``.

    Raises:
        NotFound: there is no such leaf.
    """
    if not 0 <= index < len(hashes):
        raise NotFound(f"there is no entry {index} among {len(hashes)}")
    return Inclusion(index, len(hashes), inclusion_proof(hashes, index))


def history_nodes(tree: GrowingTree, leaf: bytes) -> dict[bytes, bytes]:
    """Records of the nodes that become complete when ``leaf`` (a leaf hash) is appended to ``tree``: two on average.

    Kept so that any block's inclusion in any later history is O(log n) reads instead of O(n) hashes.
    """
    index, level, value = tree.size, 0, bytes(leaf)
    nodes = {history_key(0, index): value}
    peaks = list(tree.peaks)
    while index & 1:
        value = node_hash(peaks.pop(), value)
        index >>= 1
        level += 1
        nodes[history_key(level, index)] = value
    return nodes


def history_path(node: Callable[[int, int], bytes], index: int, size: int) -> tuple[Hash32, ...]:
    """Audit path of leaf ``index`` in the tree over the first ``size`` leaves.

    Args:
        node: complete node by level and index.
        index: of the leaf.
        size: of the tree, above ``index``.
    """
    return tuple(_path(node, index, 0, size))


def _path(node: Callable[[int, int], bytes], index: int, start: int, end: int) -> list[Hash32]:
    if end - start == 1:
        return []
    split = start + (1 << (end - start - 1).bit_length() - 1)
    if index < split:
        return [*_path(node, index, start, split), _root(node, split, end)]
    return [*_path(node, index, split, end), _root(node, start, split)]


def _root(node: Callable[[int, int], bytes], start: int, end: int) -> Hash32:
    """Root over leaves ``start`` … ``end − 1``; ``start`` is a multiple of the largest power of two in their count."""
    count = end - start
    if count & (count - 1) == 0:
        level = count.bit_length() - 1
        return Hash32(node(level, start >> level))
    split = start + (1 << (count - 1).bit_length() - 1)
    return node_hash(_root(node, start, split), _root(node, split, end))
