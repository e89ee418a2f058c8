"""``tidegate db verify``: everything that a stopped node keeps, or a snapshot."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from node.cli.exit_codes import STORAGE
from node.cli.options import home_option, passphrase_from_person
from node.cli.output import Report, reporting

if TYPE_CHECKING:
    from node.data.verifying import Advance, Verified


@click.command("verify")
@home_option
@click.option(
    "--snapshot", type=click.Path(path_type=Path, file_okay=False), help="A snapshot's directory, instead of the home."
)
@reporting
def verify_command(report: Report, home: Path, *, snapshot: Path | None) -> None:
    """Check every record, block, certificate, root, receipt and index, the signer log and the evidence file.

    Changes nothing. The node must be stopped; a running one is verified by a snapshot of it. Exit code 74 when anything
    is damaged: the report says what, and what mends it.
    """
    from node.data.verifying import verify_chain_directory, verify_evidence, verify_signer_log  # noqa: PLC0415

    begun = time.monotonic()
    if snapshot is not None:
        from node.data.copying import scratch  # noqa: PLC0415

        with scratch(snapshot) as (genesis, directory):
            verified = verify_chain_directory(genesis, directory, _progress(report))
    else:
        from node.home import Home  # noqa: PLC0415

        with Home.open(home, passphrase=passphrase_from_person) as opened:
            verified = verify_chain_directory(opened.genesis, opened.data_dir / "chain", _progress(report))
            verify_signer_log(opened.wal_dir, verified)
            verify_evidence(opened.data_dir / "evidence.bin", verified)
    _show(report, verified, time.monotonic() - begun)
    if not verified.ok:
        raise SystemExit(STORAGE)


def _progress(report: Report) -> Advance:
    """A line on a terminal that is overwritten; nothing elsewhere."""
    if not report.rich:
        from node.data.verifying import silent  # noqa: PLC0415

        return silent
    last = [0.0]

    def advance(what: str, done: int, total: int) -> None:
        now = time.monotonic()
        if now - last[0] > 0.2 or done == total:
            last[0] = now
            click.echo(f"\r{what}: {done:,}" + (f" of {total:,}" if total else "") + "   ", nl=done == total, err=True)

    return advance


def _show(report: Report, verified: Verified, seconds: float) -> None:
    report.fields(
        {
            "height": verified.height,
            "contents from": verified.retained_height,
            "headers from": verified.base_height,
            "records": sum(verified.records.values()),
            "signer records": verified.signer_records,
            "seconds": round(seconds, 1),
        }
    )
    for finding in verified.findings:
        where = "" if finding.height is None else f" at height {finding.height}"
        report.line(click.style(f"damaged: {finding.what}{where}", fg="red"))
        report.line(f"  {finding.detail}")
        report.line(f"  to mend it: {finding.remedy}")
    if verified.ok:
        report.success("everything is as it was written, and proves itself")
    report.document(
        {
            "ok": verified.ok,
            "height": verified.height,
            "retained_height": verified.retained_height,
            "base_height": verified.base_height,
            "records": dict(verified.records),
            "signer_records": verified.signer_records,
            "seconds": round(seconds, 3),
            "findings": [
                {"what": f.what, "height": f.height, "detail": f.detail, "remedy": f.remedy} for f in verified.findings
            ],
        }
    )
