"""The overlay against a model, a plain dict with copies; and the state over both stores."""

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from ledger.errors import LocalMisuse
from ledger.state import Overlay, StoredState, contract_prefix, live_id_key, utxo_key
from ledger.store import Kind
from ledger.store_memory import MemoryStore

KEYS = st.binary(min_size=0, max_size=2).map(lambda tail: b"c" + tail.replace(b"\xfe", b"\x00"))
VALUES = st.binary(max_size=3)


class OverlayModel(RuleBasedStateMachine):
    """Random changes, marks, undos and commits; every read must be what the model says."""

    def __init__(self):
        super().__init__()
        self.store = MemoryStore()
        self.overlay = Overlay(StoredState(self.store))
        self.model = {}
        self.changed = {}
        self.marks = []

    @rule(key=KEYS, value=VALUES)
    def put(self, key, value):
        self.overlay.put(key, value)
        self.model[key] = value
        self.changed[key] = value

    @rule(key=KEYS)
    def delete(self, key):
        self.overlay.delete(key)
        self.model.pop(key, None)
        self.changed[key] = None

    @rule()
    def mark(self):
        self.marks.append((self.overlay.mark(), dict(self.model), dict(self.changed)))

    @precondition(lambda self: self.marks)
    @rule(data=st.data())
    def undo(self, data):
        chosen = data.draw(st.integers(0, len(self.marks) - 1))
        mark, self.model, self.changed = self.marks[chosen]
        self.model, self.changed = dict(self.model), dict(self.changed)
        del self.marks[chosen + 1 :]
        self.overlay.undo(mark)

    @rule()
    def commit(self):
        self.store.write({Kind.STATE + key: value for key, value in self.overlay.writes.items()})
        self.overlay = Overlay(StoredState(self.store))
        self.changed, self.marks = {}, []

    @rule(key=KEYS)
    def get(self, key):
        assert self.overlay.get(key) == self.model.get(key)

    @rule(
        prefix=st.binary(max_size=1).map(lambda tail: b"c" + tail),
        start=st.none() | KEYS,
        limit=st.none() | st.integers(0, 4),
    )
    def iterate(self, prefix, start, limit):
        expected = [pair for pair in sorted(self.model.items()) if pair[0].startswith(prefix)]
        if start is not None:
            expected = [pair for pair in expected if pair[0] >= start]
        assert list(self.overlay.iterate(prefix, start=start, limit=limit)) == expected[:limit]

    @invariant()
    def writes_are_what_was_changed(self):
        assert self.overlay.writes == self.changed

    @invariant()
    def everything_is_there(self):
        assert dict(self.overlay.iterate(b"")) == self.model


OverlayModel.TestCase.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
TestOverlayModel = OverlayModel.TestCase


@pytest.fixture
def state(make_store):
    store = make_store()
    store.write({b"sa1": b"1", b"sa2": b"2", b"sb": b"3", b"ra": b"not state", b"ta": b"neither"})
    return StoredState(store)


def test_stored_state_reads_below_its_kind_alone(state):
    assert state.get(b"a1") == b"1"
    assert state.get(b"a") is None
    assert list(state.iterate(b"")) == [(b"a1", b"1"), (b"a2", b"2"), (b"b", b"3")]
    assert list(state.iterate(b"a", start=b"a2")) == [(b"a2", b"2")]
    assert list(state.iterate(b"a", limit=1)) == [(b"a1", b"1")]


def test_overlay_on_a_stored_state_changes_nothing_in_it(state):
    overlay = Overlay(state)
    overlay.put(b"a1", b"changed")
    overlay.put(b"a3", b"new")
    overlay.delete(b"a2")
    assert list(overlay.iterate(b"a")) == [(b"a1", b"changed"), (b"a3", b"new")]
    assert list(state.iterate(b"a")) == [(b"a1", b"1"), (b"a2", b"2")]


def test_overlays_stack(state):
    block = Overlay(state)
    block.put(b"a1", b"block")
    block.delete(b"b")
    transaction = Overlay(block)
    transaction.put(b"b", b"again")
    transaction.delete(b"a1")
    assert list(transaction.iterate(b"")) == [(b"a2", b"2"), (b"b", b"again")]
    assert list(block.iterate(b"")) == [(b"a1", b"block"), (b"a2", b"2")]
    assert transaction.writes == {b"b": b"again", b"a1": None}


def test_deleting_what_is_not_there_counts_as_a_change(state):
    overlay = Overlay(state)
    overlay.delete(b"nothing")
    assert overlay.writes == {b"nothing": None}
    overlay.undo(0)
    assert overlay.writes == {}


def test_undo_beyond_what_was_done_is_local_misuse(state):
    with pytest.raises(LocalMisuse):
        Overlay(state).undo(1)


def test_state_keys_sort_as_they_are_read():
    assert utxo_key(b"\x05" * 36) == b"u" + b"\x05" * 36
    heights = [0, 1, 255, 256, 2**53 - 1]
    keys = [live_id_key(height, b"\x01" * 32) for height in heights]
    assert keys == sorted(keys)
    assert live_id_key(258, bytes(32)) == b"i" + bytes(6) + b"\x01\x02" + bytes(32)


def test_contracts_never_share_a_prefix():
    addresses = ["a", "ab", "bridge", "bridge/1"]
    for one in addresses:
        for two in addresses:
            assert contract_prefix(one).startswith(contract_prefix(two)) == (one == two)
