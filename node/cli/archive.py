"""``tidegate archive``: a period of a chain in one file that proves itself."""

from __future__ import annotations

import time
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ledger.errors import InvalidConfig
from node.cli.options import home_option, passphrase_from_person
from node.cli.output import Report, reporting

if TYPE_CHECKING:
    from node.data.archives import Archive


@click.group()
def command() -> None:
    """Export a period of a chain, verify it offline, then prune it (docs/data.md).

    \b
    tidegate archive export --home H --from-height 1 --to-height 5000 -o 2026-q1.archive
    tidegate archive verify 2026-q1.archive --genesis genesis.json
    tidegate db prune --home H --retain 2000 --archived 2026-q1.archive
    """  # noqa: D301 - click's mark against rewrapping is a backslash


@command.command("export")
@home_option
@click.option("--snapshot", type=click.Path(path_type=Path, file_okay=False), help="Of a running node: its snapshot.")
@click.option("--from-height", "first", required=True, type=click.IntRange(min=1))
@click.option("--to-height", "last", required=True, type=click.IntRange(min=1))
@click.option("-o", "file", required=True, type=click.Path(path_type=Path, dir_okay=False), help="New file.")
@reporting
def export_command(report: Report, home: Path, *, snapshot: Path | None, first: int, last: int, file: Path) -> None:
    """Write blocks, receipts, certificates and attachments of a period, with the proofs of who decided them.

    The node must be stopped; of a running one export a snapshot (tidegate db snapshot). The file is verified before the
    command says that it is done.
    """
    from ledger.store_leveldb import LevelStore  # noqa: PLC0415
    from node.chain import Chain  # noqa: PLC0415
    from node.data.archives import export, verify  # noqa: PLC0415
    from node.data.copying import scratch  # noqa: PLC0415
    from node.home import Home  # noqa: PLC0415

    begun = time.monotonic()
    with ExitStack() as stack:
        if snapshot is None:
            opened = stack.enter_context(Home.open(home, passphrase=passphrase_from_person))
            genesis, directory = opened.genesis, opened.data_dir / "chain"
        else:
            genesis, directory = stack.enter_context(scratch(snapshot))
        chain = Chain(genesis, LevelStore(str(directory), create=False))
        stack.callback(chain.close)
        with report.progress("exporting", last - first + 1) as advance:
            export(chain, first, last, file, advance)
    _show(report, file, verify(file, genesis), time.monotonic() - begun)


@command.command("verify")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@click.option(
    "--genesis", required=True, type=click.Path(path_type=Path), help="The chain's file, from a trusted source."
)
@reporting
def verify_command(report: Report, file: Path, *, genesis: Path) -> None:
    """Check FILE offline: no node, no network. Exit code 0: every block in it was decided by that chain."""
    from ledger.genesis import parse_genesis  # noqa: PLC0415
    from node.data.archives import verify  # noqa: PLC0415

    begun = time.monotonic()
    try:
        trusted = parse_genesis(genesis.read_bytes())
    except OSError as error:
        raise InvalidConfig(f"cannot read {genesis}: {error.strerror}", code="file_unreadable") from error
    with report.progress("verifying") as advance:
        archive = verify(file, trusted, advance)
    _show(report, file, archive, time.monotonic() - begun)


def _show(report: Report, file: Path, archive: Archive, seconds: float) -> None:
    shown = {
        "file": str(file),
        "chain": archive.chain,
        "from_height": archive.from_height,
        "to_height": archive.to_height,
        "from_time": _time(archive.first_ms),
        "to_time": _time(archive.last_ms),
        "transactions": archive.transactions,
        "sha256": archive.sha256,
        "seconds": round(seconds, 2),
    }
    report.success(f"blocks {archive.from_height} to {archive.to_height} of {archive.chain} are proved")
    report.fields(shown)
    report.document({"valid": True, **shown})


def _time(time_ms: int) -> str:
    return datetime.fromtimestamp(time_ms / 1000, UTC).isoformat(timespec="seconds")
