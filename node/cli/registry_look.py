"""``tidegate registry list`` and ``show``; and which participant people mean."""

from __future__ import annotations

from typing import Final

import click

from contracts.registry.calls import (
    MAX_PAGE,
    ClassPage,
    ClassPageArguments,
    KeyArguments,
    OrganisationArguments,
    PageArguments,
    ParticipantPage,
)
from contracts.registry.participants import STATUSES, ControlClass, Participant
from ledger.errors import InvalidInput, NotFound
from ledger.keys import key_text
from node.cli.options import Target
from node.cli.output import Report, reporting
from node.cli.supervision_session import (
    authority_keys,
    open_chain,
    public_key,
    supervision_options,
    time_text,
)
from node.client import Client
from node.regulator import participants

MIN_PREFIX: Final = 4
_PREFIX: Final = "ed25519:"


@click.command("list")
@supervision_options
@click.option("--status", type=click.Choice(STATUSES), help="Only participants of this status.")
@click.option("--classes", is_flag=True, help="Control classes of organisations instead.")
@reporting
async def list_command(report: Report, target: Target, *, status: str | None, classes: bool) -> None:
    """List the participants, or the organisations whose control class was set (all others have class batch)."""
    async with open_chain(target) as client:
        if classes:
            await _list_classes(report, client)
            return
        found = await all_participants(client, status or "")
    report.table(
        ["key", "organisation", "kind", "status", "reason", "changed"],
        [[key_text(p.key), p.organisation, p.kind, p.status, p.reason, time_text(p.changed_ms)] for p in found],
    )
    report.document({"participants": found})


async def _list_classes(report: Report, client: Client) -> None:
    found: list[ControlClass] = []
    while True:
        after = found[-1].organisation if found else ""
        page = await client.view(participants.CONTRACT, "classes", ClassPageArguments(after, MAX_PAGE), ClassPage)
        found.extend(page.classes)
        if len(page.classes) < MAX_PAGE:
            break
    report.table(
        ["organisation", "class", "changed"],
        [[c.organisation, c.control_class, time_text(c.changed_ms)] for c in found],
    )
    report.document({"classes": found})


@click.command("show")
@click.argument("participant")
@supervision_options
@click.option("--open", "opening", is_flag=True, help="Open the identity document with the authority's keys of --home.")
@reporting
async def show_command(report: Report, target: Target, *, participant: str, opening: bool) -> None:
    """Show PARTICIPANT and the control class of its organisation."""
    async with open_chain(target) as client:
        found = await find_participant(client, participant)
        query = OrganisationArguments(found.organisation)
        control = await client.view(participants.CONTRACT, "control_class", query, ControlClass)
        content = None
        if opening:
            keys = authority_keys(target.layout.path)
            chain_id = (await client.info()).chain_id
            _, content = await participants.open_identity(client, chain_id, found.key, keys.sealing)
    report.fields(
        {
            "key": key_text(found.key),
            "organisation": f"{found.organisation}, class {control.control_class}",
            "kind": found.kind,
            "status": found.status + (f" ({found.reason})" if found.reason else ""),
            "registered": f"{time_text(found.registered_ms)} by {key_text(found.registered_by)}",
            "verified by": key_text(found.verified_by) if found.verified_by else "nobody yet",
            "document": found.document.hex(),
            **{f"identity {name}": value for name, value in (content or {}).items()},
        }
    )
    report.document({"participant": found, "class": control.control_class, "identity": content})


async def all_participants(client: Client, status: str = "") -> list[Participant]:
    """The participants, in order of their keys; of one status where it is given."""
    found: list[Participant] = []
    after = b""
    while True:
        query = PageArguments(after, MAX_PAGE, status)
        page = await client.view(participants.CONTRACT, "participants", query, ParticipantPage)
        found.extend(page.participants)
        after = page.next
        if not after:
            return found


async def find_participant(client: Client, text: str) -> Participant:
    """The participant that people mean: by key, by the beginning of a key, or by an organisation that has only one.

    Raises:
        NotFound: there is none.
        InvalidInput: ``participant_ambiguous``.
    """
    if text.startswith(_PREFIX) and len(text) == len(_PREFIX) + 64:
        return await client.view(participants.CONTRACT, "participant", KeyArguments(public_key(text)), Participant)
    prefix = text.removeprefix(_PREFIX)
    everybody = await all_participants(client)
    found = [p for p in everybody if p.organisation == text]
    if not found and len(prefix) >= MIN_PREFIX:
        found = [p for p in everybody if key_text(p.key).removeprefix(_PREFIX).startswith(prefix)]
    if not found:
        raise NotFound(f"no participant has that key or organisation: {text}")
    if len(found) > 1:
        keys = ", ".join(key_text(p.key)[: len(_PREFIX) + 12] for p in found[:8])
        raise InvalidInput(f"{text} is {len(found)} participants: {keys}; name one by its key", code="participant_ambiguous")  # fmt: skip  # noqa: E501
    return found[0]
