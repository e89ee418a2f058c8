"""One direction of the relay: carries what one chain has for the other.

What has to be done is read from the two chains: at the start, again and again (so that nothing that failed is
forgotten), and at once when a block has something to carry.
"""

from __future__ import annotations

import asyncio
import time
from bisect import bisect_right
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any, Final

import structlog

from contracts.admission import find_certificate
from contracts.bridge.records import (
    SUPERVISION,
    ClientView,
    Delivered,
    DeliveredQuery,
    DeliveredView,
    Followed,
    LaneView,
    OutboxItem,
    OutboxPage,
    OutboxQuery,
    RoleQuery,
)
from ledger.encoding import Codec
from ledger.errors import Fatal, InvalidInput, NotFound, TidegateError
from ledger.light_client import ClientState
from ledger.packet import Delivery
from ledger.transaction import Transaction
from node.chain import Committed
from node.clock import monotonic_ms, wall_ms
from node.driver import is_ok
from node.relay.assembly import cargo_of, deliveries_of, open_cargo, renewal_of
from node.relay.ends import DELIVER, FOLLOW, RelayEnd, is_delivery
from node.relay.following import batch_of, set_changes
from node.relay.turns import STEP_MS, Turns

log = structlog.get_logger(__name__)

RESCAN_S: Final = 2.0
MAX_UNDER_WAY: Final = 16
"""Blocks that are being delivered at once in one direction."""
MAX_ATTEMPTS: Final = 5
"""Deliveries of one block in a row; then the next rescan tries again."""
MAX_COURTESY: Final = 3
"""How often a relay whose turn it is not waits a step longer because another one's delivery waits for a block."""
OUTCOME_S: Final = 20.0
"""How long at a time the outcome of a delivery is waited for; there is no second one while it waits for a block."""
MIN_RENEWAL_MS: Final = 1_000
"""Between the block of one renewal and that of the next."""
FINALITY_SAMPLES: Final = 1_024
"""Deliveries whose time from submission to commit the report's median is of."""
MAX_PAGES: Final = 64
MAX_BATCHES: Final = 64
"""Batches of headers that change the set which are shown in a row; then the next rescan goes on."""
REMEMBERED_BLOCKS: Final = 64
"""Blocks of the destination that a relay learns from, when it starts, which others there are."""
NOTHING_NEW: Final = "bridge_nothing_new"
OVERTAKEN: Final = ("bridge_client_", "bridge_anchor_unknown")
"""How refusals begin when a later block's header was first: the same cargo with a new proof will do."""
_followed_codec = Codec(Followed, 1_024, "follow result")
_delivered_codec = Codec(Delivered, 1_024, "delivery result")


@dataclass(slots=True)
class _Turn:
    """A block of the source that is to be delivered.

    Attributes:
        due_ms: when; monotonic.
        delayed: True when another relay is to be first.
        courtesy: how often we have waited a step longer for it.
    """

    due_ms: int
    delayed: bool
    courtesy: int = 0


class Direction:
    """See the module.

    Args:
        source: where packets and answers come from.
        destination: where they go.

    Attributes:
        on_delivered: told of each delivery, when it was sent (Unix nanoseconds) and what it came to; None: nobody.
    """

    def __init__(self, source: RelayEnd, destination: RelayEnd) -> None:
        self.source = source
        self.destination = destination
        self.turns = Turns(destination.key.public)
        self._turns_due: dict[int, _Turn] = {}
        self._under_way: dict[int, asyncio.Task[None]] = {}
        self._wake = asyncio.Event()
        self._following = asyncio.Lock()
        self.packets = 0
        self.answers = 0
        self.deliveries = 0
        self.headers = 0
        self.failures = 0
        self.busy_ms = 0.0
        self.on_delivered: Callable[[Transaction, int, str], None] | None = None
        self._finality_ms: deque[float] = deque(maxlen=FINALITY_SAMPLES)
        source.core.listeners.append(self._on_source_block)
        destination.core.listeners.append(self._on_destination_block)

    # --- what the chains tell us ------------------------------------------------------------------------------------

    def _on_source_block(self, committed: Committed) -> None:
        if cargo_of(committed.candidate.result.receipts, self.source, self.destination):
            self._schedule(committed.height)

    def _on_destination_block(self, committed: Committed) -> None:
        self._note_relays(committed.candidate.transactions, committed.candidate.result.receipts)

    def _note_relays(self, transactions: Sequence[Transaction], receipts: Sequence[bytes]) -> None:
        """Who brought something is a relay, and so is a fusion node that was too late with it.

        What others were refused proves nothing: anybody may send it.
        """
        for transaction, receipt in zip(transactions, receipts, strict=False):
            sender = transaction.body.sender
            if sender == self.destination.key.public or not is_delivery(transaction):
                continue
            if is_ok(receipt) or self._is_fusion_node(sender):
                self.turns.seen(sender, monotonic_ms())

    def _is_fusion_node(self, key: bytes) -> bool:
        chain = self.destination.chain
        certificate = find_certificate(chain.state, chain.rules.address_of("admission"), key)
        return certificate is not None and "fusion" in certificate.roles

    def _look_back(self) -> None:
        """A relay that starts waits its turn from the first block on: others are seen in the last blocks."""
        store, tip = self.destination.chain.store, self.destination.chain.tip.height
        for height in range(max(1, store.retained_height, tip - REMEMBERED_BLOCKS), tip + 1):
            wires = store.transactions(height)
            self._note_relays([Transaction.decode(wire) for wire in wires], store.receipts(height))

    # --- working ----------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Delivers until it is cancelled."""
        self._look_back()
        async with asyncio.TaskGroup() as group:
            group.create_task(self._rescan(), name="relay_rescan")
            group.create_task(self._renew(), name="relay_renew")
            while True:
                pause_ms = self._start_due(group)
                try:
                    async with asyncio.timeout(None if pause_ms is None else pause_ms / 1000):
                        await self._wake.wait()
                except TimeoutError:
                    continue
                self._wake.clear()

    def _start_due(self, group: asyncio.TaskGroup) -> int | None:
        """Starts what is due, as far as there is room, oldest first; milliseconds until something else is."""
        now, later = monotonic_ms(), None
        for height, turn in sorted(self._turns_due.items()):
            if height in self._under_way:
                continue
            if turn.due_ms > now:
                later = turn.due_ms - now if later is None else min(later, turn.due_ms - now)
            elif len(self._under_way) < MAX_UNDER_WAY:
                self._under_way[height] = group.create_task(self._carry(height, turn))
        return later

    def _schedule(self, height: int) -> None:
        if height not in self._turns_due:
            now = monotonic_ms()
            delay_ms = self.turns.delay_ms(height, now)
            self._turns_due[height] = _Turn(now + delay_ms, delayed=delay_ms > 0)
            self._wake.set()

    async def _carry(self, height: int, turn: _Turn) -> None:
        done = True
        try:
            if turn.delayed and turn.courtesy < MAX_COURTESY and self._others_are_at_it():
                turn.courtesy += 1
                turn.due_ms = monotonic_ms() + STEP_MS
                done = False
            elif await self._deliver(height) and turn.delayed:
                self.turns.missed(height, monotonic_ms())
        except NotFound:
            pass  # the destination does not know the source yet; the rescan comes back to it
        except TidegateError as error:
            if isinstance(error, Fatal):
                raise
            self.failures += 1
            log.warning("relay_delivery_failed", source=self.source.name, height=height, code=error.code)
        finally:
            del self._under_way[height]
            if done:
                del self._turns_due[height]
            self._wake.set()

    def _others_are_at_it(self) -> bool:
        """Whether another relay's delivery waits for a block: then blocks are slow, and the relay is not dead."""
        own = self.destination.key.public
        return any(transaction.body.sender != own for transaction in self.destination.waiting_deliveries())

    @property
    def _idle(self) -> bool:
        """True while nothing that this daemon knows can be relied on."""
        return self.source.behind or self.destination.behind

    async def _deliver(self, height: int) -> bool:
        """Delivers what block ``height`` still has for the destination; True when this relay brought something."""
        brought = False
        for _ in range(MAX_ATTEMPTS):
            begun = time.perf_counter()
            if self._idle or self._frozen():
                return brought
            receipts = self.source.chain.store.receipts(height)
            items = open_cargo(cargo_of(receipts, self.source, self.destination), self.source, self.destination)
            if items:
                waiting = time.perf_counter()
                await self._follow(height)
                begun += time.perf_counter() - waiting
            deliveries = deliveries_of(self.source, self.destination, height, receipts, items) if items else []
            transactions = [self._transaction(delivery) for delivery in deliveries]
            self.busy_ms += (time.perf_counter() - begun) * 1000
            if not transactions:
                return brought
            begun_ns = time.time_ns()
            outcomes = await asyncio.gather(*[self._send(transaction) for transaction in transactions])
            if self.on_delivered is not None:
                for transaction, outcome in zip(transactions, outcomes, strict=True):
                    self.on_delivered(transaction, begun_ns, outcome)
            if not any(outcomes):
                return brought
            brought = brought or "brought" in outcomes
        return brought

    async def _follow(self, height: int) -> None:
        """Shows the destination every header below ``height`` that changes the source's validators."""
        if not set_changes(self.source.chain, self._client().latest.height, height):
            return
        async with self._following:
            # Read once: after a long stop there are many, and none is added below a height that is decided.
            changes = set_changes(self.source.chain, self._client().latest.height, height)
            for _ in range(MAX_BATCHES):
                known = self._client()
                changes = changes[bisect_right(changes, known.latest.height) :]
                if not changes or known.frozen or self._idle:
                    return
                batch = batch_of(self.source.chain, changes, known.validators)
                if await self._send(self.destination.transaction(FOLLOW, batch), self._followed) == "brought":
                    self.headers += len(batch.proofs)
                if self._client().latest.height == known.latest.height:
                    return  # what keeps it from coming in keeps the delivery too; the rescan comes back to both

    def _client(self) -> ClientState:
        return self.destination.view("client", RoleQuery(self.source.role), ClientView).state

    def _frozen(self) -> bool:
        """True when the destination believes nothing of the source any more, until its governors say otherwise."""
        return self._client().frozen

    async def _send(self, transaction: Transaction, done: Callable[[bytes], str] | None = None) -> str:
        """Submits one delivery until its fate is certain: ``again`` (with a new proof), or what ``done`` says."""
        begun = time.perf_counter()
        gateway = self.destination.core.gateway
        try:
            outcome = await gateway.submit_and_wait(transaction, OUTCOME_S)
            while outcome.status == "pending":
                outcome = await gateway.wait(transaction.tx_id, OUTCOME_S)
        except InvalidInput as error:
            return self._refused(error.code)
        if outcome.status != "committed":
            return self._refused(outcome.code or outcome.status)
        self._finality_ms.append((time.perf_counter() - begun) * 1000)
        return (done or self._delivered)(outcome.results[0])

    def _followed(self, result: bytes) -> str:
        return "brought" if _followed_codec.decode(result).taken else ""

    def _delivered(self, result: bytes) -> str:
        done = _delivered_codec.decode(result)
        self.deliveries += 1
        self.packets += done.taken + done.refused
        self.answers += done.answered
        return "brought" if done.taken + done.refused + done.answered else ""

    def _refused(self, code: str) -> str:
        # Nothing new: another relay was faster.
        if code != NOTHING_NEW:
            log.info("relay_delivery_refused", source=self.source.name, code=code)
        return "again" if code.startswith(OVERTAKEN) else ""

    def _transaction(self, delivery: Delivery) -> Transaction:
        return self.destination.transaction(DELIVER, delivery)

    # --- what must not be forgotten ---------------------------------------------------------------------------------

    async def _rescan(self) -> None:
        while True:
            try:
                if not self._idle and not self._frozen():
                    await self._scan()
            except NotFound:
                pass  # the chains do not know each other yet
            await asyncio.sleep(RESCAN_S)

    async def _scan(self) -> None:
        """Schedules the source's blocks with something that the destination has not taken."""
        source, destination = self.source, self.destination
        async for page in _outbox(source, destination.role):
            asked = DeliveredQuery(source.role, tuple(item.packet.sequence for item in page))
            view = destination.view("delivered", asked, DeliveredView)
            for item, taken in zip(page, view.taken, strict=True):
                if not taken:
                    self._schedule(item.height)
        async for page in _outbox(destination, source.role):
            asked = DeliveredQuery(destination.role, tuple(item.packet.sequence for item in page))
            for height in source.view("delivered", asked, DeliveredView).heights:
                if height:
                    self._schedule(height)

    async def _renew(self) -> None:
        """Brings a new block at half of the client's ``max_staleness_ms`` when nothing else brings one."""
        pause_s = 1.0
        while True:
            await asyncio.sleep(pause_s)
            pause_s = 1.0
            try:
                client = self.destination.view("client", RoleQuery(self.source.role), ClientView)
                if self._idle or client.state.frozen:
                    continue
                tip, newest_ms = self.source.chain.tip, client.state.latest.time_ms
                age_ms = wall_ms() - self._known_ms(newest_ms)
                wait_ms = client.max_staleness_ms // 2 + self.turns.delay_ms(tip.height, monotonic_ms())
                wait_ms += min(self.turns.spread_ms(tip.height), client.max_staleness_ms // 8)
                # While packets are on their way, what is known is older than the newest block that was shown.
                if age_ms < wait_ms or tip.header.time_ms < newest_ms + min(MIN_RENEWAL_MS, wait_ms):
                    pause_s = min(1.0, max(50, wait_ms - age_ms) / 1000)
                    continue
                await self._follow(tip.height)
                renewal = renewal_of(self.source, self.destination, tip.height)
                await self._send(self._transaction(renewal))
            except NotFound:
                continue
            except TidegateError as error:
                if isinstance(error, Fatal):
                    raise
                log.warning("relay_renewal_failed", source=self.source.name, code=error.code)

    def _known_ms(self, newest_ms: int) -> int:
        """Until when the destination knows what the source says: see ``contracts.bridge.clients.newest_time_ms``."""
        if self.source.role != SUPERVISION:
            return newest_ms
        return self.destination.view("lane", RoleQuery(SUPERVISION), LaneView).known_ms

    # --- how it goes ------------------------------------------------------------------------------------------------

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
            "followed_headers": self.headers,
            "taken_over": self.turns.taken_over,
            "failures": self.failures,
            "busy_ms": round(self.busy_ms, 1),
            "finality_ms": round(median(self._finality_ms), 2) if self._finality_ms else None,
            "under_way": len(self._turns_due),
            "oldest_under_way_ms": self._oldest_ms(),
            "catching_up": self._idle,
        }
        try:
            client = destination.view("client", RoleQuery(source.role), ClientView)
            lane = source.view("lane", RoleQuery(destination.role), LaneView)
        except NotFound:
            return {**report, "connected": False}
        now = wall_ms()
        unanswered = lane.sent - lane.answered
        return {
            **report,
            "connected": True,
            "frozen": client.state.frozen,
            "max_staleness_ms": client.max_staleness_ms,
            "proved_height": client.state.latest.height,
            "lag_blocks": source.chain.tip.height - client.state.latest.height,
            "proved_ms_ago": now - client.state.latest.time_ms,
            "sent": lane.sent,
            "answered": lane.answered,
            "unanswered": unanswered,
            "oldest_sequence": lane.oldest_sequence if unanswered else None,
            "oldest_ms": now - lane.oldest_ms if unanswered else None,
        }

    def _oldest_ms(self) -> int:
        """Age of the oldest block with something that is not delivered yet; 0 where there is none."""
        if not self._turns_due:
            return 0
        return max(0, wall_ms() - self.source.chain.store.header(min(self._turns_due)).time_ms)


async def _outbox(end: RelayEnd, role: str) -> AsyncIterator[tuple[OutboxItem, ...]]:
    """Pages of the packets of ``end`` that wait for their answer; other work may come between two pages."""
    after = 0
    for _ in range(MAX_PAGES):
        page = end.view("outbox", OutboxQuery(role, after, 100), OutboxPage)
        if page.items:
            after = page.items[-1].packet.sequence
            yield page.items
        if not page.more:
            return
        await asyncio.sleep(0)
