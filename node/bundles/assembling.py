"""Makes a chain's part of a bundle: which receipts, which state, and then every header that they need."""

from __future__ import annotations

from typing import Final

from ledger.state import contract_prefix
from ledger.transaction import Transaction
from node.bundles.records import ChainPart, Change, Standing, Step, part_of
from node.bundles.source import ChainSource

SEALING_METHODS: Final = ("file", "release", "opinion", "place", "report")
"""Calls of contract ``flow`` that carry a sealed document and move nothing: what is left out without documents."""


class PartDraft:
    """What goes into a chain's part.

    Args:
        source: of the chain.
        documents: whether transactions that carry sealed documents are taken whole.
    """

    def __init__(self, source: ChainSource, *, documents: bool) -> None:
        self.source = source
        self._documents = documents
        self._flow = {doc.address for doc in source.genesis.contracts if doc.kind == "flow"}
        self._bridge = {doc.address for doc in source.genesis.contracts if doc.kind == "bridge"}
        self.steps: dict[tuple[int, int], Step] = {}
        self._changes: dict[bytes, Change] = {}
        self._standings: dict[bytes, Standing] = {}

    def address(self, kind: str) -> str:
        """Address of the first contract of a kind; empty where there is none."""
        return next((doc.address for doc in self.source.genesis.contracts if doc.kind == kind), "")

    async def add(self, height: int, index: int) -> Step:
        """Takes a receipt in, and its transaction."""
        found = self.steps.get((height, index))
        if found is None:
            found = await self.source.step(height, index, whole=True)
            if found.transaction and not self._whole(Transaction.decode(found.transaction)):
                found = await self.source.step(height, index, whole=False)
            self.steps[(height, index)] = found
        return found

    def _whole(self, transaction: Transaction) -> bool:
        """Relays' deliveries are never taken whole: they are large, and their receipts say what came of them."""
        calls = transaction.body.calls
        if any(call.contract in self._bridge for call in calls):
            return False
        return self._documents or not any(
            call.contract in self._flow and call.method in SEALING_METHODS for call in calls
        )

    async def add_transaction(self, tx_id: bytes) -> tuple[int, int]:
        """Takes a committed transaction in by its id; its place. Raises ``NotFound``."""
        place = await self.source.place_of(tx_id)
        await self.add(*place)
        return place

    async def add_value(self, address: str, key: bytes, heights: tuple[int, ...] = ()) -> None:
        """Takes in what is proved of a contract's record: its newest change, and what it was at the newest checkpoint.

        Args:
            address: of the contract.
            key: within the contract's space.
            heights: blocks that may have changed it last, the likeliest first.
        """
        full = contract_prefix(address) + key
        change = await self.source.change(full, heights)
        if change is not None:
            self._changes[full] = change
        standing = await self.source.standing(full)
        if standing is not None:
            self._standings[full] = standing

    async def finish(self) -> ChainPart:
        """The part, with every header that it needs."""
        steps = tuple(self.steps[place] for place in sorted(self.steps))
        changes = tuple(sorted(self._changes.values(), key=lambda change: (change.height, change.key)))
        standings = tuple(sorted(self._standings.values(), key=lambda standing: (standing.height, standing.key)))
        heights = {step.height for step in steps} | {change.height for change in changes}
        heights |= {standing.height for standing in standings}
        headers = {step.header.height: step for step in await self.source.epochs(max(heights, default=0))}
        for height in sorted(heights - set(headers)):
            headers[height] = await self.source.header(height)
        ordered = tuple(headers[height] for height in sorted(headers))
        return part_of(self.source.genesis.chain_id, ordered, steps, changes, standings)
