"""The checkpoint tree: incremental equals from scratch, in any slices, through crashes; proofs."""

import hashlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ledger.block import change_hashes, change_leaf
from ledger.checkpoint import EMPTY_STATE_ROOT, PROGRESS_KEY, CheckpointTree
from ledger.checkpoint_proof import (
    StateProof,
    prove_state,
    state_proof_codec,
    verify_state,
    verify_state_value,
)
from ledger.errors import InvalidProof, LocalMisuse, NotFound, StorageFault
from ledger.merkle import leaf_hash, root
from ledger.store import Kind
from ledger.store_memory import MemoryStore
from ledger.types import ZERO_HASH


def root_from_scratch(state):
    """As DESIGN.md 2 says it, without any of the code under test."""
    buckets = [[] for _ in range(65_536)]
    for key, value in state.items():
        name = hashlib.sha256(key).digest()
        leaf = hashlib.sha256(b"\x00" + change_leaf(key, value)).digest()
        buckets[int.from_bytes(name[:2], "big")].append(name + leaf)
    empty = hashlib.sha256(b"").digest()
    return root([root(sorted(bucket)) if bucket else empty for bucket in buckets])


class Chain:
    """Blocks of writes over one store, as the node drives the tree."""

    def __init__(self, interval):
        self.store = MemoryStore()
        self.interval = interval
        self.tree = CheckpointTree(self.store, interval)
        self.state = {}
        self.states = []
        self.height = -1

    def commit(self, writes, crash_before_write=False):
        height = self.height + 1
        fields = self.tree.header_fields(height)
        changes = [(key, leaf, writes[key] is None) for key, leaf in change_hashes(writes)]
        batch = self.tree.block_records(height, changes)
        if crash_before_write:
            self.restart()
            return self.commit(writes)
        self.store.write(batch)
        self.tree.committed(height)
        self.height = height
        for key, value in writes.items():
            if value is None:
                self.state.pop(key, None)
            else:
                self.state[key] = value
        self.states.append(dict(self.state))
        return fields

    def restart(self):
        self.tree = CheckpointTree(self.store, self.interval, self.height)


KEYS = [b"u%d" % i for i in range(24)]
WRITES = st.dictionaries(st.sampled_from(KEYS), st.none() | st.binary(max_size=4), max_size=8)
STEP = st.tuples(WRITES, st.integers(0, 400), st.integers(1, 5), st.sampled_from(["go", "go", "restart", "crash"]))


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 4), st.lists(STEP, min_size=1, max_size=14))
def test_incremental_root_equals_the_root_from_scratch_in_any_slicing_and_after_any_crash(interval, steps):
    chain = Chain(interval)
    for writes, slices, size, event in steps:
        checkpoint, found = chain.commit(writes, crash_before_write=event == "crash")
        height = chain.height
        if height % interval or height < 2 * interval:
            assert (checkpoint, found) == (0, ZERO_HASH)
        else:
            assert checkpoint == height - interval
            assert found == cached_root(chain.states[checkpoint])
            for key in KEYS[:4]:
                proof = prove_state(chain.store, key, checkpoint)
                verify_state_value(proof, key, chain.states[checkpoint].get(key), found)
        if event == "restart":
            chain.restart()
        for _ in range(slices):
            if chain.tree.run_slice(size):
                break


_roots = {}


def cached_root(state):
    frozen = tuple(sorted(state.items()))
    if frozen not in _roots:
        _roots[frozen] = root_from_scratch(state)
    return _roots[frozen]


def grow(chain, blocks, writes_of):
    for _ in range(blocks):
        chain.commit(writes_of(chain.height + 1))
        while not chain.tree.run_slice(64):
            pass


def test_empty_state_has_the_root_of_empty_buckets():
    assert root_from_scratch({}) == EMPTY_STATE_ROOT
    chain = Chain(2)
    grow(chain, 4, lambda _: {})
    assert chain.commit({}) == (2, EMPTY_STATE_ROOT)
    assert verify_state(prove_state(chain.store, b"u", 2), b"u", EMPTY_STATE_ROOT) is None


def test_many_records_in_every_group():
    chain = Chain(3)
    grow(chain, 6, lambda height: {b"k%d" % (i * (height + 1)): b"v%d" % height for i in range(700)})
    assert chain.commit({}) == (3, root_from_scratch(chain.states[3]))


def test_deleting_everything_returns_to_the_empty_root():
    chain = Chain(1)
    chain.commit({b"a": b"1", b"b": b"2"})
    chain.commit({b"a": None, b"b": None})
    assert chain.commit({}) == (1, EMPTY_STATE_ROOT)


def test_last_checkpoint_can_be_proved_while_the_next_is_half_done():
    chain = Chain(4)
    chain.commit(dict.fromkeys(KEYS, b"old"))
    for _ in range(4):
        chain.commit({})
    while not chain.tree.run_slice(8):
        pass
    for _ in range(3):
        chain.commit(dict.fromkeys(KEYS, b"new"))
    _, announced = chain.commit({})
    for _ in range(200):
        chain.tree.run_slice(1)
    for turn in range(4):
        for key in KEYS:
            proof = prove_state(chain.store, key, 4)
            assert verify_state(proof, key, announced) == leaf_hash(change_leaf(key, b"old"))
        if turn < 3:
            chain.commit({})
            while not chain.tree.run_slice(100):
                pass
    assert chain.commit({})[0] == 8
    with pytest.raises(NotFound):
        prove_state(chain.store, b"u1", 12)


def test_superseded_records_are_deleted():
    chain = Chain(2)
    grow(chain, 40, lambda height: {KEYS[0]: b"%d" % height, KEYS[height % 5]: b"x"})
    records = [key for key, _ in chain.store.iterate(Kind.BUCKET)]
    assert len(records) < 5 * 3 + 5 * 3 + 3 + 3 * 5
    with pytest.raises(NotFound):
        prove_state(chain.store, KEYS[0], 2)


def test_next_checkpoint_waits_until_the_records_of_the_last_one_are_written():
    """A caller that computes no header: work on the next checkpoint must still not read what is not there yet."""
    chain = Chain(2)
    tree = chain.tree
    state = {}
    for height in range(12):
        writes = dict.fromkeys(KEYS[height % 3 :: 3], b"%d" % height)
        state |= writes
        changes = [(key, leaf, False) for key, leaf in change_hashes(writes)]
        batch = tree.block_records(height, changes)
        if height % 5 == 0:  # taken with this batch, which is not written yet
            for _ in range(2_000):
                tree.run_slice(4)
        chain.store.write(batch)
        tree.committed(height)
        chain.states.append(dict(state))
        if height % 5 == 4:
            for _ in range(2_000):
                tree.run_slice(4)
    assert tree.finished_height == 4
    assert tree.finished_root == cached_root(chain.states[tree.finished_height])


def test_behind_says_when_slices_are_too_few():
    chain = Chain(4)
    for _ in range(5):
        chain.commit({b"a": b"1"})
    assert chain.tree.behind
    while chain.tree.behind:
        assert not chain.tree.run_slice(8)
    chain.commit({})
    assert chain.tree.behind
    while not chain.tree.run_slice(8):
        pass
    assert not chain.tree.behind


def made_proof():
    chain = Chain(2)
    grow(chain, 4, lambda height: dict.fromkeys(KEYS, b"v"))
    _, found = chain.commit({})
    return chain, found, prove_state(chain.store, KEYS[3], 2)


def test_proof_survives_its_codec_and_refuses_another_value_or_absence():
    _, found, proof = made_proof()
    proof = state_proof_codec.decode(state_proof_codec.encode(proof))
    verify_state_value(proof, KEYS[3], b"v", found)
    for wrong in (b"w", None):
        with pytest.raises(InvalidProof):
            verify_state_value(proof, KEYS[3], wrong, found)


def test_proof_is_refused_when_any_byte_of_it_changes():
    _, found, proof = made_proof()
    encoded = [proof.bucket, *proof.path]
    for part, data in enumerate(encoded):
        for position in range(0, len(data), 5):
            changed = list(encoded)
            changed[part] = data[:position] + bytes([data[position] ^ 1]) + data[position + 1 :]
            with pytest.raises(InvalidProof):
                verify_state(StateProof(changed[0], tuple(changed[1:])), KEYS[3], found)


def test_proof_with_a_leaf_left_out_doubled_or_cut_is_refused():
    _, found, proof = made_proof()
    for bucket in (b"", proof.bucket[:-1], proof.bucket * 2):
        with pytest.raises(InvalidProof):
            verify_state(StateProof(bucket, proof.path), KEYS[3], found)
    with pytest.raises(InvalidProof):
        verify_state(proof, b"another key", found)


def test_misuse_is_refused():
    with pytest.raises(LocalMisuse):
        CheckpointTree(MemoryStore(), 0)
    chain = Chain(4)
    chain.commit({})
    with pytest.raises(LocalMisuse):
        chain.tree.block_records(0, [])
    with pytest.raises(LocalMisuse):
        chain.tree.committed(1)
    with pytest.raises(LocalMisuse):
        chain.tree.header_fields(8)
    chain.tree.block_records(1, [])
    with pytest.raises(LocalMisuse):
        chain.tree.block_records(1, [])


def test_missing_progress_or_another_interval_is_a_storage_fault():
    chain = Chain(4)
    chain.commit({})
    with pytest.raises(StorageFault):
        CheckpointTree(chain.store, 5, 0)
    chain.store.write({PROGRESS_KEY: None})
    with pytest.raises(StorageFault):
        CheckpointTree(chain.store, 4, 0)


def test_missing_group_roots_are_a_storage_fault():
    chain = Chain(2)
    grow(chain, 5, lambda height: {b"a": b"%d" % height})
    tops = [key for key, _ in chain.store.iterate(Kind.BUCKET + b"t")]
    chain.store.write(dict.fromkeys(tops))
    with pytest.raises(StorageFault):
        chain.restart()
