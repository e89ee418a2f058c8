"""What a start makes of a signer log that is damaged, lost, empty, or older than the chain it belongs to."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from consensus.records import Forgotten, SignedVote, record_codec
from ledger.certificate import VoteKind
from ledger.errors import StorageFault
from node.signer_log import FILE_NAME, SignerLog, damaged_logs
from node.signer_state import decode_records, open_signer_log, recover
from tests.node.bare import Bare
from tests.node.cluster import MemorySignerLog

LOST = [record_codec.encode(Forgotten(None))]


def vote(height: int, signed: bytes = b"a" * 32) -> bytes:
    return record_codec.encode(SignedVote(int(VoteKind.PREPARE), height, 0, signed, bytes(65), b""))


def written(directory: Path, *records: bytes) -> bytes:
    log = SignerLog(directory)
    for record in records:
        log.append([record])
        log.sync()
    log.close()
    return (directory / FILE_NAME).read_bytes()


def opened(directory: Path) -> list[bytes]:
    log, records = open_signer_log(directory)
    log.close()
    return records


# --- the file ---------------------------------------------------------------------------------------------------------


def test_a_good_log_is_opened_as_it_is(tmp_path):
    written(tmp_path, vote(1), vote(2))
    assert opened(tmp_path) == [vote(1), vote(2)]
    assert damaged_logs(tmp_path) == []


@pytest.mark.parametrize("what", ["middle", "header", "emptied", "not a record", "contradiction"])
def test_a_damaged_log_is_kept_and_the_new_one_says_that_everything_is_forgotten(tmp_path, what):
    records = {"not a record": [b"\xc1 not ours"], "contradiction": [vote(1), vote(1, b"b" * 32)]}
    data = bytearray(written(tmp_path, *records.get(what, [vote(1), vote(2), vote(3)])))
    if what in ("middle", "header"):
        data[len(data) // 2 if what == "middle" else 9] ^= 8
    elif what == "emptied":
        data.clear()
    (tmp_path / FILE_NAME).write_bytes(data)
    assert opened(tmp_path) == LOST
    (name,) = damaged_logs(tmp_path)
    assert (tmp_path / name).read_bytes() == data
    # The next start finds that, and nothing else to set aside.
    assert opened(tmp_path) == LOST
    assert damaged_logs(tmp_path) == [name]


def test_a_second_damage_does_not_replace_the_first(tmp_path):
    for _ in range(2):
        (tmp_path / FILE_NAME).write_bytes(b"nothing of ours")
        opened(tmp_path)
    assert len(damaged_logs(tmp_path)) == 2


def test_a_failing_disk_stops_the_node_instead_of_looking_like_damage(tmp_path, monkeypatch):
    data = written(tmp_path, vote(1))

    def fail(*arguments):
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(StorageFault):
        open_signer_log(tmp_path)
    monkeypatch.undo()
    assert damaged_logs(tmp_path) == []
    assert (tmp_path / FILE_NAME).read_bytes() == data


# --- the log and the chain --------------------------------------------------------------------------------------------


def log_of(*records: bytes) -> MemorySignerLog:
    log = MemorySignerLog()
    log.append(list(records))
    return log


def found(bare: Bare, log: MemorySignerLog) -> list[Forgotten]:
    """What the log says is forgotten, after a start."""
    key = bare.cluster.members[0].validator.public
    records = recover(bare.chain, key, log, list(log.records))
    assert [record_codec.encode(record) for record in records] == log.records
    return [record for record in records if isinstance(record, Forgotten)]


async def chain_of(blocks: int) -> Bare:
    bare = Bare()
    for number in range(blocks):
        await bare.commit(bare.pay(number))
    return bare


async def test_a_new_validator_has_forgotten_nothing():
    assert found(await chain_of(0), log_of()) == [Forgotten(0)]


async def test_a_log_that_reaches_the_tip_is_believed():
    log = log_of(record_codec.encode(Forgotten(0)), vote(1), vote(2))
    assert found(await chain_of(2), log) == [Forgotten(0)]


async def test_an_empty_log_of_a_validator_that_has_been_at_work_is_not_believed():
    assert found(await chain_of(1), log_of()) == [Forgotten(None)]


async def test_a_log_that_ends_below_our_last_seal_is_not_believed():
    log = log_of(record_codec.encode(Forgotten(0)), vote(1))
    assert found(await chain_of(2), log) == [Forgotten(0), Forgotten(None)]


async def test_it_is_said_once_however_often_the_node_starts():
    bare, log = await chain_of(2), log_of(vote(1))
    for _ in range(3):
        assert found(bare, log) == [Forgotten(None)]


async def test_what_was_found_out_since_counts():
    bare, log = await chain_of(2), log_of(*LOST, record_codec.encode(Forgotten(4)))
    assert found(bare, log) == [Forgotten(None), Forgotten(4)]


async def test_whoever_is_no_validator_has_forgotten_nothing():
    bare, log = await chain_of(2), log_of()
    member = bare.cluster.members[0].member.public
    assert recover(bare.chain, member, log, []) == [Forgotten(0)]


def test_a_record_that_does_not_decode_is_damage():
    with pytest.raises(StorageFault) as caught:
        decode_records([vote(1), b"\x00"])
    assert caught.value.code == "signer_log_damaged"
