"""``tidegate flow order``, ``place``, ``accept``, ``fulfil``, ``pay``, ``deliver``: from the order to the patient."""

from __future__ import annotations

from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Final

import click

from contracts.assets import AssetArguments, AssetRecord
from contracts.flow.answers import FlowView
from contracts.flow.calls import Item, PaymentRequested
from contracts.messages import ORDER, SETTLE
from ledger.envelope_document import SealedDocument
from ledger.errors import InvalidInput
from ledger.keys import key_text
from ledger.types import MAX_AMOUNT
from node.cli.commission_session import money
from node.cli.exit_codes import Refused
from node.cli.flow_session import (
    HASH,
    Acting,
    acting_options,
    flow_named,
    key_of,
    open_flows,
    read_bytes,
    waiting_options,
)
from node.cli.options import Target, target_options
from node.cli.output import Report, reporting
from node.consortium.parties import Party
from node.flow.client import FlowClient
from node.flow.documents import FHIR_MEDIA, WISHES, derived_salt, masked_body, order_document

MAX_SCALE: Final = 18
_document = click.option(
    "--document",
    required=True,
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="The filed document; the pharmacy gets it masked, as the flow kind says.",
)
_wishes = click.option("--wishes", default=WISHES, help="How it shall be delivered.")


@click.command("order")
@click.argument("authorisation", type=HASH)
@target_options
@acting_options
@click.option("--pharmacy", required=True, help="From whom: a party, or a key.")
@_document
@_wishes
@click.option("--place/--no-place", "place", default=True, help="Place the order as soon as it is granted.")
@waiting_options
@reporting
async def order_command(
    report: Report,
    /,
    target: Target,
    acting: Acting,
    authorisation: bytes,
    *,
    pharmacy: str,
    document: Path,
    wishes: str,
    place: bool,
    wait: bool,
    timeout: float,
) -> None:
    """Order what was prescribed from a pharmacy: ask, wait for the grant, and place the order."""
    book = acting.book()
    party, receiver, body = book.party(acting.name), key_of(pharmacy, book), read_bytes(document)
    async with open_flows(target) as flows:
        view = await flow_named(flows, authorisation)
        order = await _order(flows, party, view, receiver, body, wishes)
        await flows.request_order(party.signing, view.authorisation, receiver, order)
        token = b""
        if wait:
            progress = await flows.until_granted(view.flow, ORDER, timeout_s=timeout)
            token = progress.stages[ORDER].token
            if place:
                await flows.place(party.signing, view.flow, receiver, order)
    report.success("ordered" if wait and place else "granted" if wait else "asked")
    report.fields({"flow": view.flow.hex(), "token": token.hex() or "-"})
    report.document({"flow": view.flow, "token": token, "placed": wait and place})


@click.command("place")
@click.argument("flow", type=HASH)
@target_options
@acting_options
@_document
@_wishes
@reporting
async def place_command(
    report: Report, target: Target, acting: Acting, flow: bytes, *, document: Path, wishes: str
) -> None:
    """Place an order that was granted; document and wishes are those that it was asked for with."""
    party, body = acting.party(), read_bytes(document)
    async with open_flows(target) as flows:
        view = await flow_named(flows, flow)
        if not view.pharmacy:
            raise Refused("nothing was ordered yet", code="flow_stage_order")
        order = await _order(flows, party, view, view.pharmacy, body, wishes)
        await flows.place(party.signing, view.flow, view.pharmacy, order)
    report.success(f"ordered from {key_text(view.pharmacy)}")
    report.document({"flow": view.flow, "pharmacy": key_text(view.pharmacy)})


async def _order(
    flows: FlowClient, patient: Party, view: FlowView, pharmacy: bytes, body: bytes, wishes: str
) -> SealedDocument:
    """The same order for the same arguments: the grant is bound to its commitment, salt included."""
    kind = await flows.kind(view.kind)
    masked = masked_body(SealedDocument(bytes(32), FHIR_MEDIA, body), kind.masked)
    salt = derived_salt(patient.signing.seed, b"order", view.flow, pharmacy)
    return order_document(salt, view.flow, pharmacy, masked, wishes=wishes)


@click.command("accept")
@click.argument("flow", type=HASH)
@target_options
@acting_options
@reporting
async def accept_command(report: Report, target: Target, acting: Acting, flow: bytes) -> None:
    """Accept an order, once it opens with the pharmacy's key."""
    party = acting.party()
    async with open_flows(target) as flows:
        view = await flow_named(flows, flow)
        await flows.open_order(party.sealing, view.flow)
        await flows.accept(party.signing, view.flow)
    report.success("accepted")
    report.document({"flow": view.flow})


@click.command("fulfil")
@click.argument("flow", type=HASH)
@target_options
@acting_options
@click.option("--asset", required=True, help="Currency.")
@click.option(
    "--item", "items", multiple=True, required=True, help="DRUG:COVERAGE:PRICE, the price in major units; repeatable."
)
@click.option("--payer", default="", help="Who pays what is reimbursed: a party, or a key.")
@click.option("--link", default="", help="Where the patient pays.")
@reporting
async def fulfil_command(
    report: Report,
    /,
    target: Target,
    acting: Acting,
    flow: bytes,
    *,
    asset: str,
    items: tuple[str, ...],
    payer: str,
    link: str,
) -> None:
    """Price an accepted order item by item and ask for payment."""
    book = acting.book()
    party, paying = book.party(acting.name), key_of(payer, book) if payer else b""
    async with open_flows(target) as flows:
        view = await flow_named(flows, flow)
        scale = await _scale(flows, asset)
        priced = [_item(text, scale) for text in items]
        payment = await flows.fulfil(party.signing, view.flow, asset=asset, items=priced, payer=paying, link=link)
    _show_payment(report, payment, scale)


def _item(text: str, scale: int) -> Item:
    """``DRUG:COVERAGE:PRICE``. Raises ``InvalidInput``: ``item_invalid``."""
    parts = text.rsplit(":", 2)
    try:
        drug, coverage, price = parts
        minor = Decimal(price).scaleb(scale)
    except (ValueError, InvalidOperation) as error:
        raise InvalidInput(f"{text!r} is not DRUG:COVERAGE:PRICE", code="item_invalid") from error
    if not minor.is_finite() or minor != int(minor):
        raise InvalidInput(f"{text!r}: the price has more than {scale} decimals", code="item_invalid")
    if not 1 <= int(minor) <= MAX_AMOUNT or not 1 <= len(drug) <= 64 or not 1 <= len(coverage) <= 64:
        raise InvalidInput(f"{text!r}: a drug, a coverage and a price above zero are needed", code="item_invalid")
    return Item(drug, coverage, int(minor))


async def _scale(flows: FlowClient, asset: str) -> int:
    return (await flows.gateway.view("assets", "asset", AssetArguments(asset), AssetRecord)).scale


def _show_payment(report: Report, payment: PaymentRequested, scale: int) -> None:
    report.success("priced")
    report.fields(
        {
            "total": f"{money(payment.total, scale)} {payment.asset}",
            "reimbursed": money(payment.reimbursed, scale),
            "patient pays": money(payment.patient_share, scale),
        }
    )
    report.document(
        {
            "flow": payment.flow,
            "asset": payment.asset,
            "total": payment.total,
            "reimbursed": payment.reimbursed,
            "patient_share": payment.patient_share,
            "link": payment.link,
        }
    )


@click.command("pay")
@click.argument("flow", type=HASH)
@target_options
@acting_options
@click.option("--payer", default="", help="Party that pays what is reimbursed, and signs too.")
@click.option("--fund", default="", help="Party that gives the patient what it lacks, such as a bank.")
@waiting_options
@reporting
async def pay_command(
    report: Report,
    /,
    target: Target,
    acting: Acting,
    flow: bytes,
    *,
    payer: str,
    fund: str,
    wait: bool,
    timeout: float,
) -> None:
    """Pay an order in one transaction: the patient and the payer their exact shares."""
    book = acting.book()
    patient, bank = book.party(acting.name), book.party(fund) if fund else None
    paying = book.party(payer) if payer else None
    async with open_flows(target) as flows:
        view = await flow_named(flows, flow)
        if view.payment is None:
            raise Refused("the pharmacy has not priced the order", code="flow_stage_order")
        await flows.pay(
            view.payment,
            patient.signing,
            None if paying is None else paying.signing,
            bank=None if bank is None else flows.bank(bank.signing),
            platform=view.platform,
        )
        storage = b""
        if wait:
            progress = await flows.until_done(view.flow, SETTLE, timeout_s=timeout)
            storage = progress.stages[SETTLE].hash
        scale = await _scale(flows, view.payment.asset)
    report.success(f"paid {money(view.payment.total, scale)} {view.payment.asset}")
    report.fields({"flow": view.flow.hex(), "storage": storage.hex() or "-"})
    report.document({"flow": view.flow, "storage": storage, "total": view.payment.total})


@click.command("deliver")
@click.argument("flow", type=HASH)
@target_options
@acting_options
@reporting
async def deliver_command(report: Report, target: Target, acting: Acting, flow: bytes) -> None:
    """Say, as pharmacy or patient, that it was picked up or delivered."""
    party = acting.party()
    async with open_flows(target) as flows:
        view = await flow_named(flows, flow)
        await flows.deliver(party.signing, view.flow)
    report.success("delivered")
    report.document({"flow": view.flow})
