"""An asyncio loop in virtual time: no selector, no threads, and processes that can be stopped and killed.

When nothing is ready, time jumps to the next timer. Every callback belongs to the process whose context it was
scheduled in: a stopped process's callbacks wait until it goes on, as under SIGSTOP; a dead one's timers never fire.
"""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import Callable, Coroutine
from contextvars import Context, ContextVar
from typing import Any

PROCESS: ContextVar[Process | None] = ContextVar("PROCESS", default=None)
"""Whose code runs."""


class Process:
    """One run of a node, from its start to its end.

    Attributes:
        name: for the trace.
        clock_us: what its monotonic clock is ahead of the loop's; every boot has another.
        wall: has ``wall_offset_us``, what its wall clock is ahead of the true time.
        disk_delay_us: how long its next disk job takes; 0: none at all.
        stopped: SIGSTOP.
        ending: it is being ended in an orderly way.
        dead: killed, crashed or ended.
    """

    def __init__(self, name: str, clock_us: int, wall: Any, disk_delay_us: Callable[[], int]) -> None:
        self.name = name
        self.clock_us = clock_us
        self.wall = wall
        self.disk_delay_us = disk_delay_us
        self.stopped = False
        self.ending = False
        self.dead = False
        self.tasks: dict[SimTask, None] = {}
        self.jobs: dict[DiskJob, None] = {}
        self.held: list[asyncio.Handle] = []
        self.context = Context()
        self.context.run(PROCESS.set, self)

    def run(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """Calls ``function`` as this process."""
        return self.context.copy().run(function, *arguments)

    def own(self, task: SimTask) -> None:
        """Remembers a task that was started by this process."""
        tasks = self.tasks
        if len(tasks) >= 128:
            for old in [each for each in tasks if each.done()]:
                del tasks[old]
        tasks[task] = None

    def live_tasks(self) -> list[SimTask]:
        """Those that have not ended, in the order in which they were started."""
        return [task for task in self.tasks if not task.done()]


class SimTask(asyncio.Task[Any]):
    """A task with a hash of its own: sets of tasks then iterate in the same order in every run."""

    def __init__(self, serial: int, coroutine: Coroutine[Any, Any, Any], **options: Any) -> None:
        self._serial = serial
        super().__init__(coroutine, **options)

    def __hash__(self) -> int:
        return self._serial

    def __eq__(self, other: object) -> bool:
        return self is other


class DiskJob:
    """A call that a worker thread would make: it takes effect when its time has come, in order."""

    def __init__(self, executor: object, function: Callable[[], Any], future: asyncio.Future[Any], due_us: int) -> None:
        self.executor = executor
        self.function = function
        self.future = future
        self.due_us = due_us

    def run(self) -> None:
        """Does the work and answers."""
        try:
            result = self.function()
        except Exception as error:
            if not self.future.done():
                self.future.set_exception(error)
        else:
            if not self.future.done():
                self.future.set_result(result)


class Deadlock(AssertionError):
    """Nothing is ready and no timer is set."""


class VirtualLoop(asyncio.BaseEventLoop):
    """See the module.

    Attributes:
        now_us: virtual microseconds since the start.
        unhandled: what asyncio would have logged as an unhandled exception.
        turns: how many callbacks ran.
    """

    def __init__(self) -> None:
        super().__init__()
        self.now_us = 0
        self.unhandled: list[str] = []
        self.turns = 0
        self._serial = 0
        self._timers: list[tuple[int, int, asyncio.TimerHandle]] = []
        self._timer_serial = 0
        self.set_task_factory(self._make_task)
        self.set_exception_handler(self._on_unhandled)

    def _make_task(self, loop: Any, coroutine: Any, **options: Any) -> SimTask:
        self._serial += 1
        context = options.get("context")
        process = PROCESS.get() if context is None else context.get(PROCESS)
        task = SimTask(self._serial, coroutine, loop=loop, **options)
        if process is not None:
            process.own(task)
        return task

    def _on_unhandled(self, _loop: Any, details: dict[str, Any]) -> None:
        error = details.get("exception")
        process = PROCESS.get()
        if process is None or not process.dead:
            self.unhandled.append(f"{details.get('message')}: {error!r}")

    def time(self) -> float:
        return self.now_us / 1e6

    def call_later(self, delay: float, callback: Any, *args: Any, context: Context | None = None) -> Any:
        return self.call_at_us(self.now_us + round(delay * 1e6), callback, *args, context=context)

    def call_at(self, when: float, callback: Any, *args: Any, context: Context | None = None) -> Any:
        return self.call_at_us(round(when * 1e6), callback, *args, context=context)

    def call_at_us(self, when_us: int, callback: Any, *args: Any, context: Context | None = None) -> Any:
        """As ``call_at``, in whole microseconds."""
        timer = asyncio.TimerHandle(when_us / 1e6, callback, args, self, context)
        self._timer_serial += 1
        heapq.heappush(self._timers, (when_us, self._timer_serial, timer))
        return timer

    def call_soon(self, callback: Any, *args: Any, context: Context | None = None) -> Any:
        handle = asyncio.Handle(callback, args, self, context)
        self._ready.append(handle)
        return handle

    def call_soon_threadsafe(self, callback: Any, *args: Any, context: Context | None = None) -> Any:
        return self.call_soon(callback, *args, context=context)

    def _timer_handle_cancelled(self, handle: asyncio.TimerHandle) -> None:
        pass

    def _run_once(self) -> None:
        ready = self._ready
        if not ready:
            self._advance()
        for _ in range(len(ready)):
            handle = ready.popleft()
            if handle._cancelled:
                continue
            context = handle._context
            process = context.get(PROCESS)
            if process is not None and process.stopped:
                process.held.append(handle)
                continue
            self.turns += 1
            try:
                context.run(handle._callback, *handle._args)
            except (SystemExit, KeyboardInterrupt):
                raise
            except BaseException as error:
                context.run(self._on_unhandled, self, {"message": "callback failed", "exception": error})

    def _advance(self) -> None:
        """To the next timer that anybody waits for, and all of the same moment."""
        timers, ready = self._timers, self._ready
        while timers and not ready:
            when = timers[0][0]
            while timers and timers[0][0] <= when:
                handle = heapq.heappop(timers)[2]
                if handle._cancelled:
                    continue
                process = handle._context.get(PROCESS)
                if process is None or not process.dead:
                    ready.append(handle)
            if ready and when > self.now_us:
                self.now_us = when
        if not ready:
            raise Deadlock("the simulation waits for nothing")

    def pending_timers(self, process: Process, foreign: tuple[str, ...]) -> list[str]:
        """What a process has left behind, without what others, of classes named ``foreign``, left with it."""
        return [
            repr(handle._callback)
            for _, _, handle in sorted(self._timers, key=lambda entry: entry[:2])
            if not handle._cancelled
            and handle._context.get(PROCESS) is process
            and type(getattr(handle._callback, "__self__", None)).__name__ not in foreign
        ]

    # --- processes ------------------------------------------------------------------------------------------------

    def stop_process(self, process: Process) -> None:
        """SIGSTOP."""
        process.stopped = True

    def continue_process(self, process: Process) -> None:
        """SIGCONT."""
        process.stopped = False
        self._ready.extend(process.held)
        process.held.clear()

    # --- threads --------------------------------------------------------------------------------------------------

    def run_in_executor(self, executor: Any, func: Any, *args: Any) -> Any:
        process = PROCESS.get()
        future = self.create_future()
        job = DiskJob(executor, (lambda: func(*args)) if args else func, future, self.now_us)
        delay_us = 0 if process is None else process.disk_delay_us()
        if process is None or (delay_us == 0 and not process.jobs):
            job.run()
            return future
        last_us = max([other.due_us for other in process.jobs if other.executor is executor], default=self.now_us)
        job.due_us = max(last_us, self.now_us) + delay_us
        process.jobs[job] = None
        self.call_at_us(job.due_us, self._finish, process, job)
        return future

    def _finish(self, process: Process, job: DiskJob) -> None:
        if process.jobs.pop(job, self) is None:
            job.run()

    def finish_jobs(self, process: Process) -> None:
        """Lets the worker threads of a process end, as its orderly end does."""
        for job in list(process.jobs):
            process.run(self._finish, process, job)
