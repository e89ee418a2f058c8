"""Everything that can happen to the state machine: a closed union of past events.

``now_ms`` of ``step`` and every ``*_ms`` here are of one monotonic clock, except ``wall_ms``, which is Unix time.
"""

from __future__ import annotations

from enum import IntEnum

import msgspec

from consensus.epoch import Epoch
from consensus.timing import Parameters
from consensus.verified import Authentic, VerifiedBlock, VerifiedMessage
from ledger.block import Block
from ledger.types import Hash32, Height, PublicKey, Round
from ledger.validators import ValidatorSet


class TimerKind(IntEnum):
    """The timers of the state machine; at most one of each kind is set at a time."""

    ROUND = 0
    """The current round took too long."""
    REBROADCAST = 1
    """Say again what we last said."""
    PROPOSE = 2
    """A proposer's wait for a fuller package, or for the maximum block interval, is over."""


class HeightStarted(msgspec.Struct, frozen=True, gc=False):
    """The block below ``height`` is committed here; this height is to be decided now.

    Sent once after start, and after each commit or import. Heights may be skipped (import), never repeated.

    Attributes:
        height: to be decided.
        epoch: epoch record that holds at ``height``.
        validators: set that decides ``height``.
        parent_id: id of block ``height − 1``.
        parent_time_ms: its header's time (Unix).
        work_since_ms: when the oldest executable transaction or due trigger appeared, or None when there is none.
        package_ready: the mempool is full, or holds as many transactions as genesis asks for.
        parameters: durations from this height on; None: as before.
    """

    height: Height
    epoch: Epoch
    validators: ValidatorSet
    parent_id: Hash32
    parent_time_ms: int
    work_since_ms: int | None = None
    package_ready: bool = False
    parameters: Parameters | None = None


class MessageReceived(msgspec.Struct, frozen=True, gc=False):
    """A verified message of this height or the next arrived, directly or relayed.

    Attributes:
        message: from ``consensus.verify.verify_message``.
        wall_ms: Unix time of arrival; a first proposal's block time is compared with it.
    """

    message: VerifiedMessage
    wall_ms: int


class WorkAvailable(msgspec.Struct, frozen=True, gc=False):
    """There is something to put into a block.

    Attributes:
        since_ms: when the oldest executable transaction or due trigger appeared.
    """

    since_ms: int


class PackageReady(msgspec.Struct, frozen=True, gc=False):
    """The mempool is full, or holds as many executable transactions as genesis asks for: do not wait any longer."""


class BlockBuilt(msgspec.Struct, frozen=True, gc=False):
    """Answer to ``BuildBlock``; the driver has executed the block already.

    Attributes:
        height: as asked.
        round: as asked.
        block: new block with our key as proposer, or None when nothing was executable and empty was not allowed.
    """

    height: Height
    round: Round
    block: Block | None


class BlockChecked(msgspec.Struct, frozen=True, gc=False):
    """Answer to ``CheckBlock``.

    Attributes:
        height: as asked.
        block_id: as asked.
        ok: the block was executed and every root agrees.
        reason: stable code when it is not ok.
    """

    height: Height
    block_id: Hash32
    ok: bool
    reason: str = ""


class BlockFetched(msgspec.Struct, frozen=True, gc=False):
    """Answer to ``FetchBlock``; ``consensus.verify.verify_block`` has passed it."""

    height: Height
    block: VerifiedBlock


class TimerFired(msgspec.Struct, frozen=True, gc=False):
    """The timer set with these values fired. A late one, of a replaced or cancelled timer, is ignored."""

    kind: TimerKind
    height: Height
    round: Round


class PeerConnected(msgspec.Struct, frozen=True, gc=False):
    """A direct connection to another validator is up."""

    validator: PublicKey


class LatestOwnMessage(msgspec.Struct, frozen=True, gc=False):
    """A peer returned the latest message that it has from us (``verify.authenticate`` under our own key)."""

    message: Authentic


class ObserveThrough(msgspec.Struct, frozen=True, gc=False):
    """A validator without signer state may sign above ``height``: what it may have signed lies at or below it.

    The driver knows this from its own chain and from what the other validators claim (``node.votes``). Without effect
    on a validator that is not waiting for it.
    """

    height: Height


class StragglerHeard(msgspec.Struct, frozen=True, gc=False):
    """A message of a height that is already committed here arrived (``verify.authenticate``)."""

    message: Authentic


class ValidatorHeard(msgspec.Struct, frozen=True, gc=False):
    """Something signed by a validator arrived, relayed or not. Consensus messages count by themselves."""

    validator: PublicKey


Input = (
    HeightStarted
    | MessageReceived
    | WorkAvailable
    | PackageReady
    | BlockBuilt
    | BlockChecked
    | BlockFetched
    | TimerFired
    | PeerConnected
    | LatestOwnMessage
    | ObserveThrough
    | StragglerHeard
    | ValidatorHeard
)
