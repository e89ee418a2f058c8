"""Gossip over any ``Transport``: push small items, announce and fetch large ones, relay what the node accepted.

Not asyncio's: timers come through ``call_later``, so that simulation can run it in virtual time.
"""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING, NewType, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable

    from p2p.transport import Channel, PeerId, Transport

ItemId = NewType("ItemId", bytes)
"""The first 16 bytes of SHA-256 over topic and payload."""


class Verdict(Enum):
    """What the node thinks of an item."""

    ACCEPT = "accept"
    """Valid: relay it."""
    IGNORE = "ignore"
    """Not interesting, or not now decidable: do not relay it, blame nobody."""
    REJECT = "reject"
    """What no honest peer sends: disconnect the peer that sent it."""


class Cancellable(Protocol):
    """A pending timer, such as ``asyncio.TimerHandle``."""

    def cancel(self) -> None:
        """Make it never fire."""


class Gossip:
    """Relays items between the connected peers; every one is delivered at most once while it is remembered."""

    def __init__(self, transport: Transport, *, call_later: Callable[[float, Callable[[], None]], Cancellable]) -> None:
        raise NotImplementedError

    def subscribe(self, topic: int, channel: Channel, deliver: Callable[[PeerId, bytes], Verdict | None]) -> None:
        """Receive a topic (0 to 255); ``deliver(peer, payload)`` returns its verdict, or None and calls ``report``."""
        raise NotImplementedError

    def report(self, topic: int, payload: bytes, verdict: Verdict) -> None:
        """Give the late verdict on a delivered item."""
        raise NotImplementedError

    def publish(self, topic: int, payload: bytes) -> None:
        """Send an own item to the network, and remember it as seen."""
        raise NotImplementedError

    def handle(self, peer: PeerId, channel: Channel, kind: int, payload: bytes) -> bool:
        """Take a message from ``Handler.on_message``; True when it was gossip's (kinds 240 to 255)."""
        raise NotImplementedError

    def on_connected(self, peer: PeerId) -> None:
        """Pass on ``Handler.on_connected``."""
        raise NotImplementedError

    def on_disconnected(self, peer: PeerId) -> None:
        """Pass on ``Handler.on_disconnected``."""
        raise NotImplementedError
