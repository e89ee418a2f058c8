"""The platform's transaction service (PROTOCOL.md 1.3): has sales booked, and signs what says exactly what was sold.

Whoever runs the bookkeeping service is not trusted: a body is signed only while the order that it carries out is under
way here, and only when it equals, field by field, the body that this service computes for that order from the agreement
on its own node. What is under way is kept in memory alone: after a restart the platform asks again, and the chain books
nothing twice.
"""

from __future__ import annotations

import asyncio
from typing import Final

import structlog

from contracts.admission import KeyArguments
from contracts.commission.orders import Frame
from ledger.admission import AdmissionCertificate
from ledger.encoding import encode
from ledger.errors import InvalidInput, NotFound, Overloaded
from ledger.keys import SigningKey, key_text
from ledger.transaction import Body, body_id
from node.gateway import Gateway, ServiceLink
from node.services.bodies import body_codec, order_body
from node.services.books import DEFAULT_CONTRACT, CommissionBooks
from node.services.messages import (
    BOOKKEEPING,
    MESSAGE_VERSION,
    SALES,
    TRANSACTION,
    CosignAnswer,
    CosignRequest,
    Order,
    OrderDone,
    cosign_answer_codec,
    cosign_codec,
    order_codec,
    order_done_codec,
)
from node.services.sales import SaleOrder, order_of, sale_order_codec

log = structlog.get_logger(__name__)

MAX_ORDERS: Final = 1_024
"""Orders under way at a time; more are refused as ``Overloaded``."""
MAX_EXPIRY_BLOCKS: Final = 1_000
"""A body may be valid for so many blocks at most: the platform's word on a sale does not stay open for ever."""
ORDER_TIMEOUT_S: Final = 60.0


class CosignRefused(InvalidInput):
    """A body that does not say what was sold; ``data["field"]`` says where it differs."""

    code = "cosign_refused"


class TransactionService:
    """See the module.

    Args:
        gateway: the own node.
        link: to other members' services, and the own ones.
        key: the platform's key, as its agreements name it.
        organisation: the platform.
        contract: address of the commission contract.
        admission: address of the admission contract.
        bookkeeper: peer id or organisation of the node that books; nothing: the own one.
    """

    def __init__(
        self,
        gateway: Gateway,
        link: ServiceLink,
        key: SigningKey,
        organisation: str,
        *,
        contract: str = DEFAULT_CONTRACT,
        admission: str = "admission",
        bookkeeper: str | None = None,
    ) -> None:
        self._gateway = gateway
        self._link = link
        self._key = key
        self._organisation = organisation
        self._bookkeeper = bookkeeper or organisation
        self._books = CommissionBooks(gateway, contract)
        self._admission = admission
        self._under_way: dict[bytes, int] = {}

    async def run(self) -> None:
        """Serves ``transaction`` to bookkeepers and ``sales`` to its own organisation until it is cancelled."""
        self._link.serve(TRANSACTION, self._serve_cosign)
        self._link.serve(SALES, self._serve_sale)
        log.info("transaction_service_started", bookkeeper=self._bookkeeper)
        await asyncio.Event().wait()

    # --- the platform's side: sales to be booked ---------------------------------------------------------------

    async def sell(self, request: SaleOrder) -> OrderDone:
        """Standardises a sale (or takes a cancellation) and has it booked.

        Raises:
            InvalidInput: the sale or order cannot be; or as ``order``.
            NotFound: no such agreement, or it is not in force.
        """
        agreement = await self._books.agreement(request.agreement)
        return await self.order(order_of(request, agreement))

    async def order(self, order: Order) -> OrderDone:
        """Has an order carried out by the bookkeeping service.

        Raises:
            Overloaded: too many orders are under way.
            RemoteFault: the bookkeeper is not connected, or refused.
        """
        payload = order_codec.encode(order)
        if len(self._under_way) >= MAX_ORDERS:
            raise Overloaded(f"{MAX_ORDERS} orders are under way", retry_after_ms=500)
        self._under_way[payload] = self._under_way.get(payload, 0) + 1
        try:
            answer = await self._link.request(self._bookkeeper, BOOKKEEPING, payload, ORDER_TIMEOUT_S)
        finally:
            self._under_way[payload] -= 1
            if not self._under_way[payload]:
                del self._under_way[payload]
        done = order_done_codec.decode(answer)
        log.info("order_done", action=order.action, status=done.status, code=done.code, height=done.height)
        return done

    async def _serve_sale(self, organisation: str, payload: bytes) -> bytes:
        if organisation != self._organisation:
            raise InvalidInput("only the platform itself sells here", code="not_permitted")
        return order_done_codec.encode(await self.sell(sale_order_codec.decode(payload)))

    # --- the bookkeeper's side: signatures ------------------------------------------------------------------------

    async def _serve_cosign(self, organisation: str, payload: bytes) -> bytes:
        request = cosign_codec.decode(payload)
        try:
            answer = await self.cosign(organisation, request)
        except InvalidInput as error:
            log.warning("cosign_refused", organisation=organisation, code=error.code, field=error.data.get("field"))
            raise
        return cosign_answer_codec.encode(answer)

    async def cosign(self, organisation: str, request: CosignRequest) -> CosignAnswer:
        """The platform's signature over a body, once it is checked.

        Args:
            organisation: who asks.
            request: the order and the body that carries it out.

        Raises:
            CosignRefused: the order is not under way, or the body says anything else than that order.
        """
        order = request.order
        if encode(order) not in self._under_way:
            raise CosignRefused("no such order is under way", code="cosign_order_unknown")
        body = body_codec.decode(request.body)
        info = await self._gateway.info()
        if body.chain_id != info.chain_id:
            raise _differs("chain_id")
        if not info.height < body.expiry_height <= info.height + MAX_EXPIRY_BLOCKS:
            raise _differs("expiry_height")
        await self._check_sender(organisation, body.sender)
        agreement = await self._books.agreement(order.agreement)
        if agreement.platform.key != self._key.public:
            raise CosignRefused("the agreement names another key than this service holds", code="cosign_key_differs")
        frame = Frame(info.chain_id, self._books.contract, body.sender, body.expiry_height, body.nonce)
        check_body(body, await order_body(self._books, order, frame))
        signature = self._key.sign(body_id(info.chain_id, request.body))
        return CosignAnswer(MESSAGE_VERSION, self._key.public, signature)

    async def _check_sender(self, organisation: str, sender: bytes) -> None:
        try:
            certificate = await self._gateway.view(
                self._admission, "certificate", KeyArguments(sender), AdmissionCertificate
            )
        except NotFound as error:
            raise _differs("sender") from error
        if certificate.organisation != organisation:
            raise CosignRefused(
                f"the sender {key_text(sender)} does not belong to {organisation}, who asks", field="sender"
            )


def check_body(body: Body, expected: Body) -> None:
    """Compares a body with the one that it has to be.

    Raises:
        CosignRefused: naming the first field that differs.
    """
    for name in Body.__struct_fields__:
        if getattr(body, name) != getattr(expected, name):
            raise _differs(name)


def _differs(field: str) -> CosignRefused:
    return CosignRefused(f"the body does not carry out the order: {field} differs", field=field)
