"""What can be asked of the commission contract; what each question and answer says is in ``answers``.

Views help to build the next transaction: "in force" is what will hold in the block after the last committed one.
"""

from __future__ import annotations

from itertools import islice
from typing import Final

from contracts.codes import Refusal
from contracts.commission import answers as a
from contracts.commission.amounts import agreement_hash, commission_of
from contracts.commission.bookings import find_request
from contracts.commission.calls import SettlementRequest
from contracts.commission.records import PURCHASE, SETTLEMENT, Agreement, CommissionRecord, RecordInput
from contracts.commission.settlement import plan_settlement
from contracts.commission.state import (
    Booking,
    Cancellation,
    Clawback,
    RequestState,
    Versions,
    account_lock,
    booking_codec,
    cancellation_codec,
    claim_asset,
    clawback_codec,
    draft_codec,
    draft_key,
    listed_key,
    listed_prefix,
    load,
    load_activation,
    load_agreement,
    load_tally,
    load_versions,
    place_codec,
    policy_codec,
    policy_key,
    request_codec,
    request_state_codec,
    settlement_codec,
    versions_codec,
)
from contracts.commission.terms import base_amount_of, check_sale, executes, find_row
from contracts.interface import Contract, EndContext, view
from ledger.errors import NotFound
from ledger.transaction import Output

MAX_SCANNED: Final = 256
"""Items that one question looks at, whatever it is filtered by."""
MAX_VERSIONS_SHOWN: Final = 64
"""The newest versions of an agreement; older ones can still be asked for by number."""


class CommissionViews(Contract):
    """The views of ``Commission``. Each raises ``NotFound`` where what it names is not there."""

    kind = "commission"

    @view
    def agreement(self, context: EndContext, arguments: a.AgreementQuery) -> a.AgreementView:
        """A version of an agreement, and which versions there are."""
        state, name = context.state, arguments.agreement
        versions = _versions(context, name)
        in_force = versions.in_force(context.block.height + 1)
        wanted = arguments.version or in_force or versions.current[0].version
        if not 0 < wanted <= versions.latest:
            raise NotFound(f"agreement {name!r} has versions 1 to {versions.latest}")
        entries = []
        for number in range(max(1, versions.latest - MAX_VERSIONS_SHOWN + 1), versions.latest + 1):
            terms = load_agreement(state, name, number)
            entries.append(a.VersionEntry(number, load_activation(state, name, number), self._hash(context, terms)))
        found = load_agreement(state, name, wanted)
        return a.AgreementView(found, self._hash(context, found), self.address, in_force, tuple(entries))

    @view
    def agreements(self, context: EndContext, arguments: a.AgreementsQuery) -> a.AgreementsPage:
        """The agreements at this address that both parties signed, by id."""
        start = b"v" + arguments.after.encode() + b"\x00" if arguments.after else None
        rows = list(context.state.iterate(b"v", start=start, limit=arguments.limit + 1))
        page = []
        for key, data in rows[: arguments.limit]:
            versions = versions_codec.decode(data)
            in_force = versions.in_force(context.block.height + 1)
            page.append(
                a.AgreementSummary(key[1:].decode(), versions.platform, versions.insurer, in_force, versions.latest)
            )
        return a.AgreementsPage(tuple(page), len(rows) > arguments.limit)

    @view
    def drafts(self, context: EndContext, arguments: a.DraftsQuery) -> a.DraftsPage:
        """Drafts of an agreement that one party has signed, by hash; those of versions completed since included."""
        start = draft_key(arguments.agreement, arguments.after + b"\x00") if arguments.after else None
        prefix = listed_prefix(b"d", arguments.agreement)
        rows = list(context.state.iterate(prefix, start=start, limit=arguments.limit + 1))
        page = []
        for key, data in rows[: arguments.limit]:
            draft = draft_codec.decode(data)
            page.append(a.DraftView(draft.agreement, key[len(prefix) :], draft.signed_by))
        return a.DraftsPage(tuple(page), len(rows) > arguments.limit)

    @view
    def booking(self, context: EndContext, arguments: a.BookingQuery) -> a.BookingView:
        """The latest booking of a policy."""
        data = context.state.get(policy_key(arguments.agreement, arguments.policy))
        if data is None:
            raise NotFound(f"policy {arguments.policy!r} is not booked under {arguments.agreement!r}")
        return _booking(context, arguments.agreement, policy_codec.decode(data).sequence)

    @view
    def record(self, context: EndContext, arguments: a.RecordQuery) -> a.BookingView:
        """A booking by its record id."""
        data = context.state.get(b"o" + arguments.record)
        if data is None:
            raise NotFound(f"there is no booking {arguments.record.hex()}")
        place = place_codec.decode(data)
        return _booking(context, place.agreement, place.sequence)

    @view
    def bookings(self, context: EndContext, arguments: a.BookingsQuery) -> a.BookingsPage:
        """Bookings in booking order, by status."""
        last, final = arguments.after, load_tally(context.state, arguments.agreement).sequence
        page: list[a.BookingView] = []
        while last < final and last - arguments.after < MAX_SCANNED and len(page) < arguments.limit:
            last += 1
            found = _booking(context, arguments.agreement, last)
            if arguments.status in (a.STATUS_ANY, found.status):
                page.append(found)
        return a.BookingsPage(tuple(page), last, last < final)

    @view
    def request_details(self, context: EndContext, arguments: a.RequestQuery) -> a.RequestView:
        """A settlement request with its items."""
        request = _request(context, arguments.agreement, arguments.request)
        return a.RequestView(request, _summary(context, arguments.agreement, arguments.request))

    @view
    def requests(self, context: EndContext, arguments: a.RequestsQuery) -> a.RequestsPage:
        """Settlement requests of an agreement, by number and status."""
        last, final = arguments.after, load_tally(context.state, arguments.agreement).requests
        page: list[a.RequestSummary] = []
        while last < final and last - arguments.after < MAX_SCANNED and len(page) < arguments.limit:
            last += 1
            found = _summary(context, arguments.agreement, last)
            status = a.STATUS_SETTLED if found.settled_by else a.STATUS_OPEN
            if arguments.status in (a.STATUS_ANY, status):
                page.append(found)
        return a.RequestsPage(tuple(page), last, last < final)

    @view
    def open_requests(self, context: EndContext, arguments: a.OpenRequestsQuery) -> a.OpenRequestsPage:
        """Requests that wait for their settlement, of all agreements."""
        start = None
        if arguments.after_agreement:
            start = listed_key(b"u", arguments.after_agreement, arguments.after_request + 1)
        rows = list(context.state.iterate(b"u", start=start, limit=arguments.limit + 1))
        page = [
            _summary(context, key[1:-9].decode(), int.from_bytes(key[-8:], "big")) for key, _ in rows[: arguments.limit]
        ]
        return a.OpenRequestsPage(tuple(page), len(rows) > arguments.limit)

    @view
    def settlement_plan(self, context: EndContext, arguments: a.RequestQuery) -> a.SettlementPlan:
        """What settling an open request must spend and create now."""
        state, name = context.state, arguments.agreement
        request = _request(context, name, arguments.request)
        request_state: RequestState = load(state, listed_key(b"s", name, arguments.request), request_state_codec)
        if request_state.settled_by:
            raise NotFound(f"request {arguments.request} was settled by {request_state.settled_by.hex()}")
        return plan_settlement(
            state,
            self.address,
            _in_force(context, name),
            request=request,
            request_state=request_state,
            tally=load_tally(state, name),
        )

    @view
    def settlement(self, context: EndContext, arguments: a.RequestQuery) -> CommissionRecord:
        """The record of a settlement (PROTOCOL.md 1.1): pending records and clawbacks in, settled amounts out."""
        request = _request(context, arguments.agreement, arguments.request)
        data = context.state.get(listed_key(b"e", arguments.agreement, arguments.request))
        if data is None:
            raise NotFound(f"request {arguments.request} is not settled yet")
        settled = settlement_codec.decode(data)
        platform = load_versions(context.state, arguments.agreement).platform
        sources = [(item.outpoint[:32], item.amount) for item in request.items]
        sources.extend((clawback.record, clawback.amount) for clawback in settled.clawbacks)
        inputs = [
            RecordInput(record.hex(), platform, SETTLEMENT, None, amount, settled.unlock) for record, amount in sources
        ]
        return CommissionRecord(settled.transaction_id, tuple(inputs), settled.outputs)

    @view
    def clawbacks(self, context: EndContext, arguments: a.ClawbacksQuery) -> a.ClawbacksPage:
        """Clawbacks that the next settlement nets, oldest first."""
        tally = load_tally(context.state, arguments.agreement)
        places = range(max(tally.clawback_first, arguments.after + 1), tally.clawback_next)
        page = []
        for place in islice(places, arguments.limit):
            found: Clawback = load(context.state, listed_key(b"n", arguments.agreement, place), clawback_codec)
            page.append(a.ClawbackItem(place, found.outpoint, found.amount, found.account, found.record))
        return a.ClawbacksPage(tuple(page), len(places) > arguments.limit)

    @view
    def books(self, context: EndContext, arguments: a.BooksQuery) -> a.Books:
        """The books of an agreement."""
        _versions(context, arguments.agreement)
        tally = load_tally(context.state, arguments.agreement)
        return a.Books(
            agreement=arguments.agreement,
            booked=tally.booked,
            pending=tally.pending,
            settled=tally.settled,
            cancelled=tally.cancelled,
            paid=tally.paid,
            clawbacks=tally.clawbacks,
            clawbacks_waiting=tally.clawbacks_waiting,
            unrequested=tally.unrequested_amount,
            booked_count=tally.sequence,
            cancelled_count=tally.cancelled_count,
            unrequested_count=tally.unrequested_count,
            requests=tally.requests,
            requests_open=tally.requests_open,
        )

    @view
    def quote(self, context: EndContext, arguments: a.QuoteQuery) -> a.Quote:
        """What a sale would book as now."""
        sale = arguments.sale
        check_sale(sale)
        agreement = _in_force(context, arguments.agreement)
        row = find_row(agreement, PURCHASE, sale)
        if row is None:
            raise NotFound("the mapping table has no row for this sale")
        base_amount = base_amount_of(agreement, sale)
        commission = commission_of(base_amount, agreement.rate_ppm, agreement.rounding)
        output = None
        if commission:
            claim = claim_asset(self.address, agreement.currency)
            output = Output(claim, commission, account_lock(self.address, row.pending))
        return a.Quote(
            version=agreement.version,
            executes=executes(agreement, sale),
            base_amount=base_amount,
            rate_ppm=agreement.rate_ppm,
            commission=commission,
            pending=row.pending,
            settled=row.settled,
            clawback=row.clawback,
            output=output,
            booked=context.state.get(policy_key(arguments.agreement, sale.policy)) is not None,
        )

    def _hash(self, context: EndContext, agreement: Agreement) -> bytes:
        return agreement_hash(context.block.chain_id, self.address, agreement)


def _versions(context: EndContext, agreement: str) -> Versions:
    try:
        return load_versions(context.state, agreement)
    except Refusal as error:
        raise NotFound(error.message) from error


def _in_force(context: EndContext, agreement: str) -> Agreement:
    version = _versions(context, agreement).in_force(context.block.height + 1)
    if version == 0:
        raise NotFound(f"agreement {agreement!r} is not in force yet")
    return load_agreement(context.state, agreement, version)


def _booking(context: EndContext, agreement: str, sequence: int) -> a.BookingView:
    state = context.state
    booking: Booking = load(state, listed_key(b"b", agreement, sequence), booking_codec)
    tally = load_tally(state, agreement)
    data = state.get(listed_key(b"x", agreement, sequence))
    cancellation: Cancellation | None = None if data is None else cancellation_codec.decode(data)
    request, status = 0, a.STATUS_PENDING
    # A record that was cancelled before a request took it has a sequence that some later request has passed.
    if sequence <= tally.requested and (cancellation is None or cancellation.clawback):
        request, status = find_request(state, booking, tally), a.STATUS_REQUESTED
        if load(state, listed_key(b"s", agreement, request), request_state_codec).settled_by:
            status = a.STATUS_SETTLED
    window_s = load_agreement(state, agreement, booking.version).clawback_window_s
    return a.BookingView(
        agreement=agreement,
        policy=booking.policy,
        revision=booking.revision,
        sequence=sequence,
        version=booking.version,
        status=status if cancellation is None else a.STATUS_CANCELLED,
        record=booking.record,
        outpoint=booking.outpoint,
        commission=booking.commission,
        pending=booking.pending,
        settled=booking.settled,
        clawback=booking.clawback,
        request=request,
        booked_ms=booking.booked_ms,
        window_ends_ms=booking.first_booked_ms + window_s * 1000,
        cancellation=cancellation.record if cancellation else None,
        clawback_outpoint=cancellation.clawback if cancellation else b"",
    )


def _request(context: EndContext, agreement: str, number: int) -> SettlementRequest:
    data = context.state.get(listed_key(b"r", agreement, number))
    if data is None:
        raise NotFound(f"agreement {agreement!r} has no settlement request {number}")
    return request_codec.decode(data)


def _summary(context: EndContext, agreement: str, number: int) -> a.RequestSummary:
    state: RequestState = load(context.state, listed_key(b"s", agreement, number), request_state_codec)
    return a.RequestSummary(
        agreement=agreement,
        request=number,
        reason=state.reason,
        time_ms=state.time_ms,
        count=state.count,
        amount=state.amount,
        batch_hash=state.batch_hash,
        cancelled_amount=state.cancelled_amount,
        settled_by=state.settled_by,
        settled_ms=state.settled_ms,
        paid=state.paid,
    )
