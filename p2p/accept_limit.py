"""How many connections may be unfinished at a time, per address and in total, and how fast one address may make them.

Of unfinished ones the oldest gives way to the newest: refusing the newest instead would let a flood lock out honest
peers, and an honest handshake is over long before it is the oldest. The rate is there because a handshake costs some
milliseconds of work before its maker can be refused.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


@dataclass(frozen=True, slots=True)
class _HalfOpen:
    address: str
    abort: Callable[[], None]


class AcceptLimit:
    """The connections that have been accepted and are not ready yet.

    Args:
        per_address: most of one IP address.
        total: most of all.
    """

    def __init__(self, per_address: int, total: int) -> None:
        self._per_address = per_address
        self._total = total
        self._half_open: dict[int, _HalfOpen] = {}
        self._by_address: dict[str, dict[int, None]] = {}
        self._next = 0
        self.evicted = 0

    def __len__(self) -> int:
        return len(self._half_open)

    def enter(self, address: str, abort: Callable[[], None]) -> int:
        """Count a new connection; gives the ticket for ``leave``. May abort an older one."""
        same_address = self._by_address.get(address)
        if same_address is not None and len(same_address) >= self._per_address:
            self._evict(next(iter(same_address)))
        elif len(self._half_open) >= self._total:
            self._evict(next(iter(self._half_open)))
        self._next += 1
        self._half_open[self._next] = _HalfOpen(address, abort)
        self._by_address.setdefault(address, {})[self._next] = None
        return self._next

    def leave(self, ticket: int) -> None:
        """The connection is ready, or gone."""
        half_open = self._half_open.pop(ticket, None)
        if half_open is None:
            return
        same_address = self._by_address[half_open.address]
        del same_address[ticket]
        if not same_address:
            del self._by_address[half_open.address]

    def _evict(self, ticket: int) -> None:
        abort = self._half_open[ticket].abort
        self.leave(ticket)
        self.evicted += 1
        abort()


class AcceptRate:
    """A token bucket per IP address.

    Args:
        per_s: connections a second, in the long run.
        burst: connections at once.
        addresses_max: addresses remembered; the one that connected longest ago is forgotten first.
        clock: seconds, monotonic.
    """

    def __init__(self, per_s: float, burst: int, addresses_max: int, clock: Callable[[], float]) -> None:
        self._per_s = per_s
        self._burst = burst
        self._addresses_max = addresses_max
        self._clock = clock
        # Address to (tokens, when they were counted), in the order of the last connection.
        self._tokens: dict[str, tuple[float, float]] = {}

    def allows(self, address: str) -> bool:
        """Take a token for one more connection of ``address``; False when there is none."""
        now = self._clock()
        tokens, since = self._tokens.pop(address, (float(self._burst), now))
        tokens = min(float(self._burst), tokens + (now - since) * self._per_s)
        allowed = tokens >= 1
        self._tokens[address] = (tokens - 1 if allowed else tokens, now)
        if len(self._tokens) > self._addresses_max:
            del self._tokens[next(iter(self._tokens))]
        return allowed
