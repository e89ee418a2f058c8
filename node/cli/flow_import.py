"""``tidegate flow import``: drives every prescription of a directory, and can be interrupted and run again."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import click

from node.cli.commission_session import OVERLOAD_RETRIES, money, quiet_services
from node.cli.exit_codes import REFUSED
from node.cli.flow_session import Acting, parties_option
from node.cli.options import Target, home_option
from node.cli.output import Report, reporting
from node.client import Client
from node.fhir.money import CURRENCY_SCALES
from node.fhir.problems import InvalidFhir
from node.flow.failover import FailoverGateway
from node.flow.importer import report as r
from node.flow.importer.context import CONCURRENCY, PATIENCE_S, ImportOptions
from node.flow.importer.journal import StateDirectory
from node.flow.importer.report import ImportReport, RequestResult
from node.flow.importer.run import ImportRun, load_prescriptions

MAX_SHOWN: Final = 20
"""Requests that went no further and are written out; the rest is counted."""
STATE: Final = "flow-import"
"""State directory inside a devnet."""
OPEN_OUTCOMES: Final = (r.WAITING, r.SUSPENDED, r.EXPIRED, r.FAILED)
"""Outcomes after which running again may bring more."""


@click.command("import")
@click.argument("directory", type=click.Path(path_type=Path, exists=True, file_okay=False))
@home_option
@click.option(
    "--socket",
    "sockets",
    type=click.Path(path_type=Path),
    multiple=True,
    help="RPC socket of a node of the business chain; repeatable: when one fails, the next is used.",
)
@click.option(
    "--devnet",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    help="A supervised devnet: stands for --home, --parties and --state in it.",
)
@parties_option
@click.option(
    "--state",
    type=click.Path(path_type=Path, file_okay=False),
    help="Directory that remembers what was done, and holds the patients' secret; made when it is not there.",
)
@click.option(
    "--concurrency", type=click.IntRange(1, 4096), default=CONCURRENCY, show_default=True, help="Flows at once."
)
@click.option(
    "--patience", type=click.FloatRange(0), default=PATIENCE_S, show_default=True,
    help="Seconds that a flow may stand still before it is left for a later run.",
)  # fmt: skip
@click.option("--no-funding", is_flag=True, help="Patients have their own money; the bank gives them none.")
@click.option("--retry-refused", is_flag=True, help="Ask again for what was refused before.")
@click.option("--dry-run", is_flag=True, help="Only read and check the data.")
@click.pass_context
@reporting
async def import_command(
    report: Report, context: click.Context, /, directory: Path, *, home: Path, sockets: tuple[Path, ...], **options: Any
) -> None:
    """Drive every MedicationRequest of a directory, with its Claim, through all stages.

    Acts as platform, hospitals, reviewers, patients, pharmacies, payers and bank, with the keys in --parties. Interrupt
    it as you like: run again, it goes on where every flow is, and files nothing twice.
    """
    devnet = options["devnet"]
    if devnet is not None:
        home = devnet / "business"
        options["parties"], options["state"] = options["parties"] or devnet, options["state"] or devnet / STATE
    if options["state"] is None and not options["dry_run"]:
        raise click.UsageError("--state names the directory that remembers what was done")
    book = Acting(options["parties"], "").book()
    targets = [Target(home, socket).socket for socket in sockets or (None,)]
    async with _gateway(targets) as gateway:
        try:
            with report.progress("reading"):
                prescriptions = await load_prescriptions(directory, gateway)
        except InvalidFhir as error:
            _show_faults(report, error)
            raise
        if options["dry_run"]:
            report.success(f"the data are good: {len(prescriptions)} prescriptions would be imported")
            report.document({"prescriptions": len(prescriptions)})
            return
        with (
            StateDirectory(options["state"].expanduser().absolute()) as state,
            report.progress("importing", len(prescriptions)) as advance,
        ):
            run = ImportRun(
                gateway=gateway,
                book=book,
                state=state,
                options=ImportOptions(
                    concurrency=options["concurrency"],
                    patience_s=options["patience"],
                    funding=not options["no_funding"],
                    retry_refused=options["retry_refused"],
                ),
                progress=advance,
            )
            try:
                await run.run(prescriptions)
            except BaseException:
                if run.planned:
                    done = sum(1 for result in run.report.results if result.outcome)
                    report.warning(f"stopped with {done} requests ended; run the same command again to go on")
                raise
    _show(report, run.report)
    if any(run.report.outcomes.get(name) for name in OPEN_OUTCOMES):
        context.exit(REFUSED)


@asynccontextmanager
async def _gateway(sockets: list[Path]) -> AsyncIterator[FailoverGateway]:
    reconnect_s = 30.0 if len(sockets) == 1 else 1.0
    clients = [Client(socket, overload_retries=OVERLOAD_RETRIES, reconnect_s=reconnect_s) for socket in sockets]
    with quiet_services():
        async with FailoverGateway(clients) as gateway:
            yield gateway


def _show_faults(report: Report, error: InvalidFhir) -> None:
    if report.json:
        return
    for problem in error.problems[1:MAX_SHOWN]:
        click.echo(f"  {problem}", err=True)


def _show(report: Report, found: ImportReport) -> None:
    if found.already or found.resumed:
        report.line(f"resumed: {found.already} requests had ended before, {found.resumed} were taken further")
    shown = [result for result in found.results if result.outcome not in (r.DELIVERED, r.REFUSED)]
    for result in shown[:MAX_SHOWN]:
        report.warning(_words(result))
    if len(shown) > MAX_SHOWN:
        report.warning(f"… and {len(shown) - MAX_SHOWN} more that were not delivered")
    report.success(f"delivered {found.outcomes.get(r.DELIVERED, 0)} of {len(found.results)} prescriptions")
    report.table(["outcome", "requests"], [[name, number] for name, number in found.outcomes.items()])
    if found.reasons:
        report.table(["refused because of", "requests"], [[code, number] for code, number in found.reasons.items()])
    if found.failures:
        report.table(["failed because of", "requests"], [[code, number] for code, number in found.failures.items()])
    latency = found.latency
    if latency:
        names = [name for name in (*r.STEPS, "total") if name in latency]
        report.table(
            ["step", "flows", "p50 ms", "p95 ms", "p99 ms"],
            [[name, latency[name].count, latency[name].p50, latency[name].p95, latency[name].p99] for name in names],
        )
    scale = CURRENCY_SCALES.get(found.currency, 2)
    sums = {name: money(amount, scale) for name, amount in found.money.items()}
    report.fields(
        {
            "claims of settled flows": f"{sums['claims_total']} {found.currency}",
            "paid by patients": sums["paid_by_patients"],
            "reimbursed": sums["reimbursed"],
            "flows a second": found.flows_per_second,
        }
    )
    report.document(found.document())


def _words(result: RequestResult) -> str:
    at = f" at {result.stage}" if result.stage else ""
    why = f" ({result.code})" if result.code else ""
    return f"request {result.request_id}: {result.outcome}{at}{why}"
