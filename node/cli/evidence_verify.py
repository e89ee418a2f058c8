"""``tidegate evidence verify``: no node, no network, no database; the bundle and the genesis files are enough."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from ledger.document import to_document
from ledger.errors import InvalidConfig
from ledger.genesis import Genesis, parse_genesis
from ledger.keys import key_text
from node.cli.output import Report, reporting
from node.evidence_bundle import MAX_BUNDLE_BYTES, Bundle, read_bundle, refuse

genesis_option = click.option(
    "--genesis",
    "genesis",
    required=True,
    multiple=True,
    type=click.Path(path_type=Path),
    help="Genesis file of a chain, from a trusted source; once for each chain.",
)


@click.command("verify")
@click.argument("file", type=click.Path(path_type=Path))
@genesis_option
@reporting
def verify_command(report: Report, file: Path, *, genesis: tuple[Path, ...]) -> None:
    """Check FILE offline. Exit code 0: it is proof. 1: it proves nothing; the field that is wrong is named."""
    bundle = read_bundle(read_file(file, MAX_BUNDLE_BYTES + 1))
    geneses = read_geneses(genesis)
    if bundle.kind == "misbehaviour":
        _show_fault(report, bundle, geneses)
    else:
        _show_record(report, bundle, geneses)


def read_geneses(paths: tuple[Path, ...]) -> list[Genesis]:
    """Genesis files. Raises ``InvalidConfig``, ``InvalidGenesis``."""
    return [parse_genesis(read_file(path)) for path in paths]


def read_file(file: Path, limit: int = -1) -> bytes:
    """A file's bytes, at most ``limit`` of them. Raises ``InvalidConfig`` where it cannot be read."""
    try:
        with file.open("rb") as source:
            return source.read(limit)
    except OSError as error:
        raise InvalidConfig(f"cannot read {file}: {error.strerror}", code="file_unreadable") from error


def _show_fault(report: Report, bundle: Bundle, geneses: list[Genesis]) -> None:
    from node.misbehaviour_bundle import verify_misbehaviour  # noqa: PLC0415 - only for this kind

    chosen = [genesis for genesis in geneses if bundle.genesis == (genesis.hash,)] or geneses
    proved = verify_misbehaviour(bundle, chosen[0])
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


def _show_record(report: Report, bundle: Bundle, geneses: list[Genesis]) -> None:
    from node.bundles.story import time_text  # noqa: PLC0415 - as above
    from node.bundles.verifying import KINDS, verify_record  # noqa: PLC0415

    if bundle.kind not in KINDS:
        refuse("kind", f"this program knows no bundle of kind {bundle.kind[:40]!r}", "bundle_kind_unknown")
    story = verify_record(bundle, geneses)
    report.success(f"proved: {story.subject}: {story.outcome}")
    for sentence in story.statements:
        report.line(f"- {sentence}")
    report.line()
    for item in story.items:
        report.line(f"{time_text(item.time_ms)}  {item.chain} {item.height}  {item.title}")
        report.line(f"    signed by {'; '.join(item.signers) or 'nobody: contracts did it by rule'}")
        report.line(f"    certified by {item.certified}")
    report.line()
    for sentence in story.gaps:
        report.line(f"not shown: {sentence}")
    document: dict[str, Any] = {
        "valid": True,
        "kind": bundle.kind,
        "subject": story.subject,
        "outcome": story.outcome,
        "statements": story.statements,
        "gaps": story.gaps,
        "chains": [_fields(chain) for chain in story.chains],
        "items": [_fields(item) for item in story.items],
    }
    report.document(to_document(document))


def _fields(value: Any) -> dict[str, Any]:
    found = {name: getattr(value, name) for name in value.__slots__}
    return {**found, "facts": [list(fact) for fact in found["facts"]]} if "facts" in found else found
