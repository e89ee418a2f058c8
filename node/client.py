"""An async client of a daemon's RPC socket: the ``Gateway`` of programs outside the daemon.

It signs locally (keys never leave the process) and needs neither libp2p nor the store. What can be checked without
trusting the node is checked: transactions hash to the id asked for, headers to the id given.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Sequence
from functools import lru_cache
from pathlib import Path
from time import monotonic
from types import TracebackType
from typing import Any, Final, TypeVar

import msgspec

from ledger.block import Header, block_id, header_codec
from ledger.document import from_document
from ledger.encoding import Codec, Record, encode
from ledger.errors import InvalidGenesis, InvalidInput, LocalMisuse, Overloaded, RemoteFault, RpcUnavailable
from ledger.genesis import Genesis, parse_genesis
from ledger.transaction import MAX_CALL_BYTES, MAX_TRANSACTION_BYTES, Output, Transaction
from ledger.types import Hash32, OutPoint, TxId
from node.client_errors import malformed_answer
from node.client_http import SocketHttp
from node.gateway import BlockEvents, ChainInfo, Outcome, Unspent

R = TypeVar("R", bound=Record)

LONG_POLL_S: Final = 20.0
EVENTS_PAGE: Final = 64
RECONNECT_S: Final = 30.0
"""An event stream and a waiting submission survive a daemon that is away for so long."""
FIRST_PAUSE_S: Final = 0.05
MAX_PAUSE_S: Final = 1.0
MAX_BULK_TRANSACTIONS: Final = 1_000
MAX_BULK_BYTES: Final = 4 * 1024 * 1024
MAX_RESULT_BYTES: Final = 16 * 1024 * 1024
SETTLED_STATUSES: Final = ("committed", "refused")
"""Statuses that do not change any more."""


class BulkAnswer(Record, frozen=True):
    """What became of one transaction of a bulk submission.

    Attributes:
        tx_id: which; nothing where it was not taken.
        status: ``pending``, ``committed``, ``refused`` (in a block), ``rejected`` (not taken), ``unknown``,
            ``overloaded`` (not taken, try again).
        code: ``ok``, a reason code, or nothing.
    """

    tx_id: bytes
    status: str
    code: str


_bulk_codec = Codec(tuple[BulkAnswer, ...], MAX_RESULT_BYTES, "bulk answer")


class Client:
    """A ``Gateway`` over the socket of a running daemon. Use it as an async context manager, or ``close`` it.

    Args:
        socket_path: ``<home>/run/rpc.sock``.
        overload_retries: how often a submission that the node had no room for is repeated after the time that the
            node names; 0 raises ``Overloaded`` at once.
        reconnect_s: how long an event stream survives a daemon that is away.
    """

    def __init__(self, socket_path: str | Path, *, overload_retries: int = 0, reconnect_s: float = RECONNECT_S) -> None:
        self._http = SocketHttp(socket_path)
        self._overload_retries = overload_retries
        self._reconnect_s = reconnect_s

    async def __aenter__(self) -> Client:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Closes the connections."""
        await self._http.close()

    async def call(self, method: str, params: dict[str, Any] | None = None, *, wait_s: float = 0.0) -> Any:
        """Result of any RPC method (docs/rpc.md), JSON-decoded.

        Raises:
            TidegateError: what the daemon raised, as the same class.
            RpcUnavailable: the socket is not there, or the connection broke.
        """
        return await self._http.call(method, params or {}, wait_s)

    # --- about the node -------------------------------------------------------------------------------------------

    async def status(self) -> dict[str, Any]:
        """The ``node.status`` document."""
        document = await self.call("node.status")
        if not isinstance(document, dict):
            raise malformed_answer("node.status is not an object")
        return document

    async def info(self) -> ChainInfo:
        """See ``Gateway``."""
        return _read(await self.call("chain.info"), ChainInfo)

    async def genesis(self) -> Genesis:
        """The chain's genesis, fully checked.

        Raises:
            InvalidGenesis: what the node gave is none.
        """
        document = await self.call("chain.genesis")
        if not isinstance(document, dict):
            raise InvalidGenesis("the node's genesis is not an object")
        return parse_genesis(msgspec.json.encode(document))

    # --- submitting -----------------------------------------------------------------------------------------------

    async def submit(self, transaction: Transaction) -> TxId:
        """See ``Gateway``."""
        for attempt in range(self._overload_retries + 1):
            try:
                await self.call("tx.submit", {"transaction": transaction.wire.hex()})
            except Overloaded as error:
                if attempt == self._overload_retries:
                    raise
                await asyncio.sleep(retry_after_s(error))
            else:
                break
        return transaction.tx_id

    async def submit_and_wait(self, transaction: Transaction, timeout_s: float = 30.0) -> Outcome:
        """See ``Gateway``; hands in again, harmlessly, whenever the answer was lost or the node has forgotten it.

        Raises:
            InvalidInput: refused.
            Overloaded: after the retries that this client was given.
            RpcUnavailable: the daemon was never reached; once it may have the transaction, a lost daemon is waited for
                until ``timeout_s`` and then answered with the status ``unknown``.
        """
        deadline = monotonic() + timeout_s
        retries, maybe_sent, pause = self._overload_retries, False, FIRST_PAUSE_S
        latest = Outcome(transaction.tx_id, "unknown", "", 0, 0, (), ())
        while True:
            rest = max(0.0, deadline - monotonic())
            wait = min(rest, LONG_POLL_S)
            params = {"transaction": transaction.wire.hex(), "timeout_ms": int(wait * 1000)}
            try:
                latest = _read(await self.call("tx.submit_and_wait", params, wait_s=wait), Outcome)
                maybe_sent = True
                pause = FIRST_PAUSE_S if latest.status == "pending" else min(2 * pause, MAX_PAUSE_S)
            except Overloaded as error:
                if retries == 0 or monotonic() >= deadline:
                    raise
                retries -= 1
                pause = retry_after_s(error)
            except RpcUnavailable as error:
                maybe_sent = maybe_sent or error.data.get("sent") is True
                if not maybe_sent:
                    raise
                pause = min(2 * pause, MAX_PAUSE_S)
            if latest.status in SETTLED_STATUSES or monotonic() >= deadline:
                return latest
            # The long poll does the waiting; this only keeps a node that answers at once from being asked in a loop.
            await asyncio.sleep(min(pause, max(0.0, deadline - monotonic())))

    async def submit_many(self, wires: Sequence[bytes], wait_ms: int = 0) -> list[BulkAnswer]:
        """Hands many transactions in through the binary endpoint.

        Args:
            wires: canonical bytes; sent in requests of at most 1,000 transactions and 4 MiB.
            wait_ms: how long each request waits for the block.

        Returns:
            One answer for each, in order.

        Raises:
            Overloaded: the node took nothing at all.
            LocalMisuse: a transaction is longer than any may be.
        """
        answers: list[BulkAnswer] = []
        for part in _bulk_parts(wires):
            body = b"".join(len(wire).to_bytes(4, "big") + wire for wire in part)
            path = f"/v1/transactions?wait_ms={wait_ms}"
            try:
                status, content, _ = await self._http.post(path, body, "application/octet-stream", wait_ms / 1000)
            except Overloaded:
                if not answers:
                    raise
                answers.extend(BulkAnswer(Transaction.decode(wire).tx_id, "overloaded", "overloaded") for wire in part)
                continue
            if status != 200:
                raise RemoteFault(f"the bulk endpoint answered HTTP {status}", code="rpc_failed", status=status)
            found = _bulk_codec.decode(content)
            if len(found) != len(part):
                raise malformed_answer("one bulk answer for each transaction is due")
            answers.extend(found)
        return answers

    # --- looking up -----------------------------------------------------------------------------------------------

    async def outcome(self, tx_id: bytes) -> Outcome:
        """See ``Gateway``."""
        return _read(await self.call("tx.outcome", {"tx_id": tx_id.hex()}), Outcome)

    async def wait(self, tx_id: bytes, timeout_s: float = 30.0) -> Outcome:
        """The outcome once the transaction is in a block, or what is known after ``timeout_s``."""
        params = {"tx_id": tx_id.hex(), "timeout_ms": int(timeout_s * 1000)}
        return _read(await self.call("tx.wait", params, wait_s=timeout_s), Outcome)

    async def transaction(self, tx_id: bytes) -> Transaction:
        """See ``Gateway``; the bytes are checked against the id."""
        document = await self.call("tx.get", {"tx_id": tx_id.hex()})
        found = Transaction.decode(_hex_field(document, "transaction"))
        if found.tx_id != tx_id:
            raise malformed_answer("another transaction than the one asked for")
        return found

    async def unspent(
        self, lock: str, *, asset: str | None = None, after: OutPoint | None = None, limit: int = 200
    ) -> list[Unspent]:
        """See ``Gateway``."""
        params: dict[str, Any] = {"lock": lock, "limit": limit}
        if asset is not None:
            params["asset"] = asset
        if after is not None:
            params["after"] = after.hex()
        document = await self.call("utxo.list", params)
        if not isinstance(document, dict) or not isinstance(document.get("unspent"), list):
            raise malformed_answer("utxo.list without a list")
        return [
            Unspent(_hex_field(item, "outpoint"), _read(item.get("output"), Output)) for item in document["unspent"]
        ]

    async def view(self, contract: str, name: str, arguments: Record, result: type[R]) -> R:
        """See ``Gateway``."""
        params = {"contract": contract, "view": name, "arguments": encode(arguments).hex()}
        codec: Codec[R] = _codec(result)
        return codec.decode(_hex_field(await self.call("contract.view", params), "result"))

    async def header(self, height: int) -> tuple[Header, Hash32]:
        """See ``Gateway``; the id is computed from the header, and must be the one that the node gives."""
        document = await self.call("block.header", {"height": height})
        header = header_codec.decode(_hex_field(document, "header"))
        found = block_id(header)
        if header.height != height or found != _hex_field(document, "block_id"):
            raise malformed_answer("a header that does not belong to the height and id given")
        return header, found

    async def block(self, *, height: int | None = None, block_id: bytes | None = None) -> dict[str, Any]:
        """The ``block.get`` document of a height or an id.

        Raises:
            NotFound: no such block.
            LocalMisuse: not exactly one of the two.
        """
        if (height is None) == (block_id is None):
            raise LocalMisuse("a block is asked for by height or by id")
        params: dict[str, Any] = {"height": height} if block_id is None else {"block_id": block_id.hex()}
        document = await self.call("block.get", params)
        if not isinstance(document, dict):
            raise malformed_answer("block.get is not an object")
        return document

    async def service(self, name: str, payload: bytes, timeout_s: float = 30.0) -> bytes:
        """Answer of a service of this node (bookkeeping, …), asked as the node's own organisation."""
        document = await self.call("service.call", {"service": name, "payload": payload.hex()}, wait_s=timeout_s)
        return _hex_field(document, "payload")

    # --- events ---------------------------------------------------------------------------------------------------

    async def events(self, from_height: int) -> AsyncIterator[BlockEvents]:
        """See ``Gateway``: by long polls, each block once and in order, across reconnections.

        Raises:
            RpcUnavailable: the daemon stayed away for ``reconnect_s``.
            PeerMisbehaved: the node left a block out.
        """
        height, pause = from_height, FIRST_PAUSE_S
        give_up = monotonic() + self._reconnect_s
        while True:
            params = {"from_height": height, "timeout_ms": int(LONG_POLL_S * 1000), "limit": EVENTS_PAGE}
            try:
                document = await self.call("events.next", params, wait_s=LONG_POLL_S)
            except RpcUnavailable:
                if monotonic() >= give_up:
                    raise
                await asyncio.sleep(pause)
                pause = min(2 * pause, MAX_PAUSE_S)
                continue
            if not isinstance(document, dict) or not isinstance(document.get("blocks"), list):
                raise malformed_answer("events.next without blocks")
            for item in document["blocks"]:
                block = _read(item, BlockEvents)
                if block.height < height:
                    continue
                if block.height > height:
                    raise malformed_answer(f"block {height} is missing among the events")
                yield block
                height += 1
            pause, give_up = FIRST_PAUSE_S, monotonic() + self._reconnect_s


def retry_after_s(error: Overloaded) -> float:
    """Seconds after which a node that was overloaded wants to be asked again, within bounds."""
    value = error.data.get("retry_after_ms", 100)
    milliseconds = value if isinstance(value, int) else 100
    return min(max(milliseconds, 10), 10_000) / 1000


def _bulk_parts(wires: Iterable[bytes]) -> list[list[bytes]]:
    parts: list[list[bytes]] = []
    size = MAX_BULK_BYTES
    for wire in wires:
        if len(wire) > MAX_TRANSACTION_BYTES:
            raise LocalMisuse(f"a transaction has at most {MAX_TRANSACTION_BYTES} bytes, this one {len(wire)}")
        if not parts or len(parts[-1]) == MAX_BULK_TRANSACTIONS or size + 4 + len(wire) > MAX_BULK_BYTES:
            parts.append([])
            size = 0
        parts[-1].append(wire)
        size += 4 + len(wire)
    return parts


@lru_cache(maxsize=256)
def _codec(kind: type[Record]) -> Codec[Any]:
    return Codec(kind, max(MAX_RESULT_BYTES, MAX_CALL_BYTES), f"result {kind.__name__}")


def _read(document: Any, kind: type[R]) -> R:
    # What a daemon answers is a remote fault when it is wrong, never an invalid input of the caller.
    try:
        return from_document(document, kind)
    except (InvalidInput, ValueError, TypeError) as error:
        raise malformed_answer(f"{kind.__name__}: {error}") from error


def _hex_field(document: Any, name: str) -> bytes:
    value = document.get(name) if isinstance(document, dict) else None
    try:
        return bytes.fromhex(value) if isinstance(value, str) else _no_field(name)
    except ValueError as error:
        raise malformed_answer(f"{name} is not hexadecimal") from error


def _no_field(name: str) -> bytes:
    raise malformed_answer(f"no field {name}")


__all__ = ["BulkAnswer", "Client", "retry_after_s"]
