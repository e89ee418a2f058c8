"""Runs the daemon on data that has been looked at first, and mends what it finds damaged while it runs.

A damaged record stops what reads it, and the node when that is consensus: then everything is read, mended, and the node
runs on in the same process. What cannot be mended ends the process with the exit code for storage.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Final

import structlog

from ledger.errors import DiskFull, StorageFault, TidegateError
from node.data.mending import Place, prepare
from node.data.peer_link import PeerLink
from node.home import Home
from node.sd_notify import Notifier

log = structlog.get_logger(__name__)

MAX_MENDS: Final = 3
"""Times that one process mends its data after it has begun to run; the next fault ends it."""
TELL_S: Final = 5.0
SNAPSHOT_NEEDED: Final = "snapshot_needed"


def place_of(home: Home) -> Place:
    """Where a home's chain is, and how its peers are reached."""
    config = home.config

    def link() -> PeerLink:
        from p2p.libp2p_transport import Libp2pTransport  # noqa: PLC0415 - takes half a second, and is seldom needed

        transport = Libp2pTransport(
            home.keys.transport,
            network=home.genesis.hash.hex(),
            listen_host=config.p2p.listen_host,
            listen_port=config.p2p.listen_port,
        )
        return PeerLink(home.genesis, transport, config.p2p.addresses)

    reachable = any(address.peer_id != home.keys.transport.peer_id for address in config.p2p.addresses)
    return Place(home.genesis, home.data_dir, link if reachable else None, config.storage.join_from_snapshot)


async def run_mended(
    homes: Sequence[Home],
    stop: asyncio.Event,
    run: Callable[[], Awaitable[None]],
    notifier: Notifier | None = None,
) -> None:
    """Prepares the data of ``homes`` and runs the node, again where damage ended it.

    Args:
        homes: opened and locked.
        stop: ends whatever is under way.
        run: builds and runs the node until ``stop`` is set.
        notifier: tells the service manager that getting data takes its time.

    Raises:
        StorageFault: what is damaged cannot be mended.
        TidegateError: as ``run``.
    """
    fault: StorageFault | None = None
    for _ in range(MAX_MENDS + 1):
        mended = False
        for home in homes:
            rejoin = fault is not None and fault.code == SNAPSHOT_NEEDED and _is_of(fault, home)
            work = prepare(place_of(home), rejoin=rejoin, scan_all=fault is not None and not rejoin)
            async with _patience(notifier):
                mended |= await _unless(stop, work) or False
        if stop.is_set():
            return
        if fault is not None and not mended:
            raise fault
        try:
            await run()
        except BaseExceptionGroup as group:
            fault = _damage(group)
            if fault is None or not _may_be_mended(fault, homes):
                raise
        except StorageFault as error:
            fault = error
            if not _may_be_mended(fault, homes):
                raise
        else:
            return
        log.error("storage_fault_while_running", code=fault.code, why=fault.message)
    raise fault or StorageFault("the data is damaged")


@asynccontextmanager
async def _patience(notifier: Notifier | None) -> AsyncIterator[None]:
    """Keeps the service manager from ending a node whose data takes longer than a start may."""
    if notifier is None or not notifier.enabled:
        yield
        return

    async def tell() -> None:
        while True:
            await asyncio.sleep(TELL_S)
            notifier.extend(10 * TELL_S)
            notifier.watchdog()
            notifier.status("getting its data")

    task = asyncio.create_task(tell())
    try:
        yield
    finally:
        task.cancel()


async def _unless(stop: asyncio.Event, work: Awaitable[bool]) -> bool | None:
    """The result of ``work``, or None when ``stop`` came first."""
    task = asyncio.ensure_future(work)
    stopped = asyncio.ensure_future(stop.wait())
    try:
        await asyncio.wait((task, stopped), return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            return task.result()
        return None
    finally:
        stopped.cancel()
        if not task.done():
            task.cancel()
            await asyncio.wait((task,))


def _damage(group: BaseExceptionGroup[BaseException]) -> StorageFault | None:
    """The only storage fault that a group tells of; None where something else is in it."""
    found: StorageFault | None = None
    for error in group.exceptions:
        inner = _damage(error) if isinstance(error, BaseExceptionGroup) else error
        if not isinstance(inner, StorageFault) or isinstance(inner, DiskFull):
            return None
        found = inner
    return found


def _may_be_mended(fault: StorageFault, homes: Sequence[Home]) -> bool:
    if isinstance(fault, DiskFull):
        return False
    if fault.code == SNAPSHOT_NEEDED:
        return any(_is_of(fault, home) and home.config.storage.join_from_snapshot for home in homes)
    # A record that is damaged, a table that LevelDB reports, or blocks lost on a restart. A full disk is none of these.
    return fault.code == StorageFault.code and (
        "key" in fault.data or "lost" in fault.data or "orruption" in fault.message
    )


def _is_of(fault: TidegateError, home: Home) -> bool:
    return fault.data.get("chain_id") == home.genesis.chain_id
