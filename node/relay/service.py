"""The relay service: watches both chains and delivers what each has for the other (DESIGN.md 6).

Stateless: what is to be done follows from the two chains alone, so that it can stop anywhere and resume, and several
can run at once.
"""

from __future__ import annotations

import asyncio
from typing import Any

from node.relay.direction import Direction
from node.relay.ends import RelayEnd


class RelayService:
    """See the module.

    Args:
        business: one end.
        supervision: the other.
    """

    def __init__(self, business: RelayEnd, supervision: RelayEnd) -> None:
        self.directions = (Direction(business, supervision), Direction(supervision, business))

    def document(self) -> dict[str, Any]:
        """What ``tidegate fusion status`` shows: lag, unanswered packets and the oldest one, for each direction."""
        return {"directions": [direction.document() for direction in self.directions]}

    async def run(self) -> None:
        """Relays until it is cancelled."""
        async with asyncio.TaskGroup() as group:
            for direction in self.directions:
                group.create_task(direction.run(), name=f"relay_to_{direction.destination.name}")
