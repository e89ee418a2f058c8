"""The chain looks at itself: what recheck and whole verification find, which repair they name, and the repair."""

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
    reopened,
    validators_at,
)

from ledger.block import block_id
from ledger.chain_recheck import Repair
from ledger.chain_records import height_key, history_key
from ledger.chain_repair import put_back, reindexed
from ledger.chain_store import ChainStore
from ledger.checkpoint import PROGRESS_KEY, read_progress
from ledger.encoding import encode
from ledger.errors import InvalidBlock, StorageFault
from ledger.store import Kind
from ledger.validators import ValidatorSet


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
        (Kind.RECEIPTS, "receipts", Repair.REFETCH),
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
