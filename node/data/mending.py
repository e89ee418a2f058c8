"""What happens to a chain's data before the node starts: checked, mended where that can be, or refused (docs/data.md).

Indexes are rebuilt from the blocks, single blocks fetched from peers, the state made again by executing the blocks that
are here, and where those are not all here it comes from a peer's snapshot. A new store is built beside the damaged one
and takes its place by a rename when it is whole.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import structlog

from ledger.chain_recheck import RecheckReport, Repair
from ledger.chain_repair import reindexed
from ledger.errors import InvalidInput, StorageFault
from ledger.genesis import Genesis
from ledger.store_leveldb import LevelStore, repair
from node.atomic_file import sync_directory
from node.chain import Chain
from node.data.joining import Joined, Joiner, discard
from node.data.peer_link import PeerLink
from node.data.refetching import refetched
from node.data.salvaging import salvage
from node.data.transplanting import scan, transplant

log = structlog.get_logger(__name__)

ATTEMPTS: Final = 4
"""Rechecks in a row that still find something, after which the node refuses to start."""
CONNECT_S: Final = 60.0
"""Peers that none of can be reached in this time cannot help."""
NEW, READY, DAMAGED = "chain.joining", "chain.ready", "chain.damaged"


@dataclass(frozen=True, slots=True)
class Place:
    """Where a chain's data is, and how its peers are reached.

    Attributes:
        genesis: of the chain.
        directory: the home's data directory.
        link: makes the overlay anew each time; None: no peer is known.
        join: an empty node takes a snapshot.
    """

    genesis: Genesis
    directory: Path
    link: Callable[[], PeerLink] | None
    join: bool

    @property
    def chain(self) -> Path:
        """The store."""
        return self.directory / "chain"


async def prepare(place: Place, *, rejoin: bool = False, scan_all: bool = False) -> bool:
    """Makes the chain's data fit to start from.

    Args:
        place: which.
        rejoin: take a snapshot although there is a chain: peers do not keep the blocks any more that come next.
        scan_all: read every record instead of rechecking the end only: something was found damaged while it ran.

    Returns:
        True when something was mended or fetched.

    Raises:
        InvalidGenesis: the data is another chain's.
        StorageFault: damaged, and cannot be mended here and now; the text says what to do.
    """
    settle(place)
    if rejoin or (place.join and _is_empty(place)):
        await _join(place, prefer_genesis=False)
        return True
    for attempt in range(ATTEMPTS):
        if not place.chain.exists():
            return attempt > 0
        try:
            store = LevelStore(str(place.chain), create=False)
        except StorageFault as error:
            await _replace(place, None, error)
            continue
        fault = await asyncio.to_thread(scan, store) if scan_all and not attempt else None
        if fault is not None:
            await _rebuild(place, store, fault)
        elif await _mended(place, store):
            return attempt > 0
    raise StorageFault(
        "the data is damaged again as soon as it is mended: have the disk checked, then restore a snapshot "
        "(tidegate db restore) or delete data/chain"
    )


async def _mended(place: Place, store: LevelStore) -> bool:
    """One look at an open store, which is closed on return; False: look again."""
    try:
        chain = Chain(place.genesis, store)
    except StorageFault as error:
        await _replace(place, store, error)
        return False
    try:
        report = chain.store.recheck(lambda height: chain.seats_at(height).validators)
        for damage in report.damage:
            log.error("storage_damaged", what=damage.what, height=damage.height, detail=damage.detail)
        if report.ok:
            return True
        if report.repair is Repair.REINDEX:
            wanted = {damage.height for damage in report.damage if damage.height is not None}
            store.write(reindexed(chain.store, wanted), sync=True)
            log.warning("indexes_rebuilt", heights=sorted(wanted))
            return False
    except StorageFault as error:
        log.warning("index_not_rebuilt", why=error.message)
        report = None
    finally:
        chain.close()
    damaged = LevelStore(str(place.chain))
    if report is None or report.repair is Repair.RESYNC or 0 in report.refetch_heights:
        await _replace(place, damaged, _fault(report))
    else:
        await _rebuild(place, damaged, _fault(report), report.refetch_heights)
    return False


def _fault(report: RecheckReport | None) -> StorageFault:
    try:
        if report is not None:
            report.raise_for_damage()
    except StorageFault as error:
        return error
    return StorageFault("the data is damaged")


async def _rebuild(place: Place, damaged: LevelStore, fault: StorageFault, heights: Iterable[int] = ()) -> None:
    """A new store with the same state, and single blocks from peers. Closes ``damaged``."""
    discard(place.directory / NEW)
    try:
        lost = await transplant(damaged, place.directory / NEW)
    except (StorageFault, InvalidInput) as error:
        log.warning("transplant_failed", why=error.message)
        await _replace(place, damaged, fault)
        return
    wanted = sorted({*lost, *heights}, reverse=True)
    if 0 in wanted or not _opens(place):
        await _replace(place, damaged, fault)
        return
    damaged.close()
    if wanted:
        await _refetch(place, wanted, fault)
    log.warning("store_rebuilt", why=fault.message, refetched=wanted)
    _install(place)


def _opens(place: Place) -> bool:
    """Whether the new store names its last block and state; not where it is the last block that was lost."""
    store = LevelStore(str(place.directory / NEW))
    try:
        chain = Chain(place.genesis, store)
    except StorageFault:
        store.close()
        return False
    chain.close()
    return True


async def _refetch(place: Place, heights: Sequence[int], fault: StorageFault) -> None:
    if place.link is None:
        raise _hopeless(fault, "no peers are configured that could have the blocks")
    chain = Chain(place.genesis, LevelStore(str(place.directory / NEW)))
    try:
        async with place.link() as link:
            if not await link.wait_connected(CONNECT_S):
                raise _hopeless(fault, f"no peer could be reached within {CONNECT_S:.0f} s")
            for height in heights:
                batch = await refetched(chain.store, height, chain.seats_at(height).validators, link)
                if batch is None:
                    raise _hopeless(fault, f"no peer has block {height} now")
                chain.store.store.write(batch, sync=True)
    finally:
        chain.close()


async def _replace(place: Place, damaged: LevelStore | None, fault: StorageFault) -> None:
    """A new store for one whose state cannot be trusted. Closes ``damaged``."""
    log.error("storage_unusable", why=fault.message)
    discard(place.directory / NEW)
    reached, complete = 0, False
    if damaged is None:
        damaged = await asyncio.to_thread(_repaired, place)
    if damaged is not None:
        try:
            reached, complete = await salvage(place.genesis, damaged, place.directory / NEW)
        except (StorageFault, InvalidInput) as error:
            log.warning("salvage_failed", why=error.message)
        finally:
            damaged.close()
    if reached and (complete or place.link is not None):
        log.warning("state_executed_again", height=reached, complete=complete)
        _install(place)
        return
    if place.link is None:
        raise _hopeless(fault, "the blocks here do not suffice, and no peers are configured")
    await _join(place, prefer_genesis=not place.join, fault=fault)


async def _join(place: Place, *, prefer_genesis: bool, fault: StorageFault | None = None) -> None:
    if place.link is None:
        return
    directory = place.directory / NEW

    def empty() -> LevelStore:
        discard(directory)
        return LevelStore(str(directory))

    async with place.link() as link:
        if not await link.wait_connected(CONNECT_S):
            if fault is None:
                log.warning("snapshot_not_joined", why="no peer could be reached")
                return
            raise _hopeless(fault, f"no peer could be reached within {CONNECT_S:.0f} s")
        how, _ = await Joiner(place.genesis, link, empty, prefer_genesis=prefer_genesis).run()
    if how is Joined.SNAPSHOT:
        _install(place)
    elif fault is not None:
        # An empty store: everything comes from peers, who have every block.
        discard(directory)
        discard(place.directory / DAMAGED)
        place.chain.rename(place.directory / DAMAGED)
        discard(place.directory / DAMAGED)
        log.warning("data_removed", why=fault.message)


def _repaired(place: Place) -> LevelStore | None:
    """What is left of a store that does not open, only to be read; its blocks are believed when they execute."""
    try:
        repair(str(place.chain))
        return LevelStore(str(place.chain), create=False, whole=False)
    except StorageFault as error:
        log.warning("repair_failed", why=error.message)
        return None


def _hopeless(fault: StorageFault, why: str) -> StorageFault:
    return StorageFault(
        f"{fault.message}. It cannot be mended: {why}. Start again when peers are there, or restore a snapshot: "
        "tidegate db restore DIR --home HOME"
    )


def _is_empty(place: Place) -> bool:
    if not place.chain.exists():
        return True
    try:
        store = LevelStore(str(place.chain), create=False)
    except StorageFault:
        return False
    try:
        chain = Chain(place.genesis, store)
    except StorageFault:
        return False
    else:
        return chain.tip.height == 0
    finally:
        store.close()


def _install(place: Place) -> None:
    """Puts the finished store in place of what is there; a crash between any two steps is finished by ``settle``."""
    (place.directory / NEW).rename(place.directory / READY)
    sync_directory(place.directory)
    settle(place)


def settle(place: Place) -> None:
    """Finishes or removes what a crash left between two steps of ``_install`` or before the first.

    Raises:
        StorageFault: a directory cannot be renamed or removed.
    """
    ready, damaged = place.directory / READY, place.directory / DAMAGED
    discard(place.directory / NEW)
    try:
        if ready.exists():
            if place.chain.exists():
                discard(damaged)
                place.chain.rename(damaged)
            ready.rename(place.chain)
            sync_directory(place.directory)
    except OSError as error:
        raise StorageFault(f"the mended data cannot be put in place: {error}") from error
    discard(damaged)
