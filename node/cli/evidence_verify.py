"""``tidegate evidence verify``: no node, no network, no database; the bundle and the genesis file are enough."""

from __future__ import annotations

from pathlib import Path

import click

from ledger.errors import InvalidConfig
from ledger.genesis import parse_genesis
from ledger.keys import key_text
from node.cli.output import Report, reporting
from node.evidence_bundle import MAX_BUNDLE_BYTES, read_bundle
from node.misbehaviour_bundle import verify_misbehaviour


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
    bundle = read_bundle(_read(file, MAX_BUNDLE_BYTES + 1))
    proved = verify_misbehaviour(bundle, parse_genesis(_read(genesis)))
    evidence = proved.evidence
    shown = {
        "kind": bundle.kind,
        "chain": proved.chain,
        "fault": evidence.fault,
        "validator": key_text(evidence.signer),
        "height": evidence.height,
        "round": evidence.first.round,
        "epoch": evidence.epoch,
    }
    report.success(f"proved: {proved.words}")
    report.fields(shown)
    report.document({"valid": True, "words": proved.words, **shown})


def _read(file: Path, limit: int = -1) -> bytes:
    try:
        with file.open("rb") as source:
            return source.read(limit)
    except OSError as error:
        raise InvalidConfig(f"cannot read {file}: {error.strerror}", code="file_unreadable") from error
