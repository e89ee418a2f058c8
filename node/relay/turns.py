"""Whose turn it is to deliver: relays stagger by hash, so that one normally sends and another takes over.

Relays need no list of each other: they see on chain who delivers. One that does not when it is its turn is left out
until it is seen again.
"""

from __future__ import annotations

from hashlib import sha256
from typing import Final

TURN_BLOCKS: Final = 32
"""Consecutive blocks have the same relay, so that their deliveries stay in order."""
STEP_MS: Final = 1_000
"""How long a relay waits for each one whose turn is before its own."""
SPREAD_MS: Final = 500
"""Relays that do not know of each other yet differ by up to so much in what nobody is waiting for."""
FORGET_MS: Final = 120_000
MAX_RELAYS: Final = 64


class Turns:
    """See the module.

    Args:
        own: this relay's key on the chain that it delivers to.
    """

    __slots__ = ("_own", "_seen_ms", "taken_over")

    def __init__(self, own: bytes) -> None:
        self._own = own
        self._seen_ms: dict[bytes, int] = {}
        self.taken_over = 0

    def seen(self, key: bytes, now_ms: int) -> None:
        """A relay delivered something."""
        if key != self._own and (key in self._seen_ms or len(self._seen_ms) < MAX_RELAYS):
            self._seen_ms[key] = now_ms

    def delay_ms(self, height: int, now_ms: int) -> int:
        """How long to wait before delivering block ``height``: nothing when it is our turn."""
        return STEP_MS * self._order(height, now_ms).index(self._own)

    def spread_ms(self, height: int) -> int:
        """A pause of our own, shortest for whoever's turn is first, as long as relays have not seen each other."""
        return int.from_bytes(_place(height, self._own)[:2], "big") * SPREAD_MS >> 16

    def missed(self, height: int, now_ms: int) -> None:
        """We delivered block ``height`` although others had their turn first: they are left out until seen again."""
        order = self._order(height, now_ms)
        earlier = order[: order.index(self._own)]
        if earlier:
            self.taken_over += 1
        for key in earlier:
            self._seen_ms.pop(key, None)

    def _order(self, height: int, now_ms: int) -> list[bytes]:
        for key in [key for key, seen in self._seen_ms.items() if now_ms - seen > FORGET_MS]:
            del self._seen_ms[key]
        return sorted([self._own, *self._seen_ms], key=lambda key: _place(height, key))


def _place(height: int, key: bytes) -> bytes:
    return sha256((height // TURN_BLOCKS).to_bytes(8, "big") + key).digest()
