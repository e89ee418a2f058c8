"""What a validator must remember across a crash, as durable records (DESIGN.md 3, double-sign guard)."""

from __future__ import annotations

from typing import Annotated, Any, Final, cast

from msgspec import Meta

from consensus.messages import (
    HashField,
    HeightField,
    PreparedCertificate,
    RoundField,
    SignatureField,
    max_round_change_bytes,
)
from ledger.block import MAX_BLOCK_TRANSACTIONS, Block, block_codec
from ledger.certificate import VoteKind
from ledger.encoding import Codec, Record
from ledger.transaction import MAX_TRANSACTION_BYTES
from ledger.validators import MAX_VALIDATORS

MAX_LOCKED_PARTS: Final = 64


class SignedVote(Record, frozen=True, tag=0):
    """A signature that may have left this node.

    Attributes:
        kind: message type.
        height: of the vote.
        round: of the vote.
        signed: the 32 bytes that were signed.
        signature: ours over them.
        message: wire bytes, for saying it again after a restart; empty for a PROPOSAL, whose body would be large and
            which nobody needs once its proposer has crashed.
    """

    kind: Annotated[int, Meta(ge=0, le=int(max(VoteKind)))]
    height: HeightField
    round: RoundField
    signed: HashField
    signature: SignatureField
    message: bytes


class PreparedBlock(Record, frozen=True, tag=1):
    """Our lock: the certificate, and the block with its refs, which others may ask us for."""

    height: HeightField
    certificate: PreparedCertificate
    block: Block


class Forgotten(Record, frozen=True, tag=2):
    """How far this log cannot tell what was signed; the last of these records counts, and every log has one.

    Attributes:
        through_height: anything may have been signed at heights up to this one; 0: nothing was, before the records
            here; None: the height is not known yet.
    """

    through_height: HeightField | None


class LockedBody(Record, frozen=True, tag=3):
    """Transactions of the block of a lock, some of them; they stand before the lock (``node.locked_body``).

    Attributes:
        height: of the block.
        block_id: of it.
        part: 0, 1, … in the block's order.
        transactions: wire bytes.
    """

    height: HeightField
    block_id: HashField
    part: Annotated[int, Meta(ge=0, le=MAX_LOCKED_PARTS - 1)]
    transactions: Annotated[tuple[bytes, ...], Meta(min_length=1, max_length=MAX_BLOCK_TRANSACTIONS)]


SignerRecord = SignedVote | PreparedBlock | Forgotten | LockedBody

_MAX_LOCK_BYTES: Final = block_codec.max_bytes + max_round_change_bytes(MAX_VALIDATORS)
_MAX_BODY_BYTES: Final = 2 * MAX_TRANSACTION_BYTES + 8 * MAX_BLOCK_TRANSACTIONS
"""A record takes transactions that begin within 256 KiB, which is as long as one of them may be."""
MAX_RECORD_BYTES: Final = max(_MAX_LOCK_BYTES, _MAX_BODY_BYTES)
record_codec: Codec[SignerRecord] = Codec(
    cast("Any", SignedVote | PreparedBlock | Forgotten | LockedBody), MAX_RECORD_BYTES, "signer record"
)
"""Between ``Persist`` effects and the bytes of ``node.signer_log``."""
