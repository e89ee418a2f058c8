"""``tidegate commission settle``: early settlement of what is pending, asked for by either party."""

from __future__ import annotations

import asyncio
from time import monotonic
from typing import Final

import click

from contracts.commission import codes
from contracts.commission.answers import STATUS_OPEN, RequestSummary
from contracts.commission.orders import request_body
from contracts.commission.records import INSURER
from ledger.errors import InvalidInput
from node.cli.commission_session import (
    Money,
    NoLink,
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
from node.services.settlement import SettlementService

POLL_S: Final = 0.2


@click.command("settle")
@target_options
@contract_option
@agreement_option
@click.option("--pay", is_flag=True, help="Pay what is requested from here (the insurer's home), without its service.")
@click.option("--timeout", type=click.FloatRange(0), default=30.0, show_default=True, help="Seconds to wait for it.")
@reporting
async def settle_command(
    report: Report, target: Target, contract: str, agreement: str, *, pay: bool, timeout: float
) -> None:
    """Ask for settlement of what is pending, whatever the triggers say, and wait until all of it is settled."""
    async with open_session(target, contract) as session:
        terms = await session.books.agreement(agreement)
        key = session.key()
        party = party_of_key(terms, key)
        if pay and party != INSURER:
            raise Refused(f"only {terms.insurer.organisation} pays: use its home", code="not_permitted")
        before = (await session.books.books(agreement)).requests
        deadline = monotonic() + timeout
        while (await session.books.books(agreement)).unrequested_count and monotonic() < deadline:
            await _request(session, agreement, party)
        if pay:
            service = SettlementService(session.client, NoLink(), key, terms.insurer.organisation, contract=contract)
            await service.settle_open()
        still_open = await _until_settled(session, agreement, deadline)
        made = [summary async for summary in session.books.requests(agreement) if summary.request > before]
        books = await session.books.books(agreement)
    rows = [[s.request, s.reason, s.count, Money(s.amount, terms.scale), Money(s.paid, terms.scale)] for s in made]
    report.table(["request", "reason", "records", "amount", "paid"], rows)
    report.document({"requests": made, "open": still_open, "books": books})
    if still_open:
        raise Refused(
            f"{len(still_open)} requests are not settled yet; the insurer's settlement service does it",
            code="settlement_waiting",
        )
    report.success(f"nothing is pending; {money(books.paid, terms.scale)} {terms.currency} paid in all")


async def _request(session: Session, agreement: str, party: str) -> None:
    key = session.key()
    frame = await new_frame(session.books, key.public)
    try:
        await session.submit(request_body(frame, agreement, party), key)
    except InvalidInput as error:
        # Somebody else asked, or a trigger fired, meanwhile: all the same to who wants it settled.
        if error.code not in (codes.NOTHING_PENDING, codes.REQUEST_WAITING):
            raise
        await asyncio.sleep(POLL_S)


async def _until_settled(session: Session, agreement: str, deadline: float) -> list[RequestSummary]:
    while True:
        waiting = [summary async for summary in session.books.requests(agreement, STATUS_OPEN)]
        if not waiting or monotonic() >= deadline:
            return waiting
        await asyncio.sleep(POLL_S)
