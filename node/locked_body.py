"""The transactions of the block that we are locked on, durable with the lock.

A block names its transactions by id. After a power failure everywhere nobody has them in memory, and whoever is locked
on the block can neither execute it nor let go of it: the height would never be decided.
"""

from __future__ import annotations

from collections.abc import Iterable

import structlog

from consensus.records import LockedBody, PreparedBlock, SignerRecord, record_codec
from consensus.state import State
from ledger.block import split_refs
from ledger.errors import InvalidInput, StorageFault
from ledger.transaction import Transaction
from node.chain import Chain
from node.fetch import Fetcher

log = structlog.get_logger(__name__)

PART_BYTES = 256 * 1024
"""Transactions of one record: as many as begin within this many bytes."""


class LockedBodies:
    """See the module.

    Args:
        chain: has executed the block that is being locked on.
        fetcher: gets what a restart found.
    """

    def __init__(self, chain: Chain, fetcher: Fetcher) -> None:
        self._chain = chain
        self._fetcher = fetcher
        self._name = b""
        self._records: list[bytes] = []

    def of(self, prepared: PreparedBlock) -> list[bytes]:
        """What goes into the signer log before this lock; nothing when it is there already."""
        name = prepared.certificate.block_id
        if name == self._name:
            return []
        transactions = self._transactions(prepared)
        if transactions is None:
            log.error("locked_body_forgotten", height=prepared.height)
            return []
        self._name, self._records = name, [record_codec.encode(record) for record in _parts(prepared, transactions)]
        return self._records

    def _transactions(self, prepared: PreparedBlock) -> Iterable[Transaction] | None:
        candidate = self._chain.candidate(prepared.certificate.block_id)
        if candidate is not None:
            return candidate.transactions
        # Executed many proposals ago.
        found = [self._fetcher.find(ref) for ref in split_refs(prepared.block.refs)]
        return None if None in found else [each for each in found if each is not None]

    def live(self, state: State) -> list[bytes]:
        """What a compacted signer log has to hold of it."""
        current, restored = state.current, state.restored
        prepared = current.prepared if current is not None else None if restored is None else restored.prepared
        return self._records if prepared is not None and prepared.certificate.block_id == self._name else []

    def restore(self, records: Iterable[SignerRecord]) -> None:
        """Takes over what a signer log holds for the last lock in it.

        Raises:
            StorageFault: a transaction does not decode.
        """
        name, parts = b"", dict[tuple[bytes, int], LockedBody]()
        for record in records:
            if isinstance(record, PreparedBlock):
                name = record.certificate.block_id
            elif isinstance(record, LockedBody):
                parts[record.block_id, record.part] = record
        found = [parts[place] for place in sorted(parts) if place[0] == name]
        try:
            self._fetcher.hold([Transaction.decode(wire) for part in found for wire in part.transactions])
        except InvalidInput as error:
            raise StorageFault(
                f"a transaction in the signer log does not decode: {error.message}", code="signer_log_damaged"
            ) from error
        if found:
            self._name, self._records = name, [record_codec.encode(part) for part in found]


def _parts(prepared: PreparedBlock, transactions: Iterable[Transaction]) -> list[LockedBody]:
    parts: list[list[bytes]] = [[]]
    size_bytes = 0
    for transaction in transactions:
        if size_bytes >= PART_BYTES:
            parts.append([])
            size_bytes = 0
        parts[-1].append(transaction.wire)
        size_bytes += transaction.size_bytes
    name = prepared.certificate.block_id
    return [LockedBody(prepared.height, name, part, tuple(wires)) for part, wires in enumerate(parts) if wires]
