"""Several nodes behind one client: away, behind, full, lying, withholding, on two sides of a fork."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ledger.errors import (
    InvalidInput,
    InvalidTransaction,
    LocalMisuse,
    NotFound,
    Overloaded,
    PeerMisbehaved,
    RpcUnavailable,
)
from ledger.transaction import Transaction
from node.client import Client
from node.light import ForkFound
from node.rpc.method import Method
from tests.node.client.conftest import Serve
from tests.node.client.stage import Door, Node
from tests.node.cluster import Cluster
from tests.node.test_light import forked


async def grown(blocks: int = 6) -> Node:
    node = Node(Cluster(4, checkpoint_interval=4))
    await node.grow(blocks)
    return node


async def doors(serve: Serve, node: Node, count: int) -> tuple[list[Door], list[Path]]:
    """Several sockets of one node: nodes of one chain, as far as a client can tell."""
    found = [Door(node.methods) for _ in range(count)]
    return found, [await serve(door) for door in found]


def client_of(node: Node, paths: Sequence[Path], **options: Any) -> Client:
    return Client(list(paths), genesis=node.genesis, **options)


async def test_the_next_node_answers_when_one_is_away(serve: Serve, tmp_path: Path):
    node = await grown()
    (first, second), paths = await doors(serve, node, 2)
    async with client_of(node, [tmp_path / "nobody", *paths]) as client:
        assert (await client.info()).height == 6
        assert second.calls == []
        first.down = True
        assert (await client.info()).height == 6
        assert second.calls
        second.down = True
        with pytest.raises(RpcUnavailable):
            await client.info()


async def test_the_node_that_answered_is_asked_first_when_one_was_away(serve: Serve, tmp_path: Path):
    node = await grown()
    (first, second), paths = await doors(serve, node, 2)
    async with client_of(node, paths) as client:
        first.down = True
        await client.info()
        asked = len(first.calls)
        await client.info()
        assert len(first.calls) == asked
        assert second.calls


async def test_a_node_is_not_asked_again_when_it_lied(serve: Serve):
    node = await grown()
    (liar, honest), paths = await doors(serve, node, 2)
    liar.lies["chain.info"] = lambda _, answer: {**answer, "block_id": "00" * 32}
    async with client_of(node, paths) as client:
        assert (await client.info()).block_id == node.chain.tip.block_id
        assert list(client.liars) == [str(paths[0])]
        assert client.liars[str(paths[0])].code == "claim_false"
        asked = len(liar.calls)
        honest.down = True
        with pytest.raises(RpcUnavailable):
            await client.info()
        assert len(liar.calls) == asked


async def test_the_lie_is_told_when_every_node_lies(serve: Serve):
    node = await grown()
    found, paths = await doors(serve, node, 2)
    for door in found:
        door.lies["chain.info"] = lambda _, answer: {**answer, "time_ms": 1}
    async with client_of(node, paths) as client:
        with pytest.raises(PeerMisbehaved):
            await client.info()
        assert len(client.liars) == 2
        for door in found:
            door.lies.clear()
        assert (await client.info()).height == 6


async def test_finality_is_proved_elsewhere_when_the_first_node_lies_about_it(serve: Serve):
    node = await grown()
    (liar, _), paths = await doors(serve, node, 2)
    liar.lies["tx.submit_and_wait"] = lambda _, answer: {**answer, "code": "ok", "height": 3}
    async with node.working(), client_of(node, paths) as client:
        outcome = await client.submit_and_wait(node.pay())
        assert (outcome.status, outcome.height) == ("committed", node.chain.tip.height)
        assert client.liars[str(paths[0])].code == "outcome_false"


async def test_a_submission_reaches_a_block_when_the_first_node_withholds_it(serve: Serve):
    node = await grown()
    (silent, _), paths = await doors(serve, node, 2)
    payment = node.pay()
    silent.methods = taking_nothing(node, payment, "pending")
    async with node.working(), client_of(node, paths) as client:
        assert (await client.submit_and_wait(payment, 20)).status == "committed"
    assert "tx.submit_and_wait" in silent.calls


async def test_a_submission_is_handed_in_elsewhere_when_a_node_dies_or_is_full(serve: Serve):
    node = await grown()
    (first, second), paths = await doors(serve, node, 2)
    first.faults["tx.submit_and_wait"] = [Overloaded("full", retry_after_ms=10)]
    first.faults["tx.submit"] = [Overloaded("full", retry_after_ms=10)]
    async with node.working(), client_of(node, paths) as client:
        assert (await client.submit_and_wait(node.pay(0))).status == "committed"
        payment = node.pay(1)
        assert await client.submit(payment) == payment.tx_id
        first.down = True
        assert (await client.submit_and_wait(node.pay(2))).status == "committed"
    assert second.calls


async def test_overload_is_told_when_every_node_is_full(serve: Serve):
    node = await grown()
    found, paths = await doors(serve, node, 2)
    for door in found:
        door.faults["tx.submit_and_wait"] = [Overloaded("full", retry_after_ms=10) for _ in range(3)]
    async with client_of(node, paths) as client:
        with pytest.raises(Overloaded):
            await client.submit_and_wait(node.pay())


async def test_a_refusal_is_told_at_once_when_a_node_refuses(serve: Serve):
    node = await grown()
    (first, second), paths = await doors(serve, node, 2)
    first.faults["tx.submit_and_wait"] = [InvalidTransaction("spent", code="input_missing")]
    async with client_of(node, paths) as client:
        with pytest.raises(InvalidInput) as found:
            await client.submit_and_wait(node.pay())
        assert found.value.code == "input_missing"
        assert second.calls == []


def taking_nothing(node: Node, payment: Transaction, status: str) -> dict[str, Method]:
    """Methods of a node that says of every submission what ``status`` says, and drops it."""
    answer = {"status": status, "code": "", "height": 0, "index": 0, "events": [], "results": []}

    async def drop(params: Any) -> Any:
        del params
        return {"tx_id": payment.tx_id.hex(), **answer}

    return {**node.methods, "tx.submit_and_wait": replace(node.methods["tx.submit_and_wait"], call=drop)}


async def test_the_third_answer_says_expired_when_no_block_may_contain_it_any_more(serve: Serve):
    node = await grown()
    found, paths = await doors(serve, node, 2)
    payment = node.pay(expiry=8)
    for door in found:
        door.methods = taking_nothing(node, payment, "unknown")
    async with client_of(node, paths) as client:
        task = asyncio.create_task(client.submit_and_wait(payment, None))
        async with asyncio.timeout(60):
            while not all("tx.submit_and_wait" in door.calls for door in found):
                await asyncio.sleep(0.01)
        assert not task.done()
        await node.grow(3)
        outcome = await asyncio.wait_for(task, 60)
    assert (outcome.status, outcome.code) == ("unknown", "expired")


async def test_a_node_that_is_behind_is_passed_over_when_another_knows_more(serve: Serve, tmp_path: Path):
    cluster = Cluster(4, checkpoint_interval=4)
    ahead, behind = Node(cluster), Node(cluster)
    await ahead.grow(9)
    await behind.grow(4)
    paths, file = [await serve(ahead), await serve(behind)], tmp_path / "light"
    async with Client(paths, genesis=cluster.genesis, light_file=file) as client:
        await client.follow()
        assert behind.calls == []
    async with Client(paths[::-1], genesis=cluster.genesis, light_file=file) as client:
        await client.header(3)
        assert behind.calls == ["proof.header"]
        assert client.liars == {}
    async with Client(paths[1], genesis=cluster.genesis, light_file=file) as client:
        with pytest.raises(NotFound) as found:
            await client.header(3)
        assert found.value.code == "node_behind"


async def test_a_submission_waits_when_the_node_is_behind_what_is_known(serve: Serve, tmp_path: Path):
    """It cannot prove its block yet to somebody who knows more; that is no lie."""
    cluster = Cluster(4, checkpoint_interval=4)
    ahead, behind = Node(cluster), Node(cluster)
    await ahead.grow(9)
    payment = ahead.pay()
    await behind.gateway.submit(payment)
    await behind.grow(4)
    file = tmp_path / "light"
    async with Client(await serve(ahead), genesis=cluster.genesis, light_file=file) as client:
        await client.follow()
    async with Client(await serve(behind), genesis=cluster.genesis, light_file=file) as client:
        outcome = await client.submit_and_wait(payment, 0.3)
        assert outcome.status == "unknown"


async def test_a_fork_is_found_when_two_nodes_show_two_chains(serve: Serve):
    first, second = await forked(5, 3, 6)
    paths = [await serve(first), await serve(second)]
    async with Client(paths, genesis=first.genesis) as client:
        await client.follow()
        first.down = True
        with pytest.raises(ForkFound):
            await client.follow()
        first.down = False
        for work in (client.follow(), client.header(2), client.info()):
            with pytest.raises(ForkFound):
                await work


@pytest.mark.parametrize("ask", ["header", "outcome", "state", "block"])
async def test_a_fork_is_found_when_any_question_meets_it(serve: Serve, ask: str):
    first, second = await forked(5, 3, 12)
    payment = second.pay(2)
    await second.gateway.submit(payment)
    await second.grow(1)
    paths = [await serve(first), await serve(second)]
    async with Client(paths, genesis=first.genesis) as client:
        await client.follow()
        first.down = True
        work = {
            "header": lambda: client.header(6),
            "outcome": lambda: client.outcome(payment.tx_id),
            "state": lambda: client.proved_output(first.cluster.genesis_output(3)),
            "block": lambda: client.block(height=6),
        }[ask]
        with pytest.raises(ForkFound):
            await work()


async def test_a_service_is_not_asked_twice_when_the_connection_broke(serve: Serve, tmp_path: Path):
    node = await grown()
    (first, second), paths = await doors(serve, node, 2)
    async with client_of(node, [tmp_path / "nobody", *paths]) as client:
        first.down = True
        with pytest.raises(RpcUnavailable):
            await client.service("bookkeeping", b"")
        assert second.calls == []


def test_a_client_needs_a_node():
    with pytest.raises(LocalMisuse):
        Client([])
