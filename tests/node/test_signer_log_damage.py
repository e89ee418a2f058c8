"""The signer log under arbitrary crashes and arbitrary damage: a synced record comes back, or the log is refused."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ledger.errors import StorageFault
from node.signer_log import FILE_NAME, SignerLog, damaged_logs, set_aside
from tests.crash_points import install

PAGE = 64
"""Stands for the disk's page: what is not synced arrives page by page, in any order, or never."""

batches = st.lists(st.lists(st.binary(min_size=1, max_size=150), min_size=1, max_size=3), max_size=5)


@dataclass
class Written:
    """A log as its writer left it.

    Attributes:
        data: its bytes.
        durable: how many of them were synced.
        frames: (begin, end, how much was durable when it was written) of every frame after those the file began with.
        kept: records that were synced.
        lost: records that were appended after the last sync.
    """

    data: bytes
    durable: int
    frames: list[tuple[int, int, int]]
    kept: list[bytes]
    lost: list[bytes]


@contextmanager
def directory() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as name:
        yield Path(name)


def write(place: Path, synced: list[list[bytes]], unsynced: list[list[bytes]], compacted: list[bytes]) -> Written:
    log = SignerLog(place)
    if compacted:
        log.compact(compacted)
    frames: list[tuple[int, int, int]] = []
    durable = log.size_bytes
    for number, batch in enumerate(synced + unsynced):
        end = log.size_bytes
        frames += [((begin := end), (end := begin + 16 + len(record)), durable) for record in batch]
        log.append(batch)
        if number < len(synced):
            log.sync()
            durable = log.size_bytes
    log.close()
    kept = compacted + [record for batch in synced for record in batch]
    lost = [record for batch in unsynced for record in batch]
    return Written((place / FILE_NAME).read_bytes(), durable, frames, kept, lost)


def reopen(place: Path, data: bytes) -> list[bytes]:
    (place / FILE_NAME).write_bytes(data)
    log = SignerLog(place)
    try:
        return log.take_records()
    finally:
        log.close()


@given(batches, batches, st.lists(st.binary(min_size=1, max_size=100), max_size=3), st.data())
def test_every_synced_record_returns_when_the_machine_loses_power(synced, unsynced, compacted, draw):
    with directory() as place:
        written = write(place, synced, unsynced, compacted)
        data = bytearray(written.data)
        for page in range(written.durable, len(data), PAGE):
            fate = draw.draw(st.sampled_from(["whole", "zeros", "noise"]))
            if fate != "whole":
                size = len(data[page : page + PAGE])
                data[page : page + PAGE] = (
                    bytes(size) if fate == "zeros" else draw.draw(st.binary(min_size=size))[:size]
                )
        cut = draw.draw(st.integers(written.durable, len(data)))
        found = reopen(place, bytes(data[:cut]))
        everything = written.kept + written.lost
        assert found[: len(written.kept)] == written.kept
        assert found == everything[: len(found)]
        # What recovery left is a good log: nothing changes when it is opened again, or crashes and is opened again.
        assert reopen(place, (place / FILE_NAME).read_bytes()) == found


@given(batches.filter(bool), batches, st.lists(st.binary(min_size=1, max_size=100), max_size=3), st.data())
@settings(max_examples=200)
def test_no_record_is_lost_or_changed_silently_when_synced_bytes_are_damaged(synced, unsynced, compacted, draw):
    with directory() as place:
        written = write(place, synced, unsynced, compacted)
        data = bytearray(written.data)
        places = draw.draw(st.lists(st.integers(0, written.durable - 1), min_size=1, max_size=4, unique=True))
        for one in places:
            data[one] ^= draw.draw(st.integers(1, 255))
        everything = written.kept + written.lost
        if must_be_told(written, places):
            with pytest.raises(StorageFault) as caught:
                reopen(place, bytes(data))
            assert caught.value.code == "signer_log_damaged"
            return
        # Every frame that could tell is damaged too: this looks like a write that was never synced, and peers tell of
        # that one (DESIGN.md 3).
        found = reopen(place, bytes(data))
        assert found == everything[: len(found)]
        assert len(found) < len(everything)


def must_be_told(written: Written, places: list[int]) -> bool:
    """Whether a whole frame says that the first damaged place was durable; or the file began with that place."""
    broken = [frame for frame in written.frames if any(frame[0] <= one < frame[1] for one in places)]
    began_with = written.frames[0][0] if written.frames else len(written.data)
    if min(places) < began_with:
        return True
    return any(frame[2] > broken[0][0] for frame in written.frames if frame not in broken)


@given(batches, st.lists(st.binary(min_size=1, max_size=100), min_size=1, max_size=3), st.data())
def test_a_log_is_refused_when_it_is_cut_below_what_it_began_with(synced, compacted, draw):
    with directory() as place:
        written = write(place, synced, [], compacted)
        base = written.frames[0][0] if written.frames else len(written.data)
        with pytest.raises(StorageFault):
            reopen(place, written.data[: draw.draw(st.integers(0, base - 1))])


class Crash(BaseException):
    """The process ends here."""


def crash():
    raise Crash


@pytest.mark.parametrize(
    "point", ["log.new.half", "log.new.written", "log.new.synced", "log.new.renamed", "log.new.directory_synced"]
)
def test_old_or_new_log_is_there_whole_when_the_process_ends_inside_a_compaction(tmp_path, point):
    write(tmp_path, [[b"old"]], [], [])
    log = SignerLog(tmp_path)
    with install(point, 1, crash), pytest.raises(Crash):
        log.compact([b"new", b"newer"])
    log.close()
    renamed = point in ("log.new.renamed", "log.new.directory_synced")
    found = reopen(tmp_path, (tmp_path / FILE_NAME).read_bytes())
    assert found == ([b"new", b"newer"] if renamed else [b"old"])


@pytest.mark.parametrize("point", ["recovery.log_cut.before", "recovery.log_cut.after", "recovery.log_scanned"])
def test_recovery_is_repeated_when_the_process_ends_inside_it(tmp_path, point):
    written = write(tmp_path, [[b"kept"]], [[b"lost" * 30]], [])
    (tmp_path / FILE_NAME).write_bytes(written.data[:-5])
    for _ in range(2):
        with install(point, 1, crash):
            try:
                SignerLog(tmp_path).close()
            except Crash:
                continue
    assert reopen(tmp_path, (tmp_path / FILE_NAME).read_bytes()) == [b"kept"]


def test_a_damaged_log_is_kept_under_a_dated_name_and_a_new_one_is_begun(tmp_path):
    written = write(tmp_path, [[b"first"], [b"second"]], [], [])
    damaged = bytearray(written.data)
    damaged[30] ^= 1
    (tmp_path / FILE_NAME).write_bytes(damaged)
    with pytest.raises(StorageFault):
        SignerLog(tmp_path)
    moved = set_aside(tmp_path, datetime(2026, 3, 4, 5, 6, 7, 8, UTC))
    assert moved.name == "signer.log.damaged-20260304T050607000008Z"
    assert moved.read_bytes() == damaged
    assert damaged_logs(tmp_path) == [moved.name]
    log = SignerLog(tmp_path)
    assert log.created
    assert log.take_records() == []
    log.close()


def test_a_log_that_cannot_be_set_aside_stops_the_node(tmp_path):
    with pytest.raises(StorageFault):
        set_aside(tmp_path / "nowhere", datetime.now(UTC))
