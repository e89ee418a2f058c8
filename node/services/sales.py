"""Raw sales, as a platform has them, standardised into the sale of a commission record (PROTOCOL.md 1.1, 1.3)."""

from __future__ import annotations

from hashlib import sha256
from typing import Annotated, Final

from msgspec import Meta

from contracts.commission.records import MAX_SALE_EVENTS, Agreement, AgreementId, Day, HashOrNothing, Name, Sale
from contracts.commission.terms import check_sale
from ledger.encoding import Codec, Record, encode
from ledger.errors import InvalidInput
from node.importer.amounts import read_amount
from node.services.messages import ACTIONS, BOOK, CANCEL, MAX_MESSAGE_BYTES, MESSAGE_VERSION, Order

_Amount = Annotated[str, Meta(max_length=80)]


class RawSale(Record, frozen=True):
    """A sale as sold: amounts as decimal text in major units.

    Attributes:
        policy: policy number.
        seller: who sold.
        product: what.
        channel: how.
        premium: such as ``3000`` or ``16884.924``.
        sold_on: ``YYYYMMDD``.
        amount_insured: as ``premium``; empty where not known.
        effective_on: ``YYYYMMDD``, or 0.
        policy_state: state of the policy.
        events: what has happened to it.
        insured: pseudonym of the insured, 32 bytes or nothing; never a name or number.
        sealed_hash: hash of what is sealed to both parties, or nothing.
    """

    policy: Name
    seller: Name
    product: Name
    channel: Name
    premium: _Amount
    sold_on: Day
    amount_insured: _Amount = ""
    effective_on: Day = 0
    policy_state: Name = "in_force"
    events: Annotated[tuple[Name, ...], Meta(max_length=MAX_SALE_EVENTS)] = ()
    insured: HashOrNothing = b""
    sealed_hash: HashOrNothing = b""


class SaleOrder(Record, frozen=True):
    """What the platform's own systems ask its transaction service for.

    Attributes:
        version: of this message.
        action: ``book``, ``cancel`` or ``correct``.
        agreement: id.
        record: of ``cancel`` and ``correct``: record id of the original booking; otherwise nothing.
        raw: of ``book`` and ``correct``: the sale; otherwise None.
    """

    version: Annotated[int, Meta(ge=MESSAGE_VERSION, le=MESSAGE_VERSION)]
    action: Annotated[str, Meta(min_length=1, max_length=16)]
    agreement: AgreementId
    record: HashOrNothing
    raw: RawSale | None


sale_order_codec: Final = Codec(SaleOrder, MAX_MESSAGE_BYTES, "sale order")


def standardise(raw: RawSale, agreement: Agreement) -> Sale:
    """The sale of a commission record: premiums in minor units, rounded as the agreement says.

    Raises:
        InvalidInput: an amount that cannot be read, or a premium that rounds to nothing (``premium_zero``).
        Refusal: ``commission_sale_invalid``, ``commission_name_invalid``.
    """
    premium = read_amount(raw.premium, agreement.scale, agreement.rounding)
    insured = read_amount(raw.amount_insured, agreement.scale, agreement.rounding) if raw.amount_insured else 0
    if premium == 0:
        raise InvalidInput(f"policy {raw.policy}: the premium rounds to zero", code="premium_zero")
    sale = Sale(
        policy=raw.policy,
        seller=raw.seller,
        product=raw.product,
        channel=raw.channel,
        premium=premium,
        amount_insured=insured,
        sold_on=raw.sold_on,
        effective_on=raw.effective_on,
        policy_state=raw.policy_state,
        events=raw.events,
        insured=raw.insured,
        raw_hash=sha256(encode(raw)).digest(),
        sealed_hash=raw.sealed_hash,
    )
    check_sale(sale)
    return sale


def order_of(request: SaleOrder, agreement: Agreement) -> Order:
    """The order for a bookkeeping service that a sale order comes to.

    Raises:
        InvalidInput: as ``standardise``; ``order_invalid``: parts are missing or too many.
    """
    sale = None if request.raw is None else standardise(request.raw, agreement)
    order = Order(MESSAGE_VERSION, request.action, request.agreement, request.record, sale)
    check_order(order)
    return order


def check_order(order: Order) -> None:
    """Checks that an order has the parts that its action needs, and no others.

    Raises:
        InvalidInput: ``order_invalid``.
    """
    if order.action not in ACTIONS:
        raise InvalidInput(f"an order is one of {', '.join(ACTIONS)}", code="order_invalid")
    if (order.sale is None) != (order.action == CANCEL) or len(order.record) != (0 if order.action == BOOK else 32):
        raise InvalidInput("book takes a sale, cancel the record id of the booking, correct both", code="order_invalid")
