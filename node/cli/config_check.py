"""``tidegate config check``: what would keep a node from its work, before it does."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import click

from node.cli.exit_codes import CONFIG
from node.cli.options import home_option, passphrase_from_person
from node.cli.output import Report, reporting

MARKS: Final = {"error": ("error", "red"), "warning": ("warning", "yellow"), "ok": ("ok", "green")}


@click.command("check")
@home_option
@click.option("--no-peers", is_flag=True, help="Dial nobody.")
@click.option("--strict", is_flag=True, help="End with an error when there are warnings.")
@click.option("--quiet", is_flag=True, help="Leave out what is in order.")
@reporting
async def check_command(report: Report, home: Path, *, no_peers: bool, strict: bool, quiet: bool) -> None:
    """Check a home, whether its node runs or not: settings, files, keys, certificates, disk, ports, peers, clock.

    Peers are dialled with the node's own identity when it does not run. Ends with 78 when something keeps the node from
    its work, with 1 when --strict is given and there are warnings.

    \b
    tidegate config check --home /var/lib/tidegate/node0
    """  # noqa: D301 - click's mark against rewrapping is a backslash
    from node.cli.commission_session import quiet_services  # noqa: PLC0415 - brings the daemon's records
    from node.surroundings.checking import check_home  # noqa: PLC0415

    with quiet_services():
        findings = await check_home(home, peers=not no_peers, passphrase=passphrase_from_person)
    for one in findings:
        if quiet and one.severity == "ok":
            continue
        mark, colour = MARKS[one.severity]
        report.line(f"{click.style(mark.ljust(7), fg=colour)}  {one.words}  [{one.code}]")
        if one.remedy:
            report.line(f"         {click.style('do:', dim=True)} {one.remedy}")
    errors = sum(one.severity == "error" for one in findings)
    warnings = sum(one.severity == "warning" for one in findings)
    report.line()
    report.line(f"{len(findings)} checks: {errors} errors, {warnings} warnings")
    report.document(
        {"home": str(home), "errors": errors, "warnings": warnings, "findings": [one.as_json() for one in findings]}
    )
    if errors:
        raise SystemExit(CONFIG)
    if strict and warnings:
        raise SystemExit(1)
