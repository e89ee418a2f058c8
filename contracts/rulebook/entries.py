"""Entries of lists: one record each, with what every version said of it.

Looking one up is one read, however long the list; staging it is one read and one write. What no version that is still
kept can see is dropped when a history grows too long, so histories are bounded.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from contracts.interface import StateSpace
from contracts.rulebook.lineage import Lineage
from contracts.rulebook.records import Item, items_codec
from contracts.rulebook.state import entries_prefix, load_counters, load_lineage
from ledger.encoding import encode

MAX_ITEMS: Final = 64
"""Versions that one entry remembers; above ``MAX_KEPT`` and ``MAX_DRAFTS`` together, so dropping makes room."""


def load_items(state: StateSpace, list_number: int, entry: bytes) -> tuple[Item, ...]:
    """The entry's history, ascending by version."""
    data = state.get(entries_prefix(list_number) + entry)
    return () if data is None else items_codec.decode(data)


def visible(items: tuple[Item, ...], lineage: Lineage) -> Item | None:
    """What the newest version of the lineage said, or None where none of them said anything."""
    for item in reversed(items):
        if item.version in lineage:
            return item
    return None


def is_listed(state: StateSpace, list_number: int, entry: bytes, lineage: Lineage, now_ms: int) -> bool:
    """Whether the list has the entry in the version with that lineage, at that block time."""
    item = visible(load_items(state, list_number, entry), lineage)
    return item is not None and item.present and (not item.expires_ms or now_ms <= item.expires_ms)


class Staging:
    """Writes what one draft says of entries.

    Args:
        state: of the rule book.
        draft: its number.
    """

    __slots__ = ("_draft", "_lineage", "_others", "_state")

    def __init__(self, state: StateSpace, draft: int) -> None:
        self._state = state
        self._draft = draft
        self._lineage = load_lineage(state, draft)
        self._others: list[Lineage] | None = None

    def put(self, list_number: int, entry: bytes, present: bool, expires_ms: int) -> int:
        """Adds or removes an entry; what the draft said before of this entry is replaced.

        Returns:
            By how much the list grows in the draft: 1, 0 or -1. An expired entry counts as there.
        """
        items = load_items(self._state, list_number, entry)
        before = visible(items, self._lineage)
        own = Item(self._draft, present, expires_ms)
        items = tuple(sorted([*[item for item in items if item.version != self._draft], own], key=_version))
        if len(items) > MAX_ITEMS:
            items = self._without_unseen(items)
        self._state.put(entries_prefix(list_number) + entry, encode(items))
        return present - (before is not None and before.present)

    def _without_unseen(self, items: tuple[Item, ...]) -> tuple[Item, ...]:
        if self._others is None:
            counters = load_counters(self._state)
            numbers: Iterable[int] = sorted({*counters.kept, *counters.drafts, self._draft})
            self._others = [load_lineage(self._state, number) for number in numbers]
        seen = {item.version for lineage in self._others if (item := visible(items, lineage)) is not None}
        return tuple(item for item in items if item.version in seen)


def _version(item: Item) -> int:
    return item.version
