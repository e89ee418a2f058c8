"""Everything that the state machine can order: a closed union of imperatives.

The driver performs the effects of one step in order, and those of one step before those of the next. ``Persist`` must
be durable before any later effect is performed; several may share one sync, and a driver may move all Persists of a
batch to its front (remembering too early is always safe, sending too early never is).
"""

from __future__ import annotations

from enum import StrEnum

import msgspec

from consensus.inputs import TimerKind
from consensus.messages import Message, Proposal
from consensus.records import SignerRecord
from consensus.verified import VerifiedBlock
from ledger.certificate import CommitCertificate, VoteKind
from ledger.types import Hash32, Height, PublicKey, Round


class Persist(msgspec.Struct, frozen=True, gc=False):
    """Make the record durable (append to the signer log, sync) before performing any later effect."""

    record: SignerRecord


class Broadcast(msgspec.Struct, frozen=True, gc=False):
    """Send to all other validators. Not back to us: step has already counted it.

    Attributes:
        message: to send.
        repeat: said before, and not heard by all perhaps: gossip must not drop it as known.
    """

    message: Message
    repeat: bool = False


class SendTo(msgspec.Struct, frozen=True, gc=False):
    """Send to one validator."""

    to: PublicKey
    message: Message


class ReturnLatest(msgspec.Struct, frozen=True, gc=False):
    """Tell a validator the latest message that we have from it, or that we have none: its ``LatestOwnMessage``."""

    to: PublicKey
    message: Message | None


class SetTimer(msgspec.Struct, frozen=True, gc=False):
    """Send ``TimerFired(kind, height, round)`` at ``at_ms`` or at once when past. Replaces the timer of that kind."""

    kind: TimerKind
    height: Height
    round: Round
    at_ms: int


class CancelTimer(msgspec.Struct, frozen=True, gc=False):
    """Forget the timer of that kind."""

    kind: TimerKind


class BuildBlock(msgspec.Struct, frozen=True, gc=False):
    """Make and execute a block from the mempool on top of the parent, and answer with ``BlockBuilt``.

    Attributes:
        height: of the block.
        round: to answer with.
        after_ms: the parent's time: the header's must be above it (now, or ``after_ms + 1`` when that is later).
        allow_empty: whether to build a block with nothing in it.
    """

    height: Height
    round: Round
    after_ms: int
    allow_empty: bool


class CheckBlock(msgspec.Struct, frozen=True, gc=False):
    """Fetch missing transactions, execute, compare every header field; answer with ``BlockChecked``.

    Not ok only for what no later moment can change; while transactions are missing the driver keeps trying until the
    next height starts. The overlay is kept: ``CommitBlock`` may follow.

    Attributes:
        height: of the block.
        block: to check; its refs match its header.
        sources: validators that should have its transactions, best first.
    """

    height: Height
    block: VerifiedBlock
    sources: tuple[PublicKey, ...]


class FetchBlock(msgspec.Struct, frozen=True, gc=False):
    """Get a block's header and refs from one of ``sources``; answer with ``BlockFetched``. Repeated until answered."""

    height: Height
    block_id: Hash32
    sources: tuple[PublicKey, ...]


class CommitBlock(msgspec.Struct, frozen=True, gc=False):
    """The block is decided and was checked: write it with its certificate, then send ``HeightStarted`` for the next."""

    block: VerifiedBlock
    certificate: CommitCertificate


class SendDecided(msgspec.Struct, frozen=True, gc=False):
    """Send the decided block of ``height`` to a validator that is still working on it. Already rate-limited."""

    to: PublicKey
    height: Height


class EvidenceKind(StrEnum):
    """What a validator did that no honest one does."""

    CONFLICTING_MESSAGES = "conflicting_messages"
    UNJUSTIFIED_PROPOSAL = "unjustified_proposal"
    FORGOTTEN_LOCK = "forgotten_lock"
    """A COMMIT, and a ROUND-CHANGE of a later round whose signer claims to have prepared nothing since."""


class ReportEvidence(msgspec.Struct, frozen=True, gc=False):
    """Keep the proof of a fault.

    Attributes:
        kind: which fault.
        signer: whose.
        first: of two messages of one (height, round, kind); the unjustified proposal; the COMMIT.
        second: the other one; None; the ROUND-CHANGE.
    """

    kind: EvidenceKind
    signer: PublicKey
    first: Message
    second: Message | None = None


class RefuseBlock(msgspec.Struct, frozen=True, gc=False):
    """Tell the operator that a proposal was not prepared, and why (a stable code); nothing else is to be done."""

    proposal: Proposal
    reason: str


class ReportSigningRefused(msgspec.Struct, frozen=True, gc=False):
    """Tell the operator that the double-sign guard refused a signature; nothing was sent."""

    kind: VoteKind
    height: Height
    round: Round


class ObserveReason(StrEnum):
    """Why a validator does not vote."""

    SIGNER_STATE_LOST = "signer_state_lost"
    SIGNER_STATE_ROLLED_BACK = "signer_state_rolled_back"
    STORE_BEHIND_SIGNER = "store_behind_signer"
    """The chain's store was rolled back, the signer's was not: we have signed at later heights."""


class EnterObserve(msgspec.Struct, frozen=True, gc=False):
    """Tell the operator that we follow without signing, through ``through_height``, or for good when None."""

    reason: ObserveReason
    through_height: Height | None


class LeaveObserve(msgspec.Struct, frozen=True, gc=False):
    """Tell the operator that we sign again from ``height`` on."""

    height: Height


class Halt(msgspec.Struct, frozen=True, gc=False):
    """Stop the node: a quorum decided a block that our execution refuses. Going on would fork or lie."""

    height: Height
    block_id: Hash32
    reason: str


Effect = (
    Persist
    | Broadcast
    | SendTo
    | ReturnLatest
    | SetTimer
    | CancelTimer
    | BuildBlock
    | CheckBlock
    | FetchBlock
    | CommitBlock
    | SendDecided
    | ReportEvidence
    | RefuseBlock
    | ReportSigningRefused
    | EnterObserve
    | LeaveObserve
    | Halt
)
