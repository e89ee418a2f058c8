"""What a daemon watches and says of itself, whatever its node is doing: room, clock, liveness, stage, service manager.

It belongs to the process: it goes on while data is mended and the node is built anew.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from node.clock_watch import ClockWatch
from node.disk_watch import DiskWatch
from node.liveness import CHECK_S, Liveness
from node.run_state import RunStateFile, Stage
from node.sd_notify import Notifier

if TYPE_CHECKING:
    from node.home import Home


class Upkeep:
    """See the module.

    Args:
        homes: of the daemon, opened.
        notifier: tells the service manager; None: nobody is told.
        life: where each home keeps how far its daemon has come.

    Attributes:
        disk: watches the room on the disks.
        clock: watches the wall clock.
        liveness: whether event loop and disk move.
        summary: one line of how the daemon is, for the service manager.
    """

    def __init__(
        self, homes: Sequence[Home], notifier: Notifier | None = None, life: Sequence[RunStateFile] = ()
    ) -> None:
        self._notifier = Notifier({}) if notifier is None else notifier
        self._life = life
        self.disk = DiskWatch(
            [directory for home in homes for directory in (home.data_dir, home.wal_dir)],
            max(home.config.storage.min_free_bytes for home in homes),
        )
        self.clock = ClockWatch()
        self.clock.check()
        check_s = min(CHECK_S, (self._notifier.watchdog_s or 3 * CHECK_S) / 3)
        self.liveness = Liveness(homes[0].data_dir, check_s=check_s, on_alive=self._alive)
        self.summary: Callable[[], str] = lambda: "preparing"
        self._ready = False

    async def run(self) -> None:
        """Feeds the service manager's watchdog as long as event loop and disk move; until cancelled."""
        await self.liveness.run()

    def enter(self, stage: Stage) -> None:
        """The daemon has come to ``stage``: those who look at the home and the service manager hear of it."""
        for life in self._life:
            life.enter(stage)
        if stage == "serving":
            self._ready = True
            self._notifier.ready(self.summary())
        elif stage == "stopping":
            self._notifier.stopping("finishing what is under way")

    def _alive(self) -> None:
        self._notifier.status(self.summary())
        if not self._ready:
            # Looking at a long chain, or mending one, takes longer than a manager waits for a start.
            self._notifier.extend(6 * CHECK_S)
        if self._notifier.watchdog_s is not None:
            self._notifier.watchdog()
