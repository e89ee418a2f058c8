"""What has been verified, as types of its own: only ``consensus.verify`` and the state machine itself make them.

Step takes nothing else, so that a message which nobody checked cannot be counted by mistake.
"""

from __future__ import annotations

import msgspec

from consensus.messages import Commit, Prepare, Proposal, RoundChange
from ledger.block import Block
from ledger.certificate import VoteKind
from ledger.types import Hash32, PublicKey


class VerifiedBlock(msgspec.Struct, frozen=True, gc=False):
    """A block whose refs are those that its header commits to, with its id. Not executed."""

    id: Hash32
    block: Block


class VerifiedProposal(msgspec.Struct, frozen=True, gc=False):
    """A proposal signed by its round's proposer, with a consistent block.

    Whether it is justified is for step to say; if it is by ``justification_flaw``, its inner signatures are good.
    """

    message: Proposal
    block: VerifiedBlock


class VerifiedPrepare(msgspec.Struct, frozen=True, gc=False):
    """A PREPARE signed by a validator of its height."""

    message: Prepare


class VerifiedCommit(msgspec.Struct, frozen=True, gc=False):
    """A COMMIT signed by a validator of its height."""

    message: Commit


class VerifiedRoundChange(msgspec.Struct, frozen=True, gc=False):
    """A ROUND-CHANGE signed by a validator of its height, with a valid prepared certificate or none."""

    message: RoundChange


VerifiedMessage = VerifiedProposal | VerifiedPrepare | VerifiedCommit | VerifiedRoundChange


class Authentic(msgspec.Struct, frozen=True, gc=False):
    """A message known to come from ``signer``, validator or not: enough to answer a straggler or to spot a rollback.

    Attributes:
        kind: message type.
        height: of the message.
        round: of the message.
        signer: key whose signature verified.
        signed: the 32 bytes that it signed.
    """

    kind: VoteKind
    height: int
    round: int
    signer: PublicKey
    signed: Hash32
