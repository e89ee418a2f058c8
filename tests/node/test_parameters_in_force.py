"""Blocks are held to the bounds of their own height: what governance decided, from the height on that it said."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from contracts.governance.parameters import SET_PARAMETERS, ParameterValue, SetParameters
from ledger.errors import InvalidBlock
from ledger.transaction import Transaction
from node.chain import Candidate, Chain
from tests.node.sets import proposal
from tests.node.test_chain import World


@pytest.fixture(autouse=True)
def _closed() -> Iterator[None]:
    yield
    while World.opened:
        World.opened.pop().close()


async def commit(world: World, chains: list[Chain], *transactions: Transaction) -> Candidate:
    """The first chain makes a block, the others check it, all commit it."""
    made = await world.build(chains[0], *transactions)
    for chain in chains[1:]:
        await chain.check(made.id, made.block, made.transactions)
    for chain in chains:
        candidate = chain.candidate(made.id)
        assert candidate is not None
        await chain.commit(candidate, world.certificate(made))
    return made


def limited(world: World, **values: int) -> Transaction:
    order = SetParameters(tuple(ParameterValue(name, value) for name, value in values.items()))
    return proposal(world.cluster, 0, "governance", SET_PARAMETERS, order)


async def test_block_is_made_and_checked_with_the_bounds_of_its_own_height() -> None:
    world = World()
    honest, liar = world.chain(), world.chain()
    payments = [world.pay(number) for number in range(6)]
    await commit(world, [honest, liar], limited(world, max_block_transactions=1))
    before, after = honest.parameters, honest.next_parameters
    assert (before.max_block_transactions, after.max_block_transactions) == (2_048, 1)
    # The next block is still made with the old bound, and accepted.
    assert len((await commit(world, [honest, liar], *payments[:2])).transactions) == 2
    assert honest.parameters == liar.parameters == after
    liar._parameters.now = before
    forged = await world.build(liar, *payments[2:4])
    assert len(forged.transactions) == 2
    with pytest.raises(InvalidBlock) as refused:
        await honest.check(forged.id, forged.block, forged.transactions)
    assert refused.value.code == "block_too_large"
    assert len((await commit(world, [honest], *payments[2:4])).transactions) == 1


async def test_bounds_may_be_widened_again() -> None:
    world = World(max_block_transactions=1)
    honest, slow = world.chain(), world.chain()
    payments = [world.pay(number) for number in range(4)]
    await commit(world, [honest, slow], limited(world, max_block_transactions=3))
    await commit(world, [honest, slow])
    # One that had missed the change would refuse what all others accept.
    slow._parameters.now = world.genesis.parameters
    made = await world.build(honest, *payments)
    assert len(made.transactions) == 3
    with pytest.raises(InvalidBlock):
        await slow.check(made.id, made.block, made.transactions)
    slow._parameters.now = honest.parameters
    await slow.check(made.id, made.block, made.transactions)


async def test_reopened_chain_has_the_parameters_of_its_tip() -> None:
    world = World()
    chain = world.chain()
    await commit(world, [chain], limited(world, package_ms=17))
    for expected in ((0, 17), (17, 17)):
        again = Chain(world.genesis, chain.store.store)
        assert (again.parameters.package_ms, again.next_parameters.package_ms) == expected
        assert (chain.parameters.package_ms, chain.next_parameters.package_ms) == expected
        await commit(world, [chain])
