"""Transaction bodies for the commission contract: the right inputs, outputs and call of each order, by pure functions.

For the SDK and the services, who sign what comes out; the docstrings say with which keys. The contract checks
everything again, so a body that is out of date is refused, never wrong.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from contracts.commission import codes
from contracts.commission.amounts import agreement_hash
from contracts.commission.answers import STATUS_CANCELLED, STATUS_PENDING, BookingView, SettlementPlan
from contracts.commission.calls import (
    Book,
    Cancel,
    Correct,
    Propose,
    RequestSettlement,
    Settle,
    SettlementReport,
    Sign,
)
from contracts.commission.records import CORRECT, PLATFORM, PURCHASE, Agreement, Sale
from contracts.commission.state import account_lock, clawback_asset
from contracts.commission.terms import check_agreement, check_sale, terms_of
from ledger.encoding import Record, encode
from ledger.errors import InvalidInput
from ledger.transaction import MAX_INPUTS, VERSION, Body, Call, Output


@dataclass(frozen=True, slots=True)
class Frame:
    """What every body of one sender has.

    Attributes:
        chain_id: 32 bytes.
        address: of the commission contract.
        sender: admitted key that answers for the transaction; it signs too.
        expiry_height: last height whose block may contain it.
        nonce: 16 bytes; equal orders with one nonce are one transaction.
        cosigners: keys that sign beside the sender and the parties that the order itself needs.
    """

    chain_id: bytes
    address: str
    sender: bytes
    expiry_height: int
    nonce: bytes
    cosigners: tuple[bytes, ...] = ()

    def body(
        self,
        method: str,
        arguments: Record,
        inputs: Iterable[bytes] = (),
        outputs: Iterable[Output] = (),
        *,
        party: bytes | None = None,
    ) -> Body:
        """The body with one call of ``method``, which needs the signature of ``party`` too."""
        signers = {*self.cosigners, *(() if party is None else (party,))} - {self.sender}
        return Body(
            version=VERSION,
            chain_id=self.chain_id,
            sender=self.sender,
            expiry_height=self.expiry_height,
            nonce=self.nonce,
            inputs=tuple(inputs),
            outputs=tuple(outputs),
            calls=(Call(self.address, method, encode(arguments)),),
            attachments=(),
            memo=b"",
            cosigners=tuple(sorted(signers)),
        )


def _party(agreement: Agreement, party: str) -> bytes:
    return agreement.platform.key if party == PLATFORM else agreement.insurer.key


def proposal_body(frame: Frame, agreement: Agreement, party: str) -> Body:
    """Drafts ``agreement``; signed by the key of ``party``, and by its key so far where the draft changes it.

    Name the latter as a cosigner of ``frame``.

    Raises:
        InvalidInput: the agreement cannot be; ``code`` as the contract would say.
    """
    check_agreement(frame.address, agreement)
    return frame.body("propose", Propose(agreement, party), party=_party(agreement, party))


def signature_body(frame: Frame, agreement: Agreement, party: str) -> Body:
    """Consents to the draft ``agreement``, read and found good; signed as ``proposal_body``, by the other party."""
    terms_hash = agreement_hash(frame.chain_id, frame.address, agreement)
    consent = Sign(agreement.agreement, agreement.version, terms_hash, party)
    return frame.body("sign", consent, party=_party(agreement, party))


def booking_body(frame: Frame, agreement: Agreement, sale: Sale) -> Body:
    """Books ``sale`` under ``agreement``, the version in force; signed by the platform.

    Raises:
        InvalidInput: it does not book; ``code`` as the contract would say (an import skips ``commission_zero``).
    """
    check_sale(sale)
    terms = terms_of(frame.address, agreement, PURCHASE, sale)
    return frame.body("book", Book(agreement.agreement, sale), outputs=(terms.output,), party=agreement.platform.key)


def cancellation_body(frame: Frame, agreement: Agreement, booking: BookingView) -> Body:
    """Cancels ``booking``; ``agreement`` is any version of its agreement; signed by the platform.

    Raises:
        InvalidInput: ``commission_already_cancelled``.
    """
    inputs, outputs = _withdrawal(frame, agreement, booking)
    order = Cancel(booking.agreement, booking.record.transaction_id)
    return frame.body("cancel", order, inputs, outputs, party=agreement.platform.key)


def correction_body(frame: Frame, booked_under: Agreement, booking: BookingView, sale: Sale) -> Body:
    """Replaces ``booking`` by ``sale``; signed by the platform.

    Args:
        frame: see there.
        booked_under: the version that ``booking`` names; a correction stays under it.
        booking: the policy's latest booking.
        sale: of the same policy.

    Raises:
        InvalidInput: ``commission_already_cancelled``, ``commission_version_wrong`` (another version), or why the sale
            does not book.
    """
    if booked_under.version != booking.version:
        raise InvalidInput(f"the booking is under version {booking.version}; give that one", code=codes.VERSION_WRONG)
    check_sale(sale)
    inputs, outputs = _withdrawal(frame, booked_under, booking)
    terms = terms_of(frame.address, booked_under, CORRECT, sale)
    arguments = Correct(booking.agreement, booking.record.transaction_id, sale)
    return frame.body("correct", arguments, inputs, (*outputs, terms.output), party=booked_under.platform.key)


def _withdrawal(
    frame: Frame, agreement: Agreement, booking: BookingView
) -> tuple[tuple[bytes, ...], tuple[Output, ...]]:
    if booking.status == STATUS_CANCELLED:
        raise InvalidInput(f"the booking of {booking.policy} is cancelled already", code=codes.ALREADY_CANCELLED)
    if booking.status == STATUS_PENDING:
        return (booking.outpoint,), ()
    asset = clawback_asset(frame.address, agreement.currency)
    return (), (Output(asset, booking.commission, account_lock(frame.address, booking.clawback)),)


def request_body(frame: Frame, agreement: str, party: str) -> Body:
    """Asks for early settlement of what is pending under the agreement with that id; signed by ``party``.

    Where another key sends it, name the party's as a cosigner of ``frame``.
    """
    return frame.body("request", RequestSettlement(agreement, party))


def settlement_body(
    frame: Frame,
    agreement: Agreement,
    plan: SettlementPlan,
    currency: Sequence[tuple[bytes, Output]],
    *,
    change: str | None = None,
    report: SettlementReport | None = None,
) -> Body:
    """Settles what ``plan`` says; signed by the insurer, and by whoever else owns the currency (as cosigners).

    Args:
        frame: see there.
        agreement: the version in force.
        plan: answer of the view ``settlement_plan``; check its hash and sum before.
        currency: (outpoint, output) to pay with, as from ``choose_currency``; not used where nothing is paid.
        change: lock of the change; the insurer's cash lock when None.
        report: what the regulator is told, where it set a limit that the settlement is not above.

    Raises:
        InvalidInput: ``commission_currency_short``.
    """
    paying = currency if plan.paid else ()
    held = sum(output.amount for _, output in paying)
    if held < plan.paid:
        raise _short(held, plan.paid)
    outputs = list(plan.outputs)
    if held > plan.paid:
        outputs.append(Output(agreement.currency, held - plan.paid, change or agreement.insurer.cash))
    inputs = [item.outpoint for item in plan.request.items]
    inputs += [item.outpoint for item in plan.clawbacks]
    inputs += [outpoint for outpoint, _ in paying]
    arguments = Settle(plan.request.agreement, plan.request.request, plan.request.batch_hash, report)
    return frame.body("settle", arguments, inputs, outputs, party=agreement.insurer.key)


def choose_currency(unspent: Iterable[tuple[bytes, Output]], plan: SettlementPlan) -> list[tuple[bytes, Output]]:
    """Which of the insurer's unspent currency outputs pay for ``plan``: the largest first, as few as possible.

    Raises:
        InvalidInput: ``commission_currency_short``: there is too little, or in too many small outputs.
    """
    room = MAX_INPUTS - len(plan.request.items) - len(plan.clawbacks)
    chosen: list[tuple[bytes, Output]] = []
    held = 0
    for item in sorted(unspent, key=lambda item: (-item[1].amount, item[0])):
        if held >= plan.paid or len(chosen) >= room:
            break
        chosen.append(item)
        held += item[1].amount
    if held < plan.paid:
        raise _short(held, plan.paid)
    return chosen


def _short(held: int, needed: int) -> InvalidInput:
    return InvalidInput(
        f"the currency outputs given hold {held}, the settlement moves {needed}; add funds or join small outputs",
        code=codes.CURRENCY_SHORT,
        held=held,
        needed=needed,
    )
