"""One direction of the relay: carries what one chain has for the other.

What has to be done is read from the two chains: at the start, again and again (so that nothing that failed is
forgotten), and at once when a block has something to carry.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections import deque
from statistics import median
from typing import Any, Final

import structlog

from contracts.bridge.records import (
    ClientView,
    Delivered,
    DeliveredQuery,
    DeliveredView,
    LaneView,
    OutboxItem,
    OutboxPage,
    OutboxQuery,
    RoleQuery,
)
from ledger.encoding import Codec, encode
from ledger.errors import InvalidInput, NotFound, RemoteFault
from ledger.packet import Delivery
from ledger.transaction import Body, Call, Transaction, build
from node.chain import Committed
from node.clock import monotonic_ms
from node.relay.assembly import Cargo, build_deliveries, cargo_of, open_cargo, prove_header
from node.relay.ends import BRIDGE, RelayEnd
from node.relay.turns import Turns

log = structlog.get_logger(__name__)

RESCAN_S: Final = 2.0
MAX_UNDER_WAY: Final = 16
"""Blocks that are being delivered at once in one direction."""
MAX_ATTEMPTS: Final = 5
"""Deliveries of one block in a row; then the next rescan tries again."""
DELIVERY_TIMEOUT_S: Final = 20.0
EXPIRY_BLOCKS: Final = 64
FINALITY_SAMPLES: Final = 1_024
"""Deliveries whose time from submission to commit the report's median is of."""
MAX_PAGES: Final = 64
NOTHING_NEW: Final = "bridge_nothing_new"
_delivered_codec = Codec(Delivered, 1_024, "delivery result")


class Direction:
    """See the module.

    Args:
        source: where packets and answers come from.
        destination: where they go.
    """

    def __init__(self, source: RelayEnd, destination: RelayEnd) -> None:
        self.source = source
        self.destination = destination
        self.turns = Turns(destination.key.public)
        self._queued: set[int] = set()
        self._under_way: dict[int, asyncio.Task[None]] = {}
        self._wake = asyncio.Event()
        self.packets = 0
        self.answers = 0
        self.deliveries = 0
        self.failures = 0
        self.busy_ms = 0.0
        self._finality_ms: deque[float] = deque(maxlen=FINALITY_SAMPLES)
        source.subscribe(self._on_source_block)
        destination.subscribe(self._on_destination_block)

    # --- what the chains tell us ------------------------------------------------------------------------------------

    def _on_source_block(self, committed: Committed) -> None:
        if cargo_of(committed.candidate.result.receipts, self.destination.chain.chain_id):
            self._queued.add(committed.height)
            self._wake.set()

    def _on_destination_block(self, committed: Committed) -> None:
        now = monotonic_ms()
        for transaction in committed.candidate.transactions:
            calls = transaction.body.calls
            if calls and calls[0].contract == BRIDGE and transaction.body.sender != self.destination.key.public:
                self.turns.seen(transaction.body.sender, now)

    # --- working ----------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Delivers until it is cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._rescan(), name="relay_rescan")
            group.create_task(self._renew(), name="relay_renew")
            while True:
                await self._wake.wait()
                self._wake.clear()
                for height in sorted(self._queued):
                    if len(self._under_way) >= MAX_UNDER_WAY:
                        break
                    self._queued.discard(height)
                    if height not in self._under_way:
                        self._under_way[height] = group.create_task(self._carry(height))

    async def _carry(self, height: int) -> None:
        try:
            delay_ms = self.turns.delay_ms(height, monotonic_ms())
            await asyncio.sleep(delay_ms / 1000)
            if await self._deliver(height) and delay_ms:
                self.turns.missed(height, monotonic_ms())
        except (InvalidInput, RemoteFault) as error:
            self.failures += 1
            log.warning("relay_delivery_failed", source=self.source.name, height=height, code=error.code)
        finally:
            del self._under_way[height]
            self._wake.set()

    async def _deliver(self, height: int) -> bool:
        """Delivers what block ``height`` still has for the destination; True when this relay brought something."""
        brought = False
        for _ in range(MAX_ATTEMPTS):
            begun = time.perf_counter()
            cargo = open_cargo(
                cargo_of(self.source.chain.store.receipts(height), self.destination.chain.chain_id),
                self.source,
                self.destination,
            )
            if not cargo:
                return brought
            sending = []
            for delivery, part in build_deliveries(self.source, self.destination, height, cargo):
                sending.append(self._send(delivery, part))
            self.busy_ms += (time.perf_counter() - begun) * 1000
            answers = await asyncio.gather(*sending)
            if not any(answers):
                return brought
            brought = True
        return brought

    async def _send(self, delivery: Delivery, part: list[Cargo]) -> bool:
        """Submits one delivery; False when it brought nothing, and there is no sense in repeating it at once."""
        transaction = await self._transaction(delivery)
        begun = time.perf_counter()
        try:
            outcome = await self.destination.gateway.submit_and_wait(transaction, DELIVERY_TIMEOUT_S)
        except InvalidInput as error:
            # Somebody else was faster, or a delivery of a later block overtook this one: what is left is looked up.
            if error.code != NOTHING_NEW:
                log.info("relay_delivery_refused", source=self.source.name, code=error.code)
            return error.code != NOTHING_NEW and error.code.startswith("client_")
        if outcome.status != "committed":
            log.info("relay_delivery_refused", source=self.source.name, code=outcome.code or outcome.status)
            return outcome.code.startswith("client_")
        self._finality_ms.append((time.perf_counter() - begun) * 1000)
        done = _delivered_codec.decode(outcome.results[0])
        self.deliveries += 1
        self.packets += done.taken + done.refused
        self.answers += done.answered
        return bool(done.taken + done.refused + done.answered) or not part

    async def _transaction(self, delivery: Delivery) -> Transaction:
        end = self.destination
        body = Body(
            1,
            end.chain.chain_id,
            end.key.public,
            end.chain.tip.height + EXPIRY_BLOCKS,
            secrets.token_bytes(16),
            (),
            (),
            (Call(BRIDGE, "deliver", encode(delivery)),),
            (),
            b"",
        )
        return build(body, [end.key])

    # --- what must not be forgotten ---------------------------------------------------------------------------------

    async def _rescan(self) -> None:
        while True:
            try:
                found = self._heights()
            except NotFound:
                found = set()  # the chains do not know each other yet
            self._queued.update(found - self._under_way.keys())
            if self._queued:
                self._wake.set()
            await asyncio.sleep(RESCAN_S)

    def _heights(self) -> set[int]:
        """Source blocks with something that the destination has not taken."""
        source, destination = self.source, self.destination
        heights: set[int] = set()
        for page in _outbox(source, destination.role):
            asked = DeliveredQuery(source.role, tuple(item.packet.sequence for item in page))
            view = destination.view("delivered", asked, DeliveredView)
            heights.update(item.height for item, taken in zip(page, view.taken, strict=True) if not taken)
        for page in _outbox(destination, source.role):
            asked = DeliveredQuery(destination.role, tuple(item.packet.sequence for item in page))
            view = source.view("delivered", asked, DeliveredView)
            heights.update(height for height in view.heights if height)
        return heights

    async def _renew(self) -> None:
        """Brings a new header at half of the client's ``max_staleness_ms`` when nothing else brings one."""
        while True:
            await asyncio.sleep(1.0)
            try:
                client = self.destination.view("client", RoleQuery(self.source.role), ClientView)
                tip = self.source.chain.tip
                age_ms = int(time.time() * 1000) - client.state.latest.time_ms
                wait_ms = client.max_staleness_ms // 2 + self.turns.delay_ms(tip.height, monotonic_ms())
                if client.state.frozen or age_ms < wait_ms or tip.header.time_ms <= client.state.latest.time_ms:
                    continue
                proof = prove_header(self.source, self.destination, tip.height)
                await self._send(Delivery(proof, (), (), ()), [])
            except (InvalidInput, RemoteFault) as error:
                if not isinstance(error, NotFound):
                    log.warning("relay_renewal_failed", source=self.source.name, code=error.code)

    # --- how it is --------------------------------------------------------------------------------------------------

    def document(self) -> dict[str, Any]:
        """This direction in ``node.status``."""
        source, destination = self.source, self.destination
        report: dict[str, Any] = {
            "from": source.name,
            "to": destination.name,
            "source_height": source.chain.tip.height,
            "delivered_packets": self.packets,
            "delivered_answers": self.answers,
            "deliveries": self.deliveries,
            "taken_over": self.turns.taken_over,
            "failures": self.failures,
            "busy_ms": round(self.busy_ms, 1),
            "finality_ms": round(median(self._finality_ms), 2) if self._finality_ms else None,
            "under_way": len(self._under_way) + len(self._queued),
        }
        try:
            client = destination.view("client", RoleQuery(source.role), ClientView)
            lane = source.view("lane", RoleQuery(destination.role), LaneView)
        except NotFound:
            return {**report, "connected": False}
        now = int(time.time() * 1000)
        unanswered = lane.sent - lane.answered
        return {
            **report,
            "connected": True,
            "frozen": client.state.frozen,
            "proved_height": client.state.latest.height,
            "lag_blocks": source.chain.tip.height - client.state.latest.height,
            "proved_ms_ago": now - client.state.latest.time_ms,
            "sent": lane.sent,
            "answered": lane.answered,
            "unanswered": unanswered,
            "oldest_sequence": lane.oldest_sequence if unanswered else None,
            "oldest_ms": now - lane.oldest_ms if unanswered else None,
        }


def _outbox(end: RelayEnd, role: str) -> list[tuple[OutboxItem, ...]]:
    pages: list[tuple[OutboxItem, ...]] = []
    after = 0
    for _ in range(MAX_PAGES):
        page = end.view("outbox", OutboxQuery(role, after, 100), OutboxPage)
        if page.items:
            pages.append(page.items)
            after = page.items[-1].packet.sequence
        if not page.more:
            break
    return pages
