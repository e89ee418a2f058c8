"""What is asked of contract ``validators``: the governed change of the set, and its views."""

from __future__ import annotations

from typing import Annotated, Final

from msgspec import Meta

from contracts.validators.records import EpochRecord, Height, Key
from ledger.encoding import Codec, Record
from ledger.validators import MAX_VALIDATORS

CHANGE_SET: Final = "change_set"
"""The governed action; its data is a ``ChangeSet``."""
MAX_PAGE: Final = 32

Keys = Annotated[tuple[Key, ...], Meta(max_length=MAX_VALIDATORS)]


class ChangeSet(Record, frozen=True):
    """Validators that come and go, together: whoever approves it approves the whole.

    In force two heights above the block that decides it. A key that goes while another comes is a replacement. Where
    the chain has a rotating committee, this changes who may be drawn into it.

    Attributes:
        add: keys that come; each has a certificate in force with the role ``validator`` and a transport key.
        remove: keys that go; whether they are still admitted does not matter.
    """

    add: Keys
    remove: Keys


class EpochQuery(Record, frozen=True):
    """The epoch of ``height``; 0: of the block that is being decided."""

    height: Height


class EpochsQuery(Record, frozen=True):
    """Epochs that begin below height ``before`` (0: all that are known), newest first."""

    before: Height
    limit: Annotated[int, Meta(ge=1, le=MAX_PAGE)]


class EpochPage(Record, frozen=True):
    """Epochs, newest first."""

    epochs: tuple[EpochRecord, ...]


change_set_codec = Codec(ChangeSet, 16 * 1024, "change of the validators")
