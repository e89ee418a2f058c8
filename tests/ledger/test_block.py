"""Blocks: what ids and roots bind, forms and bounds."""

import msgspec
import pytest
from chains import CHAIN_ID, Builder, decided, genesis_header
from hypothesis import given
from hypothesis import strategies as st

from ledger.block import (
    MAX_BLOCK_TRANSACTIONS,
    Block,
    Event,
    Header,
    Receipt,
    block_codec,
    block_id,
    change_hashes,
    change_leaf,
    changes_root,
    decided_block_codec,
    header_codec,
    receipt_codec,
    receipts_root,
    split_refs,
    transactions_root,
)
from ledger.encoding import digest, encode
from ledger.errors import MalformedBytes
from ledger.merkle import EMPTY_ROOT, leaf_hash, root
from ledger.store_memory import MemoryStore
from ledger.types import MAX_HEIGHT

HEADER = genesis_header({b"u": b"1"})


@pytest.fixture(scope="module")
def made():
    return Builder(MemoryStore()).initialise().make()


def test_block_id_is_the_domain_separated_hash_of_the_header():
    assert block_id(HEADER) == digest(b"tidegate/block", CHAIN_ID, encode(HEADER))


@pytest.mark.parametrize("field", Header.__struct_fields__)
def test_block_id_covers_every_field_of_the_header(field):
    value = getattr(HEADER, field)
    changed = value + 1 if isinstance(value, int) else bytes([value[0] ^ 1]) + value[1:]
    assert block_id(msgspec.structs.replace(HEADER, **{field: changed})) != block_id(HEADER)


@pytest.mark.parametrize(
    ("field", "value"),
    [(name, -1) for name in ("version", "height", "time_ms", "epoch", "transactions_count", "checkpoint_height")]
    + [("version", 2**16), ("height", MAX_HEIGHT + 1), ("time_ms", 2**53), ("changes_count", 2**32)]
    + [(name, bytes(31)) for name in ("chain_id", "parent", "history_root", "changes_root", "checkpoint_root")]
    + [("proposer", bytes(32)), ("proposer", bytes(34)), ("height", True), ("time_ms", 1.5)],
)
def test_header_fields_out_of_bounds_are_refused(field, value):
    with pytest.raises(MalformedBytes):
        header_codec.decode(encode(msgspec.structs.replace(HEADER, **{field: value})))


def test_codecs_give_back_what_they_took(made):
    block, _, receipts, _, _, _ = made
    assert header_codec.decode(header_codec.encode(block.header)) == block.header
    assert block_codec.decode(block_codec.encode(block)) == block
    assert decided_block_codec.decode(decided_block_codec.encode(decided(made))) == decided(made)
    for receipt in receipts:
        assert receipt_codec.encode(receipt_codec.decode(receipt)) == receipt


@given(st.integers(0, 3_000), st.integers(1, 255))
def test_changed_header_bytes_are_refused_or_another_block(position, change):
    data = bytearray(encode(HEADER))
    data[position % len(data)] ^= change
    try:
        found = header_codec.decode(bytes(data))
    except MalformedBytes:
        return
    assert block_id(found) != block_id(HEADER)


def test_refs_are_split_in_order(made):
    block, transactions, *_ = made
    assert split_refs(block.refs) == [transaction.ref for transaction in transactions]
    assert split_refs(b"") == []
    with pytest.raises(MalformedBytes):
        split_refs(block.refs[:-1])


def test_block_holds_at_most_its_number_of_refs():
    full = Block(HEADER, bytes(64 * MAX_BLOCK_TRANSACTIONS))
    assert block_codec.decode(encode(full)) == full
    with pytest.raises(MalformedBytes):
        block_codec.decode(encode(Block(HEADER, bytes(64 * MAX_BLOCK_TRANSACTIONS + 1))))


def test_decided_block_holds_at_most_its_number_of_transactions(made):
    many = msgspec.structs.replace(decided(made), transactions=(b"",) * (MAX_BLOCK_TRANSACTIONS + 1))
    with pytest.raises(MalformedBytes):
        decided_block_codec.decode(encode(many))


def test_receipt_bounds():
    good = Receipt(bytes(32), "ok", (Event("c", "n", b""),), (b"",))
    assert receipt_codec.decode(encode(good)) == good
    for change in ({"tx_id": bytes(31)}, {"code": ""}, {"code": "c" * 65}, {"events": (Event("", "n", b""),)}):
        with pytest.raises(MalformedBytes):
            receipt_codec.decode(encode(msgspec.structs.replace(good, **change)))
    with pytest.raises(MalformedBytes):
        receipt_codec.decode(encode(Receipt(bytes(32), "ok", (Event("c", "n", bytes(64 * 1024 + 1)),), ())))


def test_roots_are_rfc_6962_over_the_named_leaves():
    refs = [bytes([i]) * 64 for i in range(5)]
    assert transactions_root(iter(refs)) == root(refs)
    assert receipts_root([b"a", b"b"]) == root([b"a", b"b"])
    assert transactions_root([]) == receipts_root([]) == changes_root([]) == EMPTY_ROOT
    assert transactions_root(refs) != transactions_root(refs[::-1])


CHANGES = st.dictionaries(st.binary(max_size=4), st.none() | st.binary(max_size=4), max_size=8)


@given(CHANGES)
def test_changes_are_sorted_by_key_whatever_their_order(changes):
    hashes = change_hashes(changes)
    assert hashes == [(key, leaf_hash(change_leaf(key, changes[key]))) for key in sorted(changes)]
    assert hashes == change_hashes(dict(reversed(changes.items())))
    assert changes_root(hashes) == root([change_leaf(key, changes[key]) for key in sorted(changes)])


@given(CHANGES, CHANGES)
def test_different_changes_have_different_roots(one, two):
    assert (changes_root(change_hashes(one)) == changes_root(change_hashes(two))) == (one == two)


def test_deleted_and_empty_differ():
    assert len({change_leaf(b"k", None), change_leaf(b"k", b""), change_leaf(b"", b"k")}) == 3
