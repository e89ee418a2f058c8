"""A start after the first: peers say what they last heard from us, then the height goes on. And a log made short."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from consensus.state import live_records

if TYPE_CHECKING:
    from tests.sim.core.process import Process

GREETING_MS: Final = 2_000
"""``node.driver.GREETING_S``: how long the first height waits for peers to return our latest messages."""


def connect_and_greet(process: Process, *, again: bool) -> None:
    """The first start of all finds everybody connected and nothing signed; a later one connects and waits."""
    cluster = process.cluster
    if not again:
        process.start_height()
        return
    process.greeting = True
    process.answered.clear()
    cluster.connect(process)
    if len(cluster.plan.at(len(process.chain) + 1).validators) == 1:
        process.on_greeted(None)
    else:
        cluster.after(GREETING_MS, process, type(process).on_greeted, None)


def compact(process: Process) -> None:
    """Replaces the log by what is alive; a crash meanwhile leaves the old log or the new one."""
    process.cluster.count("compaction")
    process.disk.compact(live_records(process.state))
