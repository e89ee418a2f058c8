"""Second thoughts: policies cancelled and corrected after they were booked; then everything is settled."""

from __future__ import annotations

import asyncio
from typing import Final

from contracts.commission.answers import STATUS_OPEN, Books
from contracts.commission.orders import request_body
from contracts.commission.records import PLATFORM
from node.demo.audit import Change
from node.demo.cast import Member, NotAsExpected
from node.importer.plan import ImportPlan
from node.services.messages import CANCEL, CORRECT, MESSAGE_VERSION
from node.services.sales import RawSale, SaleOrder

CHANGES: Final = (
    Change(2, None),
    Change(12, None),
    Change(3, None),
    Change(500, None),
    Change(16, "18372.37"),
    Change(5, "38668.552"),
)
"""By row of the file. In the last two the decimal point had slipped: the corrections book more than all changes take
back, so that the last settlement nets every clawback."""
SETTLED_S: Final = 90.0


async def make_changes(platform: Member, agreement: str, plan: ImportPlan) -> list[str]:
    """Has the changes made by the platform's transaction service; returns the policies."""
    policies: list[str] = []
    for change in CHANGES:
        sale = plan.sales[change.row - 1].sale
        booking = await platform.books.booking(agreement, sale.policy)
        if booking is None:
            raise NotAsExpected(f"policy {sale.policy} is not booked")
        raw = None
        if change.premium is not None:
            raw = RawSale(sale.policy, sale.seller, sale.product, sale.channel, change.premium, sale.sold_on)
        action = CANCEL if raw is None else CORRECT
        await platform.sell(SaleOrder(MESSAGE_VERSION, action, agreement, booking.record.transaction_id, raw))
        policies.append(sale.policy)
    return policies


async def settle_everything(platform: Member, agreement: str) -> Books:
    """Asks for settlement of what is pending, and waits until the insurer's service has settled it all.

    Raises:
        NotAsExpected: it took longer than ``SETTLED_S``.
    """
    height = (await platform.client.info()).height
    try:
        async with asyncio.timeout(SETTLED_S):
            async for _ in platform.client.events(height):
                books = await platform.books.books(agreement)
                if books.unrequested_count and not books.requests_open:
                    # Only now: the last settlement is to net every clawback, also those of records requested before.
                    await platform.send(request_body(await platform.frame(), agreement, PLATFORM))
                elif not books.unrequested_count and not books.requests_open:
                    return books
    except TimeoutError as error:
        waiting = [summary.request async for summary in platform.books.requests(agreement, STATUS_OPEN)]
        raise NotAsExpected(f"requests {waiting} are not settled after {SETTLED_S:.0f} s") from error
    raise AssertionError("events do not end")
