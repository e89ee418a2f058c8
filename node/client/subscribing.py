"""Checks what a subscription tells against the proved block that it says it is of."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from functools import partial
from typing import Any

from ledger.block import OK, block_id
from ledger.document import to_document
from ledger.errors import PeerMisbehaved
from node.client.http import NodeHttp
from node.client.nodes import Nodes
from node.client.verifying import ProvedBlock, Verifier, false_claim
from node.rpc.subscriptions_records import Kind, Notification


async def verified(
    notes: AsyncGenerator[Notification, None], nodes: Nodes, verifier: Verifier, topic: str
) -> AsyncGenerator[Notification, None]:
    """The same notifications, each checked before it is handed on.

    Blocks, transactions and events are checked in full. Of the other topics: the block, and that the transaction named
    is in it. That nothing is left out is checked of blocks only.

    Raises:
        PeerMisbehaved: ``notification_false``.
    """
    block: ProvedBlock | None = None
    async with aclosing(notes):
        async for note in notes:
            if note.kind is Kind.ITEM:
                if note.cursor is None:
                    false_claim("a notification without its place", "notification_false")
                height = note.cursor.height
                if block is None or block.header.height != height:
                    block = await nodes.run(partial(_block, verifier, height))
                await _check(note, note.cursor.index, block, nodes, verifier, topic)
            yield note


async def _block(verifier: Verifier, height: int, node: NodeHttp) -> ProvedBlock:
    return await verifier.block(node, height)


async def _check(
    note: Notification, index: int, block: ProvedBlock, nodes: Nodes, verifier: Verifier, topic: str
) -> None:
    header, item = block.header, note.item
    if (note.block_id, note.time_ms) != (block_id(header).hex(), header.time_ms):
        false_claim(f"block {header.height} has another id or time", "notification_false")
    if not isinstance(item, dict):
        false_claim("an entry that is no object", "notification_false")
    if topic == "blocks":
        same = item == {"block_id": note.block_id, "header": to_document(header)}
    elif topic == "events":
        events = [{"tx_id": found.tx_id.hex(), **to_document(e)} for found in block.receipts for e in found.events]
        same = index < len(events) and item == events[index]
    elif topic == "transactions":
        same = await _same_transaction(item, index, block, nodes, verifier)
    else:
        same = item.get("tx_id") in {found.tx_id.hex() for found in block.receipts}
    if not same:
        false_claim(f"entry {index} of block {header.height} is not what the block says", "notification_false")


async def _same_transaction(
    item: dict[str, Any], index: int, block: ProvedBlock, nodes: Nodes, verifier: Verifier
) -> bool:
    if index >= len(block.refs):
        return False
    name = bytes(block.refs[index][:32])
    try:
        proved = await nodes.run(lambda node: verifier.transaction(node, name))
    except PeerMisbehaved as error:
        error.data.setdefault("topic", "transactions")
        raise
    body, code = proved.transaction.body, proved.receipt.code
    return item == {
        "tx_id": name.hex(),
        "status": "committed" if code == OK else "refused",
        "code": code,
        "sender": body.sender.hex(),
        "calls": [{"contract": call.contract, "method": call.method} for call in body.calls],
        "inputs": [outpoint.hex() for outpoint in body.inputs],
        "outputs": to_document(body.outputs),
        "memo": body.memo.hex(),
    }
