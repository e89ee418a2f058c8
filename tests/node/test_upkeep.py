"""What the service manager and the home hear of a daemon's stages, while data is prepared and while it serves."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from ledger.errors import DiskFull
from node.run_state import RunStateFile, read_run_state
from node.sd_notify import Notifier
from node.upkeep import Upkeep

PATIENCE_S = 60.0


def home(path: Path, reserve: int = 0) -> Any:
    for name in ("data", "wal", "run"):
        path.joinpath(name).mkdir(parents=True, exist_ok=True)
    config = SimpleNamespace(storage=SimpleNamespace(min_free_bytes=reserve))
    return SimpleNamespace(data_dir=path / "data", wal_dir=path / "wal", config=config)


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(str(tmp_path / "s"))
        listening.settimeout(PATIENCE_S)
        yield listening


def notifier(tmp_path: Path, **more: str) -> Notifier:
    return Notifier({"NOTIFY_SOCKET": str(tmp_path / "s"), **more})


def said(manager: socket.socket) -> list[str]:
    return manager.recv(4_096).decode().splitlines()


def test_each_stage_reaches_the_home_and_the_manager(tmp_path: Path, manager: socket.socket) -> None:
    place = home(tmp_path / "h")
    upkeep = Upkeep([place], notifier(tmp_path), [RunStateFile(tmp_path / "h" / "run")])
    upkeep.enter("starting")
    upkeep.summary = lambda: "height 7"
    upkeep.enter("serving")
    assert said(manager) == ["READY=1", "STATUS=height 7"]
    state = read_run_state(tmp_path / "h" / "run")
    assert state is not None
    assert state.stage == "serving"
    upkeep.enter("stopping")
    assert said(manager)[0] == "STOPPING=1"


async def test_a_long_preparation_is_granted_time_until_the_node_serves(tmp_path: Path, manager: socket.socket) -> None:
    upkeep = Upkeep([home(tmp_path / "h")], notifier(tmp_path, WATCHDOG_USEC="3000"))
    task = asyncio.create_task(upkeep.run())
    heard = [await asyncio.to_thread(said, manager) for _ in range(3)]
    assert heard[0] == ["STATUS=preparing"]
    assert heard[1][0].startswith("EXTEND_TIMEOUT_USEC=")
    assert heard[2] == ["WATCHDOG=1"]
    upkeep.enter("serving")
    await asyncio.to_thread(_until, manager, "READY=1")
    lines = [(await asyncio.to_thread(said, manager))[0] for _ in range(8)]
    assert "WATCHDOG=1" in lines
    assert not [line for line in lines if line.startswith("EXTEND")]
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


def _until(manager: socket.socket, wanted: str) -> None:
    while wanted not in said(manager):
        pass


def test_the_larger_reserve_of_two_homes_holds_for_both(tmp_path: Path) -> None:
    upkeep = Upkeep([home(tmp_path / "a"), home(tmp_path / "b", reserve=1 << 60)])
    with pytest.raises(DiskFull):
        upkeep.disk.check()
