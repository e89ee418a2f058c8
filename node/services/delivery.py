"""Brings settlement requests that the contract emitted to the insurers' settlement services (PROTOCOL.md 1.3).

A convenience, never a dependency: an insurer's service finds its requests on its own node's chain too. Which requests
are open is always asked of the chain, so a restart forgets nothing; delivering one again is harmless.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from time import monotonic
from typing import Final

import structlog

from contracts.commission.answers import RequestSummary
from ledger.errors import Fatal, InvalidInput, RemoteFault, TidegateError
from node.gateway import BlockEvents, ServiceLink
from node.services.books import CommissionBooks
from node.services.follow import follow, known_height
from node.services.messages import (
    BOOKKEEPING,
    MESSAGE_VERSION,
    SETTLEMENT,
    Delivery,
    delivery_answer_codec,
    delivery_codec,
)

log = structlog.get_logger(__name__)

FIRST_RETRY_S: Final = 1.0
MAX_RETRY_S: Final = 60.0
MAX_REMEMBERED: Final = 4_096
"""Requests whose next delivery is remembered; beyond it the oldest is delivered again at once, which is harmless."""
DELIVERY_TIMEOUT_S: Final = 10.0
SETTLEMENT_EVENTS: Final = frozenset({"settlement_requested", "commission_settled"})


class RequestDelivery:
    """See the module.

    Args:
        books: of the chain and contract.
        link: to the insurers' services.
        organisation: whose node this is.
        serves: whether an agreement (id) is this service's business.
    """

    def __init__(
        self, books: CommissionBooks, link: ServiceLink, organisation: str, serves: Callable[[str], bool]
    ) -> None:
        self._books = books
        self._link = link
        self._organisation = organisation
        self._serves = serves
        self._wake = asyncio.Event()
        self._next: dict[tuple[str, int], tuple[float, float]] = {}

    async def run(self) -> None:
        """Delivers until it is cancelled."""
        height = await known_height(self._books.gateway, BOOKKEEPING)
        self._wake.set()
        async with asyncio.TaskGroup() as group:
            group.create_task(follow(self._books.gateway, height + 1, self._note, BOOKKEEPING))
            group.create_task(self._work())

    def _note(self, block: BlockEvents) -> None:
        contract = self._books.contract
        if any(event.contract == contract and event.name in SETTLEMENT_EVENTS for _, event in block.events):
            self._wake.set()

    async def _work(self) -> None:
        while True:
            try:
                async with asyncio.timeout(self._pause_s()):
                    await self._wake.wait()
            except TimeoutError:
                pass
            self._wake.clear()
            try:
                await self.deliver_due()
            except Fatal:
                raise
            except TidegateError as error:
                log.warning("delivery_postponed", code=error.code)
                await asyncio.sleep(FIRST_RETRY_S)
                self._wake.set()

    def _pause_s(self) -> float | None:
        if not self._next:
            return None
        return max(0.0, min(due for due, _ in self._next.values()) - monotonic())

    async def deliver_due(self) -> None:
        """Delivers every open request whose time has come."""
        found: set[tuple[str, int]] = set()
        async for summary in self._books.open_requests():
            name = (summary.agreement, summary.request)
            if not self._serves(summary.agreement):
                continue
            found.add(name)
            due, pause = self._next.get(name, (0.0, FIRST_RETRY_S))
            if due > monotonic():
                continue
            await self._deliver(summary)
            self._next[name] = (monotonic() + pause, min(2 * pause, MAX_RETRY_S))
        self._next = dict([(name, entry) for name, entry in self._next.items() if name in found][-MAX_REMEMBERED:])

    async def _deliver(self, summary: RequestSummary) -> None:
        view = await self._books.request(summary.agreement, summary.request)
        insurer = (await self._books.agreement(summary.agreement)).insurer.organisation
        payload = delivery_codec.encode(Delivery(MESSAGE_VERSION, view.request))
        facts = {"agreement": summary.agreement, "request": summary.request, "insurer": insurer}
        try:
            answer = await self._link.request(insurer, SETTLEMENT, payload, DELIVERY_TIMEOUT_S)
            status = delivery_answer_codec.decode(answer).status
        except (RemoteFault, InvalidInput) as error:
            log.warning("delivery_failed", code=str(error.data.get("peer_code", error.code)), **facts)
            return
        log.info("request_delivered", status=status, **facts)
