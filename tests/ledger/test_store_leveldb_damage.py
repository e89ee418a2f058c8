"""What LevelDB makes of damaged, cut and missing files, and what the store makes of that: never a wrong value."""

import os
import random
import shutil

import pytest
from chains import CHAIN_ID, GENESIS_HASH, Builder, validators_at

from ledger.chain_store import ChainStore
from ledger.errors import Fatal, StorageFault
from ledger.store_leveldb import LevelStore


def written(path, batches=12, size=400):
    """A store with tables and a log; returns the value that each key had after each batch."""
    rng = random.Random(5)
    store = LevelStore(path)
    history = [{}]
    for _ in range(batches):
        batch = {b"s%04d" % rng.randrange(2_000): rng.randbytes(60) for _ in range(size)}
        store.write(batch)
        history.append(history[-1] | batch)
        if len(history) % 5 == 0:
            store.close()  # a log becomes a table when it is opened again
            store = LevelStore(path)
    store.close()
    return history


def read_all(path, keys):
    """Value, None when missing, or "fault", of each key; "fault" for the whole store when it does not open."""
    try:
        store = LevelStore(path, create=False)
    except Fatal:
        return "fault"
    found = {}
    try:
        for key in keys:
            try:
                found[key] = store.get(key)
            except StorageFault:
                found[key] = "fault"
        try:
            found["verified"] = store.verify()
        except StorageFault:
            found["verified"] = "fault"
        try:
            listed = dict(store.iterate(b"s"))
        except StorageFault:
            listed = {}
        for key, value in listed.items():
            assert found.get(key) in (value, "fault")
    finally:
        store.close()
    return found


def check(found, history):
    """No wrong value, and a missing or older one only where the store says so or all of it is of an earlier moment."""
    if found == "fault":
        return "refused"
    verified = found.pop("verified")
    faults = sum(value == "fault" for value in found.values())
    known = {}
    for moment in history:
        for key, value in moment.items():
            known.setdefault(key, {None}).add(value)
    for key, value in found.items():
        assert value == "fault" or value in known[key], "a value that was never written"
    for moment in reversed(history):
        if all(value in ("fault", moment.get(key)) for key, value in found.items()):
            if faults or verified == "fault":
                return "faults"
            return "whole" if moment is history[-1] else "earlier"
    assert verified == "fault", "records are lost or stale, and nothing says so"
    return "faults"


@pytest.mark.parametrize("seed", range(8))
def test_flipped_bits_anywhere_never_give_a_wrong_value(tmp_path, seed):
    rng = random.Random(seed)
    path = tmp_path / "store"
    history = written(str(path))
    outcomes = []
    for turn in range(12):
        damaged = tmp_path / f"damaged{turn}"
        shutil.copytree(path, damaged)
        files = [file for file in sorted(damaged.iterdir()) if file.name[:3] != "LOG" and file.stat().st_size]
        for file in rng.sample(files, rng.randint(1, min(2, len(files)))):
            data = bytearray(file.read_bytes())
            for _ in range(rng.choice([1, 1, 3, 40])):
                data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
            file.write_bytes(data)
        outcomes.append(check(read_all(str(damaged), history[-1]), history))
        shutil.rmtree(damaged)
    print(seed, outcomes)


def test_truncated_files_never_give_a_wrong_value_or_a_hole(tmp_path):
    path = tmp_path / "store"
    history = written(str(path))
    outcomes = {}
    for name in sorted(file.name for file in path.iterdir() if file.stat().st_size and file.name[:3] != "LOG"):
        size = (path / name).stat().st_size
        for part in (0, 0.2, 0.5, 0.8, 1):
            damaged = tmp_path / "damaged"
            shutil.copytree(path, damaged)
            os.truncate(damaged / name, min(int(size * part), size - 1))
            outcomes[name, part] = check(read_all(str(damaged), history[-1]), history)
            shutil.rmtree(damaged)
    print(outcomes)
    assert "earlier" in {outcome for (name, _), outcome in outcomes.items() if name.endswith(".log")}


def test_damaged_table_never_makes_a_record_look_missing_or_old(tmp_path):
    """Our own checksum cannot see a record whose key was hit; LevelDB's block checksums can, and are asked."""
    path = tmp_path / "store"
    values = written(str(path), batches=4)[-1]
    rng = random.Random(11)
    table = max(path.glob("*.ldb"), key=lambda file: file.stat().st_size)
    faults = 0
    for _ in range(30):
        damaged = tmp_path / "damaged"
        shutil.copytree(path, damaged)
        data = bytearray((damaged / table.name).read_bytes())
        data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
        (damaged / table.name).write_bytes(data)
        found = read_all(str(damaged), values)
        if found != "fault":
            assert {key for key in values if found[key] not in (values[key], "fault")} == set()
            faults += sum(found[key] == "fault" for key in values)
        shutil.rmtree(damaged)
    assert faults


def record_ends(log):
    """Where the records of a LevelDB log end: 7 bytes of header, of which two are the length, in 32 KiB blocks."""
    ends, position = [], 0
    while position + 7 <= len(log):
        position += 7 + int.from_bytes(log[position + 4 : position + 6], "little")
        ends.append(position)
    return ends


def test_manifest_that_forgets_a_whole_log_is_noticed_by_the_batch_numbers(tmp_path):
    """LevelDB opens such a store without a word: the table that the log became is no longer known, later logs are."""
    path = tmp_path / "store"
    rng = random.Random(7)
    store = LevelStore(str(path))
    for turn in range(26):
        store.write({b"turn%d" % turn: b"", **{b"s%d" % rng.randrange(3_000): rng.randbytes(800) for _ in range(700)}})
    store.close()
    (manifest,) = path.glob("MANIFEST-*")
    ends = record_ends(manifest.read_bytes())
    assert 2 <= len(ends) < 40
    outcomes = []
    for end in ends[:-1]:
        damaged = tmp_path / "damaged"
        shutil.copytree(path, damaged)
        os.truncate(damaged / manifest.name, end)
        with pytest.raises(StorageFault) as error:
            LevelStore(str(damaged))
        outcomes.append(error.value.data.get("lost"))
        shutil.rmtree(damaged)
    assert any(outcomes), outcomes


def test_every_missing_file_is_noticed_or_leaves_an_earlier_moment(tmp_path):
    path = tmp_path / "store"
    history = written(str(path))
    for name in sorted(file.name for file in path.iterdir() if file.name[:3] not in ("LOG", "LOC")):
        damaged = tmp_path / "damaged"
        shutil.copytree(path, damaged)
        (damaged / name).unlink()
        outcome = check(read_all(str(damaged), history[-1]), history)
        assert outcome == ("earlier" if name.endswith(".log") else "refused"), name
        shutil.rmtree(damaged)


@pytest.mark.parametrize("seed", range(3))
def test_chain_over_damaged_files_is_refused_reported_or_an_earlier_whole_one(tmp_path, seed):
    rng = random.Random(seed)
    path = tmp_path / "store"
    store = LevelStore(str(path))
    builder = Builder(store, seed).initialise()
    builder.grow(4)
    store.close()
    builder = Builder(LevelStore(str(path)), seed)
    builder.grow(3)
    builder.store.close()
    for turn in range(10):
        damaged = tmp_path / f"damaged{turn}"
        shutil.copytree(path, damaged)
        files = [file for file in sorted(damaged.iterdir()) if file.name[:3] != "LOG" and file.stat().st_size]
        file = rng.choice(files)
        data = bytearray(file.read_bytes())
        if turn % 3 == 0:
            del data[rng.randrange(len(data)) :]
        else:
            data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
        file.write_bytes(data)
        store = None
        try:
            store = LevelStore(str(damaged), create=False)
            chain = ChainStore(store, CHAIN_ID, GENESIS_HASH)
            if chain.initialised:
                report = chain.verify_all(validators_at)
                if report.ok:
                    for height in range(chain.height + 1):
                        assert chain.header(height) == builder_header(path, height)
        except StorageFault:
            pass
        finally:
            if store is not None:
                store.close()
            shutil.rmtree(damaged)


def builder_header(path, height):
    store = LevelStore(str(path))
    try:
        return ChainStore(store, CHAIN_ID, GENESIS_HASH).header(height)
    finally:
        store.close()
