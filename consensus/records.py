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
from ledger.block import Block, block_codec
from ledger.certificate import VoteKind
from ledger.encoding import Codec, Record
from ledger.validators import MAX_VALIDATORS


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
    """Our lock: the certificate and the whole block, which others may ask us for."""

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


SignerRecord = SignedVote | PreparedBlock | Forgotten

MAX_RECORD_BYTES: Final = block_codec.max_bytes + max_round_change_bytes(MAX_VALIDATORS)
record_codec: Codec[SignerRecord] = Codec(
    cast("Any", SignedVote | PreparedBlock | Forgotten), MAX_RECORD_BYTES, "signer record"
)
"""Between ``Persist`` effects and the bytes of ``node.signer_log``."""
