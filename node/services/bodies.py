"""The body that an order comes to now, from what one's own node knows; both sides of a co-signing compute it."""

from __future__ import annotations

import secrets
from typing import Final

from contracts.commission.orders import Frame, booking_body, cancellation_body, correction_body
from ledger.encoding import Codec
from ledger.errors import InvalidInput
from ledger.transaction import MAX_TRANSACTION_BYTES, Body
from node.services.books import CommissionBooks
from node.services.messages import BOOK, CANCEL, Order
from node.services.sales import check_order

body_codec: Final = Codec(Body, MAX_TRANSACTION_BYTES, "transaction body")
LIFETIME_BLOCKS: Final = 500
"""How many blocks a body of ours may wait for its block; less where the chain's window is shorter."""
SHORT_LIFETIME_BLOCKS: Final = 20
"""The same where others' transactions can put a body out of date (cancellations, settlements). Other nodes then refuse
it while it waits in our own node's mempool and keeps its inputs from its successor: until it expires."""


async def new_frame(books: CommissionBooks, sender: bytes, *, lifetime_blocks: int = LIFETIME_BLOCKS) -> Frame:
    """The frame of a new body of ``sender``, with a nonce of its own.

    Args:
        books: of the chain and contract that it is for.
        sender: admitted key.
        lifetime_blocks: after so many blocks it expires.
    """
    info = await books.gateway.info()
    expiry = info.height + min(lifetime_blocks, info.expiry_window)
    return Frame(info.chain_id, books.contract, sender, expiry, secrets.token_bytes(16))


async def order_body(books: CommissionBooks, order: Order, frame: Frame) -> Body:
    """The one body that carries out ``order`` in ``frame``, as the committed state stands.

    Raises:
        InvalidInput: the order is malformed, belongs to another agreement, or cannot be carried out; ``code`` as the
            contract would say.
        NotFound: no such agreement or booking.
    """
    check_order(order)
    agreement = await books.agreement(order.agreement)
    if order.action == BOOK:
        assert order.sale is not None
        return booking_body(frame, agreement, order.sale)
    booking = await books.record(order.record)
    if booking.agreement != order.agreement:
        raise InvalidInput("the booking belongs to another agreement", code="commission_record_foreign")
    if order.action == CANCEL:
        return cancellation_body(frame, agreement, booking)
    assert order.sale is not None
    if booking.policy != order.sale.policy:
        raise InvalidInput("a correction keeps the policy of its booking", code="commission_policy_differs")
    booked_under = (await books.agreement_view(order.agreement, booking.version)).agreement
    return correction_body(frame, booked_under, booking, order.sale)
