"""Books a validated file: pipelined, and as often as it takes.

Nothing is remembered outside the chain. Policies that are booked are asked for first, in pages; what slips through (a
run that was killed with transactions still waiting) is refused by the chain, which books each policy once.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from time import monotonic
from typing import Final, Protocol

from contracts.commission import codes
from contracts.commission.orders import booking_body
from contracts.commission.records import Agreement
from ledger.errors import Overloaded, RpcUnavailable
from ledger.keys import SigningKey
from ledger.transaction import build
from node.client import BulkAnswer, retry_after_s
from node.gateway import Gateway
from node.importer.plan import ImportPlan, PlannedSale
from node.services.bodies import new_frame
from node.services.books import CommissionBooks

BATCH: Final = 100
"""Transactions in one submission."""
IN_FLIGHT: Final = 4
"""Submissions at a time."""
WAIT_MS: Final = 5_000
GIVE_UP_S: Final = 120.0
"""A batch whose outcome is not known after so long is reported as unknown; running again settles it."""
PAUSE_S: Final = 0.2
DECIDED: Final = frozenset({"committed", "refused", "rejected"})
_BOOKED_BEFORE: Final = frozenset({codes.POLICY_BOOKED, codes.POLICY_CANCELLED})


class BulkGateway(Gateway, Protocol):
    """A gateway that takes many transactions at once."""

    async def submit_many(self, wires: Sequence[bytes], wait_ms: int = 0) -> list[BulkAnswer]:
        """See ``Client.submit_many``."""
        ...


@dataclass(slots=True)
class ImportResult:
    """What has been booked so far; true also of a run that was interrupted.

    Attributes:
        booked: policies booked by this run.
        amount: their commissions, minor units.
        already: policies that were booked before, whatever has become of them.
        differing: lines whose policy was booked before with other contents.
        refused: (line, reason code) of what the chain refused.
        unknown: lines whose outcome is not known yet.
    """

    booked: int = 0
    amount: int = 0
    already: int = 0
    differing: list[int] = field(default_factory=list)
    refused: list[tuple[int, str]] = field(default_factory=list)
    unknown: list[int] = field(default_factory=list)


class ImportRun:
    """One run over a validated file.

    Args:
        gateway: to any node.
        contract: address of the commission contract.
        agreement: the version in force.
        key: the platform's.
        progress: called with the number of policies that are done since the last call.
        acknowledged: called with the transaction id of each booking of this run, once it is committed.
        batch: transactions in one submission.
        in_flight: submissions at a time.

    Attributes:
        result: what has been booked so far.
    """

    def __init__(
        self,
        gateway: BulkGateway,
        contract: str,
        agreement: Agreement,
        key: SigningKey,
        progress: Callable[[int], None] | None = None,
        acknowledged: Callable[[bytes], None] | None = None,
        *,
        batch: int = BATCH,
        in_flight: int = IN_FLIGHT,
    ) -> None:
        self._gateway = gateway
        self._books = CommissionBooks(gateway, contract)
        self._agreement = agreement
        self._key = key
        self._progress = progress or _silent
        self._acknowledged = acknowledged or _silent
        self._batch = batch
        self._in_flight = in_flight
        self.result = ImportResult()

    async def run(self, plan: ImportPlan) -> ImportResult:
        """Books every sale of ``plan`` that is not booked yet.

        Raises:
            RemoteFault: the node went away for longer than ``GIVE_UP_S``; ``result`` says how far it came.
        """
        rest = await self._unbooked(plan.sales)
        queue = [rest[i : i + self._batch] for i in range(0, len(rest), self._batch)]
        queue.reverse()

        async def work() -> None:
            while queue:
                await self._book(queue.pop())

        async with asyncio.TaskGroup() as group:
            for _ in range(min(self._in_flight, len(queue))):
                group.create_task(work())
        self.result.refused.sort()
        self.result.unknown.sort()
        return self.result

    async def _unbooked(self, sales: Sequence[PlannedSale]) -> list[PlannedSale]:
        wanted = {item.sale.policy: item for item in sales}
        done: set[str] = set()
        async for booking in self._books.bookings(self._agreement.agreement):
            item = wanted.get(booking.policy)
            if item is None:
                continue
            done.add(booking.policy)
            information = booking.record.inputs[0].information
            if booking.revision == 1 and information is not None and information.sale.raw_hash != item.sale.raw_hash:
                self.result.differing.append(item.line)
        self.result.already = len(done)
        self._progress(len(done))
        return [item for item in sales if item.sale.policy not in done]

    async def _book(self, items: Sequence[PlannedSale]) -> None:
        waiting = dict(zip(await self._sign(items), items, strict=True))
        deadline = monotonic() + GIVE_UP_S
        while waiting:
            try:
                answers = await self._gateway.submit_many(list(waiting), WAIT_MS)
            except Overloaded as error:
                await asyncio.sleep(retry_after_s(error))
                answers = []
            except RpcUnavailable:
                if monotonic() >= deadline:
                    raise
                await asyncio.sleep(PAUSE_S)
                continue
            before = len(waiting)
            expired = self._take(answers, waiting)
            if expired:
                waiting.update(zip(await self._sign(expired), expired, strict=True))
            if waiting and monotonic() >= deadline:
                self.result.unknown.extend(item.line for item in waiting.values())
                return
            if len(waiting) == before:
                await asyncio.sleep(PAUSE_S)

    async def _sign(self, items: Sequence[PlannedSale]) -> list[bytes]:
        frame = await new_frame(self._books, self._key.public)
        return [
            build(
                booking_body(replace(frame, nonce=secrets.token_bytes(16)), self._agreement, item.sale), (self._key,)
            ).wire
            for item in items
        ]

    def _take(self, answers: Sequence[BulkAnswer], waiting: dict[bytes, PlannedSale]) -> list[PlannedSale]:
        """Takes what is decided out of ``waiting`` and counts it; returns what expired and has to be signed anew."""
        result = self.result
        expired: list[PlannedSale] = []
        for (wire, item), answer in zip(list(waiting.items()), answers, strict=False):
            if answer.status not in DECIDED:
                continue
            del waiting[wire]
            if answer.code == "expired":
                expired.append(item)
                continue
            self._progress(1)
            if answer.status == "committed":
                result.booked += 1
                self._acknowledged(answer.tx_id)
                result.amount += item.commission
            elif answer.code in _BOOKED_BEFORE:
                result.already += 1
            else:
                result.refused.append((item.line, answer.code))
        return expired


def _silent(news: object) -> None:
    del news
