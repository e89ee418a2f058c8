"""How the chain's records look in the store: keys and record layouts (ledger/chain_store.py writes and reads them).

Local to one node and under no root; a change of layout raises ``FORMAT_VERSION``.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final

import msgspec

from ledger.certificate import CommitCertificate
from ledger.encoding import encode
from ledger.errors import StorageFault
from ledger.store import Kind

FORMAT_VERSION: Final = 1
"""Layout of every record below; a store with another number is refused."""

FORMAT_KEY: Final = Kind.META + b"format"
"""→ ``Format``: written once, with the genesis block."""
TIP_KEY: Final = Kind.META + b"tip"
"""→ (height, block id) of the last committed block."""
RETAINED_KEY: Final = Kind.META + b"retained"
"""→ u64: lowest height whose contents (transactions, receipts, changes) are kept; absent: all of them."""
BASE_KEY: Final = Kind.META + b"base"
"""→ u64: height from which every header is kept; absent: 0. Below it only block 0 and headers that change the set."""
HISTORY_PREFIX: Final = Kind.META + b"history"
"""``… ‖ u8 level ‖ u64 index`` → complete node of the history tree; level 0 are the leaf hashes."""

HEIGHT_BYTES: Final = 8

Change = tuple[bytes, bytes, bool]
"""State key, leaf hash of ``change_leaf(key, value)``, and whether the key was deleted."""


class Format(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """Which layout and which chain a store holds."""

    version: int
    chain_id: bytes
    genesis_hash: bytes


class StoredBlock(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """The ``Kind.BLOCK`` record: small, so that headers can be read without the block's contents."""

    header: msgspec.Raw
    certificate: msgspec.Raw


class StoredTransactions(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """The ``Kind.TRANSACTIONS`` record: the block's refs, concatenated, and the transactions' wire bytes."""

    refs: bytes
    transactions: msgspec.Raw


def _decoder(kind: Any) -> msgspec.msgpack.Decoder[Any]:
    return msgspec.msgpack.Decoder(kind)


_format = _decoder(Format)
_tip = _decoder(tuple[int, bytes])
_block = _decoder(StoredBlock)
_transactions = _decoder(StoredTransactions)
_bytes_list = _decoder(list[bytes])
_changes = _decoder(list[tuple[bytes, bytes, bool]])
_certificate = _decoder(CommitCertificate | None)


def height_key(kind: bytes, height: int) -> bytes:
    """Key of a height's record of that kind."""
    return kind + height.to_bytes(8, "big")


def history_key(level: int, index: int) -> bytes:
    """Key of a complete node of the history tree: root over the 2^level leaves from ``index·2^level`` on."""
    return HISTORY_PREFIX + bytes((level,)) + index.to_bytes(8, "big")


def changes_record(hashes: Iterable[tuple[bytes, bytes]], deleted: Iterable[bool]) -> bytes:
    """The ``Kind.CHANGES`` record of ``ledger.block.change_hashes`` and whether each of them is a deletion."""
    return encode([(key, leaf, gone) for (key, leaf), gone in zip(hashes, deleted, strict=True)])


def read(decoder: msgspec.msgpack.Decoder[Any], key: bytes, record: bytes) -> Any:
    """Decodes a stored record.

    Raises:
        StorageFault: with ``data["key"]``; the record has a good checksum and is not what it should be.
    """
    try:
        return decoder.decode(record)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise StorageFault(f"the stored record {key.hex()} does not decode: {error}", key=key) from error


def read_format(record: bytes) -> Format:
    """See ``FORMAT_KEY``."""
    result: Format = read(_format, FORMAT_KEY, record)
    return result


def read_tip(record: bytes) -> tuple[int, bytes]:
    """See ``TIP_KEY``."""
    result: tuple[int, bytes] = read(_tip, TIP_KEY, record)
    return result


def read_height(key: bytes, record: bytes | None) -> int:
    """A record that is a height, 0 where there is none: ``RETAINED_KEY``, ``BASE_KEY``.

    Raises:
        StorageFault: it has another length.
    """
    if record is None:
        return 0
    if len(record) != HEIGHT_BYTES:
        raise StorageFault(f"the stored record {key.hex()} is no height", key=key)
    return int.from_bytes(record, "big")


def read_block(key: bytes, record: bytes) -> StoredBlock:
    """The parts of a ``Kind.BLOCK`` record, still encoded."""
    result: StoredBlock = read(_block, key, record)
    return result


def read_certificate(key: bytes, raw: msgspec.Raw) -> CommitCertificate | None:
    """The certificate of a ``Kind.BLOCK`` record; None in the genesis block's."""
    result: CommitCertificate | None = read(_certificate, key, bytes(raw))
    return result


def read_transactions(key: bytes, record: bytes) -> StoredTransactions:
    """A ``Kind.TRANSACTIONS`` record; its ``transactions`` are still encoded."""
    result: StoredTransactions = read(_transactions, key, record)
    return result


def read_list(key: bytes, record: bytes | msgspec.Raw) -> list[bytes]:
    """A list of byte strings: transactions, or a ``Kind.RECEIPTS`` record."""
    result: list[bytes] = read(_bytes_list, key, bytes(record))
    return result


def read_changes(key: bytes, record: bytes) -> list[Change]:
    """A ``Kind.CHANGES`` record."""
    result: list[Change] = read(_changes, key, record)
    return result


def decided_block_bytes(block: StoredBlock, transactions: StoredTransactions) -> bytes:
    """Canonical bytes of the ``DecidedBlock``: an array of three, spliced without decoding the contents."""
    return b"".join((b"\x93", bytes(block.header), bytes(transactions.transactions), bytes(block.certificate)))


def index_value(height: int, index: int) -> bytes:
    """A ``Kind.TX_INDEX`` record: u64 height, u32 index in the block."""
    return height.to_bytes(8, "big") + index.to_bytes(4, "big")


def index_entries(tx_ids: Sequence[bytes], height: int) -> dict[bytes, bytes | None]:
    """The ``Kind.TX_INDEX`` records of a block."""
    prefix, kind = height.to_bytes(8, "big"), Kind.TX_INDEX
    return {kind + tx_id: prefix + index.to_bytes(4, "big") for index, tx_id in enumerate(tx_ids)}
