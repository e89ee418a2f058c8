"""Trio in guest mode on the running asyncio loop: libp2p's tasks and the daemon's run on one thread.

A thread can host one guest run only, so all transports of a loop share it; each has its own job in it, whose failure
ends that job alone. The run ends with its last job.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import structlog
import trio

from ledger.errors import TransportFailed

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

_log = structlog.get_logger(__name__)

_guests: WeakKeyDictionary[asyncio.AbstractEventLoop, _Guest] = WeakKeyDictionary()


class _Guest:
    """One guest run; made when the first job of a loop starts, gone when the last one ends."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self.jobs = 0
        self._nursery: trio.Nursery | None = None
        self._ready: asyncio.Future[None] = loop.create_future()
        self._ended: asyncio.Future[BaseException | None] = loop.create_future()
        self._scope: trio.CancelScope | None = None

        def soon_from_any_thread(callback: Callable[[], None]) -> None:
            loop.call_soon_threadsafe(callback)

        def soon(callback: Callable[[], None]) -> None:
            loop.call_soon(callback)

        trio.lowlevel.start_guest_run(
            self._main,
            run_sync_soon_threadsafe=soon_from_any_thread,
            run_sync_soon_not_threadsafe=soon,
            host_uses_signal_set_wakeup_fd=True,
            done_callback=self._on_done,
        )

    async def run(self, job: Callable[[], Awaitable[None]], outcome: asyncio.Future[BaseException | None]) -> None:
        """Run ``job`` to its end; cancelling the caller cancels it."""
        await asyncio.wait((self._ready, self._ended), return_when=asyncio.FIRST_COMPLETED)
        if self._nursery is None:
            raise TransportFailed("trio did not start")
        scope = trio.CancelScope()
        self._nursery.start_soon(_contained, job, scope, outcome)
        try:
            await asyncio.wait((outcome, self._ended), return_when=asyncio.FIRST_COMPLETED)
        except asyncio.CancelledError:
            scope.cancel()
            await asyncio.wait((outcome, self._ended), return_when=asyncio.FIRST_COMPLETED)
            raise
        if not outcome.done():
            raise TransportFailed("trio ended under a running overlay")

    async def end(self) -> None:
        """End the run and wait for it."""
        # It may be so young that there is nothing to cancel yet.
        await asyncio.wait((self._ready, self._ended), return_when=asyncio.FIRST_COMPLETED)
        if self._scope is not None:
            self._scope.cancel()
        await asyncio.wait((self._ended,))

    async def _main(self) -> None:
        async with trio.open_nursery() as nursery:
            self._nursery = nursery
            self._scope = nursery.cancel_scope
            if not self._ready.done():
                self._ready.set_result(None)
            await trio.sleep_forever()

    def _on_done(self, outcome: Any) -> None:
        error = getattr(outcome, "error", None)
        if error is not None:
            _log.error("trio_guest_ended", error=repr(error))
        if _guests.get(self._loop) is self:
            del _guests[self._loop]
        if not self._ended.done():
            self._ended.set_result(error)


async def run_in_trio(job: Callable[[], Awaitable[None]]) -> None:
    """Run a trio coroutine function as a job of the current loop's guest run; returns when it returns.

    Raises:
        TransportFailed: the guest run itself ended.
        Exception: whatever the job raised.
    """
    loop = asyncio.get_running_loop()
    outcome: asyncio.Future[BaseException | None] = loop.create_future()
    guest = _guests.get(loop)
    if guest is None:
        guest = _guests[loop] = _Guest(loop)
    guest.jobs += 1
    try:
        await guest.run(job, outcome)
    finally:
        guest.jobs -= 1
        if guest.jobs == 0:
            if _guests.get(loop) is guest:
                del _guests[loop]
            await _uncancelled(guest.end())
    error = outcome.result()
    if error is not None:
        raise error


async def _uncancelled(ending: Awaitable[None]) -> None:
    """Wait for a short ending even when the caller is being cancelled: a run must not be left behind."""
    task = asyncio.ensure_future(ending)
    try:
        await asyncio.shield(task)
    except asyncio.CancelledError:
        await task
        raise


async def _contained(
    job: Callable[[], Awaitable[None]], scope: trio.CancelScope, outcome: asyncio.Future[BaseException | None]
) -> None:
    """Run a job so that nothing it raises reaches its siblings."""
    error: BaseException | None = None
    try:
        with scope:
            await job()
    except Exception as caught:  # noqa: BLE001 - carried to the caller of run_in_trio
        error = caught
    except BaseException:
        # Cancelled from above, not through our scope: the whole run is ending.
        error = TransportFailed("trio ended under a running overlay")
        raise
    finally:
        if not outcome.done():
            outcome.set_result(error)
