"""``tidegate rpc docs``: the documents of the RPC from its tables."""

from __future__ import annotations

from pathlib import Path

import click

from node.cli.output import Report, reporting


@click.command("docs")
@click.option(
    "-o", "directory", required=True, type=click.Path(path_type=Path, file_okay=False, exists=True), help="Where."
)
@reporting
def docs_command(report: Report, directory: Path) -> None:
    """Write openrpc.json, and the tables of rpc.md, to a directory."""
    from node.rpc.docs_page import write_documents  # noqa: PLC0415 - loads every method of the daemon

    written = [str(path) for path in write_documents(directory)]
    report.success(f"written: {', '.join(written)}")
    report.document({"written": written})
