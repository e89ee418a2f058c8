"""Looks at the store of a home whose node does not run, without changing a byte of it.

LevelDB cannot be opened without writing, so a copy is opened: tables, which never change, are linked, and everything
else is copied, the newest tables too, because a new table could get the name of one that a crash left unfinished.
"""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from ledger.errors import InvalidGenesis, StorageFault, TidegateError
from ledger.genesis import Genesis
from node.doctor.catalogue import found
from node.surroundings.finding import Finding

COPIED_TABLES: Final = 48
"""More than one compaction can have written and not yet named when the process died."""
STORE: Final = "chain"


@dataclass(frozen=True, slots=True)
class StoreReport:
    """What a store shows.

    Attributes:
        height: of its tip; None: nothing readable, or nothing there.
        time_ms: of the tip's block.
        validator: whether the key asked about may have signed a block of it, or decides the next one.
        findings: what is wrong.
    """

    height: int | None
    time_ms: int | None
    validator: bool
    findings: tuple[Finding, ...] = ()


def examine_store(data_dir: Path, genesis: Genesis, key: bytes | None) -> StoreReport:
    """Opens a copy of the store and rechecks the end of its chain, as a start would. Takes a second or two.

    Args:
        data_dir: a home's ``data``; nothing in it is written.
        genesis: of the home.
        key: the home's validator key.
    """
    source = data_dir / STORE
    if not (source / "CURRENT").exists():
        return StoreReport(None, None, validator=False)
    try:
        with _copied(source) as copy:
            return asyncio.run(_recheck(copy, genesis, key))
    except InvalidGenesis as error:
        return _bad(found("store.other_chain", error.message))
    except (StorageFault, OSError) as error:
        words = error.message if isinstance(error, StorageFault) else f"{error.filename}: {error.strerror}"
        return _bad(found("store.damaged", f"the store cannot be read: {words.replace(str(source), 'data/chain')}"))
    except TidegateError as error:
        return _bad(found("store.damaged", f"the store does not prove itself: {error.message}", cause=error.code))


def _bad(finding: Finding) -> StoreReport:
    return StoreReport(None, None, validator=False, findings=(finding,))


async def _recheck(path: Path, genesis: Genesis, key: bytes | None) -> StoreReport:
    # Chain makes an asyncio lock, hence the loop. Imported now: plyvel and the contracts are only needed here.
    from ledger.store_leveldb import LevelStore  # noqa: PLC0415
    from node.chain import Chain  # noqa: PLC0415

    chain = Chain(genesis, LevelStore(str(path), create=False))
    try:
        report = chain.store.recheck(lambda height: chain.seats_at(height).validators)
        tip = chain.tip
        validator = key is not None and (chain.was_validator(key) or key in chain.validators)
        findings: tuple[Finding, ...] = ()
        if report.damage:
            first = report.damage[0]
            where = "" if first.height is None else f", block {first.height}"
            findings = (
                found(
                    "store.damaged",
                    f"{len(report.damage)} records of the last blocks do not prove themselves; the first: "
                    f"{first.what}{where}: {first.detail}",
                    damage=[{"what": one.what, "height": one.height} for one in report.damage],
                    repair=report.repair.name.lower(),
                ),
            )
        return StoreReport(tip.height, tip.header.time_ms, validator, findings)
    finally:
        chain.close()


@contextmanager
def _copied(source: Path) -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="tidegate-doctor-") as place:
        copy = Path(place) / STORE
        copy.mkdir()
        tables = sorted(source.glob("*.ldb"))
        linked = {table.name for table in tables[:-COPIED_TABLES]}
        for file in source.iterdir():
            if file.name in linked:
                (copy / file.name).symlink_to(file.absolute())
            elif file.is_file() and file.name not in ("LOCK", "LOG", "LOG.old"):
                shutil.copyfile(file, copy / file.name)
        yield copy
