"""Three steps in three places: a connected machine prepares, one without a network signs, any machine submits.

    python examples/sign_elsewhere.py prepare devnet/node0/run/rpc.sock --genesis devnet/genesis.json \
        --sender ed25519:… --to "account(Insurer)" --amount 100 -o order.json
    python examples/sign_elsewhere.py sign order.json --genesis genesis.json --key member.key -o signed.json
    python examples/sign_elsewhere.py submit devnet/node0/run/rpc.sock --genesis devnet/genesis.json signed.json

The order is a document that people can read. The signer shows what it says, makes the canonical bytes from it itself,
and signs their digest: neither the node nor the machine that prepared is believed.
"""

from __future__ import annotations

import argparse
import asyncio
import json
from pathlib import Path

from tidegate import (
    Body,
    Client,
    Genesis,
    NotFound,
    Output,
    SigningKey,
    Transaction,
    assemble,
    from_document,
    key_text,
    parse_genesis,
    parse_key,
    read_key,
    sign_body,
    to_document,
)


async def prepare(given: argparse.Namespace, genesis: Genesis) -> None:
    """Writes what the transaction is to say."""
    sender = parse_key(given.sender)
    own = f"key({given.sender})"
    async with Client(given.node, genesis=genesis) as client:
        found = [item for item in await client.unspent(own, asset=given.asset) if item.output.amount >= given.amount]
        if not found:
            raise NotFound(f"{own} has no output of {given.amount} {given.asset}")
        change = found[0].output.amount - given.amount
        outputs = [Output(given.asset, given.amount, given.to)]
        outputs += [Output(given.asset, change, own)] if change else []
        body = await client.prepare(sender, inputs=[found[0].outpoint], outputs=outputs)
    given.output.write_text(json.dumps(to_document(body), indent=2))


def sign(given: argparse.Namespace, genesis: Genesis) -> None:
    """Reads, shows and signs; needs no network."""
    body = from_document(json.loads(given.order.read_text()), Body)
    key = SigningKey(read_key(given.key, "member"))
    if body.chain_id != genesis.chain_id:
        raise SystemExit("the order is for another chain")
    if key.public != body.sender:
        raise SystemExit(f"the order is for {key_text(body.sender)}")
    print(json.dumps({"outputs": to_document(body.outputs), "calls": to_document(body.calls)}, indent=2))
    transaction = assemble(body, sign_body(body, [key]))
    given.output.write_text(json.dumps({"transaction": transaction.wire.hex()}))


async def submit(given: argparse.Namespace, genesis: Genesis) -> None:
    """Hands it in."""
    transaction = Transaction.decode(bytes.fromhex(json.loads(given.signed.read_text())["transaction"]))
    async with Client(given.node, genesis=genesis) as client:
        outcome = await client.submit_and_wait(transaction)
    print(f"{outcome.status} {outcome.code} in block {outcome.height}")


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    steps = parser.add_subparsers(dest="step", required=True)
    first, second, third = steps.add_parser("prepare"), steps.add_parser("sign"), steps.add_parser("submit")
    first.add_argument("node")
    first.add_argument("--sender", required=True)
    first.add_argument("--to", required=True)
    first.add_argument("--asset", default="CNY")
    first.add_argument("--amount", type=int, required=True)
    second.add_argument("order", type=Path)
    second.add_argument("--key", type=Path, required=True)
    third.add_argument("node")
    third.add_argument("signed", type=Path)
    for step in (first, second, third):
        step.add_argument("--genesis", type=Path, required=True)
    for step in (first, second):
        step.add_argument("-o", "--output", type=Path, required=True)
    given = parser.parse_args()
    genesis = parse_genesis(given.genesis.read_bytes())
    if given.step == "sign":
        sign(given, genesis)
    else:
        asyncio.run(prepare(given, genesis) if given.step == "prepare" else submit(given, genesis))


if __name__ == "__main__":
    main()
