"""``tidegate doctor``: says in words why no block is made, and what to do."""

from __future__ import annotations

from pathlib import Path

import click

from node.cli.exit_codes import REFUSED
from node.cli.options import Target, home_option
from node.cli.output import Report, reporting
from node.doctor.examine import Examined, examine, headline


@click.command()
@home_option
@click.pass_context
@reporting
async def command(report: Report, context: click.Context, home: Path) -> None:
    """Say in words why no block is made, and what to do.

    Asks the node of the home; where it does not run, its files are read, and none is changed. What stands first is the
    cause, what follows may only come from it. The exit code is 0 when all is well and 1 when something was found.

    \b
    tidegate doctor --home /srv/tidegate
    tidegate doctor --home devnet/node2 --json
    """  # noqa: D301
    examined = await examine(Target(home).layout.path)
    _say(report, examined)
    report.document(
        {
            "home": str(examined.home),
            "state": examined.state,
            "healthy": examined.healthy,
            "height": examined.height,
            "findings": [finding.as_json() for finding in examined.findings],
            "log_tail": list(examined.log_tail),
        }
    )
    if not examined.healthy:
        context.exit(REFUSED)


def _say(report: Report, examined: Examined) -> None:
    if examined.healthy:
        report.success("nothing is wrong, as far as this node can tell")
        report.line(headline(examined))
        return
    if examined.state == "stopped" and examined.height is not None:
        report.line(f"the store's last block is {examined.height}")
    for finding in examined.findings:
        colour = "red" if finding.is_error else "yellow"
        report.line(f"{click.style(finding.severity, fg=colour, bold=True)} [{finding.code}] {finding.words}")
        report.line(f"    do: {finding.remedy}")
    if examined.log_tail:
        report.line()
        report.line("what its log says last:")
        for line in examined.log_tail:
            report.line(f"  | {line}")
