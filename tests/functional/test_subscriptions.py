"""A follower of real daemons that are killed under it, while they work: what it heard is the chain."""

from __future__ import annotations

import asyncio

from node.client import Client, Endpoint
from node.subscriber import Notification, follow
from tests.functional.conftest import Start
from tests.functional.load import Load, height_of, until

STEPS = ("node0", "node1")
"""Killed one after the other, each once the one before is back."""
HEARD_S = 120.0


async def test_follower_hears_every_transaction_once_when_its_nodes_are_killed(start: Start, seed: int):
    async with start(validators=4) as devnet:
        nodes = devnet.network.nodes
        heard: list[Notification] = []

        async def listen() -> None:
            places = [Endpoint(str(node.socket)) for node in nodes[:2]]
            async for note in follow(places, "transactions", from_height=1, markers=True):
                heard.append(note)  # noqa: PERF401 - it never ends

        listener = asyncio.create_task(listen())
        async with Load(devnet.network, seed, at=("node2", "node3")).running() as load:
            for name in STEPS:
                await load.wait_more(30)
                await devnet.kill(name)
                await load.wait_more(30)
                await devnet.start_one(name, timeout_s=120)
        height = await height_of(nodes[2])

        async def told() -> bool:
            if listener.done():
                listener.result()
            return bool(heard) and heard[-1].cursor is not None and heard[-1].cursor.height >= height

        await until(told, f"the follower to reach block {height}", HEARD_S)
        listener.cancel()
        names = [(note.cursor.height, note.item["tx_id"]) for note in heard if note.kind == "item" and note.cursor]
        async with Client(nodes[2].socket) as client:
            blocks = [await client.block(height=number) for number in range(1, height + 1)]
        chain = [(block["header"]["height"], name) for block in blocks for name in block["transactions"]]
        assert [name for name in names if name[0] <= height] == chain
        assert set(load.acknowledged) <= {bytes.fromhex(name) for _, name in names}
