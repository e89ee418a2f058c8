"""Committees rotate under traffic: seven supervisors of whom four decide, real daemons, and a relay that was away."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest

from contracts.bridge.records import ClientView, RoleQuery
from contracts.validators.calls import EpochPage, EpochsQuery
from contracts.validators.records import EpochRecord
from ledger.genesis import Parameters
from ledger.keys import parse_key
from node.devnet import ask_status
from tests.functional.load import until
from tests.functional.supervised import Supervised, consortium

pytestmark = [pytest.mark.functional, pytest.mark.timeout(420)]

COMMITTEE, EPOCH_BLOCKS = 4, 6
PATIENCE_S = 120.0
BLOCKS = Parameters(base_timeout_ms=500, empty_block_ms=400)
"""Quick empty blocks: epochs pass whether there is traffic or not."""


async def epochs_of(net: Supervised) -> list[EpochRecord]:
    """The last epochs, as the supervision chain records them."""
    page = await net.supervision.view("validators", "epochs", EpochsQuery(0, 32), EpochPage)
    return list(page.epochs[::-1])


async def until_epochs(net: Supervised, more: int) -> None:
    wanted = (await epochs_of(net))[-1].number + more

    async def there() -> bool:
        return (await epochs_of(net))[-1].number >= wanted

    await until(there, f"{more} more epochs", PATIENCE_S)


async def proved_height(net: Supervised) -> int:
    client = await net.business.view("bridge", "client", RoleQuery("supervision"), ClientView)
    return client.state.latest.height


async def test_flows_cross_while_committees_rotate_and_a_relay_resumes_after_many_epochs(tmp_path: Path) -> None:
    plan = {"supervision_validators": 7, "committee": COMMITTEE, "epoch_blocks": EPOCH_BLOCKS, "fusion_nodes": 1}
    async with consortium(tmp_path, parameters=BLOCKS, supervision_parameters=BLOCKS, **plan) as net:
        fusion = net.fusion(0)
        async with net.traffic(workers=2) as traffic:
            await traffic.more(3, PATIENCE_S)
            await until_epochs(net, 2)
            await traffic.more(3, PATIENCE_S)

            await net.net.business.stop([fusion])
            stopped_at = (await net.supervision.info()).height
            await until_epochs(net, 5)
            assert await proved_height(net) <= stopped_at, "nobody is left who could show a header"
            await net.net.business.start([fusion])
            await net.net.business.wait_ready([fusion], timeout_s=PATIENCE_S)
            await traffic.more(3, PATIENCE_S)
        await traffic.finished(PATIENCE_S)

        relay = await net.relay(fusion)
        assert relay is not None
        to_business = next(each for each in relay["directions"] if each["to"] == "business")
        assert to_business["followed_headers"] >= 3
        await check_committees(net)


async def check_committees(net: Supervised) -> None:
    """Size, caps, few changes, and that whoever decides says so itself."""
    operations = {
        bytes(parse_key(node.validator))
        for node in net.consortium.supervision.nodes
        if node.organisation.endswith("Operations")
    }
    assert len(operations) == 2
    committees = [set(epoch.keys) for epoch in await epochs_of(net)]
    assert all(len(keys) == COMMITTEE and len(keys & operations) <= 1 for keys in committees)
    assert all(len(before - after) == 1 for before, after in pairwise(committees))
    assert len(set[bytes]().union(*committees)) >= 6
    states = [await ask_status(node.socket) for node in net.consortium.supervision.nodes if node.validates]
    assert all(state is not None for state in states), "those without a seat follow"
