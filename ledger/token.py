"""The token formula of PROTOCOL.md 2.1, and the UTC date that goes into it.

``token = SHA-256(date ‖ txhash ‖ purpose)`` over three ASCII strings. Anyone can compute it: alone it authorises
nothing, it counts only as part of a proved grant.
"""

from __future__ import annotations

import datetime as dt
from hashlib import sha256
from typing import Final

from ledger.errors import InvalidInput
from ledger.types import Hash32

MAX_PURPOSE_CHARS: Final = 32
_DAY_MS: Final = 86_400_000
_EPOCH_ORDINAL: Final = 719_163
"""Proleptic Gregorian ordinal of 1970-01-01."""
_LAST_ORDINAL: Final = 3_652_059
"""Of 9999-12-31, the last date with a four-digit year."""


def utc_date(time_ms: int) -> str:
    """UTC date ``YYYY-MM-DD`` of a block time, by integer arithmetic alone.

    Args:
        time_ms: milliseconds since 1970-01-01T00:00:00Z, not negative.

    Raises:
        InvalidInput: ``date_invalid``: before 1970 or after the year 9999.
    """
    ordinal = _EPOCH_ORDINAL + time_ms // _DAY_MS
    if not _EPOCH_ORDINAL <= ordinal <= _LAST_ORDINAL:
        raise InvalidInput("the time is outside the years 1970 to 9999", code="date_invalid", time_ms=time_ms)
    return dt.date.fromordinal(ordinal).isoformat()


def token(date: str, txhash: bytes, purpose: str) -> Hash32:
    """The 32 bytes of the token (PROTOCOL.md 2.1).

    Args:
        date: ``YYYY-MM-DD``, UTC date of the issuing supervision block.
        txhash: 32 bytes, the authorisation hash of the document.
        purpose: as in the flow kind, 1 to 32 visible ASCII characters.

    Raises:
        InvalidInput: ``date_invalid``, ``txhash_invalid`` or ``purpose_invalid``.
    """
    try:
        # fromisoformat reads other spellings too; only the one that it writes is the formula's.
        known = dt.date.fromisoformat(date).isoformat() == date
    except ValueError:
        known = False
    if not known:
        raise InvalidInput("a token's date is YYYY-MM-DD", code="date_invalid")
    if len(txhash) != 32:
        raise InvalidInput(f"a token's txhash has 32 bytes, not {len(txhash)}", code="txhash_invalid")
    if not 1 <= len(purpose) <= MAX_PURPOSE_CHARS or not all("!" <= char <= "~" for char in purpose):
        raise InvalidInput(
            f"a token's purpose is 1 to {MAX_PURPOSE_CHARS} visible ASCII characters", code="purpose_invalid"
        )
    return Hash32(sha256(f"{date}{txhash.hex()}{purpose}".encode("ascii")).digest())
