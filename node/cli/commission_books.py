"""``tidegate commission list`` and ``report``: what was agreed and booked, and how the books stand."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Final

import click

from contracts.commission.answers import BOOKING_STATUSES, STATUS_ANY, BookingView, Books, RequestSummary
from contracts.commission.records import Agreement
from node.cli.commission_agreements import show_agreement
from node.cli.commission_session import Money, Session, contract_option, open_session
from node.cli.exit_codes import Refused
from node.cli.options import Target, target_options
from node.cli.output import Report, reporting
from node.cli.spreadsheet_files import Files, spreadsheet_options

DEFAULT_ROWS: Final = 100
BOOKS_COLUMNS: Final = (
    "agreement",
    "currency",
    "booked",
    "pending",
    "settled",
    "cancelled",
    "paid",
    "clawbacks",
    "records",
    "open",
)
REQUEST_COLUMNS: Final = ("request", "reason", "records", "amount", "paid", "asked", "settled")


@click.command("list")
@target_options
@contract_option
@click.option("--agreement", help="Show this agreement, its drafts and its bookings; all agreements by default.")
@click.option("--status", type=click.Choice((STATUS_ANY, *BOOKING_STATUSES)), default=STATUS_ANY, help="Bookings with this status.")  # fmt: skip  # noqa: E501
@click.option("--limit", type=click.IntRange(0), default=DEFAULT_ROWS, show_default=True, help="Bookings at most.")
@reporting
async def list_command(
    report: Report, target: Target, contract: str, *, agreement: str | None, status: str, limit: int
) -> None:
    """List agreements; or one agreement's terms, drafts and bookings."""
    async with open_session(target, contract) as session:
        if agreement is None:
            await _list_agreements(report, session)
        else:
            await _list_one(report, session, agreement, status, limit)


async def _list_agreements(report: Report, session: Session) -> None:
    found = [summary async for summary in session.books.agreements()]
    report.table(
        ["agreement", "platform", "insurer", "in force", "latest"],
        [[s.agreement, s.platform, s.insurer, s.in_force, s.latest] for s in found],
    )
    report.document({"agreements": found})


async def _list_one(report: Report, session: Session, name: str, status: str, limit: int) -> None:
    view = await session.books.agreement_view(name)
    terms = view.agreement
    show_agreement(report, terms)
    drafts = [draft async for draft in session.books.drafts(name)]
    waiting = [draft for draft in drafts if draft.agreement.version > view.versions[-1].version]
    for draft in waiting:
        report.line(f"draft of version {draft.agreement.version}, signed by the {draft.signed_by}")
    bookings: list[BookingView] = []
    async for booking in session.books.bookings(name, status):
        if len(bookings) >= limit:
            report.line(f"more than {limit} bookings; see --limit")
            break
        bookings.append(booking)
    report.table(
        ["policy", "commission", "status", "request", "booked", "record"],
        [
            [b.policy, Money(b.commission, terms.scale), b.status, b.request or "", _time(b.booked_ms), _id(b.record)]
            for b in bookings
        ],
    )
    report.document({"view": view, "drafts": waiting, "bookings": bookings})


@click.command("report")
@target_options
@contract_option
@click.option("--agreement", help="Only this agreement; all by default.")
@spreadsheet_options
@reporting
async def report_command(report: Report, target: Target, files: Files, contract: str, agreement: str | None) -> None:
    """Show the books: booked = pending + settled + cancelled, and paid = settled + clawbacks not netted.

    With --csv or --xlsx every booking is written too, and (XLSX) every settlement, with running totals.
    """
    async with open_session(target, contract) as session:
        names = [agreement] if agreement is not None else [s.agreement async for s in session.books.agreements()]
        found: list[tuple[Agreement, Books, list[RequestSummary]]] = []
        for name in names:
            terms = (await session.books.agreement_view(name)).agreement
            requests = [summary async for summary in session.books.requests(name)]
            found.append((terms, await session.books.books(name), requests))
        if files.wanted:
            from node.spreadsheets.commissions import write_commissions  # noqa: PLC0415 - only where files are wanted

            await files.write(lambda writer: write_commissions(session.books, names, writer))
        info = await session.client.info()
    report.line(f"chain {info.name}, height {info.height}")
    report.table(BOOKS_COLUMNS, [books_row(terms, books) for terms, books, _ in found], title="Books")
    for terms, _, requests in found:
        if agreement is not None and requests:
            report.line()
            report.table(REQUEST_COLUMNS, [request_row(terms, summary) for summary in requests], title="Settlements")
    documents = [
        {**_fields(books), "currency": terms.currency, "scale": terms.scale, "closes": closes(books), "items": requests}
        for terms, books, requests in found
    ]
    for path in files.wanted:
        report.success(f"{path} is written")
    report.document({"height": info.height, "books": documents, "files": [str(path) for path in files.wanted]})
    broken = [books.agreement for _, books, _ in found if not closes(books)]
    if broken:
        raise Refused(f"the books of {', '.join(broken)} do not close", code="books_open")


def books_row(terms: Agreement, books: Books) -> list[object]:
    """A line of the books, amounts in major units, as ``BOOKS_COLUMNS``."""
    amounts = (books.booked, books.pending, books.settled, books.cancelled, books.paid)
    clawbacks = books.clawbacks + books.clawbacks_waiting
    return [
        books.agreement,
        terms.currency,
        *(Money(amount, terms.scale) for amount in (*amounts, clawbacks)),
        books.booked_count,
        books.requests_open,
    ]


def request_row(terms: Agreement, summary: RequestSummary) -> list[object]:
    """A settlement request as ``REQUEST_COLUMNS``."""
    return [
        summary.request,
        summary.reason,
        summary.count,
        Money(summary.amount, terms.scale),
        Money(summary.paid, terms.scale),
        _time(summary.time_ms),
        _time(summary.settled_ms) if summary.settled_by else "open",
    ]


def closes(books: Books) -> bool:
    """Whether the books close (PROTOCOL.md 1.5)."""
    return (
        books.booked == books.pending + books.settled + books.cancelled
        and books.paid == books.settled + books.clawbacks
    )


def _fields(books: Books) -> dict[str, Any]:
    return {name: getattr(books, name) for name in books.__struct_fields__}


def _time(milliseconds: int) -> str:
    return datetime.fromtimestamp(milliseconds / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S")


def _id(record: Any) -> str:
    return str(record.transaction_id.hex())
