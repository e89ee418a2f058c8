"""RPC methods for a node's data while it runs."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Annotated

from msgspec import Meta

from ledger.errors import Overloaded
from ledger.genesis import Genesis
from node.chain import Chain
from node.data.copying import write_snapshot
from node.rpc.fields import Hash
from node.rpc.method import Method, Params, Result, Scope

DIRECTORY = "snapshots"
"""Below a home's data directory: where a running node puts the snapshots that it is told to make."""
REST = 2.0
"""The copy takes a third of the time at most; consensus has the rest."""


class SnapshotParams(Params, frozen=True):
    """What to call the snapshot.

    Attributes:
        name: of a new directory below ``data/snapshots`` of the node's home.
    """

    name: Annotated[str, Meta(min_length=1, max_length=64, pattern="^[A-Za-z0-9][A-Za-z0-9._-]*$")]


class SnapshotMade(Result, frozen=True):
    """A snapshot.

    Attributes:
        directory: where it is, on the node's machine.
        height: of the last block in it.
        block_id: of that block.
        files: in it.
        size_bytes: of them.
    """

    directory: str
    height: int
    block_id: Hash
    files: int
    size_bytes: int


class DataMethods:
    """``db.snapshot``.

    Args:
        chain: committed chain.
        genesis_bytes: the genesis file as it is.
        data_dir: of the home.
    """

    def __init__(self, chain: Chain, genesis: Genesis, genesis_bytes: bytes, data_dir: Path) -> None:
        self._chain = chain
        self._genesis = genesis
        self._genesis_bytes = genesis_bytes
        self._data_dir = data_dir
        self._busy = asyncio.Lock()

    def table(self) -> tuple[Method, ...]:
        """See ``node.rpc.method.Area``."""
        return (
            Method(
                name="db.snapshot",
                scope=Scope.ADMIN,
                summary="Copies the node's data as of its last block, while it goes on.",
                params=SnapshotParams,
                result=SnapshotMade,
                call=self.snapshot,
                errors=("file_exists", "overloaded", "storage_fault"),
                cost=1_000,
                example={"name": "2026-01-31"},
                example_result={
                    "directory": "/var/lib/tidegate/node/data/snapshots/2026-01-31",
                    "height": 1_024,
                    "block_id": "00" * 32,
                    "files": 12,
                    "size_bytes": 40_000_000,
                },
            ),
        )

    async def snapshot(self, params: SnapshotParams) -> SnapshotMade:
        """One at a time; others are told to come back."""
        if self._busy.locked():
            raise Overloaded("a snapshot is being made; try again later", retry_after_ms=10_000)
        async with self._busy:
            directory = self._data_dir / DIRECTORY / params.name
            view = self._chain.store.store.snapshot()
            try:
                manifest = await asyncio.to_thread(
                    write_snapshot, view, self._genesis, self._genesis_bytes, directory, rest=REST
                )
            finally:
                view.close()
        size_bytes = sum(file.size_bytes for file in manifest.files)
        return SnapshotMade(
            directory=str(directory),
            height=manifest.height,
            block_id=manifest.block_id,
            files=len(manifest.files),
            size_bytes=size_bytes,
        )
