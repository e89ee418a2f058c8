"""A client process of the benchmark: signs one-input-two-output transfers and submits them over several connections.

Runs as ``python -m scripts.benchmark.load`` with its orders as one JSON line on standard input; answers with one.
"""

from __future__ import annotations

import asyncio
import json
import secrets
import sys
import time
from collections import deque
from typing import Any

import uvloop

from ledger.encoding import encode
from ledger.keys import SigningKey, key_text
from ledger.transaction import Body, Output, Witness, body_id, outpoint
from node.client import Client

ASSET = "CNY"
FAN_OUT = 250


class Wallet:
    """One key and its spendable outputs."""

    def __init__(self, seed: str, chain_id: str, source: str, amount: int) -> None:
        self.key = SigningKey(bytes.fromhex(seed))
        self.chain_id = bytes.fromhex(chain_id)
        self.lock = f"key({key_text(self.key.public)})"
        self.sink = f"key({key_text(SigningKey.generate().public)})"
        self.source = (bytes.fromhex(source), amount)
        self.spendable: deque[tuple[bytes, int]] = deque()
        self.expiry = 0

    def sign(self, inputs: tuple[bytes, ...], outputs: tuple[Output, ...]) -> tuple[bytes, bytes]:
        """Id and wire bytes of a signed transfer."""
        body = encode(
            Body(1, self.chain_id, self.key.public, self.expiry, secrets.token_bytes(16), inputs, outputs, (), (), b"")
        )
        tx_id = body_id(self.chain_id, body)
        witness = encode(Witness(((self.key.public, self.key.sign(tx_id)),), ()))
        return tx_id, encode((body, witness))

    def fan_out(self, count: int) -> bytes:
        """Splits the source into ``count`` outputs and keeps the change as the next source."""
        name, amount = self.source
        each = 10_000
        outputs = [Output(ASSET, each, self.lock) for _ in range(count)]
        outputs.append(Output(ASSET, amount - each * count, self.lock))
        tx_id, wire = self.sign((name,), tuple(outputs))
        self.spendable.extend((outpoint(tx_id, index), each) for index in range(count))
        self.source = (outpoint(tx_id, count), amount - each * count)
        return wire

    def transfer(self) -> tuple[bytes, bytes, int]:
        """(change outpoint, wire, change) of a transfer of 1 to the sink."""
        name, amount = self.spendable.popleft()
        outputs = (Output(ASSET, 1, self.sink), Output(ASSET, amount - 1, self.lock))
        tx_id, wire = self.sign((name,), outputs)
        return outpoint(tx_id, 1), wire, amount - 1


class Connection:
    """One connection with its own wallet."""

    def __init__(self, orders: dict[str, Any], wallet: dict[str, Any]) -> None:
        self.client = Client(wallet["socket"])
        self.wallet = Wallet(wallet["seed"], orders["chain_id"], wallet["source"], wallet["amount"])
        self.committed = 0
        self.failed: dict[str, int] = {}
        self.latencies: list[float] = []
        self.measuring = False

    async def prepare(self, outputs: int) -> None:
        """Makes the wallet's outputs."""
        info = await self.client.info()
        self.wallet.expiry = info.height + 5_000
        for _ in range(-(-outputs // FAN_OUT)):
            (answer,) = await self.client.submit_many([self.wallet.fan_out(FAN_OUT)], wait_ms=20_000)
            if answer.status != "committed":
                raise RuntimeError(f"fan-out failed: {answer.status} {answer.code}")

    async def send(self, count: int) -> None:
        """Submits ``count`` transfers at once and waits until all are committed."""
        made = [self.wallet.transfer() for _ in range(count)]
        started = time.perf_counter()
        answers = await self.client.submit_many([wire for _, wire, _ in made], wait_ms=30_000)
        elapsed = time.perf_counter() - started
        for (change, _, amount), answer in zip(made, answers, strict=True):
            if answer.status == "committed":
                self.wallet.spendable.append((change, amount))
                if self.measuring:
                    self.committed += 1
                    self.latencies.append(elapsed)
            else:
                name = f"{answer.status}/{answer.code}"
                self.failed[name] = self.failed.get(name, 0) + 1

    async def saturate(self, until: float, batch: int, depth: int) -> None:
        """Keeps ``depth`` batches of ``batch`` in flight until the clock says ``until``."""

        async def loop() -> None:
            while time.perf_counter() < until and len(self.wallet.spendable) >= batch:
                await self.send(batch)

        await asyncio.gather(*(loop() for _ in range(depth)))

    async def pace(self, until: float, rate: float) -> None:
        """One transfer at a time, ``rate`` a second, whether earlier ones are committed or not."""
        tasks: set[asyncio.Task[None]] = set()
        due = time.perf_counter()
        while due < until:
            await asyncio.sleep(max(0.0, due - time.perf_counter()))
            task = asyncio.create_task(self.send(1))
            tasks.add(task)
            task.add_done_callback(tasks.discard)
            due += 1 / rate
        if tasks:
            await asyncio.wait(tasks)


async def run(orders: dict[str, Any]) -> dict[str, Any]:
    """Performs the orders: prepare, then ``warm_s`` unmeasured and ``seconds`` measured."""
    connections = [Connection(orders, wallet) for wallet in orders["wallets"]]
    depth, batch = orders["depth"], orders["batch"]
    await asyncio.gather(*(c.prepare(max(FAN_OUT, 2 * depth * batch)) for c in connections))
    print(json.dumps({"ready": True}), flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.readline)
    start = time.perf_counter()
    until = start + orders["warm_s"] + orders["seconds"]

    def measure(on: bool) -> None:
        for connection in connections:
            connection.measuring = on

    loop = asyncio.get_running_loop()
    loop.call_at(loop.time() + orders["warm_s"], measure, True)
    loop.call_at(loop.time() + orders["warm_s"] + orders["seconds"], measure, False)
    if orders["rate"]:
        each = orders["rate"] / len(connections)
        await asyncio.gather(*(c.pace(until, each) for c in connections))
    else:
        await asyncio.gather(*(c.saturate(until, batch, depth) for c in connections))
    failed: dict[str, int] = {}
    for connection in connections:
        await connection.client.close()
        for name, count in connection.failed.items():
            failed[name] = failed.get(name, 0) + count
    return {
        "committed": sum(c.committed for c in connections),
        "latencies_ms": [round(s * 1000, 3) for c in connections for s in c.latencies],
        "failed": failed,
    }


def main() -> None:
    """Reads orders, works, answers."""
    answer = uvloop.run(run(json.loads(sys.stdin.readline())))
    print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
