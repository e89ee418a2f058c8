"""``tidegate proof verify``: no node, no network, no database; the file and the genesis file are enough."""

from __future__ import annotations

from pathlib import Path

import click

from ledger.errors import InvalidConfig
from ledger.genesis import parse_genesis
from node.cli.output import Report, reporting
from node.evidence_bundle import MAX_BUNDLE_BYTES
from node.proof_file import verify_file


@click.command("verify")
@click.argument("file", type=click.Path(path_type=Path))
@click.option(
    "--genesis",
    required=True,
    type=click.Path(path_type=Path),
    help="Genesis file of the chain, from a trusted source.",
)
@reporting
def verify_command(report: Report, file: Path, *, genesis: Path) -> None:
    """Check FILE offline. Exit code 0: it is proof. 1: it proves nothing; the field that is wrong is named."""
    shown = verify_file(_read(file, MAX_BUNDLE_BYTES + 1), parse_genesis(_read(genesis)))
    report.success(f"proved: {shown.words}")
    report.fields({name: value for name, value in shown.facts.items() if not isinstance(value, dict)})
    report.document({"valid": True, "kind": shown.kind, "words": shown.words, **shown.facts})


def _read(file: Path, limit: int = -1) -> bytes:
    try:
        with file.open("rb") as source:
            return source.read(limit)
    except OSError as error:
        raise InvalidConfig(f"cannot read {file}: {error.strerror}", code="file_unreadable") from error
