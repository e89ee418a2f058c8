"""What the gateway of a daemon answers: outcomes, waiting, unspent outputs, views, events."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable

import pytest

from contracts.assets import AssetArguments, AssetRecord
from ledger.encoding import encode
from ledger.errors import InvalidInput, InvalidTransaction, NotFound, Overloaded
from ledger.keys import key_text
from ledger.state_root import state_root
from ledger.store_memory import MemoryStore
from ledger.transaction import Transaction
from ledger.types import OutPoint
from node import local
from node.mempool import MempoolLimits
from tests.node.bare import Bare
from tests.node.cluster import SUPPLY

COIN = SUPPLY // 10


async def until(what: Callable[[], bool], seconds: float = 5.0) -> None:
    async with asyncio.timeout(seconds):
        while not what():
            await asyncio.sleep(0)


# --- outcomes -------------------------------------------------------------------------------------------------------


async def test_outcome_follows_a_transaction_when_it_goes_its_way() -> None:
    node = Bare()
    transaction = node.pay()
    assert (await node.gateway.outcome(transaction.tx_id)).status == "unknown"
    assert await node.gateway.submit(transaction) == transaction.tx_id
    assert (await node.gateway.outcome(transaction.tx_id)).status == "pending"
    await node.commit()
    outcome = await node.gateway.outcome(transaction.tx_id)
    assert (outcome.status, outcome.code, outcome.height, outcome.index) == ("committed", "ok", 1, 0)
    assert (await node.gateway.transaction(transaction.tx_id)).wire == transaction.wire


async def test_outcome_is_refused_with_its_code_when_the_block_refused_it() -> None:
    node = Bare()
    refused = node.cluster.transfer(0, 0, 5, node.cluster.genesis_output(0, 1), value=COIN + 1)
    await node.commit(node.pay(), refused)
    outcome = await node.gateway.outcome(refused.tx_id)
    assert (outcome.status, outcome.code, outcome.height, outcome.index) == ("refused", "unbalanced", 1, 1)


async def test_submission_is_accepted_again_when_the_transaction_waits_or_is_committed() -> None:
    node = Bare()
    transaction = node.pay()
    for _ in range(2):
        await node.gateway.submit(transaction)
    assert len(node.mempool) == 1
    await node.commit()
    await node.gateway.submit(Transaction.decode(transaction.wire))
    assert len(node.mempool) == 0
    outcome = await node.gateway.submit_and_wait(Transaction.decode(transaction.wire), 0)
    assert (outcome.status, outcome.height) == ("committed", 1)


async def test_rival_of_a_committed_transaction_is_refused_when_it_is_submitted() -> None:
    node = Bare()
    await node.commit(node.pay())
    with pytest.raises(InvalidTransaction) as caught:
        await node.gateway.submit(node.pay(0, 6))
    assert caught.value.code == "input_missing"


async def test_transaction_is_not_known_when_nobody_sent_it() -> None:
    node = Bare()
    with pytest.raises(NotFound):
        await node.gateway.transaction(bytes(32))


# --- waiting ----------------------------------------------------------------------------------------------------------


async def test_all_who_wait_hear_of_it_when_the_block_is_committed() -> None:
    node = Bare()
    transaction = node.pay()
    waiting = [asyncio.create_task(node.gateway.submit_and_wait(transaction, 10)) for _ in range(3)]
    waiting.append(asyncio.create_task(node.gateway.wait(transaction.tx_id, 10)))
    await until(lambda: len(node.gateway._waiters.get(transaction.tx_id, ())) == 4)
    await node.commit()
    assert {(outcome.status, outcome.height) for outcome in await asyncio.gather(*waiting)} == {("committed", 1)}
    assert node.gateway._waiters == {}


async def test_who_waits_hears_at_once_why_when_the_transaction_is_dropped() -> None:
    node = Bare()
    transaction = node.pay(expiry=1)
    waiting = asyncio.create_task(node.gateway.submit_and_wait(transaction, 60))
    await until(lambda: transaction.tx_id in node.mempool)
    await node.commit(node.pay(1))
    outcome = await asyncio.wait_for(waiting, 5)
    assert (outcome.status, outcome.code) == ("unknown", "expired")
    assert (await node.gateway.outcome(transaction.tx_id)).code == "expired"


async def test_who_waits_hears_of_the_conflict_when_a_block_takes_the_other_spender() -> None:
    node = Bare()
    transaction = node.pay(0, 5)
    waiting = asyncio.create_task(node.gateway.submit_and_wait(transaction, 60))
    await until(lambda: transaction.tx_id in node.mempool)
    await node.commit(node.pay(0, 6))
    assert (await asyncio.wait_for(waiting, 5)).code == "input_conflict"


async def test_answer_is_not_known_yet_when_the_time_is_over() -> None:
    node = Bare()
    assert (await node.gateway.submit_and_wait(node.pay(), 0.01)).status == "pending"
    assert (await node.gateway.wait(bytes(32), 0.01)).status == "unknown"
    assert node.gateway._waiters == {}


async def test_nobody_is_left_waiting_when_a_submission_is_refused_or_given_up() -> None:
    node = Bare()
    with pytest.raises(InvalidTransaction):
        await node.gateway.submit_and_wait(node.pay(expiry=0), 10)
    task = asyncio.create_task(node.gateway.submit_and_wait(node.pay(), 10))
    await until(lambda: len(node.mempool) == 1)
    task.cancel()
    await asyncio.wait([task])
    assert node.gateway._waiters == {}


async def test_more_waiters_are_told_to_come_back_when_too_many_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local, "MAX_WAITERS", 1)
    node = Bare()
    first, second = node.pay(0), node.pay(1)
    task = asyncio.create_task(node.gateway.submit_and_wait(first, 10))
    await until(lambda: first.tx_id in node.mempool)
    with pytest.raises(Overloaded) as caught:
        await node.gateway.submit_and_wait(second, 10)
    assert caught.value.data["retry_after_ms"] > 0
    assert second.tx_id not in node.mempool
    await node.commit()
    assert (await task).status == "committed"


async def test_full_mempool_refuses_and_takes_it_later_when_there_is_room() -> None:
    node = Bare(MempoolLimits(max_transactions=1))
    first, second = node.pay(0), node.pay(1)
    await node.gateway.submit(first)
    with pytest.raises(Overloaded) as caught:
        await node.gateway.submit(second)
    assert caught.value.data["retry_after_ms"] > 0
    await node.commit()
    await node.gateway.submit(second)
    await node.commit()
    assert (await node.gateway.outcome(second.tx_id)).status == "committed"


# --- while a block is being written ---------------------------------------------------------------------------------


class SlowStore(MemoryStore):
    """A disk whose next write is on it long before the writer hears of it."""

    def __init__(self) -> None:
        super().__init__()
        self.held: threading.Event | None = None
        self.written = threading.Event()

    def write(self, batch: dict, *, sync: bool = True) -> None:
        super().write(batch, sync=sync)
        self.written.set()
        if self.held is not None:
            assert self.held.wait(20)


async def test_answers_fit_the_tip_when_the_next_block_is_on_the_disk_and_not_yet_committed() -> None:
    store = SlowStore()
    node = Bare(store=store)
    await node.commit(node.pay(0))
    root = state_root(node.chain.store.state)
    foreign = node.pay(1)  # in the block, and never in our mempool
    candidate, certificate = await node.build([foreign])
    store.held = threading.Event()
    store.written.clear()
    commit = asyncio.create_task(node.chain.commit(candidate, certificate))
    try:
        await until(store.written.is_set)
        assert (await node.gateway.info()).height == 1
        height, found = await node.gateway.state_hash()
        assert (height, found == root) in {(1, True), (2, False)}
        assert (await node.gateway.outcome(foreign.tx_id)).status == "unknown"
        with pytest.raises(NotFound):
            await node.gateway.transaction(foreign.tx_id)
        waiting = asyncio.create_task(node.gateway.submit_and_wait(foreign, 20))
        await until(lambda: bool(node.gateway._waiters) or waiting.done())
    finally:
        store.held.set()
    node.tell(await commit)
    assert ((await waiting).status, (await waiting).height) == ("committed", 2)


async def test_state_hash_is_of_one_height_when_a_block_comes_in_between() -> None:
    node = Bare()
    root = state_root(node.chain.store.state)
    asked = asyncio.create_task(node.gateway.state_hash())
    await asyncio.sleep(0)
    await node.commit(node.pay())
    assert await asked in {(0, root), (1, state_root(node.chain.store.state))}
    assert await node.gateway.state_hash() == (1, state_root(node.chain.store.state))


# --- unspent outputs, views, events -----------------------------------------------------------------------------------


async def test_unspent_outputs_come_in_pages_without_gap_or_repetition_when_asked_for() -> None:
    node = Bare()
    lock = f"key({key_text(node.cluster.members[0].member.public)})"
    await node.commit(node.pay(0, 5), node.pay(1, 7))
    everything = await node.gateway.unspent(lock, limit=1_000)
    assert sorted(item.output.amount for item in everything) == sorted([COIN] * 8 + [5, 7, COIN - 5, COIN - 7])
    assert [item.outpoint for item in everything] == sorted(item.outpoint for item in everything)
    paged, after = [], None
    while page := await node.gateway.unspent(lock, after=after, limit=5):
        paged += page
        after = OutPoint(page[-1].outpoint)
    assert paged == everything
    assert await node.gateway.unspent(lock, asset="USD") == []
    assert len(await node.gateway.unspent(lock, asset="CNY")) == 12


@pytest.mark.parametrize(("lock", "limit"), [("nonsense", 5), ("after(1)", 0), ("after(1)", 1_001), ("after(01)", 5)])
async def test_unspent_is_refused_when_lock_or_limit_is_wrong(lock: str, limit: int) -> None:
    with pytest.raises(InvalidInput):
        await Bare().gateway.unspent(lock, limit=limit)


async def test_view_answers_from_the_committed_state_when_asked() -> None:
    node = Bare()
    record = await node.gateway.view("assets", "asset", AssetArguments("CNY"), AssetRecord)
    assert (record.asset, record.supply) == ("CNY", SUPPLY)
    with pytest.raises(InvalidInput):
        await node.gateway.view("assets", "asset", AssetArguments("CNY"), AssetArguments)


@pytest.mark.parametrize(
    ("contract", "name", "arguments"),
    [
        ("nothing", "asset", encode(("CNY",))),
        ("assets", "nothing", encode(("CNY",))),
        ("assets", "issue", encode(("CNY", 5))),
        ("assets", "asset", encode(("USD",))),
        ("assets", "asset", b""),
        ("assets", "asset", encode(("CNY", 5))),
    ],
)
async def test_view_is_refused_when_it_is_not_there_or_asked_wrongly(
    contract: str, name: str, arguments: bytes
) -> None:
    with pytest.raises(InvalidInput):
        Bare().gateway.run_view(contract, name, arguments)


async def test_subscriber_gets_every_block_once_when_it_starts_in_the_past() -> None:
    node = Bare()
    for number in range(3):
        await node.commit(node.pay(number))
    seen: list[int] = []

    async def follow() -> None:
        async for block in node.gateway.events(1):
            seen.append(block.height)
            if block.height == 6:
                return

    follower = asyncio.create_task(follow())
    await until(lambda: seen == [1, 2, 3])
    for number in range(3, 6):
        await node.commit(node.pay(number))
    await asyncio.wait_for(follower, 5)
    assert seen == [1, 2, 3, 4, 5, 6]


async def test_height_is_waited_for_when_it_is_to_come() -> None:
    node = Bare()
    assert await node.gateway.wait_for_height(0, 0.01)
    assert not await node.gateway.wait_for_height(1, 0.01)
    waiting = asyncio.create_task(node.gateway.wait_for_height(2, 5))
    for number in range(2):
        await node.commit(node.pay(number))
    assert await waiting
