"""The daemon's own registry of metrics; nothing here is global."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import structlog
from prometheus_client import CollectorRegistry, GCCollector, PlatformCollector, ProcessCollector
from prometheus_client.exposition import choose_encoder

from node.observability import table as m
from node.observability.collect_chain import (
    collect_certificates,
    collect_consensus,
    collect_mempool,
    collect_overlay,
    collect_rpc,
    collect_storage,
    collect_validators,
)
from node.observability.collect_daemon import collect_daemon
from node.observability.collect_two_chains import collect_bridge, collect_relay, collect_supervision
from node.observability.health import Health
from node.observability.loop_lag import LoopLag
from node.observability.sink import Family, Sink
from node.observability.sources import ChainSource, Sources

log = structlog.get_logger(__name__)

PARTS: Final[dict[str, Callable[[Sink, ChainSource], None]]] = {
    "consensus": collect_consensus,
    "validators": collect_validators,
    "mempool": collect_mempool,
    "overlay": collect_overlay,
    "storage": collect_storage,
    "certificates": collect_certificates,
    "rpc": collect_rpc,
    "bridge": collect_bridge,
    "supervision": collect_supervision,
}
SIZE_EVERY_S: Final = 60.0


class Metrics:
    """Reads the daemon when somebody asks.

    Args:
        sources: of the daemon.
        health: says whether it is ready.
        lag: of the event loop.
    """

    def __init__(self, sources: Sources, health: Health, lag: LoopLag) -> None:
        self._sources = sources
        self._health = health
        self._lag = lag
        self._started_s = time.time()
        self._took_s = 0.0
        self._errors: dict[str, int] = {}
        self._sizes: dict[Path, tuple[float, int]] = {}
        self._registry = CollectorRegistry(auto_describe=False)
        self._registry.register(self)
        ProcessCollector(registry=self._registry)
        PlatformCollector(registry=self._registry)
        GCCollector(registry=self._registry)

    def exposition(self, accept: str) -> tuple[bytes, str]:
        """The metrics and their content type: OpenMetrics where ``accept`` (the request's header) asks for it."""
        encode, content_type = choose_encoder(accept)
        return encode(self._registry), content_type

    def describe(self) -> Iterator[Family]:
        """Nothing: names do not clash, and asking for them would collect once for nothing."""
        return iter(())

    def collect(self) -> Iterator[Family]:
        """One collection; called by the registry. What one part cannot say does not keep the others from speaking."""
        begun = time.perf_counter()
        sink = Sink()
        for source in self._sources.chains:
            for part, collect in PARTS.items():
                self._guarded(part, collect, sink, source)
            self._guarded("sizes", self._collect_size, sink, source)
        self._guarded("relay", self._collect_relay, sink)
        self._guarded("daemon", self._collect_daemon, sink)
        for part, count in self._errors.items():
            sink.put(m.COLLECT_ERRORS, count, part)
        self._took_s = time.perf_counter() - begun
        sink.put(m.COLLECT_SECONDS, self._took_s)
        return sink.families()

    def _collect_daemon(self, sink: Sink) -> None:
        ready = not self._health.why_not_ready()
        collect_daemon(sink, self._sources, self._lag, ready=ready, started_s=self._started_s)

    def _collect_relay(self, sink: Sink) -> None:
        for direction in self._sources.relay():
            collect_relay(sink, direction)

    def _collect_size(self, sink: Sink, source: ChainSource) -> None:
        directory = source.store_dir
        if directory is None:
            return
        read_s, size = self._sizes.get(directory, (-SIZE_EVERY_S, 0))
        if time.monotonic() - read_s >= SIZE_EVERY_S:
            size = _size_bytes(directory)
            self._sizes[directory] = (time.monotonic(), size)
        sink.put(m.STORE_BYTES, size, source.name)

    def _guarded(self, part: str, work: Callable[..., None], *arguments: Any) -> None:
        try:
            work(*arguments)
        except Exception:  # the edge to whoever scrapes: a part that fails is counted and logged
            if part not in self._errors:
                log.exception("metrics_part_failed", part=part)
            self._errors[part] = self._errors.get(part, 0) + 1


def _size_bytes(directory: Path) -> int:
    size = 0
    for entry in os.scandir(directory):
        with contextlib.suppress(FileNotFoundError):  # the store removes files while it is looked at
            size += entry.stat().st_size
    return size
