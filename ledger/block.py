"""Block headers, blocks, receipts, and the roots that bind them (DESIGN.md 2)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, Final

from msgspec import Meta

from ledger.certificate import CommitCertificate
from ledger.encoding import Codec, Record, digest, encode
from ledger.errors import MalformedBytes
from ledger.merkle import leaf_hash, root, root_of_hashes
from ledger.transaction import TX_REF_BYTES
from ledger.types import MAX_HEIGHT, Hash32, TxRef

PROTOCOL_VERSION: Final = 1
MAX_BLOCK_TRANSACTIONS: Final = 4_096
MAX_BLOCK_BYTES: Final = 2 * 1024 * 1024
"""Sum of the wire bytes of a block's transactions."""
MAX_RECEIPT_EVENTS: Final = 256

_Hash = Annotated[bytes, Meta(min_length=32, max_length=32)]
_Height = Annotated[int, Meta(ge=0, le=MAX_HEIGHT)]
_Count = Annotated[int, Meta(ge=0, le=2**32 - 1)]


class Header(Record, frozen=True):
    """What a block id covers: neither round nor seals.

    Attributes:
        version: protocol version; a node that does not know it stops before the block.
        chain_id: 32 bytes.
        height: of this block.
        time_ms: milliseconds since 1970 UTC, strictly above the parent's.
        parent: id of block ``height − 1``; of the genesis block, the hash of the genesis file.
        history_root: RFC 6962 root over the ids of blocks 0 … height − 1.
        history_size: ``height``.
        proposer: signing key of the validator that made it.
        epoch: validator epoch.
        validators_hash: set that decides this height.
        next_validators_hash: set that decides the next one.
        transactions_root: over the transactions' refs (64 bytes each), in order.
        transactions_count: its leaves.
        receipts_root: over the receipts' canonical bytes: one for each transaction in order, then the end of the
            block's, so ``transactions_count + 1`` leaves.
        changes_root: over ``change_leaf(key, value)``, sorted by key.
        changes_count: its leaves.
        checkpoint_height: height whose whole state ``checkpoint_root`` is of, or 0 where there is none here.
        checkpoint_root: root of the whole state after that height, or zeros.
    """

    version: Annotated[int, Meta(ge=0, le=2**16 - 1)]
    chain_id: _Hash
    height: _Height
    time_ms: Annotated[int, Meta(ge=0, le=2**53 - 1)]
    parent: _Hash
    history_root: _Hash
    history_size: _Height
    proposer: Annotated[bytes, Meta(min_length=33, max_length=33)]
    epoch: _Height
    validators_hash: _Hash
    next_validators_hash: _Hash
    transactions_root: _Hash
    transactions_count: _Count
    receipts_root: _Hash
    changes_root: _Hash
    changes_count: _Count
    checkpoint_height: _Height
    checkpoint_root: _Hash


header_codec = Codec(Header, 4_096, "block header")


class Event(Record, frozen=True):
    """Something that a contract says has happened; names are constant snake_case, ``data`` a record's bytes."""

    contract: Annotated[str, Meta(min_length=1, max_length=64)]
    name: Annotated[str, Meta(min_length=1, max_length=64)]
    data: Annotated[bytes, Meta(max_length=64 * 1024)]


class Receipt(Record, frozen=True):
    """What became of one transaction, or of the end of a block.

    Attributes:
        tx_id: the transaction; zeros for what contracts did at the end of the block.
        code: ``ok``, or the stable reason code of the refusal. Never a text.
        events: in order; none when refused.
        results: canonical result bytes of each call; none when refused.
    """

    tx_id: _Hash
    code: Annotated[str, Meta(min_length=1, max_length=64)]
    events: tuple[Event, ...]
    results: tuple[bytes, ...]


receipt_codec = Codec(Receipt, 4 * 1024 * 1024, "receipt")
OK: Final = "ok"


class Block(Record, frozen=True):
    """A header and the refs of its transactions, concatenated: what is proposed and decided."""

    header: Header
    refs: Annotated[bytes, Meta(max_length=TX_REF_BYTES * MAX_BLOCK_TRANSACTIONS)]


block_codec = Codec(Block, 4_096 + TX_REF_BYTES * MAX_BLOCK_TRANSACTIONS, "block")


class DecidedBlock(Record, frozen=True):
    """A whole block as peers hand it on: header, transactions in order, and the certificate."""

    header: Header
    transactions: Annotated[tuple[bytes, ...], Meta(max_length=MAX_BLOCK_TRANSACTIONS)]
    certificate: CommitCertificate


decided_block_codec = Codec(DecidedBlock, MAX_BLOCK_BYTES + 512 * 1024, "decided block")


def block_id(header: Header) -> Hash32:
    """The block's name: hash of its header."""
    return digest(b"tidegate/block", header.chain_id, encode(header))


def split_refs(refs: bytes) -> list[TxRef]:
    """The single refs in a block's ``refs``.

    Raises:
        MalformedBytes: the length is not a multiple of 64.
    """
    if len(refs) % TX_REF_BYTES:
        raise MalformedBytes("the refs of a block are 64 bytes each")
    return [TxRef(refs[i : i + TX_REF_BYTES]) for i in range(0, len(refs), TX_REF_BYTES)]


def transactions_root(refs: Iterable[bytes]) -> Hash32:
    """Root over transaction refs, in block order."""
    return root(list(refs))


def receipts_root(receipts: Sequence[bytes]) -> Hash32:
    """Root over the receipts' canonical bytes: one for each transaction, then the end of the block's."""
    return root(receipts)


def change_leaf(key: bytes, value: bytes | None) -> bytes:
    """Leaf of the changes tree: a state key and its new value, or None where it was deleted."""
    return encode((key, value))


def change_hashes(changes: Mapping[bytes, bytes | None]) -> list[tuple[bytes, Hash32]]:
    """(key, leaf hash) of each change, sorted by key."""
    return [(key, leaf_hash(encode((key, value)))) for key, value in sorted(changes.items())]


def changes_root(hashes: Iterable[tuple[bytes, bytes]]) -> Hash32:
    """Root over ``change_hashes``."""
    return root_of_hashes([leaf for _, leaf in hashes])
