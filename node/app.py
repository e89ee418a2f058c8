"""Builds the daemon from its parts, explicitly, and runs it in one task group (DESIGN.md 8).

A daemon hosts one chain, or two when it is a fusion node, which relays between them.
"""

from __future__ import annotations

import asyncio
import gc
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Final

import structlog

from contracts.bridge.records import BUSINESS, SUPERVISION
from ledger.errors import DiskFull, InvalidConfig
from node.draining import DRAIN_S, drain
from node.home import Home
from node.host import ChainHost
from node.relay.ends import RelayEnd
from node.relay.service import RelayService
from node.upkeep import Upkeep

if TYPE_CHECKING:
    from node.observability.service import Observability
    from node.observability.telemetry import Telemetry

log = structlog.get_logger(__name__)

DRAIN_FULL_S: Final = 2.0


class App:
    """One daemon.

    Args:
        home: opened and locked.
        other: of a fusion node: the home of the supervision chain, opened and locked.
        upkeep: what the process watches and says of itself; it runs beside this. None: one of its own, which nobody
            runs, so that no service manager is told.

    Raises:
        InvalidGenesis, StorageFault: see ``node.chain.Chain``.
        DiskFull: too little room to begin with.
        InvalidConfig: ``relay_homes_equal``: both homes are of one chain.

    Attributes:
        hosts: one for each chain.
        upkeep: as given.
        observability: metrics and health, where they are served; ``telemetry``: spans, where they are sent.
    """

    def __init__(self, home: Home, other: Home | None = None, *, upkeep: Upkeep | None = None) -> None:
        self._started_s = time.monotonic()
        self._ended_by: DiskFull | None = None
        self.upkeep = Upkeep([home] if other is None else [home, other]) if upkeep is None else upkeep
        self.upkeep.disk.check()
        self.upkeep.summary = self._summary
        self.hosts = [ChainHost(home)]
        self._relay: RelayService | None = None
        if other is not None:
            if other.genesis.hash == home.genesis.hash:
                raise InvalidConfig("a fusion node joins two chains; both homes are of one", code="relay_homes_equal")
            self.hosts.append(ChainHost(other))
            business, supervision = self.hosts
            self._relay = RelayService(_end(business, BUSINESS), _end(supervision, SUPERVISION))
            for host in self.hosts:
                host.reports["relay"] = self._relay.document
        self.telemetry = self._telemetry(home)
        self.observability = self._observability(home)
        for host in self.hosts:
            host.reports["clock"] = self.upkeep.clock.document
            host.reports["disk"] = self.upkeep.disk.document
            host.reports["liveness"] = self.upkeep.liveness.document
            host.tell_block_times(self.upkeep.clock)

    def _observability(self, home: Home) -> Observability | None:
        if not home.config.metrics.listen:
            return None
        from node.observability.service import Observability, sources_of  # noqa: PLC0415 - brings the metrics library

        relay = None if self._relay is None else self._relay.document
        sources = sources_of(
            self.hosts, relay, clock=self.upkeep.clock, disk=self.upkeep.disk, writes=self.upkeep.liveness
        )
        if self.telemetry is not None:
            sources.spans = self.telemetry.counts
        return Observability(home.config.metrics, sources)

    def _telemetry(self, home: Home) -> Telemetry | None:
        if not home.config.telemetry.otlp_endpoint:
            return None
        from node.observability.telemetry import Telemetry  # noqa: PLC0415 - brings OpenTelemetry

        chains = [(host.home.genesis.name, host.core) for host in self.hosts]
        section = home.config.node
        return Telemetry(
            home.config.telemetry, chains, self._relay, node=section.name, organisation=section.organisation
        )

    async def run(self, stop: asyncio.Event) -> None:
        """Runs until ``stop`` is set; raises what must end the process.

        Raises:
            Fatal: storage, invariant, or the overlay failed for good; ``DiskFull`` once everything is closed in order.
        """
        async with AsyncExitStack() as stack:
            if self.observability is not None:
                stack.push_async_callback(self.observability.stop)
                await self.observability.start()
            if self.telemetry is not None:
                stack.push_async_callback(self.telemetry.stop)
                self.telemetry.start()
            begun: list[ChainHost] = []
            stack.push_async_callback(self._stop_hosts, begun)
            for host in self.hosts:
                begun.append(host)
                await host.start()
            gc.collect()
            gc.freeze()
            seconds = round(time.monotonic() - self._started_s, 3)
            log.info("node_ready", heights=[host.core.chain.tip.height for host in self.hosts], seconds=seconds)
            self.upkeep.enter("serving")
            if self.observability is not None:
                self.observability.health.started = True
            async with asyncio.TaskGroup() as group:
                tasks = [task for host in self.hosts for task in host.spawn(group)]
                if self._relay is not None:
                    tasks.append(group.create_task(self._relay.run(), name="relay"))
                tasks += [
                    group.create_task(self._watch_disk(stop), name="disk_watch"),
                    group.create_task(self.upkeep.clock.run(), name="clock_watch"),
                ]
                await stop.wait()
                await self._drain()
                for task in tasks:
                    task.cancel()
        if self._ended_by is not None:
            raise self._ended_by

    async def _drain(self) -> None:
        log.info("node_stopping")
        self.upkeep.enter("stopping")
        if self.observability is not None:
            self.observability.health.draining = True
        # A disk that is about to be full gets what a block needs, and not what clients would still like to have.
        seconds = DRAIN_S if self._ended_by is None else DRAIN_FULL_S
        await asyncio.gather(*(drain(host.core, seconds) for host in self.hosts))

    async def _watch_disk(self, stop: asyncio.Event) -> None:
        try:
            await self.upkeep.disk.run()
        except DiskFull as error:
            log.critical("disk_full", **error.data)
            self._ended_by = error
            stop.set()

    def _summary(self) -> str:
        return "; ".join(
            f"{host.home.genesis.name}: height {host.core.chain.tip.height}, {len(host.core.transport.peers())} peers"
            for host in self.hosts
        )

    async def _stop_hosts(self, hosts: Sequence[ChainHost]) -> None:
        """All at once: each may have a listener that takes its time."""
        async with asyncio.TaskGroup() as group:
            for host in hosts:
                group.create_task(self._stop_host(host), name="stop")

    @staticmethod
    async def _stop_host(host: ChainHost) -> None:
        height = host.core.chain.tip.height
        await host.stop()
        log.info("node_stopped", chain=host.home.genesis.name, height=height)


def _end(host: ChainHost, role: str) -> RelayEnd:
    return RelayEnd(host.home.genesis.name, role, host.core, host.home.keys.member)
