"""Builds the daemon from its parts, explicitly, and runs it in one task group (DESIGN.md 8).

A daemon hosts one chain, or two when it is a fusion node, which relays between them.
"""

from __future__ import annotations

import asyncio
import gc
import time
from contextlib import AsyncExitStack

import structlog

from contracts.bridge.records import BUSINESS, SUPERVISION
from ledger.errors import InvalidConfig
from node.home import Home
from node.host import ChainHost
from node.relay.ends import RelayEnd
from node.relay.service import RelayService

log = structlog.get_logger(__name__)


class App:
    """One daemon.

    Args:
        home: opened and locked.
        other: of a fusion node: the home of the supervision chain, opened and locked.

    Raises:
        InvalidGenesis, StorageFault: see ``node.chain.Chain``.
        InvalidConfig: ``relay_homes_equal``: both homes are of one chain.
    """

    def __init__(self, home: Home, other: Home | None = None) -> None:
        self._started_s = time.monotonic()
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

    async def run(self, stop: asyncio.Event) -> None:
        """Runs until ``stop`` is set; raises what must end the process.

        Raises:
            Fatal: storage, invariant, or the overlay failed for good.
        """
        async with AsyncExitStack() as stack:
            for host in self.hosts:
                stack.push_async_callback(self._stop_host, host)
                await host.start()
            gc.collect()
            gc.freeze()
            seconds = round(time.monotonic() - self._started_s, 3)
            log.info("node_ready", heights=[host.core.chain.tip.height for host in self.hosts], seconds=seconds)
            async with asyncio.TaskGroup() as group:
                tasks = [task for host in self.hosts for task in host.spawn(group)]
                if self._relay is not None:
                    tasks.append(group.create_task(self._relay.run(), name="relay"))
                await stop.wait()
                log.info("node_stopping")
                for task in tasks:
                    task.cancel()

    @staticmethod
    async def _stop_host(host: ChainHost) -> None:
        height = host.core.chain.tip.height
        await host.stop()
        log.info("node_stopped", chain=host.home.genesis.name, height=height)


def _end(host: ChainHost, role: str) -> RelayEnd:
    return RelayEnd(host.home.genesis.name, role, host.core, host.home.keys.member)
