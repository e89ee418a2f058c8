"""``tidegate db snapshot`` and ``tidegate db restore``."""

from __future__ import annotations

import shutil
import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ledger.errors import HomeLocked, InvalidConfig, StorageFault
from node.cli.options import home_option, passphrase_from_person
from node.cli.output import Report, reporting

if TYPE_CHECKING:
    from ledger.genesis import Genesis
    from node.data.copying import Manifest

RPC_TIMEOUT_S = 24 * 3600.0


@click.command("snapshot")
@home_option
@click.option("-o", "directory", required=True, type=click.Path(path_type=Path), help="New directory for the copy.")
@reporting
async def snapshot_command(report: Report, home: Path, *, directory: Path) -> None:
    """Copy a node's blocks and state, consistent as of one block, with a digest of every file.

    A running node makes the copy itself, in slices, and goes on. What it has signed is not in it: a restored node
    observes until it is safe to sign again.
    """
    from node.data.copying import read_manifest, write_snapshot  # noqa: PLC0415
    from node.home import Home  # noqa: PLC0415

    begun = time.monotonic()
    directory = directory.expanduser().absolute()  # noqa: ASYNC240 - nothing else runs
    if directory.exists():
        raise InvalidConfig(f"{directory} exists already and is not overwritten", code="file_exists")
    try:
        opened = Home.open(home, passphrase=passphrase_from_person)
    except HomeLocked:
        await _ask_node(home, directory)
    else:
        from ledger.store_leveldb import LevelStore  # noqa: PLC0415

        with opened:
            store = LevelStore(str(opened.data_dir / "chain"), create=False)
            try:
                write_snapshot(store.snapshot(), opened.genesis, opened.genesis_bytes, directory)
            finally:
                store.close()
    _show(report, directory, read_manifest(directory), time.monotonic() - begun)


async def _ask_node(home: Path, directory: Path) -> None:
    """Has the running node write the copy, and moves it."""
    from node.client import Client  # noqa: PLC0415
    from node.layout import HomeLayout  # noqa: PLC0415

    async with Client(HomeLayout(home).find_socket()) as client:
        name = f"asked-{time.time_ns()}"
        made = Path((await client.call("db.snapshot", {"name": name}, wait_s=RPC_TIMEOUT_S))["directory"])
    try:
        directory.parent.mkdir(parents=True, exist_ok=True)
        shutil.move(made, directory)
    except OSError as error:
        raise StorageFault(f"the copy is at {made}; it cannot be moved to {directory}: {error}") from error


@click.command("restore")
@click.argument("directory", type=click.Path(path_type=Path, file_okay=False))
@home_option
@click.option("--replace", is_flag=True, help="Remove the data that the home has.")
@click.option("--quick", is_flag=True, help="Compare digests and recheck the end only, not every block.")
@reporting
def restore_command(report: Report, directory: Path, home: Path, *, replace: bool, quick: bool) -> None:
    """Put the snapshot in DIRECTORY into a home whose node is stopped.

    Refused when a file is not what was copied, or the blocks do not prove themselves. The signer log of the home is put
    aside: the node observes until it is past everything that it may have signed.
    """
    from node.data.copying import restore  # noqa: PLC0415
    from node.home import Home  # noqa: PLC0415

    begun = time.monotonic()
    with Home.open(home, passphrase=passphrase_from_person) as opened:
        manifest = restore(
            directory,
            opened.genesis,
            opened.data_dir,
            opened.wal_dir,
            check=lambda place: _check(opened.genesis, place, quick=quick),
            replace=replace,
        )
    _show(report, directory, manifest, time.monotonic() - begun)
    report.line("the node observes until it is safe to sign; tidegate node status says so")


def _check(genesis: Genesis, place: Path, *, quick: bool) -> None:
    from ledger.errors import InvalidInput  # noqa: PLC0415
    from node.data.verifying import silent, verify_chain_directory  # noqa: PLC0415

    if quick:
        from ledger.store_leveldb import LevelStore  # noqa: PLC0415
        from node.chain import Chain  # noqa: PLC0415

        store = LevelStore(str(place), create=False)
        try:
            chain = Chain(genesis, store)
            chain.store.recheck(lambda height: chain.seats_at(height).validators).raise_for_damage()
        finally:
            store.close()
        return
    verified = verify_chain_directory(genesis, place, silent)
    for finding in verified.findings:
        raise InvalidInput(f"the snapshot does not prove itself: {finding.detail}", code="snapshot_damaged")


def _show(report: Report, directory: Path, manifest: Manifest, seconds: float) -> None:
    size_bytes = sum(file.size_bytes for file in manifest.files)
    shown = {
        "directory": str(directory),
        "chain": manifest.chain,
        "height": manifest.height,
        "block_id": manifest.block_id,
        "created": manifest.created,
        "megabytes": round(size_bytes / 1e6, 1),
        "seconds": round(seconds, 2),
    }
    report.success(f"height {manifest.height} of {manifest.chain}")
    report.fields(shown)
    report.document({**shown, "files": len(manifest.files), "size_bytes": size_bytes})
