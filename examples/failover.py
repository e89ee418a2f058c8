"""Submits through several nodes: one that is away, behind or lying is passed over, and nothing is done twice.

    python examples/failover.py devnet/node0/run/rpc.sock devnet/node1/run/rpc.sock \
        --genesis devnet/genesis.json --key devnet/node0/keys/member.key --payments 3

Kill a node meanwhile: the payments go on.
"""

from __future__ import annotations

import argparse
import asyncio
from pathlib import Path

from tidegate import Client, Output, SigningKey, build, key_text, read_key


async def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("node", nargs="+", help="sockets or URLs of the nodes, in the order of preference")
    parser.add_argument("--genesis", type=Path, required=True)
    parser.add_argument("--key", type=Path, required=True)
    parser.add_argument("--asset", default="CNY")
    parser.add_argument("--payments", type=int, default=3)
    given = parser.parse_args()
    key = SigningKey(read_key(given.key, "member"))
    own = f"key({key_text(key.public)})"
    async with Client(given.node, genesis=given.genesis) as client:
        for number in range(given.payments):
            purse = (await client.unspent(own, asset=given.asset, limit=1))[0]
            body = await client.prepare(
                key.public, inputs=[purse.outpoint], outputs=[Output(given.asset, purse.output.amount, own)]
            )
            # A transaction is named by what it says: handed in again elsewhere, it is still one. No deadline: it ends
            # committed, refused, or expired for certain.
            outcome = await client.submit_and_wait(build(body, [key]), timeout_s=None)
            print(f"payment {number + 1}: {outcome.status} in block {outcome.height}")
        print(f"nodes caught lying: {sorted(client.liars)}")


if __name__ == "__main__":
    asyncio.run(main())
