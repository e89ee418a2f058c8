"""A launcher of a real daemon whose validator equivocates. For tests only; the product has no such switch.

``python -P -m tests.functional.byzantine_launcher HOME``: as ``tidegate node run --home HOME --with-parent``, but from
height ``HONEST_BELOW`` on each PROPOSAL, PREPARE and COMMIT of its own goes to half of the other validators, and
another one, of the same height and round, to the other half. The double-sign guard is not asked.
"""

from __future__ import annotations

import sys
from hashlib import sha256
from typing import Any

from msgspec.structs import replace

from consensus import effects as fx
from consensus.messages import Commit, Message, Prepare, Proposal, RoundChange, encode_message
from consensus.verify import signed_bytes
from node import driver as product
from node.cli import main

HONEST_BELOW = 3
honest_perform = product.Driver._perform


def twin(message: Message, driver: Any) -> Message | None:
    """Another message of the same place, signed."""
    match message:
        case Proposal():
            header = message.block.header
            changed: Message = replace(message, block=replace(message.block, header=later(header)))
        case Prepare() | Commit():
            changed = replace(message, block_id=sha256(message.block_id).digest())
        case RoundChange():
            return None
    return replace(changed, signature=driver._state.sign(signed_bytes(changed, driver._chain.chain_id)))


def later(header: Any) -> Any:
    return replace(header, time_ms=header.time_ms + 1)


async def perform(driver: Any, effect: fx.Effect) -> None:
    """What the driver does, but for its own new messages."""
    if isinstance(effect, fx.Broadcast) and effect.message.height >= HONEST_BELOW:
        other = twin(effect.message, driver)
        if other is not None:
            driver.votes.remember(effect.message)
            others = [key for key in driver._chain.validators.keys if key != driver._state.key]
            for place, key in enumerate(others):
                driver._sender.send_vote(key, encode_message((effect.message, other)[place % 2]))
            return
    await honest_perform(driver, effect)


if __name__ == "__main__":
    product.Driver._perform = perform  # type: ignore[method-assign]
    sys.argv = ["tidegate", "node", "run", "--home", sys.argv[1], "--with-parent"]
    main()
