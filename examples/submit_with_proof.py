"""Pays, waits for finality, and keeps a proof that needs no node any more.

    python examples/submit_with_proof.py devnet/node0/run/rpc.sock --genesis devnet/genesis.json \
        --key devnet/node0/keys/member.key --to "account(Insurer)" --amount 100 -o paid.json

With a genesis file the client believes no node: ``committed`` means that the block's certificate, the transaction's and
the receipt's inclusion were verified here.
"""

from __future__ import annotations

import argparse
import asyncio
from pathlib import Path

from tidegate import (
    Client,
    Genesis,
    NotFound,
    Output,
    SigningKey,
    build,
    fetch_proof,
    key_text,
    parse_genesis,
    read_key,
)


async def pay(client: Client, key: SigningKey, to: str, asset: str, amount: int) -> bytes:
    """Id of a committed transaction that moves ``amount`` minor units of ``asset`` under the lock ``to``."""
    own = f"key({key_text(key.public)})"
    purse = next((item for item in await client.unspent(own, asset=asset) if item.output.amount >= amount), None)
    if purse is None:
        raise NotFound(f"{own} has no output of {amount} {asset}")
    outputs = [Output(asset, amount, to)]
    if purse.output.amount > amount:
        outputs.append(Output(asset, purse.output.amount - amount, own))
    # The node encodes and checks; the client compares every byte with its own before anything is signed.
    body = await client.prepare(key.public, inputs=[purse.outpoint], outputs=outputs)
    outcome = await client.submit_and_wait(build(body, [key]))
    if outcome.status != "committed":
        raise SystemExit(f"{outcome.status}: {outcome.code or 'not known yet, ask again'}")
    print(f"committed in block {outcome.height}: {outcome.tx_id.hex()}")
    return outcome.tx_id


async def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("node", nargs="+", help="socket or URL of a node; several are asked in turn")
    parser.add_argument("--genesis", type=Path, required=True)
    parser.add_argument("--key", type=Path, required=True)
    parser.add_argument("--to", required=True, help="lock text")
    parser.add_argument("--asset", default="CNY")
    parser.add_argument("--amount", type=int, required=True, help="minor units")
    parser.add_argument("-o", "--output", type=Path, required=True)
    given = parser.parse_args()
    genesis: Genesis = parse_genesis(given.genesis.read_bytes())
    key = SigningKey(read_key(given.key, "member"))
    async with Client(given.node, genesis=genesis) as client:
        tx_id = await pay(client, key, given.to, given.asset, given.amount)
        proof = await fetch_proof(client, genesis, "transaction_proof", {"tx_id": tx_id.hex()})
    given.output.write_bytes(proof)
    print(f"proof in {given.output}")


if __name__ == "__main__":
    asyncio.run(main())
