"""``tidegate supervision record``: a sealed record; opening it enters the disclosure log first."""

from __future__ import annotations

import json

import click

from node.calling import Caller
from node.cli.options import Target
from node.cli.output import Report, reporting
from node.cli.supervision_session import authority_keys, open_chain, supervision_options, time_text
from node.regulator import flows


@click.command("record")
@click.argument("flow")
@click.argument("stage")
@supervision_options
@click.option("--attempt", type=click.IntRange(1), help="Of the request; the newest by default.")
@click.option("--open", "opening", is_flag=True, help="Open it with the authority's keys of --home.")
@click.option("--purpose", default="search", show_default=True, help="Why it is opened; enters the disclosure log.")
@reporting
async def record_command(
    report: Report, target: Target, *, flow: str, stage: str, attempt: int | None, opening: bool, purpose: str
) -> None:
    """Show the sealed record of STAGE of FLOW. With --open, --home is an authority's, and the opening is logged first.

    The chain first says who opened it, and why; only then the document is opened, here, and printed.
    """
    async with open_chain(target) as client:
        found = await flows.find_flow(client, flow)
        record = await flows.find_record(client, found.flow, stage, attempt or 0)
        request = record.request
        shown = {
            "flow": found.flow.hex(),
            "stage": f"{stage}, attempt {request.request.attempt}",
            "status": request.status,
            "known by": request.transaction.hex() or "nothing yet",
            "commitment": request.request.commitment.hex(),
            "subject": record.subject.hex() or "none attested",
            "received": time_text(request.received_ms),
            "sealed bytes": len(record.envelope),
        }
        if not opening:
            report.fields(shown)
            report.document({"request": request, "subject": record.subject, "envelope": record.envelope})
            return
        keys = authority_keys(target.layout.path)
        authority = Caller(client, target.member_key())
        entry, document = await flows.open_record(authority, keys.sealing, record, purpose)
    report.fields({**shown, "disclosure": f"{entry.number} ({entry.purpose}), transaction {entry.transaction.hex()}"})
    report.line()
    report.line(_text(document.media, document.body))
    report.document({"disclosure": entry, "media": document.media, "document": _content(document.media, document.body)})


def _content(media: str, body: bytes) -> object:
    """The document as JSON where it is JSON, as text where it is text, else as hex."""
    try:
        return json.loads(body) if media.endswith("json") else body.decode()
    except ValueError:
        return body.hex()


def _text(media: str, body: bytes) -> str:
    content = _content(media, body)
    return content if isinstance(content, str) else json.dumps(content, ensure_ascii=False, indent=2)
