"""What methods of the commission contract take, answer and emit (PROTOCOL.md 1.2 to 1.5)."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from contracts.commission.records import (
    MAX_BATCH,
    Agreement,
    AgreementId,
    AmountOrZero,
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
from ledger.envelope import Envelope

# --- arguments of methods -------------------------------------------------------------------------------------------


class Propose(Record, frozen=True):
    """Arguments of ``propose``: a draft, and which party (``platform`` or ``insurer``) drafts and thereby signs it."""

    agreement: Agreement
    party: Word


class Sign(Record, frozen=True):
    """Arguments of ``sign``: the other party's consent to exactly the draft with this hash."""

    agreement: AgreementId
    version: Count
    agreement_hash: Hash
    party: Word


class Book(Record, frozen=True):
    """Arguments of ``book``."""

    agreement: AgreementId
    sale: Sale


class Cancel(Record, frozen=True):
    """Arguments of ``cancel``: the record id (transaction id) of the original booking."""

    agreement: AgreementId
    record: Hash


class Correct(Record, frozen=True):
    """Arguments of ``correct``: the original booking, and the sale as it should have been (same policy)."""

    agreement: AgreementId
    record: Hash
    sale: Sale


class RequestSettlement(Record, frozen=True):
    """Arguments of ``request``: early settlement of what is pending, asked by ``platform`` or ``insurer``."""

    agreement: AgreementId
    party: Word


class SettlementReport(Record, frozen=True):
    """The record of a settlement at or below the regulator's limit, sealed to the authorities (PROTOCOL.md 2).

    Attributes:
        commitment: salted commitment to the record.
        envelope: the record, sealed by the transaction's sender to every current authority key; context: the flow with
            id ``contracts.flow.calls.flow_id(chain, insurer, commitment)``, stage ``settle``.
    """

    commitment: Hash
    envelope: Envelope


class Settle(Record, frozen=True):
    """Arguments of ``settle``.

    Attributes:
        agreement: id.
        request: its number within the agreement.
        batch_hash: of the request.
        report: where the regulator set a limit and the settlement is not above it; else None.
    """

    agreement: AgreementId
    request: Count
    batch_hash: Hash
    report: SettlementReport | None = None


# --- results of methods ---------------------------------------------------------------------------------------------


class AgreementSigned(Record, frozen=True):
    """Result of ``propose`` and ``sign``; also the event ``agreement_proposed`` or ``agreement_completed``."""

    agreement: AgreementId
    version: Count
    agreement_hash: Hash
    complete: bool
    activation_height: HeightNumber


class Booked(Record, frozen=True):
    """Result of ``book``; also the event ``commission_booked``.

    Attributes:
        agreement: id.
        policy: policy number.
        revision: 1; one more for each correction.
        sequence: place in the agreement's booking order, from 1.
        record: record id: the booking's transaction id.
        version: agreement version that it is booked under.
        outpoint: of the pending output.
        commission: minor units.
        pending: account of the pending output.
        settled: account that it will be settled to.
        clawback: account of a clawback, should there be one.
    """

    agreement: AgreementId
    policy: Name
    revision: Count
    sequence: Count
    record: Hash
    version: Count
    outpoint: OutPointBytes
    commission: PositiveAmount
    pending: Name
    settled: Name
    clawback: Name


class Cancelled(Record, frozen=True):
    """Result of ``cancel``; also the event ``commission_cancelled``.

    Attributes:
        agreement: id.
        policy: policy number.
        record: id of the booking cancelled.
        commission: its amount.
        status: what the booking was: ``pending``, ``requested`` or ``settled``.
        clawback: outpoint of the clawback output, or nothing (it was pending).
    """

    agreement: AgreementId
    policy: Name
    record: Hash
    commission: PositiveAmount
    status: Word
    clawback: Annotated[bytes, Meta(max_length=36)]


class Corrected(Record, frozen=True):
    """Result of ``correct``; its two halves are also the events of ``cancel`` and ``book``."""

    cancelled: Cancelled
    booked: Booked


class EarlyRequest(Record, frozen=True):
    """Result of ``request``, and event ``settlement_asked``: the request itself is an event of the block's end.

    Attributes:
        agreement: id.
        party: who asked.
        count: unrequested pending records at this point of the block.
        amount: their sum.
    """

    agreement: AgreementId
    party: Word
    count: Count
    amount: AmountOrZero


class RequestItem(Record, frozen=True):
    """A pending output in a request; the first 32 bytes of the outpoint are the record id."""

    outpoint: OutPointBytes
    amount: PositiveAmount


class AccountTotal(Record, frozen=True):
    """What of a request goes to one settled account."""

    account: Name
    amount: PositiveAmount


class SettlementRequest(Record, frozen=True):
    """A settlement request; also the event ``settlement_requested`` (PROTOCOL.md 1.4).

    Attributes:
        agreement: id.
        request: its number within the agreement, from 1.
        reason: trigger that fired: ``count``, ``amount``, ``age``, ``schedule`` or ``early``.
        height: of the block.
        time_ms: of the block.
        items: the pending outputs in booking order.
        totals: for each settled account, in order of first appearance.
        amount: sum of the items.
        batch_hash: see ``contracts.commission.amounts.batch_hash``.
    """

    agreement: AgreementId
    request: Count
    reason: Word
    height: HeightNumber
    time_ms: Time
    items: Annotated[tuple[RequestItem, ...], Meta(max_length=MAX_BATCH)]
    totals: tuple[AccountTotal, ...]
    amount: PositiveAmount
    batch_hash: Hash


class Settled(Record, frozen=True):
    """Result of ``settle``; also the event ``commission_settled``.

    Attributes:
        agreement: id.
        request: number.
        count: pending records settled.
        gross: their sum.
        clawbacks: how many clawback outputs were spent.
        clawed_back: their sum.
        paid: currency moved: what of ``gross`` is above ``clawed_back``, or 0.
        carried: what of ``clawed_back`` is above ``gross``, or 0: stays a clawback.
    """

    agreement: AgreementId
    request: Count
    count: Count
    gross: PositiveAmount
    clawbacks: Count
    clawed_back: AmountOrZero
    paid: AmountOrZero
    carried: AmountOrZero
