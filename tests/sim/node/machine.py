"""One machine of the simulated network: its disk and clock stay, runs of the real node come and go."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from random import Random
from typing import TYPE_CHECKING, Any

from ledger.errors import StorageFault
from ledger.transaction import Transaction
from node.core import NodeCore
from node.mempool import MempoolLimits
from node.signer_log import SignerLog
from node.signer_state import open_signer_log
from p2p.transport import PeerAddress
from tests import crash_points
from tests.sim.node.disk import Disk, FakePath
from tests.sim.node.loop import PROCESS, Process, SimTask

if TYPE_CHECKING:
    from tests.sim.node.net import Net
    from tests.sim.node.network import SimTransport

LIMITS = MempoolLimits(max_transactions=64, max_bytes=256 * 1024, organisation_bytes=192 * 1024)
HERE = {"ledger.store_leveldb": ("tests.sim.node.disk", "SimStore")}
"""Where points of the real store are in the simulation."""


class Crashed(BaseException):
    """The process is gone; what the exception passes through on its way has no effect any more."""


class Run:
    """One run of a node."""

    def __init__(self, process: Process, transport: SimTransport) -> None:
        self.process = process
        self.transport = transport
        self.core: NodeCore | None = None
        self.runner: SimTask | None = None
        self.greeted_before_signing = False


class Machine:
    """See the module.

    Attributes:
        disk: what the next run finds.
        run: the current one, or None.
        wall_offset_us: what its clock is ahead of the true time.
        partner: the other node of the same daemon, or None: they live and die together.
        amnesiac: its disk was taken back or away: it may sign what it has signed before.
        slow_us: most that a disk job takes.
    """

    def __init__(self, net: Net, index: int) -> None:
        self.net = net
        self.index = index
        self.member = net.stage.members[index]
        self.name = f"{net.prefix}{index}"
        self.random: Random = net.world.random
        self.disk = Disk(net.stage.image)
        self.run: Run | None = None
        self.wall_offset_us = 0
        self.amnesiac = False
        self.slow_us = 0
        self.failing = False
        self.backup: Disk | None = None
        self.paused = False
        self.partner: Machine | None = None
        self._point: crash_points.Installed | None = None
        self.on_started: list[Callable[[Run], None]] = []

    # --- state ----------------------------------------------------------------------------------------------------

    @property
    def core(self) -> NodeCore | None:
        """The node that runs, or None; None too while it is being built."""
        return None if self.run is None else self.run.core

    @property
    def height(self) -> int:
        """Of its tip; 0 when it does not run."""
        core = self.core
        return 0 if core is None else core.chain.tip.height

    @property
    def is_up(self) -> bool:
        """Whether it runs and is not stopped."""
        return self.core is not None and not self.paused

    def set_wall_offset(self, offset_us: int) -> None:
        """Its clock, and that of the other node of its daemon, jumps."""
        self.wall_offset_us = offset_us
        if self.partner is not None:
            self.partner.wall_offset_us = offset_us
        self.net.world.note(self.name, f"its clock is {offset_us / 1e6:+.3f} s off")

    def submit(self, transaction: Transaction) -> None:
        """A client hands a transaction in. Raises as ``Intake.submit``."""
        run = self.run
        assert run is not None
        assert run.core is not None
        run.process.run(run.core.intake.submit, transaction)

    # --- life -----------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Begins a run; it is up when its runner gets there."""
        world = self.net.world
        assert self.run is None
        other = None if self.partner is None else self.partner.run
        # The nodes of one daemon share its clock.
        clock_us = self.random.randrange(10**9) if other is None else other.process.clock_us
        process = Process(self.name, clock_us, self, self._disk_delay_us)
        transport = self.net.network.attach_process(self.member.transport.peer_id, process)
        run = self.run = Run(process, transport)
        self.failing = False
        world.note(self.name, "starts")
        if self.partner is not None and self.partner.run is None:
            world.loop.call_soon(lambda: self.partner.run is None and self.partner.start())
        run.runner = process.run(world.loop.create_task, self._live(run))
        assert run.runner is not None
        run.runner.add_done_callback(lambda task: self._on_end(run, task))

    def _disk_delay_us(self) -> int:
        return self.random.randrange(self.slow_us) if self.slow_us else 0

    async def _live(self, run: Run) -> None:
        stage = self.net.stage
        addresses = [
            PeerAddress(other.transport.peer_id, "sim", 1)
            for index, other in enumerate(stage.members)
            if self.net.is_linked(self.index, index)
        ]
        core = NodeCore(
            stage.genesis,
            self.disk.store(),
            self.member.validator,
            run.transport,
            addresses=addresses,
            limits=LIMITS,
            open_signer_log=self._open_signer_log,
            answer_service=_no_service,
            reporter=self.member.member,
        )
        self.net.watch.on_built(self, run, core)
        run.core = core
        try:
            await core.start()
            for listener in self.on_started:
                listener(run)
            async with asyncio.TaskGroup() as group:
                core.spawn(group)
        finally:
            await core.stop()

    def _open_signer_log(self) -> tuple[SignerLog, list[bytes], bool]:
        log, records = open_signer_log(FakePath(self.disk.directory))  # type: ignore[arg-type]
        log._bound = self.net.log_bound_bytes
        return log, records, log.created

    def _on_end(self, run: Run, task: asyncio.Task[None]) -> None:
        error = None if task.cancelled() else task.exception()
        if run.process.dead or run.process.ending:
            return
        if self.failing and error is not None and _is_fault(error):
            self.net.world.met["stopped_by_disk"] += 1
            self.crash("its disk failed")
            return
        self.net.world.violate(f"{self.name} ended: {_words(error)}")

    def crash(self, why: str) -> None:
        """Power off, now."""
        run, self.run = self.run, None
        assert run is not None
        world, process = self.net.world, run.process
        world.note(self.name, f"crashes: {why}")
        self._remove_point()
        process.dead = True
        self.paused = False
        disk, self.disk = self.disk, self.disk
        jobs = list(process.jobs)
        process.jobs.clear()
        disk.losing = True
        for job in jobs[: self.random.randint(0, len(jobs))]:
            job.run()
        self.disk = disk.crash(self.random)
        self.net.network.kill(run.transport)
        world.loop.continue_process(process)
        for task in process.live_tasks():
            task.cancel()
        world.dead.append(process)
        if self.partner is not None and self.partner.run is not None:
            self.partner.crash("with its daemon")

    async def stop(self) -> None:
        """An orderly end."""
        run = self.run
        assert run is not None
        assert run.runner is not None
        world, process = self.net.world, run.process
        world.note(self.name, "stops")
        self._remove_point()
        self.resume()
        world.loop.finish_jobs(process)
        self.run = None
        process.ending = True
        run.runner.cancel()
        await asyncio.wait([run.runner])
        error = None if run.runner.cancelled() else run.runner.exception()
        if error is not None:
            world.violate(f"{self.name} failed when it was stopped: {_words(error)}")
        for _ in range(3):
            await asyncio.sleep(0)
        world.loop.finish_jobs(process)
        process.dead = True
        self.disk = self.disk.closed()
        left = [task.get_name() for task in process.live_tasks()]
        if self.partner is None:
            # The relay of a daemon starts timers of either node.
            left += world.loop.pending_timers(process, ("SimLink", "VirtualLoop"))
        if left:
            world.violate(f"{self.name} left behind: {', '.join(left)}")

    def pause(self) -> None:
        """SIGSTOP."""
        assert self.run is not None
        self.paused = True
        self.net.world.note(self.name, "is stopped")
        self.net.world.loop.stop_process(self.run.process)
        if self.partner is not None and self.partner.run is not None and not self.partner.paused:
            self.partner.pause()

    def resume(self) -> None:
        """SIGCONT."""
        if self.run is None or not self.paused:
            return
        self.paused = False
        self.net.world.note(self.name, "goes on")
        self.net.world.loop.continue_process(self.run.process)
        self.run.transport.pump_all()
        self.net.network.reconcile()
        if self.partner is not None:
            self.partner.resume()

    # --- crash points ---------------------------------------------------------------------------------------------

    def crash_at(self, point: str, count: int) -> None:
        """The next run, or this one, ends at the ``count``-th passing of a point of ``tests.crash_points``."""
        self._remove_point()
        found = crash_points.POINTS[point]
        if found.module in HERE:
            module, owner = HERE[found.module]
            name = found.qualified_name.split(".")[1]
            found = crash_points.Point(module, f"{owner}.{name}", found.when, found.matches)

        def counts(_arguments: tuple[Any, ...]) -> bool:
            process = PROCESS.get()
            return process is not None and process.wall is self and not process.dead

        def crash() -> None:
            if self._point is not installed:
                return  # taken back while the call was under way: nobody would start the machine again
            self.net.world.met["crash_point"] += 1
            self.net.world.met[f"crash_point:{point}"] += 1
            self.crash(f"at {point}")
            raise Crashed

        installed = self._point = crash_points.Installed(found, count, crash, counts)
        self.net.world.points.append(installed)

    def _remove_point(self) -> None:
        # Wrappers of one function may be nested: all of them go at the end, in reverse order. This one counts no more.
        if self._point is not None:
            self._point._count = -1
            self._point = None


async def _no_service(service: str, organisation: str, payload: bytes) -> bytes:
    raise NotImplementedError


def _is_fault(error: BaseException) -> bool:
    if isinstance(error, BaseExceptionGroup):
        # What other tasks come to while the fault ends the node is of no interest.
        return any(_is_fault(each) for each in error.exceptions)
    return isinstance(error, StorageFault)


def _words(error: BaseException | None) -> str:
    if isinstance(error, BaseExceptionGroup):
        return "; ".join(_words(each) for each in error.exceptions)
    return repr(error)
