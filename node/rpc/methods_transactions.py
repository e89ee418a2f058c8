"""RPC methods about transactions: handing them in, what became of them, and what there is to spend."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from msgspec import Meta

from ledger.block import receipt_codec
from ledger.transaction import Output, Transaction
from ledger.types import OutPoint
from node.chain import Chain
from node.gateway import Outcome
from node.local import LocalGateway
from node.rpc.fields import MAX_PAGE, Name, Outpoint, TimeoutMs, TxIdHex, WireHex, unhex
from node.rpc.method import Method, Params, Result, Scope

SUBMIT_ERRORS = (
    "malformed",
    "non_canonical",
    "oversized",
    "version_unknown",
    "chain_wrong",
    "expired",
    "expiry_too_far",
    "replayed",
    "signature_invalid",
    "signature_missing",
    "signature_duplicate",
    "signature_superfluous",
    "signer_duplicate",
    "preimage_wrong",
    "preimage_duplicate",
    "input_missing",
    "input_conflict",
    "input_duplicate",
    "chain_too_deep",
    "sender_not_admitted",
    "not_permitted",
    "lock_unsatisfied",
    "lock_invalid",
    "unbalanced",
    "transaction_empty",
    "asset_unknown",
    "account_unknown",
    "contract_unknown",
    "method_unknown",
    "arguments_invalid",
    "limit_exceeded",
    "organisation_quota",
)
"""Codes of refused submissions; a contract's own codes come beside them."""
LOOK_BACK = 64
"""Blocks below the tip that are searched for an example transaction."""
_NO_TX = "00" * 32


class WireParams(Params, frozen=True):
    """A signed transaction."""

    transaction: WireHex


class WireWaitParams(Params, frozen=True):
    """A signed transaction, and how long to wait for its block."""

    transaction: WireHex
    timeout_ms: TimeoutMs = 30_000


class TxParams(Params, frozen=True):
    """Which transaction."""

    tx_id: TxIdHex


class TxWaitParams(Params, frozen=True):
    """Which transaction, and how long to wait for its block."""

    tx_id: TxIdHex
    timeout_ms: TimeoutMs = 30_000


class UnspentParams(Params, frozen=True):
    """Whose unspent outputs.

    Attributes:
        lock: exactly this lock text, such as `account(NAME)` or `key(ed25519:…)`.
        asset: only of this asset.
        after: outpoint to go on behind.
    """

    lock: Name
    asset: Name | None = None
    after: Outpoint | None = None
    limit: Annotated[int, Meta(ge=1, le=MAX_PAGE, description="Outputs at most.")] = 200


class TxName(Result, frozen=True):
    """Id of a transaction: the hash of its body."""

    tx_id: TxIdHex


class KnownTransaction(Result, frozen=True):
    """A transaction's canonical bytes and what is known of it."""

    transaction: WireHex
    outcome: Outcome


class UnspentOutput(Result, frozen=True):
    """An unspent output."""

    outpoint: Outpoint
    output: Output


class UnspentPage(Result, frozen=True):
    """A page of unspent outputs.

    Attributes:
        unspent: in order of their outpoints; outputs that waiting transactions spend are still listed.
        next: to be given as `after` for the next page; null when there is none.
    """

    unspent: Annotated[list[UnspentOutput], Meta(max_length=MAX_PAGE)]
    next: Outpoint | None


class TransactionMethods:
    """``tx.*`` and ``utxo.*``.

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
        return (
            Method(
                name="tx.submit",
                scope=Scope.SUBMIT,
                summary="Hands a transaction in; one that is known already, or committed, is accepted again.",
                params=WireParams,
                result=TxName,
                call=self._submit,
                errors=SUBMIT_ERRORS,
                cost=2,
                example={"transaction": "92c400c400"},
                live_example=self._some_wire,
                steady=True,
            ),
            Method(
                name="tx.submit_and_wait",
                scope=Scope.SUBMIT,
                summary="Hands a transaction in and waits for its outcome; idempotent.",
                params=WireWaitParams,
                result=Outcome,
                call=self._submit_and_wait,
                errors=SUBMIT_ERRORS,
                cost=3,
                example={"transaction": "92c400c400", "timeout_ms": 0},
                live_example=self._some_wire_at_once,
                steady=True,
            ),
            Method(
                name="tx.outcome",
                scope=Scope.READ,
                summary="Says what is known of a transaction now.",
                params=TxParams,
                result=Outcome,
                call=self._outcome,
                example={"tx_id": _NO_TX},
                live_example=self._some_id,
                steady=True,
            ),
            Method(
                name="tx.get",
                scope=Scope.READ,
                summary="Gives a transaction's bytes and what is known of it.",
                params=TxParams,
                result=KnownTransaction,
                call=self._get,
                errors=("not_found", "pruned"),
                example={"tx_id": _NO_TX},
                live_example=self._some_id,
                steady=True,
            ),
            Method(
                name="tx.wait",
                scope=Scope.READ,
                summary="Waits for a transaction's outcome.",
                params=TxWaitParams,
                result=Outcome,
                call=self._wait,
                example={"tx_id": _NO_TX, "timeout_ms": 0},
                live_example=self._some_id_at_once,
                steady=True,
            ),
            Method(
                name="utxo.list",
                scope=Scope.READ,
                summary="Lists unspent outputs with exactly this lock text.",
                params=UnspentParams,
                result=UnspentPage,
                call=self._unspent,
                errors=("lock_invalid", "name_invalid"),
                cost=5,
                example={"lock": "account(Insurer)", "limit": 1},
                live_example=self._some_lock,
            ),
        )

    # --- handing in -----------------------------------------------------------------------------------------------

    async def _submit(self, params: WireParams) -> TxName:
        transaction = Transaction.decode(unhex(params.transaction, "transaction"))
        return TxName(tx_id=(await self._gateway.submit(transaction)).hex())

    async def _submit_and_wait(self, params: WireWaitParams) -> Outcome:
        transaction = Transaction.decode(unhex(params.transaction, "transaction"))
        return await self._gateway.submit_and_wait(transaction, params.timeout_ms / 1000)

    # --- looking up -----------------------------------------------------------------------------------------------

    async def _outcome(self, params: TxParams) -> Outcome:
        return await self._gateway.outcome(unhex(params.tx_id, "tx_id"))

    async def _get(self, params: TxParams) -> KnownTransaction:
        name = unhex(params.tx_id, "tx_id")
        transaction = await self._gateway.transaction(name)
        return KnownTransaction(transaction=transaction.wire.hex(), outcome=await self._gateway.outcome(name))

    async def _wait(self, params: TxWaitParams) -> Outcome:
        return await self._gateway.wait(unhex(params.tx_id, "tx_id"), params.timeout_ms / 1000)

    async def _unspent(self, params: UnspentParams) -> UnspentPage:
        limit = min(params.limit, self._max_page)
        found = await self._gateway.unspent(
            params.lock,
            asset=params.asset,
            after=None if params.after is None else OutPoint(unhex(params.after, "after")),
            limit=limit,
        )
        return UnspentPage(
            unspent=[UnspentOutput(outpoint=item.outpoint.hex(), output=item.output) for item in found],
            next=found[-1].outpoint.hex() if len(found) == limit else None,
        )

    # --- examples that this chain answers ---------------------------------------------------------------------------

    def _some(self) -> Transaction | None:
        """A committed transaction of the last blocks."""
        tip = self._chain.tip.height
        for height in range(tip, max(0, tip - LOOK_BACK), -1):
            wires = self._chain.store.transactions(height)
            codes = [receipt_codec.decode(data).code for data in self._chain.store.receipts(height)]
            for wire, code in zip(wires, codes, strict=False):
                if code == "ok" and len(wire) < 4_096:
                    return Transaction.decode(wire)
        return None

    async def _some_wire(self) -> Mapping[str, Any] | None:
        found = self._some()
        return None if found is None else {"transaction": found.wire.hex()}

    async def _some_wire_at_once(self) -> Mapping[str, Any] | None:
        found = self._some()
        return None if found is None else {"transaction": found.wire.hex(), "timeout_ms": 0}

    async def _some_id(self) -> Mapping[str, Any] | None:
        found = self._some()
        return None if found is None else {"tx_id": found.tx_id.hex()}

    async def _some_id_at_once(self) -> Mapping[str, Any] | None:
        found = self._some()
        return None if found is None else {"tx_id": found.tx_id.hex(), "timeout_ms": 0}

    async def _some_lock(self) -> Mapping[str, Any] | None:
        """Lock of an output that a committed transaction or the genesis file made."""
        found = self._some()
        made = [] if found is None else [output.lock for output in found.body.outputs]
        locks = made or [supply.lock for asset in self._chain.genesis.assets for supply in asset.supply]
        return {"lock": locks[0], "limit": 1} if locks else None
