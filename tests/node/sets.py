"""A cluster whose validator set changes: what the admission authority, which governs it, decides; and what to check."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from collections.abc import AsyncIterator, Iterable

from contracts.governance.calls import Propose
from contracts.governance.parameters import SET_PARAMETERS, ParameterValue, SetParameters
from contracts.validators.calls import CHANGE_SET, ChangeSet
from ledger.certificate import verify_certificate
from ledger.encoding import Record, encode
from ledger.state_root import state_root
from ledger.transaction import Body, Call, Transaction, build
from ledger.types import Height
from node.chain import Chain
from node.host import recheck
from tests.node.cluster import Cluster

PATIENCE_S = 90.0


def proposal(cluster: Cluster, via: int, contract: str, action: str, data: Record) -> Transaction:
    """A transaction of member ``via`` that the governor signs as well, and that so takes effect at once."""
    key = cluster.members[via].member
    order = Propose(contract, action, encode(data), "")
    body = Body(
        version=1,
        chain_id=cluster.genesis.chain_id,
        sender=key.public,
        expiry_height=1_000,
        nonce=secrets.token_bytes(16),
        inputs=(),
        outputs=(),
        calls=(Call("governance", "propose", encode(order)),),
        attachments=(),
        memo=b"",
    )
    return build(body, [key, cluster.authority])


async def decide(cluster: Cluster, via: int, contract: str, action: str, data: Record) -> int:
    """Has it decided, at the node of ``via``; the height of the block that decides it."""
    transaction = proposal(cluster, via, contract, action, data)
    # What was decided before may have been asked of another node, and is checked against what this one has seen.
    await cluster.wait_height(max(node.height for node in cluster.nodes.values()), [via], PATIENCE_S)
    outcome = await cluster.core(via).gateway.submit_and_wait(transaction, PATIENCE_S)
    assert (outcome.status, outcome.code) == ("committed", "ok")
    return outcome.height


async def change(cluster: Cluster, via: int, *, add: Iterable[int] = (), remove: Iterable[int] = ()) -> int:
    """Members come into the set and leave it; the first height that they decide."""
    come, go = (tuple(cluster.members[index].validator.public for index in many) for many in (add, remove))
    return await decide(cluster, via, "validators", CHANGE_SET, ChangeSet(come, go)) + 2


async def set_parameters(cluster: Cluster, via: int, **values: int) -> int:
    """Other parameters; the first height that they hold for."""
    order = SetParameters(tuple(ParameterValue(name, value) for name, value in values.items()))
    return await decide(cluster, via, "governance", SET_PARAMETERS, order) + 2


def seated(cluster: Cluster, at: int, height: int) -> set[int]:
    """Who decides ``height`` as node ``at`` knows it, by number."""
    keys = cluster.core(at).chain.seats_at(height).validators.keys
    return {index for index, member in enumerate(cluster.members) if member.validator.public in keys}


def signers(chain: Chain, height: int) -> set[bytes]:
    """Whose COMMITs are in the certificate that this node has of ``height``."""
    return {key for key, _ in chain.store.certificate(Height(height)).seals}


def assert_certified(chain: Chain) -> None:
    """Every block is sealed by a quorum of the set of its own height, and each header names that set and the next."""
    for height in range(1, chain.tip.height + 1):
        seats, header = chain.seats_at(height), chain.store.header(Height(height))
        certificate = chain.store.certificate(Height(height))
        verify_certificate(certificate, chain.chain_id, seats.validators)
        assert certificate.epoch == header.epoch == seats.epoch.number
        assert header.validators_hash == seats.validators_hash
        assert header.next_validators_hash == chain.seats_at(height + 1).validators_hash
        assert header.proposer in seats.validators
    recheck(chain)


async def assert_one_chain(cluster: Cluster, height: int = 0) -> None:
    """All running nodes get to one height, ``height`` at least, with the same blocks and state."""
    await cluster.wait(
        lambda: (
            len({node.height for node in cluster.nodes.values()}) == 1
            and all(node.height >= height for node in cluster.nodes.values())
        ),
        PATIENCE_S,
    )
    chains = [node.core.chain for node in cluster.nodes.values()]
    top = chains[0].tip.height
    assert len({tuple(encode(chain.store.header(Height(h))) for h in range(top + 1)) for chain in chains}) == 1
    assert len({state_root(chain.store.state) for chain in chains}) == 1
    for chain in chains:
        assert_certified(chain)


@contextlib.asynccontextmanager
async def transfers(cluster: Cluster, *via: int) -> AsyncIterator[list[bytes]]:
    """Moves the coins of the members ``via``, at their own nodes, one after the other; ids of what was acknowledged."""
    acknowledged: list[bytes] = []
    stopping = asyncio.Event()

    async def move(index: int) -> None:
        for number in range(10):
            if stopping.is_set():
                return
            transaction = cluster.transfer(index, index, 7, cluster.genesis_output(index, number))
            outcome = await cluster.core(index).gateway.submit_and_wait(transaction, PATIENCE_S)
            assert outcome.status == "committed", outcome
            acknowledged.append(transaction.tx_id)

    async with asyncio.TaskGroup() as group:
        for index in via:
            group.create_task(move(index))
        yield acknowledged
        stopping.set()
