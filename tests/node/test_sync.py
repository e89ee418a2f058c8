"""Catching up from peers that lie, refuse, vanish or send rubbish; nothing is believed but certificates."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence

import msgspec
import pytest

from consensus.verified import VerifiedBlock
from ledger.block import Block, DecidedBlock, block_id, decided_block_codec
from ledger.certificate import CommitCertificate, VoteKind, vote_digest
from ledger.encoding import encode
from ledger.errors import BrokenInvariant, InvalidInput, PeerTimeout, PeerUnavailable
from ledger.keys import SigningKey
from ledger.transaction import Call, Transaction, build
from ledger.types import PublicKey
from node.fetch import MAX_FETCHED_BYTES, Fetcher
from node.sync import MAX_PENDING, Synchroniser
from node.wire import Announcement, RequestKind, Status, blocks_wanted_codec, byte_list_codec, decode_refs, encode_batch
from p2p.gossip import Verdict
from p2p.transport import PeerId
from tests.node.bare import Bare
from tests.node.cluster import Cluster

HONEST, LIAR = PeerId("honest"), PeerId("liar")
Serve = Callable[[RequestKind, bytes], bytes]


class FakePeers:
    """Answers requests from functions; remembers who was penalised."""

    def __init__(self) -> None:
        self.serving: dict[PeerId, Serve] = {}
        self.penalised: list[tuple[PeerId, str]] = []
        self.asked: list[tuple[PeerId, RequestKind]] = []
        self.on_gone: Callable[[PeerId], None] = lambda _: None

    def peer_of(self, key: PublicKey) -> PeerId | None:
        return None

    def connected(self) -> Sequence[PeerId]:
        return list(self.serving)

    async def request(self, peer: PeerId, kind: RequestKind, payload: bytes, timeout_s: float) -> bytes:
        self.asked.append((peer, kind))
        await asyncio.sleep(0)
        if peer not in self.serving:
            raise PeerUnavailable("gone")
        return self.serving[peer](kind, payload)

    def penalise(self, peer: PeerId, reason: str) -> None:
        self.penalised.append((peer, reason))
        self.serving.pop(peer, None)
        self.on_gone(peer)


class Follower:
    """A node at height 0 beside one that is ahead."""

    def __init__(self) -> None:
        self.cluster = Cluster(1)
        self.ahead = Bare(cluster=self.cluster)
        self.behind = Bare(cluster=self.cluster)
        self.peers = FakePeers()
        self.fetcher = Fetcher(self.behind.mempool)
        self.fetcher.attach(self.peers)
        self.sync = Synchroniser(self.behind.chain, self.fetcher)
        self.sync.attach(self, self.peers)
        self.peers.on_gone = self.sync.on_disconnected
        self.serve(HONEST)
        self.task: asyncio.Task[None] | None = None

    async def import_block(
        self, block: VerifiedBlock, transactions: Sequence[Transaction], certificate: CommitCertificate
    ) -> None:
        try:
            candidate = await self.behind.chain.check(block.id, block.block, transactions)
        except InvalidInput as error:
            raise BrokenInvariant("a quorum decided what we refuse") from error
        await self.behind.chain.commit(candidate, certificate)
        self.fetcher.forget()

    def serve(self, peer: PeerId, change: Callable[[DecidedBlock], object] = lambda decided: decided) -> None:
        """Makes ``peer`` answer from the node ahead, each block changed by ``change``."""

        def answer(kind: RequestKind, payload: bytes) -> bytes:
            store = self.ahead.chain.store
            if kind is RequestKind.TRANSACTIONS:
                known = {
                    Transaction.decode(wire).ref: wire
                    for height in range(1, store.height + 1)
                    for wire in store.transactions(height)
                }
                return encode_batch([known[ref] for ref in decode_refs(payload) if ref in known])
            wanted = blocks_wanted_codec.decode(payload)
            last = min(store.height, wanted.from_height + wanted.count - 1)
            blocks = [decided_block_codec.decode(store.decided_block(h)) for h in range(wanted.from_height, last + 1)]
            return encode_batch([encode(change(block)) for block in blocks])

        self.peers.serving[peer] = answer

    async def grow(self, blocks: int = 3) -> None:
        for _ in range(blocks):
            await self.ahead.commit(self.ahead.pay(self.ahead.chain.tip.height % 10))

    def claim(self, peer: PeerId, height: int) -> None:
        self.sync.on_status(peer, Status(height, bytes(32)))

    async def reach(self, height: int) -> None:
        self.task = self.task or asyncio.create_task(self.sync.run())
        async with asyncio.timeout(10):
            while self.behind.chain.tip.height < height:
                if self.task.done():
                    await self.task
                await asyncio.sleep(0.001)
        assert self.behind.chain.tip == self.ahead.chain.store.tip or height < self.ahead.chain.tip.height

    async def idle(self) -> None:
        """Until the synchroniser has nothing to do."""
        self.task = self.task or asyncio.create_task(self.sync.run())
        async with asyncio.timeout(10):
            while self.sync._claimed.is_set() or self.sync._arrived.is_set() or self.sync.syncing:
                await asyncio.sleep(0.001)
            for _ in range(50):
                await asyncio.sleep(0)

    def announcement(self, height: int) -> Announcement:
        store = self.ahead.chain.store
        return Announcement(store.block(height), store.certificate(height))


@pytest.fixture
async def node() -> AsyncIterator[Follower]:
    follower = Follower()
    yield follower
    if follower.task is not None:
        follower.task.cancel()
        await asyncio.wait([follower.task])
    follower.ahead.chain.close()
    follower.behind.chain.close()


def resealed(decided: DecidedBlock, *keys: SigningKey, epoch: int = 0, **changes: object) -> DecidedBlock:
    """The block with changes in its header, sealed anew by ``keys``."""
    header = msgspec.structs.replace(decided.header, **changes)
    name = block_id(header)
    signed = vote_digest(header.chain_id, epoch, VoteKind.COMMIT, header.height, 0, name)
    seals = tuple(sorted((key.public, key.sign(signed)) for key in keys))
    return DecidedBlock(header, decided.transactions, CommitCertificate(header.height, epoch, 0, name, seals))


def _with(decided: DecidedBlock, **certificate: object) -> DecidedBlock:
    changed = msgspec.structs.replace(decided.certificate, **certificate)
    return msgspec.structs.replace(decided, certificate=changed)


STRANGER = SigningKey(b"s" * 32)
FORGERIES: dict[str, Callable[[DecidedBlock], object]] = {
    "sealed by a stranger": lambda d: resealed(d, STRANGER),
    "another time, sealed by a stranger": lambda d: resealed(d, STRANGER, time_ms=d.header.time_ms + 1),
    "seals of another block": lambda d: msgspec.structs.replace(
        d, header=msgspec.structs.replace(d.header, time_ms=d.header.time_ms + 1)
    ),
    "another parent": lambda d: resealed(d, STRANGER, parent=bytes(32)),
    "a broken seal": lambda d: _with(d, seals=((d.certificate.seals[0][0], b"\x01" + bytes(64)),)),
    "seals of another round": lambda d: _with(d, round=1),
    "another epoch": lambda d: _with(d, epoch=1),
    "another height in the certificate": lambda d: _with(d, height=d.certificate.height + 1),
    "transactions left out": lambda d: msgspec.structs.replace(d, transactions=()),
    "a transaction twice": lambda d: msgspec.structs.replace(d, transactions=d.transactions * 2),
    "a transaction that is none": lambda d: msgspec.structs.replace(d, transactions=(b"\xc1",)),
    "no block at all": lambda d: (1, 2, 3),
    "rubbish": lambda d: b"\xc1",
}


@pytest.mark.parametrize("forgery", FORGERIES.values(), ids=FORGERIES.keys())
async def test_forger_is_penalised_and_an_honest_peer_used_when_blocks_are_forged(
    node: Follower, forgery: Callable[[DecidedBlock], object]
) -> None:
    await node.grow(3)
    node.serve(LIAR, forgery)
    node.claim(LIAR, 2**53 - 1)
    node.claim(HONEST, 3)
    await node.reach(3)
    assert [peer for peer, _ in node.peers.penalised] == [LIAR]
    assert node.peers.asked[0] == (LIAR, RequestKind.BLOCKS)


async def test_forger_is_penalised_when_the_validators_sealed_the_block_in_another_epoch(node: Follower) -> None:
    await node.grow(1)
    node.serve(LIAR, lambda decided: resealed(decided, node.cluster.members[0].validator, epoch=1))
    node.claim(LIAR, 9)
    node.claim(HONEST, 1)
    await node.reach(1)
    assert [peer for peer, _ in node.peers.penalised] == [LIAR]


async def test_good_blocks_before_a_forged_one_count_when_a_peer_sends_both(node: Follower) -> None:
    await node.grow(4)
    node.serve(LIAR, lambda d: d if d.header.height < 3 else resealed(d, STRANGER))
    node.claim(LIAR, 4)
    await node.reach(2)
    await node.idle()
    assert node.behind.chain.tip.height == 2
    assert [peer for peer, _ in node.peers.penalised] == [LIAR]
    node.claim(HONEST, 4)
    await node.reach(4)


async def test_blocks_are_skipped_over_when_they_are_known_already(node: Follower) -> None:
    await node.grow(4)
    node.claim(HONEST, 2)
    await node.reach(4)
    old = [node.ahead.chain.store.decided_block(height) for height in (1, 2)]
    node.peers.serving[LIAR] = lambda kind, payload: encode_batch(old)
    node.claim(LIAR, 9)
    await node.idle()
    assert node.peers.penalised == []
    assert node.behind.chain.tip.height == 4


@pytest.mark.parametrize("error", [PeerTimeout("slow"), PeerUnavailable("gone")])
async def test_another_peer_is_asked_when_one_does_not_answer(node: Follower, error: Exception) -> None:
    await node.grow(3)

    def fail(kind: RequestKind, payload: bytes) -> bytes:
        raise error

    node.peers.serving[LIAR] = fail
    node.claim(LIAR, 100)
    node.claim(HONEST, 3)
    await node.reach(3)
    assert node.peers.penalised == []


async def test_nothing_is_done_for_ever_when_a_peer_only_claims_to_be_ahead(node: Follower) -> None:
    node.peers.serving[LIAR] = lambda kind, payload: encode_batch([])
    node.claim(LIAR, 100)
    await node.idle()
    assert len(node.peers.asked) == 1
    assert (node.sync.syncing, node.sync.target_height) == (False, 0)
    node.claim(LIAR, 200)
    await node.idle()
    assert len(node.peers.asked) == 1, "a peer that did not show what it claimed is asked again at once"
    await node.grow(2)
    node.claim(HONEST, 2)
    await node.reach(2)


async def test_claim_is_forgotten_when_its_peer_disconnects(node: Follower) -> None:
    node.claim(HONEST, 7)
    assert (node.sync.target_height, node.sync.behind) == (7, True)
    node.sync.on_disconnected(HONEST)
    assert (node.sync.target_height, node.sync.behind) == (0, False)


async def test_long_chain_is_fetched_in_several_requests_when_replies_are_short(node: Follower) -> None:
    await node.grow(7)
    full = node.peers.serving[HONEST]
    node.peers.serving[HONEST] = lambda kind, payload: encode_batch(byte_list_codec.decode(full(kind, payload))[:2])
    node.claim(HONEST, 7)
    await node.reach(7)
    assert len(node.peers.asked) == 4


# --- announcements and pushed blocks ----------------------------------------------------------------------------------


async def test_announced_block_is_imported_when_its_transactions_can_be_fetched(node: Follower) -> None:
    await node.grow(1)
    assert node.sync.on_announcement(HONEST, node.announcement(1)) is Verdict.ACCEPT
    await node.reach(1)
    assert node.peers.asked == [(HONEST, RequestKind.TRANSACTIONS)]
    assert node.sync.on_announcement(HONEST, node.announcement(1)) is Verdict.ACCEPT


async def test_announced_block_is_imported_without_asking_when_its_transactions_wait_here(node: Follower) -> None:
    transaction = node.ahead.pay()
    await node.behind.gateway.submit(Transaction.decode(transaction.wire))
    await node.ahead.commit(transaction)
    node.sync.on_announcement(HONEST, node.announcement(1))
    await node.reach(1)
    assert node.peers.asked == []


async def test_announcement_is_condemned_when_certificate_or_refs_are_forged(node: Follower) -> None:
    await node.grow(1)
    good = node.announcement(1)
    for forged in (
        msgspec.structs.replace(good, certificate=msgspec.structs.replace(good.certificate, round=1)),
        msgspec.structs.replace(good, certificate=msgspec.structs.replace(good.certificate, epoch=9)),
        msgspec.structs.replace(good, block=Block(good.block.header, b"")),
        msgspec.structs.replace(good, block=Block(good.block.header, bytes(64))),
        msgspec.structs.replace(good, block=Block(good.block.header, good.block.refs + b"x")),
        msgspec.structs.replace(
            good, block=Block(msgspec.structs.replace(good.block.header, time_ms=1), good.block.refs)
        ),
    ):
        with pytest.raises(InvalidInput):
            node.sync.on_announcement(LIAR, forged)
    await node.idle()
    assert node.behind.chain.tip.height == 0


async def test_announcement_only_makes_us_ask_when_it_is_of_a_height_beyond_the_next(node: Follower) -> None:
    await node.grow(3)
    assert node.sync.on_announcement(HONEST, node.announcement(3)) is not Verdict.ACCEPT
    assert node.sync.target_height == 3
    await node.reach(3)


async def test_announced_block_is_imported_without_waiting_when_the_one_before_it_is_being_imported(
    node: Follower,
) -> None:
    # Who decides the third is for the first to say: an announcement of it would have to wait.
    await node.grow(2)
    for height in (1, 2):
        assert node.sync.on_announcement(HONEST, node.announcement(height)) is Verdict.ACCEPT
    await node.reach(2)
    assert {kind for _, kind in node.peers.asked} == {RequestKind.TRANSACTIONS}


async def test_block_is_asked_for_when_the_announced_one_before_it_came_to_nothing(node: Follower) -> None:
    await node.grow(2)
    full = node.peers.serving[HONEST]
    node.peers.serving[HONEST] = lambda kind, payload: full(kind, payload) if kind is RequestKind.BLOCKS else b"\x90"
    node.sync.on_announcement(HONEST, node.announcement(1))
    node.sync.on_announcement(HONEST, node.announcement(2))
    await node.reach(2)
    assert (HONEST, RequestKind.BLOCKS) in node.peers.asked


async def test_pushed_block_is_imported_when_it_is_the_next_one(node: Follower) -> None:
    await node.grow(2)
    store = node.ahead.chain.store
    node.sync.on_decided(HONEST, store.decided_block(2))  # not the next: left aside
    node.sync.on_decided(HONEST, store.decided_block(1))
    await node.reach(1)
    node.sync.on_decided(HONEST, store.decided_block(2))
    await node.reach(2)
    assert node.peers.asked == []
    with pytest.raises(InvalidInput):
        node.sync.on_decided(LIAR, b"\xc1")


@pytest.mark.parametrize("forgery", list(FORGERIES.values())[:10], ids=list(FORGERIES)[:10])
async def test_pusher_is_penalised_when_the_pushed_block_is_forged(
    node: Follower, forgery: Callable[[DecidedBlock], object]
) -> None:
    await node.grow(1)
    decided = decided_block_codec.decode(node.ahead.chain.store.decided_block(1))
    node.sync.on_decided(LIAR, encode(forgery(decided)))
    await node.idle()
    assert [peer for peer, _ in node.peers.penalised] == [LIAR]
    assert node.behind.chain.tip.height == 0


async def test_pushed_blocks_are_bounded_when_peers_flood(node: Follower) -> None:
    await node.grow(1)
    data = node.ahead.chain.store.decided_block(1)
    for _ in range(MAX_PENDING + 50):
        node.sync.on_decided(LIAR, data)
    assert node.sync._pushed.qsize() == MAX_PENDING
    await node.reach(1)


# --- fetching transactions --------------------------------------------------------------------------------------------


async def test_fetched_transactions_are_bounded_in_bytes_when_a_peer_sends_large_ones(node: Follower) -> None:
    first, *large = [_padded(node, number) for number in range(45)]
    assert sum(transaction.size_bytes for transaction in large) > MAX_FETCHED_BYTES
    for transaction in (first, *large):
        node.peers.serving = {LIAR: lambda kind, payload, wire=transaction.wire: encode_batch([wire])}
        assert await node.fetcher.transactions([transaction.ref], ()) is not None
    held = sum(transaction.size_bytes for transaction in (first, *large) if node.fetcher.find(transaction.ref))
    assert MAX_FETCHED_BYTES // 2 < held <= MAX_FETCHED_BYTES
    assert node.fetcher.find(first.ref) is None
    assert node.fetcher.find(large[-1].ref) is not None
    node.fetcher.forget()
    assert node.fetcher.find(large[-1].ref) is None


def _padded(node: Follower, number: int) -> Transaction:
    member = node.cluster.members[0].member
    calls = tuple(Call("nothing", "nothing", bytes([number]) * 64_000) for _ in range(3))
    return build(msgspec.structs.replace(node.ahead.pay().body, calls=calls), [member])


async def test_peer_is_penalised_when_it_sends_transactions_that_nobody_asked_for(node: Follower) -> None:
    wanted, other = node.ahead.pay(0), node.ahead.pay(1)
    node.peers.serving = {
        LIAR: lambda kind, payload: encode_batch([other.wire]),
        HONEST: lambda kind, payload: encode_batch([wanted.wire]),
    }
    found = await node.fetcher.transactions([wanted.ref], ())
    assert [transaction.ref for transaction in found] == [wanted.ref]
    assert [peer for peer, _ in node.peers.penalised] == [LIAR]
    assert node.fetcher.find(other.ref) is None


async def test_fetch_answers_nothing_when_nobody_has_it(node: Follower) -> None:
    node.peers.serving[HONEST] = lambda kind, payload: encode_batch([])
    assert await node.fetcher.transactions([node.ahead.pay().ref], ()) is None
    assert node.peers.penalised == []
