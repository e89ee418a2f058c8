"""Notifications of a verifying client: each is what the proved block says, or the stream ends."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Sequence
from typing import Any

import msgspec
import pytest

from ledger.document import to_document
from ledger.errors import PeerMisbehaved
from node.client.endpoint import Endpoint
from node.client.nodes import Nodes
from node.client.subscribing import verified
from node.client.verifying import Verifier
from node.light import LightClient
from node.rpc.subscriptions_blocks import SharedBlock
from node.rpc.subscriptions_records import Cursor, Kind, Notification, Topic
from node.rpc.subscriptions_topics import Topics
from tests.node.client.conftest import Serve
from tests.node.client.stage import Node
from tests.node.cluster import Cluster

TOPICS = ["blocks", "transactions", "events", "account"]


async def told(node: Node, topic: str) -> list[Notification]:
    """What an honest node tells of every block."""
    topics = Topics(node.chain)
    blocks = [SharedBlock(node.chain, height) for height in range(1, node.chain.tip.height + 1)]
    return [
        Notification(
            subscription="1",
            kind=Kind.ITEM,
            cursor=Cursor(height=block.height, index=entry.index),
            block_id=block.id.hex(),
            time_ms=block.header.time_ms,
            item=json.loads(bytes(entry.item)),
        )
        for block in blocks
        for entry in await topics.entries(block, Topic(topic))
    ]


async def stream(notes: Sequence[Notification]) -> AsyncGenerator[Notification, None]:
    for note in notes:
        yield note


class Reader:
    """Checks streams against a node."""

    def __init__(self, node: Node, path: Any) -> None:
        self.nodes = Nodes([Endpoint(str(path))])
        self.verifier = Verifier(LightClient(node.genesis))

    async def read(self, notes: Sequence[Notification], topic: str) -> list[Notification]:
        return [note async for note in verified(stream(notes), self.nodes, self.verifier, topic)]


@pytest.fixture
async def node() -> Node:
    found = Node(Cluster(4, checkpoint_interval=4))
    await found.grow(2)
    for number in range(3):
        await found.pay_soon(number)
    await found.grow(2)
    return found


@pytest.mark.parametrize("topic", TOPICS)
async def test_everything_is_handed_on_when_the_node_is_honest(serve: Serve, node: Node, topic: str):
    reader, notes = Reader(node, await serve(node)), await told(node, topic)
    assert topic == "events" or notes
    progress = Notification(subscription="1", kind=Kind.PROGRESS, cursor=Cursor(height=9))
    assert await reader.read([*notes, progress], topic) == [*notes, progress]
    assert node.calls.count("proof.block") <= 4
    await reader.nodes.close()


def _block_id(note: Notification) -> Notification:
    return msgspec.structs.replace(note, block_id="00" * 32)


def _time(note: Notification) -> Notification:
    return msgspec.structs.replace(note, time_ms=1)


def _place(note: Notification) -> Notification:
    return msgspec.structs.replace(note, cursor=None)


def _none(note: Notification) -> Notification:
    return msgspec.structs.replace(note, item=None)


def _transaction(note: Notification) -> Notification:
    return msgspec.structs.replace(note, item={**note.item, "tx_id": "22" * 32})


@pytest.mark.parametrize("change", [_block_id, _time, _place, _none, _transaction])
@pytest.mark.parametrize("topic", ["transactions", "account"])
async def test_an_entry_is_refused_when_it_is_not_of_its_block(serve: Serve, node: Node, topic: str, change: Any):
    reader, notes = Reader(node, await serve(node)), await told(node, topic)
    with pytest.raises(PeerMisbehaved) as found:
        await reader.read([change(notes[0])], topic)
    assert found.value.code == "notification_false"
    await reader.nodes.close()


@pytest.mark.parametrize(
    "change",
    [
        {"code": "input_missing"},
        {"status": "refused"},
        {"sender": "11" * 33},
        {"outputs": []},
        {"memo": "00"},
        {"calls": [{"contract": "x", "method": "y"}]},
        {"extra": 1},
    ],
)
async def test_a_transaction_is_refused_when_the_entry_says_otherwise(serve: Serve, node: Node, change: Any):
    reader, notes = Reader(node, await serve(node)), await told(node, "transactions")
    first = notes[0]
    forged = msgspec.structs.replace(first, item={**first.item, **change})
    with pytest.raises(PeerMisbehaved):
        await reader.read([forged], "transactions")
    moved = msgspec.structs.replace(first, cursor=Cursor(height=first.cursor.height, index=1))  # type: ignore[union-attr]
    with pytest.raises(PeerMisbehaved):
        await reader.read([moved], "transactions")
    beyond = msgspec.structs.replace(first, cursor=Cursor(height=first.cursor.height, index=9))  # type: ignore[union-attr]
    with pytest.raises(PeerMisbehaved):
        await reader.read([beyond], "transactions")
    await reader.nodes.close()


async def test_an_event_is_refused_when_the_block_has_none(serve: Serve, node: Node):
    reader, header = Reader(node, await serve(node)), node.chain.store.header(3)
    block_id = node.gateway.block_events(3).block_id.hex()
    forged = Notification(
        subscription="1",
        kind=Kind.ITEM,
        cursor=Cursor(height=3, index=0),
        block_id=block_id,
        time_ms=header.time_ms,
        item={"tx_id": "00" * 32, "contract": "assets", "name": "forged", "data": ""},
    )
    for topic in ("events", "blocks"):
        with pytest.raises(PeerMisbehaved):
            await reader.read([forged], topic)
    right = msgspec.structs.replace(forged, item={"block_id": block_id, "header": to_document(header)})
    assert await reader.read([right], "blocks") == [right]
    await reader.nodes.close()
