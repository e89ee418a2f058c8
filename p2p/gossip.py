"""Gossip over any ``Transport``: push small items, announce and fetch large ones, relay what the node accepted.

A pushed item names the peers that have it already, so that a full mesh carries it once to each node. That claim is
only a hint: the ids of pushed items are told a second later to every neighbour not known to have them, who fetches
what it lacks. Not asyncio's: timers come through ``call_later``, so that simulation can run it in virtual time.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from enum import Enum
from hashlib import sha256
from typing import TYPE_CHECKING

import structlog

from ledger.errors import LocalMisuse, PeerMisbehaved
from p2p import gossip_wire as wire
from p2p.bounds import GossipBounds
from p2p.gossip_fetch import Cancellable, Fetcher
from p2p.gossip_store import ItemStore, KeptItem, SeenCache
from p2p.gossip_wire import GossipKind, ItemId, ShortId
from p2p.transport import Channel, PeerId, Transport

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

_log = structlog.get_logger(__name__)


class Verdict(Enum):
    """What the node thinks of an item."""

    ACCEPT = "accept"
    """Valid: relay it."""
    IGNORE = "ignore"
    """Not interesting: do not relay it, blame nobody. It is not delivered again."""
    LATER = "later"
    """Not decidable now, or no room for it: forget it, so that it is delivered when somebody says it again."""
    REJECT = "reject"
    """What no honest peer sends: disconnect the peer that sent it."""


@dataclass(slots=True)
class GossipStats:
    """Counters since the start."""

    delivered: int = 0
    duplicates: int = 0
    """Items that came again."""
    pushed: int = 0
    announced: int = 0
    """Ids told to peers."""
    fetched: int = 0
    served: int = 0
    rejected: int = 0
    misbehaved: int = 0


@dataclass(frozen=True, slots=True)
class _Topic:
    channel: Channel
    deliver: Callable[[PeerId, bytes], Verdict | None]
    max_bytes: int


class Gossip:
    """Relays items between the connected peers; each is delivered at most once while its id is remembered.

    Args:
        transport: carries the messages; the node passes its events on to ``handle``, ``on_connected`` and
            ``on_disconnected``.
        call_later: calls back after so many seconds.
        bounds: every limit.
        clock: seconds, monotonic.
    """

    def __init__(
        self,
        transport: Transport,
        *,
        call_later: Callable[[float, Callable[[], None]], Cancellable],
        bounds: GossipBounds | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._transport = transport
        self._bounds = bounds = bounds or GossipBounds()
        self._call_later = call_later
        self._own = wire.short_id(transport.peer_id)
        self._peers: dict[PeerId, ShortId] = {}
        self._topics: dict[int, _Topic] = {}
        self._seen = SeenCache(bounds.seen_max, bounds.seen_age_s, clock)
        self._recent = ItemStore(bounds.recent_max_bytes, bounds.recent_max_items, bounds.recent_age_s, clock)
        self._undecided = ItemStore(bounds.undecided_max_bytes, bounds.undecided_max_items, bounds.seen_age_s, clock)
        self._fetcher = Fetcher(bounds, call_later=call_later, ask=self._ask)
        self._lazy: list[ItemId] = []
        self._lazy_timer: Cancellable | None = None
        self.stats = GossipStats()

    # --- for the node -----------------------------------------------------------------------------------------

    def subscribe(
        self,
        topic: int,
        channel: Channel,
        deliver: Callable[[PeerId, bytes], Verdict | None],
        *,
        max_bytes: int | None = None,
    ) -> None:
        """Receive a topic.

        Args:
            topic: 0 to 255; the same on all nodes. Items of other topics are ignored.
            channel: where its items are pushed. On VOTE all are pushed, whatever their size: the transport's cap
                for PUSH there must be ``bounds.push_overhead_bytes`` larger than ``max_bytes``.
            deliver: called with (peer, payload) once per item; its verdict, or None and ``report`` follows.
            max_bytes: largest item; a larger one is misbehaviour. At most ``item_max_bytes``.

        Raises:
            LocalMisuse: subscribed before, or out of range.
        """
        largest = self._bounds.item_max_bytes if max_bytes is None else max_bytes
        if topic in self._topics or not 0 <= topic <= 255 or not 0 < largest <= self._bounds.item_max_bytes:
            raise LocalMisuse("a topic is subscribed once, from 0 to 255, with a cap that fits a frame", topic=topic)
        self._topics[topic] = _Topic(channel, deliver, largest)

    def publish(self, topic: int, payload: bytes) -> None:
        """Send an own item to the network; it will not be delivered here. Published again, it is sent again.

        Raises:
            LocalMisuse: not subscribed, or over the topic's cap.
        """
        found = self._topics.get(topic)
        if found is None or len(payload) > found.max_bytes:
            raise LocalMisuse("a published item needs a subscribed topic and must fit its cap", topic=topic)
        identity = wire.item_id(topic, payload)
        self._seen.add(identity)
        self._fetcher.arrived(identity)
        self._relay(KeptItem(topic, identity, payload, None, set(), frozenset()), found.channel)

    def knows(self, topic: int, payload: bytes) -> bool:
        """Whether the item was published or delivered here before, and is remembered."""
        return wire.item_id(topic, payload) in self._seen

    def report(self, topic: int, payload: bytes, verdict: Verdict) -> None:
        """Give the late verdict on a delivered item; one that is no longer waited for is ignored."""
        item = self._undecided.pop(wire.item_id(topic, payload))
        if item is not None:
            self._decide(item, self._topics[topic].channel, verdict)

    # --- the transport's events, passed on by the node ----------------------------------------------------------

    def handle(self, peer: PeerId, channel: Channel, kind: int, payload: bytes) -> bool:
        """Take a message from ``Handler.on_message``; True when it was the gossip's (kinds 240 to 244)."""
        if not GossipKind.PUSH <= kind <= GossipKind.MISSING:
            return False
        try:
            if kind == GossipKind.PUSH:
                self._on_push(peer, channel, payload)
            elif channel is not Channel.BULK:
                raise PeerMisbehaved("only pushed items travel beside BULK", code="gossip_malformed")  # noqa: TRY301
            elif kind == GossipKind.ANNOUNCE:
                self._on_announce(peer, payload)
            elif kind == GossipKind.FETCH:
                self._on_fetch(peer, payload)
            elif kind == GossipKind.ITEM:
                self._on_item(peer, payload)
            else:
                for identity in wire.decode_ids(payload, self._bounds.entries_max):
                    self._fetcher.missing(peer, identity)
        except PeerMisbehaved as error:
            self.stats.misbehaved += 1
            self._transport.disconnect(peer, error.code)
        return True

    def on_connected(self, peer: PeerId) -> None:
        """Pass on ``Handler.on_connected``: the peer is offered the newest items."""
        self._peers[peer] = wire.short_id(peer)
        self._announce(peer, list(self._recent)[-self._bounds.entries_max :])

    def on_disconnected(self, peer: PeerId) -> None:
        """Pass on ``Handler.on_disconnected``."""
        self._peers.pop(peer, None)
        self._fetcher.on_disconnected(peer)

    def stop(self) -> None:
        """Cancel every timer; to be called once the transport has stopped."""
        self._fetcher.stop()
        if self._lazy_timer is not None:
            self._lazy_timer.cancel()
        self._lazy.clear()

    # --- messages ---------------------------------------------------------------------------------------------

    def _on_push(self, peer: PeerId, channel: Channel, message: bytes) -> None:
        number, covered, payload = wire.decode_push(message)
        topic = self._topics.get(number)
        if topic is None:
            return
        if channel is not topic.channel or len(payload) > topic.max_bytes:
            raise PeerMisbehaved("an item is too large, or on the wrong channel", code="gossip_item_refused")
        identity = wire.item_id(number, payload)
        if identity in self._seen:
            self._came_again(peer, identity)
            return
        self._fetcher.arrived(identity)
        self._deliver(KeptItem(number, identity, payload, peer, {peer}, covered), topic)

    def _on_announce(self, peer: PeerId, message: bytes) -> None:
        for number, identity, size_bytes in wire.decode_announce(message, self._bounds.entries_max):
            topic = self._topics.get(number)
            if topic is None:
                continue
            if size_bytes > topic.max_bytes:
                raise PeerMisbehaved("an announced item is too large", code="gossip_item_refused")
            if identity in self._seen:
                self._note_holder(peer, identity)
            else:
                self._fetcher.announced(peer, identity)

    def _on_fetch(self, peer: PeerId, message: bytes) -> None:
        missing: list[ItemId] = []
        for identity in wire.decode_ids(message, self._bounds.entries_max):
            item = self._recent.get(identity)
            if item is None:
                missing.append(identity)
                continue
            served = item.served.get(peer, 0)
            if served >= self._bounds.serves_per_peer:
                continue
            item.served[peer] = served + 1
            item.holders.add(peer)
            self.stats.served += 1
            if not self._send(peer, Channel.BULK, GossipKind.ITEM, wire.encode_item(item.topic, item.payload)):
                return
        if missing:
            self._send(peer, Channel.BULK, GossipKind.MISSING, wire.encode_ids(missing))

    def _on_item(self, peer: PeerId, message: bytes) -> None:
        # Before hashing: what was not asked for is not looked at. It may be late, so it is not blamed either.
        if not self._fetcher.is_waiting_for(peer):
            return
        number, payload = wire.decode_item(message)
        topic = self._topics.get(number)
        if topic is None or len(payload) > topic.max_bytes:
            raise PeerMisbehaved("an item that nobody asked for", code="gossip_item_refused")
        identity = wire.item_id(number, payload)
        if identity in self._seen:
            self._came_again(peer, identity)
        elif self._fetcher.arrived(identity):
            self.stats.fetched += 1
            self._deliver(KeptItem(number, identity, payload, peer, {peer}, frozenset()), topic)

    # --- one item ---------------------------------------------------------------------------------------------

    def _deliver(self, item: KeptItem, topic: _Topic) -> None:
        self._seen.add(item.identity)
        self.stats.delivered += 1
        assert item.sender is not None
        # Kept before the call, which may report at once.
        self._undecided.add(item)
        verdict = topic.deliver(item.sender, item.payload)
        if verdict is not None and self._undecided.pop(item.identity) is not None:
            self._decide(item, topic.channel, verdict)

    def _decide(self, item: KeptItem, channel: Channel, verdict: Verdict) -> None:
        if verdict is Verdict.ACCEPT:
            self._relay(item, channel)
        elif verdict is Verdict.REJECT and item.sender is not None:
            self.stats.rejected += 1
            self._transport.disconnect(item.sender, "gossip_item_rejected")
        elif verdict is Verdict.LATER:
            self._seen.forget(item.identity)

    def _relay(self, item: KeptItem, channel: Channel) -> None:
        """Push or announce an item to the peers that are not said to have it, and keep it for a while."""
        self._recent.add(item)
        lacking = [peer for peer in self._peers if peer not in item.holders]
        if channel is Channel.BULK and len(item.payload) > self._bounds.push_max_bytes:
            for peer in lacking:
                self._announce(peer, [item])
            return
        targets = [peer for peer in lacking if self._peers[peer] not in item.covered]
        others: list[PeerId] = []
        if channel is Channel.BULK and len(targets) > self._bounds.fan_out:
            targets.sort(key=lambda peer: sha256(item.identity + self._peers[peer]).digest())
            targets, others = targets[: self._bounds.fan_out], targets[self._bounds.fan_out :]
        if targets:
            message = wire.encode_push(item.topic, self._covered(item, targets), item.payload)
            for peer in targets:
                self.stats.pushed += self._send(peer, channel, GossipKind.PUSH, message)
        for peer in others:
            self._announce(peer, [item])
        if not self._lazy:
            self._lazy_timer = self._call_later(self._bounds.lazy_s, self._tell_lazily)
        if len(self._lazy) < self._bounds.recent_max_items:
            self._lazy.append(item.identity)

    def _covered(self, item: KeptItem, targets: Iterable[PeerId]) -> list[ShortId]:
        """Name who has an item once it has been pushed to ``targets``: these first, since they are sure."""
        named = dict.fromkeys((self._own, *(self._peers[peer] for peer in targets)))
        named.update(dict.fromkeys(self._peers[peer] for peer in sorted(item.holders) if peer in self._peers))
        named.update(dict.fromkeys(sorted(item.covered)))
        return list(named)[: self._bounds.covered_max]

    def _tell_lazily(self) -> None:
        """Tell every peer the ids that were relayed lately and that it has not shown to have."""
        lately, self._lazy = self._lazy, []
        items = [item for identity in lately if (item := self._recent.get(identity)) is not None]
        for peer in list(self._peers):
            lacking = [item for item in items if peer not in item.holders]
            for start in range(0, len(lacking), self._bounds.entries_max):
                self._announce(peer, lacking[start : start + self._bounds.entries_max])

    def _came_again(self, peer: PeerId, identity: ItemId) -> None:
        self.stats.duplicates += 1
        self._note_holder(peer, identity)

    def _note_holder(self, peer: PeerId, identity: ItemId) -> None:
        item = self._recent.get(identity) or self._undecided.get(identity)
        if item is not None:
            item.holders.add(peer)

    # --- sending ----------------------------------------------------------------------------------------------

    def _announce(self, peer: PeerId, items: list[KeptItem]) -> None:
        if items:
            self.stats.announced += len(items)
            entries = ((item.topic, item.identity, len(item.payload)) for item in items)
            self._send(peer, Channel.BULK, GossipKind.ANNOUNCE, wire.encode_announce(entries))

    def _ask(self, peer: PeerId, identity: ItemId) -> None:
        self._send(peer, Channel.BULK, GossipKind.FETCH, wire.encode_ids((identity,)))

    def _send(self, peer: PeerId, channel: Channel, kind: GossipKind, message: bytes) -> bool:
        try:
            return self._transport.send(peer, channel, kind, message)
        except LocalMisuse:
            # Not raised: when relaying, the peer that sent us the item would be blamed.
            _log.error("gossip_item_over_channel_cap", channel=channel.name, size_bytes=len(message))
            return False


__all__ = ["Cancellable", "Gossip", "GossipStats", "ItemId", "Verdict"]
