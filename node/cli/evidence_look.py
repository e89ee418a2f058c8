"""``tidegate evidence list``: what validators did wrong."""

from __future__ import annotations

import click

from contracts.admission.calls import KeyArguments
from contracts.validators.evidence import EvidenceSummary
from ledger.admission import AdmissionCertificate
from ledger.document import to_document
from ledger.errors import NotFound
from node.cli.options import Target, target_options
from node.cli.output import Report, reporting
from node.cli.supervision_session import open_chain, short, short_key
from node.client import Client
from node.misbehaviour_bundle import recorded_evidence


@click.command("list")
@target_options
@reporting
async def list_command(report: Report, target: Target) -> None:
    """List the faults of validators that are recorded on chain, and those that the node has seen and not recorded."""
    async with open_chain(target) as client:
        recorded = await recorded_evidence(client)
        status = await client.status()
        organisations = await _organisations(client, recorded)
    waiting = [item for item in (status.get("misbehaviour") or {}).get("latest", ()) if not item["recorded_at"]]
    rows: list[list[object]] = [
        [
            item.number,
            short(item.id),
            item.fault.replace("_", " "),
            organisations.get(item.signer) or short_key(item.signer),
            item.height,
            item.round,
            f"block {item.recorded_at}",
        ]
        for item in recorded
    ]
    rows += [
        [
            "",
            item["id"][:16],
            item["fault"].replace("_", " "),
            item.get("organisation") or item["validator"][:24],
            item["height"],
            item["round"],
            "waiting",
        ]
        for item in waiting
    ]
    report.table(["number", "id", "fault", "validator", "height", "round", "recorded"], rows)
    shown = [{**to_document(item), "organisation": organisations.get(item.signer)} for item in recorded]
    report.document({"recorded": shown, "waiting": waiting})


async def _organisations(client: Client, recorded: list[EvidenceSummary]) -> dict[bytes, str]:
    found: dict[bytes, str] = {}
    for signer in {item.signer for item in recorded}:
        try:
            certificate = await client.view("admission", "certificate", KeyArguments(signer), AdmissionCertificate)
        except NotFound:
            continue  # revoked since
        found[signer] = certificate.organisation
    return found
