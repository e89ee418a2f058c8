"""Gets from peers what is damaged in single blocks: header, transactions, certificate, receipts (docs/data.md).

Nothing of it is believed: the block must have the id that the chain's history names, the certificate be of that
height's validators, transactions and receipts give the header's roots.
"""

from __future__ import annotations

from typing import Final

import structlog

from ledger.block import block_id, decided_block_codec
from ledger.chain_repair import put_back, put_back_receipts
from ledger.chain_store import ChainStore
from ledger.encoding import encode
from ledger.errors import InvalidInput, RemoteFault, StorageFault
from ledger.merkle import leaf_hash
from ledger.validators import ValidatorSet
from node.data.joining import Asked
from node.wire import BlocksWanted, ReceiptsWanted, RequestKind, byte_list_codec

log = structlog.get_logger(__name__)

REQUEST_TIMEOUT_S: Final = 10.0


async def refetched(
    chain: ChainStore, height: int, validators: ValidatorSet, peers: Asked
) -> dict[bytes, bytes | None] | None:
    """Records that replace those of a damaged block, or None where no peer has them now.

    Args:
        chain: the damaged chain; its history must be sound there.
        height: of the block; not 0, which comes from the genesis file.
        validators: the set of that height.
        peers: whom to ask.

    Raises:
        StorageFault: the history that names the block is damaged itself.
    """
    expected = chain.history_leaf(height)
    for peer in peers.connected():
        try:
            answer = await peers.request(peer, RequestKind.BLOCKS, encode(BlocksWanted(height, 1)), REQUEST_TIMEOUT_S)
            (data,) = byte_list_codec.decode(answer)[:1] or (b"",)
            decided = decided_block_codec.decode(data)
            name = block_id(decided.header)
            if leaf_hash(name) != expected:
                raise InvalidInput("that is another block", code="block_wrong")  # noqa: TRY301 - one way to refuse
            batch = put_back(chain, decided, name, validators)
            receipts = await peers.request(
                peer, RequestKind.RECEIPTS, encode(ReceiptsWanted(height)), REQUEST_TIMEOUT_S
            )
            batch.update(put_back_receipts(decided.header, byte_list_codec.decode(receipts)))
        except RemoteFault as error:
            log.info("refetch_failed", peer=peer, height=height, code=error.code)
        except InvalidInput as error:
            log.warning("refetch_refused", peer=peer, height=height, code=error.code, why=error.message)
            peers.penalise(peer, f"refetch_{error.code}"[:64])
        else:
            log.warning("block_refetched", peer=peer, height=height)
            return batch
    return None


def fault_of(chain: ChainStore, height: int) -> StorageFault | None:
    """What is wrong with the contents of a block, or None: every record of it is read."""
    try:
        chain.block(height)
        chain.transactions(height)
        chain.receipts(height)
        if height:
            chain.certificate(height)
    except StorageFault as error:
        return error
    return None
