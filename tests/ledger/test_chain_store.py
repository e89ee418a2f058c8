"""The chain over both stores: what goes in comes out, in one batch; proofs; what is refused when it is opened."""

import pytest
from chains import CHAIN_ID, GENESIS_HASH, Builder, decided, genesis_header, reopened

from ledger.block import block_id, change_leaf, decided_block_codec
from ledger.chain_proof import inclusion_codec
from ledger.chain_records import FORMAT_KEY, FORMAT_VERSION, TIP_KEY, Format, height_key, history_key
from ledger.chain_store import ChainStore
from ledger.encoding import encode
from ledger.errors import InvalidGenesis, InvalidProof, LocalMisuse, NotFound, StorageFault
from ledger.merkle import GrowingTree, root
from ledger.store import Kind
from ledger.store_memory import MemoryStore


def test_everything_committed_is_read_back_also_when_reopened(built):
    for chain in (built.chain, reopened(built)):
        assert chain.tip.height == chain.height == 6
        assert chain.tip.header == built.made[-1][0].header
        for block, transactions, receipts, writes, hashes, certificate in built.made:
            height = block.header.height
            assert chain.header(height) == block.header
            assert chain.block(height) == block
            assert chain.certificate(height) == certificate
            assert chain.transactions(height) == [tx.wire for tx in transactions]
            assert chain.receipts(height) == receipts
            assert chain.changes(height) == [(key, leaf, writes[key] is None) for key, leaf in hashes]
            assert chain.height_of(block_id(block.header)) == height
            for index, tx in enumerate(transactions):
                assert chain.find_transaction(tx.tx_id) == (height, index)
        assert chain.find_transaction(bytes(32)) is None
        assert chain.height_of(bytes(32)) is None


def test_state_is_that_of_the_tip(built):
    expected = dict(built.genesis_writes)
    for made in built.made:
        expected.update(made[3])
    expected = {key: value for key, value in expected.items() if value is not None}
    assert dict(built.chain.state.iterate(b"")) == expected


def test_decided_block_is_what_peers_decode(built):
    for made in built.made:
        data = built.chain.decided_block(made[0].header.height)
        assert decided_block_codec.decode(data) == decided(made)


def test_genesis_has_no_certificate_and_is_not_fetched(built):
    assert built.chain.header(0) == genesis_header(built.genesis_writes)
    assert built.chain.transactions(0) == []
    for read in (built.chain.certificate, built.chain.decided_block):
        with pytest.raises(NotFound):
            read(0)


@pytest.mark.parametrize("height", [-1, 7])
def test_heights_outside_the_chain_are_not_found(built, height):
    chain = built.chain
    for read in (chain.header, chain.block, chain.certificate, chain.transactions, chain.receipts, chain.changes):
        with pytest.raises(NotFound):
            read(height)


def test_nothing_is_written_by_prepare_commit(built):
    before = dict(built.store.iterate(b""))
    built.prepare(built.make())
    assert dict(built.store.iterate(b"")) == before
    assert built.chain.height == 6
    with pytest.raises(NotFound):
        built.chain.header(7)


def test_history_is_the_tree_over_all_block_ids(built):
    ids = [block_id(built.chain.header(height)) for height in range(7)]
    for chain in (built.chain, reopened(built)):
        assert chain.history.size == 7
        assert chain.history.root() == root(ids)
        for size in range(8):
            assert chain.history_at(size).root() == root(ids[:size])


def test_history_proofs_of_every_block_in_every_later_header():
    builder = Builder(MemoryStore()).initialise()
    builder.grow(19, count=0)
    ids = [block_id(builder.chain.header(height)) for height in range(20)]
    for size in range(1, 21):
        for height in range(size):
            proof = builder.chain.history_inclusion(height, size)
            proof.check(ids[height], root(ids[:size]))
            with pytest.raises(InvalidProof):
                proof.check(bytes(32), root(ids[:size]))
    for height, size in ((5, 5), (5, 21), (-1, 3)):
        with pytest.raises(NotFound):
            builder.chain.history_inclusion(height, size)


def test_inclusion_of_transactions_receipts_and_changes(built):
    block, transactions, receipts, writes, _, _ = built.made[3]
    header, height = block.header, block.header.height
    for index, tx in enumerate(transactions):
        proof = built.chain.transaction_inclusion(height, index)
        assert proof.size == header.transactions_count
        inclusion_codec.decode(inclusion_codec.encode(proof)).check(tx.ref, header.transactions_root)
    for index, receipt in enumerate(receipts):
        built.chain.receipt_inclusion(height, index).check(receipt, header.receipts_root)
    for key, value in writes.items():
        proof = built.chain.change_inclusion(height, key)
        proof.check(change_leaf(key, value), header.changes_root)
        with pytest.raises(InvalidProof):
            proof.check(change_leaf(key, b"other"), header.changes_root)
    with pytest.raises(NotFound):
        built.chain.change_inclusion(height, b"not changed")
    with pytest.raises(NotFound):
        built.chain.transaction_inclusion(height, 3)


def test_old_history_trees_do_not_change_under_their_holders(built):
    held = built.chain.history
    before = held.root()
    built.commit()
    assert held.root() == before
    assert isinstance(held, GrowingTree)


# --- refusals -----------------------------------------------------------------------------------------------------


def test_block_that_does_not_follow_or_with_foreign_parts_is_local_misuse(built):
    old = built.made[-1]
    good = built.make()
    block, transactions, receipts, writes, hashes, certificate = good
    commit = built.chain.prepare_commit
    with pytest.raises(LocalMisuse):
        commit(old[0], old[1], old[2], old[3], change_hashes=old[4], certificate=old[5])
    with pytest.raises(LocalMisuse):
        commit(block, transactions, receipts, writes, change_hashes=hashes, certificate=old[5])
    with pytest.raises(LocalMisuse):
        commit(block, transactions[1:], receipts, writes, change_hashes=hashes, certificate=certificate)
    with pytest.raises(LocalMisuse):
        commit(block, transactions, receipts, writes, change_hashes=hashes[1:], certificate=certificate)
    with pytest.raises(LocalMisuse):
        built.chain.committed(old[0])


def test_empty_store_has_no_tip(make_store):
    chain = ChainStore(make_store(), CHAIN_ID, GENESIS_HASH)
    assert not chain.initialised
    with pytest.raises(LocalMisuse):
        _ = chain.tip


def test_initialising_again_with_the_same_genesis_changes_nothing(built):
    tip = built.chain.initialise(genesis_header(built.genesis_writes), built.genesis_writes)
    assert tip.height == 6
    assert reopened(built).height == 6


def test_another_genesis_chain_or_file_is_refused(built):
    with pytest.raises(InvalidGenesis) as error:
        built.chain.initialise(genesis_header({b"u": b"other"}), {b"u": b"other"})
    assert error.value.code == "genesis_mismatch"
    for chain_id, genesis in ((bytes(32), GENESIS_HASH), (CHAIN_ID, bytes(32))):
        with pytest.raises(InvalidGenesis) as error:
            ChainStore(built.store, chain_id, genesis)
        assert error.value.code == "genesis_mismatch"


@pytest.mark.parametrize("changes", [{"chain_id": bytes(32)}, {"parent": bytes(32)}, {"height": 1}])
def test_genesis_block_of_another_chain_is_refused(make_store, changes):
    chain = ChainStore(make_store(), CHAIN_ID, GENESIS_HASH)
    with pytest.raises(InvalidGenesis) as error:
        chain.initialise(genesis_header({}, **changes), {})
    assert error.value.code == "genesis_mismatch"


@pytest.mark.parametrize(
    "field", ["history_root", "transactions_root", "receipts_root", "changes_root", "changes_count", "history_size"]
)
def test_genesis_block_with_a_wrong_root_is_refused(make_store, field):
    chain = ChainStore(make_store(), CHAIN_ID, GENESIS_HASH)
    wrong = 7 if field.endswith(("count", "size")) else b"\x07" * 32
    with pytest.raises(InvalidGenesis):
        chain.initialise(genesis_header({b"u": b"1"}, **{field: wrong}), {b"u": b"1"})
    assert not chain.initialised


def test_unknown_format_is_refused(built):
    built.store.write({FORMAT_KEY: encode(Format(FORMAT_VERSION + 1, CHAIN_ID, GENESIS_HASH))})
    with pytest.raises(InvalidGenesis) as error:
        reopened(built)
    assert error.value.code == "format_unknown"


@pytest.mark.parametrize(
    ("key", "value"),
    [(key, value) for key in (FORMAT_KEY, TIP_KEY, height_key(Kind.BLOCK, 6)) for value in (None, b"\xc1")]
    + [(history_key(0, 6), None)],
)
def test_lost_or_senseless_tip_records_are_a_storage_fault(built, key, value):
    built.store.write({key: value})
    with pytest.raises(StorageFault):
        reopened(built)


def test_tip_that_names_another_block_is_a_storage_fault(built):
    built.store.write({TIP_KEY: encode((6, bytes(32)))})
    with pytest.raises(StorageFault):
        reopened(built)
