"""``tidegate commission import``: books the sales in a CSV file, and can be interrupted and run again."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Any, Final

import click

from node.cli.commission_session import agreement_option, contract_option, money, open_session, require_platform
from node.cli.exit_codes import REFUSED
from node.cli.options import Target, target_options
from node.cli.output import Report, reporting
from node.importer.plan import Columns, Common, ImportPlan, default_common, plan_import
from node.importer.rows import InvalidFile, read_table
from node.importer.run import ImportResult, ImportRun

MAX_SHOWN: Final = 20
"""Faults or refusals that are written out; the rest is counted."""


@click.command("import")
@click.argument("file", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@target_options
@contract_option
@agreement_option
@click.option("--premium-column", default="premium", show_default=True, help="Column with the premium, in major units.")
@click.option("--policy-column", help="Column with the policy number; file name and record number by default.")
@click.option("--amount-insured-column", help="Column with the amount insured.")
@click.option("--sold-on-column", help="Column with the day of the sale.")
@click.option("--sold-on", type=click.DateTime(["%Y-%m-%d"]), help="Day of the sales; today by default.")
@click.option("--seller", help="By default as the agreement's first mapping row.")
@click.option("--product", help="Likewise.")
@click.option("--channel", help="Likewise.")
@click.option("--scale", type=click.IntRange(0, 18), help="Decimal places of the minor unit; the agreement's by default.")  # fmt: skip  # noqa: E501
@click.option("--delimiter", default=",", show_default=True, help="Between fields.")
@click.option("--skip-invalid", is_flag=True, help="Leave out and count faulty records, instead of booking nothing.")
@click.option("--dry-run", is_flag=True, help="Only validate the file.")
@click.pass_context
@reporting
async def import_command(
    report: Report,
    context: click.Context,
    /,
    target: Target,
    *,
    contract: str,
    agreement: str,
    file: Path,
    **options: Any,
) -> None:
    """Book the sales in a CSV file. Interrupt it as you like: run again, it books nothing twice."""
    if len(options["delimiter"]) != 1:
        raise click.UsageError("--delimiter is one character")
    columns = Columns(
        options["premium_column"],
        options["policy_column"],
        options["amount_insured_column"],
        options["sold_on_column"],
    )
    async with open_session(target, contract) as session:
        terms = await session.books.agreement(agreement)
        common = _common(default_common(terms, file.name), options)
        try:
            table = read_table(file, options["delimiter"])
            plan = plan_import(table, terms, contract, columns, common, skip_invalid=options["skip_invalid"])
        except InvalidFile as error:
            _show_faults(error)
            raise
        for problem in plan.skipped[:MAX_SHOWN]:
            report.warning(f"skipped {problem}")
        result = ImportResult()
        if not options["dry_run"]:
            key = session.key()
            require_platform(terms, key)
            with report.progress(f"booking {file.name}", len(plan.sales)) as advance:
                run = ImportRun(session.client, contract, terms, key, advance)
                result = run.result
                try:
                    await run.run(plan)
                except BaseException:
                    report.warning(f"stopped after {result.booked} bookings; run the same command again to go on")
                    raise
    _show(report, plan, result, terms.scale, dry_run=options["dry_run"])
    if result.refused or result.unknown:
        context.exit(REFUSED)


def _common(defaults: Common, options: dict[str, Any]) -> Common:
    day: datetime | None = options["sold_on"]
    given = {name: options[name] for name in ("seller", "product", "channel", "scale") if options[name] is not None}
    if day is not None:
        given["sold_on"] = int(day.strftime("%Y%m%d"))
    return Common(**{**{name: getattr(defaults, name) for name in Common.__slots__}, **given})


def _show_faults(error: InvalidFile) -> None:
    for problem in error.problems[1:MAX_SHOWN]:
        click.echo(f"  {problem}", err=True)
    if len(error.problems) > MAX_SHOWN:
        click.echo(f"  … and {len(error.problems) - MAX_SHOWN} more", err=True)


def _show(report: Report, plan: ImportPlan, result: ImportResult, scale: int, *, dry_run: bool) -> None:
    for line, code in result.refused[:MAX_SHOWN]:
        report.warning(f"line {line}: refused by the chain ({code})")
    for line in result.differing[:MAX_SHOWN]:
        report.warning(f"line {line}: booked before with other contents; use `tidegate commission correct`")
    if result.unknown:
        report.warning(f"{len(result.unknown)} bookings are not known yet; run the same command again")
    if dry_run:
        report.success(f"the file is good: {len(plan.sales)} policies would be booked")
    else:
        report.success(f"booked {result.booked} policies, {money(result.amount, scale)} commission")
    report.fields(
        {
            "in the file": len(plan.sales) + plan.zero + len(plan.skipped),
            "booked before": result.already,
            "commission zero": plan.zero,
            "skipped as faulty": len(plan.skipped),
            "refused": len(result.refused),
        }
    )
    report.document(
        {
            "policies": len(plan.sales),
            "commission": sum(item.commission for item in plan.sales),
            "zero": plan.zero,
            "skipped": [{"line": p.line, "column": p.column, "code": p.code, "why": p.why} for p in plan.skipped],
            "booked": result.booked,
            "booked_amount": result.amount,
            "already": result.already,
            "differing": result.differing,
            "refused": [{"line": line, "code": code} for line, code in result.refused],
            "unknown": result.unknown,
        }
    )
