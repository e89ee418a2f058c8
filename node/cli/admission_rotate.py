"""``tidegate admission rotate``: new keys for a node that stays, while the network goes on."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import click

from contracts.admission.calls import KeyArguments
from contracts.commission.answers import AgreementSummary
from ledger.admission import AdmissionCertificate
from ledger.errors import NotFound, TidegateError
from ledger.keys import SigningKey, key_text, parse_key
from ledger.types import PublicKey
from node.cli.commission_session import money
from node.cli.exit_codes import Refused
from node.cli.options import Target, new_passphrase, passphrase_from_person, seal_option, target_options
from node.cli.output import Report, reporting
from node.cli.supervision_session import open_chain
from node.client import Client
from node.keyfile import read_key
from node.layout import HomeLayout, read_toml
from node.networks.ceremony_files import member_document, write_document
from node.networks.key_change import (
    MEMBER,
    locked_to,
    next_key,
    prepare_change,
    public_of,
    put_in_place,
    waiting_kinds,
)
from node.networks.key_change import (
    move_funds as move_all_funds,
)
from node.services.books import CommissionBooks
from p2p.identity import public_key_of_peer_id

CONTRACT: Final = "admission"


@click.command("rotate")
@target_options
@click.option("--member", is_flag=True, help="The organisation's key too. What is locked to it has to be moved.")
@click.option("-o", "--out", type=click.Path(path_type=Path, dir_okay=False), help="Request to write; rotate-NAME.json by default.")  # fmt: skip  # noqa: E501
@click.option("--finish", is_flag=True, help="Put the new keys in place; then restart the node.")
@click.option("--move-funds", is_flag=True, help="With --finish: move what is locked to the old member key to the new.")
@click.option("--force", is_flag=True, help="With --finish: whatever the chain says.")
@seal_option
@reporting
async def rotate_command(
    report: Report,
    target: Target,
    *,
    member: bool,
    out: Path | None,
    finish: bool,
    move_funds: bool,
    force: bool,
    seal: bool,
) -> None:
    """Give the node of --home new validator and transport keys, and with --member a new key of its organisation.

    The first call makes them beside the old ones and says what the authority and the governors have to do. The node
    goes on with the old keys until then. The second, with --finish, puts the new ones in place once they are certified
    and in the validator set; then restart the node. Nothing else stops.

    \b
    tidegate admission rotate --home HOME
    tidegate admission rotate --home HOME --finish && systemctl restart tidegate@NODE
    """  # noqa: D301 - click's mark against rewrapping is a backslash
    layout = target.layout
    if finish:
        await _finish(report, target, layout, move=move_funds, force=force)
        return
    settings = read_toml(layout.config_file).get("node", {})
    organisation, name = str(settings.get("organisation", "")), str(settings.get("name", ""))
    async with open_chain(target) as client:
        info = await client.info()
        old = PublicKey(parse_key(public_of(layout.key_file("validator"))))
        seated = await _is_seated(client, old)
        held = await _held(client, parse_key(public_of(layout.key_file(MEMBER)))) if member else {}
    change = prepare_change(
        layout,
        info.chain_id,
        organisation,
        name,
        member=member or MEMBER in waiting_kinds(layout),
        passphrase=new_passphrase(seal=seal),
        source=passphrase_from_person,
    )
    request = out or Path(f"rotate-{name}.json")
    write_document(request, member_document(change.request))
    keys = change.request.keys
    report.success(f"new keys wait in {next_key(layout, 'validator').parent}; wrote {request}")
    report.fields({"validator": key_text(keys.validator), "transport": keys.transport.hex()})
    only = "" if MEMBER in change.kinds else " --node-only"
    request_words = f"--chain-id {info.chain_id.hex()} --request {request}{only}"
    steps = [
        f"tidegate admission issue {request_words} --days 365 --authority-key FILE… -o certificates.json",
        f"tidegate admission admit certificates.json --home {layout.path}",
    ]
    if seated:
        steps.append(
            f"tidegate governance propose-validators --replace {key_text(old)}={key_text(keys.validator)} "
            f"--home {layout.path} --key GOVERNOR…"
        )
    steps.append(f"tidegate admission rotate --home {layout.path} --finish, and restart the node")
    steps.append(f"tidegate admission revoke {key_text(old)} --authority-key FILE… --home {layout.path}")
    report.line("next, the authority, then the governors, then here:")
    for step in steps:
        report.line(f"  {step}")
    _tell_held(report, held)
    report.document({"request": str(request), "kinds": change.kinds, "steps": steps, "held": held})


async def _finish(report: Report, target: Target, layout: HomeLayout, *, move: bool, force: bool) -> None:
    kinds = waiting_kinds(layout)
    if not kinds:
        put_in_place(layout)  # says what is missing
    old_member = SigningKey(read_key(layout.key_file(MEMBER), MEMBER, passphrase_from_person))
    moved = 0
    if not force:
        async with open_chain(target) as client:
            await _require_ready(client, layout, kinds)
            if move and MEMBER in kinds:
                new = SigningKey(read_key(next_key(layout, MEMBER), MEMBER, passphrase_from_person))
                moved = await move_all_funds(client, old_member, new)
            held = await _held(client, old_member.public) if MEMBER in kinds else {}
    else:
        held = {}
    old = put_in_place(layout)
    report.success(f"the new keys are in place ({', '.join(kinds)}); the old ones are in {old}")
    if moved:
        report.line(f"moved {moved} outputs to the new member key")
    _tell_held(report, held)
    report.line("next: restart the node; it answers to the new keys from then on")
    report.document({"kinds": kinds, "old": str(old), "moved": moved, "held": held})


async def _require_ready(client: Client, layout: HomeLayout, kinds: tuple[str, ...]) -> None:
    """Refuses to put keys in place with which the node could not go on.

    Raises:
        Refused: ``rotation_not_ready``, with what is missing.
    """
    missing = []
    new = parse_key(public_of(next_key(layout, "validator")))
    transport = public_key_of_peer_id(public_of(next_key(layout, "transport")))
    certificate = await _certificate(client, new)
    if certificate is None or certificate.transport != transport:
        missing.append("the new node keys are not certified on the chain")
    if MEMBER in kinds and await _certificate(client, parse_key(public_of(next_key(layout, MEMBER)))) is None:
        missing.append("the new member key is not certified on the chain")
    old = parse_key(public_of(layout.key_file("validator")))
    if await _is_seated(client, old) and not await _is_seated(client, new):
        missing.append("the old key is in the validator set, and the new one is not: governance has to replace it")
    if missing:
        raise Refused("; ".join(missing), code="rotation_not_ready")


async def _certificate(client: Client, key: bytes) -> AdmissionCertificate | None:
    try:
        return await client.view(CONTRACT, "certificate", KeyArguments(key), AdmissionCertificate)
    except NotFound:
        return None


async def _is_seated(client: Client, key: bytes) -> bool:
    """Whether the key decides now or from the next height on."""
    status = await client.status()
    sets = [status.get("validators") or [], (status.get("coming") or {}).get("validators") or []]
    return any(item.get("key") == key_text(key) for listed in sets for item in listed)


async def _held(client: Client, key: bytes) -> dict[str, Any]:
    """What needs the old member key: sums of unspent outputs by asset, and agreements in its name."""
    sums: dict[str, int] = {}
    for _, output in await locked_to(client, key):
        sums[output.asset] = sums.get(output.asset, 0) + output.amount
    agreements = []
    with suppress(TidegateError):  # a chain without the contract has no agreements
        books = CommissionBooks(client, "commission")
        async for summary in books.agreements():
            agreements += await _names(books, summary, key)
    return {"unspent": sums, "agreements": agreements}


async def _names(books: CommissionBooks, summary: AgreementSummary, key: bytes) -> list[str]:
    agreement = await books.agreement(summary.agreement)
    return [summary.agreement] if key in (agreement.platform.key, agreement.insurer.key) else []


def _tell_held(report: Report, held: dict[str, Any]) -> None:
    for asset, amount in (held.get("unspent") or {}).items():
        report.warning(
            f"{money(amount, 0)} minor units of {asset} are locked to the old member key: move them with --finish "
            "--move-funds, or keep its file, which alone can spend them"
        )
    if held.get("agreements"):
        names = ", ".join(held["agreements"])
        report.warning(
            f"agreements {names} name the old member key: propose and sign their next version with the new one, "
            "and keep the old file until what was booked under the old version is settled"
        )
