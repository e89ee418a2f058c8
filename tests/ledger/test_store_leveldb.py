"""What LevelDB does to its files when they are damaged or the process dies, and what the store makes of it."""

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from zlib import crc32

import plyvel
import pytest
from chains import CHAIN_ID, GENESIS_HASH, Builder, validators_at

from ledger import store_leveldb
from ledger.chain_store import ChainStore
from ledger.errors import Fatal, HomeLocked, LocalMisuse, StorageFault
from ledger.store_leveldb import LevelStore

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def path(tmp_path):
    return str(tmp_path / "store")


def raw(path):
    return plyvel.DB(path, compression=None, bloom_filter_bits=10)


def test_what_was_written_is_there_when_opened_again(path):
    store = LevelStore(path)
    store.write({b"a": b"1", b"b": b"2"})
    store.write({b"a": None, b"c": b"3"}, sync=False)
    store.close()
    again = LevelStore(path, create=False)
    assert list(again.iterate(b"")) == [(b"b", b"2"), (b"c", b"3")]
    again.close()


def test_open_twice_is_refused_as_locked(path):
    store = LevelStore(path)
    with pytest.raises(HomeLocked):
        LevelStore(path)
    store.close()


def test_missing_directory_is_refused_when_not_to_be_created(path):
    with pytest.raises(StorageFault):
        LevelStore(path, create=False)


def test_directory_that_cannot_be_made_is_a_storage_fault(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(StorageFault):
        LevelStore(str(tmp_path / "file" / "store"))


@pytest.mark.parametrize("damage", ["value", "checksum", "short", "empty", "moved"])
def test_record_that_does_not_match_its_checksum_is_never_returned(path, damage):
    store = LevelStore(path)
    store.write({b"a": b"first", b"b": b"second", b"c": b"third"})
    store.close()
    database = raw(path)
    record = database.get(b"b")
    database.put(
        b"b",
        {
            "value": b"S" + record[1:],
            "checksum": record[:-1] + bytes([record[-1] ^ 1]),
            "short": record[:-1],
            "empty": b"",
            "moved": database.get(b"a"),
        }[damage],
    )
    database.close()
    store = LevelStore(path)
    view = store.snapshot()
    for reader in (store, view):
        with pytest.raises(StorageFault) as error:
            reader.get(b"b")
        assert error.value.data["key"] == b"b"
        with pytest.raises(StorageFault) as error:
            list(reader.iterate(b""))
        assert error.value.data["key"] == b"b"
        assert reader.get(b"a") == b"first"
    view.close()
    with pytest.raises(StorageFault):
        store.verify()
    with pytest.raises(StorageFault):
        store.checkpoint_copy(path + "-copy")
    assert not Path(path + "-copy").exists()
    store.close()


def test_stored_checksum_is_the_crc_of_key_and_value(path):
    store = LevelStore(path)
    store.write({b"key": b"value"})
    store.close()
    database = raw(path)
    assert database.get(b"key") == b"value" + crc32(b"keyvalue").to_bytes(4, "little")
    database.close()


def test_failed_write_is_a_storage_fault_and_ends_writing(path):
    store = LevelStore(path)

    class Full:
        def __init__(self, handle):
            self.handle = handle

        def write_batch(self, **_):
            raise plyvel.IOError("No space left on device")

        def close(self):
            self.handle.close()

    store._handle = Full(store._handle)
    with pytest.raises(StorageFault):
        store.write({b"a": b"1"})
    with pytest.raises(StorageFault):
        store.write({b"a": b"1"})
    store.close()


def test_gap_in_the_batch_numbers_is_found_when_opened(path):
    store = LevelStore(path)
    for turn in range(5):
        store.write({b"a": b"%d" % turn})
    store.close()
    database = raw(path)
    database.delete(b"\x00n" + (3).to_bytes(4, "big"))
    database.close()
    with pytest.raises(StorageFault) as error:
        LevelStore(path)
    assert error.value.data["lost"] == 1


def test_batch_numbers_wrap_without_a_gap(path, monkeypatch):
    monkeypatch.setattr(store_leveldb, "NUMBERED_BATCHES", 4)
    for _ in range(3):
        store = LevelStore(path)
        for turn in range(3):
            store.write({b"a": b"%d" % turn})
            store.write({b"b": b"unnumbered"}, sync=False)
        store.close()
    store = LevelStore(path)
    assert store._number == 9
    assert [key for key, _ in store.iterate(b"")] == [b"a", b"b"]
    store.close()


# --- damage of the files ------------------------------------------------------------------------------------------


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


# --- the process dies ---------------------------------------------------------------------------------------------

WRITER = """
import sys
from ledger.store_leveldb import LevelStore
store = LevelStore(sys.argv[1])
turn = int(store.get(b"turn") or b"0")
while True:
    turn += 1
    batch = {b"s%04d" % i: b"%d" % turn + bytes(200) for i in range(1500)}
    batch[b"turn"] = b"%d" % turn
    store.write(batch)
    print(turn, flush=True)
"""


def test_batches_are_whole_and_synced_ones_remain_when_the_process_is_killed(path):
    rng = random.Random(3)
    for _ in range(5):
        child = subprocess.Popen(
            [sys.executable, "-c", WRITER, path],
            stdout=subprocess.PIPE,
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )
        acknowledged = 0
        try:
            deadline = time.monotonic() + 30
            wanted = rng.randint(3, 12)
            for _ in range(wanted):
                assert time.monotonic() < deadline
                acknowledged = int(child.stdout.readline())
            time.sleep(rng.random() * 0.02)
        finally:
            child.send_signal(signal.SIGKILL)
            rest = child.stdout.read().split(b"\n")
            child.wait()
            child.stdout.close()
        acknowledged = max([acknowledged, *(int(line) for line in rest[:-1] if line)])
        store = LevelStore(path)
        turn = int(store.get(b"turn"))
        assert turn in (acknowledged, acknowledged + 1)
        assert {value for _, value in store.iterate(b"s")} == {b"%d" % turn + bytes(200)}
        store.verify()
        store.close()


FULL_DISK = """
import resource, signal, sys
from ledger.errors import StorageFault
from ledger.store_leveldb import LevelStore
store = LevelStore(sys.argv[1])
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, 1_000_000))
for turn in range(1, 100):
    try:
        store.write({b"s%03d" % i: b"%d" % turn + bytes(300) for i in range(300)})
    except StorageFault:
        break
    print(turn, flush=True)
try:
    store.write({b"s": b"after"})
except StorageFault:
    print("stopped", flush=True)
"""


def test_full_disk_is_a_storage_fault_and_leaves_whole_batches(path):
    """A limit on the size of files stands for the full disk: the log cannot grow beyond it."""
    done = subprocess.run(
        [sys.executable, "-c", FULL_DISK, path],
        stdout=subprocess.PIPE,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        check=True,
        timeout=60,
    )
    *turns, last = done.stdout.split()
    assert last == b"stopped"
    assert 1 <= len(turns) < 20
    store = LevelStore(path)
    values = {value for _, value in store.iterate(b"s")}
    assert values == {turns[-1] + bytes(300)}
    store.verify()
    store.close()


def test_copy_left_half_made_is_replaced(path):
    store = LevelStore(path)
    store.write({b"a": b"1"})
    partial = Path(path + "-copy.partial")
    partial.mkdir()
    (partial / "junk").write_bytes(b"junk")
    store.checkpoint_copy(path + "-copy")
    assert not partial.exists()
    with pytest.raises(LocalMisuse):
        store.checkpoint_copy(path + "-copy")
    store.close()
