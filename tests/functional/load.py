"""Networks of real daemons under load: signs transfers, remembers what was acknowledged, compares the nodes afterwards.

Nodes are compared over RPC only, as a user would.
"""

from __future__ import annotations

import asyncio
import json
import random
import secrets
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic
from typing import Any

from ledger.errors import InvalidInput, Overloaded, RpcUnavailable
from ledger.genesis import Parameters
from ledger.keys import SigningKey, key_text
from ledger.transaction import Body, Output, Transaction, build, outpoint
from node.client import Client, retry_after_s
from node.client.endpoint import Endpoint
from node.client.http import NodeHttp
from node.network import AssetPlan, NetworkPlan, create_network
from node.network_file import Network, NetworkNode

ASSET = "CNY"
AMOUNT = 1_000_000
OUTPUTS_PER_PURSE = 8
PURSES = 8
SUPPLY = AMOUNT * OUTPUTS_PER_PURSE * PURSES
PATIENCE_S = 90.0
"""How long a state that must come is waited for: no promise of speed, a machine may be busy with other things."""
ACKNOWLEDGE_S = 60.0
"""A transfer that no node acknowledges for so long fails the test."""
ATTEMPT_S = 5.0
BATCH = 100
POLL_S = 0.05


def make_network(directory: Path, *, validators: int = 4, **changes: Any) -> Network:
    """A network whose genesis gives its organisations, in turn, the outputs of ``PURSES`` purses."""
    organisations = tuple(f"Member {number}" for number in range(validators + changes.get("observers", 0)))
    supply = tuple(
        (AMOUNT, f"key({{{organisations[purse % validators]}}})")
        for purse in range(PURSES)
        for _ in range(OUTPUTS_PER_PURSE)
    )
    plan: dict[str, Any] = {
        "directory": directory,
        "validators": validators,
        "organisations": organisations,
        "assets": (AssetPlan(ASSET, supply),),
        "services": {},
        "parameters": Parameters(empty_block_ms=3_000, max_timeout_ms=8_000),
    }
    return create_network(NetworkPlan(**{**plan, **changes}))


def add_config(node: NetworkNode, text: str) -> None:
    """Appends sections to a node's configuration."""
    file = node.home / "config.toml"
    file.write_text(file.read_text(encoding="utf-8") + "\n" + text, encoding="utf-8")


@dataclass
class Purse:
    """A member's key and the outputs that it may spend."""

    key: SigningKey
    chain_id: bytes
    sink: str
    expiry: int
    outputs: deque[tuple[bytes, int]]

    @property
    def lock(self) -> str:
        return f"key({key_text(self.key.public)})"

    def transfer(self, *, expiry: int | None = None, memo: bytes = b"") -> Transaction:
        """Spends the next output: 1 to the sink, the change stays; ``give_change`` makes it spendable."""
        source, amount = self.outputs.popleft()
        body = Body(
            1,
            self.chain_id,
            self.key.public,
            self.expiry if expiry is None else expiry,
            secrets.token_bytes(16),
            (source,),
            (Output(ASSET, 1, self.sink), Output(ASSET, amount - 1, self.lock)),
            (),
            (),
            memo,
        )
        return build(body, [self.key])

    def give_change(self, transaction: Transaction) -> None:
        self.outputs.append((outpoint(transaction.tx_id, 1), transaction.body.outputs[1].amount))


def purses_of(network: Network, *, expiry: int = 9_000) -> list[Purse]:
    """The purses that ``make_network`` filled."""
    genesis = network.genesis()
    keys = [node.keys().member for node in network.nodes if node.validates]
    sink = f"key({key_text(SigningKey.generate().public)})"
    return [
        Purse(
            keys[number % len(keys)],
            network.chain_id,
            sink,
            expiry,
            deque(
                (outpoint(genesis.hash, number * OUTPUTS_PER_PURSE + output), AMOUNT)
                for output in range(OUTPUTS_PER_PURSE)
            ),
        )
        for number in range(PURSES)
    ]


@dataclass
class Load:
    """Submitters, one a purse, each with one transfer under way: handed to node after node until one says committed.

    Attributes:
        acknowledged: (height, index) as told by the node that acknowledged, by id.
    """

    network: Network
    seed: int
    purses: list[Purse] = field(default_factory=list)
    at: Sequence[str] = ()
    acknowledged: dict[bytes, tuple[int, int]] = field(default_factory=dict)
    _stopping: bool = False
    _progress: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        self.purses = self.purses or purses_of(self.network)
        self.at = self.at or [node.name for node in self.network.nodes]

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Load]:
        """Submits until the block ends, then waits until everything under way is acknowledged."""
        self._stopping = False
        async with asyncio.TaskGroup() as group:
            for number in range(len(self.purses)):
                group.create_task(self._submitter(number))
            try:
                yield self
            finally:
                self._stopping = True

    async def wait_more(self, count: int, timeout_s: float = ACKNOWLEDGE_S) -> None:
        """Until ``count`` more transfers are acknowledged."""
        wanted = len(self.acknowledged) + count
        async with asyncio.timeout(timeout_s):
            while len(self.acknowledged) < wanted:
                self._progress.clear()
                await self._progress.wait()

    async def _submitter(self, number: int) -> None:
        purse, order = self.purses[number], random.Random(self.seed * 1_000 + number)
        clients = {name: Client(self.network.node(name).socket) for name in self.at}
        try:
            while not self._stopping:
                transaction = purse.transfer()
                await self._acknowledge(transaction, clients, order)
                purse.give_change(transaction)
        finally:
            for client in clients.values():
                await client.close()

    async def _acknowledge(self, transaction: Transaction, clients: dict[str, Client], order: random.Random) -> None:
        deadline, history = monotonic() + ACKNOWLEDGE_S, deque[str](maxlen=8)
        while True:
            name = order.choice(list(clients))
            try:
                async with asyncio.timeout(ATTEMPT_S):
                    outcome = await clients[name].submit_and_wait(transaction, ATTEMPT_S / 2)
                if outcome.status == "committed":
                    self.acknowledged[transaction.tx_id] = (outcome.height, outcome.index)
                    self._progress.set()
                    return
                history.append(f"{name}: {outcome.status} {outcome.code}")
                assert outcome.status in ("unknown", "pending"), history
            except Overloaded as error:
                await asyncio.sleep(retry_after_s(error))
            except InvalidInput as error:
                # A node that is behind does not know the output yet; any other refusal is an error.
                if error.code != "input_missing":
                    raise
                history.append(f"{name}: {error.code}")
                await asyncio.sleep(POLL_S)
            except (RpcUnavailable, TimeoutError) as error:
                history.append(f"{name}: {type(error).__name__}")
                await asyncio.sleep(POLL_S)
            assert monotonic() < deadline, f"{transaction.tx_id.hex()} is not acknowledged: {list(history)}"


async def until(condition: Callable[[], Awaitable[Any]], what: str, timeout_s: float = PATIENCE_S) -> Any:
    """The first true value that ``condition`` gives; a node that is away for a moment counts as false."""
    deadline = monotonic() + timeout_s
    while True:
        try:
            if found := await condition():
                return found
        except RpcUnavailable:
            pass
        assert monotonic() < deadline, f"not within {timeout_s} s: {what}"
        await asyncio.sleep(POLL_S)


async def ask(node: NetworkNode, method: str, params: Iterable[dict[str, Any]]) -> list[Any]:
    """Results of one method for many parameters, asked for in batches."""
    calls = [{"jsonrpc": "2.0", "id": number, "method": method, "params": param} for number, param in enumerate(params)]
    found: dict[int, Any] = {}
    async with NodeHttp(Endpoint(str(node.socket))) as http:
        for start in range(0, len(calls), BATCH):
            _, body, _ = await http.post("/", json.dumps(calls[start : start + BATCH]).encode(), "application/json")
            for answer in json.loads(body):
                assert "result" in answer, f"{node.name}: {method}: {answer['error']}"
                found[answer["id"]] = answer["result"]
    return [found[number] for number in range(len(calls))]


async def height_of(node: NetworkNode) -> int:
    async with Client(node.socket) as client:
        return (await client.info()).height


async def wait_height(nodes: Iterable[NetworkNode], height: int, timeout_s: float = PATIENCE_S) -> None:
    for node in nodes:

        async def reached(node: NetworkNode = node) -> bool:
            return await height_of(node) >= height

        await until(reached, f"{node.name} at height {height}", timeout_s)


async def chain_goes_on(nodes: Sequence[NetworkNode], blocks: int = 1, timeout_s: float = PATIENCE_S) -> None:
    """``blocks`` more than the highest node has now, on every node."""
    await wait_height(nodes, max([await height_of(node) for node in nodes]) + blocks, timeout_s)


async def assert_agreement(
    load: Load, nodes: Sequence[NetworkNode] | None = None, timeout_s: float = PATIENCE_S
) -> None:
    """Everything acknowledged is on every node, in the same place; chains and states are equal; no money is lost."""
    nodes = nodes or load.network.nodes
    needed = max((height for height, _ in load.acknowledged.values()), default=0)
    await wait_height(nodes, needed, timeout_s)
    tip = min([await height_of(node) for node in nodes])
    names = list(load.acknowledged)
    chains = []
    for node in nodes:
        outcomes = await ask(node, "tx.outcome", ({"tx_id": name.hex()} for name in names))
        for name, outcome in zip(names, outcomes, strict=True):
            where = (outcome["status"], outcome["height"], outcome["index"])
            assert where == ("committed", *load.acknowledged[name]), f"{node.name}: {name.hex()} is {where}"
        blocks = await ask(node, "block.get", ({"height": height} for height in range(tip + 1)))
        chains.append([(block["block_id"], block["transactions"], block["receipts"]) for block in blocks])
        for (height, index), name in ((load.acknowledged[name], name) for name in names):
            assert blocks[height]["transactions"][index] == name.hex()
    assert all(chain == chains[0] for chain in chains), "the nodes have different blocks"
    listed = [name for _, transactions, _ in chains[0] for name in transactions]
    assert len(listed) == len(set(listed)), "a transaction is in the chain twice"
    await assert_equal_states(nodes, timeout_s)
    for node in nodes:
        assert await money(node, load.purses) == SUPPLY, f"{node.name}: the currency is not conserved"


async def assert_equal_states(nodes: Sequence[NetworkNode], timeout_s: float = PATIENCE_S) -> None:
    """Equal hashes of the whole state, at one height on all nodes."""

    async def hashes() -> list[dict[str, Any]] | None:
        found = [(await ask(node, "chain.state_hash", [{}]))[0] for node in nodes]
        return found if len({answer["height"] for answer in found}) == 1 else None

    found = await until(hashes, "all nodes at one height", timeout_s)
    assert len({answer["hash"] for answer in found}) == 1, found


async def money(node: NetworkNode, purses: Sequence[Purse]) -> int:
    """Sum of all unspent outputs that the transfers can have made, as of one height."""

    async def at_one_height() -> int | None:
        before, total = await height_of(node), 0
        async with Client(node.socket) as client:
            for lock in {purse.lock for purse in purses} | {purses[0].sink}:
                page = await client.unspent(lock, limit=1_000)
                while page:
                    total += sum(item.output.amount for item in page)
                    page = await client.unspent(lock, after=page[-1].outpoint, limit=1_000)
        return total if await height_of(node) == before else None

    found: int = await until(at_one_height, f"a quiet moment of {node.name}")
    return found
