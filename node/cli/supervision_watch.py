"""``tidegate supervision watch``: the chain's totals, what waits, refusals by rule, and the relay, as they change."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import click

from contracts.supervision.answers import Tallies
from contracts.supervision.calls import RULE, STAGE
from ledger.document import to_document
from ledger.errors import RemoteFault
from node.cli.fusion_status import directions_of, lag_row
from node.cli.options import Target
from node.cli.output import Report, reporting
from node.cli.supervision_session import open_chain, supervision_options, time_text
from node.client import Client
from node.gateway import BlockEvents
from node.regulator import decisions, flows

MIN_PAUSE_S: Final = 0.5
"""Between two looks at the chain: blocks may come faster than a person reads."""
IDLE_S: Final = 5.0
MAX_PENDING_SHOWN: Final = 10
TALLIES: Final = Tallies.__struct_fields__
WATCHED: Final = frozenset({"supervision", "rules", "registry", "bridge"})


@dataclass(frozen=True, slots=True)
class Snapshot:
    """How things stand.

    Attributes:
        document: for ``--json``.
        tables: title, headings and rows, for people.
        fields: totals, for people.
    """

    document: dict[str, Any]
    tables: list[tuple[str, list[str], list[list[object]]]]
    fields: dict[str, object]


@click.command("watch")
@supervision_options
@click.option("--fusion", type=click.Path(path_type=Path), help="Home or RPC socket of a fusion node: shows its relay.")
@click.option("--from", "from_height", type=click.IntRange(0), help="Follow events from this height on.")
@click.option("--once", is_flag=True, help="Show how things stand, and end.")
@reporting
async def watch_command(
    report: Report, target: Target, *, fusion: Path | None, from_height: int | None, once: bool
) -> None:
    """Watch flows by stage, what is pending, refusals by rule, and the relay; ends with Ctrl-C.

    On a terminal a table that stays in place; in a pipe one line for each event, with --json each a JSON document.
    Interrupted, it tells the height from which --from goes on.
    """
    async with AsyncExitStack() as stack:
        client = await stack.enter_async_context(open_chain(target))
        relay = None if fusion is None else await stack.enter_async_context(Client(_socket(fusion)))
        if once:
            snapshot = await _snapshot(client, relay)
            _show(report, snapshot)
            report.document(snapshot.document)
        elif report.rich:
            await _live(client, relay)
        else:
            await _lines(report, client, from_height)


def _socket(path: Path) -> Path:
    return Target(path.absolute()).socket if path.is_dir() else path


async def _snapshot(client: Client, relay: Client | None) -> Snapshot:
    info, totals = await client.info(), await flows.counters(client)
    stages = await _sums(client, STAGE)
    rules = await _sums(client, RULE)
    pending = await decisions.pending(client, limit=MAX_PENDING_SHOWN)
    refused = {name: counts for name, counts in rules.items() if counts["refused"] or counts["held"]}
    tables: list[tuple[str, list[str], list[list[object]]]] = [
        ("flows by stage", ["stage", *TALLIES], [[name, *counts.values()] for name, counts in stages.items()]),
        (
            "by rule",
            ["rule", "refused", "held"],
            [[name, counts["refused"], counts["held"]] for name, counts in refused.items()],
        ),
        (
            "waiting for officers",
            ["flow", "stage", "held by", "since"],
            [
                [v.request.flow.hex()[:16], v.request.stage, v.rule or v.reason, time_text(v.received_ms)]
                for v in pending
            ],
        ),
    ]
    document: dict[str, Any] = {
        "height": info.height,
        "time_ms": info.time_ms,
        "totals": totals,
        "stages": stages,
        "rules": rules,
        "pending": pending,
    }
    if relay is not None:
        found = await _relay(relay)
        document["relay"] = found
        tables.append(
            ("relay", ["direction", "lag", "unanswered", "oldest unanswered"], [lag_row(item) for item in found])
        )
    fields: dict[str, object] = {
        "height": f"{info.height} at {time_text(info.time_ms)}",
        "requests": totals.requests,
        "waiting for an authority": totals.waiting,
        "waiting for officers": totals.pending,
        "sealed records": totals.records,
    }
    return Snapshot(document, tables, fields)


async def _relay(relay: Client) -> list[dict[str, Any]]:
    try:
        return directions_of(await relay.status())
    except RemoteFault:
        return []  # the table says so by being empty; the chain is watched all the same


async def _sums(client: Client, dimension: str) -> dict[str, dict[str, int]]:
    sums: dict[str, dict[str, int]] = {}
    async for row in flows.statistics(client, dimension):
        found = sums.setdefault(row.value, dict.fromkeys(TALLIES, 0))
        for name in TALLIES:
            found[name] += getattr(row.counts, name)
    return sums


def _show(report: Report, snapshot: Snapshot) -> None:
    report.fields(snapshot.fields)
    for title, columns, rows in snapshot.tables:
        if rows:
            report.line()
            report.line(title)
            report.table(columns, rows)


async def _live(client: Client, relay: Client | None) -> None:
    """Draws anew when a block has something, and now and then, until it is interrupted."""
    import rich.live  # noqa: PLC0415 - only a person on a terminal needs it

    woken = asyncio.Event()
    woken.set()
    with rich.live.Live(auto_refresh=False, screen=False) as live:
        async with asyncio.TaskGroup() as group:
            group.create_task(_follow(client, (await client.info()).height + 1, lambda _: woken.set()))
            while True:
                woken.clear()
                live.update(_drawn(await _snapshot(client, relay)), refresh=True)
                await asyncio.sleep(MIN_PAUSE_S)
                try:
                    await asyncio.wait_for(woken.wait(), IDLE_S)
                except TimeoutError:
                    continue


def _drawn(snapshot: Snapshot) -> Any:
    import rich.box  # noqa: PLC0415 - as above
    import rich.console  # noqa: PLC0415
    import rich.table  # noqa: PLC0415
    import rich.text  # noqa: PLC0415

    parts: list[Any] = [rich.text.Text("   ".join(f"{name}: {value}" for name, value in snapshot.fields.items()))]
    for title, columns, rows in snapshot.tables:
        if not rows:
            continue
        table = rich.table.Table(title=title, title_justify="left", box=rich.box.SIMPLE_HEAD, pad_edge=False)
        for index, name in enumerate(columns):
            table.add_column(name, justify="right" if isinstance(rows[0][index], int) else "left")
        for row in rows:
            # Text, not str: what a member wrote must not be read as markup.
            table.add_row(*(rich.text.Text(str(cell)) for cell in row))
        parts.append(table)
    return rich.console.Group(*parts)


async def _lines(report: Report, client: Client, from_height: int | None) -> None:
    """One line for each event of the regulator's contracts."""
    height = (await client.info()).height + 1 if from_height is None else from_height

    def show(block: BlockEvents) -> None:
        nonlocal height
        height = block.height + 1
        for tx_id, event in block.events:
            if event.contract not in WATCHED:
                continue
            if report.json:
                line = {"height": block.height, "time_ms": block.time_ms, "transaction": tx_id, "event": event}
                click.echo(json.dumps(to_document(line), ensure_ascii=False))
            else:
                click.echo(
                    f"{block.height:>8}  {time_text(block.time_ms)}  {event.contract}.{event.name}  {tx_id.hex()}"
                )

    try:
        await _follow(client, height, show)
    finally:
        report.warning(f"to go on from here: --from {height}")


async def _follow(client: Client, from_height: int, handle: Callable[[BlockEvents], None]) -> None:
    """Hands every block on, each once, however often the node is away meanwhile."""
    height = from_height
    while True:
        try:
            async for block in client.events(height):
                handle(block)
                height = block.height + 1
        except RemoteFault:
            await asyncio.sleep(IDLE_S)
