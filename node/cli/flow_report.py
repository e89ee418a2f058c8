"""``tidegate flow report``: all flows with parties, stages and payments, and totals by asset; also as files."""

from __future__ import annotations

from pathlib import Path

import click

from node.cli.commission_session import Money
from node.cli.flow_session import Acting, key_of, open_flows, parties_option
from node.cli.options import Target, target_options
from node.cli.output import Report, reporting
from node.cli.spreadsheet_files import Files, spreadsheet_options
from node.spreadsheets.table import Column, Line


class _Nowhere:
    """A writer for who wants the totals alone."""

    def sheet(self, title: str, columns: tuple[Column, ...]) -> None:
        del title, columns

    def line(self, line: Line) -> None:
        del line

    def close(self) -> None:
        pass

    def abort(self) -> None:
        pass


@click.command("report")
@target_options
@click.option("--kind", default="", help="Only of this flow kind.")
@click.option("--party", help="Only of this party: a key, or a name with --parties.")
@parties_option
@spreadsheet_options
@reporting
async def report_command(
    report: Report, target: Target, files: Files, *, kind: str, party: str | None, parties: Path | None
) -> None:
    """Count flows and sum what was paid, by asset; with --csv or --xlsx write every flow with running totals."""
    from node.client import Client  # noqa: PLC0415 - open_flows brings it anyway
    from node.spreadsheets.flows import FlowTable  # noqa: PLC0415 - help comes without it

    book = None if parties is None else Acting(parties, "").book()
    key = b"" if party is None else key_of(party, book)
    async with open_flows(target) as flows:
        assert isinstance(flows.gateway, Client)
        table = FlowTable(flows.gateway)
        if files.wanted:
            sums = await files.write(lambda writer: table.write(writer, kind=kind, party=key))
        else:
            sums = await table.write(_Nowhere(), kind=kind, party=key)
        scales = {asset: await table.scale(asset) for asset in sums.assets}
    rows = [
        [
            asset or "(none)",
            total.flows,
            *(Money(amount, scales[asset]) for amount in (total.filed, total.paid, total.reimbursed, total.patients)),
        ]
        for asset, total in sorted(sums.assets.items())
    ]
    report.line(f"{sums.flows} flows")
    report.table(["asset", "flows", "filed", "paid", "reimbursed", "patients paid"], rows, title="Flows")
    for path in files.wanted:
        report.success(f"{path} is written")
    report.document(
        {
            "flows": sums.flows,
            "assets": [
                {
                    "asset": asset,
                    "scale": scales[asset],
                    "flows": total.flows,
                    "filed": total.filed,
                    "paid": total.paid,
                    "reimbursed": total.reimbursed,
                    "patients": total.patients,
                }
                for asset, total in sorted(sums.assets.items())
            ],
            "files": [str(path) for path in files.wanted],
        }
    )
