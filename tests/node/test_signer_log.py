"""The signer log: what was synced is there after any crash, and damage is never mistaken for one."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.errors import LocalMisuse, StorageFault
from node import signer_log
from node.signer_log import FILE_NAME, MAX_PAYLOAD_BYTES, NEW_NAME, SignerLog


def reopen(directory: Path) -> list[bytes]:
    log = SignerLog(directory)
    try:
        return log.take_records()
    finally:
        log.close()


def write(directory: Path, *batches: list[bytes]) -> bytes:
    log = SignerLog(directory)
    for batch in batches:
        log.append(batch)
        log.sync()
    log.close()
    return (directory / FILE_NAME).read_bytes()


def test_records_return_in_order_when_reopened(tmp_path):
    write(tmp_path, [b"a", b"bb"], [b"ccc" * 100_000])
    assert reopen(tmp_path) == [b"a", b"bb", b"ccc" * 100_000]


def test_created_is_told_when_there_was_no_log(tmp_path):
    first = SignerLog(tmp_path)
    assert first.created
    first.close()
    second = SignerLog(tmp_path)
    assert not second.created
    second.close()


def test_appends_continue_when_reopened_after_a_torn_tail(tmp_path):
    data = write(tmp_path, [b"one"], [b"two"])
    (tmp_path / FILE_NAME).write_bytes(data[:-1])
    write(tmp_path, [b"three"])
    assert reopen(tmp_path) == [b"one", b"three"]


def test_every_torn_tail_keeps_the_whole_records_before_it(tmp_path):
    base = len(write(tmp_path))
    first = len(write(tmp_path, [b"first" * 5]))
    data = write(tmp_path, [b"second" * 7])
    path = tmp_path / FILE_NAME
    for size in range(base, len(data) + 1):
        path.write_bytes(data[:size])
        expected = [b"first" * 5, b"second" * 7][: (size >= first) + (size >= len(data))]
        assert reopen(tmp_path) == expected, size
        assert path.stat().st_size == [base, first, len(data)][len(expected)]


def test_a_file_extended_by_zeros_keeps_its_records(tmp_path):
    data = write(tmp_path, [b"one"])
    (tmp_path / FILE_NAME).write_bytes(data + bytes(5_000))
    assert reopen(tmp_path) == [b"one"]


def test_pages_of_one_unsynced_batch_may_arrive_in_any_order(tmp_path):
    write(tmp_path, [b"durable"])
    log = SignerLog(tmp_path)
    before = log.size_bytes
    log.append([b"body" * 2_000])
    log.append([b"vote"])
    log.close()
    data = bytearray((tmp_path / FILE_NAME).read_bytes())
    data[before + 100 : before + 4_100] = bytes(4_000)  # a page that never reached the disk, with a good frame after it
    (tmp_path / FILE_NAME).write_bytes(data)
    assert reopen(tmp_path) == [b"durable"]


def test_a_flipped_byte_in_what_was_synced_is_refused_everywhere(tmp_path):
    data = write(tmp_path, [b"first"], [b"second", b"third"], [b"last"])
    last = len(data) - len(b"last") - 16
    for place in range(last):
        damaged = bytearray(data)
        damaged[place] ^= 0x40
        (tmp_path / FILE_NAME).write_bytes(damaged)
        with pytest.raises(StorageFault) as caught:
            reopen(tmp_path)
        assert caught.value.code == "signer_log_damaged", place


def test_a_flipped_byte_in_a_compacted_log_is_refused_everywhere(tmp_path):
    log = SignerLog(tmp_path)
    log.compact([b"first", b"second"])
    log.close()
    data = (tmp_path / FILE_NAME).read_bytes()
    for place in range(len(data)):
        damaged = bytearray(data)
        damaged[place] ^= 0x01
        (tmp_path / FILE_NAME).write_bytes(damaged)
        with pytest.raises(StorageFault):
            reopen(tmp_path)


def test_a_cut_compacted_log_is_refused(tmp_path):
    log = SignerLog(tmp_path)
    log.compact([b"first", b"second"])
    log.close()
    data = (tmp_path / FILE_NAME).read_bytes()
    for size in range(len(data)):
        (tmp_path / FILE_NAME).write_bytes(data[:size])
        with pytest.raises(StorageFault):
            reopen(tmp_path)


def test_compaction_keeps_only_the_given_records(tmp_path):
    log = SignerLog(tmp_path, bound_bytes=10_000)
    while not log.needs_compaction:
        log.append([b"x" * 300])
    log.sync()
    log.compact([b"live"])
    assert not log.needs_compaction
    assert log.is_synced
    log.append([b"later"])
    assert not log.is_synced
    log.sync()
    log.close()
    assert reopen(tmp_path) == [b"live", b"later"]


class Crash(BaseException):
    """The process ends here."""


@pytest.mark.parametrize("call", ["open", "write", "fsync", "rename", "fsync_directory"])
def test_old_or_new_log_survives_when_compaction_crashes(tmp_path, monkeypatch, call):
    write(tmp_path, [b"old"])
    log = SignerLog(tmp_path)
    real_open, real_fsync, real_write = os.open, os.fsync, os.write
    synced = []

    def crash(*args, **kwargs):
        raise Crash

    def torn_write(descriptor, data):
        real_write(descriptor, data[: len(data) // 2])
        raise Crash

    def fsync(descriptor):
        synced.append(descriptor)
        if call == "fsync" or len(synced) == 2:
            raise Crash
        real_fsync(descriptor)

    if call == "open":
        monkeypatch.setattr(os, "open", crash)
    elif call == "write":
        monkeypatch.setattr(os, "write", torn_write)
    elif call == "rename":
        monkeypatch.setattr(Path, "rename", crash)
    else:
        monkeypatch.setattr(os, "fsync", fsync)
    with pytest.raises(Crash):
        log.compact([b"new"])
    monkeypatch.undo()
    assert real_open is os.open
    log.close()
    assert reopen(tmp_path) == ([b"new"] if call == "fsync_directory" else [b"old"])
    assert not (tmp_path / NEW_NAME).exists()


@pytest.mark.parametrize(("call", "act"), [("fdatasync", "sync"), ("write", "append"), ("fsync", "compact")])
def test_nothing_is_taken_any_more_when_the_disk_failed(tmp_path, monkeypatch, call, act):
    log = SignerLog(tmp_path)
    log.append([b"before"])

    def fail(*args):
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(os, call, fail)
    with pytest.raises(StorageFault) as caught:
        log.sync() if act == "sync" else getattr(log, act)([b"record"])
    assert caught.value.data["errno"] == errno.EIO
    monkeypatch.undo()
    for again in (log.sync, lambda: log.append([b"after"]), lambda: log.compact([])):
        with pytest.raises(StorageFault):
            again()
    log.close()


def test_a_short_write_is_completed(tmp_path, monkeypatch):
    log = SignerLog(tmp_path)
    real_write = os.write
    monkeypatch.setattr(os, "write", lambda descriptor, data: real_write(descriptor, data[:7]))
    log.append([b"a record that is longer than seven bytes"])
    monkeypatch.undo()
    log.close()
    assert reopen(tmp_path) == [b"a record that is longer than seven bytes"]


@pytest.mark.parametrize("record", [b"", bytes(MAX_PAYLOAD_BYTES + 1)])
def test_records_of_impossible_length_are_refused_whole(tmp_path, record):
    log = SignerLog(tmp_path)
    with pytest.raises(LocalMisuse):
        log.append([b"good", record])
    with pytest.raises(LocalMisuse):
        log.compact([b"good", record])
    log.close()
    assert reopen(tmp_path) == []


def test_a_closed_log_is_refused(tmp_path):
    log = SignerLog(tmp_path)
    log.close()
    log.close()
    with pytest.raises(LocalMisuse):
        log.append([b"x"])


def test_a_missing_directory_is_a_storage_fault(tmp_path):
    with pytest.raises(StorageFault):
        SignerLog(tmp_path / "nowhere")


def test_the_bound_of_a_record_leaves_room_for_the_largest_signer_record():
    from consensus.records import MAX_RECORD_BYTES

    assert MAX_RECORD_BYTES <= MAX_PAYLOAD_BYTES


@given(st.binary(max_size=400))
def test_arbitrary_bytes_never_crash_the_scan(data):
    try:
        payloads, good = signer_log._scan(signer_log._header(20) + data)
    except StorageFault:
        return
    assert good <= 20 + len(data)
    assert all(payloads)
