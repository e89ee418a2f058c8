"""Measures proofs: on a devnet the time to proved finality and to plain finality, in process sizes and speeds."""

from __future__ import annotations

import asyncio
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from ledger.encoding import encode
from ledger.keys import SignatureCache, verify
from ledger.light_client import ClientState
from ledger.proofs import believe, client_of, verify_block, verify_change, verify_state_at, verify_transaction
from ledger.state import utxo_key
from ledger.transaction import Transaction, outpoint
from node.client import Client
from node.devnet import Devnet
from node.light import genesis_header
from node.proving import Prover
from tests.functional.load import make_network, purses_of
from tests.node.client.stage import Node
from tests.node.cluster import Cluster

SUBMISSIONS: Final = 60
SECONDS: Final = 0.5


async def finality(directory: Path) -> dict[str, float]:
    """Milliseconds to finality at one node of four, alternately plain and proved."""
    network = make_network(directory)
    found: dict[str, list[float]] = {"plain_ms": [], "proved_ms": []}
    async with Devnet(network.directory) as devnet:
        await devnet.start()
        await devnet.wait_ready(timeout_s=120)
        purses = purses_of(network)
        socket = network.nodes[0].socket
        async with Client(socket) as plain, Client(socket, genesis=network.genesis()) as proving:
            await proving.follow()
            for number in range(2 * SUBMISSIONS):
                client, name = ((plain, "plain_ms"), (proving, "proved_ms"))[number % 2]
                transaction = purses[number % len(purses)].transfer()
                begun = time.perf_counter()
                outcome = await client.submit_and_wait(transaction, 60)
                found[name].append((time.perf_counter() - begun) * 1000)
                assert outcome.status == "committed", outcome
                purses[number % len(purses)].give_change(transaction)
            proof_ms = []
            for _ in range(SUBMISSIONS):
                begun = time.perf_counter()
                await proving.proved_transaction(transaction.tx_id)
                proof_ms.append((time.perf_counter() - begun) * 1000)
    medians = {name: round(statistics.median(values), 2) for name, values in found.items()}
    return {**medians, "one_proof_more_ms": round(statistics.median(proof_ms), 2)}


def rate(work: Callable[[], object]) -> int:
    """How often a second."""
    count, begun = 0, time.perf_counter()
    while time.perf_counter() - begun < SECONDS:
        work()
        count += 1
    return round(count / (time.perf_counter() - begun))


async def sizes(validators: int, transactions: int) -> dict[str, Any]:
    """Bytes and speeds for a set of that size and a block of that many transactions."""
    node = Node(Cluster(validators, checkpoint_interval=4))
    await node.grow(9)
    held: list[Transaction] = [node.pay(number) for number in range(min(transactions, 10))]
    while len(held) < transactions:
        parent = held[-10]
        held.append(node.cluster.transfer(0, 0, 5, outpoint(parent.tx_id, 1), parent.body.outputs[1].amount))
    block = await node.commit(*held)
    prover, chain = Prover(node.chain), node.chain
    start: ClientState = client_of(node.genesis, genesis_header(node.genesis))
    tx_id = block.candidate.transactions[len(held) // 2].tx_id
    transaction, header = prover.transaction(tx_id), prover.header(chain.tip.height)
    state = prover.state(utxo_key(node.cluster.genesis_output(1)))
    change_proof = await prover.change(utxo_key(outpoint(tx_id, 0)))
    whole = prover.block(chain.tip.height)
    known = believe(start, header)
    older = prover.transaction(tx_id, chain.tip.height)
    cached = SignatureCache().verify
    found: dict[str, Any] = {"validators": validators, "block_transactions": len(block.candidate.transactions)}
    for name, proof, check in (
        ("header", header, lambda: believe(start, header, verify)),
        ("transaction", transaction, lambda: verify_transaction(transaction, start, verify)),
        ("transaction_of_a_known_header", older, lambda: verify_transaction(older, known, verify)),
        ("transaction_same_block_again", transaction, lambda: verify_transaction(transaction, start, cached)),
        ("state", state, lambda: verify_state_at(state, start, verify)),
        ("change", change_proof, lambda: verify_change(change_proof, start, verify)),
        ("block", whole, lambda: verify_block(whole, start, verify)),
    ):
        found[name] = {"bytes": len(encode(proof)), "verified_a_second": rate(check)}
    found["transaction_proofs_made_a_second"] = rate(lambda: prover.transaction(tx_id, chain.tip.height))
    found["genesis_header_ms"] = round(1000 / rate(lambda: genesis_header(node.genesis)), 2)
    return found


async def main() -> None:
    """Prints one JSON document."""
    found: dict[str, Any] = {"sizes": [await sizes(4, 1), await sizes(4, 1_000), await sizes(16, 1_000)]}
    with tempfile.TemporaryDirectory() as directory:
        found["finality"] = await finality(Path(directory) / "n")
    print(json.dumps(found, indent=2))


if __name__ == "__main__":
    asyncio.run(main())
