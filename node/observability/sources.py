"""What metrics and health are read from: the parts of a daemon, as ``node.app`` puts them together."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from node.core import NodeCore
from node.observability.chain_watch import ChainWatch
from node.observability.histogram import Histogram
from node.observability.rpc_meter import RpcMeter


class Clock(Protocol):
    """What is asked of ``node.clock_watch.ClockWatch``."""

    jumps: int

    @property
    def offset_ms(self) -> int | None:
        """How far our clock is ahead of those of the other validators."""
        ...


class Disk(Protocol):
    """What is asked of ``node.disk_watch.DiskWatch``."""

    free_bytes: int | None
    total_bytes: int | None
    min_free_bytes: int


class Writes(Protocol):
    """What is asked of ``node.liveness.Liveness``."""

    @property
    def writes(self) -> bool:
        """Whether the disk takes writes."""
        ...

    @property
    def stuck_s(self) -> float:
        """How long the present probe has been on its way, seconds."""
        ...


@dataclass(slots=True, kw_only=True)
class ChainSource:
    """One hosted chain.

    Attributes:
        name: of the chain.
        core: its node.
        watch: what was noticed block by block.
        rpc: what the RPC has counted.
        subscriptions: how many are open.
        store_dir: directory of the chain's store.
        proofs: seconds of deliveries executed, by method.
    """

    name: str
    core: NodeCore
    watch: ChainWatch
    rpc: RpcMeter = field(default_factory=RpcMeter)
    subscriptions: Callable[[], int] = lambda: 0
    store_dir: Path | None = None
    proofs: Mapping[str, Histogram] = field(default_factory=dict)


@dataclass(slots=True, kw_only=True)
class Sources:
    """The whole daemon.

    Attributes:
        node: its name.
        organisation: that answers for it.
        version: of the program.
        chains: one, or two on a fusion node.
        relay: a fusion node's directions, each as in ``node.status``.
        clock, disk, writes: the daemon's watches.
        spans: counts of the telemetry, by outcome.
    """

    node: str
    organisation: str
    version: str
    chains: Sequence[ChainSource]
    relay: Callable[[], Sequence[Mapping[str, Any]]] = lambda: ()
    clock: Clock | None = None
    disk: Disk | None = None
    writes: Writes | None = None
    spans: Callable[[], Mapping[str, int]] = dict
