"""Validator sets and the thresholds of QBFT (arXiv 2002.03613; DESIGN.md 3)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from ledger.encoding import digest, encode
from ledger.errors import InvalidInput
from ledger.types import Hash32, PublicKey

MAX_VALIDATORS: Final = 128


class ValidatorSet:
    """The validators of one height: distinct signing keys, sorted.

    Attributes:
        keys: sorted by bytes; a validator's index is its place here.
        quorum: ``(2n−1)//3 + 1`` distinct signers decide.
        max_faulty: ``(n−1)//3``.
        weak_quorum: ``max_faulty + 1``; at least one of them is honest.
    """

    __slots__ = ("_index", "keys", "max_faulty", "quorum", "weak_quorum")

    def __init__(self, keys: Iterable[PublicKey]) -> None:
        self.keys: tuple[PublicKey, ...] = tuple(sorted(keys))
        count = len(self.keys)
        if not 0 < count <= MAX_VALIDATORS or len(set(self.keys)) != count:
            raise InvalidInput(f"a validator set has 1 to {MAX_VALIDATORS} distinct keys", code="validators_invalid")
        self.quorum = (2 * count - 1) // 3 + 1
        self.max_faulty = (count - 1) // 3
        self.weak_quorum = self.max_faulty + 1
        self._index = {key: i for i, key in enumerate(self.keys)}

    def __len__(self) -> int:
        return len(self.keys)

    def __contains__(self, key: object) -> bool:
        return key in self._index

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ValidatorSet) and self.keys == other.keys

    def __hash__(self) -> int:
        return hash(self.keys)

    def index(self, key: bytes) -> int | None:
        """Place of ``key`` in the set, or None."""
        return self._index.get(PublicKey(key))

    def hash(self, chain_id: bytes) -> Hash32:
        """What headers carry to name this set."""
        return digest(b"tidegate/validators", chain_id, encode(self.keys))
