"""``tidegate supervision show``, ``subject``, ``log`` and ``stats``: what the regulator's chain knows."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

import click

from contracts.supervision.answers import RequestView, Tallies
from contracts.supervision.calls import DIMENSIONS, STAGE
from ledger.envelope_document import pseudonym
from ledger.errors import InvalidInput
from ledger.keys import key_text
from node.cli.options import Target
from node.cli.output import Report, reporting
from node.cli.supervision_session import (
    authority_home_option,
    authority_keys,
    open_chain,
    short,
    short_key,
    supervision_options,
    time_text,
)
from node.regulator import flows

TALLIES: Final = Tallies.__struct_fields__


@click.command("show")
@click.argument("flow")
@supervision_options
@reporting
async def show_command(report: Report, target: Target, flow: str) -> None:
    """Show FLOW: who filed it, what was attested, what was decided of each request, and whether it is suspended."""
    async with open_chain(target) as client:
        found = await flows.find_flow(client, flow)
    report.fields(
        {
            "flow": found.flow.hex(),
            "kind": f"{found.kind} (version {found.kind_version})",
            "filer": f"{found.organisation or '?'} {key_text(found.filer)}",
            "authorisation": found.authorisation.hex() or "none",
            "subject": found.subject.hex() or "none attested",
            "control": found.control + (f" ({found.reason}, change {found.counter})" if found.counter else ""),
            **{f"attested {item.name}": item.value for item in found.attributes},
        }
    )
    report.line()
    report.table(
        ["stage", "attempt", "status", "rule", "reason", "asked", "decided", "transaction"],
        [_row(view) for view in found.requests],
    )
    report.document(found)


def _row(view: RequestView) -> list[object]:
    return [
        view.request.stage,
        view.request.attempt,
        view.status,
        view.rule,
        view.reason,
        time_text(view.received_ms),
        time_text(view.decided_ms),
        short(view.transaction),
    ]


@click.command("subject")
@click.argument("subject", required=False, metavar="[PSEUDONYM]")
@supervision_options
@click.option("--id-number", help="The subject's ID number; needs --authority-home.")
@authority_home_option
@click.option("--limit", type=click.IntRange(1), default=1_000, show_default=True, help="Records at most.")
@reporting
async def subject_command(
    report: Report,
    target: Target,
    *,
    subject: str | None,
    id_number: str | None,
    authority_home: Path | None,
    limit: int,
) -> None:
    """List the sealed records under a subject: by pseudonym, or by an ID number that an authority's key hides."""
    name = _pseudonym(subject, id_number, authority_home)
    found = []
    async with open_chain(target) as client:
        async for record in flows.records_of_subject(client, name):
            found.append(record)
            if len(found) == limit:
                break
    report.line(f"subject {name.hex()}: {len(found)} sealed records")
    report.table(
        ["record", "flow", "stage", "attempt", "status", "known by"],
        [[r.number, r.flow.hex(), r.stage, r.attempt, r.status, short(r.record)] for r in found],
    )
    report.document({"subject": name, "records": found})


def _pseudonym(subject: str | None, id_number: str | None, authority_home: Path | None) -> bytes:
    if (subject is None) == (id_number is None):
        raise click.UsageError("give a pseudonym or --id-number")
    if id_number is not None:
        if authority_home is None:
            raise click.UsageError("--id-number needs --authority-home: only authorities can make its pseudonym")
        return bytes(pseudonym(id_number, authority_keys(authority_home).pseudonym))
    assert subject is not None
    try:
        name = bytes.fromhex(subject)
    except ValueError:
        name = b""
    if len(name) != 32:
        raise InvalidInput("a pseudonym has 64 hex digits", code="subject_invalid")
    return name


@click.command("log")
@supervision_options
@click.option("--after", type=click.IntRange(0), default=0, help="Entries after this number.")
@click.option("--limit", type=click.IntRange(1), default=1_000, show_default=True, help="Entries at most.")
@reporting
async def log_command(report: Report, target: Target, *, after: int, limit: int) -> None:
    """Show the disclosure log: each opening of a sealed record by an authority, with its purpose."""
    found = []
    async with open_chain(target) as client:
        async for entry in flows.disclosures(client, after):
            found.append(entry)
            if len(found) == limit:
                break
    report.table(
        ["entry", "time", "authority", "flow", "stage", "purpose", "transaction"],
        [
            [
                entry.number,
                time_text(entry.time_ms),
                f"{entry.organisation} {short_key(entry.authority)}",
                short(entry.flow),
                entry.stage,
                entry.purpose,
                short(entry.transaction),
            ]
            for entry in found
        ],
    )
    report.document({"disclosures": found})


@click.command("stats")
@supervision_options
@click.option("--by", "dimension", type=click.Choice(DIMENSIONS), default=STAGE, show_default=True, help="Count by.")
@click.option("--value", default="", help="Only this value.")
@click.option("--daily", is_flag=True, help="One row for each day.")
@reporting
async def stats_command(report: Report, target: Target, *, dimension: str, value: str, daily: bool) -> None:
    """Show what became of requests, by organisation, drug, subject, rule, stage or flow kind and day."""
    daily = daily or dimension == "day"
    async with open_chain(target) as client:
        totals = await flows.counters(client)
        rows = [row async for row in flows.statistics(client, dimension, value)]
    sums: dict[tuple[str, int], list[int]] = {}
    for row in rows:
        found = sums.setdefault((row.value, row.day if daily else 0), [0] * len(TALLIES))
        for index, name in enumerate(TALLIES):
            found[index] += getattr(row.counts, name)
    report.table(
        [dimension if dimension != "day" else "kind", *(["day"] if daily else []), *TALLIES],
        [[name, *([_day(day)] if daily else []), *counts] for (name, day), counts in sums.items()],
    )
    report.line()
    report.fields(
        {
            "requests": totals.requests,
            "waiting for an authority": totals.waiting,
            "waiting for officers": totals.pending,
            "flows": totals.flows,
            "sealed records": totals.records,
            "disclosures": totals.disclosures,
            "tokens": ", ".join(f"{item.purpose} {item.count}" for item in totals.tokens) or "none",
        }
    )
    report.document({"by": dimension, "rows": rows, "totals": totals})


def _day(day: int) -> str:
    return (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(days=day)).strftime("%Y-%m-%d")
