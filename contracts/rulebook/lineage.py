"""Which versions a version consists of: itself, its base, the base's base, … as ranges of numbers.

Entries of lists keep what every version said of them. What holds in a version is what the newest one of its lineage
said; so a rollback changes one number and touches no entry, and versions beside each other do not see one another.
"""

from __future__ import annotations

import struct
from bisect import bisect_right
from collections.abc import Callable
from functools import lru_cache
from typing import Final

from contracts.codes import Refusal
from contracts.rulebook.codes import HISTORY_FULL

MAX_RANGES: Final = 4_096
"""Ranges of one lineage: a gap comes from each rollback, or abandoned draft with entries, that something follows."""
MAX_BRIDGED: Final = 64
"""Versions without entries that are taken into a range instead of leaving a gap."""
_RANGE: Final = struct.Struct(">II")


class Lineage:
    """Numbers of versions, as ascending ranges.

    Args:
        data: eight bytes a range: first and last number, u32 big endian.
    """

    __slots__ = ("_firsts", "_lasts", "data")

    def __init__(self, data: bytes) -> None:
        self.data = data
        ranges = list(_RANGE.iter_unpack(data))
        self._firsts = [first for first, _ in ranges]
        self._lasts = [last for _, last in ranges]

    def __contains__(self, number: int) -> bool:
        index = bisect_right(self._firsts, number) - 1
        return index >= 0 and number <= self._lasts[index]

    def followed_by(self, number: int, has_no_entries: Callable[[int], bool]) -> Lineage:
        """The lineage of version ``number`` whose base has this one.

        Args:
            number: above every number of this lineage.
            has_no_entries: whether a version has none and will never have any: such a one may stand in any lineage.

        Raises:
            Refusal: ``rules_history_full``.
        """
        if self._lasts and number - 1 - self._lasts[-1] <= MAX_BRIDGED:
            last = self._lasts[-1]
            if all(has_no_entries(between) for between in range(last + 1, number)):
                return Lineage(self.data[: -_RANGE.size] + _RANGE.pack(self._firsts[-1], number))
        if len(self._firsts) >= MAX_RANGES:
            raise Refusal(
                HISTORY_FULL, f"the rules have branched {MAX_RANGES} times; base the draft on an older version"
            )
        return Lineage(self.data + _RANGE.pack(number, number))


@lru_cache(maxsize=128)
def parse(data: bytes) -> Lineage:
    """The lineage with these bytes."""
    return Lineage(data)


EMPTY: Final = Lineage(b"")
"""Of version 0."""
