"""``tidegate evidence report``: a page that a judge can read, from a bundle that is proved first."""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path

import click

from node.atomic_file import write_atomic
from node.cli.evidence_verify import genesis_option, read_file, read_geneses
from node.cli.output import Report, reporting
from node.evidence_bundle import MAX_BUNDLE_BYTES, read_bundle, refuse


@click.command("report")
@click.argument("file", type=click.Path(path_type=Path))
@genesis_option
@click.option(
    "-o", "--output", type=click.Path(path_type=Path, dir_okay=False), required=True, help="New file, .html or .pdf."
)
@reporting
def report_command(report: Report, file: Path, *, genesis: tuple[Path, ...], output: Path) -> None:
    """Write what FILE proves to a page for people: what happened, who signed, how to check. FILE is checked first."""
    form = output.suffix.lower()
    if form not in (".html", ".pdf"):
        raise click.UsageError("the page's name ends with .html or .pdf")
    from node.bundles.verifying import KINDS, verify_record  # noqa: PLC0415 - help comes without it

    data = read_file(file, MAX_BUNDLE_BYTES + 1)
    bundle = read_bundle(data)
    if bundle.kind not in KINDS:
        refuse("kind", f"reports are made of records and flows, not of {bundle.kind[:40]!r}", "bundle_kind_unknown")
    story = verify_record(bundle, read_geneses(genesis))
    digest = sha256(data).hexdigest()
    if form == ".pdf":
        from node.bundles.report_pdf import pdf_report as write  # noqa: PLC0415 - brings fpdf2
    else:
        from node.bundles.report_html import html_report as write  # noqa: PLC0415
    page = write(story, digest=digest, file_name=file.name)
    write_atomic(output, page)
    shown = {"file": str(output), "subject": story.subject, "outcome": story.outcome, "bytes": len(page)}
    report.success(f"{output} is written")
    report.fields(shown)
    report.document({**shown, "sha256": digest})
