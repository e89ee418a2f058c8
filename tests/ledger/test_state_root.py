"""Root of a whole state: what tells two states apart, and what does not."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from ledger.state import Overlay, StoredState
from ledger.state_root import state_root, state_root_slices
from ledger.store import Kind
from ledger.store_memory import MemoryStore

RECORDS = {b"u%d" % number: b"value %d" % number for number in range(40)}


def state_of(records: dict[bytes, bytes]) -> StoredState:
    store = MemoryStore()
    store.write({Kind.STATE + key: value for key, value in records.items()})
    return StoredState(store)


def test_roots_are_equal_when_records_came_in_another_order() -> None:
    assert state_root(state_of(RECORDS)) == state_root(state_of(dict(reversed(RECORDS.items()))))


def test_root_differs_when_anything_of_the_state_differs() -> None:
    key = b"u7"
    variants = [
        RECORDS,
        {},
        {key: RECORDS[key]},
        {**RECORDS, key: b"other"},
        {**RECORDS, key: b""},
        {name: value for name, value in RECORDS.items() if name != key},
        {**RECORDS, b"u": b""},
        {**{name: value for name, value in RECORDS.items() if name != key}, b"u77": RECORDS[key]},
    ]
    assert len({state_root(state_of(variant)) for variant in variants}) == len(variants)


def test_records_beside_the_state_do_not_count_when_the_root_is_made() -> None:
    store = MemoryStore()
    store.write({Kind.STATE + key: value for key, value in RECORDS.items()} | {Kind.LOCAL + b"x": b"", b"m": b"1"})
    assert state_root(StoredState(store)) == state_root(state_of(RECORDS))


def test_slices_give_the_same_root_when_they_are_small() -> None:
    state = state_of(RECORDS)
    *pauses, root = state_root_slices(state, every=3)
    assert root == state_root(state)
    assert set(pauses) == {None}
    assert len(pauses) >= len(RECORDS) // 3


@settings(max_examples=15, deadline=None)
@given(st.dictionaries(st.binary(min_size=1, max_size=4), st.none() | st.binary(max_size=4), max_size=20))
def test_root_of_an_overlay_is_that_of_the_written_state_when_it_is_applied(writes: dict) -> None:
    overlay = Overlay(state_of(RECORDS))
    for key, value in writes.items():
        if value is None:
            overlay.delete(key)
        else:
            overlay.put(key, value)
    merged = {key: value for key, value in {**RECORDS, **writes}.items() if value is not None}
    assert state_root(overlay) == state_root(state_of(merged))
