"""The insurer's settlement service (PROTOCOL.md 1.3, 1.4): verifies settlement requests and settles them.

What is to be settled is always asked of the chain; events and deliveries only wake the service, so a restart forgets
nothing. Two transactions for one request spend the same pending outputs, so at most one of them takes effect: several
instances, and retries whose first try was lost, are harmless by construction.
"""

from __future__ import annotations

import asyncio
from typing import Final

import structlog

from contracts.commission import codes
from contracts.commission.answers import RequestSummary, SettlementPlan
from contracts.commission.calls import SettlementRequest
from contracts.commission.orders import choose_currency, settlement_body
from contracts.commission.records import Agreement
from contracts.flow.calls import AUTHORISED, LIMIT_SET, REFUSED, RESUMED, STAGE_EXPIRED
from ledger.errors import Fatal, InvalidInput, Overloaded, TidegateError
from ledger.keys import SigningKey
from ledger.transaction import Output, build
from ledger.types import OutPoint
from node.gateway import BlockEvents, Gateway, ServiceLink
from node.services.bodies import SHORT_LIFETIME_BLOCKS, new_frame
from node.services.books import DEFAULT_CONTRACT, CommissionBooks
from node.services.delivery import SETTLEMENT_EVENTS
from node.services.follow import follow, known_height
from node.services.messages import (
    MESSAGE_VERSION,
    SETTLEMENT,
    DeliveryAnswer,
    delivery_answer_codec,
    delivery_codec,
)
from node.services.supervised import DECISION_AWAITED, FLOW, SupervisedSettlement
from node.services.verification import BatchInvalid, verify_batch, verify_plan

log = structlog.get_logger(__name__)

DECIDED_EVENTS: Final = frozenset({AUTHORISED, REFUSED, LIMIT_SET, RESUMED, STAGE_EXPIRED})
"""Of contract ``flow``: what a settlement that waits for the regulator waits for."""
FIRST_RETRY_S: Final = 0.5
MAX_RETRY_S: Final = 10.0
MAX_ATTEMPTS: Final = 4
"""Transactions built for one request in one pass; a clawback or a spent currency output in between changes the plan."""
OUTCOME_TIMEOUT_S: Final = 30.0
CURRENCY_PAGE: Final = 1_000
MAX_CURRENCY_OUTPUTS: Final = 20_000
"""Unspent currency outputs looked at; an insurer with more joins them."""

PLAN_CHANGED: Final = frozenset(
    {
        "input_missing",
        "expired",
        "unbalanced",
        "lock_unsatisfied",
        codes.INPUT_WRONG,
        codes.CLAWBACKS_WRONG,
        codes.SUM_WRONG,
        codes.PAYMENT_WRONG,
        codes.OUTPUT_MISSING,
        codes.OUTPUT_WRONG,
    }
)
"""Refusals that a newer plan may mend."""


class SettlementService:
    """See the module.

    Args:
        gateway: the own node.
        link: over which requests are delivered.
        key: the insurer's key, as its agreements name it; it also owns the currency that pays.
        organisation: the insurer.
        contract: address of the commission contract.
    """

    def __init__(
        self,
        gateway: Gateway,
        link: ServiceLink,
        key: SigningKey,
        organisation: str,
        *,
        contract: str = DEFAULT_CONTRACT,
    ) -> None:
        self._gateway = gateway
        self._link = link
        self._key = key
        self._organisation = organisation
        self._books = CommissionBooks(gateway, contract)
        self._supervised = SupervisedSettlement(gateway, key)
        self._wake = asyncio.Event()
        self._sent: dict[tuple[str, int], tuple[bytes, tuple[bytes, ...]]] = {}

    async def run(self) -> None:
        """Settles what is requested until it is cancelled."""
        self._link.serve(SETTLEMENT, self._serve_delivery)
        height = await known_height(self._gateway, SETTLEMENT)
        self._wake.set()
        log.info("settlement_service_started", height=height)
        async with asyncio.TaskGroup() as group:
            group.create_task(follow(self._gateway, height + 1, self._note, SETTLEMENT))
            group.create_task(self._work())

    # --- what wakes it -----------------------------------------------------------------------------------------------

    def _note(self, block: BlockEvents) -> None:
        contract = self._books.contract
        if any(
            (event.contract == contract and event.name in SETTLEMENT_EVENTS)
            or (event.contract == FLOW and event.name in DECIDED_EVENTS)
            for _, event in block.events
        ):
            self._wake.set()

    async def _serve_delivery(self, organisation: str, payload: bytes) -> bytes:
        del organisation  # whoever brings it: what counts is whether the chain says the same
        return delivery_answer_codec.encode(await self.deliver(delivery_codec.decode(payload).request))

    async def deliver(self, request: SettlementRequest) -> DeliveryAnswer:
        """Takes a settlement request that somebody brings; delivering it again is harmless.

        Raises:
            BatchInvalid: its hash or sum is wrong, or the chain knows it differently.
            NotFound: the chain (as far as this node has it) knows no such request.
            InvalidInput: ``not_permitted``: another insurer's.
        """
        info = await self._gateway.info()
        verify_batch(info.chain_id, self._books.contract, request)
        agreement = await self._books.agreement(request.agreement)
        if agreement.insurer.organisation != self._organisation:
            raise InvalidInput("this is another insurer's request", code="not_permitted")
        known = await self._books.request(request.agreement, request.request)
        if known.request != request:
            raise BatchInvalid("the chain knows this request differently", code="batch_unknown")
        if known.summary.settled_by:
            return DeliveryAnswer(MESSAGE_VERSION, "settled", known.summary.settled_by)
        self._wake.set()
        return DeliveryAnswer(MESSAGE_VERSION, "accepted", b"")

    # --- settling ---------------------------------------------------------------------------------------------------

    async def _work(self) -> None:
        pause: float | None = None
        while True:
            try:
                async with asyncio.timeout(pause):
                    await self._wake.wait()
            except TimeoutError:
                pass
            self._wake.clear()
            try:
                rest = await self.settle_open()
            except Fatal:
                raise
            except TidegateError as error:
                log.warning("settlement_postponed", code=error.code)
                rest = 1
            pause = None if rest == 0 else min(2 * (pause or FIRST_RETRY_S / 2), MAX_RETRY_S)

    async def settle_open(self) -> int:
        """Settles every open request of this insurer, in order; returns how many are still open."""
        still_open: set[tuple[str, int]] = set()
        summaries = [summary async for summary in self._books.open_requests()]
        agreements: dict[str, Agreement | None] = {}
        for summary in summaries:
            if summary.agreement not in agreements:
                agreements[summary.agreement] = await self._own_agreement(summary.agreement)
            agreement = agreements[summary.agreement]
            if agreement is None:
                continue
            if not await self._settle(summary, agreement):
                still_open.add((summary.agreement, summary.request))
        self._sent = {name: sent for name, sent in self._sent.items() if name in still_open}
        return len(still_open)

    async def _own_agreement(self, name: str) -> Agreement | None:
        agreement = await self._books.agreement(name)
        if agreement.insurer.organisation != self._organisation:
            return None
        if agreement.insurer.key != self._key.public:
            log.warning("settlement_key_differs", agreement=name)
            return None
        return agreement

    async def _settle(self, summary: RequestSummary, agreement: Agreement) -> bool:
        """Settles one request; False when it has to be tried again later."""
        facts = {"agreement": summary.agreement, "request": summary.request}
        if await self._still_pending(summary):
            return False
        code = ""
        for _ in range(MAX_ATTEMPTS):
            try:
                status, code = await self._attempt(summary, agreement)
            except Overloaded:
                raise
            except InvalidInput as error:
                status, code = "refused", error.code
            if status == "committed" or code in (codes.REQUEST_SETTLED, "not_found"):
                log.info("request_settled", by_this=status == "committed", **facts)
                return True
            # One that has expired in the mempool is in no block any more, whatever its status was.
            if code not in PLAN_CHANGED or status in ("pending", "committed"):
                break
            log.info("settlement_rebuilt", code=code, **facts)
            if (await self._books.request(summary.agreement, summary.request)).summary.settled_by:
                return True
        if code == DECISION_AWAITED:
            log.info("settlement_waits", **facts)
        else:
            log.warning("settlement_not_done", code=code, **facts)
        return False

    async def _still_pending(self, summary: RequestSummary) -> bool:
        """True while a transaction of ours for this request waits for its block: another would only collide with it."""
        sent = self._sent.get((summary.agreement, summary.request))
        if sent is None:
            return False
        outcome = await self._gateway.outcome(sent[0])
        return outcome.status == "pending"

    async def _attempt(self, summary: RequestSummary, agreement: Agreement) -> tuple[str, str]:
        name = (summary.agreement, summary.request)
        plan = await self._books.plan(*name)
        info = await self._gateway.info()
        await verify_plan(self._books, info.chain_id, agreement, plan)
        report = await self._supervised.prepare(agreement, plan)
        currency = await self._currency(agreement, plan, name)
        frame = await new_frame(self._books, self._key.public, lifetime_blocks=SHORT_LIFETIME_BLOCKS)
        transaction = build(settlement_body(frame, agreement, plan, currency, report=report), (self._key,))
        self._sent[name] = (transaction.tx_id, tuple(outpoint for outpoint, _ in currency))
        outcome = await self._gateway.submit_and_wait(transaction, OUTCOME_TIMEOUT_S)
        return outcome.status, outcome.code

    async def _currency(
        self, agreement: Agreement, plan: SettlementPlan, name: tuple[str, int]
    ) -> list[tuple[bytes, Output]]:
        """Currency outputs that pay for ``plan`` and that no other transaction of this service is about to spend."""
        if not plan.paid:
            return []
        in_use = {outpoint for other, (_, used) in self._sent.items() if other != name for outpoint in used}
        unspent: list[tuple[bytes, Output]] = []
        after: OutPoint | None = None
        while len(unspent) < MAX_CURRENCY_OUTPUTS:
            page = await self._gateway.unspent(
                agreement.insurer.cash, asset=agreement.currency, after=after, limit=CURRENCY_PAGE
            )
            unspent.extend((item.outpoint, item.output) for item in page if item.outpoint not in in_use)
            if len(page) < CURRENCY_PAGE:
                break
            after = OutPoint(page[-1].outpoint)
        return choose_currency(unspent, plan)
