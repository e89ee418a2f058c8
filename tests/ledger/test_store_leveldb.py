"""The LevelDB store: opening, checksums of records, numbers of batches, copies; a process that dies, a full disk."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from zlib import crc32

import plyvel
import pytest

from ledger import store_leveldb
from ledger.errors import HomeLocked, LocalMisuse, StorageFault
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


def test_room_is_given_back_when_deleted_records_are_compacted(tmp_path):
    store = LevelStore(str(tmp_path / "store"))
    for first in range(0, 4_000, 100):
        store.write({b"r%08d" % number: bytes(1_000) for number in range(first, first + 100)})
    store.write({b"r%08d" % number: None for number in range(3_900)})
    store.close()

    def size() -> int:
        return sum(path.stat().st_size for path in (tmp_path / "store").iterdir())

    before = size()
    LevelStore.compact(str(tmp_path / "store"))
    assert size() < before / 4
    store = LevelStore(str(tmp_path / "store"))
    assert store.verify() == 100
    store.close()
