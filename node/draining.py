"""The orderly end of a node: nothing new is taken, what clients wait for and the block under way are finished.

Bounded, and given up as soon as no quorum is heard any more: then no block comes, however long one waits.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

import structlog

from node.clock import monotonic_ms, monotonic_s

if TYPE_CHECKING:
    from node.core import NodeCore

log = structlog.get_logger(__name__)

DRAIN_S: Final = 5.0
"""Closing listeners, overlay and store comes after it; all of it together stays below ten seconds."""
POLL_S: Final = 0.02
HEARD_MS: Final = 3_000
"""A validator without a direct connection counts as there when it was heard so lately."""


async def drain(core: NodeCore, timeout_s: float = DRAIN_S) -> bool:
    """Finishes what is under way; True when everything that clients have handed in here is in a block.

    Args:
        core: running; its tasks go on until this returns.
        timeout_s: after which the rest is left to the other nodes, which have heard of it.
    """
    core.intake.refuse_clients()
    deadline = monotonic_s() + timeout_s
    begun = core.driver.height if core.driver.deciding else 0
    while (left := core.mempool.has_local) or core.driver.height <= begun:
        if monotonic_s() >= deadline or not hears_quorum(core):
            break
        await asyncio.sleep(POLL_S)
    await core.driver.between_blocks()
    core.gateway.release()
    log.info("drained", height=core.chain.tip.height, waiting=len(core.mempool), handed_in_here=left)
    return not left


def hears_quorum(core: NodeCore) -> bool:
    """Whether so many validators are connected, or were heard a moment ago, that blocks can be decided."""
    validators, now = core.chain.validators, monotonic_ms()
    count = 0
    for key in validators.keys:
        peer = core.membership.peer_of(key)
        lost = None if peer is None else core.synchroniser.lost_ms(peer)
        heard = core.driver.votes.heard_ms.get(key)
        lately = heard is not None and now - heard < HEARD_MS and (lost is None or lost < heard)
        count += lately or key == core.key.public or core.peers.peer_of(key) is not None
    return count >= validators.quorum
