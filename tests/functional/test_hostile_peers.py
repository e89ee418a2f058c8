"""A member whose node sends garbage: it is dropped by the node that it sent it to, and the others go on."""

from __future__ import annotations

import secrets

import pytest

from consensus.messages import Prepare, RoundChange, encode_message, round_change_digest
from ledger.certificate import VoteKind, vote_digest
from ledger.encoding import encode
from ledger.keys import SigningKey
from node.client import Client
from node.devnet import Devnet
from node.network_file import Network, NetworkNode
from node.wire import BulkKind, Status, Topic, VoteKindOnWire, encode_batch
from p2p.gossip_wire import GossipKind, encode_push
from p2p.transport import Channel, PeerId
from tests.functional.conftest import Start
from tests.functional.foreign import peer
from tests.functional.load import Load, Purse, assert_agreement, height_of, purses_of, until, wait_height

pytestmark = pytest.mark.functional

VALIDATORS = ("node0", "node1", "node2", "node3")
GROWTH_MB = 60.0
FRAME_BYTES = 16 << 20

Message = tuple[Channel, int, bytes]


def vote(payload: bytes) -> Message:
    return Channel.VOTE, GossipKind.PUSH, encode_push(Topic.VOTES, [], payload)


def batch(*wires: bytes) -> Message:
    return Channel.BULK, GossipKind.PUSH, encode_push(Topic.TRANSACTIONS, [], encode_batch(wires))


def of_a_stranger(chain_id: bytes, height: int) -> Message:
    """A well-formed PREPARE, signed by a key that is no validator's."""
    key, name = SigningKey.generate(), secrets.token_bytes(32)
    signed = vote_digest(chain_id, 0, VoteKind.PREPARE, height, 0, name)
    return vote(encode_message(Prepare(height, 0, 0, key.public, key.sign(signed), name)))


def of_a_validator_forged(chain_id: bytes, height: int, validator: bytes) -> Message:
    """A ROUND-CHANGE in the name of a validator, with another's signature."""
    signed = round_change_digest(chain_id, 0, height, 9, prepared_round=None, prepared_id=None)
    return vote(encode_message(RoundChange(height, 9, 0, validator, SigningKey.generate().sign(signed), None)))


def badly_signed(purse: Purse) -> Message:
    wire = bytearray(purse.transfer().wire)
    wire[-5] ^= 1
    return batch(bytes(wire))


def of_another_chain(purse: Purse) -> Message:
    chain_id, purse.chain_id = purse.chain_id, bytes(32)
    message = batch(purse.transfer().wire)
    purse.chain_id = chain_id
    return message


def not_canonical(purse: Purse) -> Message:
    wire = purse.transfer().wire
    # An array of one with a longer header than it needs.
    payload = b"\xdc\x00\x01" + b"\xc5" + len(wire).to_bytes(2, "big") + wire
    return Channel.BULK, GossipKind.PUSH, encode_push(Topic.TRANSACTIONS, [], payload)


def attacks(network: Network) -> dict[str, Message]:
    """What no honest node sends, one of each kind, whatever the height."""
    purse = purses_of(network)[-1]
    noise = secrets.token_bytes(1_000)
    return {
        "vote_malformed": vote(noise),
        "vote_direct_malformed": (Channel.VOTE, VoteKindOnWire.DIRECT, noise),
        "transactions_malformed": (Channel.BULK, GossipKind.PUSH, encode_push(Topic.TRANSACTIONS, [], noise)),
        "transaction_truncated": batch(purse.transfer().wire[:-1]),
        "transaction_badly_signed": badly_signed(purse),
        "transaction_of_another_chain": of_another_chain(purse),
        "transactions_not_canonical": not_canonical(purse),
        "announcement_malformed": (Channel.BULK, GossipKind.PUSH, encode_push(Topic.BLOCKS, [], noise)),
        "gossip_truncated": (Channel.BULK, GossipKind.PUSH, b"\x01\xff"),
        "status_malformed": (Channel.BULK, BulkKind.STATUS, noise),
        "decided_malformed": (Channel.BULK, BulkKind.DECIDED, noise),
        "kind_unknown": (Channel.BULK, 77, b""),
        "frame_oversized": (Channel.BULK, BulkKind.DECIDED, bytes(8 << 20)),
    }


async def memory_mb(node: NetworkNode) -> float:
    async with Client(node.socket) as client:
        return float((await client.status())["rss_mb"])


async def test_a_peer_is_dropped_and_the_others_go_on_when_it_sends_garbage(start: Start, seed: int) -> None:
    # Four identities, each attacks each validator at most once: a second offence is refused for longer.
    async with start(observers=4, run=VALIDATORS) as devnet:
        network, validators = devnet.network, devnet.network.nodes[:4]
        load = Load(network, seed, purses=purses_of(network)[:4], at=VALIDATORS)
        async with load.running():
            await load.wait_more(20)
            before = {node.name: await memory_mb(node) for node in validators}
            for number, (name, message) in enumerate(attacks(network).items()):
                print(name)
                await attack(network, network.nodes[4 + number // 4], validators[number % 4], [message])
            # Votes are looked at only while their height is being decided: one of these comes at the right time.
            heights = range(await height_of(validators[2]), await height_of(validators[2]) + 100)
            known = validators[1].keys().validator.public
            votes = [of_a_stranger(network.chain_id, height) for height in heights]
            await attack(network, network.nodes[7], validators[2], votes)
            votes = [of_a_validator_forged(network.chain_id, height, known) for height in heights]
            await attack(network, network.nodes[7], validators[3], votes)
            await load.wait_more(20)
        for node in validators:
            assert await memory_mb(node) < before[node.name] + GROWTH_MB
        await assert_alone(devnet, validators)
        await assert_agreement(load, validators)


async def attack(network: Network, identity: NetworkNode, target: NetworkNode, messages: list[Message]) -> None:
    """Sends messages, and waits until the target has dropped us for them."""
    async with peer(network, identity.keys().transport, frame_max_bytes=FRAME_BYTES) as hostile:
        hostile.dial(target)
        await hostile.wait_connected(target)
        for message in messages:
            assert hostile.transport.send(PeerId(target.peer_id), *message)
        await hostile.wait_dropped(target)


async def assert_alone(devnet: Devnet, validators: tuple[NetworkNode, ...]) -> None:
    """The validators are connected to each other and to nobody else, and none has restarted its overlay."""
    await devnet.wait_ready([node.name for node in validators], peers=3)
    for node in validators:
        async with Client(node.socket) as client:
            status = await client.status()
        assert {p["peer_id"] for p in status["peers"]} == {other.peer_id for other in validators if other is not node}
        assert status["traffic"]["rebuilds"] == 0


@pytest.mark.parametrize("answer", [b"", secrets.token_bytes(64)], ids=["nothing", "noise"])
async def test_a_node_catches_up_when_a_peer_claims_a_height_that_it_cannot_show(
    start: Start, seed: int, answer: bytes
) -> None:
    async with start(validators=1, observers=2, run=("node0",)) as devnet:
        network = devnet.network
        load = Load(network, seed, at=["node0"])
        async with load.running():
            await load.wait_more(100)
        late, liar = network.node("node1"), network.node("node2")
        async with peer(network, liar.keys().transport, port=liar.port) as hostile:
            hostile.answer = answer
            await devnet.start_one(late.name)
            hostile.dial(late)
            claim = encode(Status(2**40, bytes(32)))

            async def caught_up() -> bool:
                if late.peer_id in hostile.transport.peers():
                    hostile.transport.send(PeerId(late.peer_id), Channel.BULK, BulkKind.STATUS, claim)
                async with Client(late.socket) as client:
                    height = (await client.info()).height
                return height >= max(height for height, _ in load.acknowledged.values())

            await until(caught_up, "the late node has every block")
            await assert_agreement(load, network.nodes[:2])


async def test_a_node_follows_new_blocks_when_a_peer_never_answers(start: Start, seed: int) -> None:
    async with start(validators=1, observers=2, run=("node0", "node1")) as devnet:
        network = devnet.network
        follower, liar = network.node("node1"), network.node("node2")
        load = Load(network, seed, at=["node0"])
        async with peer(network, liar.keys().transport, port=liar.port) as hostile:
            hostile.silent = True
            hostile.dial(follower)
            await hostile.wait_connected(follower)
            claim = encode(Status(2**40, bytes(32)))
            async with load.running():
                for _ in range(5):
                    if follower.peer_id in hostile.transport.peers():
                        hostile.transport.send(PeerId(follower.peer_id), Channel.BULK, BulkKind.STATUS, claim)
                    await load.wait_more(10)
                    async with Client(network.nodes[0].socket) as client:
                        height = (await client.info()).height
                    await wait_height([follower], height, timeout_s=15)
        await assert_agreement(load, network.nodes[:2])
