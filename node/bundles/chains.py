"""Checks one chain's part of a bundle: headers from genesis on, and what each receipt, transaction and value proves."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final, TypeVar

from ledger.block import Header, Receipt, change_leaf, receipt_codec
from ledger.checkpoint_proof import verify_state_value
from ledger.encoding import Codec
from ledger.errors import InvalidGenesis, InvalidInput
from ledger.genesis import Genesis
from ledger.keys import parse_key, verify
from ledger.state import contract_prefix
from ledger.transaction import Transaction, Witness, witness_hash
from ledger.types import ZERO_HASH
from node.bundles.following import begin_at, follow
from node.bundles.records import ChainPart, Change, Standing, Step, section_digest
from node.evidence_bundle import refuse

T = TypeVar("T")
REFERENCE_BYTES: Final = 64
_witness_codec = Codec(Witness, 64 * 1024, "witness")


@dataclass(frozen=True, slots=True)
class Block:
    """A block whose header is certified.

    Attributes:
        header: itself.
        sealers: keys of the validators that signed for it.
        validators: how many validators the set had.
    """

    header: Header
    sealers: tuple[bytes, ...]
    validators: int


@dataclass(frozen=True, slots=True)
class ProvedStep:
    """A receipt that is proved to be in a certified block.

    Attributes:
        path: of the step in the bundle.
        height: of the block.
        time_ms: of the block.
        index: of the receipt.
        tx_id: of the transaction; zeros at the end of a block.
        receipt: what came of it.
        transaction: itself, where the bundle has it.
        signers: keys whose signatures over ``tx_id`` were verified here.
    """

    path: str
    height: int
    time_ms: int
    index: int
    tx_id: bytes
    receipt: Receipt
    transaction: Transaction | None
    signers: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class ProvedValue:
    """A value of the state: what it was after ``height``; ``checkpoint`` when proved of the whole state then."""

    path: str
    height: int
    value: bytes | None
    checkpoint: bool


@dataclass(frozen=True, slots=True)
class ProvedChain:
    """A chain's part, checked.

    Attributes:
        genesis: of the chain.
        path: of the part in the bundle.
        blocks: by height.
        steps: in the order of the chain.
        changes: by state key: every change that the bundle proves, in the order of the chain.
        standings: by state key: what the state held at a checkpoint.
        names: organisation of each key that the genesis file admits.
    """

    genesis: Genesis
    path: str
    blocks: dict[int, Block]
    steps: tuple[ProvedStep, ...]
    changes: dict[bytes, tuple[ProvedValue, ...]]
    standings: dict[bytes, ProvedValue]
    names: dict[bytes, str]

    def address(self, kind: str) -> str:
        """Address of the first contract of that kind; empty where the genesis file has none."""
        return next((doc.address for doc in self.genesis.contracts if doc.kind == kind), "")

    def kind(self, address: str) -> str:
        """Kind of the contract at an address; empty where the genesis file does not say."""
        return next((doc.kind for doc in self.genesis.contracts if doc.address == address), "")

    def newest(self, address: str, key: bytes) -> ProvedValue | None:
        """The newest that is proved of a contract's record: a change, or what it was at a checkpoint; or None."""
        changes, standing = self.changes.get(contract_prefix(address) + key), self.standing(address, key)
        last = changes[-1] if changes else None
        if last is None or (standing is not None and standing.height > last.height and standing.value != last.value):
            return standing
        return last

    def standing(self, address: str, key: bytes) -> ProvedValue | None:
        """What a contract's record was at a checkpoint, or None where the bundle does not say."""
        return self.standings.get(contract_prefix(address) + key)


def prove_part(part: ChainPart, genesis: Genesis, path: str) -> ProvedChain:
    """Checks a chain's part against its genesis file.

    Args:
        part: of the bundle.
        genesis: of that chain, from a trusted source.
        path: of the part in the bundle, for the text of a refusal.

    Raises:
        InvalidProof: something is not proved; ``data["field"]`` names it.
    """
    if part.chain_id != genesis.chain_id:
        refuse(f"{path}.chain_id", f"not the chain id of {genesis.name}", "bundle_genesis_other")
    blocks = _blocks(part, genesis, path)
    used: set[int] = set()
    steps = tuple(_step(step, genesis, blocks, used, f"{path}.steps[{i}]") for i, step in enumerate(part.steps))
    _ascending([(step.height, step.index) for step in part.steps], f"{path}.steps")
    changes: dict[bytes, tuple[ProvedValue, ...]] = {}
    for i, change in enumerate(part.changes):
        proved = _change(change, blocks, used, f"{path}.changes[{i}]")
        changes[change.key] = (*changes.get(change.key, ()), proved)
    _ascending([(change.height, change.key) for change in part.changes], f"{path}.changes")
    standings: dict[bytes, ProvedValue] = {}
    for i, standing in enumerate(part.standings):
        if standing.key in standings:
            refuse(f"{path}.standings[{i}].key", "stands twice")
        standings[standing.key] = _standing(standing, blocks, used, f"{path}.standings[{i}]")
    _ascending([(standing.height, standing.key) for standing in part.standings], f"{path}.standings")
    for i, step in enumerate(part.headers):
        header = step.header
        if header.height not in used and header.validators_hash == header.next_validators_hash:
            refuse(f"{path}.headers[{i}]", "nothing in the bundle is in this block, and it hands over to no other set")
    for name in ("headers", "steps", "changes", "standings"):
        if getattr(part.digests, name) != section_digest(name, part.chain_id, getattr(part, name)):
            refuse(f"{path}.digests.{name}", f"not the digest of {name}", "bundle_digest_wrong")
    return ProvedChain(genesis, path, blocks, steps, changes, standings, _names(genesis))


def _blocks(part: ChainPart, genesis: Genesis, path: str) -> dict[int, Block]:
    client, blocks = begin_at(genesis), {}
    for i, step in enumerate(part.headers):
        client = follow(client, step, f"{path}.headers[{i}]")
        sealers = tuple(key for key, _ in step.certificate.seals)
        blocks[step.header.height] = Block(step.header, sealers, len(step.validators))
    return blocks


def _block(blocks: dict[int, Block], used: set[int], height: int, path: str) -> Block:
    block = blocks.get(height)
    if block is None:
        refuse(f"{path}.height", f"the bundle has no header of height {height}")
    used.add(height)
    return block


def _step(step: Step, genesis: Genesis, blocks: dict[int, Block], used: set[int], path: str) -> ProvedStep:
    header = _block(blocks, used, step.height, path).header
    count, inclusion = header.transactions_count, step.receipt_inclusion
    if step.index > count:
        refuse(f"{path}.index", f"block {step.height} has {count} transactions")
    if (inclusion.index, inclusion.size) != (step.index, count + 1):
        refuse(f"{path}.receipt_inclusion", "of another place, or of a tree of another size")
    _checked(f"{path}.receipt", lambda: inclusion.check(step.receipt, header.receipts_root))
    receipt = _checked(f"{path}.receipt", lambda: receipt_codec.decode(step.receipt))
    if step.index == count:
        for field in ("transaction", "witness", "reference", "reference_inclusion"):
            if getattr(step, field):
                refuse(f"{path}.{field}", "the end of a block is no transaction")
        if receipt.tx_id != ZERO_HASH:
            refuse(f"{path}.receipt", "not the end of the block's")
        return ProvedStep(path, step.height, header.time_ms, step.index, ZERO_HASH, receipt, None, ())
    transaction, reference, witness = _transaction(step, genesis, path)
    place = step.reference_inclusion
    if place is None or (place.index, place.size) != (step.index, count):
        refuse(f"{path}.reference_inclusion", "missing, of another place, or of a tree of another size")
    field = "transaction" if transaction else "reference"
    _checked(f"{path}.{field}", lambda: place.check(reference, header.transactions_root))
    tx_id = reference[:32]
    if receipt.tx_id != tx_id:
        refuse(f"{path}.receipt", "the receipt of another transaction")
    for key, signature in witness.signatures:
        if not verify(key, tx_id, signature):
            refuse(f"{path}.{'transaction' if transaction else 'witness'}", "a signature does not verify")
    signers = tuple(key for key, _ in witness.signatures)
    return ProvedStep(path, step.height, header.time_ms, step.index, tx_id, receipt, transaction, signers)


def _transaction(step: Step, genesis: Genesis, path: str) -> tuple[Transaction | None, bytes, Witness]:
    if step.transaction:
        for field in ("witness", "reference"):
            if getattr(step, field):
                refuse(f"{path}.{field}", "the transaction is there and says it")
        transaction = _checked(f"{path}.transaction", lambda: Transaction.decode(step.transaction))
        return transaction, transaction.ref, transaction.witness
    if len(step.reference) != REFERENCE_BYTES:
        refuse(f"{path}.reference", f"{REFERENCE_BYTES} bytes are needed")
    witness = _checked(f"{path}.witness", lambda: _witness_codec.decode(step.witness))
    if witness_hash(genesis.chain_id, step.witness) != step.reference[32:]:
        refuse(f"{path}.witness", "not the witness that the reference names")
    return None, step.reference, witness


def _change(change: Change, blocks: dict[int, Block], used: set[int], path: str) -> ProvedValue:
    header, inclusion = _block(blocks, used, change.height, path).header, change.inclusion
    if inclusion.size != header.changes_count:
        refuse(f"{path}.inclusion.size", "of a tree of another size")
    _checked(f"{path}.value", lambda: inclusion.check(change_leaf(change.key, change.value), header.changes_root))
    return ProvedValue(path, change.height, change.value, checkpoint=False)


def _standing(standing: Standing, blocks: dict[int, Block], used: set[int], path: str) -> ProvedValue:
    header = _block(blocks, used, standing.height, path).header
    if not header.checkpoint_height:
        refuse(f"{path}.height", f"block {standing.height} carries no checkpoint")
    _checked(
        f"{path}.value",
        lambda: verify_state_value(standing.proof, standing.key, standing.value, header.checkpoint_root),
    )
    return ProvedValue(path, header.checkpoint_height, standing.value, checkpoint=True)


def _checked(field: str, check: Any) -> Any:
    try:
        return check()
    except InvalidInput as error:
        refuse(field, error.message, "bundle_unproved" if error.code == "proof_invalid" else error.code)


def _ascending(places: list[Any], path: str) -> None:
    for i, (before, after) in enumerate(pairwise(places), 1):
        if before >= after:
            refuse(f"{path}[{i}]", "out of order, or twice")


def _names(genesis: Genesis) -> dict[bytes, str]:
    try:
        return {bytes(parse_key(doc.key)): doc.organisation for doc in genesis.certificates}
    except InvalidInput as error:
        raise InvalidGenesis(f"genesis: {error.message}") from error


def decoded(codec: Codec[T], data: bytes, field: str) -> T:
    """A record out of proved bytes; refuses what is none, naming the field."""
    try:
        return codec.decode(data)
    except InvalidInput as error:
        refuse(field, error.message)


def codec_of(kind: type[T]) -> Codec[T]:
    """A decoder of a record that has none of its own."""
    return Codec(kind, 4 * 1024 * 1024)
