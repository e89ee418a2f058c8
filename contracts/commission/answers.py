"""What the commission contract's views are asked and answer; everything that builds transactions from outside needs.

Pages: ``after`` is the last item of the page before (nothing for the first page), ``limit`` 1 … 256; an answer's
``more`` says whether a next page exists.
"""

from __future__ import annotations

from typing import Annotated, Final

from msgspec import Meta

from contracts.commission.calls import AccountTotal, SettlementRequest
from contracts.commission.records import (
    Agreement,
    AgreementId,
    AmountOrZero,
    CommissionRecord,
    Count,
    Hash,
    HeightNumber,
    Name,
    OutPointBytes,
    PositiveAmount,
    Sale,
    Time,
    Word,
)
from ledger.encoding import Record
from ledger.transaction import Output

MAX_PAGE: Final = 256

STATUS_PENDING: Final = "pending"
STATUS_REQUESTED: Final = "requested"
STATUS_SETTLED: Final = "settled"
STATUS_CANCELLED: Final = "cancelled"
STATUS_ANY: Final = "any"
STATUS_OPEN: Final = "open"
BOOKING_STATUSES: Final = (STATUS_PENDING, STATUS_REQUESTED, STATUS_SETTLED, STATUS_CANCELLED)

Limit = Annotated[int, Meta(ge=1, le=MAX_PAGE)]
AgreementIdOrNothing = Annotated[str, Meta(max_length=64)]


# --- questions ------------------------------------------------------------------------------------------------------


class AgreementQuery(Record, frozen=True):
    """Which agreement; ``version`` 0: the one in force (or the first to come into force)."""

    agreement: AgreementId
    version: Count = 0


class AgreementsQuery(Record, frozen=True):
    """A page of agreement ids after ``after``."""

    after: AgreementIdOrNothing = ""
    limit: Limit = 100


class DraftsQuery(Record, frozen=True):
    """A page of drafts of one agreement, by hash, after the draft with hash ``after``."""

    agreement: AgreementId
    after: Annotated[bytes, Meta(max_length=32)] = b""
    limit: Limit = 16


class BookingQuery(Record, frozen=True):
    """The latest booking of a policy."""

    agreement: AgreementId
    policy: Name


class RecordQuery(Record, frozen=True):
    """A booking by its record id (transaction id)."""

    record: Hash


class BookingsQuery(Record, frozen=True):
    """A page of bookings in booking order after sequence ``after``; ``status`` as in ``BookingView``, or ``any``."""

    agreement: AgreementId
    status: Word = STATUS_ANY
    after: Count = 0
    limit: Limit = 100


class RequestQuery(Record, frozen=True):
    """One settlement request."""

    agreement: AgreementId
    request: Count


class RequestsQuery(Record, frozen=True):
    """A page of an agreement's requests after number ``after``; ``status`` is ``open``, ``settled`` or ``any``."""

    agreement: AgreementId
    status: Word = STATUS_ANY
    after: Count = 0
    limit: Limit = 100


class OpenRequestsQuery(Record, frozen=True):
    """A page of the open requests of all agreements, after request ``after_request`` of ``after_agreement``."""

    after_agreement: AgreementIdOrNothing = ""
    after_request: Count = 0
    limit: Limit = 100


class ClawbacksQuery(Record, frozen=True):
    """A page of an agreement's nettable clawbacks, oldest first, after place ``after``."""

    agreement: AgreementId
    after: Count = 0
    limit: Limit = 100


class BooksQuery(Record, frozen=True):
    """The books of one agreement."""

    agreement: AgreementId


class QuoteQuery(Record, frozen=True):
    """What would this sale book as, under the version in force?"""

    agreement: AgreementId
    sale: Sale


# --- answers --------------------------------------------------------------------------------------------------------


class VersionEntry(Record, frozen=True):
    """A completed version and the height that it holds from."""

    version: Count
    activation_height: HeightNumber
    agreement_hash: Hash


class AgreementView(Record, frozen=True):
    """An agreement's version, and what else there is of it.

    Attributes:
        agreement: the version asked for.
        agreement_hash: its hash.
        address: of the contract that it lives at.
        in_force: number of the version that holds in the next block, 0 when none does yet.
        versions: all completed versions.
    """

    agreement: Agreement
    agreement_hash: Hash
    address: Name
    in_force: Count
    versions: tuple[VersionEntry, ...]


class AgreementSummary(Record, frozen=True):
    """A line of the list of agreements; ``in_force`` 0 where no version holds yet."""

    agreement: AgreementId
    platform: Name
    insurer: Name
    in_force: Count
    latest: Count


class AgreementsPage(Record, frozen=True):
    """A page of agreements."""

    agreements: tuple[AgreementSummary, ...]
    more: bool


class DraftView(Record, frozen=True):
    """A draft: the terms, their hash, and who has signed: ``platform`` or ``insurer``."""

    agreement: Agreement
    agreement_hash: Hash
    signed_by: Word


class DraftsPage(Record, frozen=True):
    """A page of drafts."""

    drafts: tuple[DraftView, ...]
    more: bool


class BookingView(Record, frozen=True):
    """A booking as it stands now.

    Attributes:
        agreement: id.
        policy: policy number.
        revision: 1; one more for each correction.
        sequence: place in booking order.
        version: agreement version that it is booked under.
        status: ``pending``, ``requested``, ``settled`` or ``cancelled``.
        record: PROTOCOL.md 1.1.
        outpoint: of the pending output, spent or not.
        commission: minor units.
        pending: account.
        settled: account.
        clawback: account.
        request: number of the request that it is or was in, 0 when none.
        booked_ms: block time of the booking.
        window_ends_ms: last block time at which it may be cancelled or corrected.
        cancellation: the record of the transaction that cancelled or corrected it, or None.
        clawback_outpoint: of the clawback that cancelling created, or nothing.
    """

    agreement: AgreementId
    policy: Name
    revision: Count
    sequence: Count
    version: Count
    status: Word
    record: CommissionRecord
    outpoint: OutPointBytes
    commission: PositiveAmount
    pending: Name
    settled: Name
    clawback: Name
    request: Count
    booked_ms: Time
    window_ends_ms: Time
    cancellation: CommissionRecord | None
    clawback_outpoint: Annotated[bytes, Meta(max_length=36)]


class BookingsPage(Record, frozen=True):
    """A page of bookings; ask on after ``last``, which moves even where no booking had the status asked for."""

    bookings: tuple[BookingView, ...]
    last: Count
    more: bool


class RequestSummary(Record, frozen=True):
    """A line of the list of requests.

    Attributes:
        agreement: id.
        request: number.
        reason: trigger.
        time_ms: block time of the request.
        count: records.
        amount: their sum.
        batch_hash: of the batch.
        cancelled_amount: of it, cancelled while requested.
        settled_by: transaction that settled it, or nothing while it is open.
        settled_ms: block time of that, or 0.
        paid: currency that it moved.
    """

    agreement: AgreementId
    request: Count
    reason: Word
    time_ms: Time
    count: Count
    amount: PositiveAmount
    batch_hash: Hash
    cancelled_amount: AmountOrZero
    settled_by: Annotated[bytes, Meta(max_length=32)]
    settled_ms: Time
    paid: AmountOrZero


class RequestView(Record, frozen=True):
    """A request with its items, and its state."""

    request: SettlementRequest
    summary: RequestSummary


class RequestsPage(Record, frozen=True):
    """A page of requests; ask on after ``last``."""

    requests: tuple[RequestSummary, ...]
    last: Count
    more: bool


class OpenRequestsPage(Record, frozen=True):
    """A page of open requests of all agreements; ask on after the last one."""

    requests: tuple[RequestSummary, ...]
    more: bool


class ClawbackItem(Record, frozen=True):
    """A clawback output.

    Attributes:
        place: in the agreement's netting order, from 1; 0 while its record is requested and not settled.
        outpoint: of the clawback output.
        amount: minor units.
        account: clawback account that it stands on.
        record: booking that it claws back.
    """

    place: Count
    outpoint: OutPointBytes
    amount: PositiveAmount
    account: Name
    record: Hash


class ClawbacksPage(Record, frozen=True):
    """A page of clawbacks; ask on after the last one's place."""

    clawbacks: tuple[ClawbackItem, ...]
    more: bool


class SettlementPlan(Record, frozen=True):
    """Exactly what settling a request must spend and create now; a cancellation in between changes it.

    Attributes:
        request: the request, its sum recomputable from the items.
        clawbacks: clawback outputs to spend, after the pending ones, in this order.
        clawed_back: their sum.
        paid: currency to move, or 0.
        carried: amount of the clawback that stays, or 0.
        totals: for each settled account, in order: what its settled output holds.
        outputs: the transaction's first outputs, in order: settled outputs, then the payment; or the carried clawback;
            or nothing. Change comes after them.
    """

    request: SettlementRequest
    clawbacks: tuple[ClawbackItem, ...]
    clawed_back: AmountOrZero
    paid: AmountOrZero
    carried: AmountOrZero
    totals: tuple[AccountTotal, ...]
    outputs: tuple[Output, ...]


class Books(Record, frozen=True):
    """The books of an agreement at this height (PROTOCOL.md 1.5).

    They close: ``booked == pending + settled + cancelled`` and ``paid == settled + clawbacks``. The unspent outputs
    agree with them: settled outputs sum to ``paid``, clawback outputs to ``clawbacks + clawbacks_waiting``, pending
    outputs to ``pending + clawbacks_waiting``.

    Attributes:
        agreement: id.
        booked: sum of all bookings, corrections included.
        pending: of records pending or requested, not cancelled.
        settled: of records settled, not cancelled.
        cancelled: of cancelled records.
        paid: currency moved.
        clawbacks: of settled records that were cancelled, not netted yet.
        clawbacks_waiting: of requested records that were cancelled; netted by their request's settlement.
        unrequested: part of ``pending`` that no request has taken.
        booked_count: bookings.
        cancelled_count: of them, cancelled.
        unrequested_count: records that no request has taken.
        requests: requests made.
        requests_open: of them, not settled.
    """

    agreement: AgreementId
    booked: AmountOrZero
    pending: AmountOrZero
    settled: AmountOrZero
    cancelled: AmountOrZero
    paid: AmountOrZero
    clawbacks: AmountOrZero
    clawbacks_waiting: AmountOrZero
    unrequested: AmountOrZero
    booked_count: Count
    cancelled_count: Count
    unrequested_count: Count
    requests: Count
    requests_open: Count


class Quote(Record, frozen=True):
    """What a sale would book as.

    Attributes:
        version: agreement version in force.
        executes: whether a booking condition holds.
        base_amount: what the rate applies to.
        rate_ppm: the rate.
        commission: minor units; 0 is refused by ``book``.
        pending: account.
        settled: account.
        clawback: account.
        output: the pending output that ``book`` requires, None for a zero commission.
        booked: whether the policy is booked (or was, and is cancelled) already.
    """

    version: Count
    executes: bool
    base_amount: AmountOrZero
    rate_ppm: Count
    commission: AmountOrZero
    pending: Name
    settled: Name
    clawback: Name
    output: Output | None
    booked: bool
