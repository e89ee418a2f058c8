"""``tidegate supervision batch`` and ``limit``: what passes without anybody's decision."""

from __future__ import annotations

from datetime import datetime
from typing import Final

import click

from contracts.assets import AssetArguments, AssetRecord
from contracts.supervision.answers import MAX_PAGE, BatchesPage, LimitQuery, LimitView, PageQuery
from contracts.supervision.calls import MAX_QUOTA, Batch, GrantBatch
from ledger.errors import InvalidInput, NotFound
from node.cli.commission_session import money
from node.cli.options import Target
from node.cli.output import Report, reporting
from node.cli.supervision_session import (
    Officers,
    officer_options,
    open_chain,
    supervision_options,
    time_option,
    time_text,
)
from node.client import Client
from node.regulator import decisions

DAY_MS: Final = 86_400_000
_moment = click.DateTime(["%Y-%m-%d", "%Y-%m-%dT%H:%M:%S"])


@click.group("batch")
def batch_command() -> None:
    """Quotas of automatic decisions for organisations of class batch."""


@batch_command.command("grant")
@click.argument("organisation")
@supervision_options
@officer_options
@click.option("--kind", default="prescription", show_default=True, help="Flow kind.")
@click.option("--quota", type=click.IntRange(1, MAX_QUOTA), required=True, help="Filings that pass automatically.")
@click.option("--from", "begin", type=_moment, help="From then on (UTC); from today on by default.")
@click.option("--until", type=_moment, required=True, help="Until then (UTC).")
@reporting
async def batch_grant(
    report: Report,
    target: Target,
    officers: Officers,
    *,
    organisation: str,
    kind: str,
    quota: int,
    begin: datetime | None,
    until: datetime,
) -> None:
    """Grant ORGANISATION a quota. Officers who sign apart from each other give the same words and times."""
    async with open_chain(target) as client:
        signers = officers.callers(client, target)
        today = (await client.info()).time_ms // DAY_MS * DAY_MS
        batch = GrantBatch(organisation, kind, quota, time_option(begin, today), time_option(until, 0))
        if batch.not_after_ms <= batch.not_before_ms:
            raise InvalidInput("--until: the quota would end before it begins", code="time_invalid")
        signed = await decisions.grant_batch(signers, batch)
    if signed.complete:
        report.success(f"batch {signed.number}: {quota} filings of {organisation} pass automatically")
    else:
        report.success(f"signed by {signed.signatures}; more officers have to sign the same")
    report.document({"batch": batch, "signed": signed})


@batch_command.command("list")
@supervision_options
@reporting
async def batch_list(report: Report, target: Target) -> None:
    """List all batches, and how much of each is used."""
    async with open_chain(target) as client:
        found = await _batches(client)
    report.table(
        ["batch", "organisation", "kind", "quota", "used", "from", "until"],
        [
            [b.number, b.organisation, b.kind, b.quota, b.used, time_text(b.not_before_ms), time_text(b.not_after_ms)]
            for b in found
        ],
    )
    report.document({"batches": found})


async def _batches(client: Client) -> list[Batch]:
    found: list[Batch] = []
    while True:
        after = found[-1].number if found else 0
        page = await client.view(decisions.CONTRACT, "batches", PageQuery(after, MAX_PAGE), BatchesPage)
        found.extend(page.batches)
        if not page.more:
            return found


@click.group("limit")
def limit_command() -> None:
    """Amounts above which a settlement waits for a decision."""


@limit_command.command("set")
@click.argument("kind")
@click.argument("asset")
@click.argument("amount", type=click.IntRange(0))
@supervision_options
@officer_options
@reporting
async def limit_set(report: Report, target: Target, officers: Officers, *, kind: str, asset: str, amount: int) -> None:
    """Set the limit of flow KIND in ASSET to AMOUNT, in minor units: more needs a decision first."""
    async with open_chain(target) as client:
        signed = await decisions.set_limit(officers.callers(client, target), kind, asset, amount)
    if signed.complete:
        report.success(f"{kind}: more than {amount} {asset} (minor units) needs a decision")
    else:
        report.success(f"signed by {signed.signatures}; more officers have to sign the same")
    report.document({"kind": kind, "asset": asset, "amount": amount, "signed": signed})


@limit_command.command("show")
@click.argument("kind")
@click.argument("asset")
@supervision_options
@reporting
async def limit_show(report: Report, target: Target, *, kind: str, asset: str) -> None:
    """Show the limit of flow KIND in ASSET."""
    async with open_chain(target) as client:
        limit = (await client.view(decisions.CONTRACT, "limit", LimitQuery(kind, asset), LimitView)).limit
        scale = await _scale(client, asset)
    if limit is None:
        report.line(f"no limit was ever set for {kind} in {asset}")
    else:
        shown = f"{limit.amount} (minor units)" if scale is None else money(limit.amount, scale)
        report.fields({"kind": kind, "asset": asset, "limit": shown, "change": limit.counter})
    report.document({"limit": limit})


async def _scale(client: Client, asset: str) -> int | None:
    """Decimal places, where this chain knows the asset: assets live on the business chain."""
    try:
        return (await client.view("assets", "asset", AssetArguments(asset), AssetRecord)).scale
    except NotFound:
        return None
