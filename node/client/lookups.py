"""What a client can look up: each answer as the gateway gives it, and verified where it can be proved."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from functools import partial
from time import monotonic
from typing import Any, Final, TypeVar

import msgspec

from ledger.block import Header, block_id, header_codec
from ledger.document import to_document
from ledger.encoding import Record, encode
from ledger.errors import InvalidGenesis, LocalMisuse, RpcUnavailable
from ledger.genesis import Genesis, parse_genesis
from ledger.state import contract_prefix, utxo_key
from ledger.transaction import Output, Transaction
from ledger.types import Hash32, OutPoint
from node.client.http import NodeHttp
from node.client.reading import read, read_hex, read_list, read_object, result_codec
from node.client.session import Session
from node.client.submitting import FIRST_PAUSE_S, LONG_POLL_S, MAX_PAUSE_S, SETTLED_STATUSES
from node.client.subscribing import verified
from node.client.verifying import ProvedState, ProvedTransaction, false_claim
from node.client_errors import malformed_answer
from node.gateway import BlockEvents, ChainInfo, Outcome, Unspent
from node.subscriber import Cursor, Notification, follow

R = TypeVar("R", bound=Record)

EVENTS_PAGE: Final = 64


class Lookups(Session):
    """The part of ``node.client.Client`` that asks and changes nothing."""

    # --- about the node -------------------------------------------------------------------------------------------

    async def status(self) -> dict[str, Any]:
        """The ``node.status`` document; what a node says of itself cannot be verified."""
        return read_object(await self.call("node.status"), "node.status")

    async def info(self) -> ChainInfo:
        """See ``Gateway``. Verified: height, block id and time are a block's of the chain."""

        async def ask(node: NodeHttp) -> ChainInfo:
            info = read(await node.call("chain.info"), ChainInfo)
            if self._verifier is not None:
                genesis = self._verifier.light.genesis
                if (info.chain_id, info.name) != (genesis.chain_id, genesis.name):
                    false_claim("it is of another chain", "chain_other")
                header, name = await self._verifier.header(node, info.height)
                if (info.block_id, info.time_ms) != (name, header.time_ms):
                    false_claim(f"block {info.height} has another id or time")
            return info

        return await self._nodes.run(ask)

    async def genesis(self) -> Genesis:
        """The chain's genesis, fully checked. Verified: that of the node has the hash of the one that was given.

        Raises:
            InvalidGenesis: what the node gave is none.
        """

        async def ask(node: NodeHttp) -> Genesis:
            document = await node.call("chain.genesis")
            if not isinstance(document, dict):
                raise InvalidGenesis("the node's genesis is not an object")
            found = parse_genesis(msgspec.json.encode(document))
            if self._genesis is not None and found.hash != self._genesis.hash:
                false_claim("its genesis is another one", "chain_other")
            return found

        return await self._nodes.run(ask)

    # --- looking up -----------------------------------------------------------------------------------------------

    async def outcome(self, tx_id: bytes) -> Outcome:
        """See ``Gateway``. Verified when it is in a block; ``pending`` and ``unknown`` are the node's word."""
        return await self._outcome("tx.outcome", {"tx_id": tx_id.hex()}, 0.0)

    async def wait(self, tx_id: bytes, timeout_s: float = 30.0) -> Outcome:
        """The outcome once the transaction is in a block, or what is known after ``timeout_s``."""
        return await self._outcome("tx.wait", {"tx_id": tx_id.hex(), "timeout_ms": int(timeout_s * 1000)}, timeout_s)

    async def _outcome(self, method: str, params: dict[str, Any], wait_s: float) -> Outcome:
        async def ask(node: NodeHttp) -> Outcome:
            found = read(await node.call(method, params, wait_s=wait_s), Outcome)
            if found.tx_id.hex() != params["tx_id"]:
                raise malformed_answer("the outcome of another transaction")
            if self._verifier is not None and found.status in SETTLED_STATUSES:
                return await self._verifier.outcome(node, found)
            return found

        return await self._nodes.run(ask)

    async def transaction(self, tx_id: bytes) -> Transaction:
        """See ``Gateway``; the bytes are checked against the id."""

        async def ask(node: NodeHttp) -> Transaction:
            document = await node.call("tx.get", {"tx_id": tx_id.hex()})
            found = Transaction.decode(read_hex(document, "transaction"))
            if found.tx_id != tx_id:
                raise malformed_answer("another transaction than the one asked for")
            return found

        return await self._nodes.run(ask)

    async def proved_transaction(self, tx_id: bytes) -> ProvedTransaction:
        """A transaction of a block with its receipt, header and proof.

        Raises:
            NotFound: it is in no block of that node's chain, which the node cannot prove.
            LocalMisuse, PeerMisbehaved, ForkFound: as ``follow``.
        """
        verifier = self._verifying()
        return await self._nodes.run(lambda node: verifier.transaction(node, tx_id))

    async def unspent(
        self, lock: str, *, asset: str | None = None, after: OutPoint | None = None, limit: int = 200
    ) -> list[Unspent]:
        """See ``Gateway``. A list cannot be proved; a single output can, with ``proved_output``."""
        params: dict[str, Any] = {"lock": lock, "limit": limit}
        if asset is not None:
            params["asset"] = asset
        if after is not None:
            params["after"] = after.hex()
        found = read_list(await self.call("utxo.list", params), "unspent")
        return [Unspent(read_hex(item, "outpoint"), read(item.get("output"), Output)) for item in found]

    async def view(self, contract: str, name: str, arguments: Record, result: type[R]) -> R:
        """See ``Gateway``. What a view computes cannot be proved; the records that it reads can, with ``state``."""
        params = {"contract": contract, "view": name, "arguments": encode(arguments).hex()}
        found: R = result_codec(result).decode(read_hex(await self.call("contract.view", params), "result"))
        return found

    async def state(self, contract: str, key: bytes) -> ProvedState:
        """What a record of a contract was, or that there was none, with its proof.

        Args:
            contract: address.
            key: within the contract's space, as its module describes.

        Returns:
            The value at the newest checkpoint; where a later block wrote the record, what that block wrote.
            ``height`` says after which block; what happened since is not said.

        Raises:
            NotFound: ``change_missing``: the chain has no checkpoint yet, and no block wrote the record.
            LocalMisuse, PeerMisbehaved, ForkFound: as ``follow``; ``proof_stale``: an older state than is due.
        """
        return await self.proved_key(contract_prefix(contract) + key)

    async def proved_output(self, outpoint: bytes) -> ProvedState:
        """Whether an output (36 bytes) was unspent: the value is its canonical bytes, or None. As ``state``."""
        return await self.proved_key(utxo_key(outpoint))

    async def proved_key(self, key: bytes) -> ProvedState:
        """As ``state``, by the whole state key (``ledger.state``)."""
        verifier = self._verifying()
        return await self._nodes.run(lambda node: verifier.state(node, key))

    async def header(self, height: int) -> tuple[Header, Hash32]:
        """See ``Gateway``; the id is computed from the header. Verified: it is the chain's header of that height."""

        async def ask(node: NodeHttp) -> tuple[Header, Hash32]:
            if self._verifier is not None:
                return await self._verifier.header(node, height)
            document = await node.call("block.header", {"height": height})
            header = header_codec.decode(read_hex(document, "header"))
            found = block_id(header)
            if header.height != height or found != read_hex(document, "block_id"):
                raise malformed_answer("a header that does not belong to the height and id given")
            return header, found

        return await self._nodes.run(ask)

    async def block(self, *, height: int | None = None, block_id: bytes | None = None) -> dict[str, Any]:
        """The ``block.get`` document of a height or an id. Verified: header, transaction ids and receipts' codes.

        Raises:
            NotFound: no such block.
            LocalMisuse: not exactly one of the two.
        """
        if (height is None) == (block_id is None):
            raise LocalMisuse("a block is asked for by height or by id")
        params: dict[str, Any] = {"height": height} if block_id is None else {"block_id": block_id.hex()}

        async def ask(node: NodeHttp) -> dict[str, Any]:
            document = read_object(await node.call("block.get", params), "block.get")
            if self._verifier is not None:
                await self._check_block(node, document, height, block_id)
            return document

        return await self._nodes.run(ask)

    async def _check_block(
        self, node: NodeHttp, document: dict[str, Any], height: int | None, name: bytes | None
    ) -> None:
        header = read_object(document.get("header"), "header")
        number = header.get("height")
        if not isinstance(number, int) or (height is not None and number != height):
            false_claim("it is a block of another height")
        found = await self._verifying().block(node, number)
        proved = block_id(found.header)
        if document.get("block_id") != proved.hex() or (name is not None and proved != name):
            false_claim("the block has another id")
        if header != to_document(found.header):
            false_claim("the header differs")
        if document.get("transactions") != [ref[:32].hex() for ref in found.refs]:
            false_claim("the transactions differ")
        if document.get("receipts") != [{"tx_id": each.tx_id.hex(), "code": each.code} for each in found.receipts]:
            false_claim("the receipts differ")

    async def service(self, name: str, payload: bytes, timeout_s: float = 30.0) -> bytes:
        """Answer of a service of this node (bookkeeping, …), asked as the node's own organisation; not repeated."""
        params = {"service": name, "payload": payload.hex()}
        document = await self.call("service.call", params, wait_s=timeout_s, repeatable=False)
        return read_hex(document, "payload")

    # --- events ---------------------------------------------------------------------------------------------------

    async def subscribe(
        self,
        topic: str,
        *,
        from_height: int | None = None,
        after: Cursor | None = None,
        markers: bool = False,
        **wanted: Any,
    ) -> AsyncGenerator[Notification, None]:
        """Entries of a topic over a WebSocket, each once and in order, across reconnections and nodes.

        Verified: blocks, transactions and events in full; of the other topics the block, and that the transaction is
        in it. A filter's silence cannot be proved: a node can leave entries out, unless the topic is ``blocks``.

        Args:
            topic: ``blocks``, ``transactions``, ``events``, ``flow``, ``account`` or ``packet``.
            from_height: first block to tell of.
            after: cursor of the last notification of an earlier stream; neither: from now on.
            markers: also yield ``caught_up`` and ``progress``, whose cursors are worth keeping.
            wanted: the topic's filters: ``contract``, ``event``, ``flow``, ``account``, ``lock``, ``lane``,
                ``sequence``.

        Raises:
            InvalidInput: the parameters are refused; ``pruned``: no node keeps these blocks any more.
            RpcUnavailable: no node could be reached for a minute.
            PeerMisbehaved: ``notification_false``: an entry is not what the block says.
        """
        notes = follow(self._nodes.endpoints, topic, from_height=from_height, after=after, markers=markers, **wanted)
        if self._verifier is not None:
            notes = verified(notes, self._nodes, self._verifier, topic)
        async with aclosing(notes):
            async for note in notes:
                yield note

    async def events(self, from_height: int) -> AsyncIterator[BlockEvents]:
        """See ``Gateway``: by long polls, each block once and in order, across reconnections and nodes.

        Verified: every block's events are those of its receipts.

        Raises:
            RpcUnavailable: no node answered for ``reconnect_s``.
            PeerMisbehaved: the node left a block out, or told other events than the block's.
        """
        height, pause = from_height, FIRST_PAUSE_S
        give_up = monotonic() + self._reconnect_s
        while True:
            try:
                blocks = await self._nodes.run(partial(self._page, height))
            except RpcUnavailable:
                if monotonic() >= give_up:
                    raise
                await asyncio.sleep(pause)
                pause = min(2 * pause, MAX_PAUSE_S)
                continue
            for block in blocks:
                yield block
                height += 1
            pause, give_up = FIRST_PAUSE_S, monotonic() + self._reconnect_s

    async def _page(self, height: int, node: NodeHttp) -> list[BlockEvents]:
        """The blocks of one long poll, from ``height`` on."""
        params = {"from_height": height, "timeout_ms": int(LONG_POLL_S * 1000), "limit": EVENTS_PAGE}
        found: list[BlockEvents] = []
        for item in read_list(await node.call("events.next", params, wait_s=LONG_POLL_S), "blocks"):
            block = read(item, BlockEvents)
            due = height + len(found)
            if block.height < due:
                continue
            if block.height > due:
                raise malformed_answer(f"block {due} is missing among the events")
            if self._verifier is not None and await self._verifier.events(node, due) != block:
                false_claim(f"the events of block {due} differ")
            found.append(block)
        return found
