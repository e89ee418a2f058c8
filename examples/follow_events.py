"""Follows a contract's events, each once and in order, whatever happens to connections, nodes and this program.

    python examples/follow_events.py devnet/node0/run/rpc.sock devnet/node1/run/rpc.sock \
        --genesis devnet/genesis.json --contract commission --cursor cursor.json

The cursor of what was handled last is all that is kept. Stop the program, stop a node: it goes on behind the cursor.
"""

from __future__ import annotations

import argparse
import asyncio
import json
from pathlib import Path

from tidegate import Client, Cursor


def load(path: Path) -> Cursor | None:
    """The cursor that an earlier run left."""
    return Cursor(**json.loads(path.read_text())) if path.exists() else None


def keep(path: Path, cursor: Cursor) -> None:
    """Keeps the cursor: whole, or the one before."""
    new = path.with_suffix(".new")
    new.write_text(json.dumps({"height": cursor.height, "index": cursor.index}))
    new.replace(path)


async def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("node", nargs="+", help="socket or URL of a node; the next goes on where one stops")
    parser.add_argument("--genesis", type=Path, help="verify that each event is in its block")
    parser.add_argument("--contract", required=True)
    parser.add_argument("--event", help="only of this name")
    parser.add_argument("--cursor", type=Path, required=True, help="file that remembers how far we are")
    parser.add_argument("--count", type=int, help="stop after so many")
    given = parser.parse_args()
    after, handled = load(given.cursor), 0
    place = {"after": after} if after else {"from_height": 0}
    async with Client(given.node, genesis=given.genesis) as client:
        async for note in client.subscribe("events", **place, contract=given.contract, event=given.event):
            assert note.cursor is not None
            print(json.dumps({"height": note.cursor.height, **note.item}), flush=True)  # handle it here …
            keep(given.cursor, note.cursor)  # … and only then say that it is handled
            handled += 1
            if handled == given.count:
                return


if __name__ == "__main__":
    asyncio.run(main())
