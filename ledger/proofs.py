"""Proofs that need no node: a header, a transaction and what became of it, a state record, against a chain's genesis.

Whoever checks them keeps a light client (``ledger.light_client``) that began at the genesis file. Each proof holds a
header and why to believe it: above the client's latest header by its commit certificate, at that header by being it,
below by its place in that header's history. So one certificate proves everything that came before it, and no former
set can forge what is past.

Proofs that travel in files bring the headers along that take a client from the genesis file to their set (``follow``).
"""

from __future__ import annotations

from typing import Annotated, Final

from msgspec import Meta

from ledger.block import (
    MAX_BLOCK_TRANSACTIONS,
    PROTOCOL_VERSION,
    Header,
    Receipt,
    block_id,
    change_leaf,
    receipt_codec,
    receipts_root,
    split_refs,
    transactions_root,
)
from ledger.chain_proof import Inclusion
from ledger.checkpoint_proof import StateProof, verify_state_value
from ledger.encoding import Codec, Record
from ledger.errors import InvalidProof
from ledger.genesis import Genesis
from ledger.keys import verify as verify_signature
from ledger.light_client import ClientState, Verify, advance, begin, check_older
from ledger.packet import HeaderProof
from ledger.transaction import MAX_TRANSACTION_BYTES, TX_REF_BYTES, Transaction
from ledger.types import Hash32, TxRef

MAX_FOLLOWED: Final = 65_536
"""Headers that change the set between a genesis file and a proof: at an epoch an hour, seven years."""
MAX_PROOF_BYTES: Final = 16 * 1024 * 1024
MAX_RECEIPT_BYTES: Final = 4 * 1024 * 1024
MAX_STATE_KEY_BYTES: Final = 4 * 1024
MAX_STATE_VALUE_BYTES: Final = 8 * 1024 * 1024

_Receipt = Annotated[bytes, Meta(max_length=MAX_RECEIPT_BYTES)]
_Key = Annotated[bytes, Meta(min_length=1, max_length=MAX_STATE_KEY_BYTES)]
_Value = Annotated[bytes, Meta(max_length=MAX_STATE_VALUE_BYTES)]


class Step(Record, frozen=True):
    """A header above the one that a client knows, and that it descends from that one.

    Attributes:
        proof: with its certificate.
        back: place of the known header's id under ``history_root``; None where it is the parent.
    """

    proof: HeaderProof
    back: Inclusion | None


class TransactionProof(Record, frozen=True):
    """A transaction of a block and its receipt.

    Attributes:
        header: of the block.
        transaction: wire bytes.
        inclusion: of its ref (64 bytes) under ``transactions_root``; names its place in the block.
        receipt: canonical bytes of its ``Receipt``.
        receipt_inclusion: of those under ``receipts_root``, at the same place.
    """

    header: HeaderProof
    transaction: Annotated[bytes, Meta(max_length=MAX_TRANSACTION_BYTES)]
    inclusion: Inclusion
    receipt: _Receipt
    receipt_inclusion: Inclusion


class StateProofAt(Record, frozen=True):
    """What a state key held, or that it held nothing, after the block of a checkpoint.

    Attributes:
        header: one that carries ``checkpoint_root``; the proof is of the state at its ``checkpoint_height``.
        proof: of the key's bucket.
        key: state key (``ledger.state``): ``c ‖ address ‖ 00 ‖ key`` for a contract's own.
        value: what it held; None: nothing.
    """

    header: HeaderProof
    proof: StateProof
    key: _Key
    value: _Value | None


class ChangeProof(Record, frozen=True):
    """That a block wrote or deleted a state key.

    It does not say that no later block wrote it again.

    Attributes:
        header: of the block.
        inclusion: of ``change_leaf(key, value)`` under ``changes_root``.
        key: state key.
        value: its value after the block; None: the block deleted it.
    """

    header: HeaderProof
    inclusion: Inclusion
    key: _Key
    value: _Value | None


class HistoryProof(Record, frozen=True):
    """That a header lies in the history of a later one.

    Attributes:
        header: the earlier one.
        inclusion: of its block id under the later header's ``history_root``.
        later: the later one.
    """

    header: Header
    inclusion: Inclusion
    later: HeaderProof


class BlockProof(Record, frozen=True):
    """A whole block's transaction ids and results.

    Attributes:
        header: of the block.
        refs: all transaction refs, 64 bytes each, concatenated.
        receipts: canonical bytes: one for each transaction, then the end of the block's.
    """

    header: HeaderProof
    refs: Annotated[bytes, Meta(max_length=TX_REF_BYTES * MAX_BLOCK_TRANSACTIONS)]
    receipts: Annotated[tuple[_Receipt, ...], Meta(max_length=MAX_BLOCK_TRANSACTIONS + 1)]


header_proof_codec = Codec(HeaderProof, 128 * 1024, "header proof")
step_codec = Codec(Step, 128 * 1024, "header proof")
transaction_codec = Codec(TransactionProof, MAX_PROOF_BYTES, "transaction proof")
state_codec = Codec(StateProofAt, MAX_PROOF_BYTES, "state proof")
change_codec = Codec(ChangeProof, MAX_PROOF_BYTES, "change proof")
history_codec = Codec(HistoryProof, 256 * 1024, "history proof")
block_codec = Codec(BlockProof, 2 * MAX_PROOF_BYTES, "block proof")


# --- where trust begins ---------------------------------------------------------------------------------------------


def client_of(genesis: Genesis, header: Header) -> ClientState:
    """The light client that trusts a genesis file and nothing else.

    Args:
        genesis: from a source that is trusted.
        header: of the genesis block, as the file makes it (``contracts.builtin.genesis_block``); not from a node.

    Raises:
        InvalidProof: ``client_genesis_wrong``: that is not the header of this genesis file's block.
    """
    if (header.chain_id, header.height, header.parent, header.time_ms) != (
        genesis.chain_id,
        0,
        genesis.hash,
        genesis.created_ms,
    ):
        raise InvalidProof("the header is not of this genesis file's block", code="client_genesis_wrong")
    return begin(genesis.name, "bridge", header, genesis.validator_set())


def believe(client: ClientState, proof: HeaderProof, verify: Verify = verify_signature) -> ClientState:
    """The client after a header: advanced where the header is above its latest one, the same otherwise.

    Args:
        client: as it is.
        proof: certificate alone: a header above the latest; history alone: one below; neither: the latest itself.
        verify: of one signature.

    Raises:
        InvalidProof: ``client_*``: the header is not shown to be of the chain.
        InvalidInput: ``certificate_invalid``: no quorum of the set sealed it.
    """
    if proof.certificate is not None:
        if proof.history is not None or proof.anchor_height:
            raise InvalidProof("a certificate and a history, where one is enough", code="client_header_wrong")
        return advance(client, proof, verify)
    header, latest = proof.header, client.latest
    if client.frozen:
        raise InvalidProof("two certified headers of one height were shown", code="client_frozen")
    if header.chain_id != client.chain_id:
        raise InvalidProof("the header is of another chain", code="client_chain_wrong")
    if header.version != PROTOCOL_VERSION or proof.validators:
        raise InvalidProof("the header has another version, or names a set for nothing", code="client_header_wrong")
    if proof.history is not None:
        if proof.anchor_height != latest.height:
            raise InvalidProof(
                f"the header's history is shown to {proof.anchor_height}, the client is at {latest.height}",
                code="client_history_missing",
            )
        check_older(latest, proof)
    elif proof.anchor_height:
        raise InvalidProof("an anchor without history", code="client_header_wrong")
    elif header.height != latest.height:
        raise InvalidProof("the header comes without certificate and history", code="client_certificate_missing")
    elif block_id(header) != latest.block_id:
        raise InvalidProof(f"another header {header.height} than the one that is known", code="client_header_other")
    return client


def follow(client: ClientState, changes: tuple[HeaderProof, ...], verify: Verify = verify_signature) -> ClientState:
    """The client after headers that change the set, each shown with its certificate.

    Raises:
        InvalidProof: as ``believe``; ``client_step_idle``: a header that changes nothing is among them, so that
            nobody can keep a client busy with headers that it does not need.
    """
    for proof in changes:
        header = proof.header
        if header.next_validators_hash == header.validators_hash:
            raise InvalidProof(f"header {header.height} does not change the set", code="client_step_idle")
        client = believe(client, proof, verify)
    return client


def check_descends(client: ClientState, header: Header, back: Inclusion | None) -> None:
    """Checks that a header above the client's latest one has that one in its history.

    A certificate alone does not show it; whoever asks for this as well notices a fork when it meets one.

    Args:
        client: before ``header``.
        header: above the latest.
        back: place of the latest header's id under ``header.history_root``; None where the heights follow each other.

    Raises:
        InvalidProof: ``client_parent_wrong``, ``client_history_missing``, ``proof_invalid``.
    """
    latest = client.latest
    if back is None:
        if header.height != latest.height + 1:
            raise InvalidProof(
                f"header {header.height} is not shown to descend from {latest.height}", code="client_history_missing"
            )
        if header.parent != latest.block_id:
            raise InvalidProof("the header's parent is not the block before it", code="client_parent_wrong")
        return
    if (back.index, back.size) != (latest.height, header.height):
        raise InvalidProof(
            f"header {header.height} is not shown to descend from {latest.height}", code="client_history_missing"
        )
    back.check(latest.block_id, header.history_root)


# --- what is proved -------------------------------------------------------------------------------------------------


def verify_transaction(
    proof: TransactionProof, client: ClientState, verify: Verify = verify_signature
) -> tuple[Transaction, Receipt]:
    """The transaction that a block contains, and its receipt: ``receipt.code`` says whether it took effect.

    The header that it stands in is ``proof.header.header``; take the client on with ``believe`` where it is newer.

    Args:
        proof: from anybody.
        client: of the chain.
        verify: of one signature.

    Raises:
        InvalidProof: ``client_*``, ``proof_invalid``, ``proof_transaction_wrong``, ``proof_receipt_wrong``.
        InvalidInput: the certificate is not of a quorum, or bytes do not decode.
    """
    believe(client, proof.header, verify)
    header = proof.header.header
    transaction = Transaction.decode(proof.transaction)
    if transaction.body.chain_id != header.chain_id:
        raise InvalidProof("the transaction is of another chain", code="proof_transaction_wrong")
    place, results = proof.inclusion, proof.receipt_inclusion
    if place.size != header.transactions_count:
        raise InvalidProof("the tree has another size than the block", code="proof_transaction_wrong")
    place.check(transaction.ref, header.transactions_root)
    if (results.index, results.size) != (place.index, place.size + 1):
        raise InvalidProof("the receipt is of another place in the block", code="proof_receipt_wrong")
    results.check(proof.receipt, header.receipts_root)
    receipt = receipt_codec.decode(proof.receipt)
    if receipt.tx_id != transaction.tx_id:
        raise InvalidProof("the receipt is of another transaction", code="proof_receipt_wrong")
    return transaction, receipt


def verify_state_at(proof: StateProofAt, client: ClientState, verify: Verify = verify_signature) -> bytes | None:
    """The value of ``proof.key`` after block ``proof.header.header.checkpoint_height``; None: there was none.

    Raises:
        InvalidProof: ``client_*``, ``proof_invalid``; ``proof_checkpoint_missing``: the header carries no state root.
    """
    believe(client, proof.header, verify)
    header = proof.header.header
    if header.checkpoint_height == 0:
        raise InvalidProof(f"header {header.height} carries no root of a state", code="proof_checkpoint_missing")
    verify_state_value(proof.proof, proof.key, proof.value, header.checkpoint_root)
    return proof.value


def verify_change(proof: ChangeProof, client: ClientState, verify: Verify = verify_signature) -> bytes | None:
    """What block ``proof.header.header.height`` wrote under ``proof.key``; None: it deleted it.

    Raises:
        InvalidProof: ``client_*``, ``proof_invalid``, ``proof_change_wrong``.
    """
    believe(client, proof.header, verify)
    header = proof.header.header
    if proof.inclusion.size != header.changes_count:
        raise InvalidProof("the tree has another size than the block's changes", code="proof_change_wrong")
    proof.inclusion.check(change_leaf(proof.key, proof.value), header.changes_root)
    return proof.value


def verify_history(proof: HistoryProof, client: ClientState, verify: Verify = verify_signature) -> Hash32:
    """Id of ``proof.header``, which the chain had at its height.

    Raises:
        InvalidProof: ``client_*``, ``proof_invalid``, ``proof_history_wrong``.
    """
    believe(client, proof.later, verify)
    header, later, name = proof.header, proof.later.header, block_id(proof.header)
    if header.version != PROTOCOL_VERSION or header.chain_id != client.chain_id:
        raise InvalidProof("the earlier header is of another chain or version", code="proof_history_wrong")
    if (proof.inclusion.index, proof.inclusion.size) != (header.height, later.height):
        raise InvalidProof("the place in the history is another header's", code="proof_history_wrong")
    proof.inclusion.check(name, later.history_root)
    return name


def verify_block(
    proof: BlockProof, client: ClientState, verify: Verify = verify_signature
) -> tuple[list[TxRef], list[Receipt]]:
    """Refs and receipts of a whole block; the last receipt is the end of the block's.

    Raises:
        InvalidProof: ``client_*``; ``proof_block_wrong``: they are not what the header binds.
    """
    believe(client, proof.header, verify)
    header, refs = proof.header.header, split_refs(proof.refs)
    if len(refs) != header.transactions_count or transactions_root(refs) != header.transactions_root:
        raise InvalidProof("the transactions are not those of the block", code="proof_block_wrong")
    if len(proof.receipts) != len(refs) + 1 or receipts_root(proof.receipts) != header.receipts_root:
        raise InvalidProof("the receipts are not those of the block", code="proof_block_wrong")
    return refs, [receipt_codec.decode(data) for data in proof.receipts]
