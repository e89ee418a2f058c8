"""Liveness: fed while the disk takes a synced write, and not while it hangs."""

from __future__ import annotations

import asyncio
import errno
import threading
from pathlib import Path

import structlog

from node import liveness
from node.liveness import Liveness


async def running(alive: Liveness) -> asyncio.Task[None]:
    task = asyncio.create_task(alive.run())
    await asyncio.sleep(0)
    return task


async def test_it_is_fed_again_and_again_while_the_disk_writes(tmp_path: Path) -> None:
    fed = asyncio.Queue[int]()
    alive = Liveness(tmp_path, check_s=0.0, on_alive=lambda: fed.put_nowait(1))
    task = await running(alive)
    async with asyncio.timeout(60):
        for _ in range(3):
            await fed.get()
    assert alive.probe_s is not None
    assert alive.writes
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_it_is_not_fed_when_the_disk_hangs_and_says_so_once(tmp_path: Path, monkeypatch) -> None:
    gate = threading.Event()
    monkeypatch.setattr(liveness, "_touch", lambda _file: gate.wait(60))
    monkeypatch.setattr(liveness, "STUCK_S", 0.01)
    fed = asyncio.Event()
    alive = Liveness(tmp_path, check_s=0.0, on_alive=fed.set)
    with structlog.testing.capture_logs() as logs:
        task = await running(alive)
        async with asyncio.timeout(60):
            while alive.writes or not logs:
                await asyncio.sleep(0.005)
        assert not fed.is_set()
        assert alive.document()["stuck_s"] > 0
        gate.set()
        async with asyncio.timeout(60):
            await fed.wait()
    assert [line["event"] for line in logs] == ["disk_stuck"]
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_a_full_disk_answers_and_is_somebody_elses_to_judge(tmp_path: Path, monkeypatch) -> None:
    def full(*_arguments: object) -> int:
        raise OSError(errno.ENOSPC, "full")

    monkeypatch.setattr(liveness.os, "pwrite", full)
    fed = asyncio.Event()
    task = await running(Liveness(tmp_path, check_s=60, on_alive=fed.set))
    async with asyncio.timeout(60):
        await fed.wait()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
