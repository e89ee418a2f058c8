"""Metrics of the whole daemon: its disks, clock, event loop, certificates."""

from __future__ import annotations

from node.observability import table as m
from node.observability.loop_lag import LoopLag
from node.observability.sink import Sink
from node.observability.sources import Sources


def collect_daemon(sink: Sink, sources: Sources, lag: LoopLag, *, ready: bool, started_s: float) -> None:
    """What is not a chain's.

    Args:
        sink: takes it.
        sources: of the daemon.
        lag: of the event loop.
        ready: whether ``/readyz`` answers 200.
        started_s: when the daemon started, Unix seconds.
    """
    sink.put(m.BUILD, 1, sources.version, sources.node, sources.organisation)
    sink.put(m.STARTED, started_s)
    sink.put(m.READY, ready)
    sink.put_histogram(m.LOOP_LAG, lag.seconds)
    sink.put(m.LOOP_LAG_MAX, lag.worst_s)
    for outcome, count in sources.spans().items():
        sink.put(m.SPANS, count, outcome)
    clock, disk = sources.clock, sources.disk
    if clock is not None:
        sink.put(m.CLOCK_JUMPS, clock.jumps)
        if clock.offset_ms is not None:
            sink.put(m.CLOCK_OFFSET, clock.offset_ms / 1000)
    if disk is not None and disk.free_bytes is not None and disk.total_bytes is not None:
        sink.put(m.DISK_FREE, disk.free_bytes)
        sink.put(m.DISK_TOTAL, disk.total_bytes)
        sink.put(m.DISK_RESERVE, disk.min_free_bytes)
