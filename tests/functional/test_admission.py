"""Who has no certificate of the chain's authority can neither connect nor submit."""

from __future__ import annotations

import secrets
from collections import deque

import pytest

from ledger.errors import InvalidInput
from ledger.keys import SigningKey, key_text
from ledger.transaction import outpoint
from node.client import Client
from node.network import AssetPlan
from node.wire import Topic, encode_batch
from p2p.gossip_wire import GossipKind, encode_push
from p2p.identity import TransportKey
from p2p.transport import Channel, PeerId
from tests.functional.conftest import Start
from tests.functional.daemons import wait_logged
from tests.functional.foreign import peer
from tests.functional.load import AMOUNT, ASSET, Purse, purses_of, until

pytestmark = pytest.mark.functional

ADMITTED = "node2"
"""An observer whose keys the tests use; its daemon does not run."""


async def test_a_peer_is_refused_in_the_handshake_when_its_key_has_no_certificate(start: Start) -> None:
    async with start(validators=2, observers=1, run=("node0", "node1")) as devnet:
        network = devnet.network
        stranger = TransportKey(secrets.token_bytes(32))
        async with peer(network, stranger) as foreign:
            foreign.dial(*network.nodes[:2])
            for node in network.nodes[:2]:
                assert (await wait_logged(node, "peer_refused", stranger.peer_id))["code"] == "peer_not_admitted"
            assert foreign.connected == []
        own = network.node(ADMITTED)
        async with peer(network, own.keys().transport, port=own.port) as admitted:
            admitted.dial(*network.nodes[:2])
            for node in network.nodes[:2]:
                await admitted.wait_connected(node)
        for node in network.nodes[:2]:
            async with Client(node.socket) as client:
                names = [document["peer_id"] for document in (await client.status())["peers"]]
            assert stranger.peer_id not in names


async def test_a_transaction_is_refused_when_its_sender_has_no_certificate(start: Start) -> None:
    stranger = SigningKey.generate()
    lock = f"key({key_text(stranger.public)})"
    # The stranger owns money from the start, so that nothing but the missing certificate is in its way.
    assets = (AssetPlan(ASSET, ((AMOUNT, lock), (AMOUNT, "key({Member 0})"))),)
    async with start(validators=2, observers=1, run=("node0", "node1"), assets=assets) as devnet:
        network = devnet.network
        source = outpoint(network.genesis().hash, 0)
        purse = Purse(stranger, network.chain_id, lock, 1_000, deque([(source, AMOUNT)]))
        transaction = purse.transfer()
        for node in network.nodes[:2]:
            async with Client(node.socket) as client:
                for submit in (client.submit, client.submit_and_wait):
                    with pytest.raises(InvalidInput) as refused:
                        await submit(transaction)
                    assert refused.value.code == "sender_not_admitted"
                (answer,) = await client.submit_many([transaction.wire])
                assert (answer.status, answer.code) == ("rejected", "sender_not_admitted")
        # A peer that is admitted hands it in, and a good one after it: only that one gets into a block.
        good = purses_of(network)[0]
        good.outputs = deque([(outpoint(network.genesis().hash, 1), AMOUNT)])
        follower = good.transfer()
        own, first = network.node(ADMITTED), network.nodes[0]
        async with peer(network, own.keys().transport, port=own.port) as admitted, Client(first.socket) as client:
            admitted.dial(first)
            await admitted.wait_connected(first)
            for wire in (transaction.wire, follower.wire):
                push = encode_push(Topic.TRANSACTIONS, [], encode_batch([wire]))
                assert admitted.transport.send(PeerId(first.peer_id), Channel.BULK, GossipKind.PUSH, push)

            async def committed() -> bool:
                return (await client.outcome(follower.tx_id)).status == "committed"

            await until(committed, "the member's transaction is in a block")
            assert (await client.outcome(transaction.tx_id)).status == "unknown"
            assert [item.outpoint for item in await client.unspent(lock)] == [source]
