"""A node that is behind, and peers that have dropped the blocks that it needs."""

from __future__ import annotations

import asyncio

import pytest

from ledger.encoding import encode
from ledger.errors import PeerRefused, StorageFault
from node.data.snapshot_wire import SnapshotOffer
from node.wire import RequestKind, blocks_wanted_codec, byte_list_codec, encode_batch
from tests.node.test_sync import HONEST, LIAR, Follower, Serve, node

__all__ = ["node"]


def pruned_from(node: Follower, retained: int) -> Serve:
    """Answers as a peer that keeps blocks from ``retained`` on only."""
    honest = node.peers.serving[HONEST]

    def answer(kind: RequestKind, payload: bytes) -> bytes:
        if kind is RequestKind.SNAPSHOT:
            return encode(SnapshotOffer(node.ahead.chain.tip.height, retained, 0))
        if blocks_wanted_codec.decode(payload).from_height < retained:
            raise PeerRefused("pruned", peer_code="pruned")
        return honest(kind, payload)

    return answer


async def test_a_peer_that_keeps_the_blocks_is_used_when_another_has_pruned_them(node: Follower) -> None:
    await node.grow(6)
    node.peers.serving = {LIAR: pruned_from(node, 4), HONEST: node.peers.serving[HONEST]}
    node.claim(LIAR, 6)
    node.claim(HONEST, 6)
    await node.reach(6)
    assert not node.peers.penalised


async def test_a_pruned_peer_is_asked_again_when_we_are_where_it_begins(node: Follower) -> None:
    await node.grow(6)
    whole = node.peers.serving[HONEST]

    def three_only(kind: RequestKind, payload: bytes) -> bytes:
        return encode_batch(byte_list_codec.decode(whole(kind, payload))[: 3 - node.behind.chain.tip.height])

    node.peers.serving = {LIAR: pruned_from(node, 4), HONEST: three_only}
    node.claim(LIAR, 6)
    node.claim(HONEST, 3)
    await node.reach(6)


async def test_the_node_says_that_it_needs_a_snapshot_when_every_peer_has_pruned(
    node: Follower, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("node.sync.STRANDED_S", 0.0)
    await node.grow(6)
    node.peers.serving = {HONEST: pruned_from(node, 4)}
    node.claim(HONEST, 6)
    node.task = asyncio.create_task(node.sync.run())
    with pytest.raises(ExceptionGroup) as caught:
        async with asyncio.timeout(10):
            await node.task
    (fault,) = caught.value.exceptions
    assert isinstance(fault, StorageFault)
    assert (fault.code, fault.data["retained_height"]) == ("snapshot_needed", 4)
    assert "join_from_snapshot" in fault.message
