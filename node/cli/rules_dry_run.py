"""``tidegate rules dry-run``: which past decisions a version would have made otherwise."""

from __future__ import annotations

from typing import Final

import click

from contracts.rulebook.calls import VerdictRecord
from node.cli.options import Target
from node.cli.output import Report, reporting
from node.cli.supervision_session import open_chain, short, supervision_options
from node.regulator.dry_run import MAX_REQUESTS, dry_run

MAX_SHOWN: Final = 100


@click.command("dry-run")
@click.argument("version", type=click.IntRange(1))
@supervision_options
@click.option("--since", type=click.IntRange(0), default=0, help="Requests of this block and later ones.")
@click.option("--limit", type=click.IntRange(1, MAX_REQUESTS), default=10_000, show_default=True, help="The newest so many.")  # fmt: skip  # noqa: E501
@click.option("--against", type=click.IntRange(0), help="Compared with this version; the one in force by default.")
@reporting
async def dry_run_command(
    report: Report, target: Target, *, version: int, since: int, limit: int, against: int | None
) -> None:
    """Ask VERSION, a draft too, about past requests, and show where it says something else than the one in force.

    The facts are those that authorities attested and the requests named; entries expire as they did then.
    """
    async with open_chain(target) as client:
        with report.progress(f"asking version {version}", None) as advance:
            found = await dry_run(client, version, against=against, since_height=since, limit=limit, progress=advance)
    report.line(
        f"version {found.version} against {found.against}: {found.evaluated} requests asked about, "
        f"{len(found.changed)} would be decided otherwise"
    )
    report.table(
        ["rule", "before", "after", "requests"],
        [[*key, count] for key, count in sorted(found.by_rule.items())],
    )
    if found.changed:
        report.line()
    report.table(
        ["flow", "stage", "was", "before", "after"],
        [
            [
                short(item.request.request.flow),
                item.request.request.stage,
                item.request.status,
                _text(item.before),
                _text(item.after),
            ]
            for item in found.changed[:MAX_SHOWN]
        ],
    )
    if len(found.changed) > MAX_SHOWN:
        report.line(f"… and {len(found.changed) - MAX_SHOWN} more; --json has all")
    report.document(
        {
            "version": found.version,
            "against": found.against,
            "evaluated": found.evaluated,
            "skipped": found.skipped,
            "by_rule": [
                {"rule": rule, "before": before, "after": after, "requests": count}
                for (rule, before, after), count in sorted(found.by_rule.items())
            ],
            "changed": [
                {
                    "flow": item.request.request.flow,
                    "stage": item.request.request.stage,
                    "attempt": item.request.request.attempt,
                    "status": item.request.status,
                    "before": item.before,
                    "after": item.after,
                }
                for item in found.changed
            ],
        }
    )


def _text(verdict: VerdictRecord) -> str:
    return f"{verdict.outcome} ({verdict.rule}: {verdict.reason})" if verdict.rule else verdict.outcome
