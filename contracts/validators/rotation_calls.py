"""Rotation's governed actions and views of contract ``validators``."""

from __future__ import annotations

from typing import Annotated, Final

from msgspec import Meta

from ledger.encoding import Codec, Record
from ledger.rotation import SALT_BYTES, Candidate, RotationRules, Salt
from ledger.validators import MAX_VALIDATORS

REMOVE_NOW: Final = "remove_now"
"""Governed action: a ``ChangeSet`` without additions; its keys lose their seats at h + 2."""
SET_SALT: Final = "set_salt"
"""Governed action: a ``SetSalt``."""
MAX_CANDIDATES: Final = 2 * MAX_VALIDATORS
"""Of the register: its candidates, and those who were removed and still hold a seat."""


class SetSalt(Record, frozen=True):
    """``set_salt``: the order of candidates is hashed with this from now on.

    Attributes:
        salt: of something that nobody could choose or know when the candidates registered.
    """

    salt: Annotated[bytes, Meta(min_length=SALT_BYTES, max_length=SALT_BYTES)]


class RotationQuery(Record, frozen=True):
    """Nothing to say."""


class Rotation(Record, frozen=True):
    """Rules, salt and register; ``rules`` and ``salt`` are None where the chain's set does not rotate.

    Attributes:
        rules: of the genesis file.
        salt: in force.
        candidates: by key.
    """

    rules: RotationRules | None
    salt: Salt | None
    candidates: Annotated[tuple[Candidate, ...], Meta(max_length=MAX_CANDIDATES)]


rules_codec = Codec(RotationRules, 64 * 1024, "rotation rules")
salt_codec = Codec(Salt, 256, "salt")
candidate_codec = Codec(Candidate, 512, "candidate")
set_salt_codec = Codec(SetSalt, 256, "salt")
