"""The bookkeeping service (PROTOCOL.md 1.3), which any member may run: executes agreements and delivers requests.

It is the sender of the transactions that it makes, and answers for nothing else: the platform signs each of them (or
does not), and the chain checks all of it again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from typing import Final

import structlog

from contracts.commission import codes
from contracts.commission.answers import STATUS_CANCELLED, BookingView
from contracts.commission.orders import Frame
from contracts.commission.records import Agreement
from ledger.encoding import encode
from ledger.errors import InvalidInput, NotFound, Overloaded, PeerMisbehaved, RemoteFault
from ledger.keys import SigningKey, verify
from ledger.transaction import Body, Transaction, assemble, body_id, sign_body
from node.gateway import Gateway, Outcome, ServiceLink
from node.services.bodies import LIFETIME_BLOCKS, SHORT_LIFETIME_BLOCKS, new_frame, order_body
from node.services.books import DEFAULT_CONTRACT, CommissionBooks
from node.services.delivery import RequestDelivery
from node.services.messages import (
    BOOK,
    BOOKKEEPING,
    CORRECT,
    MESSAGE_VERSION,
    TRANSACTION,
    CosignRequest,
    Order,
    OrderDone,
    cosign_answer_codec,
    cosign_codec,
    order_codec,
    order_done_codec,
)
from node.services.sales import check_order

log = structlog.get_logger(__name__)

MAX_ORDERS: Final = 1_024
"""Orders accepted at a time; more are refused as ``Overloaded``."""
MAX_CONCURRENT: Final = 64
"""Of them, carried out at a time."""
MAX_ATTEMPTS: Final = 4
"""Bodies built for one order: a trigger may take the record into a request between building and execution."""
COSIGN_TIMEOUT_S: Final = 10.0
OUTCOME_TIMEOUT_S: Final = 30.0

OUT_OF_DATE: Final = frozenset(
    {
        "input_missing",
        "expired",
        "cosign_refused",
        codes.INPUT_WRONG,
        codes.OUTPUT_MISSING,
        codes.OUTPUT_WRONG,
        codes.AMOUNT_WRONG,
    }
)
"""Refusals of a body that a newer look at the chain may mend."""
MENDABLE: Final = frozenset({"refused", "unknown"})
"""Statuses of a transaction that takes no effect any more, given one of those codes: ``unknown`` when it expired."""


class BookkeepingService:
    """See the module.

    Args:
        gateway: the own node.
        link: to other members' services, and the own ones.
        key: admitted key that sends; where it is the platform's own, nobody else has to sign.
        organisation: whose node this is.
        contract: address of the commission contract.
        agreements: ids that it serves; None: all.
    """

    def __init__(
        self,
        gateway: Gateway,
        link: ServiceLink,
        key: SigningKey,
        organisation: str,
        *,
        contract: str = DEFAULT_CONTRACT,
        agreements: Collection[str] | None = None,
    ) -> None:
        self._gateway = gateway
        self._link = link
        self._key = key
        self._books = CommissionBooks(gateway, contract)
        self._agreements = None if agreements is None else frozenset(agreements)
        self._delivery = RequestDelivery(self._books, link, organisation, self._serves)
        self._room = asyncio.Semaphore(MAX_CONCURRENT)
        self._under_way: dict[bytes, asyncio.Task[OrderDone]] = {}

    async def run(self) -> None:
        """Serves orders, and delivers settlement requests, until it is cancelled."""
        self._link.serve(BOOKKEEPING, self._serve_order)
        log.info("bookkeeping_service_started")
        try:
            await self._delivery.run()
        finally:
            for task in self._under_way.values():
                task.cancel()

    async def _serve_order(self, organisation: str, payload: bytes) -> bytes:
        return order_done_codec.encode(await self.execute(organisation, order_codec.decode(payload)))

    async def execute(self, organisation: str, order: Order) -> OrderDone:
        """Carries out an order of a platform; the same order at the same time is carried out once.

        Args:
            organisation: who asks.
            order: what to do.

        Raises:
            InvalidInput: the order cannot be carried out; ``not_permitted``: only the agreement's platform orders.
            Overloaded: too many orders are waiting.
            RemoteFault: the platform does not answer, or does not sign.
        """
        check_order(order)
        agreement = await self._books.agreement(order.agreement)
        if organisation != agreement.platform.organisation or not self._serves(order.agreement):
            raise InvalidInput("this service books for the agreement's platform only", code="not_permitted")
        name = encode(order)
        task = self._under_way.get(name)
        if task is None:
            if len(self._under_way) >= MAX_ORDERS:
                raise Overloaded(f"{MAX_ORDERS} orders are waiting", retry_after_ms=500)
            task = asyncio.create_task(self._carry_out(order, agreement))
            self._under_way[name] = task
            task.add_done_callback(lambda done: self._forget(name, done))
        # An asker that goes away must not take the order from the others that wait for it.
        return await asyncio.shield(task)

    def _forget(self, name: bytes, task: asyncio.Task[OrderDone]) -> None:
        del self._under_way[name]
        if not task.cancelled():
            task.exception()

    def _serves(self, agreement: str) -> bool:
        return self._agreements is None or agreement in self._agreements

    async def _carry_out(self, order: Order, agreement: Agreement) -> OrderDone:
        async with self._room:
            for attempt in range(1, MAX_ATTEMPTS + 1):
                done = await self._done_before(order)
                if done is not None:
                    return done
                try:
                    outcome = await self._attempt(order, agreement)
                except (InvalidInput, RemoteFault) as error:
                    code = str(error.data.get("peer_code", error.code))
                    if code not in OUT_OF_DATE or attempt == MAX_ATTEMPTS:
                        raise
                    log.info("order_rebuilt", action=order.action, attempt=attempt, code=code)
                    continue
                if outcome.status in MENDABLE and outcome.code in OUT_OF_DATE and attempt < MAX_ATTEMPTS:
                    log.info("order_rebuilt", action=order.action, attempt=attempt, code=outcome.code)
                    continue
                return OrderDone(
                    MESSAGE_VERSION, outcome.tx_id, outcome.status, outcome.code, outcome.height, already=False
                )
        raise AssertionError("the last attempt returns or raises")

    async def _attempt(self, order: Order, agreement: Agreement) -> Outcome:
        lifetime = LIFETIME_BLOCKS if order.action == BOOK else SHORT_LIFETIME_BLOCKS
        frame = await new_frame(self._books, self._key.public, lifetime_blocks=lifetime)
        transaction = await self._signed(order, agreement, frame)
        outcome = await self._gateway.submit_and_wait(transaction, OUTCOME_TIMEOUT_S)
        log.info("order_outcome", action=order.action, status=outcome.status, code=outcome.code, height=outcome.height)
        return outcome

    async def _signed(self, order: Order, agreement: Agreement, frame: Frame) -> Transaction:
        body = await order_body(self._books, order, frame)
        signatures = sign_body(body, (self._key,))
        if agreement.platform.key != self._key.public:
            signatures = (*signatures, await self._platform_signature(order, agreement, body))
        return assemble(body, signatures)

    async def _platform_signature(self, order: Order, agreement: Agreement, body: Body) -> tuple[bytes, bytes]:
        body_bytes = encode(body)
        payload = cosign_codec.encode(CosignRequest(MESSAGE_VERSION, order, body_bytes))
        answer = cosign_answer_codec.decode(
            await self._link.request(agreement.platform.organisation, TRANSACTION, payload, COSIGN_TIMEOUT_S)
        )
        wanted = agreement.platform.key
        if answer.key != wanted or not verify(wanted, body_id(body.chain_id, body_bytes), answer.signature):
            raise PeerMisbehaved("the platform's signature does not verify", code="cosign_invalid")
        return answer.key, answer.signature

    async def _done_before(self, order: Order) -> OrderDone | None:
        """What has become of the order already, by the chain: asking twice must not book twice, nor look refused."""
        if order.action == BOOK:
            assert order.sale is not None
            booking = await self._books.booking(order.agreement, order.sale.policy)
            if booking is None:
                return None
            if booking.status == STATUS_CANCELLED:
                return _refused(codes.POLICY_CANCELLED, booking)
            return _already(booking) if _sale_of(booking) == order.sale else _refused(codes.POLICY_BOOKED, booking)
        original = await self._books.record(order.record)
        if original.cancellation is None:
            return None
        record = original.cancellation.transaction_id
        try:
            successor: BookingView | None = await self._books.record(record)
        except NotFound:
            successor = None
        same = _sale_of(successor) == order.sale if successor is not None else order.action != CORRECT
        if not same or (order.action == CORRECT) != (successor is not None):
            return _refused(codes.ALREADY_CANCELLED, original)
        return OrderDone(MESSAGE_VERSION, record, "committed", "ok", 0, already=True)


def _sale_of(booking: BookingView | None) -> object:
    information = None if booking is None else booking.record.inputs[0].information
    return None if information is None else information.sale


def _already(booking: BookingView) -> OrderDone:
    return OrderDone(MESSAGE_VERSION, booking.record.transaction_id, "committed", "ok", 0, already=True)


def _refused(code: str, booking: BookingView) -> OrderDone:
    return OrderDone(MESSAGE_VERSION, booking.record.transaction_id, "refused", code, 0, already=True)
