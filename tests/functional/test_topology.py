"""A network whose nodes are not all connected to each other."""

from __future__ import annotations

import pytest

from node.client import Client
from tests.functional.conftest import Start
from tests.functional.load import Load, assert_agreement, chain_goes_on

pytestmark = pytest.mark.functional


async def test_a_validator_with_one_peer_gets_everything_when_the_network_is_a_line(start: Start, seed: int) -> None:
    async with start(topology="line", peers=1) as devnet:
        load = Load(devnet.network, seed, at=["node0"])
        async with load.running():
            await load.wait_more(100)
        for name, peers in (("node0", {"Member 1"}), ("node3", {"Member 2"})):
            async with Client(devnet.network.node(name).socket) as client:
                assert {peer["organisation"] for peer in (await client.status())["peers"]} == peers
        await assert_agreement(load)
        await chain_goes_on(devnet.network.nodes)
