"""Reads a chain through one node's RPC for whoever makes bundles; what it says is checked when the bundle is."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any, Final

from ledger.chain_proof import inclusion_of
from ledger.checkpoint_proof import StateProof
from ledger.document import from_document
from ledger.encoding import Codec, encode
from ledger.errors import InvalidInput, NotFound, Overloaded, RemoteFault
from ledger.genesis import Genesis
from ledger.merkle import leaf_hash
from ledger.packet import HeaderProof
from ledger.proofs import block_codec, change_codec, header_proof_codec, state_codec, step_codec
from ledger.transaction import TX_REF_BYTES
from node.bundles.records import CertifiedHeader, Change, Standing, Step
from node.client import Client, retry_after_s
from node.gateway import BlockEvents

PAGE_BLOCKS: Final = 256
BUSY_RETRIES: Final = 20
GONE: Final = ("change_missing", "change_overwritten", "checkpoint_missing", "state_changed", "not_found", "pruned")


@dataclass(frozen=True, slots=True)
class FetchedBlock:
    """A block's header with its certificate, its transactions' refs, and its receipts' bytes."""

    certified: CertifiedHeader
    refs: tuple[bytes, ...]
    receipts: tuple[bytes, ...]


class ChainSource:
    """One chain, seen through a node of it.

    Args:
        client: of the node.
        genesis: of the chain, as the node gives it.
    """

    def __init__(self, client: Client, genesis: Genesis) -> None:
        self.client = client
        self.genesis = genesis
        self._blocks: dict[int, FetchedBlock] = {}
        self._first_set = tuple(bytes(key) for key in genesis.validator_set().keys)

    @classmethod
    async def open(cls, client: Client) -> ChainSource:
        """The source over a client."""
        return cls(client, await client.genesis())

    async def tip(self) -> int:
        """Height of the node's newest block."""
        return (await self.client.info()).height

    async def _ask(self, method: str, params: dict[str, Any]) -> Any:
        """An RPC answer; a node that is too busy is asked again when it says, so often."""
        for _ in range(BUSY_RETRIES):
            try:
                return await self.client.call(method, params)
            except Overloaded as error:
                await asyncio.sleep(retry_after_s(error))
        return await self.client.call(method, params)

    async def _proof(self, method: str, codec: Codec[Any], **params: Any) -> Any:
        document = await self._ask(f"proof.{method}", {**params, "known_height": 0})
        try:
            return codec.decode(bytes.fromhex(document["proof"]))
        except (InvalidInput, KeyError, TypeError, ValueError) as error:
            raise RemoteFault(f"proof.{method}: {error}", code="answer_malformed") from error

    def _certified(self, proof: HeaderProof, keys: tuple[bytes, ...]) -> CertifiedHeader:
        if proof.certificate is None:
            raise RemoteFault(f"header {proof.header.height} comes without certificate", code="answer_malformed")
        return CertifiedHeader(proof.header, tuple(sorted(proof.validators or keys)), proof.certificate)

    async def block(self, height: int) -> FetchedBlock:
        """A block. Raises ``NotFound``."""
        found = self._blocks.get(height)
        if found is None:
            proof = await self._proof("block", block_codec, height=height)
            refs = tuple(proof.refs[i : i + TX_REF_BYTES] for i in range(0, len(proof.refs), TX_REF_BYTES))
            if proof.header.header.height != height or len(proof.receipts) != len(refs) + 1:
                raise RemoteFault(f"proof.block: not block {height}", code="answer_malformed")
            found = FetchedBlock(self._certified(proof.header, self._first_set), refs, proof.receipts)
            self._blocks[height] = found
        return found

    async def header(self, height: int) -> CertifiedHeader:
        """A header with its certificate. Raises ``NotFound``."""
        if height in self._blocks:
            return self._blocks[height].certified
        return self._certified(await self._proof("header", header_proof_codec, height=height), self._first_set)

    async def epochs(self, height: int) -> list[CertifiedHeader]:
        """The headers up to a height that hand over to another set, in order."""
        found: list[CertifiedHeader] = []
        start, complete = 0, False
        while not complete:
            document = await self._ask("proof.epochs", {"from_height": start})
            try:
                steps = [step_codec.decode(bytes.fromhex(text)) for text in document["steps"]]
                complete = document["complete"]
            except (InvalidInput, KeyError, TypeError, ValueError) as error:
                raise RemoteFault(f"proof.epochs: {error}", code="answer_malformed") from error
            for step in steps:
                if step.proof.header.height > height:
                    return found
                before = found[-1].validators if found else self._first_set
                found.append(self._certified(step.proof, before))
            complete = complete or not steps
            start = found[-1].header.height if found else 0
        return found

    async def step(self, height: int, index: int, *, whole: bool) -> Step:
        """A receipt of a block with its transaction; ``whole`` False: the transaction's signatures alone."""
        block = await self.block(height)
        if index >= len(block.receipts):
            raise RemoteFault(f"block {height} has no receipt {index}", code="answer_malformed")
        receipt = block.receipts[index]
        results = inclusion_of([leaf_hash(data) for data in block.receipts], index)
        if index == len(block.refs):
            return Step(height, index, b"", b"", b"", None, receipt, results)
        ref = block.refs[index]
        place = inclusion_of([leaf_hash(data) for data in block.refs], index)
        transaction = await self.client.transaction(ref[:32])
        if whole:
            return Step(height, index, transaction.wire, b"", b"", place, receipt, results)
        return Step(height, index, b"", encode(transaction.witness), ref, place, receipt, results)

    async def index_of(self, height: int, tx_id: bytes) -> int:
        """Place of a transaction's receipt in its block; zeros name the end of the block."""
        block = await self.block(height)
        if not any(tx_id):
            return len(block.refs)
        index = next((i for i, ref in enumerate(block.refs) if ref[:32] == tx_id), None)
        if index is None:
            raise RemoteFault(f"block {height} has no transaction {tx_id.hex()}", code="answer_malformed")
        return index

    async def place_of(self, tx_id: bytes) -> tuple[int, int]:
        """Height and index of a committed transaction. Raises ``NotFound``."""
        outcome = await self.client.outcome(tx_id)
        if outcome.status not in ("committed", "refused"):
            raise NotFound(f"transaction {tx_id.hex()} is in no block of chain {self.genesis.name}")
        return outcome.height, outcome.index

    async def change(self, key: bytes, heights: tuple[int, ...]) -> Change | None:
        """The newest change of a state key that can be proved.

        Args:
            key: state key.
            heights: blocks that may have made it, the likeliest first, where the node does not find it by itself.
        """
        for height in (None, *heights):
            params: dict[str, Any] = {} if height is None else {"height": height}
            try:
                proof = await self._proof("change", change_codec, key=key.hex(), **params)
            except NotFound as error:
                if error.code not in GONE:
                    raise
                continue
            return Change(proof.header.header.height, key, proof.value, proof.inclusion)
        return None

    async def standing(self, key: bytes) -> Standing | None:
        """What the state held under a key at the newest checkpoint, where there is one and it still holds it."""
        try:
            proof = await self._proof("state", state_codec, key=key.hex())
        except NotFound as error:
            if error.code not in GONE:
                raise
            return None
        assert isinstance(proof.proof, StateProof)
        return Standing(proof.header.header.height, key, proof.value, proof.proof)

    async def height_at(self, time_ms: int) -> int:
        """The first height whose block is of that time or later; one above the tip where there is none."""
        low, high = 0, await self.tip() + 1
        while low < high:
            middle = (low + high) // 2
            if (await self._time(middle)) >= time_ms:
                high = middle
            else:
                low = middle + 1
        return low

    async def _time(self, height: int) -> int:
        header, _ = await self.client.header(height)
        return header.time_ms

    async def events(self, first: int, last: int) -> AsyncIterator[BlockEvents]:
        """Events of the blocks from ``first`` to ``last``."""
        height = first
        while height <= last:
            limit = min(PAGE_BLOCKS, last - height + 1)
            params = {"from_height": height, "timeout_ms": 0, "limit": limit}
            document = await self._ask("events.next", params)
            try:
                blocks = [from_document(item, BlockEvents) for item in document["blocks"]]
            except (InvalidInput, KeyError, TypeError) as error:
                raise RemoteFault(f"events.next: {error}", code="answer_malformed") from error
            if not blocks:
                return
            for block in blocks:
                yield block
            height = blocks[-1].height + 1
