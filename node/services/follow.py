"""Following the chain from inside a service: every block once, however often the node is unreachable meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

import structlog

from ledger.errors import InvalidInput, RemoteFault
from node.gateway import BlockEvents, Gateway

log = structlog.get_logger(__name__)

FIRST_PAUSE_S: Final = 0.2
MAX_PAUSE_S: Final = 10.0


async def follow(gateway: Gateway, from_height: int, handle: Callable[[BlockEvents], None], service: str) -> None:
    """Hands every block from ``from_height`` on to ``handle``, in order, until it is cancelled.

    Args:
        gateway: whose blocks.
        from_height: first block.
        handle: must not raise; it only takes notes, so that following never falls behind.
        service: name for the log.

    Raises:
        Fatal: the node is broken.
    """
    height, pause = from_height, FIRST_PAUSE_S
    while True:
        try:
            async for block in gateway.events(height):
                handle(block)
                height, pause = block.height + 1, FIRST_PAUSE_S
        except (RemoteFault, InvalidInput) as error:
            log.warning("service_lost_chain", service=service, height=height, code=error.code)
        await asyncio.sleep(pause)
        pause = min(2 * pause, MAX_PAUSE_S)


async def known_height(gateway: Gateway, service: str) -> int:
    """Height of the last block, as soon as the node can say it."""
    pause = FIRST_PAUSE_S
    while True:
        try:
            return (await gateway.info()).height
        except (RemoteFault, InvalidInput) as error:
            log.warning("service_lost_chain", service=service, height=-1, code=error.code)
        await asyncio.sleep(pause)
        pause = min(2 * pause, MAX_PAUSE_S)
