"""The chain over both stores: what goes in comes out, in one batch; proofs; refusals; recheck and repair."""

import msgspec
import pytest
from chains import (
    CHAIN_ID,
    GENESIS_HASH,
    KEYS,
    VALIDATORS,
    Builder,
    certificate_for,
    decided,
    genesis_header,
    validators_at,
)

from ledger.block import block_id, change_leaf, decided_block_codec
from ledger.chain_proof import inclusion_codec
from ledger.chain_recheck import Repair
from ledger.chain_records import FORMAT_KEY, FORMAT_VERSION, TIP_KEY, Format, height_key, history_key
from ledger.chain_repair import put_back, reindexed
from ledger.chain_store import ChainStore
from ledger.checkpoint import PROGRESS_KEY, read_progress
from ledger.encoding import encode
from ledger.errors import InvalidBlock, InvalidGenesis, InvalidProof, LocalMisuse, NotFound, StorageFault
from ledger.merkle import GrowingTree, root
from ledger.store import Kind
from ledger.store_memory import MemoryStore
from ledger.validators import ValidatorSet


@pytest.fixture
def built(make_store):
    builder = Builder(make_store()).initialise()
    builder.made = builder.grow(6)
    return builder


def reopened(builder):
    return ChainStore(builder.store, CHAIN_ID, GENESIS_HASH)


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


# --- recheck ------------------------------------------------------------------------------------------------------


def test_recheck_and_whole_verification_find_nothing_wrong_in_a_sound_chain(built):
    seen = []
    for chain in (built.chain, reopened(built)):
        for report in (
            chain.recheck(validators_at),
            chain.recheck(validators_at, 2),
            chain.recheck(lambda _: None),
            chain.verify_all(validators_at, seen.append),
        ):
            assert report.ok, report
            assert report.repair is Repair.NONE
            report.raise_for_damage()
    assert seen[:7] == [6, 5, 4, 3, 2, 1, 0]
    assert built.chain.recheck(validators_at, 2).from_height == 5


def found(built):
    report = built.chain.recheck(validators_at)
    assert not report.ok
    with pytest.raises(StorageFault) as error:
        report.raise_for_damage()
    assert error.value.data["damage"] == report.damage
    return {damage.what for damage in report.damage}, report


def live_key(built):
    return next(k for k, v in built.made[-1][3].items() if v is not None)


def dead_key(built):
    made = built.commit(writes={b"u0": None, b"u1": b"x"})
    built.made.append(made)
    return b"u0"


@pytest.mark.parametrize("value", [None, b"another"])
def test_changed_or_lost_state_of_the_tip_needs_a_resync(built, value):
    built.store.write({Kind.STATE + live_key(built): value})
    what, report = found(built)
    assert what == {"state_record"}
    assert report.repair is Repair.RESYNC


def test_deleted_state_that_is_still_there_needs_a_resync(built):
    built.store.write({Kind.STATE + dead_key(built): b"back"})
    what, report = found(built)
    assert what == {"state_record"}
    assert report.repair is Repair.RESYNC


@pytest.mark.parametrize(
    ("kind_", "what", "repair"),
    [
        (Kind.TRANSACTIONS, "transactions", Repair.REFETCH),
        (Kind.RECEIPTS, "receipts", Repair.RESYNC),
        (Kind.CHANGES, "changes", Repair.RESYNC),
        (Kind.BLOCK, "header", Repair.REFETCH),
    ],
)
@pytest.mark.parametrize("value", [None, b"\xc1", "of_another_block"])
def test_lost_senseless_or_exchanged_records_are_named_with_their_repair(built, kind_, what, repair, value):
    if value == "of_another_block":
        value = built.store.get(height_key(kind_, 2))
    built.store.write({height_key(kind_, 4): value})
    names, report = found(built)
    assert any(name.startswith(what) for name in names)
    assert {damage.height for damage in report.damage} == {4} or kind_ == Kind.BLOCK
    assert report.repair is repair
    if repair is Repair.REFETCH:
        assert report.refetch_heights == (4,)


def test_wires_that_are_not_the_listed_ones_are_found(built):
    block, transactions, *_ = built.made[3]
    wires = [built.made[2][1][0].wire, *(tx.wire for tx in transactions[1:])]
    built.store.write({height_key(Kind.TRANSACTIONS, 4): encode((block.refs, wires))})
    names, report = found(built)
    assert names == {"transactions"}
    assert report.refetch_heights == (4,)


def test_deletion_marks_that_do_not_fit_the_state_are_found(built):
    changes = [(key, leaf, not deleted) for key, leaf, deleted in built.chain.changes(6)]
    built.store.write({height_key(Kind.CHANGES, 6): encode(changes)})
    names, report = found(built)
    assert names == {"state_record"}
    assert report.repair is Repair.RESYNC


def test_indexes_lost_are_rebuilt_from_the_blocks(built):
    transaction = built.made[2][1][1]
    name = block_id(built.made[4][0].header)
    built.store.write({Kind.TX_INDEX + transaction.tx_id: None, Kind.BLOCK_INDEX + name: None, history_key(1, 1): b"?"})
    names, report = found(built)
    assert names == {"transaction_index", "block_index", "history"}
    assert report.repair is Repair.REINDEX
    built.store.write(reindexed(built.chain, [damage.height for damage in report.damage]))
    built.chain.reload()
    assert built.chain.recheck(validators_at).ok


def with_certificate(built, height, certificate):
    header = built.chain.header(height)
    built.store.write({height_key(Kind.BLOCK, height): encode((header, certificate))})


def test_certificates_of_another_block_or_without_quorum_are_refetched(built):
    header = built.chain.header(3)
    for certificate in (
        built.chain.certificate(2),
        certificate_for(header, KEYS[:2]),
        msgspec.structs.replace(certificate_for(header), round=1),
        None,
    ):
        with_certificate(built, 3, certificate)
        names, report = found(built)
        assert names == {"certificate"}
        assert report.refetch_heights == (3,)


def test_validators_that_are_not_the_headers_are_found(built):
    report = built.chain.recheck(lambda _: ValidatorSet([KEYS[0].public]), 1)
    assert [damage.what for damage in report.damage] == ["validators"]


def test_damage_below_the_depth_is_left_to_the_whole_verification(built):
    built.store.write({height_key(Kind.TRANSACTIONS, 1): None})
    assert built.chain.recheck(validators_at, 3).ok
    report = built.chain.verify_all(validators_at)
    assert report.refetch_heights == (1,)


def test_state_that_no_recent_block_touched_is_met_by_the_whole_verification(built):
    for change in ({Kind.STATE + b"u\x01": b"changed"}, {Kind.STATE + b"u\x01": None}, {Kind.STATE + b"zz": b"new"}):
        before = {key: built.store.get(key) for key in change}
        built.store.write(change)
        assert built.chain.recheck(validators_at, 3).ok
        report = built.chain.verify_all(lambda _: None)
        assert "state" in {damage.what for damage in report.damage}
        assert report.repair is Repair.RESYNC
        built.store.write(before)
    assert built.chain.verify_all(validators_at).ok


def test_damaged_checkpoint_records_are_found(make_store):
    builder = Builder(make_store(), interval=2).initialise()
    builder.grow(7)
    store, chain = builder.store, builder.chain
    assert chain.recheck(validators_at).ok
    height = read_progress(store).finished_height
    assert height == 6
    cases = [(Kind.BUCKET + b"t" + height.to_bytes(8, "big"), True)]
    for letter, shallow in ((b"g", True), (b"b", False)):
        cases.append((next(store.iterate(Kind.BUCKET + letter, reverse=True, limit=1))[0], shallow))
    for key, shallow in cases:
        before = store.get(key)
        for value in (None, before[:-1] + bytes([before[-1] ^ 1])):
            store.write({key: value})
            whats = {damage.what for damage in chain.recheck(validators_at).damage}
            assert whats == ({"checkpoint"} if shallow else set())
            assert "checkpoint" in {damage.what for damage in chain.verify_all(validators_at).damage}
        store.write({key: before})
    assert chain.verify_all(validators_at).ok


def test_checkpoint_root_other_than_the_headers_is_found(make_store):
    builder = Builder(make_store(), interval=2).initialise()
    builder.grow(6)
    progress = read_progress(builder.store)
    assert progress.finished_height + 2 <= builder.chain.height
    builder.store.write({PROGRESS_KEY: encode(progress._replace(finished_root=bytes(32)))})
    report = builder.chain.recheck(validators_at)
    assert [(damage.what, damage.repair) for damage in report.damage] == [("checkpoint", Repair.RESYNC)]


def test_blocks_from_peers_are_put_back_where_they_belong(built):
    chain = built.chain
    for height in (4, 3):
        built.store.write(dict.fromkeys([height_key(Kind.BLOCK, height), height_key(Kind.TRANSACTIONS, height)]))
    assert set(chain.recheck(validators_at).refetch_heights) >= {4}
    for height in (4, 3):
        parent = chain.header(height + 1).parent
        built.store.write(put_back(chain, decided(built.made[height - 1]), parent, VALIDATORS))
    assert chain.recheck(validators_at).ok
    assert chain.verify_all(validators_at).ok


def test_wrong_blocks_from_peers_are_not_put_back(built):
    chain = built.chain
    good = decided(built.made[3])
    name = block_id(good.header)
    for wrong in (
        decided(built.made[2]),
        msgspec.structs.replace(good, transactions=good.transactions[:-1]),
        msgspec.structs.replace(good, transactions=decided(built.made[2]).transactions),
        msgspec.structs.replace(good, certificate=built.made[2][5]),
        msgspec.structs.replace(good, certificate=certificate_for(good.header, KEYS[:2])),
    ):
        with pytest.raises(InvalidBlock):
            put_back(chain, wrong, name, VALIDATORS)


def test_lost_tail_leaves_an_earlier_chain_that_is_whole(make_store):
    """What LevelDB does with a torn log: the last batches are gone, whole, and everything agrees again."""
    builder = Builder(make_store()).initialise()
    builder.grow(3)
    kept = dict(builder.store.iterate(b""))
    builder.grow(2)
    other = make_store("other")
    other.write(kept)
    chain = ChainStore(other, CHAIN_ID, GENESIS_HASH)
    assert chain.height == 3
    assert chain.verify_all(validators_at).ok


def test_lost_batch_in_the_middle_is_found(make_store):
    builder = Builder(make_store()).initialise()
    builder.grow(2)
    batches = []
    for _ in range(3):
        before = dict(builder.store.iterate(b""))
        builder.commit()
        after = dict(builder.store.iterate(b""))
        batches.append(
            {key: after.get(key) for key in before.keys() | after.keys() if before.get(key) != after.get(key)}
        )
    other = make_store("other")
    other.write(before | {key: before.get(key) for key in batches[1]})
    other.write(dict.fromkeys(batches[1]))
    other.write(batches[2])
    with pytest.raises(StorageFault):
        ChainStore(other, CHAIN_ID, GENESIS_HASH).recheck(validators_at).raise_for_damage()


def test_old_history_trees_do_not_change_under_their_holders(built):
    held = built.chain.history
    before = held.root()
    built.commit()
    assert held.root() == before
    assert isinstance(held, GrowingTree)
