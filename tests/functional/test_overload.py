"""A node that is full, told to stop, or left by its clients: what it has accepted is not lost."""

from __future__ import annotations

import asyncio
import json
import signal
from pathlib import Path
from time import monotonic

import pytest

from ledger.errors import Overloaded, RpcUnavailable
from ledger.transaction import Transaction
from node.client import Client
from node.devnet import Devnet
from node.network_file import NetworkNode
from node.process import ProcessRef
from tests.functional.conftest import Start
from tests.functional.load import (
    Load,
    add_config,
    assert_agreement,
    chain_goes_on,
    make_network,
    purses_of,
    until,
)

pytestmark = pytest.mark.functional

ROOM = 10
STOPS_WITHIN_S = 10.0


async def all_committed(load: Load, node: NetworkNode, transactions: list[Transaction]) -> None:
    """Waits for every one, and counts it as acknowledged."""
    async with Client(node.socket) as client:
        for transaction in transactions:
            outcome = await client.wait(transaction.tx_id, 30)
            assert outcome.status == "committed", f"{transaction.tx_id.hex()}: {outcome}"
            load.acknowledged[transaction.tx_id] = (outcome.height, outcome.index)


async def submit(client: Client, transaction: Transaction) -> Overloaded | None:
    """None when it was taken."""
    try:
        await client.submit(transaction)
    except Overloaded as error:
        return error
    return None


async def test_nothing_accepted_is_lost_when_the_mempool_is_full(tmp_path: Path, seed: int) -> None:
    network = make_network(tmp_path / "n")
    for node in network.nodes:
        add_config(node, f"[mempool]\nmax_transactions = {ROOM}\n")
    async with Devnet(network.directory) as devnet:
        await devnet.start()
        await devnet.wait_ready(peers=3)
        load = Load(network, seed)
        transactions = [purse.transfer() for purse in load.purses for _ in range(6)]
        # Two of four cannot decide anything: what comes in stays.
        for name in ("node2", "node3"):
            devnet.signal(name, signal.SIGSTOP)
        accepted, refused = [], []
        async with Client(network.nodes[0].socket) as client:
            for transaction in transactions:
                problem = await submit(client, transaction)
                (accepted if problem is None else refused).append(transaction)
                assert problem is None or (problem.code == "overloaded" and problem.data["retry_after_ms"] > 0)
            assert ROOM <= len(accepted) <= ROOM + 2 * len(load.purses)
            assert refused
            with pytest.raises(Overloaded):  # in bulk: nothing at all was taken
                await client.submit_many([transaction.wire for transaction in refused])
            await client.submit(accepted[-1])  # it has that one
            assert (await client.status())["mempool"]["transactions"] == ROOM
        for name in ("node2", "node3"):
            devnet.signal(name, signal.SIGCONT)
        await all_committed(load, network.nodes[0], accepted)
        async with Client(network.nodes[0].socket, overload_retries=100) as client:
            for transaction in refused:
                await client.submit(transaction)
        await all_committed(load, network.nodes[0], refused)
        await assert_agreement(load)


async def test_a_node_stops_in_time_and_loses_nothing_when_it_is_told_to_under_load(start: Start, seed: int) -> None:
    async with start() as devnet:
        load = Load(devnet.network, seed)
        async with load.running():
            for name in ("node1", "node3"):
                await load.wait_more(20)
                pid = devnet.pid(name)
                assert pid is not None
                process = ProcessRef.of(pid)
                assert process is not None
                told = monotonic()
                process.send(signal.SIGTERM)
                assert await process.wait_ended(STOPS_WITHIN_S), f"{name} does not stop"
                print(f"{name} stopped after {monotonic() - told:.2f} s")
                assert '"event": "node_stopped"' in devnet.log_tail(name)
                await devnet.stop([name])
                await devnet.start_one(name)
            await load.wait_more(20)
        await devnet.wait_ready(peers=3)
        await assert_agreement(load)


async def raw_request(node: NetworkNode, method: str, params: dict, *, cut: int | None = None) -> None:
    """Sends a request, or only its first bytes, and goes away without reading the answer."""
    body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}).encode()
    head = f"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body)}\r\n\r\n".encode()
    _, writer = await asyncio.open_unix_connection(str(node.socket))
    writer.write((head + body)[:cut])
    await writer.drain()
    writer.close()
    await writer.wait_closed()


async def test_a_node_goes_on_when_clients_leave_in_the_middle_of_a_request(start: Start, seed: int) -> None:
    async with start(validators=1) as devnet:
        node = devnet.network.nodes[0]
        load = Load(devnet.network, seed, purses=purses_of(devnet.network))
        left = [purse.transfer() for purse in load.purses]
        for transaction in left:
            params = {"transaction": transaction.wire.hex(), "timeout_ms": 30_000}
            await raw_request(node, "tx.submit_and_wait", params)
            await raw_request(node, "tx.submit_and_wait", params, cut=200)
            await raw_request(node, "events.next", {"from_height": 10**6, "timeout_ms": 30_000})
            await raw_request(node, "tx.wait", {"tx_id": "00" * 32, "timeout_ms": 30_000})
        async with Client(node.socket) as client:
            # What was sent whole was taken whole, whether or not its sender waits; what was cut was never there.
            found = [outcome for t in left if (outcome := await client.wait(t.tx_id, 2)).status == "committed"]
            print(f"{len(found)} of {len(left)} were committed")
            for transaction in left:
                outcome = await client.submit_and_wait(transaction)
                assert outcome.status == "committed"
                load.acknowledged[transaction.tx_id] = (outcome.height, outcome.index)
        await assert_agreement(load)


async def test_a_node_goes_on_and_stops_cleanly_when_its_socket_is_removed(start: Start, seed: int) -> None:
    async with start() as devnet:
        victim = devnet.network.nodes[1]
        load = Load(devnet.network, seed, at=["node0", "node2", "node3"])
        async with load.running():
            await load.wait_more(10)
            victim.socket.unlink()
            async with Client(victim.socket) as client:
                with pytest.raises(RpcUnavailable):
                    await client.info()
            await load.wait_more(20)
            assert devnet.pid(victim.name) is not None
            # The node does not serve any more, but still votes: without another it is needed.
            await devnet.stop(["node3"])
            await chain_goes_on([devnet.network.nodes[0], devnet.network.nodes[2]], 2)
            await devnet.start_one("node3")
            told = monotonic()
            await devnet.stop([victim.name])
            assert monotonic() - told < STOPS_WITHIN_S
            await devnet.start_one(victim.name)
        await devnet.wait_ready(peers=3)
        await assert_agreement(load)


async def test_a_socket_left_behind_is_replaced_when_its_node_was_killed(start: Start) -> None:
    async with start(validators=1) as devnet:
        node = devnet.network.nodes[0]
        await devnet.kill(node.name)
        assert node.socket.exists()
        await devnet.start_one(node.name)

        async def answers() -> bool:
            async with Client(node.socket) as client:
                return bool((await client.status())["ready"])

        await until(answers, "the node answers on a new socket")
