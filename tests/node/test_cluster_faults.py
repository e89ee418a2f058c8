"""Whole networks under faults: partitions, dead proposers, restored backups, lost signer logs, random kills."""

from __future__ import annotations

import asyncio
import random
import secrets

import msgspec
import pytest

from consensus.records import Forgotten, SignedVote, SignerRecord, record_codec
from ledger.errors import Overloaded, PeerUnavailable
from ledger.keys import key_text
from ledger.state_root import state_root
from ledger.transaction import Output, Transaction, build, outpoint
from node.mempool import MempoolLimits
from node.wire import RequestKind
from p2p.bounds import GossipBounds
from tests.node.cluster import SUPPLY, Cluster, MemoryDisk, MemorySignerLog, running
from tests.node.sets import set_parameters
from tests.node.test_driver import FAST, proposer_of

COIN = SUPPLY // 10


def roots(cluster: Cluster) -> set[bytes]:
    return {state_root(node.core.chain.store.state) for node in cluster.nodes.values()}


async def level(cluster: Cluster) -> None:
    """Until all running nodes are at one height; then their states are equal."""
    await cluster.wait(lambda: len({node.height for node in cluster.nodes.values()}) == 1)
    assert len(roots(cluster)) == 1


async def commit(cluster: Cluster, via: int, number: int, seconds: float = 20) -> int:
    """Height at which a coin of ``via`` moves."""
    transaction = cluster.transfer(via, via, 5, cluster.genesis_output(via, number))
    outcome = await cluster.core(via).gateway.submit_and_wait(transaction, seconds)
    assert outcome.status == "committed"
    return outcome.height


# --- partitions and dead nodes ----------------------------------------------------------------------------------------


async def test_no_half_decides_and_both_agree_again_when_a_partition_heals() -> None:
    async with running(Cluster(**FAST)) as cluster:
        await commit(cluster, 0, 0)
        await level(cluster)
        height = cluster.nodes[0].height
        peers = [member.transport.peer_id for member in cluster.members]
        cluster.network.partition(peers[:2], peers[2:])
        await cluster.wait(lambda: all(len(cluster.core(i).transport.peers()) == 1 for i in range(4)))
        left = cluster.transfer(0, 1, 7, cluster.genesis_output(0, 1))
        right = cluster.transfer(0, 2, 8, cluster.genesis_output(0, 1))
        await cluster.core(0).gateway.submit(left)
        await cluster.core(3).gateway.submit(right)
        await cluster.wait(lambda: all(cluster.core(i).driver.round >= 1 for i in range(4)))
        assert {node.height for node in cluster.nodes.values()} == {height}
        waiting = [
            asyncio.create_task(cluster.core(i).gateway.wait(transaction.tx_id, 20))
            for i, transaction in ((0, left), (3, right))
        ]
        await cluster.wait(lambda: bool(cluster.core(0).gateway._waiters and cluster.core(3).gateway._waiters))
        cluster.network.heal()
        outcomes = await asyncio.gather(*waiting)
        assert sorted((outcome.status, outcome.code) for outcome in outcomes) == [
            ("committed", "ok"),
            ("unknown", "input_conflict"),
        ]
        await level(cluster)


async def test_height_is_decided_in_a_later_round_when_its_proposer_is_down() -> None:
    cluster = Cluster(**FAST)
    async with running(cluster):
        down = proposer_of(cluster, 1)
        via = (down + 1) % 4
        await cluster.stop(down)
        assert await commit(cluster, via, 0) == 1
        assert cluster.core(via).chain.store.certificate(1).round >= 1
        await cluster.start(down)
        await cluster.wait_height(1)
        assert len(roots(cluster)) == 1


async def test_nothing_is_decided_and_all_is_kept_when_two_of_four_are_down() -> None:
    async with running(Cluster(**FAST)) as cluster:
        await commit(cluster, 0, 0)
        await level(cluster)
        height = cluster.nodes[0].height
        await cluster.stop(2)
        await cluster.stop(3)
        transaction = cluster.transfer(0, 1, 7, cluster.genesis_output(0, 1))
        await cluster.core(0).gateway.submit(transaction)
        await cluster.wait(lambda: cluster.core(0).driver.round >= 1 and cluster.core(1).driver.round >= 1)
        assert {node.height for node in cluster.nodes.values()} == {height}
        await cluster.start(2)
        assert (await cluster.core(0).gateway.wait(transaction.tx_id, 20)).status == "committed"


# --- disks ------------------------------------------------------------------------------------------------------------


async def test_restored_node_catches_up_and_contradicts_nothing_when_its_disk_is_an_old_copy() -> None:
    async with running(Cluster(**FAST)) as cluster:
        await commit(cluster, 0, 0)
        await level(cluster)
        victim = cluster.members[3]
        await cluster.stop(3)
        old = MemoryDisk()
        old.write(dict(victim.store.iterate(b"")))
        old_log = MemorySignerLog()
        old_log.records = list(victim.signer_log.records)
        await cluster.start(3)
        for number in range(1, 5):
            height = await commit(cluster, 0, number)
        await level(cluster)
        await cluster.stop(3)
        victim.store, victim.signer_log = old, old_log
        core = await cluster.start(3)
        assert core.chain.tip.height < height
        await cluster.wait_height(height)
        await commit(cluster, 3, 0)
        await level(cluster)
        assert [cluster.core(index).driver.evidence_count for index in range(4)] == [0] * 4


async def test_validator_signs_nothing_that_it_may_have_signed_when_its_signer_log_is_lost() -> None:
    async with running(Cluster(**FAST)) as cluster:
        await commit(cluster, 0, 0)
        await level(cluster)
        await cluster.stop(3)
        victim = cluster.members[3]
        victim.signer_log, victim.signer_log_exists = MemorySignerLog(), False
        core = await cluster.start(3)
        assert core.driver.observing
        await cluster.wait(lambda: len(forgotten(victim.signer_log)) == 2)
        unknown, through = forgotten(victim.signer_log)
        assert unknown is None
        assert through is not None
        number = 1
        while core.driver.observing or cluster.nodes[3].height <= through + 1:
            assert number < 10
            height = await commit(cluster, 0, number)
            await cluster.wait_height(height)
            number += 1
        await cluster.wait(lambda: len(votes(victim.signer_log)) > 0)
        assert min(vote.height for vote in votes(victim.signer_log)) > through
        store = cluster.core(0).chain.store
        for decided in range(2, through + 1):
            assert victim.validator.public not in [key for key, _ in store.certificate(decided).seals]
        assert len(roots(cluster)) == 1
        assert [cluster.core(index).driver.evidence_count for index in range(4)] == [0] * 4


def records(log: MemorySignerLog) -> list[SignerRecord]:
    return [record_codec.decode(record) for record in log.records]


def votes(log: MemorySignerLog) -> list[SignedVote]:
    return [record for record in records(log) if isinstance(record, SignedVote)]


def forgotten(log: MemorySignerLog) -> list[int | None]:
    return [record.through_height for record in records(log) if isinstance(record, Forgotten)]


async def test_validator_observes_for_as_long_as_not_all_that_it_must_ask_are_there() -> None:
    async with running(Cluster(**FAST)) as cluster:
        await commit(cluster, 0, 0)
        await level(cluster)
        await cluster.stop(3)
        victim = cluster.members[3]
        victim.signer_log, victim.signer_log_exists = MemorySignerLog(), False
        # Three others make sure that an honest one of them knows what may have been signed; two do not.
        await cluster.stop(2)
        for _ in range(2):  # and a restart does not make it forget that it has forgotten
            driver = (await cluster.start(3)).driver
            await cluster.wait(driver.votes.greeted.is_set)
            await cluster.wait(lambda: cluster.core(3).driver._state.current is not None)
            assert driver.observing
            assert forgotten(victim.signer_log) == [None]
            await cluster.stop(3)
        await cluster.start(3)
        await cluster.start(2)
        await cluster.wait(lambda: len(forgotten(victim.signer_log)) == 2)


async def test_validator_observes_when_its_store_holds_what_it_does_not_remember_to_have_signed() -> None:
    async with running(Cluster(**FAST)) as cluster:
        for number in range(4):
            await commit(cluster, 0, number)
        await level(cluster)
        victim = cluster.members[3]
        store = cluster.core(3).chain.store
        me = victim.validator.public
        signed = [
            height
            for height in range(1, store.height + 1)
            if me in dict(store.certificate(height).seals) or store.header(height).proposer == me
        ]
        await cluster.stop(3)
        # The end of the log is gone, cut where one batch ends.
        victim.signer_log.records = [
            data
            for data, record in zip(victim.signer_log.records, records(victim.signer_log), strict=True)
            if isinstance(record, Forgotten) or record.height < max(signed)
        ]
        core = await cluster.start(3)
        assert core.driver.observing
        assert forgotten(victim.signer_log)[:2] == [0, None]


async def test_node_without_any_disk_left_follows_again_when_it_starts_from_nothing() -> None:
    async with running(Cluster(**FAST)) as cluster:
        for number in range(3):
            height = await commit(cluster, 0, number)
        await level(cluster)
        await cluster.stop(3)
        cluster.members[3].store = MemoryDisk()
        cluster.members[3].signer_log = MemorySignerLog()
        cluster.members[3].signer_log_exists = False
        await cluster.start(3)
        await cluster.wait_height(height)
        await commit(cluster, 0, 4)
        await level(cluster)
        assert [cluster.core(index).driver.evidence_count for index in range(4)] == [0] * 4


# --- observers --------------------------------------------------------------------------------------------------------


def refuse_block_sync(cluster: Cluster, index: int) -> None:
    """The node gets no block by asking for it: announcements must do."""
    core = cluster.core(index)
    request = core.peers.request

    async def without_blocks(peer: object, kind: RequestKind, *rest: object) -> bytes:
        if kind is RequestKind.BLOCKS:
            raise PeerUnavailable("this test allows no block sync")
        return await request(peer, kind, *rest)

    core.peers.request = without_blocks


async def test_observer_follows_when_it_hears_only_announcements() -> None:
    async with running(Cluster(5, validators=4, **FAST)) as cluster:
        refuse_block_sync(cluster, 4)
        for number in range(4):
            height = await commit(cluster, 0, number)
            await cluster.wait_height(height, [4])
        await level(cluster)


async def test_large_block_reaches_observers_when_its_announcement_is_too_long_to_push() -> None:
    count = GossipBounds().push_max_bytes // 64 + 60
    cluster = Cluster(5, validators=4, base_timeout_ms=20_000)
    async with running(cluster):
        member = cluster.members[0].member
        lock = f"key({key_text(member.public)})"
        split: list[Transaction] = []
        template = cluster.transfer(0, 0, 5).body
        for number in range(count // 250 + 1):
            outputs = (Output("CNY", COIN // 250, lock),) * 250
            source = cluster.genesis_output(0, number)
            split.append(_spend(template, (source,), outputs, member))
            await cluster.core(0).gateway.submit(split[-1])
        for transaction in split:
            assert (await cluster.core(0).gateway.wait(transaction.tx_id, 20)).status == "committed"
        # From here on a block waits until it is as large as that, however long this machine takes.
        since = await set_parameters(cluster, 0, package_transactions=count, package_ms=60_000)
        await commit(cluster, 0, 9)
        await cluster.wait_height(since - 1)
        await level(cluster)
        refuse_block_sync(cluster, 4)
        coins = [outpoint(transaction.tx_id, index) for transaction in split for index in range(250)]
        many = [_spend(template, (coin,), (Output("CNY", COIN // 250, lock),), member) for coin in coins[:count]]
        await cluster.core(1).intake.submit_many([transaction.wire for transaction in many])
        for transaction in many:
            assert (await cluster.core(4).gateway.wait(transaction.tx_id, 90)).status == "committed"
        store = cluster.core(4).chain.store
        largest = max(store.header(height).transactions_count for height in range(1, store.height + 1))
        assert largest * 64 > GossipBounds().push_max_bytes
        await level(cluster)


def _spend(template: object, inputs: tuple[bytes, ...], outputs: tuple[Output, ...], key: object) -> Transaction:
    body = msgspec.structs.replace(template, inputs=inputs, outputs=outputs, nonce=secrets.token_bytes(16))
    return build(body, [key])


# --- loss -------------------------------------------------------------------------------------------------------------


async def test_client_gets_through_later_when_the_mempool_is_full() -> None:
    limits = MempoolLimits(max_transactions=2)
    async with running(Cluster(limits=limits, **FAST), 0, 1) as cluster:  # two of four: nothing is decided
        gateway = cluster.core(0).gateway
        for number in range(2):
            await gateway.submit(cluster.transfer(0, 1, 5, cluster.genesis_output(0, number)))
        late = cluster.transfer(0, 1, 5, cluster.genesis_output(0, 2))
        with pytest.raises(Overloaded) as caught:
            await gateway.submit(late)
        assert caught.value.data["retry_after_ms"] > 0
        await cluster.start(2)
        await cluster.wait_height(1, [0])
        assert (await gateway.submit_and_wait(late, 20)).status == "committed"


@pytest.mark.parametrize("seed", [1, 2])
async def test_acknowledged_transactions_are_never_lost_when_nodes_are_killed_at_random(seed: int) -> None:
    rng = random.Random(seed)
    acknowledged: dict[bytes, int] = {}
    cluster = Cluster(base_timeout_ms=200, max_timeout_ms=1_000)
    async with running(cluster):
        coins = [(member, number) for member in range(4) for number in range(10)]
        rng.shuffle(coins)
        for round_ in range(20):
            sent: list[tuple[int, Transaction]] = []
            for _ in range(2):
                owner, number = coins.pop()
                transaction = cluster.transfer(owner, owner, 5, cluster.genesis_output(owner, number))
                sent.append((rng.randrange(4), transaction))
            tasks = [
                asyncio.create_task(cluster.core(via).gateway.submit_and_wait(transaction, 20))
                for via, transaction in sent
            ]
            victim = rng.randrange(4)
            for _ in range(rng.randrange(60)):  # a kill at any point of the work
                await asyncio.sleep(0)
            await cluster.stop(victim)
            await cluster.start(victim)
            for (via, transaction), task in zip(sent, tasks, strict=True):
                if via == victim and not task.done():  # its client lost the connection, and sends it elsewhere
                    task.cancel()
                    await asyncio.wait([task])
                    outcome = await cluster.core((via + 1) % 4).gateway.submit_and_wait(transaction, 20)
                else:
                    outcome = await task
                assert outcome.status == "committed", f"seed {seed}, round {round_}"
                acknowledged[transaction.tx_id] = outcome.height
        await level(cluster)
        for node in cluster.nodes.values():
            for tx_id, height in acknowledged.items():
                place = node.core.chain.store.find_transaction(tx_id)
                assert place is not None, f"seed {seed}: lost"
                assert place[0] == height, f"seed {seed}: moved"
        assert [node.core.driver.evidence_count for node in cluster.nodes.values()] == [0] * 4, f"seed {seed}"
