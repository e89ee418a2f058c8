"""The daemon's log file: no line lost or torn by rotation, by threads, or by a disk without room."""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from ledger.errors import InvalidConfig
from node import log_files
from node.log_files import MODE, LogFile


@pytest.fixture
def open_log(tmp_path: Path) -> Iterator:
    opened: list[LogFile] = []

    def open_one(name: str = "node.log", **bounds: int) -> LogFile:
        opened.append(LogFile(tmp_path / name, **bounds))
        return opened[-1]

    yield open_one
    for log in opened:
        log.close()


def lines_of(path: Path) -> list[str]:
    """Everything ever written, oldest first."""
    aside = sorted(path.parent.glob(path.name + ".*"), key=lambda file: -int(file.suffix[1:]))
    return [line for file in [*aside, path] for line in file.read_text().splitlines()]


def test_the_file_is_readable_by_owner_and_group_whatever_the_umask(open_log) -> None:
    before = os.umask(0)
    try:
        log = open_log()
    finally:
        os.umask(before)
    log.write("a\n")
    assert log.path.stat().st_mode & 0o777 == MODE == 0o640


def test_no_line_is_lost_when_the_file_is_put_aside(open_log) -> None:
    log = open_log(max_bytes=100, keep=1000)
    written = [f"line {number:04}" for number in range(500)]
    for line in written:
        log.write(line + "\n")
    assert lines_of(log.path) == written
    assert len(list(log.path.parent.iterdir())) > 40
    assert all(file.stat().st_size <= 100 for file in log.path.parent.iterdir())


def test_the_oldest_is_dropped_when_more_are_aside_than_are_kept(open_log) -> None:
    log = open_log(max_bytes=20, keep=2)
    for number in range(30):
        log.write(f"line {number:04}\n")
    assert sorted(file.name for file in log.path.parent.iterdir()) == ["node.log", "node.log.1", "node.log.2"]
    assert lines_of(log.path) == [f"line {number:04}" for number in range(24, 30)]


def test_nothing_is_overwritten_when_a_crash_left_a_gap_among_those_aside(open_log, tmp_path: Path) -> None:
    tmp_path.joinpath("node.log.1").write_text("newer\n")
    tmp_path.joinpath("node.log.3").write_text("older\n")
    log = open_log(max_bytes=8, keep=3)
    log.write("first\n")
    log.write("second\n")
    assert lines_of(log.path) == ["older", "newer", "first", "second"]


def test_a_longer_line_than_the_bound_stays_whole(open_log) -> None:
    log = open_log(max_bytes=10, keep=5)
    log.write("x" * 50 + "\n")
    log.write("y" * 50 + "\n")
    assert lines_of(log.path) == ["x" * 50, "y" * 50]


def test_lines_go_to_the_new_file_when_an_outer_rotation_has_moved_it(open_log, tmp_path: Path) -> None:
    log = open_log()
    log.write("before\n")
    log.path.rename(tmp_path / "moved")
    log.write("between\n")
    log.reopen()
    log.write("after\n")
    assert tmp_path.joinpath("moved").read_text() == "before\nbetween\n"
    assert log.path.read_text() == "after\n"


def test_the_old_file_takes_lines_when_the_new_one_cannot_be_opened(open_log, monkeypatch) -> None:
    log = open_log()

    def refuse(path: Path) -> tuple[int, int]:
        raise PermissionError(errno.EACCES, "no", str(path))

    monkeypatch.setattr(log_files, "_open", refuse)
    log.reopen()
    log.write("still here\n")
    assert log.path.read_text() == "still here\n"


def test_no_line_is_torn_when_threads_write_and_files_are_put_aside(open_log) -> None:
    log = open_log(max_bytes=2_000, keep=1000)

    def write(name: int) -> None:
        for number in range(200):
            log.write(f"{name} {number} " + "z" * (number % 40) + "|\n")

    threads = [threading.Thread(target=write, args=(name,)) for name in range(4)]
    for thread in threads:
        thread.start()
    for _ in range(50):
        log.reopen()
    for thread in threads:
        thread.join()
    lines = lines_of(log.path)
    assert len(lines) == 800
    assert all(line.endswith("|") for line in lines)
    for name in range(4):
        assert [int(line.split()[1]) for line in lines if line.startswith(f"{name} ")] == list(range(200))


def test_a_torn_line_of_a_dead_process_stays_alone_when_the_next_one_writes(open_log, tmp_path: Path) -> None:
    tmp_path.joinpath("node.log").write_text('{"event": "half')
    log = open_log()
    log.write("whole\n")
    assert log.path.read_text() == '{"event": "half\nwhole\n'


def test_lost_lines_are_counted_and_said_when_the_disk_takes_lines_again(open_log, monkeypatch) -> None:
    log, real, full = open_log(), os.write, True
    log.write("before\n")

    def write(descriptor: int, data: bytes) -> int:
        if not full:
            return real(descriptor, data)
        if len(data) > 3:
            return real(descriptor, data[:3])  # a last bit of room
        raise OSError(errno.ENOSPC, "full")

    monkeypatch.setattr(log_files.os, "write", write)
    log.write("lost one\n")
    log.write("lost too\n")
    full = False
    log.write("after\n")
    lines = log.path.read_text().splitlines()
    assert lines[0] == "before"
    assert '"event": "log_lines_lost"' in lines[1]
    assert '"count": 2' in lines[1]
    assert lines[2:] == ["after"]
    assert log.lost_lines == 2


def test_a_file_that_cannot_be_written_is_refused_in_words(tmp_path: Path) -> None:
    tmp_path.joinpath("log").mkdir()
    with pytest.raises(InvalidConfig, match="cannot be written") as raised:
        LogFile(tmp_path / "log")
    assert raised.value.code == "log_unwritable"


def test_lines_go_to_standard_error_when_the_file_is_closed(open_log, capsys) -> None:
    log = open_log()
    log.close()
    log.write("last words\n")
    assert capsys.readouterr().err == "last words\n"
