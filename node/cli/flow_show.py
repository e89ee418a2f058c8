"""``tidegate flow pool``, ``show``, ``list``, ``open``: what everybody may see of flows, and what a party may open."""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import count
from typing import Any, Final

import click

from contracts.flow import kinds
from contracts.flow.answers import FlowView, PoolEntry
from contracts.messages import ORDER, STAGES
from ledger.errors import InvalidInput, NotFound
from ledger.keys import key_text
from node.cli.flow_review import write_content
from node.cli.flow_session import HASH, Acting, acting_options, flow_named, key_of, open_flows, parties_option
from node.cli.options import Target, target_options
from node.cli.output import Report, reporting
from node.consortium.parties import PartyBook

COPIES: Final = (kinds.FILE_COPY, kinds.RELEASE, kinds.OPINION_COPY, ORDER, kinds.SETTLE_COPY)
DEFAULT_LIMIT: Final = 20


@click.command("pool")
@target_options
@click.option("--kind", default="", help="Only of this flow kind.")
@click.option("--limit", type=click.IntRange(1), default=100, show_default=True, help="At most so many.")
@reporting
async def pool_command(report: Report, target: Target, kind: str, limit: int) -> None:
    """List the documents that wait for review, oldest first; never their content."""
    found: list[PoolEntry] = []
    async with open_flows(target) as flows:
        async for entry in flows.pool(kind):
            found.append(entry)
            if len(found) == limit:
                break
    report.table(
        ["number", "authorisation", "kind", "filed"],
        [[entry.number, entry.authorisation.hex(), entry.kind, _when(entry.filed_ms)] for entry in found],
    )
    report.document({"pool": found})


@click.command("show")
@click.argument("flow", type=HASH)
@target_options
@reporting
async def show_command(report: Report, target: Target, flow: bytes) -> None:
    """Show a flow, by its id or by the authorisation hash that it is known by."""
    async with open_flows(target) as flows:
        view = await flow_named(flows, flow)
    report.fields(
        {
            "flow": view.flow.hex(),
            "authorisation": view.authorisation.hex() or "-",
            "kind": f"{view.kind} (version {view.kind_version})",
            "status": view.status + (f", suspended ({view.control_reason})" if view.suspended else ""),
            "next": view.next_stage or "-",
            "filed": _when(view.filed_ms),
            **{
                name: key_text(key)
                for name in ("filer", "platform", "patient", "reviewer", "pharmacy", "payer")
                if (key := getattr(view, name))
            },
        }
    )
    report.table(
        ["stage", "attempt", "status", "asked", "hash", "reason"],
        [
            [stage.stage, stage.attempt, stage.status, _when(stage.asked_ms), stage.hash.hex() or "-", _why(stage)]
            for stage in view.stages
        ],
    )
    report.document(_readable(view))


@click.command("list")
@target_options
@parties_option
@click.option("--kind", default="", help="Only of this flow kind.")
@click.option("--stage", type=click.Choice(STAGES), help="Only open flows whose next stage this is.")
@click.option("--party", default="", help="Only of this party: a name in --parties, or a key.")
@click.option("--oldest", is_flag=True, help="Oldest first.")
@click.option("--limit", type=click.IntRange(1), default=DEFAULT_LIMIT, show_default=True, help="At most so many.")
@reporting
async def list_command(report: Report, /, target: Target, parties: Any, *, limit: int, **options: Any) -> None:
    """List flows."""
    book: PartyBook | None = None if parties is None else Acting(parties, "").book()
    party = key_of(options["party"], book) if options["party"] else b""
    found: list[FlowView] = []
    async with open_flows(target) as flows:
        stage = options["stage"] or ""
        listed = flows.list(kind=options["kind"], stage=stage, party=party, newest=not options["oldest"])
        async for view in listed:
            found.append(view)
            if len(found) == limit:
                break
    report.table(
        ["number", "flow", "kind", "status", "next", "filed"],
        [
            [
                view.number,
                view.flow.hex(),
                view.kind,
                "suspended" if view.suspended else view.status,
                view.next_stage or "-",
                _when(view.filed_ms),
            ]
            for view in found
        ],
    )
    report.document({"flows": [_readable(view) for view in found]})


@click.command("open")
@click.argument("flow", type=HASH)
@target_options
@acting_options
@click.option("--stage", type=click.Choice(COPIES), help="Which; by default the last one that opens.")
@reporting
async def open_command(report: Report, target: Target, acting: Acting, flow: bytes, stage: str | None) -> None:
    """Open what stands on the chain sealed to a party: document, opinion, order or settlement record."""
    party = acting.party()
    async with open_flows(target) as flows:
        view = await flow_named(flows, flow)
        wanted = COPIES[::-1] if stage is None else (stage,)
        for place in count():
            try:
                content = await flows.open(party.sealing, view.flow, wanted[place])
            except NotFound as error:
                if place == len(wanted) - 1:
                    raise NotFound("nothing of this flow is sealed to that party") from error
            except InvalidInput:
                if place == len(wanted) - 1:
                    raise
            else:
                break
    write_content(report, content)


def _when(time_ms: int) -> str:
    return datetime.fromtimestamp(time_ms / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S") if time_ms else "-"


def _why(stage: Any) -> str:
    rule = f" by {stage.rule} (version {stage.rule_version})" if stage.rule else ""
    return f"{stage.reason}{rule}" or "-"


def _readable(view: FlowView) -> dict[str, Any]:
    """The view with keys as people write them."""
    document: dict[str, Any] = {name: getattr(view, name) for name in view.__struct_fields__}
    for name in ("filer", "platform", "patient", "reviewer", "pharmacy", "payer"):
        document[name] = key_text(document[name]) if document[name] else ""
    return document
