"""Typed questions to a commission contract over any ``Gateway``."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Final

from contracts.commission import answers as a
from contracts.commission.records import Agreement, Sale
from ledger.errors import NotFound
from node.gateway import Gateway

DEFAULT_CONTRACT: Final = "commission"


class CommissionBooks:
    """Reads one commission contract. Every method may raise what ``Gateway.view`` raises.

    Args:
        gateway: to any node of the chain.
        contract: the contract's address.
    """

    def __init__(self, gateway: Gateway, contract: str = DEFAULT_CONTRACT) -> None:
        self.gateway = gateway
        self.contract = contract

    async def agreement_view(self, agreement: str, version: int = 0) -> a.AgreementView:
        """A version of an agreement (0: in force). Raises ``NotFound``."""
        query = a.AgreementQuery(agreement, version)
        return await self.gateway.view(self.contract, "agreement", query, a.AgreementView)

    async def agreement(self, agreement: str) -> Agreement:
        """The version in force.

        Raises:
            NotFound: there is no such agreement, or none of its versions is in force yet.
        """
        found = await self.agreement_view(agreement)
        if found.in_force == 0:
            version = found.agreement.version
            height = next(entry.activation_height for entry in found.versions if entry.version == version)
            raise NotFound(f"agreement {agreement!r} holds from height {height} on", code="agreement_not_in_force")
        return found.agreement

    async def agreements(self) -> AsyncIterator[a.AgreementSummary]:
        """All agreements that both parties signed, by id."""
        after = ""
        while True:
            page = await self.gateway.view(
                self.contract, "agreements", a.AgreementsQuery(after, a.MAX_PAGE), a.AgreementsPage
            )
            for summary in page.agreements:
                yield summary
                after = summary.agreement
            if not page.more:
                return

    async def drafts(self, agreement: str) -> AsyncIterator[a.DraftView]:
        """Drafts of an agreement, by hash."""
        after = b""
        while True:
            page = await self.gateway.view(self.contract, "drafts", a.DraftsQuery(agreement, after), a.DraftsPage)
            for draft in page.drafts:
                yield draft
                after = draft.agreement_hash
            if not page.more:
                return

    async def booking(self, agreement: str, policy: str) -> a.BookingView | None:
        """The latest booking of a policy, or None."""
        try:
            return await self.gateway.view(self.contract, "booking", a.BookingQuery(agreement, policy), a.BookingView)
        except NotFound:
            return None

    async def record(self, record: bytes) -> a.BookingView:
        """A booking by its record id. Raises ``NotFound``."""
        return await self.gateway.view(self.contract, "record", a.RecordQuery(record), a.BookingView)

    async def bookings(self, agreement: str, status: str = a.STATUS_ANY) -> AsyncIterator[a.BookingView]:
        """Bookings in booking order, page by page."""
        after = 0
        while True:
            query = a.BookingsQuery(agreement, status, after, a.MAX_PAGE)
            page = await self.gateway.view(self.contract, "bookings", query, a.BookingsPage)
            for booking in page.bookings:
                yield booking
            after = page.last
            if not page.more:
                return

    async def request(self, agreement: str, request: int) -> a.RequestView:
        """A settlement request with its items. Raises ``NotFound``."""
        return await self.gateway.view(
            self.contract, "request_details", a.RequestQuery(agreement, request), a.RequestView
        )

    async def requests(self, agreement: str, status: str = a.STATUS_ANY) -> AsyncIterator[a.RequestSummary]:
        """Settlement requests of an agreement, by number."""
        after = 0
        while True:
            query = a.RequestsQuery(agreement, status, after, a.MAX_PAGE)
            page = await self.gateway.view(self.contract, "requests", query, a.RequestsPage)
            for summary in page.requests:
                yield summary
            after = page.last
            if not page.more:
                return

    async def open_requests(self) -> AsyncIterator[a.RequestSummary]:
        """Requests of all agreements that wait for their settlement."""
        after, number = "", 0
        while True:
            query = a.OpenRequestsQuery(after, number, a.MAX_PAGE)
            page = await self.gateway.view(self.contract, "open_requests", query, a.OpenRequestsPage)
            for summary in page.requests:
                yield summary
                after, number = summary.agreement, summary.request
            if not page.more:
                return

    async def plan(self, agreement: str, request: int) -> a.SettlementPlan:
        """What settling an open request must spend and create now. Raises ``NotFound`` once it is settled."""
        return await self.gateway.view(
            self.contract, "settlement_plan", a.RequestQuery(agreement, request), a.SettlementPlan
        )

    async def books(self, agreement: str) -> a.Books:
        """The books of an agreement. Raises ``NotFound``."""
        return await self.gateway.view(self.contract, "books", a.BooksQuery(agreement), a.Books)

    async def quote(self, agreement: str, sale: Sale) -> a.Quote:
        """What a sale would book as now. Raises ``NotFound``."""
        return await self.gateway.view(self.contract, "quote", a.QuoteQuery(agreement, sale), a.Quote)
