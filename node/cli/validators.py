"""``tidegate validators``: who decides, who is to, and how they are, as one node sees it."""

from __future__ import annotations

from typing import Any

import click

from contracts.validators.calls import EpochPage, EpochsQuery
from contracts.validators.rotation_calls import Rotation, RotationQuery
from ledger.keys import key_text, parse_key
from ledger.validators import ValidatorSet
from node.cli.options import Target, target_options
from node.cli.output import Report, reporting
from node.cli.supervision_session import open_chain
from node.cli.validators_rotation import tell_candidates
from node.seat_forecast import condition_of
from node.validator_names import CONTRACT, node_book


@click.command()
@target_options
@click.option("--epochs", type=click.IntRange(1, 32), help="So many epochs instead, newest first.")
@click.option("--candidates", is_flag=True, help="Of a rotating committee: who sits, and who enters next.")
@reporting
async def command(report: Report, target: Target, *, epochs: int | None, candidates: bool) -> None:
    """List the validators of the height that is being decided, and those that come with the next.

    \b
    tidegate validators --home devnet
    tidegate validators --epochs 10        how the set has changed
    """  # noqa: D301 - click's mark against rewrapping is a backslash
    async with open_chain(target) as client:
        if epochs is not None:
            _tell_epochs(report, await client.view(CONTRACT, "epochs", EpochsQuery(0, epochs), EpochPage))
            return
        if candidates:
            rotation = await client.view(CONTRACT, "rotation", RotationQuery(), Rotation)
            tell_candidates(report, (await client.info()).chain_id, rotation, await node_book(client))
            return
        status = await client.status()
    report.document(_tell(report, status))


def _tell(report: Report, status: dict[str, Any]) -> dict[str, Any]:
    coming = status.get("coming")
    now = {item["key"]: item for item in status["validators"]}
    then = None if coming is None else {item["key"]: item for item in coming["validators"]}
    rows, documents = [], []
    for text in sorted({*now, *(then or ())}):
        condition, why = condition_of(status, parse_key(text))
        organisation = (now.get(text) or (then or {})[text])["organisation"]
        change = "" if then is None or (text in now) == (text in then) else "goes" if text in now else "comes"
        rows.append([text, organisation or "-", f"{condition}: {why}" if why else str(condition), change])
        documents.append(
            {"key": text, "organisation": organisation, "condition": str(condition), "why": why, "change": change}
        )
    sizes = ValidatorSet(parse_key(text) for text in now)
    report.fields(
        {
            "epoch": f"{status['epoch']['number']}, from block {status['epoch']['from_height']}",
            "validators": f"{len(sizes)}; {sizes.quorum} decide, {sizes.max_faulty} may be faulty",
        }
    )
    if coming is not None:
        report.line(f"epoch {coming['epoch']['number']} begins with block {coming['epoch']['from_height']}")
    report.line()
    report.table(["validator", "organisation", "now", "change"], rows)
    return {
        "epoch": status["epoch"],
        "coming": None if coming is None else coming["epoch"],
        "quorum": sizes.quorum,
        "max_faulty": sizes.max_faulty,
        "validators": documents,
    }


def _tell_epochs(report: Report, page: EpochPage) -> None:
    report.table(
        ["epoch", "from block", "to block", "validators"],
        [[epoch.number, epoch.start, epoch.end or "-", len(epoch.keys)] for epoch in page.epochs],
    )
    report.document(
        {
            "epochs": [
                {
                    "number": epoch.number,
                    "start": epoch.start,
                    "end": epoch.end or None,
                    "offset": epoch.offset,
                    "validators": [key_text(key) for key in epoch.keys],
                }
                for epoch in page.epochs
            ]
        }
    )
