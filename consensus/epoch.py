"""Who proposes: the epoch record and the order of proposers in it (DESIGN.md 3)."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from ledger.encoding import Record
from ledger.errors import LocalMisuse
from ledger.types import MAX_HEIGHT, Height, PublicKey, Round
from ledger.validators import ValidatorSet


class Epoch(Record, frozen=True):
    """A stretch of heights whose proposers follow one order.

    A chain whose validators never rotate is one epoch: number 0, start 1, offset 0.

    Attributes:
        number: of the epoch; part of every signed vote.
        start: its first height.
        offset: added to the proposer's index, so that a new epoch need not start with the first key.
    """

    number: Annotated[int, Meta(ge=0, le=MAX_HEIGHT)]
    start: Annotated[int, Meta(ge=0, le=MAX_HEIGHT)]
    offset: Annotated[int, Meta(ge=0, le=MAX_HEIGHT)] = 0


def proposer(epoch: Epoch, validators: ValidatorSet, height: Height, round_: Round) -> PublicKey:
    """The one validator that may propose in ``(height, round_)``: sorted set, index (h − start + offset + r) mod n.

    Raises:
        LocalMisuse: ``height`` lies before the epoch.
    """
    if height < epoch.start:
        raise LocalMisuse(f"height {height} is before epoch {epoch.number}, which starts at {epoch.start}")
    return validators.keys[(height - epoch.start + epoch.offset + round_) % len(validators)]
