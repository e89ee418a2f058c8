"""Building, checking and committing blocks: what one node makes, every other accepts, and nothing else."""

from __future__ import annotations

import asyncio
import secrets
import threading
from collections.abc import Iterator
from typing import ClassVar

import msgspec
import pytest

from contracts import codes
from ledger.block import Block, Header, block_id
from ledger.certificate import CommitCertificate, VoteKind, vote_digest
from ledger.errors import InvalidBlock, InvalidGenesis, LocalMisuse, StorageFault
from ledger.keys import SigningKey, key_text
from ledger.state import utxo_key
from ledger.state_root import state_root
from ledger.store import Batch, Kind
from ledger.store_memory import MemoryStore
from ledger.transaction import Body, Call, Output, Transaction, build, outpoint
from node.chain import MAX_CANDIDATES, YIELD_EVERY, Candidate, Chain
from tests.node.cluster import SUPPLY, Cluster, MemoryDisk

COIN = SUPPLY // 10


class World:
    """One genesis, and chains of several nodes over it."""

    opened: ClassVar[list[Chain]] = []

    def __init__(self, **parameters: int) -> None:
        self.cluster = Cluster(2, **parameters)
        self.genesis = self.cluster.genesis
        self.keys = [member.validator for member in self.cluster.members]

    def chain(self, store: MemoryStore | None = None) -> Chain:
        chain = Chain(self.genesis, store or MemoryDisk())
        self.opened.append(chain)
        return chain

    def pay(self, number: int = 0, amount: int = 5) -> Transaction:
        return self.cluster.transfer(0, 1, amount, self.cluster.genesis_output(0, number))

    async def build(self, chain: Chain, *transactions: Transaction, time_ms: int | None = None) -> Candidate:
        unfit: list[tuple[bytes, str]] = []
        time_ms = chain.tip.header.time_ms + 5 if time_ms is None else time_ms
        made = await chain.build(transactions, self.keys[0].public, time_ms, lambda *what: unfit.append(what))
        assert unfit == []
        return made

    def certificate(self, candidate: Candidate) -> CommitCertificate:
        header = candidate.block.header
        signed = vote_digest(header.chain_id, 0, VoteKind.COMMIT, header.height, 0, candidate.id)
        seals = sorted((key.public, key.sign(signed)) for key in self.keys)
        return CommitCertificate(header.height, 0, 0, candidate.id, tuple(seals))


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture(autouse=True)
def _closed() -> Iterator[None]:
    World.opened.clear()
    yield
    for chain in World.opened:
        chain.close()


def fresh(candidate: Candidate) -> list[Transaction]:
    return [Transaction.decode(transaction.wire) for transaction in candidate.transactions]


async def test_every_node_accepts_what_one_built_when_the_chain_grows(world: World) -> None:
    builder, checker = world.chain(), world.chain()
    for height in range(1, 4):
        candidate = await world.build(builder, world.pay(2 * height), world.pay(2 * height + 1))
        checked = await checker.check(candidate.id, candidate.block, fresh(candidate))
        assert checked.result.receipts == candidate.result.receipts
        for chain, found in ((builder, candidate), (checker, checked)):
            committed = await chain.commit(found, world.certificate(candidate))
            assert committed.height == chain.tip.height == height
        assert state_root(builder.store.state) == state_root(checker.store.state)
        assert builder.tip.block_id == checker.tip.block_id == block_id(candidate.block.header)


class SlowDisk(MemoryDisk):
    """A store whose write is seen by others before whoever asked for it hears that it is done, as on a disk."""

    def __init__(self) -> None:
        super().__init__()
        self.written, self.go_on = threading.Event(), threading.Event()
        self.slow = False

    def write(self, batch: Batch, *, sync: bool = True) -> None:
        super().write(batch, sync=sync)
        if self.slow:
            self.written.set()
            assert self.go_on.wait(10)


async def test_readers_see_one_state_when_a_block_is_being_written(world: World) -> None:
    disk = SlowDisk()
    chain = world.chain(disk)
    candidate = await world.build(chain, world.pay())
    key = utxo_key(outpoint(candidate.transactions[0].tx_id, 0))
    assert chain.state.get(key) is None
    disk.slow = True
    commit = asyncio.create_task(chain.commit(candidate, world.certificate(candidate)))
    await asyncio.to_thread(disk.written.wait, 10)
    try:
        assert disk.get(Kind.STATE + key) is not None
        listed = [found for found, _ in chain.state.iterate(key)]
        assert (listed, chain.state.get(key)) == ([], None)
    finally:
        disk.go_on.set()
    await commit
    assert [found for found, _ in chain.state.iterate(key)] == [key]
    assert chain.state.get(key) is not None


async def test_block_is_refused_when_it_was_built_on_another_state(world: World) -> None:
    builder, checker = world.chain(), world.chain()
    ahead = await world.build(builder, world.pay(0))
    await builder.commit(ahead, world.certificate(ahead))
    second = await world.build(builder, world.pay(1))
    with pytest.raises(InvalidBlock) as caught:
        await checker.check(second.id, second.block, fresh(second))
    assert caught.value.code == "parent_wrong"


def _other(field: str, value: object) -> object:
    if field == "proposer":
        return SigningKey.generate().public
    if isinstance(value, bytes):
        return bytes([value[0] ^ 1]) + value[1:]
    assert isinstance(value, int)
    return value + 1


FRAME_CODES = {
    "version": "version_unknown",
    "height": "parent_wrong",
    "parent": "parent_wrong",
    "proposer": "proposer_wrong",
}
FREE = {"time_ms"}
"""What a proposer may choose: any time above the parent's. Consensus looks at its plausibility."""


@pytest.mark.parametrize("field", [name for name in Header.__struct_fields__ if name not in FREE])
async def test_block_is_refused_when_a_field_of_its_header_is_tampered_with(world: World, field: str) -> None:
    builder, checker = world.chain(), world.chain()
    good = await world.build(builder, world.pay(0))
    value = getattr(good.block.header, field)
    header = msgspec.structs.replace(good.block.header, **{field: _other(field, value)})
    with pytest.raises(InvalidBlock) as caught:
        await checker.check(block_id(header), Block(header, good.block.refs), fresh(good))
    assert caught.value.code == FRAME_CODES.get(field, "header_mismatch")
    if caught.value.code == "header_mismatch":
        assert caught.value.data["fields"] == [field]
    assert checker.candidate(block_id(header)) is None
    checked = await checker.check(good.id, good.block, fresh(good))
    assert checked.block == good.block


@pytest.mark.parametrize("back", [0, 1, 10**12])
async def test_block_is_refused_when_its_time_is_not_above_its_parents(world: World, back: int) -> None:
    builder, checker = world.chain(), world.chain()
    candidate = await world.build(builder, time_ms=builder.tip.header.time_ms - back)
    with pytest.raises(InvalidBlock) as caught:
        await checker.check(candidate.id, candidate.block, ())
    assert caught.value.code == "time_wrong"


async def test_block_is_refused_when_its_transactions_are_others(world: World) -> None:
    builder, checker = world.chain(), world.chain()
    candidate = await world.build(builder, world.pay(0), world.pay(1))
    one, two = fresh(candidate)
    for wrong in ([two, one], [one], [one, two, world.pay(2)], [one, world.pay(1)], []):
        with pytest.raises(InvalidBlock):
            await checker.check(candidate.id, candidate.block, wrong)


async def test_block_is_refused_with_the_reason_when_a_transaction_must_not_be_in_it(world: World) -> None:
    builder, checker = world.chain(), world.chain()
    first = world.pay(0)
    candidate = await world.build(builder, first)
    header = candidate.block.header
    rival, late = world.pay(0, 6), world.cluster.transfer(0, 1, 5, expiry=0)
    for transactions, code in (
        ([first, first], codes.REPLAYED),
        ([first, rival], codes.INPUT_MISSING),
        ([late], codes.EXPIRED),
    ):
        block = Block(header, b"".join(transaction.ref for transaction in transactions))
        with pytest.raises(InvalidBlock) as caught:
            await checker.check(candidate.id, block, transactions)
        assert caught.value.code == code


async def test_builder_leaves_out_what_can_be_in_no_block_when_it_builds(world: World) -> None:
    chain = world.chain()
    unfit: list[tuple[bytes, str]] = []
    good, rival, late = world.pay(0), world.pay(0, 6), world.cluster.transfer(0, 1, 5, expiry=0)
    candidate = await chain.build(
        [good, rival, late], world.keys[0].public, chain.tip.header.time_ms + 1, lambda *what: unfit.append(what)
    )
    assert candidate.block.refs == good.ref
    assert unfit == [(rival.tx_id, codes.INPUT_MISSING), (late.tx_id, codes.EXPIRED)]


# --- bounds -----------------------------------------------------------------------------------------------------------


async def test_block_has_no_more_transactions_than_genesis_allows_when_many_wait() -> None:
    world = World(max_block_transactions=3)
    builder = world.chain()
    candidate = await world.build(builder, *[world.pay(number) for number in range(5)])
    assert len(candidate.transactions) == 3
    larger = World(max_block_transactions=4)
    larger.cluster, larger.genesis = world.cluster, world.genesis
    four = [world.pay(number) for number in range(4)]
    block = Block(candidate.block.header, b"".join(transaction.ref for transaction in four))
    with pytest.raises(InvalidBlock) as caught:
        await world.chain().check(bytes(32), block, four)
    assert caught.value.code == "block_too_large"


def _split(world: World, number: int, parts: int = 10) -> Transaction:
    """Breaks one coin into many."""
    member = world.cluster.members[0].member
    template = world.pay(number).body
    outputs = (Output("CNY", COIN // parts, f"key({key_text(member.public)})"),) * parts
    return build(msgspec.structs.replace(template, outputs=outputs), [member])


def _large(world: World, number: int, size_bytes: int = 100_000) -> Transaction:
    key = world.cluster.members[0].member
    outputs = [Output("CNY", 1, f"key({key_text(key.public)})")] * 200 + [
        Output("CNY", COIN - 200, f"key({key_text(key.public)})")
    ]
    calls = [("nothing", "nothing", secrets.token_bytes(30_000)) for _ in range(size_bytes // 30_000)]
    body = Body(
        version=1,
        chain_id=world.genesis.chain_id,
        sender=key.public,
        expiry_height=100,
        nonce=secrets.token_bytes(16),
        inputs=(world.cluster.genesis_output(0, number),),
        outputs=tuple(outputs),
        calls=tuple(Call(*call) for call in calls),
        attachments=(),
        memo=b"",
    )
    return build(body, [key])


async def test_block_has_no_more_bytes_than_genesis_allows_when_large_ones_wait() -> None:
    world = World(max_block_bytes=256 * 1024)
    large = [_large(world, number) for number in range(4)]
    fitting = 256 * 1024 // large[0].size_bytes
    builder = world.chain()
    candidate = await world.build(builder, *large)
    assert 0 < len(candidate.transactions) == fitting < 4
    too_many = large[: fitting + 1]
    block = Block(candidate.block.header, b"".join(transaction.ref for transaction in too_many))
    with pytest.raises(InvalidBlock) as caught:
        await world.chain().check(bytes(32), block, too_many)
    assert caught.value.code == "block_too_large"


async def test_only_the_last_candidates_are_kept_when_there_are_many(world: World) -> None:
    chain = world.chain()
    made = [await world.build(chain, time_ms=chain.tip.header.time_ms + i) for i in range(1, MAX_CANDIDATES + 3)]
    assert [chain.candidate(candidate.id) is not None for candidate in made] == [False] * 2 + [True] * MAX_CANDIDATES
    await chain.commit(made[-1], world.certificate(made[-1]))
    assert chain.candidate(made[-1].id) is None


async def test_votes_are_not_kept_waiting_when_a_large_block_is_executed(world: World) -> None:
    chain = world.chain()
    parent = world.cluster.transfer(0, 0, COIN)
    transactions = [parent]
    for _ in range(3 * YIELD_EVERY):
        transactions.append(world.cluster.transfer(0, 0, COIN, outpoint(transactions[-1].tx_id, 0)))
    for run in ("build", "check"):
        turns = 0

        async def count() -> None:
            nonlocal turns
            while True:
                turns += 1
                await asyncio.sleep(0)

        counter = asyncio.create_task(count())
        if run == "build":
            candidate = await world.build(chain, *transactions)
        else:
            await world.chain().check(candidate.id, candidate.block, fresh(candidate))
        counter.cancel()
        assert turns >= 3, f"{run} did not give the loop back"


# --- committing -----------------------------------------------------------------------------------------------------


class FailingStore(MemoryStore):
    """A disk whose next synced write fails."""

    fail = False

    def write(self, batch: dict, *, sync: bool = True) -> None:
        if self.fail:
            raise StorageFault("the disk is full")
        super().write(batch, sync=sync)


async def test_nothing_has_happened_when_the_write_of_a_block_fails(world: World) -> None:
    store = FailingStore()
    chain = world.chain(store)
    candidate = await world.build(chain, world.pay(0))
    records = dict(store.iterate(b""))
    store.fail = True
    with pytest.raises(StorageFault):
        await chain.commit(candidate, world.certificate(candidate))
    assert dict(store.iterate(b"")) == records
    assert chain.tip.height == 0
    assert world.chain(store).tip == chain.tip


async def test_block_is_one_batch_when_it_is_committed(world: World) -> None:
    batches: list[tuple[int, bool]] = []

    class Counting(MemoryStore):
        def write(self, batch: dict, *, sync: bool = True) -> None:
            batches.append((len(batch), sync))
            super().write(batch, sync=sync)

    chain = world.chain(Counting())
    candidate = await world.build(chain, world.pay(0))
    batches.clear()
    await chain.commit(candidate, world.certificate(candidate))
    assert [sync for _, sync in batches] == [True]


async def test_node_goes_on_where_it_was_when_it_opens_its_store_again(world: World) -> None:
    store = MemoryDisk()
    first = world.chain(store)
    candidate = await world.build(first, world.pay(0))
    await first.commit(candidate, world.certificate(candidate))
    again = world.chain(store)
    assert again.tip == first.tip
    following = await world.build(again, world.pay(1))
    other = world.chain()
    for made in (candidate, following):
        await other.commit(await other.check(made.id, made.block, fresh(made)), world.certificate(made))
    assert state_root(other.store.state) != state_root(again.store.state)
    await again.commit(following, world.certificate(following))
    assert state_root(other.store.state) == state_root(again.store.state)


async def test_candidate_cannot_be_committed_when_another_was_committed_before(world: World) -> None:
    chain = world.chain()
    first, second = await world.build(chain, world.pay(0)), await world.build(chain, world.pay(1))
    await chain.commit(first, world.certificate(first))
    with pytest.raises(LocalMisuse):
        await chain.commit(second, world.certificate(second))
    assert chain.tip.block_id == first.id


async def test_store_is_refused_when_it_holds_another_chain(world: World) -> None:
    store = MemoryDisk()
    world.chain(store)
    with pytest.raises(InvalidGenesis) as caught:
        Chain(World().genesis, store)
    assert caught.value.code == "genesis_mismatch"


async def test_no_record_is_stale_when_the_state_cache_turns_over_while_a_block_is_committed(world: World) -> None:
    transactions = [_split(world, number) for number in range(8)]
    for size in range(10, 60):  # as with 32,768 and many more transactions
        chain = world.chain()
        chain.state._size = size
        candidate = await world.build(chain, *transactions)
        await chain.commit(candidate, world.certificate(candidate))
        gone = [transaction.body.inputs[0] for transaction in reversed(transactions)]
        assert [chain.state.get(utxo_key(name)) for name in gone] == [None] * 8, f"a spent output is back at {size}"


async def test_checkpoint_root_is_in_the_header_and_checked_when_its_height_comes() -> None:
    world = World(checkpoint_interval=4)
    chain, other = world.chain(), world.chain()
    for height in range(1, 9):
        candidate = await world.build(chain, world.pay(height - 1))
        checked = await other.check(candidate.id, candidate.block, fresh(candidate))
        if height == 4:
            expected = state_root(chain.store.state)  # of height 3; the checkpoint of height 4 comes after commit
        await chain.commit(candidate, world.certificate(candidate))
        await other.commit(checked, world.certificate(candidate))
        if height == 4:
            assert state_root(chain.store.state) != expected
            expected = state_root(chain.store.state)
    header = chain.tip.header
    assert (header.checkpoint_height, header.checkpoint_root) == (4, expected)
