"""RPC methods that prove: canonical bytes of the records of ``ledger.proofs``, in hex.

Whoever asks names the newest height that it trusts (0: the genesis block), so that the proof leads there.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Final

from msgspec import Meta

from ledger.encoding import Record, encode
from node.chain import Chain
from node.proving import MAX_STEPS, Prover
from node.rpc.fields import HEX, MAX_RPC_HEIGHT, Height, TxIdHex, unhex
from node.rpc.method import Method, Params, Result, Scope

MAX_KEY_BYTES: Final = 4 * 1024
Known = Annotated[
    int,
    Meta(ge=0, le=MAX_RPC_HEIGHT, description="Height of the newest header that you trust; 0: only the genesis file."),
]
StateKey = Annotated[
    str,
    Meta(
        min_length=2,
        max_length=2 * MAX_KEY_BYTES,
        pattern=HEX,
        description="State key in lower-case hex: `63 ‖ address ‖ 00 ‖ key` for a contract's own record.",
    ),
]
ProofHex = Annotated[
    str, Meta(pattern=HEX, description="Canonical bytes of the proof's record (ledger/proofs.py) in lower-case hex.")
]


class HeaderQuestion(Params, frozen=True):
    """Which header; without a height the newest."""

    height: Height | None = None
    known_height: Known = 0


class TransactionQuestion(Params, frozen=True):
    """Which transaction."""

    tx_id: TxIdHex
    known_height: Known = 0


class BlockQuestion(Params, frozen=True):
    """Which block."""

    height: Height
    known_height: Known = 0


class StateQuestion(Params, frozen=True):
    """Which state record."""

    key: StateKey
    known_height: Known = 0


class ChangeQuestion(Params, frozen=True):
    """Which state record, and which block wrote it; without a height the newest that did."""

    key: StateKey
    height: Height | None = None
    known_height: Known = 0


class HistoryQuestion(Params, frozen=True):
    """Which header, and in whose history."""

    height: Height
    later: Height
    known_height: Known = 0


class EpochsQuestion(Params, frozen=True):
    """From where on."""

    from_height: Known = 0
    limit: Annotated[int, Meta(ge=1, le=MAX_STEPS, description="Headers at most.")] = MAX_STEPS


class Proved(Result, frozen=True):
    """A proof.

    Attributes:
        kind: name of the record.
        proof: it.
        back: for a header above the known one: canonical bytes of the ``Inclusion`` of the known one's id in its
            history; null where there is none, or where it is the parent.
        changes: headers between the known one and this one that change the set of validators: follow those first
            (``proof.epochs``).
    """

    kind: str
    proof: ProofHex
    back: ProofHex | None
    changes: int


class Epochs(Result, frozen=True):
    """Headers that change the set of validators.

    Attributes:
        steps: canonical bytes of a ``Step`` each, in order, each descending from the one before.
        complete: false: there are more; ask again from the height of the last one.
        height: of the node's tip.
    """

    steps: list[ProofHex]
    complete: bool
    height: Height


class ProofMethods:
    """``proof.*``.

    Args:
        chain: committed chain.
    """

    def __init__(self, chain: Chain) -> None:
        self._chain = chain
        self._known_prover: Prover | None = None

    @property
    def _prover(self) -> Prover:
        # The documents are written from the table, without a chain behind it.
        if self._known_prover is None:
            self._known_prover = Prover(self._chain)
        return self._known_prover

    def table(self) -> tuple[Method, ...]:
        """See ``Area``."""
        gone = ("not_found", "pruned", "node_behind")

        def method(name: str, summary: str, params: type[Params], call: Any, **more: Any) -> Method:
            errors = (*gone, *more.pop("errors", ()))
            values: dict[str, Any] = {"scope": Scope.READ, "result": Proved, "cost": 5, **more}
            return Method(name=f"proof.{name}", summary=summary, params=params, call=call, errors=errors, **values)

        unknown = {"tx_id": "00" * 32}
        return (
            method(
                "header",
                "Proves a header by its certificate, or by the history of the one that you trust.",
                HeaderQuestion,
                self._header,
                example={"known_height": 0},
            ),
            method(
                "transaction",
                "Proves a committed transaction and its receipt.",
                TransactionQuestion,
                self._transaction,
                example=unknown,
                live_example=self._some_transaction,
            ),
            method(
                "block",
                "Proves the transaction ids and receipts of a whole block.",
                BlockQuestion,
                self._block,
                example={"height": 0},
            ),
            method(
                "state",
                "Proves what a state record was, or that there was none, at the newest checkpoint.",
                StateQuestion,
                self._state,
                errors=("checkpoint_missing", "state_changed"),
                example={"key": "63"},
                live_example=self._some_key,
            ),
            method(
                "change",
                "Proves what the newest block that wrote a state record wrote.",
                ChangeQuestion,
                self._change,
                errors=("change_missing", "change_overwritten"),
                cost=20,
                example={"key": "63"},
                live_example=self._some_change,
            ),
            method(
                "history",
                "Proves that a header is in the history of a later one.",
                HistoryQuestion,
                self._history,
                example={"height": 0, "later": 1},
            ),
            method(
                "epochs",
                "Gives the headers that change the set of validators, for a light client to follow.",
                EpochsQuestion,
                self._epochs,
                result=Epochs,
                example={"from_height": 0},
            ),
        )

    def _proved(self, proof: Record, height: int, known_height: int) -> Proved:
        prover = self._prover
        back = prover.step(height, known_height).back if height > known_height else None
        changes = len(prover.changes(known_height, height)) if height > known_height else 0
        return Proved(
            kind=type(proof).__name__,
            proof=encode(proof).hex(),
            back=None if back is None else encode(back).hex(),
            changes=changes,
        )

    async def _header(self, params: HeaderQuestion) -> Proved:
        height = self._chain.store.height if params.height is None else params.height
        return self._proved(self._prover.header(height, params.known_height), height, params.known_height)

    async def _transaction(self, params: TransactionQuestion) -> Proved:
        proof = self._prover.transaction(unhex(params.tx_id, "tx_id"), params.known_height)
        return self._proved(proof, proof.header.header.height, params.known_height)

    async def _block(self, params: BlockQuestion) -> Proved:
        return self._proved(self._prover.block(params.height, params.known_height), params.height, params.known_height)

    async def _state(self, params: StateQuestion) -> Proved:
        proof = self._prover.state(unhex(params.key, "key"), params.known_height)
        return self._proved(proof, proof.header.header.height, params.known_height)

    async def _change(self, params: ChangeQuestion) -> Proved:
        proof = await self._prover.change(unhex(params.key, "key"), params.known_height, params.height)
        return self._proved(proof, proof.header.header.height, params.known_height)

    async def _history(self, params: HistoryQuestion) -> Proved:
        proof = self._prover.history(params.height, params.later, params.known_height)
        return self._proved(proof, params.later, params.known_height)

    async def _epochs(self, params: EpochsQuestion) -> Epochs:
        found = self._prover.steps(params.from_height, params.limit)
        return Epochs(steps=[encode(step).hex() for step in found.steps], complete=found.complete, height=found.height)

    # --- examples that this node answers --------------------------------------------------------------------------

    async def _some_transaction(self) -> Mapping[str, Any] | None:
        store = self._chain.store
        for height in range(store.height, max(store.retained_height, store.height - 64), -1):
            refs = store.block(height).refs
            if refs:
                return {"tx_id": refs[:32].hex(), "known_height": 0}
        return None

    async def _some_key(self) -> Mapping[str, Any] | None:
        interval = self._chain.genesis.parameters.checkpoint_interval
        return {"key": b"c-absent".hex()} if self._chain.store.height >= 2 * interval else None

    async def _some_change(self) -> Mapping[str, Any] | None:
        store = self._chain.store
        changes = store.changes(store.height)
        return {"key": changes[0][0].hex()} if changes else None
