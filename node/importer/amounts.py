"""Amounts as people and spreadsheets write them, brought to the plain form that agreements round from."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Final

from contracts.commission.amounts import minor_units
from contracts.commission.records import HALF_UP
from ledger.errors import InvalidInput

MAX_EXPONENT: Final = 30
_NUMBER = re.compile(r"([+-]?)([0-9]{0,40})(?:\.([0-9]{0,40}))?(?:[eE]([+-]?[0-9]{1,3}))?", re.ASCII)
_NOT_FINITE = frozenset({"nan", "snan", "inf", "infinity"})


def read_amount(text: str, scale: int, rounding: str = HALF_UP) -> int:
    """Minor units of an amount in major units.

    Args:
        text: digits, one point, an exponent such as programs write, a plus sign, outer spaces; no group separators,
            because which character groups and which one points differs between countries.
        scale: decimal places of the minor unit.
        rounding: as the agreement says.

    Raises:
        InvalidInput: ``amount_missing``, ``amount_not_finite``, ``amount_negative`` or ``amount_invalid``.
    """
    bare = text.strip()
    if not bare:
        raise InvalidInput("there is no amount", code="amount_missing")
    if bare.lstrip("+-").lower() in _NOT_FINITE:
        raise InvalidInput(f"{bare!r} is not a finite number", code="amount_not_finite")
    match = _NUMBER.fullmatch(bare)
    if match is None or not (match[2] or match[3]):
        raise InvalidInput(f"{bare[:40]!r} is not a number (digits and one point)", code="amount_invalid")
    sign, whole, fraction, exponent = match[1], match[2] or "0", match[3] or "0", int(match[4] or 0)
    if abs(exponent) > MAX_EXPONENT:
        raise InvalidInput(f"{bare[:40]!r} has an exponent beyond {MAX_EXPONENT}", code="amount_invalid")
    value = Decimal(f"{whole}.{fraction}e{exponent}")
    if sign == "-" and value:
        raise InvalidInput(f"{bare[:40]!r} is negative", code="amount_negative")
    plain = f"{value:f}"
    if "." in plain:
        plain = plain.rstrip("0").removesuffix(".")
    return minor_units(plain, scale, rounding)
