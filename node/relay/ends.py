"""The two ends of a relay: one chain each, as this daemon hosts it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from ledger.encoding import Record, encode
from ledger.keys import SigningKey
from node.chain import Chain, Committed
from node.local import LocalGateway

R = TypeVar("R", bound=Record)
BRIDGE = "bridge"


@dataclass(frozen=True, slots=True)
class RelayEnd:
    """One of the two chains as the relay uses it.

    Attributes:
        name: of the chain.
        role: what the chain is to the other one: ``business`` or ``supervision``.
        chain: its committed chain on this node, for proofs.
        gateway: to ask and to submit.
        key: admitted on this chain with the role ``fusion``.
        subscribe: takes a function that hears of every committed block; it must not raise.
    """

    name: str
    role: str
    chain: Chain
    gateway: LocalGateway
    key: SigningKey
    subscribe: Callable[[Callable[[Committed], None]], None]

    def view(self, name: str, arguments: Record, kind: type[R]) -> R:
        """Asks a view of this chain's bridge.

        Raises:
            NotFound: as the view says.
        """
        answer = self.gateway.run_view(BRIDGE, name, encode(arguments))
        assert isinstance(answer, kind)
        return answer
