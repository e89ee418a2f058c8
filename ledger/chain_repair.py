"""Mends what a recheck found: indexes from the blocks that are here, blocks from what peers send.

Both return a batch that the node writes, synced, before it rechecks.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from ledger.block import DecidedBlock, Header, block_id, receipts_root, split_refs, transactions_root
from ledger.certificate import verify_certificate
from ledger.chain_proof import history_nodes
from ledger.chain_records import height_key, index_entries
from ledger.encoding import encode
from ledger.errors import InvalidBlock
from ledger.merkle import GrowingTree, leaf_hash
from ledger.store import Kind
from ledger.transaction import Transaction
from ledger.validators import ValidatorSet

if TYPE_CHECKING:
    from ledger.chain_store import ChainStore


def reindexed(chain: ChainStore, heights: Iterable[int]) -> dict[bytes, bytes | None]:
    """Index records of the blocks at ``heights``, and every node of the history tree from the lowest block to the tip.

    Reads every header of the chain; not the transactions of blocks whose contents are not kept. Call ``chain.reload``
    when the batch is written.

    Raises:
        StorageFault: a block that is needed is itself damaged.
    """
    batch: dict[bytes, bytes | None] = {}
    wanted = set(heights)
    tree = chain.history_at(chain.base_height) if chain.base_height else GrowingTree()
    for height in range(chain.base_height, chain.height + 1):
        name = block_id(chain.header(height))
        batch.update(history_nodes(tree, leaf_hash(name)))
        tree.append(name)
        if height in wanted:
            batch[Kind.BLOCK_INDEX + name] = height.to_bytes(8, "big")
            if height < chain.retained_height:
                continue
            batch.update(index_entries([ref[:32] for ref in split_refs(chain.block(height).refs)], height))
    return batch


def put_back(
    chain: ChainStore, decided: DecidedBlock, expected_id: bytes, validators: ValidatorSet
) -> dict[bytes, bytes | None]:
    """Records of a block that a peer sent to replace a damaged one.

    Args:
        chain: the damaged chain.
        decided: what the peer sent.
        expected_id: the parent named by the block above, or the tip's id: mend from the highest block down.
        validators: the set of that height.

    Raises:
        InvalidBlock: it is not that block, or its transactions or certificate do not belong to it; another peer may
            have it.
        MalformedBytes: a transaction in it does not decode.
    """
    header = decided.header
    if block_id(header) != expected_id or header.height > chain.height:
        raise InvalidBlock(f"not block {expected_id.hex()}", height=header.height)
    if decided.certificate.block_id != expected_id or decided.certificate.height != header.height:
        raise InvalidBlock("the certificate is of another block", code="certificate_invalid", height=header.height)
    verify_certificate(decided.certificate, chain.chain_id, validators)
    transactions = [Transaction.decode(wire) for wire in decided.transactions]
    refs = [transaction.ref for transaction in transactions]
    if len(refs) != header.transactions_count or transactions_root(refs) != header.transactions_root:
        raise InvalidBlock("the transactions are not the block's", height=header.height)
    batch = index_entries([transaction.tx_id for transaction in transactions], header.height)
    batch[height_key(Kind.BLOCK, header.height)] = encode((header, decided.certificate))
    batch[height_key(Kind.TRANSACTIONS, header.height)] = encode((b"".join(refs), decided.transactions))
    batch[Kind.BLOCK_INDEX + expected_id] = header.height.to_bytes(8, "big")
    return batch


def put_back_receipts(header: Header, receipts: Sequence[bytes]) -> dict[bytes, bytes | None]:
    """Record of the receipts that a peer sent to replace damaged ones of the block with that sound header.

    Raises:
        InvalidBlock: they are not that block's; another peer may have them.
    """
    height = header.height
    if receipts_root(receipts) != header.receipts_root:
        raise InvalidBlock(f"not the receipts of block {height}", code="receipts_wrong", height=height)
    return {height_key(Kind.RECEIPTS, height): encode(list(receipts))}
