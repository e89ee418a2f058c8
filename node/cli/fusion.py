"""``tidegate fusion``: how a fusion node's relay is doing."""

from __future__ import annotations

import click

from node.cli.fusion_status import COLUMNS, directions_of, status_row
from node.cli.options import Target, target_options
from node.cli.output import Report, reporting


@click.group()
def command() -> None:
    """The nodes that join the two chains.

    \b
    tidegate fusion status --home DIR/business/node4
    """  # noqa: D301 - click's mark against rewrapping is a backslash


@command.command()
@target_options
@reporting
async def status(report: Report, target: Target) -> None:
    """Show the relay of a fusion node, per direction: lag, unanswered packets and the oldest of them, deliveries.

    Lag is how many blocks the other chain has not been shown; a relay shows blocks that have something for it, and
    others now and then. Ends with exit code 4 when the node does not answer.
    """
    from node.client import Client  # noqa: PLC0415 - brings aiohttp, which help does without

    async with Client(target.socket) as client:
        document = await client.status()
    found = directions_of(document)
    report.line(f"{document.get('name')} of {document.get('organisation')}")
    report.table(COLUMNS, [status_row(item) for item in found])
    for item in found:
        if item.get("frozen"):
            report.warning(
                f"{item.get('to')} has seen two conflicting headers of {item.get('from')} and believes it no more: "
                "its governors have to replace the client"
            )
    report.document({"name": document.get("name"), "organisation": document.get("organisation"), "directions": found})
