"""Hostile members of a network: bad gossip, and a proposer that spoils other people's transactions."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
import pytest

from ledger.block import block_id, receipt_codec
from ledger.errors import InvalidTransaction
from ledger.keys import SigningKey
from ledger.transaction import Output, Transaction, build, sign_body
from node.chain import Candidate
from node.core import NodeCore
from node.wire import Topic, encode_batch
from tests.contracts.bench import with_witness
from tests.node.cluster import SUPPLY, Cluster, running
from tests.node.test_driver import FAST, proposer_of
from tests.node.test_intake import forged


@pytest.mark.parametrize("kind", ["forged", "rubbish"])
async def test_network_drops_the_liar_and_goes_on_when_a_member_gossips_bad_transactions(kind: str) -> None:
    async with running(Cluster()) as cluster:
        await cluster.wait(lambda: all(len(cluster.core(i).transport.peers()) == 3 for i in range(4)))
        liar = cluster.core(3)
        lost: list[str] = []
        disconnected = liar.peers.on_disconnected
        liar.peers.on_disconnected = lambda peer, reason: (lost.append(peer), disconnected(peer, reason))[1]
        payload = encode_batch([forged(cluster.transfer(3, 3, 5)).wire]) if kind == "forged" else b"\xc1"
        liar.gossip.publish(Topic.TRANSACTIONS, payload)
        await cluster.wait(lambda: len(set(lost)) == 3)
        outcome = await cluster.core(0).gateway.submit_and_wait(cluster.transfer(0, 1, 5), 20)
        assert outcome.status == "committed"


async def test_gossip_of_good_transactions_reaches_everybody_when_a_liar_sits_in_between() -> None:
    async with running(Cluster(links=[(0, 1), (1, 2), (2, 3), (3, 0)])) as cluster:
        await cluster.wait(lambda: all(len(cluster.core(i).transport.peers()) == 2 for i in range(4)))
        good = cluster.transfer(0, 1, 5)
        # The liar passes the same transaction on with a broken witness, before the good one can arrive.
        cluster.core(1).gossip.publish(Topic.TRANSACTIONS, encode_batch([forged(good).wire]))
        assert (await cluster.core(0).gateway.submit_and_wait(good, 20)).status == "committed"
        for index in range(4):
            assert (await cluster.core(index).gateway.wait(good.tx_id, 20)).status == "committed"


LIAR = SigningKey.generate()


def _signed(*keys: SigningKey) -> Callable[[Transaction, SigningKey, SigningKey], Transaction]:
    return lambda good, *_: with_witness(good, sign_body(good.body, keys))


def _added(good: Transaction, *_: SigningKey) -> Transaction:
    return with_witness(good, sorted([*good.witness.signatures, *sign_body(good.body, [LIAR])]))


SPOILERS: dict[str, Callable[[Transaction, SigningKey, SigningKey], Transaction]] = {
    "all are stripped": _signed(),
    "the sender's is stripped": lambda good, _, cosigner: with_witness(good, sign_body(good.body, [cosigner])),
    "the cosigner's is stripped": lambda good, sender, _: with_witness(good, sign_body(good.body, [sender])),
    "a foreign one alone": _signed(LIAR),
    "a foreign one for the sender's": lambda good, _, cosigner: with_witness(
        good, sign_body(good.body, [cosigner, LIAR])
    ),
    "a foreign one for the cosigner's": lambda good, sender, _: with_witness(
        good, sign_body(good.body, [sender, LIAR])
    ),
    "a foreign one is added": _added,
    "a preimage is added": lambda good, *_: with_witness(good, good.witness.signatures, [b"preimage"]),
}
"""What a proposer can do to the witness of a transaction of two signers; the signatures that are there are good."""


def _paid_by_two(cluster: Cluster, sender: int, cosigner: int) -> Transaction:
    body = cluster.transfer(sender, cosigner, 5).body
    owner = cluster.transfer(cosigner, sender, 5).body.outputs[0].lock
    body = msgspec.structs.replace(
        body,
        inputs=(*body.inputs, cluster.genesis_output(cosigner)),
        outputs=(*body.outputs, Output("CNY", SUPPLY // 10, owner)),
    )
    return build(body, [cluster.members[sender].member, cluster.members[cosigner].member])


def _penalised(core: NodeCore) -> list[str]:
    """Collects whom a node disconnects for what it was sent."""
    blamed: list[str] = []
    penalise = core.peers.penalise
    core.peers.penalise = lambda peer, reason: (blamed.append(peer), penalise(peer, reason))[1]
    return blamed


def _spoil_blocks(core: NodeCore, spoil: Callable[[Transaction], Transaction]) -> list[Candidate]:
    """Makes a node propose what waits with another witness: blocks that are right in everything else."""
    told: list[Candidate] = []
    honest = core.chain.build

    async def lying(transactions: list[Transaction], *arguments: object) -> Candidate:
        spoiled = [spoil(transaction) for transaction in transactions]
        for transaction in spoiled:
            core.fetcher._keep(transaction)
        candidate = await honest(spoiled, *arguments)
        if spoiled:
            told.append(candidate)
        return candidate

    core.chain.build = lying
    return told


@pytest.mark.parametrize("name", SPOILERS)
async def test_transaction_can_still_be_committed_when_a_proposer_included_it_without_its_signatures(
    name: str,
) -> None:
    async with running(Cluster(**FAST)) as cluster:
        await cluster.wait(lambda: all(len(cluster.core(i).transport.peers()) == 3 for i in range(4)))
        liar = proposer_of(cluster, 1)
        honest = [index for index in range(4) if index != liar]
        sender, cosigner = honest[:2]
        good = _paid_by_two(cluster, sender, cosigner)

        def spoil(transaction: Transaction) -> Transaction:
            return SPOILERS[name](transaction, cluster.members[sender].member, cluster.members[cosigner].member)

        told = _spoil_blocks(cluster.core(liar), spoil)
        blamed = {index: _penalised(cluster.core(index)) for index in honest}
        outcome = await cluster.core(sender).gateway.submit_and_wait(good, 20)
        assert (outcome.status, outcome.code) == ("committed", "ok")
        await cluster.wait_height(outcome.height, honest)

        # The lie was one: the liar's own execution gave it the receipt that would have spent the id for nothing.
        assert [transaction.tx_id for transaction in told[0].transactions] == [good.tx_id]
        assert told[0].transactions[0].ref != good.ref
        assert receipt_codec.decode(told[0].result.receipts[0]).code != "ok"
        with pytest.raises(InvalidTransaction):
            Transaction.decode(told[0].transactions[0].wire)
        name_of_liar = cluster.members[liar].transport.peer_id
        for index in honest:
            store = cluster.core(index).chain.store
            decided = {block_id(store.header(height)) for height in range(1, store.height + 1)}
            assert not {candidate.id for candidate in told} & decided
            assert store.transactions(outcome.height)[outcome.index] == good.wire
            assert (await cluster.core(index).gateway.outcome(good.tx_id)).status == "committed"
            assert set(blamed[index]) <= {name_of_liar}
        assert any(blamed.values()), "nobody was shown the spoiled bytes"
