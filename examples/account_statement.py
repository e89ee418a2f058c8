"""Prints an account's credits and debits with the running balance, up to now.

python examples/account_statement.py devnet/node0/run/rpc.sock --lock "account(Insurer)"
"""

from __future__ import annotations

import argparse
import asyncio
from collections import Counter

from tidegate import Client


async def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("node", nargs="+", help="socket or URL of a node")
    parser.add_argument("--lock", required=True, help="lock text, such as account(NAME)")
    given = parser.parse_args()
    held: dict[str, tuple[str, int]] = {}
    balance: Counter[str] = Counter()
    async with Client(given.node) as client:
        async for note in client.subscribe("account", from_height=0, lock=given.lock, markers=True):
            if note.kind == "caught_up":
                break
            if note.kind != "item":
                continue
            entry = note.item
            if entry["direction"] == "credit":
                asset, amount = held[entry["outpoint"]] = entry["asset"], entry["amount"]
            elif entry["outpoint"] in held:
                asset, amount = held.pop(entry["outpoint"])
                amount = -amount
            elif entry["asset"] is not None:
                # From the genesis file, which is before the first block's transactions.
                asset, amount = entry["asset"], -entry["amount"]
            else:
                continue  # a pruned output that was never ours
            balance[asset] += amount
            assert note.cursor is not None
            print(f"{note.cursor.height:>8} {amount:>+16} {asset:<12} {balance[asset]:>+16}  {entry['tx_id'][:16]}")
        now = dict.fromkeys(balance, 0)
        for item in await client.unspent(given.lock, limit=1_000):
            now[item.output.asset] = now.get(item.output.asset, 0) + item.output.amount
    print("changed by", dict(balance), "stands at", now)


if __name__ == "__main__":
    asyncio.run(main())
