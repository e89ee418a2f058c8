"""Exact arithmetic of commissions, and the hash of a batch (PROTOCOL.md 1.4, 1.5).

On the chain there are integers only. Bringing a raw premium to the minor unit is the bookkeeping side's work; it is
here so that both companies round alike.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from decimal import ROUND_DOWN, ROUND_HALF_EVEN, ROUND_HALF_UP, Context, Decimal
from typing import Final

from contracts.commission.calls import RequestItem
from contracts.commission.records import DOWN, HALF_EVEN, HALF_UP, PARTS_PER_MILLION, Agreement
from ledger.encoding import digest, encode
from ledger.errors import InvalidInput
from ledger.types import MAX_AMOUNT, Hash32

MAX_RAW_AMOUNT: Final = 64
"""Characters of a raw amount; 18 decimal places and 19 digits before them fit."""
_RAW_AMOUNT = re.compile(r"[0-9]+(\.[0-9]+)?", re.ASCII)
_ROUNDING: Final = {HALF_UP: ROUND_HALF_UP, HALF_EVEN: ROUND_HALF_EVEN, DOWN: ROUND_DOWN}
_DECIMAL_CONTEXT = Context(prec=2 * MAX_RAW_AMOUNT)


def minor_units(raw: str, scale: int, rounding: str = HALF_UP) -> int:
    """A raw amount in major units, such as ``"3000.005"``, as minor units.

    Args:
        raw: digits, optionally a point and more digits; no sign, exponent, group separators or spaces.
        scale: decimal places of the minor unit, 0 … 18.
        rounding: ``half_up``, ``half_even`` or ``down``.

    Returns:
        0 … 2⁶³−1.

    Raises:
        InvalidInput: ``amount_invalid``: another form, or more than 2⁶³−1 minor units.
    """
    if len(raw) > MAX_RAW_AMOUNT or not _RAW_AMOUNT.fullmatch(raw):
        raise InvalidInput(
            f"{raw[:MAX_RAW_AMOUNT]!r} is not an amount: digits, then a point and digits if need be",
            code="amount_invalid",
        )
    scaled = Decimal(raw).scaleb(scale, _DECIMAL_CONTEXT)
    units = int(scaled.quantize(Decimal(1), _ROUNDING[rounding], _DECIMAL_CONTEXT))
    if units > MAX_AMOUNT:
        raise InvalidInput(f"{raw} is more than {MAX_AMOUNT} minor units", code="amount_invalid")
    return units


def commission_of(base_amount: int, rate_ppm: int, rounding: str = HALF_UP) -> int:
    """The commission on ``base_amount`` minor units, in minor units; 0 when it rounds to nothing."""
    product = base_amount * rate_ppm
    if rounding == HALF_UP:
        return (product + PARTS_PER_MILLION // 2) // PARTS_PER_MILLION
    whole, rest = divmod(product, PARTS_PER_MILLION)
    if rounding == HALF_EVEN and (rest * 2 > PARTS_PER_MILLION or (rest * 2 == PARTS_PER_MILLION and whole % 2)):
        return whole + 1
    return whole


def batch_hash(chain_id: bytes, address: str, agreement: str, request: int, items: Sequence[RequestItem]) -> Hash32:
    """Hash of a settlement request's batch: which request it is, and its outpoints and amounts in booking order."""
    return digest(
        b"tidegate/commission/batch", chain_id, address.encode(), encode((agreement, request)), encode(tuple(items))
    )


def agreement_hash(chain_id: bytes, address: str, agreement: Agreement) -> Hash32:
    """Hash of an agreement's version: what the second party's ``sign`` consents to."""
    return digest(b"tidegate/commission/agreement", chain_id, address.encode(), encode(agreement))
