"""What a node does with frames and requests of its peers: honest, strange, and hostile ones."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from ledger.block import DecidedBlock, block_codec, decided_block_codec
from ledger.encoding import encode
from ledger.errors import PeerRefused, PeerUnavailable
from ledger.transaction import Transaction
from node.core import NodeCore
from node.wire import (
    MAX_SYNC_BLOCKS,
    BlocksWanted,
    BulkKind,
    RequestKind,
    ServiceRequest,
    Status,
    Topic,
    VoteKindOnWire,
    byte_list_codec,
    encode_refs,
)
from p2p.transport import Channel, PeerId
from tests.node.cluster import Cluster, running


@pytest.fixture
async def pair() -> AsyncIterator[Cluster]:
    """A validator, and an observer that this test speaks for; two blocks are decided."""
    cluster = Cluster(2, validators=1)
    async with running(cluster):
        for number in range(2):
            transfer = cluster.transfer(0, 1, 5, cluster.genesis_output(0, number))
            assert (await cluster.core(0).gateway.submit_and_wait(transfer, 10)).status == "committed"
        await cluster.wait_height(2)
        await cluster.wait(lambda: peer(cluster, 0) in cluster.core(1).transport.peers())
        yield cluster


def peer(cluster: Cluster, index: int) -> PeerId:
    return cluster.members[index].transport.peer_id


async def ask(cluster: Cluster, kind: int, payload: bytes) -> bytes:
    return await cluster.core(1).transport.request(peer(cluster, 0), kind, payload, 5)


def watched(core: NodeCore) -> list[str]:
    """Reasons for which this node penalises peers, from now on."""
    reasons: list[str] = []
    disconnect = core.transport.disconnect
    core.transport.disconnect = lambda name, reason: (reasons.append(reason), disconnect(name, reason))[1]
    return reasons


# --- requests ---------------------------------------------------------------------------------------------------------


async def test_blocks_are_served_from_a_height_on_when_asked_for(pair: Cluster) -> None:
    reply = byte_list_codec.decode(await ask(pair, RequestKind.BLOCKS, encode(BlocksWanted(1, MAX_SYNC_BLOCKS))))
    blocks: list[DecidedBlock] = [decided_block_codec.decode(data) for data in reply]
    assert [block.header.height for block in blocks][:2] == [1, 2]
    one = byte_list_codec.decode(await ask(pair, RequestKind.BLOCKS, encode(BlocksWanted(2, 1))))
    assert one == reply[1:2]
    assert byte_list_codec.decode(await ask(pair, RequestKind.BLOCKS, encode(BlocksWanted(2**53 - 1, 1)))) == ()


async def test_transactions_are_served_by_exact_ref_when_they_wait(pair: Cluster) -> None:
    core = pair.core(0)
    core.driver.on_waiting = lambda: None
    core.intake._on_waiting = lambda: None
    transaction = pair.transfer(0, 1, 5, pair.genesis_output(0, 5))
    core.mempool.admit(Transaction.decode(transaction.wire), 0)
    wrong = transaction.ref[:32] + bytes(32)
    reply = await ask(pair, RequestKind.TRANSACTIONS, encode_refs([wrong, transaction.ref, bytes(64)]))
    assert byte_list_codec.decode(reply) == (transaction.wire,)


async def test_block_is_served_by_id_when_it_is_known(pair: Cluster) -> None:
    store = pair.core(0).chain.store
    data = await ask(pair, RequestKind.BLOCK, store.tip.block_id)
    assert block_codec.decode(data) == store.block(store.height)


@pytest.mark.parametrize(
    ("kind", "payload", "code"),
    [
        (RequestKind.BLOCKS, b"\xc1", "malformed"),
        (RequestKind.BLOCKS, encode((0, 1)), "malformed"),
        (RequestKind.BLOCKS, encode((1, 0)), "malformed"),
        (RequestKind.BLOCKS, encode((1, MAX_SYNC_BLOCKS + 1)), "malformed"),
        (RequestKind.BLOCK, bytes(32), "not_found"),
        (RequestKind.BLOCK, b"", "not_found"),
        (RequestKind.SERVICE, b"\xc1", "malformed"),
        (RequestKind.SERVICE, encode(("", b"")), "malformed"),
        (99, b"", "request_kind_unknown"),
    ],
)
async def test_request_is_refused_with_a_code_and_the_peer_kept_when_it_is_bad(
    pair: Cluster, kind: int, payload: bytes, code: str
) -> None:
    with pytest.raises(PeerRefused) as caught:
        await ask(pair, kind, payload)
    assert caught.value.data["peer_code"] == code
    assert peer(pair, 1) in pair.core(0).transport.peers()


async def test_service_is_told_the_organisation_of_the_certificate_when_a_node_asks(pair: Cluster) -> None:
    async def answer(service: str, organisation: str, payload: bytes) -> bytes:
        return f"{service} for {organisation}: ".encode() + payload

    pair.core(0).peers._service = answer
    reply = await ask(pair, RequestKind.SERVICE, encode(ServiceRequest("books", b"page 1")))
    assert reply == b"books for Member 1: page 1"
    for name in (peer(pair, 0), "Member 0"):
        assert await pair.core(1).peers.call_service(name, "books", b"x", 5) == b"books for Member 1: x"
    with pytest.raises(PeerUnavailable):
        await pair.core(1).peers.call_service("Member 9", "books", b"x", 5)


async def test_service_that_breaks_tells_the_peer_nothing_but_a_code(pair: Cluster) -> None:
    async def broken(service: str, organisation: str, payload: bytes) -> bytes:
        raise KeyError("secret detail")

    pair.core(0).peers._service = broken
    with pytest.raises(PeerRefused) as caught:
        await ask(pair, RequestKind.SERVICE, encode(ServiceRequest("books", b"")))
    assert caught.value.data["peer_code"] == "internal_error"


# --- frames -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("channel", "kind", "payload"),
    [
        (Channel.VOTE, VoteKindOnWire.DIRECT, b"\xc1"),
        (Channel.VOTE, 60, b""),
        (Channel.BULK, BulkKind.STATUS, b"\xc1"),
        (Channel.BULK, BulkKind.STATUS, encode((-1, bytes(32)))),
        (Channel.BULK, BulkKind.STATUS, encode((1, bytes(31)))),
        (Channel.BULK, BulkKind.DECIDED, b"\xc1"),
        (Channel.BULK, 60, b""),
    ],
)
async def test_peer_is_penalised_when_it_sends_what_no_honest_peer_sends(
    pair: Cluster, channel: Channel, kind: int, payload: bytes
) -> None:
    reasons = watched(pair.core(0))
    pair.core(1).transport.send(peer(pair, 0), channel, kind, payload)
    await pair.wait(lambda: bool(reasons))
    assert peer(pair, 1) not in pair.core(0).transport.peers()
    transfer = pair.transfer(0, 1, 5, pair.genesis_output(0, 7))
    assert (await pair.core(0).gateway.submit_and_wait(transfer, 10)).status == "committed"


@pytest.mark.parametrize("topic", [Topic.VOTES, Topic.BLOCKS, Topic.TRANSACTIONS])
async def test_peer_is_penalised_when_it_gossips_rubbish(pair: Cluster, topic: Topic) -> None:
    reasons = watched(pair.core(0))
    pair.core(1).gossip.publish(topic, b"\xc1rubbish")
    await pair.wait(lambda: bool(reasons))
    assert reasons[0] == "gossip_item_rejected"


async def test_latest_message_is_not_looked_at_when_it_comes_from_no_validator(pair: Cluster) -> None:
    reasons = watched(pair.core(0))
    transport = pair.core(1).transport
    transport.send(peer(pair, 0), Channel.VOTE, VoteKindOnWire.LATEST, b"\xc1")
    assert await ask(pair, RequestKind.BLOCKS, encode(BlocksWanted(1, 1)))  # travels behind it
    assert reasons == []


async def test_absurd_claim_does_no_harm_when_a_peer_says_it_is_far_ahead(pair: Cluster) -> None:
    core = pair.core(0)
    asked: list[int] = []
    request = core.peers.request

    async def counted(name: PeerId, kind: RequestKind, payload: bytes, timeout_s: float) -> bytes:
        asked.append(kind)
        return await request(name, kind, payload, timeout_s)

    core.peers.request = counted
    claim = encode(Status(2**53 - 1, bytes(32)))
    pair.core(1).transport.send(peer(pair, 0), Channel.BULK, BulkKind.STATUS, claim)
    await pair.wait(lambda: asked == [RequestKind.BLOCKS])
    transfer = pair.transfer(0, 1, 5, pair.genesis_output(0, 7))
    assert (await core.gateway.submit_and_wait(transfer, 10)).status == "committed"
    await pair.wait(lambda: core.synchroniser.target_height < 2**53 - 1)


async def test_other_side_knows_our_height_when_a_connection_is_made(pair: Cluster) -> None:
    heights: list[int] = []
    await pair.stop(1)
    core = await pair.start(1)
    on_status = core.synchroniser.on_status
    core.synchroniser.on_status = lambda name, status: (heights.append(status.height), on_status(name, status))[1]
    await pair.wait(lambda: bool(heights))
    assert heights[0] == pair.core(0).chain.tip.height
