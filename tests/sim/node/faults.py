"""What goes wrong in a schedule: each fault is a small story of its own, and some run beside each other."""

from __future__ import annotations

import errno
from collections.abc import Awaitable, Callable
from random import Random
from typing import TYPE_CHECKING

from node.wire import VoteKindOnWire
from p2p.transport import Channel
from tests.crash_points import POINTS
from tests.sim.node.disk import Disk

if TYPE_CHECKING:
    from tests.sim.node.machine import Machine
    from tests.sim.node.net import Net

RECOVERY = tuple(name for name in POINTS if name.startswith("recovery.") and "recheck" not in name)
AT_WORK = tuple(name for name, point in POINTS.items() if not name.startswith("recovery.") and not point.rare)


class Faults:
    """The faults of one chain.

    Args:
        net: where.
        harm: takes disks back and away too.
    """

    def __init__(self, net: Net) -> None:
        self.net = net
        self.random: Random = net.world.random
        self._forgetful = 0
        self._kinds: tuple[tuple[int, Callable[[], Awaitable[None]]], ...] = (
            (5, self.crash),
            (6, self.crash_at_point),
            (3, self.crash_in_recovery),
            (4, self.partition),
            (3, self.one_way),
            (2, self.cut),
            (3, self.storm),
            (2, self.clock_jump),
            (4, self.pause),
            (2, self.disk_fails),
            (2, self.slow_disk),
            (2, self.restore_backup),
            (1, self.wipe),
            (2, self.say_again),
            (1, self.outage),
            (1, self.blackout),
            (1, self.restart_in_order),
        )

    async def one(self) -> None:
        """Lets one fault loose and waits until it is over."""
        kind = self.random.choices([each for _, each in self._kinds], [weight for weight, _ in self._kinds])[0]
        net = self.net
        net.world.outcome.faults += 1
        net.world.met[f"fault:{kind.__name__}"] += 1
        net.world.note("", f"fault: {kind.__name__}")
        await kind()

    async def _pass(self, most: float, least: float = 0.05) -> None:
        await self.net.world.sleep(self.random.uniform(least, most))

    def _pick(self) -> Machine | None:
        running = self.net.running
        return self.random.choice(running) if running else None

    async def _restart(self, machine: Machine, most: float = 1.5) -> None:
        await self._pass(most)
        if machine.run is None:
            machine.start()

    # --- processes ------------------------------------------------------------------------------------------------

    async def crash(self) -> None:
        """Power off at any moment."""
        machine = self._pick()
        if machine is not None:
            machine.crash("power off")
            await self._restart(machine)

    async def crash_at_point(self) -> None:
        """A crash between two effects."""
        machine = self._pick()
        if machine is None:
            return
        point = self.random.choice(AT_WORK)
        machine.crash_at(point, self.random.randint(1, 6))
        run = machine.run
        for _ in range(12):
            if machine.run is not run:
                break
            await self._pass(0.4)
        machine._remove_point()
        if machine.run is None:
            await self._restart(machine)

    async def crash_in_recovery(self) -> None:
        """A crash, and another one while the node comes back."""
        machine = self._pick()
        if machine is None:
            return
        machine.crash("power off")
        await self._pass(1.0)
        for _ in range(self.random.randint(1, 3)):
            if machine.run is None:
                machine.start()
                machine.crash_at(self.random.choice(RECOVERY), 1)
            await self._pass(1.0)
        machine._remove_point()
        await self._restart(machine)

    async def pause(self) -> None:
        """SIGSTOP for a while; its connections may break meanwhile."""
        machine = self._pick()
        if machine is None:
            return
        machine.pause()
        run = machine.run
        await self._pass(2.0)
        if self.random.random() < 0.5:
            for other in range(len(self.net.machines)):
                self.net.network.cut(self.net.peer(other), self.net.peer(machine.index))
            await self._pass(3.0)
        if machine.run is run:
            machine.resume()

    async def outage(self) -> None:
        """Half of the machines and one more are away for long, and come back together."""
        machines = list(self.net.running)
        self.random.shuffle(machines)
        away = machines[: len(self.net.machines) // 2 + 1]
        stopped = []
        for machine in away:
            if self.random.random() < 0.5:
                machine.crash("outage")
            else:
                machine.pause()
                stopped.append((machine, machine.run))
        await self._pass(20.0, 3.0)
        for machine, run in stopped:
            if machine.run is run:
                machine.resume()
        for machine in away:
            if machine.run is None:
                machine.start()

    async def blackout(self) -> None:
        """The power fails everywhere at once."""
        for machine in list(self.net.running):
            machine.crash("blackout")
        await self._pass(1.0)
        for machine in self.net.down:
            await self._restart(machine, 0.5)

    async def restart_in_order(self) -> None:
        """SIGTERM and a start."""
        machine = self._pick()
        if machine is not None and machine.partner is None:
            await machine.stop()
            await self._restart(machine)

    # --- network --------------------------------------------------------------------------------------------------

    async def partition(self) -> None:
        """Two groups that do not reach each other."""
        net = self.net
        machines = list(range(len(net.machines)))
        self.random.shuffle(machines)
        place = self.random.randint(1, len(machines))
        groups = machines[:place], machines[place:]
        net.network.partition(*([net.peer(index) for index in group] for group in groups))
        await self._pass(3.0)
        net.network.partition([net.peer(index) for index in machines])

    async def one_way(self) -> None:
        """Nothing gets from one machine to some others; what they say gets there."""
        net = self.net
        sender = self.random.randrange(len(net.machines))
        others = [index for index in range(len(net.machines)) if index != sender and self.random.random() < 0.7]
        for other in others:
            net.network.pause(net.peer(sender), net.peer(other))
        await self._pass(3.0)
        for other in others:
            if self.random.random() < 0.3:
                # TCP gives up: what was under way is lost.
                net.network.cut(net.peer(sender), net.peer(other))
            net.network.resume(net.peer(sender), net.peer(other))

    async def cut(self) -> None:
        """Some connections break at once."""
        net = self.net
        for left in range(len(net.machines)):
            for right in range(left + 1, len(net.machines)):
                if self.random.random() < 0.5:
                    net.network.cut(net.peer(left), net.peer(right))
        await self._pass(0.5)

    async def storm(self) -> None:
        """Delays, lanes that come apart, connections that break."""
        weather = self.net.network.weather
        weather.least_us = self.random.choice((1_000, 20_000, 80_000))
        weather.spread_us = self.random.choice((5_000, 100_000, 400_000))
        weather.stall, weather.stall_us = self.random.choice((0.0, 0.05)), 1_500_000
        weather.split = self.random.choice((0.0, 0.3))
        weather.cut = self.random.choice((0.0, 0.01, 0.05))
        await self._pass(3.0)
        weather.calm()

    async def say_again(self) -> None:
        """Votes of the past are sent again, by anybody to anybody."""
        net = self.net
        for _ in range(self.random.randint(1, 8)):
            votes, running = net.watch.votes, net.running
            if not votes or not running:
                break
            machine, payload = self.random.choice(running), self.random.choice(votes)
            transport = machine.run.transport if machine.run is not None else None
            peers = transport.peers() if transport is not None else ()
            if transport is not None and peers:
                net.world.met["vote_said_again"] += 1
                transport.send(self.random.choice(peers), Channel.VOTE, VoteKindOnWire.DIRECT, payload)
            await self._pass(0.3, 0.0)

    # --- clocks and disks -----------------------------------------------------------------------------------------

    async def clock_jump(self) -> None:
        """A wall clock jumps, seldom further than the chain puts up with."""
        machine = self.random.choice(self.net.machines)
        far = self.random.random() < 0.3
        most_us = 60_000_000 if far else 4_000_000
        machine.set_wall_offset(machine.wall_offset_us + self.random.randint(-most_us, most_us))
        await self._pass(3.0)
        if abs(machine.wall_offset_us) > 8_000_000:
            machine.set_wall_offset(self.random.randint(-2_000_000, 2_000_000))

    async def disk_fails(self) -> None:
        """A write or sync fails: the node must stop by itself."""
        machine = self._pick()
        if machine is None:
            return
        run = machine.run
        machine.failing = True
        if self.random.random() < 0.4:
            machine.disk.fail_store = "no space left on device"
        else:
            machine.disk.directory.fail = self.random.choice((errno.ENOSPC, errno.EIO))
        for _ in range(10):
            if machine.run is not run:
                break
            await self._pass(0.5)
        machine.disk.fail_store, machine.disk.directory.fail = "", None
        machine.failing = False
        if machine.run is None:
            await self._restart(machine)

    async def slow_disk(self) -> None:
        """Writes take long."""
        machine = self.random.choice(self.net.machines)
        machine.slow_us = self.random.choice((2_000, 50_000, 600_000))
        await self._pass(3.0)
        machine.slow_us = 0

    def _may_forget(self, machine: Machine) -> bool:
        """At most f validators may sign what they have signed before: they count as faulty."""
        if self.net.sets_change:
            return False
        if machine.amnesiac or machine.index >= self.net.stage.validators:
            machine.amnesiac = True
            return True
        if self._forgetful >= self.net.faulty_most:
            return False
        self._forgetful += 1
        machine.amnesiac = True
        return True

    async def restore_backup(self) -> None:
        """An operator puts an old backup back."""
        machine = self._pick()
        if machine is None or machine.run is None:
            return
        old = machine.disk.backup()
        await self._pass(3.0)
        if machine.run is not None and self._may_forget(machine):
            machine.crash("its disk is replaced by a backup")
            machine.disk = old
            self.net.world.met["backup_restored"] += 1
        await self._restart(machine)

    async def wipe(self) -> None:
        """A machine loses its disk, and comes back from nothing."""
        machine = self._pick()
        if machine is not None and self._may_forget(machine):
            machine.crash("its disk is lost")
            machine.disk = Disk(self.net.stage.image)
            self.net.world.met["wiped"] += 1
            await self._restart(machine)
