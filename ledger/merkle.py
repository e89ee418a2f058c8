"""RFC 6962 Merkle trees over SHA-256: roots, inclusion and consistency proofs, and a growing tree.

Leaves hash as ``H(00 ‖ leaf)``, inner nodes as ``H(01 ‖ left ‖ right)``; the root of nothing is ``H()``. A root alone
does not say how many leaves it has: callers bind the size beside it (DESIGN.md 2).
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256

from ledger.errors import InvalidProof, LocalMisuse
from ledger.types import Hash32

EMPTY_ROOT = Hash32(sha256(b"").digest())


def leaf_hash(leaf: bytes) -> Hash32:
    """Hash of one leaf's bytes (RFC 6962, 2.1)."""
    return Hash32(sha256(b"\x00" + leaf).digest())


def node_hash(left: bytes, right: bytes) -> Hash32:
    """Hash of an inner node (RFC 6962, 2.1)."""
    return Hash32(sha256(b"\x01" + left + right).digest())


def root_of_hashes(hashes: Sequence[bytes]) -> Hash32:
    """Root over leaf hashes, in order.

    Pairs level by level, an odd last node moving up unchanged, which gives the tree of RFC 6962.
    """
    level = list(hashes)
    if not level:
        return EMPTY_ROOT
    while len(level) > 1:
        odd = level[-1] if len(level) & 1 else None
        level = [sha256(b"\x01" + a + b).digest() for a, b in zip(level[::2], level[1::2], strict=False)]
        if odd is not None:
            level.append(odd)
    return Hash32(level[0])


def root(leaves: Sequence[bytes]) -> Hash32:
    """Root over leaves, in order (RFC 6962, 2.1)."""
    return root_of_hashes([sha256(b"\x00" + leaf).digest() for leaf in leaves])


def inclusion_proof(hashes: Sequence[bytes], index: int) -> tuple[Hash32, ...]:
    """Audit path of leaf ``index`` in the tree over ``hashes`` (RFC 6962, 2.1.1), from the leaf upwards."""
    if not 0 <= index < len(hashes):
        raise LocalMisuse(f"no leaf {index} in a tree of {len(hashes)}")
    path: list[Hash32] = []
    level = list(hashes)
    while len(level) > 1:
        sibling = index ^ 1
        if sibling < len(level):
            path.append(Hash32(level[sibling]))
        odd = level[-1] if len(level) & 1 else None
        level = [sha256(b"\x01" + a + b).digest() for a, b in zip(level[::2], level[1::2], strict=False)]
        if odd is not None:
            level.append(odd)
        index >>= 1
    return tuple(path)


def verify_inclusion(leaf_digest: bytes, index: int, size: int, path: Sequence[bytes], expected_root: bytes) -> None:
    """Checks an audit path (RFC 9162, 2.1.3.2).

    Raises:
        InvalidProof: the path does not lead from the leaf at ``index`` of ``size`` to ``expected_root``.
    """
    if not 0 <= index < size:
        raise InvalidProof(f"leaf {index} is outside a tree of {size}")
    position, last, value = index, size - 1, bytes(leaf_digest)
    for sibling in path:
        if last == 0:
            raise InvalidProof("the proof is too long")
        if position & 1 or position == last:
            value = node_hash(sibling, value)
            while not position & 1 and position:
                position >>= 1
                last >>= 1
        else:
            value = node_hash(value, sibling)
        position >>= 1
        last >>= 1
    if last != 0 or value != expected_root:
        raise InvalidProof("the proof does not lead to the root")


def consistency_proof(hashes: Sequence[bytes], old_size: int) -> tuple[Hash32, ...]:
    """Proof that the tree over the first ``old_size`` hashes is a prefix of this one (RFC 6962, 2.1.2)."""
    if not 0 < old_size <= len(hashes):
        raise LocalMisuse(f"no earlier tree of {old_size} in one of {len(hashes)}")
    return tuple(_subproof(list(hashes), old_size, whole=True))


def _subproof(hashes: list[bytes], old_size: int, *, whole: bool) -> list[Hash32]:
    size = len(hashes)
    if old_size == size:
        return [] if whole else [root_of_hashes(hashes)]
    split = 1 << (size - 1).bit_length() - 1
    if old_size <= split:
        return [*_subproof(hashes[:split], old_size, whole=whole), root_of_hashes(hashes[split:])]
    return [*_subproof(hashes[split:], old_size - split, whole=False), root_of_hashes(hashes[:split])]


def verify_consistency(old_size: int, new_size: int, old_root: bytes, new_root: bytes, path: Sequence[bytes]) -> None:
    """Checks a consistency proof (RFC 9162, 2.1.4.2).

    Raises:
        InvalidProof: the old tree is not shown to be a prefix of the new one.
    """
    if not 0 < old_size <= new_size:
        raise InvalidProof(f"a tree of {old_size} cannot be an earlier one of {new_size}")
    if old_size == new_size:
        if path or old_root != new_root:
            raise InvalidProof("equal sizes need equal roots and an empty proof")
        return
    steps = list(path)
    if old_size & (old_size - 1) == 0:
        steps.insert(0, Hash32(bytes(old_root)))
    if not steps:
        raise InvalidProof("the proof is empty")
    old, new = old_size - 1, new_size - 1
    while old & 1:
        old >>= 1
        new >>= 1
    old_value = new_value = bytes(steps[0])
    for step in steps[1:]:
        if new == 0:
            raise InvalidProof("the proof is too long")
        if old & 1 or old == new:
            old_value = node_hash(step, old_value)
            new_value = node_hash(step, new_value)
            while not old & 1 and old:
                old >>= 1
                new >>= 1
        else:
            new_value = node_hash(new_value, step)
        old >>= 1
        new >>= 1
    if new != 0 or old_value != old_root or new_value != new_root:
        raise InvalidProof("the proof does not lead to both roots")


class GrowingTree:
    """The root of an append-only list, kept as its right edge: O(log n) memory and work for each leaf.

    Used for a chain's ``history``: leaf ``h`` is the id of block ``h``.
    """

    __slots__ = ("peaks", "size")

    def __init__(self, size: int = 0, peaks: tuple[bytes, ...] = ()) -> None:
        if len(peaks) != size.bit_count():
            raise LocalMisuse(f"a tree of {size} has {size.bit_count()} peaks, not {len(peaks)}")
        self.size = size
        self.peaks = list(peaks)

    def append(self, leaf: bytes) -> None:
        """Adds one leaf's bytes."""
        value: bytes = leaf_hash(leaf)
        carry = self.size
        while carry & 1:
            value = node_hash(self.peaks.pop(), value)
            carry >>= 1
        self.peaks.append(value)
        self.size += 1

    def root(self) -> Hash32:
        """Root of everything appended so far."""
        if not self.peaks:
            return EMPTY_ROOT
        value = self.peaks[-1]
        for peak in reversed(self.peaks[:-1]):
            value = node_hash(peak, value)
        return Hash32(value)

    def copy(self) -> GrowingTree:
        """An independent tree with the same leaves."""
        return GrowingTree(self.size, tuple(self.peaks))
