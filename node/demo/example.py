"""The worked example of PROTOCOL.md 1.4, played by the services inside two daemons."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Final

from contracts.commission.answers import BookingView, RequestView
from contracts.commission.calls import SettlementRequest
from node.demo.cast import Member
from node.services.messages import BOOK, MESSAGE_VERSION
from node.services.sales import RawSale, SaleOrder

AGREEMENT: Final = "B-C-health"
SALES: Final = (("A001", "C00100001", "3000"), ("A002", "C00100002", "4000"), ("A003", "C00100003", "2000"))
REQUEST_NAME: Final = "A100"
SOLD_ON: Final = 20_260_105
SETTLED_S: Final = 60.0


@dataclass(frozen=True, slots=True)
class Example:
    """What came of it.

    Attributes:
        bookings: A001 to A003, as they stand at the end.
        request: A100.
        settled: minor units on the settled account.
        paid: minor units that the insurer paid.
    """

    bookings: tuple[BookingView, ...]
    request: SettlementRequest
    settled: int
    paid: int


async def play(platform: Member, insurer: Member, seller: str) -> Example:
    """Sells three policies; the third fires the trigger, and the insurer's service settles."""
    for _, policy, premium in SALES:
        raw = RawSale(policy, seller, "health insurance", "online sales", premium, SOLD_ON)
        await platform.sell(SaleOrder(MESSAGE_VERSION, BOOK, AGREEMENT, b"", raw))
    view = await settled(platform, AGREEMENT, 1)
    insurer.acknowledged.append(view.summary.settled_by)
    bookings = [booking async for booking in platform.books.bookings(AGREEMENT)]
    books = await platform.books.books(AGREEMENT)
    return Example(tuple(bookings), view.request, books.settled, books.paid)


async def settled(member: Member, agreement: str, request: int) -> RequestView:
    """A settlement request once it is settled, as ``member``'s node sees it."""
    height = (await member.client.info()).height
    async with asyncio.timeout(SETTLED_S):
        # Every new block is a reason to look again; the first look needs none.
        async for _ in member.client.events(height):
            if (await member.books.books(agreement)).requests >= request:
                view = await member.books.request(agreement, request)
                if view.summary.settled_by:
                    return view
    raise AssertionError("events do not end")
