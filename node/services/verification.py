"""What an insurer checks before it pays: the batch's hash, its sum, and each record in it (PROTOCOL.md 1.3, 1.4).

The chain has checked all of it. The insurer checks it again from the records, because it is its money.
"""

from __future__ import annotations

import asyncio
from typing import Final

from contracts.commission.amounts import batch_hash
from contracts.commission.answers import SettlementPlan
from contracts.commission.calls import SettlementRequest
from contracts.commission.records import PURCHASE, Agreement
from contracts.commission.terms import Terms, terms_of
from ledger.errors import InvalidInput
from node.services.books import CommissionBooks

RECORDS_AT_ONCE: Final = 32
"""Records checked before the loop may do something else."""


class BatchInvalid(InvalidInput):
    """A settlement request, or the plan of settling it, that does not follow from its records."""

    code = "batch_invalid"


def verify_batch(chain_id: bytes, contract: str, request: SettlementRequest) -> None:
    """Checks that a request's hash and sums are those of its items.

    Raises:
        BatchInvalid: ``batch_hash_wrong``, ``batch_sum_wrong``.
    """
    computed = batch_hash(chain_id, contract, request.agreement, request.request, request.items)
    if computed != request.batch_hash:
        raise BatchInvalid("the hash of the batch is not the request's", code="batch_hash_wrong")
    total = sum(item.amount for item in request.items)
    if total != request.amount or total != sum(entry.amount for entry in request.totals):
        raise BatchInvalid(f"the items sum to {total}, the request says {request.amount}", code="batch_sum_wrong")


async def verify_plan(books: CommissionBooks, chain_id: bytes, agreement: Agreement, plan: SettlementPlan) -> None:
    """Checks a settlement plan down to the commission of every record in it.

    Args:
        books: of one's own node.
        chain_id: 32 bytes.
        agreement: the version in force.
        plan: to be carried out.

    Raises:
        BatchInvalid: hash, sums, a record, or the payment does not follow from what both parties signed.
    """
    request = plan.request
    verify_batch(chain_id, books.contract, request)
    versions: dict[int, Agreement] = {agreement.version: agreement}
    totals: dict[str, int] = {}
    for place, item in enumerate(request.items):
        booking = await books.record(item.outpoint[:32])
        if booking.version not in versions:
            versions[booking.version] = (await books.agreement_view(request.agreement, booking.version)).agreement
        information, kind = booking.record.inputs[0].information, booking.record.inputs[0].type
        assert information is not None
        terms = terms_of(books.contract, versions[booking.version], kind or PURCHASE, information.sale)
        _check_record(booking.agreement == request.agreement, item.outpoint == booking.outpoint, item.amount, terms)
        totals[terms.row.settled] = totals.get(terms.row.settled, 0) + terms.commission
        if place % RECORDS_AT_ONCE == RECORDS_AT_ONCE - 1:
            await asyncio.sleep(0)
    if totals != {entry.account: entry.amount for entry in request.totals}:
        raise BatchInvalid("the request's totals are not those of its records", code="batch_totals_wrong")
    _check_payment(agreement, plan)


def _check_record(same_agreement: bool, same_outpoint: bool, amount: int, terms: Terms) -> None:
    if not same_agreement or not same_outpoint:
        raise BatchInvalid("an item is not the pending output of a booking", code="batch_record_wrong")
    if amount != terms.commission:
        raise BatchInvalid(f"an item holds {amount}, the agreement gives {terms.commission}", code="batch_record_wrong")


def _check_payment(agreement: Agreement, plan: SettlementPlan) -> None:
    clawed_back = sum(item.amount for item in plan.clawbacks)
    paid = max(0, plan.request.amount - clawed_back)
    if clawed_back != plan.clawed_back or paid != plan.paid:
        raise BatchInvalid(f"{paid} is due, the plan pays {plan.paid}", code="batch_payment_wrong")
    moved = [output for output in plan.outputs if output.asset == agreement.currency]
    if [(output.amount, output.lock) for output in moved] != ([(paid, agreement.platform.cash)] if paid else []):
        raise BatchInvalid("the plan's payment is not to the platform's account", code="batch_payment_wrong")
