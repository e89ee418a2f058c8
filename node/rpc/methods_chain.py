"""RPC methods about the chain: where it stands, its blocks, their events."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Final

import msgspec
from msgspec import Meta

from ledger.block import Header, receipt_codec
from ledger.certificate import CommitCertificate
from ledger.encoding import encode
from ledger.errors import InvalidInput, NotFound
from ledger.genesis import Genesis
from ledger.keys import key_text
from node.chain import Chain
from node.gateway import BlockEvents, ChainInfo
from node.local import LocalGateway
from node.rpc.fields import MAX_EVENT_BLOCKS, MAX_PAGE, Count, Hash, Height, HexBytes, KeyText, TimeMs, TimeoutMs, unhex
from node.rpc.method import Method, Params, Result, Scope

MAX_EVENT_PAGE_BYTES: Final = 4 * 1024 * 1024
"""Event data of one page of ``events.next``; a page ends behind the block that reaches it."""


class BlockName(Params, frozen=True):
    """Which block: by height or by id, not both."""

    height: Height | None = None
    block_id: Annotated[Hash | None, Meta(description="Id of the block.")] = None


class BlockHeight(Params, frozen=True):
    """Which block."""

    height: Height


class BlockPage(Params, frozen=True):
    """Which blocks to list."""

    from_height: Height
    limit: Annotated[int, Meta(ge=1, le=MAX_PAGE, description="Blocks at most.")] = 100


class EventPage(Params, frozen=True):
    """Which blocks' events."""

    from_height: Height
    timeout_ms: TimeoutMs = 10_000
    limit: Annotated[int, Meta(ge=1, le=MAX_EVENT_BLOCKS, description="Blocks at most.")] = 64


class StateHash(Result, frozen=True):
    """Root of the whole state (RFC 6962 over buckets) after the block of this height."""

    height: Height
    hash: Hash


class ReceiptCode(Result, frozen=True):
    """What became of a transaction; the id is zeros for what contracts did at the end of the block.

    Attributes:
        code: ``ok`` or the stable reason code of the refusal.
    """

    tx_id: Hash
    code: str


class Block(Result, frozen=True):
    """A committed block.

    Attributes:
        block_id: hash of the header.
        header: what the id covers.
        transactions: ids in order.
        certificate: the quorum's signatures; null for the genesis block.
        receipts: what became of each transaction, in order, and at the end of the block.
    """

    block_id: Hash
    header: Header
    transactions: list[Hash]
    certificate: CommitCertificate | None
    receipts: list[ReceiptCode]


class HeaderBytes(Result, frozen=True):
    """A header's canonical bytes, from which its id can be recomputed.

    Attributes:
        block_id: hash of the header.
        header: canonical bytes in hex.
    """

    block_id: Hash
    header: HexBytes


class BlockLine(Result, frozen=True):
    """A block in a list.

    Attributes:
        transactions: how many it has.
        proposer: validator that made it.
    """

    height: Height
    block_id: Hash
    time_ms: TimeMs
    transactions: Count
    proposer: KeyText


class Blocks(Result, frozen=True):
    """A page of blocks.

    Attributes:
        blocks: from ``from_height`` upwards.
        next_height: where to go on; null when the page ends at the tip.
    """

    blocks: list[BlockLine]
    next_height: Height | None


class Events(Result, frozen=True):
    """A page of blocks' events.

    Attributes:
        blocks: from ``from_height`` upwards, each once.
        height: of the node's tip.
        next_height: where to go on.
    """

    blocks: list[BlockEvents]
    height: Height
    next_height: Height


class ChainMethods:
    """``chain.*``, ``block.*`` and ``events.*``.

    Args:
        chain: committed chain.
        gateway: of the daemon.
        max_page: entries of a page, where the request would have more.
    """

    def __init__(self, chain: Chain, gateway: LocalGateway, max_page: int = MAX_PAGE) -> None:
        self._chain = chain
        self._gateway = gateway
        self._max_page = max_page

    def table(self) -> tuple[Method, ...]:
        """See ``Area``."""
        read = Scope.READ
        return (
            Method(
                name="chain.info",
                scope=read,
                summary="Says where the chain stands on this node.",
                params=Params,
                result=ChainInfo,
                call=self._info,
            ),
            Method(
                name="chain.genesis",
                scope=read,
                summary="Gives the genesis document, from which every proof starts.",
                params=Params,
                result=Genesis,
                call=self._genesis,
                cost=5,
                steady=True,
            ),
            Method(
                name="chain.state_hash",
                scope=read,
                summary="Computes the root of the whole state at the tip now; slow on a large state.",
                params=Params,
                result=StateHash,
                call=self._state_hash,
                cost=200,
            ),
            Method(
                name="block.get",
                scope=read,
                summary="Gives a committed block, by height or by id.",
                params=BlockName,
                result=Block,
                call=self._block,
                errors=("not_found", "pruned"),
                cost=3,
                example={"height": 0},
                live_example=self._tip_height,
                steady=True,
            ),
            Method(
                name="block.header",
                scope=read,
                summary="Gives the canonical bytes of a committed block's header.",
                params=BlockHeight,
                result=HeaderBytes,
                call=self._header,
                errors=("not_found",),
                example={"height": 0},
                live_example=self._tip_height,
                steady=True,
            ),
            Method(
                name="block.list",
                scope=read,
                summary="Lists committed blocks from a height upwards.",
                params=BlockPage,
                result=Blocks,
                call=self._list,
                cost=10,
                example={"from_height": 0, "limit": 1},
            ),
            Method(
                name="events.next",
                scope=read,
                summary="Gives the events of committed blocks from a height on; waits for the first of them.",
                params=EventPage,
                result=Events,
                call=self._events,
                errors=("pruned",),
                cost=5,
                example={"from_height": 0, "timeout_ms": 0, "limit": 1},
            ),
        )

    async def _tip_height(self) -> Mapping[str, Any]:
        return {"height": self._chain.tip.height}

    async def _info(self, params: Params) -> ChainInfo:
        del params
        return await self._gateway.info()

    async def _genesis(self, params: Params) -> Any:
        del params
        return msgspec.to_builtins(self._chain.genesis)

    async def _state_hash(self, params: Params) -> StateHash:
        del params
        height, root = await self._gateway.state_hash()
        return StateHash(height=height, hash=root.hex())

    async def _block(self, params: BlockName) -> Block:
        store = self._chain.store
        number = params.height
        if (number is None) == (params.block_id is None):
            raise InvalidInput("give either height or block_id", code="params_invalid", param="height")
        if params.block_id is not None:
            number = store.height_of(unhex(params.block_id, "block_id"))
        if number is None:
            raise NotFound(f"there is no block {params.block_id}")
        block, name = store.block(number), (await self._gateway.header(number))[1]
        receipts = [receipt_codec.decode(data) for data in store.receipts(number)]
        return Block(
            block_id=name.hex(),
            header=block.header,
            transactions=[block.refs[i : i + 32].hex() for i in range(0, len(block.refs), 64)],
            certificate=store.certificate(number) if number else None,
            receipts=[ReceiptCode(tx_id=receipt.tx_id.hex(), code=receipt.code) for receipt in receipts],
        )

    async def _header(self, params: BlockHeight) -> HeaderBytes:
        header, name = await self._gateway.header(params.height)
        return HeaderBytes(block_id=name.hex(), header=encode(header).hex())

    async def _list(self, params: BlockPage) -> Blocks:
        tip = self._chain.tip.height
        last = min(tip, params.from_height + min(params.limit, self._max_page) - 1)
        blocks = []
        for height in range(params.from_height, last + 1):
            header, name = await self._gateway.header(height)
            blocks.append(
                BlockLine(
                    height=height,
                    block_id=name.hex(),
                    time_ms=header.time_ms,
                    transactions=header.transactions_count,
                    proposer=key_text(header.proposer),
                )
            )
        return Blocks(blocks=blocks, next_height=last + 1 if last < tip else None)

    async def _events(self, params: EventPage) -> Events:
        start = params.from_height
        await self._gateway.wait_for_height(start, params.timeout_ms / 1000)
        tip = self._chain.tip.height
        last = min(tip, start + min(params.limit, self._max_page) - 1)
        blocks: list[BlockEvents] = []
        size_bytes = 0
        for height in range(start, last + 1):
            block = self._gateway.block_events(height)
            blocks.append(block)
            size_bytes += sum(len(event.data) for _, event in block.events)
            if size_bytes >= MAX_EVENT_PAGE_BYTES:
                break
        return Events(blocks=blocks, height=tip, next_height=start + len(blocks))
