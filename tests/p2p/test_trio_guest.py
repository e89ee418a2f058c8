"""Trio beside asyncio on one thread: jobs start, end, fail and are cancelled without leaving anything behind."""

from __future__ import annotations

import asyncio

import pytest
import trio

from p2p import trio_guest
from p2p.trio_guest import run_in_trio
from tests.p2p.overlay_kit import until


@pytest.fixture(autouse=True)
async def _nothing_left():
    yield
    assert not trio_guest._guests
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_job_runs_beside_asyncio_and_returns() -> None:
    seen: list[str] = []

    async def job() -> None:
        await trio.sleep(0.01)
        seen.append("trio")

    await asyncio.gather(run_in_trio(job), asyncio.sleep(0.005))
    assert seen == ["trio"]


async def test_error_of_a_job_reaches_its_caller_and_no_other_job() -> None:
    release = trio.Event()

    async def fails() -> None:
        await trio.sleep(0)
        raise KeyError("a bug")

    async def waits() -> None:
        await release.wait()

    other = asyncio.ensure_future(run_in_trio(waits))
    with pytest.raises(KeyError):
        await run_in_trio(fails)
    assert not other.done()
    release.set()
    await other


async def test_event_set_from_asyncio_wakes_trio_at_once() -> None:
    woken: list[float] = []
    event = trio.Event()

    async def job() -> None:
        await event.wait()
        woken.append(1)

    running = asyncio.ensure_future(run_in_trio(job))
    await asyncio.sleep(0.02)
    event.set()
    await asyncio.wait_for(running, 1)
    assert woken


@pytest.mark.parametrize("delay_s", [0, 0.0005, 0.02])
async def test_cancelled_caller_cancels_its_job_however_early(delay_s: float) -> None:
    ended: list[bool] = []

    async def job() -> None:
        try:
            await trio.sleep_forever()
        finally:
            ended.append(True)

    running = asyncio.ensure_future(run_in_trio(job))
    await asyncio.sleep(delay_s)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert ended in ([], [True])


async def test_run_starts_again_after_it_has_ended() -> None:
    count: list[int] = []

    async def job() -> None:
        count.append(1)

    for _ in range(5):
        await run_in_trio(job)
    assert len(count) == 5


async def test_jobs_share_one_run() -> None:
    release = trio.Event()

    async def job() -> None:
        await release.wait()

    running = [asyncio.ensure_future(run_in_trio(job)) for _ in range(10)]
    await until(lambda: trio_guest._guests)
    assert len(trio_guest._guests) == 1
    release.set()
    await asyncio.gather(*running)
