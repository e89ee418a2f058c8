"""``tidegate block``: look at committed blocks."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import click

from ledger.errors import InvalidInput
from node.cli.options import Target, target_options
from node.cli.output import Report, reporting
from node.client import Client


@click.group()
def command() -> None:
    """Look at blocks.

    \b
    tidegate block get            the last one
    tidegate block get 42
    tidegate block get BLOCK_ID
    """  # noqa: D301 - click's mark against rewrapping is a backslash


@command.command("get")
@click.argument("block", required=False)
@target_options
@reporting
async def get(report: Report, target: Target, block: str | None) -> None:
    """Show a block by height or id; the last one by default."""
    async with Client(target.socket) as client:
        if block is None:
            document = await client.block(height=(await client.info()).height)
        elif len(block) == 64:
            document = await client.block(block_id=_id(block))
        else:
            document = await client.block(height=_height(block))
    header = document["header"]
    report.fields(
        {
            "block": document["block_id"],
            "height": header["height"],
            "time": datetime.fromtimestamp(header["time_ms"] / 1000, UTC).isoformat(timespec="milliseconds"),
            "parent": header["parent"],
            "proposer": header["proposer"],
            "seals": len((document.get("certificate") or {}).get("seals", ())),
            "transactions": header["transactions_count"],
        }
    )
    report.table(["transaction", "code"], _rows(document))
    report.document(document)


def _rows(document: dict[str, Any]) -> list[list[object]]:
    codes = {receipt["tx_id"]: receipt["code"] for receipt in document.get("receipts", ())}
    return [[tx_id, codes.get(tx_id, "")] for tx_id in document["transactions"]]


def _height(text: str) -> int:
    if not text.isascii() or not text.isdigit() or len(text) > 16:
        raise InvalidInput("a block is given by its height, or by its id of 64 hex digits", code="block_name_invalid")
    return int(text)


def _id(text: str) -> bytes:
    try:
        return bytes.fromhex(text)
    except ValueError as error:
        raise InvalidInput("a block id is 64 hex digits", code="block_name_invalid") from error
