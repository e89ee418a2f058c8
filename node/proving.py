"""Makes the proofs of ``ledger.proofs`` from a node's chain.

Who asks names the height of the newest header that it trusts. What is below is proved by that header's history; what is
above by a certificate, and by the headers that change the set on the way (``steps``).
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Final

from ledger.block import Header, change_leaf
from ledger.chain_proof import Inclusion, inclusion_of
from ledger.chain_records import height_key
from ledger.checkpoint_proof import prove_state as prove_state_record
from ledger.checkpoint_proof import verify_state
from ledger.errors import InvalidProof, NotFound, StorageFault
from ledger.merkle import leaf_hash
from ledger.packet import HeaderProof
from ledger.proofs import (
    BlockProof,
    ChangeProof,
    HistoryProof,
    StateProofAt,
    Step,
    TransactionProof,
)
from ledger.state import contract_prefix
from ledger.store import Kind
from node.block_trees import BlockTrees
from node.chain import Chain
from node.relay.following import set_changes

MAX_STEPS: Final = 256
"""Headers of one answer of ``steps``; more are asked for again."""
MAX_STEP_BYTES: Final = 1024 * 1024
SEARCH_SLICE: Final = 16
"""Blocks whose changes are searched between two yields to the loop."""


@dataclass(frozen=True, slots=True)
class Steps:
    """Headers that take a client from a known one onwards.

    Attributes:
        steps: those that change the set, in order, each descending from the one before.
        complete: False: there are more; ask again from the last of these.
        height: of the node's tip.
    """

    steps: tuple[Step, ...]
    complete: bool
    height: int


class Prover:
    """See the module.

    Args:
        chain: committed chain of a node.
    """

    def __init__(self, chain: Chain) -> None:
        self._chain = chain
        self._trees = BlockTrees(chain.store)

    # --- headers --------------------------------------------------------------------------------------------------

    def header(self, height: int, known_height: int = 0) -> HeaderProof:
        """A header and why to believe it.

        Args:
            height: of it, at most the tip's.
            known_height: of the newest header that the asker trusts.

        Raises:
            NotFound: above the tip; ``pruned``; ``node_behind``: the asker is further than this node.
        """
        store = self._chain.store
        header = store.header(height)
        if known_height > store.height:
            raise NotFound(
                f"this node is at {store.height}, you know {known_height} already",
                code="node_behind",
                height=store.height,
            )
        if height == known_height:
            return HeaderProof(header, None, (), 0, None)
        if height < known_height:
            return HeaderProof(header, None, (), known_height, self._place(height, known_height))
        keys = tuple(bytes(key) for key in self._chain.seats_at(height).validators.keys)
        known = tuple(bytes(key) for key in self._chain.seats_at(known_height).validators.keys)
        named = () if keys == known and not self.changes(known_height, height) else keys
        return HeaderProof(header, store.certificate(height), named, 0, None)

    def changes(self, known_height: int, height: int) -> list[int]:
        """Heights between the two, exclusive, whose headers hand over to another set: the asker must see them first."""
        return set_changes(self._chain, known_height, height)

    def step(self, height: int, known_height: int) -> Step:
        """A header above a known one, with its certificate and its descent from that. Raises as ``header``."""
        back = None if height == known_height + 1 else self._place(known_height, height)
        return Step(self.header(height, known_height), back)

    def steps(self, from_height: int, limit: int = MAX_STEPS) -> Steps:
        """The headers that change the set above ``from_height``, as many as one answer takes.

        Raises:
            NotFound: as ``header``.
        """
        tip = self._chain.store.height
        if from_height > tip:
            raise NotFound(f"this node is at {tip}, you know {from_height} already", code="node_behind", height=tip)
        heights = self.changes(from_height, tip)
        found: list[Step] = []
        size_bytes, known = 0, from_height
        for height in heights[: min(limit, MAX_STEPS)]:
            step = self.step(height, known)
            size_bytes += _step_bytes(step)
            if found and size_bytes > MAX_STEP_BYTES:
                break
            found.append(step)
            known = height
        return Steps(tuple(found), len(found) == len(heights), tip)

    # --- contents -------------------------------------------------------------------------------------------------

    def transaction(self, tx_id: bytes, known_height: int = 0) -> TransactionProof:
        """A committed transaction and its receipt.

        Raises:
            NotFound: not in a block; or as ``header``.
        """
        place = self._chain.store.find_transaction(tx_id)
        if place is None:
            raise NotFound("the transaction is in no block of this node's chain")
        height, index = place
        block = self._trees.at(height)
        return TransactionProof(
            self.header(height, known_height),
            block.transactions[index],
            block.refs_tree.inclusion(index),
            block.receipts[index],
            block.receipts_tree.inclusion(index),
        )

    def block(self, height: int, known_height: int = 0) -> BlockProof:
        """Refs and receipts of a block. Raises ``NotFound`` as ``header``."""
        proof = self.header(height, known_height)
        block = self._trees.at(height)
        return BlockProof(proof, block.refs, tuple(block.receipts))

    def history(self, height: int, later: int, known_height: int = 0) -> HistoryProof:
        """That header ``height`` is in the history of header ``later``. Raises ``NotFound`` as ``header``."""
        store = self._chain.store
        return HistoryProof(store.header(height), self._place(height, later), self.header(later, known_height))

    def _place(self, height: int, size: int) -> Inclusion:
        """Place of a block's id in the history of header ``size``.

        Raises:
            NotFound: ``pruned``: this node began at a later height and has not the tree below it.
        """
        store = self._chain.store
        try:
            return store.history_inclusion(height, size)
        except StorageFault as error:
            if height >= store.base_height:
                raise
            raise NotFound(
                f"this node joined at {store.base_height} and cannot show the history before it; ask another one",
                code="pruned",
                height=height,
                retained_height=store.base_height,
            ) from error

    # --- state ----------------------------------------------------------------------------------------------------

    def checkpoint_header(self) -> Header:
        """The newest header that carries the root of a state.

        Raises:
            NotFound: ``checkpoint_missing``: the chain is too young.
        """
        interval = self._chain.genesis.parameters.checkpoint_interval
        height = self._chain.store.height // interval * interval
        if height < 2 * interval:
            raise NotFound(
                f"the first state root is in header {2 * interval}; ask for the block that wrote the record",
                code="checkpoint_missing",
                height=2 * interval,
            )
        return self._chain.store.header(height)

    def state(self, key: bytes, known_height: int = 0) -> StateProofAt:
        """What a state key holds, or that it holds nothing, as the newest checkpoint says.

        Raises:
            NotFound: ``checkpoint_missing``; ``state_changed``: a block wrote the key since: ask for that change.
            NotFound: as ``header``.
        """
        header = self.checkpoint_header()
        with_header = self.header(header.height, known_height)
        snapshot = self._chain.store.store.snapshot()
        try:
            proof = prove_state_record(snapshot, key, header.checkpoint_height)
        finally:
            snapshot.close()
        value = self._chain.state.get(key)
        expected = None if value is None else leaf_hash(change_leaf(key, value))
        try:
            held = verify_state(proof, key, header.checkpoint_root)
        except InvalidProof as error:
            raise NotFound("this node has not the whole state of that height", code="checkpoint_missing") from error
        if held != expected:
            raise NotFound(
                f"the record was written after {header.checkpoint_height}; ask for that change",
                code="state_changed",
                checkpoint_height=header.checkpoint_height,
            )
        return StateProofAt(with_header, proof, key, value)

    async def change(self, key: bytes, known_height: int = 0, height: int | None = None) -> ChangeProof:
        """The newest block that wrote a state key, within two checkpoint intervals; or block ``height`` where given.

        Raises:
            NotFound: ``change_missing``: none of those blocks wrote it; ``change_overwritten``: the value that the
                given block wrote is not kept any more. Or as ``header``.
        """
        found = await self._newest_change(key) if height is None else height
        changes = self._chain.store.changes(found)
        value = self._chain.state.get(key)
        leaf = leaf_hash(change_leaf(key, value))
        for index, (changed, kept, _) in enumerate(changes):
            if changed != key:
                continue
            if kept != leaf:
                raise NotFound(f"a later block than {found} wrote the record again", code="change_overwritten")
            inclusion = inclusion_of([each for _, each, _ in changes], index)
            return ChangeProof(self.header(found, known_height), inclusion, key, value)
        raise NotFound(f"block {found} did not write that record", code="change_missing", height=found)

    async def _newest_change(self, key: bytes) -> int:
        store = self._chain.store
        tip, interval = store.height, self._chain.genesis.parameters.checkpoint_interval
        lowest = max(0, store.retained_height, tip - 2 * interval)
        for count, height in enumerate(range(tip, lowest - 1, -1)):
            record = store.store.get(height_key(Kind.CHANGES, height))
            # The record holds the keys as they are: looking for one is a hundred times cheaper than decoding it.
            if record is not None and key in record and any(each == key for each, _, _ in store.changes(height)):
                return height
            if count % SEARCH_SLICE == SEARCH_SLICE - 1:
                await asyncio.sleep(0)
        raise NotFound(f"no block from {lowest} to {tip} wrote that record", code="change_missing", height=lowest)


def contract_key(contract: str, key: bytes) -> bytes:
    """State key of a contract's own record.

    Args:
        contract: address.
        key: within the contract's space.
    """
    return contract_prefix(contract) + key


def _step_bytes(step: Step) -> int:
    certificate = step.proof.certificate
    return 1_024 + 34 * len(step.proof.validators) + 104 * (0 if certificate is None else len(certificate.seals))


# --- for whoever has a chain at hand and needs one proof -------------------------------------------------------------


def prove_header(chain: Chain, height: int, known_height: int = 0) -> HeaderProof:
    """See ``Prover.header``."""
    return Prover(chain).header(height, known_height)


def prove_transaction(chain: Chain, tx_id: bytes, known_height: int = 0) -> TransactionProof:
    """See ``Prover.transaction``."""
    return Prover(chain).transaction(tx_id, known_height)


def prove_state(chain: Chain, contract: str, key: bytes, known_height: int = 0) -> StateProofAt:
    """See ``Prover.state``; ``key`` is within the contract's space."""
    return Prover(chain).state(contract_key(contract, key), known_height)


def epoch_headers(chain: Chain, from_height: int = 0) -> tuple[HeaderProof, ...]:
    """Every header above ``from_height`` that changes the set, each for a client that has seen the one before."""
    prover, known = Prover(chain), from_height
    proofs: list[HeaderProof] = []
    for height in prover.changes(from_height, chain.tip.height):
        proofs.append(prover.header(height, known))
        known = height
    return tuple(proofs)
