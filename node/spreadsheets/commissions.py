"""The commission books as a table: every booking and every settlement request, with running totals that reconcile."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from contracts.commission.answers import STATUS_CANCELLED, STATUS_SETTLED, BookingView, Books, RequestSummary
from contracts.commission.records import Agreement
from ledger.errors import InvalidInput
from node.services.books import CommissionBooks
from node.spreadsheets.table import Amount, Column, Kind, Line, TableWriter, day_text, moment

_A = Kind.AMOUNT
BOOKING_COLUMNS: Final = (
    Column("agreement", width=18),
    Column("currency", width=9),
    Column("line", width=11),
    Column("number", Kind.INTEGER, width=9),
    Column("policy", width=18),
    Column("revision", Kind.INTEGER, width=9),
    Column("seller", width=18),
    Column("product", width=18),
    Column("channel", width=12),
    Column("sold on", width=12),
    Column("premium", _A, summed=True),
    Column("rate in ppm", Kind.INTEGER),
    Column("commission", _A, summed=True),
    Column("status", width=11),
    Column("pending", _A, summed=True),
    Column("settled", _A, summed=True),
    Column("cancelled", _A, summed=True),
    Column("running commission", _A, width=18),
    Column("running settled", _A, width=18),
    Column("request", Kind.INTEGER, width=9),
    Column("booked at (UTC)", Kind.TIME, width=20),
    Column("record", width=66),
)
SETTLEMENT_COLUMNS: Final = (
    Column("agreement", width=18),
    Column("currency", width=9),
    Column("line", width=11),
    Column("request", Kind.INTEGER, width=9),
    Column("because of", width=12),
    Column("records", Kind.INTEGER, summed=True, width=9),
    Column("amount", _A, summed=True),
    Column("paid", _A, summed=True),
    Column("running amount", _A, width=18),
    Column("running paid", _A, width=18),
    Column("asked at (UTC)", Kind.TIME, width=20),
    Column("settled at (UTC)", Kind.TIME, width=20),
    Column("settled by", width=66),
    Column("hash of the batch", width=66),
)
BOOKS_COLUMNS: Final = (
    Column("agreement", width=18),
    Column("currency", width=9),
    Column("booked", _A),
    Column("pending", _A),
    Column("settled", _A),
    Column("cancelled", _A),
    Column("paid", _A),
    Column("clawbacks not netted", _A, width=18),
    Column("bookings", Kind.INTEGER),
    Column("requests", Kind.INTEGER),
    Column("reconciles", width=12),
)


@dataclass(slots=True)
class Sums:
    """Sums of one agreement's lines, minor units."""

    bookings: int = 0
    premium: int = 0
    commission: int = 0
    pending: int = 0
    settled: int = 0
    cancelled: int = 0
    requests: int = 0
    records: int = 0
    amount: int = 0
    paid: int = 0

    def reconciles(self, books: Books) -> bool:
        """True when the lines sum to what the chain's own books say."""
        lines = (self.bookings, self.commission, self.pending, self.settled, self.cancelled, self.requests, self.paid)
        said = (books.booked_count, books.booked, books.pending, books.settled, books.cancelled, books.requests)
        return lines == (*said, books.paid)


async def write_commissions(books: CommissionBooks, agreements: list[str], writer: TableWriter) -> dict[str, Sums]:
    """Writes bookings, settlement requests and books of agreements, in this order of tables.

    Args:
        books: of the commission contract.
        agreements: ids.
        writer: fresh; the caller closes it.

    Returns:
        The sums of each agreement's lines.

    Raises:
        InvalidInput: ``books_moving``: the lines do not sum to the chain's books, because bookings were made meanwhile.
    """
    found: dict[str, Sums] = {}
    writer.sheet("Bookings", BOOKING_COLUMNS)
    terms = {name: (await books.agreement_view(name)).agreement for name in agreements}
    for name in agreements:
        found[name] = await _bookings(books, terms[name], writer)
    writer.sheet("Settlements", SETTLEMENT_COLUMNS)
    for name in agreements:
        await _settlements(books, terms[name], writer, found[name])
    writer.sheet("Books", BOOKS_COLUMNS)
    for name in agreements:
        said = await books.books(name)
        if not found[name].reconciles(said):
            raise InvalidInput(
                f"agreement {name!r} changed while it was read: its lines sum to {found[name]}, the chain says {said}",
                code="books_moving",
            )
        writer.line(_books(said, terms[name]))
    return found


async def _bookings(books: CommissionBooks, terms: Agreement, writer: TableWriter) -> Sums:
    sums = Sums()
    async for booking in books.bookings(terms.agreement):
        sums.bookings += 1
        writer.line(_booking(booking, terms, sums))
    scale, empty = terms.scale, None
    total = (terms.agreement, terms.currency, "total", sums.bookings, *[empty] * 6)
    amounts = (sums.pending, sums.settled, sums.cancelled)
    writer.line(
        Line(
            (
                *total,
                Amount(sums.premium, scale),
                empty,
                Amount(sums.commission, scale),
                empty,
                *(Amount(amount, scale) for amount in amounts),
                *[empty] * 5,
            ),
            total_of=sums.bookings,
        )
    )
    return sums


def _booking(booking: BookingView, terms: Agreement, sums: Sums) -> Line:
    information = booking.record.inputs[0].information
    assert information is not None, "a booking's record says what was sold"
    sale, scale, amount = information.sale, terms.scale, booking.commission
    split = {"pending": 0, "settled": 0, "cancelled": 0}
    name = booking.status if booking.status in (STATUS_SETTLED, STATUS_CANCELLED) else "pending"
    split[name] = amount
    sums.premium += sale.premium
    sums.commission += amount
    for field, value in split.items():
        setattr(sums, field, getattr(sums, field) + value)
    return Line(
        (
            booking.agreement,
            terms.currency,
            "booking",
            booking.sequence,
            booking.policy,
            booking.revision,
            sale.seller,
            sale.product,
            sale.channel,
            day_text(sale.sold_on),
            Amount(sale.premium, scale),
            information.rate_ppm,
            Amount(amount, scale),
            booking.status,
            *(Amount(value, scale) for value in split.values()),
            Amount(sums.commission, scale),
            Amount(sums.settled, scale),
            booking.request or None,
            moment(booking.booked_ms),
            booking.record.transaction_id.hex(),
        )
    )


async def _settlements(books: CommissionBooks, terms: Agreement, writer: TableWriter, sums: Sums) -> None:
    async for request in books.requests(terms.agreement):
        sums.requests += 1
        writer.line(_settlement(request, terms, sums))
    amounts = (Amount(sums.amount, terms.scale), Amount(sums.paid, terms.scale))
    head = (terms.agreement, terms.currency, "total", sums.requests, None, sums.records)
    writer.line(Line((*head, *amounts, *[None] * 6), total_of=sums.requests))


def _settlement(request: RequestSummary, terms: Agreement, sums: Sums) -> Line:
    sums.records += request.count
    sums.amount += request.amount
    sums.paid += request.paid
    scale = terms.scale
    return Line(
        (
            request.agreement,
            terms.currency,
            "settled" if request.settled_by else "open",
            request.request,
            request.reason,
            request.count,
            *(Amount(value, scale) for value in (request.amount, request.paid, sums.amount, sums.paid)),
            moment(request.time_ms),
            moment(request.settled_ms),
            request.settled_by.hex(),
            request.batch_hash.hex(),
        )
    )


def _books(books: Books, terms: Agreement) -> Line:
    amounts = (books.booked, books.pending, books.settled, books.cancelled, books.paid)
    return Line(
        (
            books.agreement,
            terms.currency,
            *(Amount(value, terms.scale) for value in (*amounts, books.clawbacks + books.clawbacks_waiting)),
            books.booked_count,
            books.requests,
            "yes",
        )
    )
