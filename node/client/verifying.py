"""Checks of what a node answers: every claim comes with a proof, and the proof is checked against the light client."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, NoReturn, TypeVar

from ledger.block import OK, Header, Receipt, block_id
from ledger.encoding import Codec, Record
from ledger.errors import InvalidInput, InvalidProof, NotFound, PeerMisbehaved
from ledger.light_client import ClientState, Verify
from ledger.packet import HeaderProof
from ledger.proofs import (
    BlockProof,
    ChangeProof,
    StateProofAt,
    Step,
    TransactionProof,
    believe,
    block_codec,
    change_codec,
    header_proof_codec,
    state_codec,
    transaction_codec,
    verify_block,
    verify_change,
    verify_state_at,
    verify_transaction,
)
from ledger.transaction import Transaction
from ledger.types import Hash32, TxRef
from node.client.http import NodeHttp
from node.gateway import BlockEvents, Outcome
from node.light import LightClient, ProvedAnswer, read_answer, read_back

P = TypeVar("P", bound=Record)
V = TypeVar("V")

MAX_FOLLOWS: Final = 3
"""How often one question is asked anew because the set of validators changed before its block."""
_UNPROVED_YET: Final = frozenset({"state_changed", "checkpoint_missing"})


@dataclass(frozen=True, slots=True)
class ProvedTransaction:
    """A transaction of a block, and everything that proves it.

    Attributes:
        transaction: as it stands in the block.
        receipt: what became of it; ``receipt.code`` is ``ok`` or the reason of the refusal.
        header: of the block.
        block_id: of it, 32 bytes.
        index: place in the block.
        proof: to be kept or handed on.
    """

    transaction: Transaction
    receipt: Receipt
    header: Header
    block_id: Hash32
    index: int
    proof: TransactionProof

    @property
    def outcome(self) -> Outcome:
        """As ``Client.outcome`` gives it."""
        receipt = self.receipt
        status = "committed" if receipt.code == OK else "refused"
        return Outcome(
            receipt.tx_id, status, receipt.code, self.header.height, self.index, receipt.events, receipt.results
        )


@dataclass(frozen=True, slots=True)
class ProvedBlock:
    """A block's transactions by name, and all its results.

    Attributes:
        header: of the block.
        refs: transaction id and witness hash of each transaction, 64 bytes, in order.
        receipts: one for each transaction, then the end of the block's.
        proof: to be kept or handed on.
    """

    header: Header
    refs: tuple[TxRef, ...]
    receipts: tuple[Receipt, ...]
    proof: BlockProof


@dataclass(frozen=True, slots=True)
class ProvedState:
    """What a state key held after a block; what happened since is not said.

    Attributes:
        key: state key.
        value: what it held; None: nothing.
        height: of that block: the newest checkpoint's, or that of a later block that wrote the key.
        header: that proves it: of the block that carries the checkpoint's root, or of the block itself.
        proof: to be kept or handed on.
    """

    key: bytes
    value: bytes | None
    height: int
    header: Header
    proof: StateProofAt | ChangeProof


class Verifier:
    """See the module. Every method asks one node, and raises ``PeerMisbehaved`` when what it says is not proved.

    Args:
        light: what is believed.

    Attributes:
        light: as given.
    """

    def __init__(self, light: LightClient) -> None:
        self.light = light

    async def _ask(
        self,
        node: NodeHttp,
        method: str,
        params: dict[str, Any],
        codec: Codec[P],
        header_of: Callable[[P], HeaderProof],
        check: Callable[[P, ClientState, Verify], V],
    ) -> tuple[P, V]:
        light = self.light
        for _ in range(MAX_FOLLOWS):
            light.check_open()
            known = light.state
            document = await node.call(method, {**params, "known_height": known.latest.height})
            answer = read_answer(document, ProvedAnswer)
            if answer.changes:
                await light.follow_changes(node)
                continue
            try:
                proof = codec.decode(answer.proof)
                value = check(proof, known, light.verify_signature)
                header = header_of(proof)
                if header.certificate is not None:
                    light.accept(Step(header, read_back(answer)), known)
            except InvalidInput as error:
                raise await light.judge(node, error) from error
            return proof, value
        raise PeerMisbehaved("the node says again and again that the set of validators changed", code="follow_stalled")

    async def header(self, node: NodeHttp, height: int) -> tuple[Header, Hash32]:
        """A header of the chain."""

        def check(proof: HeaderProof, known: ClientState, verify: Verify) -> Hash32:
            _check_height(proof, height)
            believe(known, proof, verify)
            return block_id(proof.header)

        proof, name = await self._ask(
            node, "proof.header", {"height": height}, header_proof_codec, lambda found: found, check
        )
        return proof.header, name

    async def transaction(self, node: NodeHttp, tx_id: bytes) -> ProvedTransaction:
        """A committed transaction. Raises ``NotFound`` where the node says that it is in no block."""

        def check(proof: TransactionProof, known: ClientState, verify: Verify) -> tuple[Transaction, Receipt]:
            found = verify_transaction(proof, known, verify)
            if found[0].tx_id != tx_id:
                raise InvalidProof("the proof is of another transaction", code="proof_transaction_wrong")
            return found

        proof, (transaction, receipt) = await self._ask(
            node, "proof.transaction", {"tx_id": tx_id.hex()}, transaction_codec, lambda found: found.header, check
        )
        header = proof.header.header
        return ProvedTransaction(transaction, receipt, header, block_id(header), proof.inclusion.index, proof)

    async def outcome(self, node: NodeHttp, claimed: Outcome) -> Outcome:
        """The outcome of a transaction that a node says is in a block."""
        try:
            proved = (await self.transaction(node, claimed.tx_id)).outcome
        except NotFound as error:
            if error.code != NotFound.code:
                raise
            raise PeerMisbehaved(
                "the node says that the transaction is in a block, and cannot prove it", code="proof_withheld"
            ) from error
        if proved != claimed:
            fields = Outcome.__struct_fields__
            wrong = next(name for name in fields if getattr(proved, name) != getattr(claimed, name))
            raise PeerMisbehaved(
                f"the node's outcome is not the proved one: {wrong} differs", code="outcome_false", field=wrong
            )
        return proved

    async def block(self, node: NodeHttp, height: int) -> ProvedBlock:
        """Refs and receipts of a block."""

        def check(proof: BlockProof, known: ClientState, verify: Verify) -> tuple[list[TxRef], list[Receipt]]:
            _check_height(proof.header, height)
            return verify_block(proof, known, verify)

        proof, (refs, receipts) = await self._ask(
            node, "proof.block", {"height": height}, block_codec, lambda found: found.header, check
        )
        return ProvedBlock(proof.header.header, tuple(refs), tuple(receipts), proof)

    async def events(self, node: NodeHttp, height: int) -> BlockEvents:
        """The events of a block, from its proved receipts."""
        block = await self.block(node, height)
        header = block.header
        events = tuple((receipt.tx_id, event) for receipt in block.receipts for event in receipt.events)
        return BlockEvents(height, block_id(header), header.time_ms, events)

    # --- state ------------------------------------------------------------------------------------------------------

    async def state(self, node: NodeHttp, key: bytes) -> ProvedState:
        """What a state key held at the newest checkpoint, or what a later block wrote.

        Raises:
            NotFound: ``change_missing``: there is no checkpoint yet, and no block wrote it.
        """
        try:
            return await self._at_checkpoint(node, key)
        except NotFound as error:
            if error.code not in _UNPROVED_YET:
                raise
        return await self._change(node, key)

    @property
    def due_checkpoint(self) -> int:
        """Height of the newest header with a state root that the chain must have by now; 0: none."""
        interval = self.light.genesis.parameters.checkpoint_interval
        newest = self.light.height // interval * interval
        return newest if newest >= 2 * interval else 0

    async def _at_checkpoint(self, node: NodeHttp, key: bytes) -> ProvedState:
        due = self.due_checkpoint

        def check(proof: StateProofAt, known: ClientState, verify: Verify) -> bytes | None:
            _check_key(proof.key, key)
            if proof.header.header.height < due:
                raise InvalidProof(
                    f"the proof is of the state before {proof.header.header.height}, that before {due} is due",
                    code="proof_stale",
                )
            return verify_state_at(proof, known, verify)

        proof, value = await self._ask(
            node, "proof.state", {"key": key.hex()}, state_codec, lambda found: found.header, check
        )
        header = proof.header.header
        return ProvedState(key, value, header.checkpoint_height, header, proof)

    async def _change(self, node: NodeHttp, key: bytes) -> ProvedState:
        interval, due = self.light.genesis.parameters.checkpoint_interval, self.due_checkpoint

        def check(proof: ChangeProof, known: ClientState, verify: Verify) -> bytes | None:
            _check_key(proof.key, key)
            if due and proof.header.header.height <= due - interval:
                raise InvalidProof(
                    f"block {proof.header.header.height} is older than the state that can be proved",
                    code="proof_stale",
                )
            return verify_change(proof, known, verify)

        proof, value = await self._ask(
            node, "proof.change", {"key": key.hex()}, change_codec, lambda found: found.header, check
        )
        header = proof.header.header
        return ProvedState(key, value, header.height, header, proof)


def _check_height(proof: HeaderProof, height: int) -> None:
    if proof.header.height != height:
        raise InvalidProof(
            f"header {proof.header.height} instead of {height}", code="proof_height_wrong", height=proof.header.height
        )


def _check_key(found: bytes, wanted: bytes) -> None:
    if found != wanted:
        raise InvalidProof("the proof is of another state key", code="proof_key_wrong")


def false_claim(what: str, code: str = "claim_false") -> NoReturn:
    """Ends a call: the node's plain answer is not what it proved."""
    raise PeerMisbehaved(f"the node's answer is not the proved one: {what}", code=code)
