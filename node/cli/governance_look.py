"""``tidegate governance list`` and ``show``."""

from __future__ import annotations

from typing import Any

import click

from contracts.governance.calls import MAX_PAGE, PoliciesQuery, PolicyPage, PolicyRecord
from contracts.validators.calls import ChangeSet
from ledger.document import to_document
from ledger.encoding import Codec
from ledger.errors import MalformedBytes
from ledger.keys import key_text
from node.cli.options import Target, target_options
from node.cli.output import Report, reporting
from node.cli.supervision_session import open_chain, short
from node.client import Client
from node.regulator import governing


@click.command("list")
@target_options
@click.option("--all", "everything", is_flag=True, help="Also proposals that are closed or have expired.")
@click.option("--policies", is_flag=True, help="The chain's named policies instead.")
@reporting
async def list_command(report: Report, target: Target, *, everything: bool, policies: bool) -> None:
    """List proposals that can still be approved; or the named policies."""
    async with open_chain(target) as client:
        if policies:
            found = await _policies(client)
            report.table(["policy", "keys that satisfy it"], [[item.name, item.lock] for item in found])
            report.document({"policies": found})
            return
        pending = [item async for item in governing.proposals(client, pending=not everything)]
    report.table(
        ["number", "proposal", "action", "status", "approvals", "until block", "description"],
        [
            [
                item.number,
                short(item.proposal),
                f"{item.contract}.{item.action}",
                item.status,
                len(item.approvals),
                item.expires_at,
                item.description,
            ]
            for item in pending
        ],
    )
    report.document({"proposals": pending})


async def _policies(client: Client) -> list[PolicyRecord]:
    found: list[PolicyRecord] = []
    while True:
        after = found[-1].name if found else ""
        page = await client.view(governing.CONTRACT, "policies", PoliciesQuery(after, MAX_PAGE), PolicyPage)
        found.extend(page.policies)
        if len(page.policies) < MAX_PAGE:
            return found


@click.command("show")
@click.argument("proposal")
@target_options
@reporting
async def show_command(report: Report, target: Target, proposal: str) -> None:
    """Show PROPOSAL (id, its beginning, or number) with all that it would do: read it before you approve it."""
    async with open_chain(target) as client:
        name, found = await governing.find_proposal(client, proposal)
    content = _content(found.content.contract, found.content.action, found.content.data)
    report.fields(
        {
            "proposal": name.hex(),
            "number": found.number,
            "action": f"{found.content.contract}.{found.content.action}",
            "description": found.content.description,
            "status": found.status,
            "approvals": ", ".join(key_text(key) for key in found.approvals) or "none",
            "proposed at": found.proposed_at,
            "until block": found.expires_at,
        }
    )
    report.line()
    report.fields(dict(_flat(content)))
    report.document({"proposal": name, "about": found, "content": content})


def _content(contract: str, action: str, data: bytes) -> Any:
    """The action's record as a document; its bytes in hex where this program does not know the action."""
    codec = _codecs().get((contract, action))
    if codec is None:
        return data.hex()
    try:
        record = codec.decode(data)
        if isinstance(record, ChangeSet):
            # As every other command writes keys: people compare them.
            return {"add": [key_text(key) for key in record.add], "remove": [key_text(key) for key in record.remove]}
        return to_document(record)
    except MalformedBytes as error:
        return f"not readable, and so without effect: {error.message}"


def _codecs() -> dict[tuple[str, str], Codec[Any]]:
    from contracts.admission import calls as admission  # noqa: PLC0415 - only this needs them
    from contracts.bridge import records as bridge  # noqa: PLC0415
    from contracts.flow import calls as flow  # noqa: PLC0415
    from contracts.governance import calls as governance  # noqa: PLC0415
    from contracts.governance import parameters  # noqa: PLC0415
    from contracts.validators import calls as validators  # noqa: PLC0415
    from contracts.validators import rotation_calls as rotation  # noqa: PLC0415

    return {
        ("governance", governance.SET_POLICY): governance.set_policy_codec,
        ("governance", parameters.SET_PARAMETERS): parameters.set_parameters_codec,
        ("validators", validators.CHANGE_SET): validators.change_set_codec,
        ("validators", rotation.REMOVE_NOW): validators.change_set_codec,
        ("validators", rotation.SET_SALT): rotation.set_salt_codec,
        ("admission", admission.SET_AUTHORITY): admission.set_authority_codec,
        ("admission", admission.DELEGATE): admission.delegation_codec,
        ("bridge", bridge.REGISTER_CLIENT): bridge.register_codec,
        ("bridge", bridge.REPLACE_CLIENT): bridge.register_codec,
        ("flow", flow.DEFINE_KIND): flow.define_kind_codec,
        ("flow", flow.SET_REIMBURSEMENT): flow.set_reimbursement_codec,
    }


def _flat(value: Any, path: str = "") -> list[tuple[str, object]]:
    """Names and values, nested ones with their path."""
    if isinstance(value, dict):
        return [item for name, part in value.items() for item in _flat(part, f"{path}.{name}" if path else name)]
    if isinstance(value, list):
        return [item for index, part in enumerate(value) for item in _flat(part, f"{path}[{index}]")]
    return [(path or "content", value)]
