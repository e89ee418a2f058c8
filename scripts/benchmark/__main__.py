"""``scripts/bench``: starts a network, measures start, rest, low load and saturation, writes the report."""

from __future__ import annotations

import asyncio
import json
import secrets
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import click

from ledger.genesis import Parameters
from ledger.keys import SigningKey, verify
from ledger.transaction import outpoint
from node.client import Client
from node.devnet import Devnet
from node.layout import HomeLayout
from node.network import AssetPlan, NetworkPlan, create_network
from node.network_file import Network
from node.node_keys import read_member_key

PROCESSES = 2
CONNECTIONS = 4
"""Client connections in each process."""
WARM_S = 2.0
LOW_RATE = 50.0
SUPPLY = 10**12


def verify_us() -> float:
    """Microseconds of one Ed25519 verification here and now: the median of five rounds."""
    key = SigningKey.generate()
    message = secrets.token_bytes(32)
    signature = key.sign(message)
    rounds = []
    for _ in range(5):
        started = time.perf_counter()
        for _ in range(1_000):
            verify(key.public, message, signature)
        rounds.append((time.perf_counter() - started) * 1000)
    return sorted(rounds)[2]


def percentiles(values: list[float]) -> dict[str, float]:
    """p50, p95 and p99 in milliseconds."""
    ordered = sorted(values) or [0.0]
    return {f"p{p}": round(ordered[min(len(ordered) - 1, len(ordered) * p // 100)], 1) for p in (50, 95, 99)}


class Bench:
    """One run on one network."""

    def __init__(self, network: Network, devnet: Devnet) -> None:
        self.network = network
        self.devnet = devnet
        self.names = [node.name for node in network.nodes]

    async def statuses(self) -> list[dict[str, Any]]:
        """The status of every node."""
        found = []
        for node in self.network.nodes:
            async with Client(node.socket) as client:
                found.append(await client.status())
        return found

    async def starts(self) -> tuple[float, float]:
        """Seconds until all nodes answer after a common start, and until one does beside the others."""
        started = time.perf_counter()
        await self.devnet.start()
        await self.devnet.wait_ready()
        together = time.perf_counter() - started
        await self.devnet.wait_ready(peers=len(self.names) - 1)
        if len(self.names) == 1:
            return together, together
        await self.devnet.stop([self.names[-1]])
        started = time.perf_counter()
        await self.devnet.start_one(self.names[-1])
        alone = time.perf_counter() - started
        await self.devnet.wait_ready(peers=len(self.names) - 1)
        return together, alone

    def wallets(self, part: int) -> list[dict[str, Any]]:
        """Keys and first outputs of one client process, each connection to the next validator."""
        found = []
        for number in range(CONNECTIONS):
            index = part * CONNECTIONS + number
            node = self.network.nodes[index % len(self.network.nodes)]
            key = read_member_key(HomeLayout(node.home))
            found.append(
                {"socket": str(node.socket), "seed": key.seed.hex(), "source": self.sources[index], "amount": SUPPLY}
            )
        return found

    sources: list[str]
    chain_id: str

    async def load(self, part: int, *, seconds: float, rate: float, batch: int, depth: int) -> dict[str, Any]:
        """Runs the client processes of phase ``part`` and adds up what they saw, with the nodes' own figures."""
        processes = []
        for number in range(PROCESSES):
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                "scripts.benchmark.load",
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                limit=64 * 1024 * 1024,
            )
            orders = {
                "chain_id": self.chain_id,
                "wallets": self.wallets(part * PROCESSES + number),
                "seconds": seconds,
                "warm_s": WARM_S,
                "rate": rate / PROCESSES,
                "batch": batch,
                "depth": depth,
            }
            assert process.stdin is not None
            process.stdin.write(json.dumps(orders).encode() + b"\n")
            processes.append(process)
        for process in processes:
            assert process.stdout is not None
            assert process.stdin is not None
            json.loads(await process.stdout.readline())
        for process in processes:
            assert process.stdin is not None
            process.stdin.write(b"go\n")
        await asyncio.sleep(WARM_S)
        before = await self.statuses()
        await asyncio.sleep(seconds)
        after = await self.statuses()
        answers = []
        for process in processes:
            assert process.stdout is not None
            answers.append(json.loads(await process.stdout.readline()))
            await process.wait()
        return summarise(answers, before, after, seconds)


def summarise(
    answers: list[dict[str, Any]], before: list[dict[str, Any]], after: list[dict[str, Any]], seconds: float
) -> dict[str, Any]:
    """One phase in figures."""
    committed = sum(answer["committed"] for answer in answers)
    failed: dict[str, int] = {}
    for answer in answers:
        for name, count in answer["failed"].items():
            failed[name] = failed.get(name, 0) + count
    nodes = len(before)
    cpu_s = sum(b["cpu_s"] - a["cpu_s"] for a, b in zip(before, after, strict=True)) / nodes
    sent = sum(b["traffic"]["bytes_out"] - a["traffic"]["bytes_out"] for a, b in zip(before, after, strict=True))
    blocks = after[0]["chain"]["height"] - before[0]["chain"]["height"]
    return {
        "committed": committed,
        "failed": failed,
        "tx_per_second": round(committed / seconds, 1),
        "latency_ms": percentiles([ms for answer in answers for ms in answer["latencies_ms"]]),
        "cpu_us_per_tx_per_validator": round(cpu_s * 1e6 / max(1, committed), 1),
        "cpu_share": round(cpu_s / seconds, 3),
        "bytes_per_tx": round(sent / max(1, committed)),
        "blocks": blocks,
        "tx_per_block": round(committed / max(1, blocks), 1),
        "rss_mb": max(status["rss_mb"] for status in after),
    }


async def run(directory: Path, seconds: float, validators: int, rate: float) -> dict[str, Any]:
    """The whole measurement."""
    phases = 2
    organisations = tuple(f"Member {number}" for number in range(validators))
    count = phases * PROCESSES * CONNECTIONS
    supply = tuple((SUPPLY, f"key({{{organisations[index % validators]}}})") for index in range(count))
    plan = NetworkPlan(
        directory=directory,
        validators=validators,
        organisations=organisations,
        assets=(AssetPlan("CNY", supply),),
        services={},
        parameters=Parameters(),
        log_level="warning",
    )
    network = create_network(plan)
    verification = verify_us()
    async with Devnet(directory) as devnet:
        bench = Bench(network, devnet)
        together, alone = await bench.starts()
        async with Client(network.nodes[0].socket) as client:
            genesis = await client.genesis()
        bench.chain_id = genesis.chain_id.hex()
        bench.sources = [outpoint(genesis.hash, index).hex() for index in range(count)]
        rest = max(status["rss_mb"] for status in await bench.statuses())
        low = await bench.load(0, seconds=seconds, rate=LOW_RATE, batch=1, depth=50)
        high = await bench.load(1, seconds=seconds, rate=rate, batch=50, depth=4)
    return {
        "tx_per_second": high["tx_per_second"],
        "latency_ms": {"low": low["latency_ms"], "saturated": high["latency_ms"]},
        "cpu_us_per_tx_per_validator": high["cpu_us_per_tx_per_validator"],
        "ed25519_verify_us": round(verification, 1),
        "bytes_per_tx": high["bytes_per_tx"],
        "rss_mb": rest,
        "ready_s": round(alone, 2),
        "ready_together_s": round(together, 2),
        "validators": validators,
        "low": low,
        "saturated": high,
    }


@click.command()
@click.option("--json", "json_file", type=click.Path(path_type=Path), help="Write the report to this file.")
@click.option("--seconds", default=10.0, show_default=True, help="Measured seconds of each phase.")
@click.option("--validators", default=4, show_default=True, type=click.IntRange(1, 16))
@click.option("--rate", default=0.0, show_default=True, help="Offered transactions a second; 0 saturates.")
def main(json_file: Path | None, seconds: float, validators: int, rate: float) -> None:
    """Measures a fresh network of real daemons on this machine."""
    with tempfile.TemporaryDirectory(prefix="tidegate-bench-") as directory:
        report = asyncio.run(run(Path(directory) / "net", seconds, validators, rate))
    text = json.dumps(report, indent=2)
    click.echo(text)
    if json_file is not None:
        json_file.write_text(text + "\n", encoding="utf-8")
    failed = {**report["low"]["failed"], **report["saturated"]["failed"]}
    if failed or not report["saturated"]["committed"]:
        raise SystemExit(f"some transactions were not committed: {failed}")


if __name__ == "__main__":
    main()
