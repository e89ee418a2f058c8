"""Metrics, health and spans of a daemon, switched on by its configuration."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from node.config_sections import MetricsSection, parse_listen
from node.host import ChainHost
from node.observability.chain_watch import ChainWatch
from node.observability.health import Health
from node.observability.loop_lag import LoopLag
from node.observability.proof_timer import time_proofs
from node.observability.registry import Metrics
from node.observability.site import Site
from node.observability.sources import ChainSource, Clock, Disk, Sources, Writes
from node.status import program_version


class Observability:
    """``[metrics]``: the site with metrics and health.

    Args:
        section: with the address to listen on.
        sources: what is read.

    Attributes:
        health: what ``/livez`` and ``/readyz`` answer; the daemon says when it has started and when it drains.
        metrics: what ``/metrics`` answers.
        address: where the site listens, after ``start``.
    """

    def __init__(self, section: MetricsSection, sources: Sources) -> None:
        self._lag = LoopLag()
        self.health = Health(sources)
        self.metrics = Metrics(sources, self.health, self._lag)
        self._site = Site(*parse_listen(section.listen), self.health, self.metrics.exposition)

    @property
    def address(self) -> tuple[str, int]:
        """Host and port of the site."""
        return self._site.address

    async def start(self) -> None:
        """Listens. Raises ``InvalidConfig`` where the address cannot be used."""
        self._lag.start()
        await self._site.start()

    async def stop(self) -> None:
        """Ends it; the last part of a daemon to go, so that it is seen to drain."""
        self._lag.stop()
        await self._site.stop()


def sources_of(
    hosts: Sequence[ChainHost],
    relay: Callable[[], dict[str, Any]] | None,
    *,
    clock: Clock,
    disk: Disk,
    writes: Writes,
) -> Sources:
    """What is read of a daemon; from now on its chains are watched block by block.

    Args:
        hosts: one or two.
        relay: ``RelayService.document`` of a fusion daemon.
        clock: what the wall clock does.
        disk: what room there is.
        writes: whether the disk moves.
    """

    def directions() -> Sequence[Mapping[str, Any]]:
        return () if relay is None else relay()["directions"]

    section = hosts[0].home.config.node
    return Sources(
        node=section.name,
        organisation=section.organisation,
        version=program_version(),
        chains=[_chain_source(host) for host in hosts],
        relay=directions,
        clock=clock,
        disk=disk,
        writes=writes,
    )


def _chain_source(host: ChainHost) -> ChainSource:
    core = host.core
    watch = ChainWatch(core.chain, lambda: core.synchroniser.syncing)
    core.listeners.append(watch.on_block)
    return ChainSource(
        name=host.home.genesis.name,
        core=core,
        watch=watch,
        rpc=host.rpc_meter,
        subscriptions=lambda: host.subscriptions.open,
        store_dir=host.home.data_dir / "chain",
        proofs=time_proofs(core.chain),
    )
