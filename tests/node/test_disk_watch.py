"""Room on the disk: the fullest one counts, warned once, and refused below the reserve."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest
import structlog

from ledger.errors import DiskFull, StorageFault
from node.cli.exit_codes import DISK_FULL, exit_code_of
from node.disk_watch import WARN_FACTOR, DiskWatch, megabytes

MB = 1_000_000
RESERVE = 100 * MB


class Disks:
    """What is free, by directory."""

    def __init__(self, **free: int) -> None:
        self.free = free

    def statvfs(self, directory: Path) -> SimpleNamespace:
        if directory.name not in self.free:
            raise OSError(5, "Input/output error")
        return SimpleNamespace(f_bavail=self.free[directory.name] // 1_000, f_frsize=1_000, f_blocks=10**6)


def watch(disks: Disks, *names: str, reserve: int = RESERVE) -> DiskWatch:
    return DiskWatch([Path("/disks") / name for name in names], reserve, disks.statvfs)


def test_the_fullest_disk_counts_when_a_home_lies_on_several() -> None:
    found = watch(Disks(data=900 * MB, wal=500 * MB), "data", "wal")
    found.check()
    assert (found.free_bytes, found.total_bytes) == (500 * MB, 10**9)
    assert found.directory == Path("/disks/wal")
    assert not found.scarce
    assert found.document()["free_bytes"] == 500 * MB


def test_it_says_how_much_is_missing_where_when_the_reserve_is_touched() -> None:
    with pytest.raises(DiskFull, match=r"99\.9|100 MB are free on the disk of /disks/wal") as raised:
        watch(Disks(data=900 * MB, wal=RESERVE - 1_000), "data", "wal").check()
    assert raised.value.data["min_free_bytes"] == RESERVE
    assert isinstance(raised.value, StorageFault)
    assert exit_code_of(raised.value) == DISK_FULL == 73


@pytest.mark.parametrize("free", [RESERVE, RESERVE + 1_000])
def test_it_goes_on_when_exactly_the_reserve_is_free(free: int) -> None:
    found = watch(Disks(data=free), "data")
    found.check()
    assert found.scarce


def test_it_never_stops_when_the_reserve_is_nothing() -> None:
    watch(Disks(data=0), "data", reserve=0).check()


def test_it_warns_once_when_room_becomes_scarce_and_again_after_a_recovery() -> None:
    disks = Disks(data=WARN_FACTOR * RESERVE)
    found = watch(disks, "data")
    with structlog.testing.capture_logs() as logs:
        for free in (5, 3, 2, 3, 5, 3):
            disks.free["data"] = free * RESERVE
            found.check()
    assert [line["event"] for line in logs] == ["disk_nearly_full", "disk_nearly_full"]


def test_it_leaves_a_disk_that_cannot_be_asked_to_who_writes_to_it() -> None:
    found = watch(Disks(), "data")
    found.check()
    assert found.free_bytes is None
    found = watch(Disks(wal=200 * MB), "data", "wal")
    found.check()
    assert found.free_bytes == 200 * MB


async def test_running_ends_when_the_disk_is_full() -> None:
    with pytest.raises(DiskFull):
        await watch(Disks(data=1_000), "data").run()


def test_sizes_are_said_in_megabytes() -> None:
    assert megabytes(1_500_000) == "1.5 MB"
    assert megabytes(12_345_678_901) == "12,346 MB"
