"""Byzantine proposers in a real network: the honest ones refuse, change the round, and the chain goes on."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import msgspec
import pytest

from consensus.epoch import proposer
from consensus.messages import EMPTY_JUSTIFICATION as NOTHING
from consensus.messages import Proposal, encode_message, proposal_digest
from contracts.executor import BlockExecution
from ledger.block import Block, block_id, transactions_root
from ledger.keys import SigningKey
from ledger.state_root import state_root
from ledger.transaction import Transaction, assemble
from ledger.types import Height, Round
from node.chain import Candidate
from node.core import NodeCore
from node.wire import Topic
from tests.node.cluster import Cluster, running

FAST = {"base_timeout_ms": 300, "max_timeout_ms": 2_000}


def proposer_of(cluster: Cluster, height: int, round_: int = 0) -> int:
    """Which member proposes."""
    core = next(iter(cluster.nodes.values())).core
    key = proposer(core.chain.epoch, core.chain.validators, Height(height), Round(round_))
    return next(index for index, member in enumerate(cluster.members) if member.validator.public == key)


def _header(candidate: Candidate, **changes: object) -> Candidate:
    header = msgspec.structs.replace(candidate.block.header, **changes)
    return Candidate(block_id(header), Block(header, candidate.block.refs), candidate.transactions, candidate.result)


def _claiming(core: NodeCore, candidate: Candidate, *transactions: Transaction) -> Candidate:
    """A block that names these transactions; everything that the liar can make consistent is."""
    for transaction in transactions:
        core.fetcher._keep(transaction)
    refs = [transaction.ref for transaction in transactions]
    header = msgspec.structs.replace(
        candidate.block.header, transactions_root=transactions_root(refs), transactions_count=len(refs)
    )
    return Candidate(block_id(header), Block(header, b"".join(refs)), transactions, candidate.result)


def _forged(transaction: Transaction) -> Transaction:
    (key, signature), *_ = transaction.witness.signatures
    return assemble(transaction.body, [(key, signature[:-2] + bytes([signature[-2] ^ 1, signature[-1]]))])


Lie = Callable[[Cluster, NodeCore, Candidate], Candidate]
LIES: dict[str, Lie] = {
    "wrong receipts root": lambda _c, _n, made: _header(made, receipts_root=bytes(32)),
    "wrong changes root": lambda _c, _n, made: _header(made, changes_root=bytes(32)),
    "wrong history": lambda _c, _n, made: _header(made, history_root=bytes(32)),
    "another validator set next": lambda _c, _n, made: _header(made, next_validators_hash=bytes(32)),
    "an invented checkpoint": lambda _c, _n, made: _header(made, checkpoint_height=1, checkpoint_root=b"c" * 32),
    "a future protocol": lambda _c, _n, made: _header(made, version=2),
    "a time far ahead": lambda _c, _n, made: _header(made, time_ms=made.block.header.time_ms + 10**9),
    "a transaction twice": lambda c, n, made: _claiming(n, made, *[c.transfer(0, 1, 3)] * 2),
    "a double spend": lambda c, n, made: _claiming(n, made, c.transfer(0, 1, 3), c.transfer(0, 1, 4)),
    "an input that never was": lambda c, n, made: _claiming(n, made, c.transfer(0, 1, 3, bytes(36))),
    "a forged signature": lambda c, n, made: _claiming(n, made, _forged(c.transfer(1, 1, 3))),
    "an expired transaction": lambda c, n, made: _claiming(n, made, c.transfer(1, 1, 3, expiry=0)),
    "transactions and another's roots": lambda c, n, made: _claiming(n, made, c.transfer(1, 1, 3)),
}


RAW_LIES: dict[str, Lie] = {
    "another validator's name": lambda c, n, made: _header(
        made, proposer=next(m.validator.public for m in c.members if m.validator.public != n.key.public)
    ),
    "a stranger's name": lambda _c, _n, made: _header(made, proposer=SigningKey.generate().public),
    "a time in the past": lambda _c, _n, made: _header(made, time_ms=1),
    "another parent": lambda _c, _n, made: _header(made, parent=bytes(32)),
    "another height": lambda _c, _n, made: _header(made, height=2),
    "another chain": lambda _c, _n, made: _header(made, chain_id=bytes(32)),
    "another epoch": lambda _c, _n, made: _header(made, epoch=1),
    "refs that are not under the root": lambda _c, _n, made: Candidate(
        made.id, Block(made.block.header, bytes(64)), made.transactions, made.result
    ),
}
"""What the liar's own consensus would not propose: it is signed and sent around it."""


def make_raw_liar(cluster: Cluster, core: NodeCore, lie: Lie) -> list[bytes]:
    """Makes a node sign and send one lie, and then say nothing more as a proposer."""
    told: list[bytes] = []
    build = core.chain.build

    async def lying(*arguments: object, **options: object) -> Candidate:
        changed = lie(cluster, core, await build(*arguments, **options))
        signed = proposal_digest(core.chain.chain_id, 0, 1, 0, changed.id, justification=NOTHING)
        message = Proposal(1, 0, 0, core.key.public, core.key.sign(signed), changed.block, NOTHING)
        told.append(changed.id)
        core.gossip.publish(Topic.VOTES, encode_message(message))
        await asyncio.Event().wait()
        raise AssertionError

    core.chain.build = lying
    return told


def make_liar(cluster: Cluster, core: NodeCore, lie: Lie) -> list[bytes]:
    """Makes a node propose lies; the ids of its blocks are collected."""
    told: list[bytes] = []
    build = core.chain.build

    async def lying(*arguments: object, **options: object) -> Candidate:
        changed = lie(cluster, core, await build(*arguments, **options))
        told.append(changed.id)
        return core.chain._keep(changed)  # so that the liar votes for it

    core.chain.build = lying
    return told


@pytest.mark.parametrize("name", [*LIES, *RAW_LIES])
async def test_honest_validators_decide_another_block_when_the_proposer_lies(name: str) -> None:
    async with running(Cluster(**FAST)) as cluster:
        liar = proposer_of(cluster, 1)
        if name in LIES:
            told = make_liar(cluster, cluster.core(liar), LIES[name])
        else:
            told = make_raw_liar(cluster, cluster.core(liar), RAW_LIES[name])
        honest = [index for index in range(4) if index != liar]
        transaction = cluster.transfer(2, 3, 250)
        outcome = await cluster.core(honest[0]).gateway.submit_and_wait(transaction, 20)
        assert (outcome.status, outcome.height) == ("committed", 1)
        await cluster.wait_height(1, honest)
        assert told, "the liar never proposed"
        for index in honest:
            store = cluster.core(index).chain.store
            assert store.tip.block_id not in told
            assert store.certificate(1).round >= 1
        assert len({state_root(cluster.core(index).chain.store.state) for index in honest}) == 1


async def test_chain_goes_on_for_many_heights_when_one_of_four_always_lies() -> None:
    async with running(Cluster(**FAST)) as cluster:
        liar = proposer_of(cluster, 2)
        told = make_liar(cluster, cluster.core(liar), LIES["wrong changes root"])
        via = next(index for index in range(4) if index != liar)
        for number in range(6):
            outcome = await cluster.core(via).gateway.submit_and_wait(
                cluster.transfer(via, via, 5, cluster.genesis_output(via, number)), 20
            )
            assert outcome.status == "committed"
        await cluster.wait_height(outcome.height)
        assert told
        heights = range(1, outcome.height + 1)
        proposers = [cluster.core(via).chain.store.header(height).proposer for height in heights]
        assert cluster.members[liar].validator.public not in proposers


async def test_block_is_decided_when_its_proposer_withholds_the_transactions() -> None:
    async with running(Cluster(**FAST)) as cluster:
        liar = proposer_of(cluster, 1)
        core = cluster.core(liar)
        secret = cluster.transfer(liar, liar, 9)

        async def withhold(*arguments: object, **options: object) -> Candidate:
            execution = await build([secret], *arguments[1:], **options)
            core.fetcher._fetched.clear()
            return execution

        build = core.chain.build
        core.chain.build = withhold
        via = next(index for index in range(4) if index != liar)
        outcome = await cluster.core(via).gateway.submit_and_wait(cluster.transfer(via, via, 5), 20)
        assert (outcome.status, outcome.height) == ("committed", 1)
        assert cluster.core(via).chain.store.certificate(1).round >= 1
        assert cluster.core(via).chain.store.find_transaction(secret.tx_id) is None


async def test_node_stops_when_a_quorum_decided_what_its_own_execution_refuses(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with running(Cluster(**FAST)) as cluster:
        broken = next(index for index in range(4) if index != proposer_of(cluster, 1))
        rules = cluster.core(broken).chain.rules
        finish = BlockExecution.finish

        def differently(self: BlockExecution) -> object:
            if self._rules is rules:
                self.overlay.put(b"x", b"a bit that flipped")
            return finish(self)

        monkeypatch.setattr(BlockExecution, "finish", differently)
        via = next(index for index in range(4) if index not in (broken, proposer_of(cluster, 1)))
        outcome = await cluster.core(via).gateway.submit_and_wait(cluster.transfer(via, via, 5), 20)
        assert outcome.status == "committed"
        node = cluster.nodes.pop(broken)
        with pytest.raises(BaseExceptionGroup) as caught:
            await node.runner
        assert "refuses" in str(caught.value.exceptions[0])
        assert node.core.chain.tip.height == 0
