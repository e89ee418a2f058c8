"""Long lists: a check asks as little of the state as with short ones, and an import's chunk fits into its bounds."""

from __future__ import annotations

import pytest

from contracts import interface
from contracts.interface import EndContext
from contracts.rulebook.check import check
from contracts.rulebook.records import MAX_CHUNK_ENTRIES, Item
from contracts.rulebook.state import entries_prefix
from ledger.encoding import encode
from ledger.state import Overlay, contract_prefix
from tests.contracts.rulebook.book import DRUGS, REVIEWER, SUBJECT, Book, entry, facts, listed

LISTS = ("reviewer", "subject", "subject_drug", "pharmacy_subject", "organisation")


def long_book(entries: int) -> tuple[Book, Overlay, int]:
    """A book with one list of each kind, each with that many entries of other people, written past the contract."""
    book = Book()
    version = book.adopt(lists=[listed(f"{kind}_list", kind) for kind in LISTS])
    overlay = Overlay(book.state)
    data = encode((Item(version, True, 0),))
    for numbered in book.version(version).definition.lists:
        prefix = contract_prefix("rules") + entries_prefix(numbered.number)
        for number in range(entries):
            overlay.put(prefix + number.to_bytes(32, "little"), data)
    return book, overlay, version


def reads_of_check(entries: int, monkeypatch: pytest.MonkeyPatch) -> int:
    book, overlay, version = long_book(entries)
    context = book.context()
    asked: list[bytes] = []

    class Counting(interface.StateSpace):
        def get(self, key: bytes) -> bytes | None:
            asked.append(key)
            return super().get(key)

    monkeypatch.setattr(interface, "StateSpace", Counting)
    long_context = EndContext(context.block, "assets", overlay, context.directory)
    assert check(long_context, facts()).outcome == "allow"
    overlay.put(
        contract_prefix("rules") + entries_prefix(_number(book, version, "subject_drug_list"))
        + entry("subject_drug", SUBJECT, DRUGS[1]),
        encode((Item(version, True, 0),)),
    )  # fmt: skip
    asked.clear()
    assert check(long_context, facts()).rule == "subject_drug_list"
    return len(asked)


def _number(book: Book, version: int, name: str) -> int:
    return next(found.number for found in book.version(version).definition.lists if found.rule.name == name)


def test_check_reads_as_much_when_the_lists_are_long(monkeypatch: pytest.MonkeyPatch) -> None:
    assert reads_of_check(100, monkeypatch) == reads_of_check(3_000, monkeypatch) <= 12


def test_full_chunk_fits_into_one_call_when_every_entry_has_a_history(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("contracts.rulebook.entries.MAX_ITEMS", 8)
    book = Book()
    made = [entry("value", str(number)) for number in range(MAX_CHUNK_ENTRIES)]
    version = book.adopt(lists=[listed("values", "value")])
    for _ in range(10):
        draft = book.propose(version)
        book.stage(draft, 0, "values", dict.fromkeys(made, 2**53 - 1))
        book.agree(draft)
        book.activate(draft)
        version = draft
    assert book.version(version).version.counts[0].entries == MAX_CHUNK_ENTRIES
    assert book.view("rules", "entry", version, "values", entry("reviewer", REVIEWER)).listed is False
