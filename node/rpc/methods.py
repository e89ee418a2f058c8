"""The RPC's methods. Each takes named JSON parameters and returns a JSON document; docs/rpc.md lists them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Final, Protocol

import msgspec
from pjrpc.server import MethodRegistry

from ledger.block import receipt_codec
from ledger.document import from_document, to_document
from ledger.encoding import Record, encode
from ledger.errors import InvalidInput, NotFound
from ledger.transaction import MAX_TRANSACTION_BYTES, Transaction
from ledger.types import OutPoint
from node.chain import Chain
from node.local import LocalGateway
from node.rpc.errors import typed_errors

MAX_TIMEOUT_MS: Final = 60_000
MAX_EVENT_BLOCKS: Final = 256
_HEX_DIGITS: Final = frozenset("0123456789abcdef")


class NodeStatus(Protocol):
    """Who knows how the daemon is doing; ``node.status.StatusReport`` is one."""

    def document(self) -> dict[str, Any]:
        """The reply of ``node.status``."""
        ...


ServiceCall = Callable[[str, bytes], Awaitable[bytes]]
"""(service, payload) → answer, as this node's own organisation."""


class Methods:
    """Everything that RPC clients can ask.

    Args:
        chain: committed chain.
        gateway: of the daemon.
        status: how the daemon is doing.
        call_service: reaches the daemon's own services.
    """

    def __init__(self, chain: Chain, gateway: LocalGateway, status: NodeStatus, call_service: ServiceCall) -> None:
        self._chain = chain
        self._gateway = gateway
        self._status = status
        self._call_service = call_service

    def registry(self) -> MethodRegistry:
        """The methods under their RPC names."""
        registry = MethodRegistry()
        for name, function in (
            ("node.status", self.node_status),
            ("chain.info", self.chain_info),
            ("chain.genesis", self.chain_genesis),
            ("chain.state_hash", self.chain_state_hash),
            ("block.get", self.block_get),
            ("block.header", self.block_header),
            ("tx.submit", self.tx_submit),
            ("tx.submit_and_wait", self.tx_submit_and_wait),
            ("tx.outcome", self.tx_outcome),
            ("tx.get", self.tx_get),
            ("tx.wait", self.tx_wait),
            ("utxo.list", self.utxo_list),
            ("contract.list", self.contract_list),
            ("contract.view", self.contract_view),
            ("events.next", self.events_next),
            ("service.call", self.service_call),
        ):
            registry.add_method(typed_errors(function), name)
        return registry

    # --- node and chain -------------------------------------------------------------------------------------------

    async def node_status(self) -> dict[str, Any]:
        """How the daemon is doing."""
        return {**self._status.document(), "chain": to_document(await self._gateway.info())}

    async def chain_info(self) -> Any:
        """Where the chain stands on this node."""
        return to_document(await self._gateway.info())

    async def chain_genesis(self) -> Any:
        """The genesis document."""
        return msgspec.to_builtins(self._chain.genesis)

    async def chain_state_hash(self) -> dict[str, Any]:
        """Root of the whole state at the tip, computed now."""
        height, root = await self._gateway.state_hash()
        return {"height": height, "hash": root.hex()}

    async def block_get(self, height: Any = None, block_id: Any = None) -> dict[str, Any]:
        """A committed block, by height or by id."""
        store = self._chain.store
        if (height is None) == (block_id is None):
            raise InvalidInput("give either height or block_id", code="params_invalid")
        if block_id is not None:
            height = store.height_of(_bytes("block_id", block_id, 32))
            if height is None:
                raise NotFound(f"there is no block {block_id}")
        number = _int("height", height, 0, 2**53)
        block, name = store.block(number), (await self._gateway.header(number))[1]
        receipts = [receipt_codec.decode(data) for data in store.receipts(number)]
        return {
            "block_id": name.hex(),
            "header": to_document(block.header),
            "transactions": [block.refs[i : i + 32].hex() for i in range(0, len(block.refs), 64)],
            "certificate": to_document(store.certificate(number)) if number else None,
            "receipts": [{"tx_id": receipt.tx_id.hex(), "code": receipt.code} for receipt in receipts],
        }

    async def block_header(self, height: Any) -> dict[str, Any]:
        """Canonical bytes of a committed block's header."""
        header, name = await self._gateway.header(_int("height", height, 0, 2**53))
        return {"block_id": name.hex(), "header": encode(header).hex()}

    # --- transactions ---------------------------------------------------------------------------------------------

    async def tx_submit(self, transaction: Any) -> dict[str, Any]:
        """Hands a transaction in; idempotent."""
        return {"tx_id": (await self._gateway.submit(_transaction(transaction))).hex()}

    async def tx_submit_and_wait(self, transaction: Any, timeout_ms: Any = 30_000) -> Any:
        """Hands a transaction in and waits for its outcome."""
        timeout_s = _int("timeout_ms", timeout_ms, 0, MAX_TIMEOUT_MS) / 1000
        return to_document(await self._gateway.submit_and_wait(_transaction(transaction), timeout_s))

    async def tx_outcome(self, tx_id: Any) -> Any:
        """What is known of a transaction now."""
        return to_document(await self._gateway.outcome(_bytes("tx_id", tx_id, 32)))

    async def tx_get(self, tx_id: Any) -> dict[str, Any]:
        """A transaction's bytes and what is known of it."""
        name = _bytes("tx_id", tx_id, 32)
        transaction = await self._gateway.transaction(name)
        return {"transaction": transaction.wire.hex(), "outcome": to_document(await self._gateway.outcome(name))}

    async def tx_wait(self, tx_id: Any, timeout_ms: Any = 30_000) -> Any:
        """Waits for a transaction's outcome."""
        timeout_s = _int("timeout_ms", timeout_ms, 0, MAX_TIMEOUT_MS) / 1000
        return to_document(await self._gateway.wait(_bytes("tx_id", tx_id, 32), timeout_s))

    async def utxo_list(self, lock: Any, asset: Any = None, after: Any = None, limit: Any = 200) -> dict[str, Any]:
        """Unspent outputs with exactly this lock text."""
        found = await self._gateway.unspent(
            _text("lock", lock),
            asset=None if asset is None else _text("asset", asset),
            after=None if after is None else OutPoint(_bytes("after", after, 36)),
            limit=_int("limit", limit, 1, 1_000),
        )
        return {"unspent": [to_document(item) for item in found]}

    # --- contracts ------------------------------------------------------------------------------------------------

    async def contract_list(self) -> list[dict[str, Any]]:
        """The chain's contract instances."""
        return [
            {
                "address": address,
                "kind": contract.kind,
                "methods": list(contract.methods),
                "views": list(contract.views),
            }
            for address, contract in self._chain.rules.contracts.items()
        ]

    async def contract_view(self, contract: Any, view: Any, arguments: Any) -> dict[str, Any]:
        """Asks a contract's view; arguments are canonical bytes in hex, or a document."""
        address, name = _text("contract", contract), _text("view", view)
        if isinstance(arguments, str):
            data = _bytes("arguments", arguments)
        else:
            instance = self._chain.rules.contracts.get(address)
            known = None if instance is None else instance.views.get(name)
            data = b"" if known is None else _arguments(arguments, known.arguments_type)
        answer = self._gateway.run_view(address, name, data)
        return {"result": encode(answer).hex(), "document": to_document(answer)}

    async def events_next(self, from_height: Any, timeout_ms: Any = 10_000, limit: Any = 64) -> dict[str, Any]:
        """Events of committed blocks from a height on; waits for the first of them."""
        start = _int("from_height", from_height, 0, 2**53)
        count = _int("limit", limit, 1, MAX_EVENT_BLOCKS)
        await self._gateway.wait_for_height(start, _int("timeout_ms", timeout_ms, 0, MAX_TIMEOUT_MS) / 1000)
        tip = self._chain.tip.height
        last = min(tip, start + count - 1)
        blocks = [to_document(self._gateway.block_events(height)) for height in range(start, last + 1)]
        return {"blocks": blocks, "height": tip}

    async def service_call(self, service: Any, payload: Any) -> dict[str, Any]:
        """Asks a service of this node, as its own organisation."""
        answer = await self._call_service(_text("service", service), _bytes("payload", payload))
        return {"payload": answer.hex()}


def _arguments(document: Any, kind: type[Record]) -> bytes:
    try:
        return encode(from_document(document, kind))
    except UnicodeEncodeError as error:  # half of a surrogate pair, which JSON can say and UTF-8 cannot
        raise InvalidInput(f"arguments: {error.reason}", code="document_invalid") from error


def _transaction(value: Any) -> Transaction:
    return Transaction.decode(_bytes("transaction", value, max_bytes=MAX_TRANSACTION_BYTES))


def _bytes(name: str, value: Any, size: int | None = None, *, max_bytes: int = 1024 * 1024) -> bytes:
    if not isinstance(value, str) or len(value) > 2 * max_bytes:
        raise InvalidInput(f"{name} must be hex text of at most {max_bytes} bytes", code="params_invalid", param=name)
    if len(value) % 2 or not _HEX_DIGITS.issuperset(value):
        raise InvalidInput(f"{name} is not lower-case hexadecimal", code="params_invalid", param=name)
    data = bytes.fromhex(value)
    if size is not None and len(data) != size:
        raise InvalidInput(f"{name} must be {size} bytes of hex, not {len(data)}", code="params_invalid", param=name)
    return data


def _int(name: str, value: Any, low: int, high: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise InvalidInput(f"{name} must be a whole number from {low} to {high}", code="params_invalid", param=name)
    return value


def _text(name: str, value: Any) -> str:
    if not isinstance(value, str) or not 0 < len(value) <= 4_096:
        raise InvalidInput(f"{name} must be text of 1 to 4096 characters", code="params_invalid", param=name)
    return value
