"""Makes a chain's state again by executing the blocks that a damaged store still has, into a new store.

Every block is checked as one from a peer is: parent, certificate of its height's validators, and our own execution
giving the same roots. At the first one that cannot be read or does not hold it ends; peers have the rest.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

import structlog

from ledger.block import block_id
from ledger.certificate import verify_certificate
from ledger.chain_reader import ChainReader
from ledger.chain_records import TIP_KEY, read_tip
from ledger.errors import InvalidInput, StorageFault
from ledger.genesis import Genesis
from ledger.store import Store
from ledger.transaction import Transaction
from ledger.types import MAX_HEIGHT
from node.chain import Chain
from node.data.bulk_store import BulkStore

log = structlog.get_logger(__name__)

REPORT_EVERY: Final = 10_000


async def salvage(genesis: Genesis, damaged: Store, target: Path) -> tuple[int, bool]:
    """Executes what ``damaged`` has into a new store at ``target``, which is whole and closed on return.

    Returns:
        Height reached, 0 when not even the first block could be had, and whether that is the damaged chain's tip.

    Raises:
        StorageFault: the damaged store cannot be read at all, or the new one not be written.
    """
    reader = ChainReader(damaged, MAX_HEIGHT)
    if reader.retained_height > 1:
        return 0, False
    last = _tip_of(damaged)
    store = BulkStore(str(target))
    chain = Chain(genesis, store)
    try:
        height = 0
        while last is None or height < last:
            if not await _execute_next(chain, reader):
                break
            height = chain.tip.height
            if height % REPORT_EVERY == 0:
                log.info("blocks_executed_again", height=height)
        store.finish()
        return height, height == last
    finally:
        chain.close()


def _tip_of(damaged: Store) -> int | None:
    try:
        record = damaged.get(TIP_KEY)
        return None if record is None else read_tip(record)[0]
    except StorageFault:
        return None


async def _execute_next(chain: Chain, reader: ChainReader) -> bool:
    height = chain.tip.height + 1
    try:
        block, certificate = reader.block(height), reader.certificate(height)
        transactions = [Transaction.decode(wire) for wire in reader.transactions(height)]
        name = block_id(block.header)
        seats = chain.seats_at(height)
        if (certificate.block_id, certificate.height, certificate.epoch) != (name, height, seats.epoch.number):
            return False
        verify_certificate(certificate, chain.chain_id, seats.validators)
        candidate = await chain.check(name, block, transactions)
    except (StorageFault, InvalidInput) as error:
        log.warning("block_not_executed_again", height=height, code=error.code, why=error.message)
        return False
    await chain.commit(candidate, certificate)
    return True
