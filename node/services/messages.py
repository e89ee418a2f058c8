"""What services of different members say to each other: canonical records, each with a version and its bounds.

Requests and answers travel over ``ServiceLink``; a refusal is an error code there, never a record here.
"""

from __future__ import annotations

from typing import Annotated, Final

from msgspec import Meta

from contracts.commission.calls import SettlementRequest
from contracts.commission.records import AgreementId, Count, Hash, HashOrNothing, Key, Name, Sale
from ledger.encoding import Codec, Record
from ledger.transaction import MAX_TRANSACTION_BYTES

MESSAGE_VERSION: Final = 1
TRANSACTION: Final = "transaction"
SALES: Final = "sales"
BOOKKEEPING: Final = "bookkeeping"
SETTLEMENT: Final = "settlement"

BOOK: Final = "book"
CANCEL: Final = "cancel"
CORRECT: Final = "correct"
ACTIONS: Final = (BOOK, CANCEL, CORRECT)

MAX_MESSAGE_BYTES: Final = 512 * 1024

_Version = Annotated[int, Meta(ge=MESSAGE_VERSION, le=MESSAGE_VERSION)]
_Action = Annotated[str, Meta(min_length=1, max_length=16)]


class Order(Record, frozen=True):
    """Something that the platform wants booked.

    Attributes:
        version: of this message.
        action: ``book``, ``cancel`` or ``correct``.
        agreement: id.
        record: of ``cancel`` and ``correct``: the original booking's record id; otherwise nothing.
        sale: of ``book`` and ``correct``; otherwise None.
    """

    version: _Version
    action: _Action
    agreement: AgreementId
    record: HashOrNothing
    sale: Sale | None


class OrderDone(Record, frozen=True):
    """What became of an order.

    Attributes:
        version: of this message.
        tx_id: transaction that did it; of a policy that was booked before, that booking's.
        status: ``committed``, ``refused``, ``pending`` or ``unknown``, as in ``Outcome``.
        code: ``ok``, or the reason code of the refusal.
        height: of the block, or 0.
        already: True when nothing had to be done because it was done before.
    """

    version: _Version
    tx_id: Hash
    status: Annotated[str, Meta(max_length=16)]
    code: Annotated[str, Meta(max_length=64)]
    height: Count
    already: bool


class CosignRequest(Record, frozen=True):
    """A bookkeeping service asks the platform to sign the body that carries out an order of its own.

    Attributes:
        version: of this message.
        order: the order that the body carries out, as received.
        body: canonical bytes of the transaction's body.
    """

    version: _Version
    order: Order
    body: Annotated[bytes, Meta(min_length=1, max_length=MAX_TRANSACTION_BYTES)]


class CosignAnswer(Record, frozen=True):
    """The platform's signature over that body."""

    version: _Version
    key: Key
    signature: Annotated[bytes, Meta(min_length=65, max_length=65)]


class Delivery(Record, frozen=True):
    """A settlement request that the contract emitted, brought to the insurer."""

    version: _Version
    request: SettlementRequest


class DeliveryAnswer(Record, frozen=True):
    """What the settlement service knows of it: ``accepted`` (it will settle it) or ``settled``, by ``settled_by``."""

    version: _Version
    status: Name
    settled_by: HashOrNothing


order_codec = Codec(Order, MAX_MESSAGE_BYTES, "order")
order_done_codec = Codec(OrderDone, MAX_MESSAGE_BYTES, "order answer")
cosign_codec = Codec(CosignRequest, MAX_MESSAGE_BYTES, "co-signing request")
cosign_answer_codec = Codec(CosignAnswer, MAX_MESSAGE_BYTES, "co-signing answer")
delivery_codec = Codec(Delivery, MAX_MESSAGE_BYTES, "settlement delivery")
delivery_answer_codec = Codec(DeliveryAnswer, MAX_MESSAGE_BYTES, "settlement delivery answer")
