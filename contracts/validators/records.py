"""Records of contract ``validators`` that others read too: the epochs."""

from __future__ import annotations

from typing import Annotated, Final

from msgspec import Meta

from ledger.encoding import Codec, Record
from ledger.types import MAX_HEIGHT
from ledger.validators import MAX_VALIDATORS

Key = Annotated[bytes, Meta(min_length=33, max_length=33)]
Height = Annotated[int, Meta(ge=0, le=MAX_HEIGHT)]
ValidatorKeys = Annotated[tuple[Key, ...], Meta(min_length=1, max_length=MAX_VALIDATORS)]

AHEAD: Final = 2
"""What block h changes holds from h + 2: the header of h + 1 names the set of h + 2 (DESIGN.md 3)."""


class EpochRecord(Record, frozen=True):
    """A stretch of heights that one set decides; never computed again once it is written.

    Attributes:
        number: counts the chain's epochs from 0; part of every signed vote.
        start: its first height.
        end: its last height, or 0 while that is not fixed.
        offset: added to the proposer's index.
        keys: the validators, sorted.
    """

    number: Height
    start: Height
    end: Height
    offset: Height
    keys: ValidatorKeys


epoch_codec = Codec(EpochRecord, 16 * 1024, "epoch")
