"""``tidegate commission propose`` and ``sign``: both sides of making an agreement."""

from __future__ import annotations

import json
import re
from decimal import Decimal
from pathlib import Path
from typing import Any

import click
import msgspec

from contracts.accounts import AccountRecord, NameArguments, OpenArguments
from contracts.commission.amounts import agreement_hash, minor_units
from contracts.commission.answers import DraftView
from contracts.commission.calls import AgreementSigned
from contracts.commission.orders import proposal_body, signature_body
from contracts.commission.records import ANY, BASES, PLATFORM, ROUNDINGS, Agreement, MappingRow, Party, Triggers
from contracts.commission.state import parties_lock
from ledger.document import from_document
from ledger.encoding import Codec, encode
from ledger.errors import InvalidInput, NotFound
from ledger.keys import SigningKey, key_text
from ledger.transaction import VERSION, Body, Call
from node.cli.commission_session import (
    Session,
    agreement_option,
    contract_option,
    money,
    open_session,
    party_of_key,
)
from node.cli.exit_codes import Refused
from node.cli.options import Target, target_options
from node.cli.output import Report, reporting
from node.services.bodies import new_frame

_RATE = re.compile(r"([0-9]{1,7}(?:\.[0-9]{1,6})?)(%|ppm)", re.ASCII)
_signed_codec = Codec(AgreementSigned, 4_096)


class Rate(click.ParamType[int]):
    """``3%``, ``0.25%`` or ``30000ppm``, as parts per million."""

    name = "rate"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Parts per million, exactly."""
        if isinstance(value, int):
            return value
        match = _RATE.fullmatch(str(value))
        ppm = Decimal(match[1]) * (10_000 if match[2] == "%" else 1) if match else Decimal(0)
        if match is None or ppm != int(ppm) or not 0 < ppm <= 1_000_000:
            self.fail(f"{value!r} is not a rate: write 3%, 0.25% or 30000ppm, above 0 and up to 100%", param, ctx)
        return int(ppm)


@click.command("propose")
@target_options
@contract_option
@agreement_option
@click.option("--file", "path", type=click.Path(path_type=Path, exists=True, dir_okay=False), help="Whole agreement as JSON (see `list --json`); other options are ignored.")  # fmt: skip  # noqa: E501
@click.option("--platform", help="Organisation that sells; the home's own by default.")
@click.option("--insurer", help="Organisation that pays; the home's own by default.")
@click.option("--rate", type=Rate(), help="Commission rate, such as 3%.")
@click.option("--currency", default="CNY", show_default=True, help="Asset that settlements move.")
@click.option("--base", type=click.Choice(BASES), default=BASES[0], show_default=True, help="What the rate is on.")
@click.option("--rounding", type=click.Choice(ROUNDINGS), default=ROUNDINGS[0], show_default=True, help="To minor units.")  # fmt: skip  # noqa: E501
@click.option("--seller", default=ANY, show_default=True, help="Seller that it is for; * is any.")
@click.option("--product", default=ANY, show_default=True, help="Product that it is for.")
@click.option("--channel", default=ANY, show_default=True, help="Channel that it is for.")
@click.option("--pending", help="Account for pending commissions; named after the agreement by default.")
@click.option("--settled", help="Account for settled ones.")
@click.option("--clawback", help="Account for clawbacks.")
@click.option("--platform-cash", metavar="LOCK", help="Lock that settlements are paid to; the platform's key by default.")  # fmt: skip  # noqa: E501
@click.option("--insurer-cash", metavar="LOCK", help="Lock that settlements are paid from; the insurer's key by default.")  # fmt: skip  # noqa: E501
@click.option("--trigger-count", type=click.IntRange(0), default=0, help="Settle when so many are pending.")
@click.option("--trigger-amount", default="0", help="Settle when so much is pending (major units).")
@click.option("--trigger-age", type=click.IntRange(0), default=0, help="Settle when one is so many seconds old.")
@click.option("--schedule-first", type=click.IntRange(0), default=0, help="First scheduled settlement, ms since 1970.")
@click.option("--schedule-every", type=click.IntRange(0), default=0, help="Seconds between scheduled settlements.")
@click.option("--max-batch", type=click.IntRange(1, 1_000), default=1_000, show_default=True, help="Records a request.")
@click.option("--clawback-days", type=click.IntRange(0, 36_000), default=30, show_default=True, help="Cancellable for so long.")  # fmt: skip  # noqa: E501
@click.option(
    "--activate-at", type=click.IntRange(1), help="Height that it holds from; by default as soon as both have signed."
)
@reporting
async def propose_command(report: Report, /, target: Target, contract: str, agreement: str, **terms: Any) -> None:
    """Draft an agreement, or its next version; the other party then signs it. Missing accounts are opened."""
    async with open_session(target, contract) as session:
        key = session.key()
        path: Path | None = terms.pop("path")
        if path is None:
            draft = await _draft(session, key, agreement, terms)
        else:
            draft = _read(path, agreement)
        party = party_of_key(draft, key)
        opened = await _open_accounts(session, key, draft)
        frame = await new_frame(session.books, key.public)
        outcome = await session.submit(proposal_body(frame, draft, party), key)
    signed = _signed_codec.decode(outcome.results[0])
    for name in opened:
        report.line(f"opened account {name}")
    other = draft.insurer if party == PLATFORM else draft.platform
    report.success(f"proposed {draft.agreement} version {draft.version} at height {outcome.height}")
    report.line(f"draft {signed.agreement_hash.hex()}; {other.organisation} signs it with `tidegate commission sign`")
    report.document({"tx_id": outcome.tx_id, "height": outcome.height, "opened": opened, "draft": signed})


@click.command("sign")
@target_options
@contract_option
@agreement_option
@click.option("--draft", "draft_hash", help="Hash of the draft; needed where there are several.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@reporting
async def sign_command(
    report: Report, target: Target, contract: str, agreement: str, draft_hash: str | None, *, yes: bool
) -> None:
    """Sign the other party's draft, after reading it."""
    async with open_session(target, contract) as session:
        key = session.key()
        draft = await _find_draft(session, key, agreement, draft_hash)
        info = await session.client.info()
        # What is signed is computed from the text that is shown, never taken from the node.
        terms_hash = agreement_hash(info.chain_id, contract, draft.agreement)
        show_agreement(report, draft.agreement)
        report.line(f"draft {terms_hash.hex()}")
        if not yes and not report.json:
            click.confirm("Sign it?", abort=True, err=True)
        frame = await new_frame(session.books, key.public)
        body = signature_body(frame, draft.agreement, party_of_key(draft.agreement, key))
        outcome = await session.submit(body, key)
    signed = _signed_codec.decode(outcome.results[0])
    report.success(f"signed; version {signed.version} holds from height {signed.activation_height} on")
    report.document({"tx_id": outcome.tx_id, "height": outcome.height, "agreement": signed})


def show_agreement(report: Report, agreement: Agreement) -> None:
    """Writes an agreement's terms for a person."""
    triggers, scale = agreement.triggers, agreement.scale
    wants = [
        f"{triggers.count} records" if triggers.count else "",
        f"{money(triggers.amount, scale)} {agreement.currency}" if triggers.amount else "",
        f"{triggers.age_s} s" if triggers.age_s else "",
        f"every {triggers.schedule_every_s} s" if triggers.schedule_every_s else "",
    ]
    report.fields(
        {
            "agreement": f"{agreement.agreement}, version {agreement.version}",
            "platform": f"{agreement.platform.organisation}, paid to {agreement.platform.cash}",
            "insurer": f"{agreement.insurer.organisation}, pays from {agreement.insurer.cash}",
            "rate": f"{Decimal(agreement.rate_ppm) / 10_000}% of the {agreement.base}, {agreement.rounding}",
            "settles at": " or ".join(filter(None, wants)) or "either party's request",
            "holds from": f"height {agreement.activation_height}"
            if agreement.activation_height
            else "the block after both have signed",
        }
    )
    report.table(
        ["seller", "product", "channel", "pending", "settled", "clawback"],
        [[row.seller, row.product, row.channel, row.pending, row.settled, row.clawback] for row in agreement.mapping],
    )


def _read(path: Path, agreement: str) -> Agreement:
    try:
        draft = from_document(json.loads(path.read_bytes()), Agreement)
    except (OSError, ValueError) as error:
        raise InvalidInput(f"{path}: {error}", code="document_invalid") from error
    if draft.agreement != agreement:
        raise InvalidInput(f"{path} is agreement {draft.agreement!r}, not {agreement!r}", code="document_invalid")
    return draft


async def _draft(session: Session, key: SigningKey, name: str, terms: dict[str, Any]) -> Agreement:
    own = await session.organisation_of(key.public)
    platform, insurer = terms["platform"] or own, terms["insurer"] or own
    if platform == insurer or own not in (platform, insurer):
        raise click.UsageError(f"name the other party with --platform or --insurer; this home is {own}'s")
    if terms["rate"] is None:
        raise click.UsageError("--rate is missing")
    keys = {who: key.public if who == own else await session.member_key_of(who) for who in (platform, insurer)}
    scale = await session.scale_of(terms["currency"])
    row = MappingRow(
        ANY,
        terms["seller"],
        terms["product"],
        terms["channel"],
        terms["pending"] or f"{name} settlement pending",
        terms["settled"] or f"{name} settled",
        terms["clawback"] or f"{name} clawback",
    )
    return Agreement(
        agreement=name,
        version=await _next_version(session, name),
        platform=Party(platform, keys[platform], terms["platform_cash"] or f"key({key_text(keys[platform])})"),
        insurer=Party(insurer, keys[insurer], terms["insurer_cash"] or f"key({key_text(keys[insurer])})"),
        currency=terms["currency"],
        scale=scale,
        rate_ppm=terms["rate"],
        base=terms["base"],
        rounding=terms["rounding"],
        mapping=(row,),
        conditions=(),
        triggers=Triggers(
            count=terms["trigger_count"],
            amount=minor_units(terms["trigger_amount"], scale),
            age_s=terms["trigger_age"],
            schedule_first_ms=terms["schedule_first"],
            schedule_every_s=terms["schedule_every"],
        ),
        max_batch=terms["max_batch"],
        clawback_window_s=terms["clawback_days"] * 86_400,
        activation_height=terms["activate_at"] or 0,
    )


async def _next_version(session: Session, name: str) -> int:
    try:
        return (await session.books.agreement_view(name)).versions[-1].version + 1
    except NotFound:
        return 1


async def _open_accounts(session: Session, key: SigningKey, draft: Agreement) -> list[str]:
    """Opens the mapping's accounts that do not exist yet, in one transaction; returns their names."""
    own = f"key({key_text(key.public)})"
    wanted: dict[str, str] = {}
    for row in draft.mapping:
        wanted[row.pending] = wanted[row.clawback] = parties_lock(draft.platform, draft.insurer)[0]
        if key.public == draft.platform.key:
            wanted[row.settled] = own
    calls = []
    for name, lock in wanted.items():
        try:
            await session.client.view("accounts", "account", NameArguments(name), AccountRecord)
        except NotFound:
            calls.append(Call("accounts", "open", encode(OpenArguments(name, lock))))
    if calls:
        frame = await new_frame(session.books, key.public)
        body = Body(
            VERSION, frame.chain_id, key.public, frame.expiry_height, frame.nonce, (), (), tuple(calls), (), b""
        )
        await session.submit(body, key)
    return [msgspec.msgpack.decode(call.arguments, type=OpenArguments).name for call in calls]


async def _find_draft(session: Session, key: SigningKey, agreement: str, wanted: str | None) -> DraftView:
    """The one draft that waits for this home's signature."""
    version = await _next_version(session, agreement)
    found: list[DraftView] = []
    async for draft in session.books.drafts(agreement):
        terms = draft.agreement
        other = terms.insurer if draft.signed_by == PLATFORM else terms.platform
        if other.key == key.public and terms.version == version and wanted in (None, draft.agreement_hash.hex()):
            found.append(draft)
    if not found:
        raise NotFound(f"no draft of {agreement!r} waits for this home's signature")
    if len(found) > 1:
        hashes = ", ".join(draft.agreement_hash.hex() for draft in found)
        raise Refused(f"several drafts wait; choose one with --draft: {hashes}", code="draft_ambiguous")
    return found[0]
