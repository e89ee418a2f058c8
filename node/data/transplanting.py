"""Carries a chain whose state is sound into a new store; what is damaged of single blocks stays behind.

A store with one damaged table cannot be kept: the table would stop every later compaction. So even the damage that a
few blocks from peers can mend ends with a new store. State, checkpoint tree and results are copied record by record,
blocks height by height, and what the blocks say of themselves (indexes) is written anew.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from ledger.block import block_id, header_codec
from ledger.chain_reader import ChainReader
from ledger.chain_records import TIP_KEY, height_key, index_entries, read_block, read_tip, read_transactions
from ledger.errors import StorageFault
from ledger.store import Kind, Store
from ledger.transaction import TX_REF_BYTES
from node.data.bulk_store import BulkStore

CHUNK_BYTES: Final = 1024 * 1024
WHOLE_KINDS: Final = (Kind.META, Kind.STATE, Kind.BUCKET, Kind.CHANGES, Kind.LOCAL)
"""Kinds that cannot be got back in parts: damage in one of them needs the state made again."""


async def transplant(damaged: Store, target: Path) -> list[int]:
    """Copies into a new store at ``target``, whole and closed on return; heights whose blocks must be fetched again.

    Raises:
        StorageFault: something is damaged that peers cannot give back in parts.
    """
    return await asyncio.to_thread(_transplant, damaged, target)


def _transplant(damaged: Store, target: Path) -> list[int]:
    record = damaged.get(TIP_KEY)
    if record is None:
        raise StorageFault("the store does not say which block is its last", key=TIP_KEY)
    tip, _ = read_tip(record)
    store = BulkStore(str(target))
    try:
        for kind in WHOLE_KINDS:
            for chunk in _chunks(damaged.iterate(kind)):
                store.write(chunk)
        _copy_old_index(damaged, store)
        lost = _copy_blocks(damaged, store, tip)
        store.finish()
        return lost
    finally:
        store.close()


def _chunks(records: Iterator[tuple[bytes, bytes]]) -> Iterator[dict[bytes, bytes]]:
    chunk: dict[bytes, bytes] = {}
    size_bytes = 0
    for key, value in records:
        chunk[key] = value
        size_bytes += len(key) + len(value)
        if size_bytes >= CHUNK_BYTES:
            yield chunk
            chunk, size_bytes = {}, 0
    yield chunk


def _copy_old_index(damaged: Store, store: Store) -> None:
    """Where transactions of pruned blocks were, as far as it can be read: nobody else knows."""
    try:
        for chunk in _chunks(damaged.iterate(Kind.TX_INDEX)):
            store.write(chunk)
    except StorageFault:
        return


def _copy_blocks(damaged: Store, store: Store, tip: int) -> list[int]:
    reader = ChainReader(damaged, tip + 1)
    lost: list[int] = []
    below: list[int] = [*_kept_below(reader)]
    for height in [*below, *range(reader.base_height, tip + 1)]:
        batch: dict[bytes, bytes | None] = {}
        kinds = [Kind.BLOCK] if height < reader.retained_height else [Kind.BLOCK, Kind.TRANSACTIONS, Kind.RECEIPTS]
        for kind in kinds:
            key = height_key(kind, height)
            try:
                record = damaged.get(key)
                if record is not None:
                    batch.update(_index(kind, height, key, record))
            except StorageFault:
                record = None
            if record is None:
                lost.append(height)
                batch.clear()
                break
            batch[key] = record
        store.write(batch)
    return lost


def _kept_below(reader: ChainReader) -> list[int]:
    return [int(height) for height in reader.kept_below_base()]


def _index(kind: bytes, height: int, key: bytes, record: bytes) -> dict[bytes, bytes | None]:
    """Index records that a block's own record gives."""
    if kind == Kind.BLOCK:
        header = header_codec.decode(bytes(read_block(key, record).header))
        return {Kind.BLOCK_INDEX + block_id(header): height.to_bytes(8, "big")}
    if kind == Kind.TRANSACTIONS:
        refs = read_transactions(key, record).refs
        return index_entries([refs[i : i + 32] for i in range(0, len(refs), TX_REF_BYTES)], height)
    return {}


def scan(store: Store) -> StorageFault | None:
    """Reads every record; the first fault found, or None."""
    try:
        store.verify()
    except StorageFault as error:
        return error
    return None
