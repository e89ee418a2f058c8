"""Links between real daemons that are cut, lossy or one-way: no half decides alone, and all agree afterwards."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from tests.functional.load import Load, assert_agreement, chain_goes_on, height_of, make_network, wait_height
from tests.functional.partitions import Namespaces, PlacedDevnet, Proxies
from tests.functional.recovery import assert_no_evidence, assert_stands_still, watch_recovery

pytestmark = [pytest.mark.functional, pytest.mark.timeout(400)]

MINORITY_S = 7.0
"""Longer than a silent peer is kept."""


@pytest.mark.parametrize("kind", [Namespaces, Proxies])
async def test_all_agree_when_links_were_cut_and_bad(tmp_path: Path, seed: int, kind: Any) -> None:
    if reason := kind.refused():
        pytest.skip(f"this machine makes no network namespaces: {reason}")
    network = make_network(tmp_path / "n")
    names = [node.name for node in network.nodes]
    async with kind.made(network) as links, PlacedDevnet(network.directory, links) as devnet:
        await devnet.start()
        await devnet.wait_ready(peers=3, timeout_s=90)
        load = Load(devnet.network, seed)
        async with load.running():
            await load.wait_more(20)
            await halves(devnet, links, names)
            await load.wait_more(20)
            await minority(devnet, links, names, load, alone=names[seed % 4])
            await links.disturb()
            await load.wait_more(20)
            await links.heal()
            if isinstance(links, Namespaces):
                await one_way(devnet, links, names, load, deaf_to=names[(seed + 1) % 4])
            await load.wait_more(20)
        await devnet.wait_ready(peers=3, timeout_s=90)
        await chain_goes_on(devnet.network.nodes, timeout_s=90)
        await assert_agreement(load, timeout_s=90)
        await assert_no_evidence(devnet)


async def halves(devnet: PlacedDevnet, links: Any, names: list[str]) -> None:
    """Two and two: none has a quorum."""
    await links.cut(names[:2], names[2:])
    height = await assert_stands_still(devnet.network.nodes)
    await links.heal()
    print(f"{type(links).__name__}, two and two: {await watch_recovery(devnet, height)}")


async def minority(devnet: PlacedDevnet, links: Any, names: list[str], load: Load, alone: str) -> None:
    """Three go on without the fourth, which decides nothing and then gets what it missed."""
    rest = [name for name in names if name != alone]
    others = [devnet.network.node(name) for name in rest]
    await links.cut(rest, [alone])
    height = await height_of(devnet.network.node(alone))
    await load.wait_more(20)
    await asyncio.sleep(MINORITY_S)
    assert await height_of(devnet.network.node(alone)) <= height + 1
    reached = max([await height_of(node) for node in others])
    assert reached > height
    await links.heal()
    await wait_height([devnet.network.node(alone)], reached, 90)


async def one_way(devnet: PlacedDevnet, links: Namespaces, names: list[str], load: Load, deaf_to: str) -> None:
    """Nothing that one node sends arrives anywhere, while it is sent everything."""
    links.lose(100, [deaf_to])
    await chain_goes_on([node for node in devnet.network.nodes if node.name != deaf_to], 3, timeout_s=90)
    await load.wait_more(10)
    await links.heal()
