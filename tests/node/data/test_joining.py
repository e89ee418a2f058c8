"""A new node takes a checkpoint's state from peers that may lie, and computes the same roots from then on."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
import pytest

from ledger.block import block_id
from ledger.chain_store import ChainStore
from ledger.encoding import encode
from ledger.errors import NotFound
from ledger.state_root import state_root
from ledger.store import Kind
from ledger.transaction import Transaction
from node.chain import LOCK_INDEX, Chain
from node.data.joining import Joined, Joiner
from node.data.snapshot_wire import (
    Part,
    SnapshotLeaves,
    SnapshotState,
    SnapshotTop,
    epochs_codec,
    leaves_codec,
    offer_codec,
    state_codec,
    top_codec,
    wanted_codec,
)
from node.wire import RequestKind
from tests.node.cluster import MemoryDisk
from tests.node.data.grown import INTERVAL, Answering, Grown, Serve, small


class World:
    """A grown chain, peers, and the store of a node that joins."""

    def __init__(self) -> None:
        self.cluster = small()
        self.node = Grown(self.cluster)
        self.peers = Answering()
        self.stores: list[MemoryDisk] = []
        self.joiner = Joiner(self.cluster.genesis, self.peers, self._open, patience_s=0)

    def _open(self) -> MemoryDisk:
        self.stores.append(MemoryDisk())
        return self.stores[-1]

    @property
    def store(self) -> MemoryDisk:
        return self.stores[-1]

    def chain(self) -> Chain:
        return Chain(self.cluster.genesis, self.store)


@pytest.fixture
async def world() -> World:
    made = World()
    await made.node.grow(2 * INTERVAL + 1)
    return made


def recheck(chain: Chain) -> None:
    chain.store.recheck(lambda height: chain.seats_at(height).validators).raise_for_damage()


async def follow(world: World, chain: Chain, above: int) -> None:
    """Imports what the grown node decided meanwhile."""
    store = world.node.chain.store
    for height in range(above + 1, store.height + 1):
        block = store.block(height)
        wires = [Transaction.decode(wire) for wire in store.transactions(height)]
        candidate = await chain.check(block_id(block.header), block, wires)
        await chain.commit(candidate, store.certificate(height))


async def test_a_joined_node_computes_the_same_roots_when_it_goes_on(world: World) -> None:
    world.peers.add("honest", world.node)
    assert await world.joiner.run() == (Joined.SNAPSHOT, INTERVAL)
    chain = world.chain()
    assert chain.tip.height == INTERVAL
    recheck(chain)
    await world.node.grow(3 * INTERVAL)
    await follow(world, chain, INTERVAL)
    assert chain.tip == world.node.chain.tip
    assert state_root(chain.state) == state_root(world.node.chain.state)
    recheck(chain)
    assert chain.store.verify_all(lambda height: chain.seats_at(height).validators).ok
    theirs = dict(world.node.chain.store.store.iterate(LOCK_INDEX))
    assert dict(chain.store.store.iterate(LOCK_INDEX)) == theirs


async def test_what_was_before_the_checkpoint_is_pruned_when_a_node_joined(world: World) -> None:
    world.peers.add("honest", world.node)
    await world.joiner.run()
    chain = world.chain()
    assert (chain.store.retained_height, chain.store.base_height) == (INTERVAL + 1, INTERVAL)
    for read in (chain.store.header, chain.store.transactions, chain.store.receipts, chain.store.block):
        with pytest.raises(NotFound) as caught:
            read(2)
        assert caught.value.code == "pruned"
        assert caught.value.data["retained_height"] == INTERVAL + 1
    assert ChainStore(world.store, chain.chain_id, chain.genesis.hash).height == INTERVAL
    assert not list(world.store.iterate(Kind.RECEIPTS))


# --- liars ------------------------------------------------------------------------------------------------------------


Change = Callable[[Any], Any]
CODECS = {
    Part.OFFER: offer_codec,
    Part.EPOCHS: epochs_codec,
    Part.TOP: top_codec,
    Part.LEAVES: leaves_codec,
    Part.STATE: state_codec,
}


def lying(part: Part, change: Change) -> Serve:
    """A peer that answers one part of a snapshot wrongly and everything else as its chain is."""

    async def serve(
        kind: RequestKind, payload: bytes, honest: Callable[[RequestKind, bytes], Awaitable[bytes]]
    ) -> bytes:
        answer = await honest(kind, payload)
        if wanted_codec.decode(payload).part != part:
            return answer
        changed = change(CODECS[part].decode(answer))
        return changed if isinstance(changed, bytes) else encode(changed)

    return serve


def other_value(page: SnapshotState) -> SnapshotState:
    (key, value), *rest = page.pairs
    return msgspec.structs.replace(page, pairs=((key, value + b"x"), *rest))


def other_root(top: SnapshotTop) -> SnapshotTop:
    header = msgspec.structs.replace(top.carrier.header, checkpoint_root=bytes(32))
    return msgspec.structs.replace(top, carrier=msgspec.structs.replace(top.carrier, header=header))


def no_quorum(top: SnapshotTop) -> SnapshotTop:
    certificate = msgspec.structs.replace(top.carrier.certificate, seals=())
    return msgspec.structs.replace(top, carrier=msgspec.structs.replace(top.carrier, certificate=certificate))


def one_bucket_less(page: SnapshotLeaves) -> SnapshotLeaves:
    groups = list(page.groups)
    place = next(i for i, part in enumerate(groups) if part.buckets)
    groups[place] = msgspec.structs.replace(groups[place], buckets=groups[place].buckets[1:])
    return msgspec.structs.replace(page, groups=tuple(groups))


def foreign_bucket(page: SnapshotLeaves) -> SnapshotLeaves:
    groups = list(page.groups)
    place = next(i for i, part in enumerate(groups) if part.buckets)
    number, leaves = groups[place].buckets[0]
    changed = ((number, leaves[:-1] + bytes((leaves[-1] ^ 1,))), *groups[place].buckets[1:])
    groups[place] = msgspec.structs.replace(groups[place], buckets=changed)
    return msgspec.structs.replace(page, groups=tuple(groups))


LIES: dict[str, tuple[Part, Change]] = {
    "another_value": (Part.STATE, other_value),
    "a_record_less": (Part.STATE, lambda page: msgspec.structs.replace(page, pairs=page.pairs[1:])),
    "a_record_twice": (Part.STATE, lambda page: msgspec.structs.replace(page, pairs=(page.pairs[0], *page.pairs))),
    "a_record_more": (Part.STATE, lambda page: msgspec.structs.replace(page, pairs=(*page.pairs, (b"\xff" * 9, b"")))),
    "never_ending": (Part.STATE, lambda page: msgspec.structs.replace(page, last=False)),
    "empty_page": (Part.STATE, lambda page: msgspec.structs.replace(page, pairs=(), last=False)),
    "a_bucket_less": (Part.LEAVES, one_bucket_less),
    "a_foreign_bucket": (Part.LEAVES, foreign_bucket),
    "leaves_without_end": (Part.LEAVES, lambda page: msgspec.structs.replace(page, next_number=1)),
    "groups_left_out": (Part.LEAVES, lambda page: msgspec.structs.replace(page, groups=page.groups[:1])),
    "another_root": (Part.TOP, other_root),
    "no_quorum": (Part.TOP, no_quorum),
    "no_proof": (Part.TOP, lambda top: msgspec.structs.replace(top, carrier=top.own)),
    "other_groups": (Part.TOP, lambda top: msgspec.structs.replace(top, groups=bytes(len(top.groups)))),
    "another_history": (Part.TOP, lambda top: msgspec.structs.replace(top, peaks=(bytes(32),))),
    "rubbish": (Part.TOP, lambda top: b"\xc1"),
}


@pytest.mark.parametrize("lie", LIES)
async def test_a_liar_is_refused_and_another_peer_is_used_when_a_part_is_wrong(world: World, lie: str) -> None:
    # The liar claims more than the honest peer has, and so is asked first.
    part, change = LIES[lie]
    liar = world.peers.add("a liar", world.node, lying(part, change))
    world.peers.add("honest", world.node)
    assert await world.joiner.run() == (Joined.SNAPSHOT, INTERVAL)
    assert liar in world.joiner.refused
    assert [peer for peer, _ in world.peers.penalised] == [liar]
    recheck(world.chain())
    assert len(world.stores) == 2


async def test_a_higher_checkpoint_that_is_not_there_is_not_believed_when_a_peer_offers_it(world: World) -> None:
    liar = world.peers.add(
        "liar",
        world.node,
        lying(Part.OFFER, lambda offer: msgspec.structs.replace(offer, height=80 * INTERVAL, tip_height=81 * INTERVAL)),
    )
    world.peers.add("honest", world.node)
    assert (await world.joiner.run())[0] is Joined.SNAPSHOT
    # It had nothing to show; that is no proof of a lie, but it was asked first and another was used.
    assert world.peers.asked[2] == liar
    assert world.chain().tip.height == INTERVAL


async def test_an_old_checkpoint_is_not_taken_when_its_sender_is_far_above_it(world: World) -> None:
    world.peers.add("old", world.node, lying(Part.OFFER, lambda o: msgspec.structs.replace(o, tip_height=1_000)))
    world.peers.add("new", world.node)
    assert (await world.joiner.run())[0] is Joined.SNAPSHOT
    assert "old" not in world.peers.asked[2:]


async def test_a_newer_checkpoint_is_taken_when_peers_have_different_ones(world: World) -> None:
    behind = Grown(world.cluster)
    for height in range(1, 2 * INTERVAL + 1):
        store = world.node.chain.store
        wires = [Transaction.decode(wire) for wire in store.transactions(height)]
        block = store.block(height)
        candidate = await behind.chain.check(block_id(block.header), block, wires)
        behind.shelf.on_committed(await behind.chain.commit(candidate, store.certificate(height)))
    await world.node.grow(INTERVAL)
    world.peers.add("a behind", behind)
    world.peers.add("b ahead", world.node)
    assert await world.joiner.run() == (Joined.SNAPSHOT, 2 * INTERVAL)


async def test_another_peer_is_used_when_one_goes_away_in_the_middle(world: World) -> None:
    async def serve(
        kind: RequestKind, payload: bytes, honest: Callable[[RequestKind, bytes], Awaitable[bytes]]
    ) -> bytes:
        if wanted_codec.decode(payload).part == Part.STATE:
            raise NotFound("gone", code="snapshot_gone")
        return await honest(kind, payload)

    world.peers.add("a quitter", world.node, serve)
    world.peers.add("honest", world.node)
    assert await world.joiner.run() == (Joined.SNAPSHOT, INTERVAL)
    assert not world.joiner.refused


async def test_a_young_chain_is_synchronised_from_its_first_block_when_no_checkpoint_is_certified_yet() -> None:
    world = World()
    await world.node.grow(INTERVAL)
    world.peers.add("honest", world.node)
    assert await world.joiner.run() == (Joined.FROM_GENESIS, 0)


async def test_nothing_opens_as_a_chain_when_a_join_was_interrupted(world: World) -> None:
    async def serve(
        kind: RequestKind, payload: bytes, honest: Callable[[RequestKind, bytes], Awaitable[bytes]]
    ) -> bytes:
        if wanted_codec.decode(payload).part == Part.STATE:
            raise RuntimeError("crash")
        return await honest(kind, payload)

    world.peers.add("honest", world.node, serve)
    with pytest.raises(RuntimeError):
        await world.joiner.run()
    assert not ChainStore(world.store, world.node.chain.chain_id, world.cluster.genesis.hash).initialised
