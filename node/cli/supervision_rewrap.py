"""``tidegate supervision rewrap``: stored records for an authority's newest key; older ones can be put away then."""

from __future__ import annotations

import click

from node.calling import Caller
from node.cli.options import Target
from node.cli.output import Report, reporting
from node.cli.supervision_session import authority_keys, open_chain, supervision_options
from node.services.rewrapping import records_shut_to, rewrap_records


@click.command("rewrap")
@supervision_options
@click.option("--after", type=click.IntRange(0), default=0, show_default=True, help="Go on after this record.")
@click.pass_context
@reporting
async def rewrap_command(report: Report, context: click.Context, target: Target, *, after: int) -> None:
    """Let the newest sealing key of --home, an authority's, open every stored record that an older one opens.

    No document is opened and no ciphertext is touched. Interrupt it as you like; what is done is passed over. Ends with
    exit code 1 while there are records that the newest key does not open: keep the older keys as long.
    """
    keys = authority_keys(target.layout.path).sealing
    seen = done = 0
    async with open_chain(target) as client:
        with report.progress("rewrapping"):
            async for number, rewrapped in rewrap_records(Caller(client, target.member_key()), keys, after=after):
                seen, done = number, done + rewrapped
            left = [number async for number in records_shut_to(client, keys[-1])]
    report.success(f"rewrapped {done} records for epoch {keys[-1].epoch}; {seen} looked at")
    if left:
        report.warning(f"{len(left)} records stay shut to it, the first is record {left[0]}: keep the older keys")
    report.document({"epoch": keys[-1].epoch, "last": seen, "rewrapped": done, "left": len(left)})
    if left:
        context.exit(1)
