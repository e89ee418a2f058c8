"""Transactions from peers and clients that are wrong: who is blamed, what is passed on, and what stays whole."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from ledger.errors import InvalidTransaction, TidegateError
from ledger.transaction import Transaction, assemble, outpoint, sign_body
from node.intake import EARLY_BLOCKS, FLUSH_AFTER_S, MAX_EARLY, MAX_QUEUED_BYTES, SLICE, Intake
from node.mempool import MempoolLimits
from node.wire import Topic, decode_refs, encode_batch, encode_refs
from p2p.gossip import Verdict
from p2p.transport import PeerId
from tests.contracts.bench import with_witness
from tests.node.bare import Bare

PEER = PeerId("peer")


class Relay:
    """Stands where gossip is; remembers what goes out and what is said of what came in."""

    def __init__(self) -> None:
        self.published: list[bytes] = []
        self.verdicts: list[Verdict] = []

    def publish(self, topic: Topic, payload: bytes) -> None:
        assert topic is Topic.TRANSACTIONS
        self.published.append(payload)

    def report(self, topic: Topic, payload: bytes, verdict: Verdict) -> None:
        assert topic is Topic.TRANSACTIONS
        self.verdicts.append(verdict)


def attached(node: Bare) -> Relay:
    relay = Relay()
    node.intake.attach(relay)
    return relay


async def verdict(node: Bare, payload: bytes) -> Verdict:
    """What becomes of a gossiped batch."""
    relay = attached(node)
    assert node.intake.on_batch(PEER, payload) is None
    task = asyncio.create_task(node.intake.run())
    async with asyncio.timeout(10):
        while not relay.verdicts:
            await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait([task])
    return relay.verdicts[0]


def forged(transaction: Transaction) -> Transaction:
    (key, signature), *_ = transaction.witness.signatures
    return assemble(transaction.body, [(key, signature[:-2] + bytes([signature[-2] ^ 1, signature[-1]]))])


def stripped(node: Bare, transaction: Transaction) -> Transaction:
    """As somebody on the way could change it: without its signatures."""
    return with_witness(transaction, [])


def added(node: Bare, transaction: Transaction) -> Transaction:
    """With one more signature, which is good in itself."""
    other = sign_body(transaction.body, [node.cluster.members[0].validator])
    return with_witness(transaction, sorted([*transaction.witness.signatures, *other]))


def replaced(node: Bare, transaction: Transaction) -> Transaction:
    """With the signature of another key in the place of the sender's."""
    return with_witness(transaction, sign_body(transaction.body, [node.cluster.members[0].validator]))


def revealing(node: Bare, transaction: Transaction) -> Transaction:
    """With a preimage that it does not name."""
    return with_witness(transaction, transaction.witness.signatures, [b"preimage"])


# --- from peers -------------------------------------------------------------------------------------------------------


async def test_batch_is_passed_on_when_something_in_it_is_new() -> None:
    node = Bare()
    known, new = node.pay(0), node.pay(1)
    await node.gateway.submit(known)
    woken = node.woken
    assert await verdict(node, encode_batch([known.wire, new.wire])) is Verdict.ACCEPT
    assert new.tx_id in node.mempool
    assert node.woken > woken


async def test_batch_is_not_passed_on_and_nobody_blamed_when_nothing_in_it_helps_us() -> None:
    node = Bare()
    known, done = node.pay(0), node.pay(1)
    await node.commit(done)
    await node.gateway.submit(known)
    conflict, orphan = node.pay(0, 6), node.cluster.transfer(0, 0, 5, bytes(36))
    late = node.pay(2, expiry=0)
    for transaction in (known, done, conflict, orphan, late):
        assert await verdict(node, encode_batch([transaction.wire])) is not Verdict.REJECT
    assert len(node.mempool) == 1


@pytest.mark.parametrize(
    "make",
    [
        lambda node: encode_batch([forged(node.pay()).wire]),
        lambda node: encode_batch([stripped(node, node.pay()).wire]),
        lambda node: encode_batch([added(node, node.pay()).wire]),
        lambda node: encode_batch([replaced(node, node.pay()).wire]),
        lambda node: encode_batch([revealing(node, node.pay()).wire]),
        lambda node: encode_batch([Bare().pay().wire]),  # of another chain
        lambda node: encode_batch([node.pay(1).wire, b"\xc1"]),
        lambda node: encode_batch([node.pay(1).wire + b"\x00"]),
        lambda node: encode_batch([]),
        lambda node: b"\xc1",
        lambda node: encode_batch([node.pay(1).wire]) + b"\x00",
    ],
    ids=[
        "signature",
        "stripped",
        "added",
        "replaced",
        "revealing",
        "chain",
        "no transaction",
        "trailing bytes",
        "empty",
        "rubbish",
        "trailing",
    ],
)
async def test_sender_is_blamed_when_no_honest_node_would_pass_the_batch_on(make: object) -> None:
    node = Bare()
    bad = make(node)
    assert await verdict(node, bad) is Verdict.REJECT
    assert all(transaction.wire in bad for transaction in node.mempool.candidates())


@pytest.mark.parametrize("spoil", [lambda _node, good: forged(good), stripped, added, replaced, revealing])
async def test_transaction_still_counts_when_a_peer_sent_it_with_a_broken_witness_first(
    spoil: Callable[[Bare, Transaction], Transaction],
) -> None:
    node = Bare()
    good = node.pay()
    bad = spoil(node, good)
    assert bad.tx_id == good.tx_id
    assert await verdict(node, encode_batch([bad.wire])) is Verdict.REJECT
    assert good.tx_id not in node.mempool
    assert await verdict(node, encode_batch([good.wire])) is Verdict.ACCEPT
    await node.commit()
    assert (await node.gateway.outcome(good.tx_id)).status == "committed"


async def test_batches_are_dropped_without_blame_when_too_many_wait() -> None:
    node = Bare()
    attached(node)
    payload = bytes(1024 * 1024)
    taken = 0
    while node.intake.on_batch(PEER, payload) is None:
        taken += 1
    assert taken == MAX_QUEUED_BYTES // len(payload)
    assert node.intake.on_batch(PEER, payload) is not Verdict.REJECT
    assert node.intake.dropped_batches == 2


async def test_full_mempool_blames_nobody_when_a_batch_comes() -> None:
    node = Bare(MempoolLimits(max_transactions=1))
    await node.gateway.submit(node.pay(0))
    assert await verdict(node, encode_batch([node.pay(1).wire])) is not Verdict.REJECT
    assert len(node.mempool) == 1


# --- from clients -----------------------------------------------------------------------------------------------------


async def test_admitted_transactions_go_out_in_one_batch_when_they_come_together() -> None:
    node = Bare()
    relay = attached(node)
    sent = [node.pay(number) for number in range(5)]
    for transaction in sent:
        node.intake.submit(transaction)
    async with asyncio.timeout(5):
        while not relay.published:
            await asyncio.sleep(0.001)
    assert relay.published == [encode_batch([transaction.wire for transaction in sent])]


async def test_admitted_transaction_goes_out_and_no_timer_is_left_when_the_node_ends() -> None:
    node = Bare()
    relay = attached(node)
    transaction = node.pay(0)
    node.intake.submit(transaction)
    node.intake.stop()
    assert relay.published == [encode_batch([transaction.wire])]
    assert node.intake._flush_timer is None


async def test_nothing_goes_out_when_a_transaction_is_refused_or_known() -> None:
    node = Bare()
    relay = attached(node)
    done = node.pay(0)
    await node.commit(done)
    node.intake.submit(done)
    with pytest.raises(InvalidTransaction):
        node.intake.submit(node.pay(1, expiry=0))
    with pytest.raises(InvalidTransaction):
        node.intake.submit(forged(node.pay(2)))
    assert (node.intake._outgoing, relay.published, node.woken) == ([], [], 0)


async def test_bulk_gives_the_loop_back_when_it_is_long() -> None:
    node = Bare()
    wires = [node.pay(number % 10, number + 1).wire for number in range(4 * SLICE)]
    task = asyncio.create_task(node.intake.submit_many(wires))
    turns = 0
    while not task.done():
        turns += 1
        await asyncio.sleep(0)
    assert turns >= 4
    answers = await task
    assert sum(isinstance(answer, Transaction) for answer in answers) == len(node.mempool) == 10
    assert {answer.code for answer in answers if isinstance(answer, TidegateError)} == {"input_conflict"}


async def test_waiting_transactions_are_said_again_when_no_block_takes_them() -> None:
    node = Bare()
    relay = attached(node)
    transaction = node.pay()
    node.intake.submit(transaction)
    node.intake._flush()
    assert len(relay.published) == 1
    node.intake.republish()
    node.intake._flush()
    assert len(relay.published) == 1, "said again at once"
    node.now_ms = 60_000
    node.intake.republish()
    node.intake._flush()
    assert relay.published == [encode_batch([transaction.wire])] * 2
    await node.commit()
    node.intake.republish()
    node.intake._flush()
    assert len(relay.published) == 2


async def test_intake_works_alone_when_no_overlay_is_attached() -> None:
    node = Bare()
    assert isinstance(node.intake, Intake)
    node.intake.submit(node.pay())
    node.intake._flush()
    assert len(node.mempool) == 1


def test_refs_are_cut_to_whole_ones_when_a_request_has_an_odd_tail() -> None:
    refs = [bytes([number]) * 64 for number in range(3)]
    assert decode_refs(encode_refs(refs) + b"tail") == refs
    assert decode_refs(b"") == []


async def child_of_unseen_parent(node: Bare) -> tuple[Transaction, Transaction]:
    """A payment that this node has not heard of, and one that spends it, which comes from a peer first."""
    parent = node.pay()
    child = node.cluster.transfer(0, 0, 3, outpoint(parent.tx_id, 0), 5)
    assert await verdict(node, encode_batch([child.wire])) is Verdict.IGNORE
    assert child.tx_id not in node.mempool
    return parent, child


async def test_transaction_waits_for_its_block_when_it_is_faster():
    node = Bare()
    parent, child = await child_of_unseen_parent(node)
    await node.commit(parent)
    woken, relay = node.woken, attached(node)
    node.intake.on_block()
    assert child.tx_id in node.mempool
    assert node.woken == woken + 1, "a proposer hears of it at once"
    await asyncio.sleep(2 * FLUSH_AFTER_S)
    assert relay.published == [encode_batch([child.wire])], "nodes behind this one get it too"


async def test_transaction_is_forgotten_when_its_block_does_not_come():
    node = Bare()
    parent, child = await child_of_unseen_parent(node)
    for number in range(1, EARLY_BLOCKS + 2):
        await node.commit(node.pay(number))
        node.intake.on_block()
    await node.commit(parent)
    node.intake.on_block()
    assert child.tx_id not in node.mempool


async def test_no_more_are_kept_than_allowed_when_many_come_early():
    node = Bare()
    parent = node.pay()
    spent = outpoint(parent.tx_id, 0)
    children = [node.cluster.transfer(0, 0, 3, spent, 5) for _ in range(MAX_EARLY + 5)]
    await verdict(node, encode_batch([child.wire for child in children]))
    assert len(node.intake._early) == MAX_EARLY
    await node.commit(parent)
    node.intake.on_block()
    assert [child.tx_id in node.mempool for child in children[:2]] == [True, False], "first seen wins the outpoint"


async def test_nothing_is_kept_when_it_is_in_a_block_already_or_wrong():
    node = Bare()
    payment = node.pay()
    await node.commit(payment)
    await verdict(node, encode_batch([payment.wire]))
    await verdict(node, encode_batch([forged(node.pay(1)).wire]))
    assert not node.intake._early
