"""``tidegate registry register``, ``verify``, ``activate``, ``suspend``, ``reinstate`` and ``class``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

import click

from contracts.registry.participants import CLASSES, PARTICIPANT_KINDS, Participant
from ledger.errors import InvalidInput
from ledger.keys import key_text
from node.calling import Caller
from node.cli.exit_codes import REFUSED
from node.cli.options import Target
from node.cli.output import Report, reporting
from node.cli.registry_look import find_participant
from node.cli.supervision_session import (
    Officers,
    authority_keys,
    officer_options,
    open_chain,
    public_key,
    supervision_options,
)
from node.regulator import participants

MAX_DOCUMENT_BYTES: Final = 32 * 1024


@click.command("register")
@supervision_options
@officer_options
@click.option("--key", required=True, help="The participant's key on the business chain (ed25519:…).")
@click.option("--organisation", required=True, help="Who answers for it.")
@click.option("--kind", type=click.Choice(PARTICIPANT_KINDS), required=True, help="What it is.")
@click.option("--name", help="Name in the identity document; the organisation's by default.")
@click.option("--document", type=click.Path(path_type=Path, exists=True, dir_okay=False), help="JSON object with more for the identity document.")  # fmt: skip  # noqa: E501
@reporting
async def register_command(
    report: Report,
    target: Target,
    officers: Officers,
    *,
    key: str,
    organisation: str,
    kind: str,
    name: str | None,
    document: Path | None,
) -> None:
    """Register a participant. Its identity document is sealed here, to the authorities, and only they can open it."""
    public = public_key(key)
    more = _more(document)
    body = participants.identity_document(name or organisation, organisation, kind, public, **more)
    async with open_chain(target) as client:
        (officer, *_) = officers.callers(client, target)
        chain_id = (await client.info()).chain_id
        await participants.register(officer, chain_id, key=public, organisation=organisation, kind=kind, document=body)
        found = await find_participant(client, key)
    report.success(f"{organisation} is registered as {kind}; an authority verifies it next")
    report.document(found)


def _more(path: Path | None) -> dict[str, Any]:
    if path is None:
        return {}
    if path.stat().st_size > MAX_DOCUMENT_BYTES:
        raise InvalidInput(f"{path}: an identity document has at most {MAX_DOCUMENT_BYTES} bytes", code="file_invalid")
    try:
        found = json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise InvalidInput(f"{path}: {error}", code="file_invalid") from error
    reserved = {"name", "organisation", "kind", "key"}
    if not isinstance(found, dict) or reserved & found.keys():
        raise InvalidInput(
            f"{path}: a JSON object is needed, without {', '.join(sorted(reserved))}, which the options say",
            code="file_invalid",
        )
    return found


@click.command("verify")
@click.argument("participant")
@supervision_options
@click.pass_context
@reporting
async def verify_command(report: Report, context: click.Context, /, target: Target, participant: str) -> None:
    """Open the identity document of PARTICIPANT with the authority's keys of --home; say on chain what was found."""
    async with open_chain(target) as client:
        found = await find_participant(client, participant)
        sealing = authority_keys(target.layout.path).sealing
        chain_id = (await client.info()).chain_id
        await participants.verify(Caller(client, target.member_key()), chain_id, found.key, sealing)
        now = await find_participant(client, key_text(found.key))
    _tell(report, now)
    if now.reason:
        context.exit(REFUSED)


@click.command("activate")
@click.argument("participant")
@supervision_options
@officer_options
@reporting
async def activate_command(report: Report, target: Target, officers: Officers, participant: str) -> None:
    """Let PARTICIPANT, which is verified, take part."""
    async with open_chain(target) as client:
        (officer, *_) = officers.callers(client, target)
        found = await find_participant(client, participant)
        await participants.activate(officer, found.key)
        now = await find_participant(client, key_text(found.key))
    _tell(report, now)


@click.command("suspend")
@click.argument("participant")
@supervision_options
@officer_options
@click.option("--reason", required=True, help="Reason code.")
@reporting
async def suspend_command(report: Report, target: Target, officers: Officers, *, participant: str, reason: str) -> None:
    """Suspend PARTICIPANT: none of its requests passes any more."""
    async with open_chain(target) as client:
        (officer, *_) = officers.callers(client, target)
        found = await find_participant(client, participant)
        await participants.suspend(officer, found.key, reason)
        now = await find_participant(client, key_text(found.key))
    _tell(report, now)


@click.command("reinstate")
@click.argument("participant")
@supervision_options
@officer_options
@reporting
async def reinstate_command(report: Report, target: Target, officers: Officers, participant: str) -> None:
    """Let PARTICIPANT, which is suspended, take part again."""
    async with open_chain(target) as client:
        (officer, *_) = officers.callers(client, target)
        found = await find_participant(client, participant)
        await participants.reinstate(officer, found.key)
        now = await find_participant(client, key_text(found.key))
    _tell(report, now)


@click.command("class")
@click.argument("organisation")
@click.argument("control_class", type=click.Choice(CLASSES))
@supervision_options
@officer_options
@reporting
async def class_command(
    report: Report, target: Target, officers: Officers, *, organisation: str, control_class: str
) -> None:
    """Put ORGANISATION into a control class, once as many officers sign it as the policy says.

    full: decided automatically. controlled: officers decide on every request. batch: automatically within a quota.
    """
    async with open_chain(target) as client:
        done = await participants.set_class(officers.callers(client, target), organisation, control_class)
    if done:
        report.success(f"{organisation} is of class {control_class}")
    else:
        report.success("signed; more officers have to sign the same")
    report.document({"organisation": organisation, "class": control_class, "done": done})


def _tell(report: Report, now: Participant) -> None:
    report.success(f"{now.organisation}, {now.kind}, is {now.status}" + (f" ({now.reason})" if now.reason else ""))
    report.document(now)
