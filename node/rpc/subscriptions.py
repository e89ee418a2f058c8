"""Subscriptions: a subscriber's place in the chain, moved on block by block and told over its connection.

The queue of a subscription is the chain itself: it holds a cursor and the one block that it is at, and that block is
shared. A subscriber that follows from long ago is read its history a block at a time, at its own pace. Two things make
it slow: not taking anything for ``stall_s``, or staying ``max_lag_blocks`` behind after it had caught up. It is then
told ``slow_reader`` with the cursor to resume from, and cut off. Nothing here is on the way of a vote: a commit sets
an event, and that only while somebody follows.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from dataclasses import dataclass
from itertools import count
from typing import Final

import msgspec
import structlog

from ledger.errors import Fatal, InvalidInput, NotFound, Overloaded, TidegateError
from node.chain import Chain, Committed
from node.rpc.connection import Connection, ConnectionGone
from node.rpc.subscriptions_blocks import BlockShelf, SharedBlock
from node.rpc.subscriptions_records import (
    END,
    NOTIFICATION,
    Cursor,
    Kind,
    Notification,
    Subscribe,
    Subscribed,
    Topic,
    Unsubscribe,
    Unsubscribed,
)
from node.rpc.subscriptions_topics import Topics, Wanted

log = structlog.get_logger(__name__)

RETRY_AFTER_MS: Final = 1_000
SLOW_READER: Final = "slow_reader"
STOPPING: Final = "stopping"
PRUNED: Final = "pruned"
TRY_AGAIN_LATER: Final = 1_013
"""WebSocket close code (RFC 6455, 7.4) of a connection that does not take what it asked for."""
FAREWELL_S: Final = 2.0
"""How long the word that a subscription is over may take to leave."""
SLOW_FAREWELL_S: Final = 10.0
"""The same for a slow reader, who has other things to read before it."""
PROGRESS_BLOCKS: Final = 64
"""Blocks without an entry after which a subscriber hears that its cursor has moved on."""
YIELD_EVERY: Final = 64
"""Entries looked at or told between two yields to the loop."""


class SlowReader(InvalidInput):
    """The subscriber does not keep up."""

    code = SLOW_READER


@dataclass(frozen=True, slots=True)
class SubscriptionLimits:
    """Bounds of the subscriptions of a node.

    Attributes:
        total: at once, over all connections.
        per_connection: at once on one.
        stall_s: seconds that one notification may wait for the reader.
        max_lag_blocks: blocks that a subscriber which had caught up may be behind …
        behind_s: … for that many seconds on end: a node that syncs in a hurry is no fault of its readers.
    """

    total: int = 256
    per_connection: int = 32
    stall_s: float = 10.0
    max_lag_blocks: int = 256
    behind_s: float = 60.0


class SubscriptionHub:
    """Every subscription of a node.

    Args:
        chain: committed chain.
        limits: bounds.

    Attributes:
        closed: subscriptions that the node ended, by code.
        told: notifications handed to connections so far.
        opened: subscriptions so far.
    """

    def __init__(self, chain: Chain, limits: SubscriptionLimits | None = None) -> None:
        self.chain = chain
        self.limits = limits or SubscriptionLimits()
        self.shelf = BlockShelf(chain)
        self.topics = Topics(chain)
        self.closed: Counter[str] = Counter()
        self.told = 0
        self.opened = 0
        self.stopping = False
        self._grown = asyncio.Event()
        self._accounts = 0
        self._ids = count(1)
        self._running: dict[str, _Subscription] = {}
        self._connections: dict[str, set[_Subscription]] = {}

    @property
    def open(self) -> int:
        """Subscriptions now."""
        return len(self._running)

    # --- what the daemon tells us -----------------------------------------------------------------------------------

    def on_committed(self, committed: Committed) -> None:
        """A block is on the disk; costs nothing while nobody follows."""
        if self._running:
            if self._accounts:
                self.topics.note_spent(committed.height, committed.candidate.result.spent)
            self._grown.set()
            self._grown = asyncio.Event()

    async def grown(self, height: int) -> None:
        """Waits until ``height`` is committed."""
        while self.chain.tip.height < height:
            await self._grown.wait()

    async def stop(self) -> None:
        """Tells every subscriber that the node stops; its cursor is good on any other node."""
        self.stopping = True
        await asyncio.gather(*[subscription.end(STOPPING, "the node stops") for subscription in self._all()])

    # --- methods ----------------------------------------------------------------------------------------------------

    async def subscribe(self, asked: Subscribe, connection: Connection) -> Subscribed:
        """Opens a subscription on ``connection``.

        Raises:
            InvalidInput: ``params_invalid`` for two places to begin at; ``filter_invalid``.
            NotFound: ``pruned``: the blocks to begin with are not kept here any more.
            Overloaded: as many are open as may be.
        """
        if asked.from_height is not None and asked.after is not None:
            raise InvalidInput("give either from_height or after", code="params_invalid", param="after")
        wanted = self.topics.wanted(asked)
        cursor = self._begin(asked)
        self._check_kept(cursor)
        self._check_room(connection)
        tip = self.chain.tip.height
        name = f"{next(self._ids)}"
        subscription = _Subscription(self, name, asked, wanted, connection, cursor)
        self._running[name] = subscription
        self.opened += 1
        self._accounts += asked.topic == Topic.ACCOUNT
        if connection.id not in self._connections:
            self._connections[connection.id] = set()
            connection.on_close(lambda: self._lost(connection.id))
        self._connections[connection.id].add(subscription)
        subscription.start()
        return Subscribed(subscription=name, height=tip, cursor=cursor)

    async def unsubscribe(self, asked: Unsubscribe, connection: Connection) -> Unsubscribed:
        """Ends a subscription of ``connection``; nothing more is told."""
        found = self._running.get(asked.subscription)
        if found is None or found.connection.id != connection.id:
            return Unsubscribed(ended=False)
        found.cancel()
        return Unsubscribed(ended=True)

    def _begin(self, asked: Subscribe) -> Cursor | None:
        if asked.after is not None:
            return asked.after
        start = self.chain.tip.height + 1 if asked.from_height is None else asked.from_height
        return None if start == 0 else Cursor(height=start - 1)

    def _check_kept(self, cursor: Cursor | None) -> None:
        kept = self.retained_height()
        start = 0 if cursor is None else cursor.height if cursor.index < END else cursor.height + 1
        if start < kept:
            raise pruned(start, kept)

    def _check_room(self, connection: Connection) -> None:
        limits = self.limits
        if self.stopping:
            raise Overloaded("the node stops; use another", retry_after_ms=RETRY_AFTER_MS)
        own = len(self._connections.get(connection.id, ()))
        if self.open >= limits.total or own >= limits.per_connection:
            raise Overloaded(
                f"at most {limits.per_connection} subscriptions on a connection and {limits.total} on the node",
                retry_after_ms=RETRY_AFTER_MS,
            )

    def retained_height(self) -> int:
        """Lowest height whose contents are kept."""
        return int(self.chain.store.retained_height)

    # --- what subscriptions tell us ---------------------------------------------------------------------------------

    def ended(self, subscription: _Subscription, code: str) -> None:
        """A subscription is over; ``code`` is empty when the client ended it."""
        if self._running.pop(subscription.name, None) is not None:
            self._accounts -= subscription.topic == Topic.ACCOUNT
            if code:
                self.closed[code] += 1
        self._connections.get(subscription.connection.id, set()).discard(subscription)
        if not self._running:
            self.shelf.clear()
            self.topics.clear()

    def _lost(self, connection: str) -> None:
        for subscription in self._connections.pop(connection, set()).copy():
            subscription.cancel()

    def _all(self) -> list[_Subscription]:
        return list(self._running.values())


class _Subscription:
    """One subscriber's way along the chain."""

    def __init__(
        self,
        hub: SubscriptionHub,
        name: str,
        asked: Subscribe,
        wanted: Wanted,
        connection: Connection,
        cursor: Cursor | None,
    ) -> None:
        self.name = name
        self.connection = connection
        self.topic = asked.topic
        self._hub = hub
        self._asked = asked
        self._wanted = wanted
        self._cursor = cursor
        self._caught_up = False
        self._behind_since: float | None = None
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begins to tell."""
        self._task = asyncio.create_task(self._run(), name=f"subscription-{self.name}")

    def cancel(self) -> None:
        """Ends without a word: the client wanted it, or is gone."""
        if self._task is not None:
            self._task.cancel()
        self._hub.ended(self, "")

    async def end(self, code: str, message: str, *, farewell_s: float = FAREWELL_S) -> None:
        """Stops telling, and says why."""
        if self._task is not None and self._task is not asyncio.current_task():
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
        self._hub.ended(self, code)
        note = Notification(subscription=self.name, kind=Kind.CLOSED, cursor=self._cursor, code=code, message=message)
        with contextlib.suppress(TimeoutError, ConnectionGone):
            async with asyncio.timeout(farewell_s):
                await self.connection.notify(NOTIFICATION, _raw(note))

    async def _run(self) -> None:
        try:
            await self._follow()
        except ConnectionGone:
            self._hub.ended(self, "")
        except SlowReader as error:
            log.info("subscriber_slow", client=self.connection.client.name, topic=str(self._asked.topic))
            await self.end(error.code, error.message, farewell_s=SLOW_FAREWELL_S)
            with contextlib.suppress(TimeoutError, ConnectionGone):
                async with asyncio.timeout(FAREWELL_S):
                    await self.connection.close(TRY_AGAIN_LATER, f"{SLOW_READER}: resume from the last cursor")
        except TidegateError as error:
            if isinstance(error, Fatal):
                log.exception("subscription_failed", topic=str(self._asked.topic))
            await self.end(error.code, error.message)
        except Exception:
            log.exception("subscription_failed", topic=str(self._asked.topic))
            await self.end("internal_error", "the node failed to read on; ask another node")

    async def _follow(self) -> None:
        hub = self._hub
        quiet = 0
        while True:
            place = self._cursor
            height = 0 if place is None else place.height if place.index < END else place.height + 1
            tip = hub.chain.tip.height
            if height > tip:
                if not self._caught_up and place is not None and place.height <= tip:
                    self._caught_up = True
                    await self._tell(Notification(subscription=self.name, kind=Kind.CAUGHT_UP, cursor=place))
                await hub.grown(height)
                continue
            self._check_lag(tip - height)
            if height < hub.retained_height():
                raise pruned(height, hub.retained_height())
            told = await self._tell_block(hub.shelf.block(height), -1 if place is None else place.index)
            self._cursor = Cursor(height=height)
            quiet = 0 if told else quiet + 1
            if quiet >= PROGRESS_BLOCKS:
                quiet = 0
                await self._tell(Notification(subscription=self.name, kind=Kind.PROGRESS, cursor=self._cursor))
            await asyncio.sleep(0)

    def _check_lag(self, blocks: int) -> None:
        limits = self._hub.limits
        if not self._caught_up or blocks < limits.max_lag_blocks:
            self._behind_since = None
            return
        now = asyncio.get_running_loop().time()
        if self._behind_since is None:
            self._behind_since = now
        if now - self._behind_since >= limits.behind_s:
            raise SlowReader(f"{blocks} blocks behind; resume from the cursor, and read faster")

    async def _tell_block(self, block: SharedBlock, after: int) -> bool:
        """Tells the wanted entries of a block behind index ``after`` of the place; True when there were any."""
        place = self._cursor
        behind = after if place is not None and place.height == block.height else -1
        wanted = self._wanted
        told = False
        for seen, entry in enumerate(await self._hub.topics.entries(block, self._asked.topic), start=1):
            if seen % YIELD_EVERY == 0:
                await asyncio.sleep(0)
            if entry.index <= behind or not wanted(entry.subject):
                continue
            cursor = Cursor(height=block.height, index=entry.index)
            await self._tell(
                Notification(
                    subscription=self.name,
                    kind=Kind.ITEM,
                    cursor=cursor,
                    block_id=block.id.hex(),
                    time_ms=block.header.time_ms,
                    item=entry.item,
                )
            )
            told = True
        return told

    async def _tell(self, note: Notification) -> None:
        # What was handed over is in the connection's buffer, even where the wait for room in it is given up.
        self._cursor = note.cursor
        self._hub.told += 1
        limits = self._hub.limits
        try:
            async with asyncio.timeout(limits.stall_s):
                await self.connection.notify(NOTIFICATION, _raw(note))
        except TimeoutError as error:
            raise SlowReader(f"nothing was read for {limits.stall_s:g} s; resume from the cursor") from error


_json = msgspec.json.Encoder()


def _raw(note: Notification) -> msgspec.Raw:
    return msgspec.Raw(_json.encode(note))


def pruned(height: int, retained_height: int) -> NotFound:
    """Contents of a block that is not kept here any more."""
    return NotFound(
        f"block {height} is pruned here; contents are kept from {retained_height} on. Ask an archive node",
        code=PRUNED,
        height=height,
        retained_height=retained_height,
    )
