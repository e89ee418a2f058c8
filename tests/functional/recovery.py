"""How a network of real daemons comes back after more validators were away than it can do without."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from time import monotonic

from node.client import Client
from node.devnet import Devnet, ask_status
from node.network_file import NetworkNode
from tests.functional.load import ask, height_of, wait_height

STANDS_S = 5.0
MAX_ROUND = 4
"""Round timers stand while no quorum is seen: whatever the outage lasted, the height is decided within these rounds."""
RECOVERS_S = 90.0
POLL_S = 0.02


@dataclass(frozen=True)
class Recovery:
    """What came after an outage.

    Attributes:
        connected_s: until every node had heard a quorum after the end of the outage.
        decided_s: from then until the first block; 0 when that came before we saw the former.
        round: in which that block was decided.
        height: of it.
    """

    connected_s: float
    decided_s: float
    round: int
    height: int

    def __str__(self) -> str:
        return (
            f"connected after {self.connected_s:.2f} s, block {self.height} decided {self.decided_s:.2f} s later "
            f"in round {self.round}"
        )


async def assert_stands_still(alive: Sequence[NetworkNode]) -> int:
    """What was decided in the last moment arrives; after that nothing more is decided. Returns the height."""
    await asyncio.sleep(1.0)
    height = max([await height_of(node) for node in alive])
    await wait_height(alive[:1], height)
    await asyncio.sleep(STANDS_S)
    # Blocks decided before the cut may still arrive; a decision without a quorum would go on and on.
    assert max([await height_of(node) for node in alive]) <= height + 1
    return max([await height_of(node) for node in alive])


async def watch_recovery(devnet: Devnet, above: int) -> Recovery:
    """From now, the end of the outage, until the first block above a height."""
    nodes = devnet.network.nodes
    needed = devnet.network.genesis().validator_set().quorum - 1
    began = monotonic()
    connected_s: float | None = None
    async with asyncio.timeout(RECOVERS_S):
        while True:
            now = monotonic()
            found = await asyncio.gather(*(ask_status(node.socket) for node in nodes))
            if connected_s is None and all(
                status is not None and _heard_since(status, (now - began) * 1000) >= needed for status in found
            ):
                connected_s = now - began
            if any(status is not None and status["chain"]["height"] > above for status in found):
                break
            await asyncio.sleep(POLL_S)
    decided_s = monotonic() - began
    if connected_s is None:
        connected_s = decided_s
    height = above + 1
    await wait_height(nodes, height, RECOVERS_S)
    (block,) = await ask(nodes[0], "block.get", [{"height": height}])
    recovery = Recovery(connected_s, decided_s - connected_s, block["certificate"]["round"], height)
    assert recovery.round <= MAX_ROUND, str(recovery)
    return recovery


def _heard_since(status: dict, since_ms: float) -> int:
    heard = [one["heard_ms_ago"] for one in status["validators"]]
    return sum(ago is not None and 0 < ago < since_ms for ago in heard)


async def assert_no_evidence(devnet: Devnet) -> None:
    """No node has seen a validator contradict itself."""
    for node in devnet.network.nodes:
        async with Client(node.socket) as client:
            assert (await client.status())["evidence"] == 0, node.name
