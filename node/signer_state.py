"""What a validator knows at its start of its own signatures: the signer log, checked against the chain's store.

A log that is damaged, missing, empty, or older than the blocks that carry our seals cannot tell what was signed. Then
the node observes, and says so durably before anything else, until the chain is past every height that it may have
signed (``node.votes``, DESIGN.md 3).
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import structlog

from consensus.records import Forgotten, SignerRecord, record_codec
from consensus.state import restore
from consensus.timing import Parameters
from ledger.errors import InvalidInput, StorageFault
from ledger.types import PublicKey
from node.chain import Chain
from node.driver import DurableLog
from node.signer_log import SignerLog, set_aside

log = structlog.get_logger(__name__)

DAMAGED: Final = "signer_log_damaged"
CHECKED_BLOCKS: Final = 16
"""So many blocks from the tip down are searched for our seals: as many heights as a quorum can do without us."""


def open_signer_log(directory: Path) -> tuple[SignerLog, list[bytes]]:
    """The signer log and its records; where it is damaged, a new one, and the damaged one under a dated name.

    Raises:
        StorageFault: the disk failed; the node must stop.
    """
    try:
        return _open_checked(directory)
    except StorageFault as error:
        if error.code != DAMAGED:
            raise
        kept = set_aside(directory, datetime.now(UTC))
        log.exception(DAMAGED, why=error.message, kept=str(kept))
    opened, data = _open_checked(directory)
    lost = record_codec.encode(Forgotten(None))
    opened.append([lost])
    opened.sync()
    return opened, [*data, lost]


def _open_checked(directory: Path) -> tuple[SignerLog, list[bytes]]:
    opened = SignerLog(directory)
    data = opened.take_records()
    try:
        restore(decode_records(data), b"", None, _never, Parameters())
    except StorageFault:
        opened.close()
        raise
    return opened, data


def decode_records(data: Sequence[bytes]) -> list[SignerRecord]:
    """Records of a signer log.

    Raises:
        StorageFault: ``signer_log_damaged``: one does not decode although its checksum is right.
    """
    try:
        return [record_codec.decode(record) for record in data]
    except InvalidInput as error:
        raise StorageFault(f"a record of the signer log does not decode: {error.message}", code=DAMAGED) from error


def recover(chain: Chain, key: PublicKey, signer_log: DurableLog, data: Sequence[bytes]) -> list[SignerRecord]:
    """The records to restore consensus from. The last ``Forgotten`` among them is durable on return.

    Args:
        chain: our own, as its store has it.
        key: ours.
        signer_log: open; nothing else writes to it yet.
        data: what is in it.

    Raises:
        StorageFault: the log cannot be written, or does not decode.
    """
    records = decode_records(data)
    doubt = _doubt(chain, key, records)
    if doubt is None and records:
        return records
    if doubt is not None:
        log.error("signer_state_lost", height=chain.tip.height, why=doubt)
    found = Forgotten(None if doubt is not None else 0)
    signer_log.append([record_codec.encode(found)])
    signer_log.sync()
    return [*records, found]


def _doubt(chain: Chain, key: PublicKey, records: Sequence[SignerRecord]) -> str | None:
    """Why the log cannot tell what we signed, or None."""
    tip = chain.tip.height
    if not records:
        # Every log begins with a record. One that is not there yet may be that of a node that never was a validator.
        seated = tip > 0 and (chain.was_validator(key) or key in chain.validators)
        return "the signer log is empty or was missing" if seated else None
    last = next((record for record in reversed(records) if isinstance(record, Forgotten)), None)
    if last is not None and last.through_height is None:
        return None  # Said already.
    known = max((_height(record) for record in records), default=0)
    base = chain.store.base_height
    if base > known + 1 and chain.was_validator(key):
        # Joined from a snapshot: the blocks in between, and whether we sealed them, are not here.
        return f"the chain here begins at height {base}, and the signer log ends at height {known}"
    for height in range(tip, max(0, tip - CHECKED_BLOCKS, known, base - 1), -1):
        signers = {signer for signer, _ in chain.store.certificate(height).seals}
        if key in signers or chain.store.header(height).proposer == key:
            return f"block {height} carries our signature, and the signer log ends at height {known}"
    return None


def _height(record: SignerRecord) -> int:
    if isinstance(record, Forgotten):
        return record.through_height or 0
    return record.height


def _never(_signed: bytes) -> bytes:
    raise AssertionError("nothing is signed while a log is checked")
