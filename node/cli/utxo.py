"""``tidegate utxo``: unspent outputs under a lock."""

from __future__ import annotations

from typing import Final

import click

from contracts.assets import AssetArguments, AssetRecord
from ledger.errors import NotFound
from ledger.keys import key_text
from ledger.types import OutPoint
from node.cli.commission_session import Money, money
from node.cli.options import Target, target_options
from node.cli.output import Report, reporting
from node.client import Client
from node.gateway import Unspent

PAGE: Final = 1_000


@click.group()
def command() -> None:
    """List unspent outputs.

    \b
    tidegate utxo list --home B                      what the home's own key can spend
    tidegate utxo list --account "B cash"
    tidegate utxo list --lock "all(contract(commission),account(B settled))"
    """  # noqa: D301 - click's mark against rewrapping is a backslash


@command.command("list")
@target_options
@click.option("--lock", help="Exact lock text; the home's member key by default.")
@click.option("--account", help="Outputs locked to this account.")
@click.option("--asset", help="Only of this asset.")
@click.option("--limit", type=click.IntRange(1), default=200, show_default=True, help="Outputs at most.")
@reporting
async def list_command(
    report: Report, target: Target, *, lock: str | None, account: str | None, asset: str | None, limit: int
) -> None:
    """List unspent outputs with exactly this lock, and their sums."""
    if lock is not None and account is not None:
        raise click.UsageError("give --lock or --account, not both")
    if lock is None:
        lock = f"account({account})" if account is not None else f"key({key_text(target.member_key().public)})"
    async with Client(target.socket) as client:
        found = await _pages(client, lock, asset, limit)
        scales = {name: await _scale(client, name) for name in {item.output.asset for item in found}}
    sums: dict[str, int] = {}
    for item in found:
        sums[item.output.asset] = sums.get(item.output.asset, 0) + item.output.amount
    report.line(f"lock {lock}")
    report.table(
        ["outpoint", "asset", "amount"],
        [
            [
                f"{item.outpoint[:32].hex()}:{int.from_bytes(item.outpoint[32:], 'big')}",
                item.output.asset,
                Money(item.output.amount, scales[item.output.asset]),
            ]
            for item in found
        ],
    )
    for name, total in sorted(sums.items()):
        report.line(f"sum {money(total, scales[name])} {name}")
    if len(found) == limit:
        report.line(f"there may be more than {limit}; see --limit")
    report.document({"lock": lock, "unspent": found, "sums": sums})


async def _pages(client: Client, lock: str, asset: str | None, limit: int) -> list[Unspent]:
    found: list[Unspent] = []
    after: OutPoint | None = None
    while len(found) < limit:
        wanted = min(PAGE, limit - len(found))
        page = await client.unspent(lock, asset=asset, after=after, limit=wanted)
        found.extend(page)
        if len(page) < wanted:
            break
        after = OutPoint(page[-1].outpoint)
    return found


async def _scale(client: Client, asset: str) -> int:
    """Decimal places of an asset; a contract's own (``commission:claim:CNY``) has those of what it stands for."""
    try:
        return (await client.view("assets", "asset", AssetArguments(asset.rpartition(":")[2]), AssetRecord)).scale
    except NotFound:
        return 0
