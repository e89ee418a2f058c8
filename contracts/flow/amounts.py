"""Exact arithmetic of reimbursement: which ratio applies, what the payer pays of an item, what is left to the patient.

PROTOCOL.md 2: ratios are a table keyed (coverage, drug code), falling back to the coverage; reimbursement rounds per
item, half up; the patient pays the exact remainder, so that every item and every sum closes to the minor unit.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Annotated, Final, Protocol

from msgspec import Meta

from contracts.codes import Refusal
from ledger.encoding import Record
from ledger.types import MAX_AMOUNT

AMOUNT_INVALID: Final = "flow_amount_invalid"
"""A price below 1 or above 2⁶³−1 minor units, or a sum above it."""
RATIO_INVALID: Final = "flow_ratio_invalid"
"""A ratio outside 0 … 1,000,000 ppm, or two for one (coverage, drug code)."""
RATIO_UNKNOWN: Final = "flow_ratio_unknown"
"""Neither (coverage, drug code) nor the coverage alone has a ratio."""

PARTS_PER_MILLION: Final = 1_000_000
MAX_RATIOS: Final = 4_096
"""Rows of one table."""


class Ratio(Record, frozen=True):
    """One row of the table of reimbursement ratios.

    Attributes:
        coverage: such as ``medicare``.
        drug_code: the drug that it is for; empty: every drug of that coverage that has no row of its own.
        ppm: the payer's share, parts per million, 0 … 1,000,000.
    """

    coverage: Annotated[str, Meta(min_length=1, max_length=64)]
    drug_code: Annotated[str, Meta(max_length=64)]
    ppm: Annotated[int, Meta(ge=0, le=PARTS_PER_MILLION)]


class Priced(Protocol):
    """Anything with a price: an item of an order."""

    @property
    def price_minor(self) -> int:
        """Minor units of the order's currency, 1 … 2⁶³−1."""


DEFAULT_RATIOS: Final[tuple[Ratio, ...]] = (
    Ratio("dual_eligible", "", 900_000),
    Ratio("medicaid", "", 900_000),
    Ratio("medicare", "", 800_000),
    Ratio("no_insurance", "", 0),
    Ratio("private", "", 700_000),
)
"""What the demo's genesis says: no drug has a ratio of its own. In order of (coverage, drug code)."""


def check_ratios(table: Sequence[Ratio]) -> None:
    """Checks a whole table before it is stored.

    Raises:
        Refusal: ``flow_ratio_invalid``: too many rows, a ratio out of bounds, or two rows with one key.
    """
    if len(table) > MAX_RATIOS:
        raise Refusal(RATIO_INVALID, f"{len(table)} ratios, at most {MAX_RATIOS}", rows=len(table))
    seen: set[tuple[str, str]] = set()
    for row in table:
        _check_ppm(row.ppm)
        key = (row.coverage, row.drug_code)
        if key in seen:
            raise Refusal(RATIO_INVALID, f"two ratios for {key[0]!r}, {key[1] or 'every drug'}", coverage=key[0])
        seen.add(key)


def ratio_for(table: Iterable[Ratio], coverage: str, drug_code: str) -> int:
    """The payer's share of ``drug_code`` under ``coverage``, parts per million.

    Raises:
        Refusal: ``flow_ratio_unknown``: no row for the pair and none for the coverage. A coverage that pays nothing has
            a row that says 0, so that a misspelt coverage is never taken for one.
    """
    fallback: int | None = None
    for row in table:
        if row.coverage == coverage:
            if row.drug_code == drug_code:
                return row.ppm
            if not row.drug_code:
                fallback = row.ppm
    if fallback is None:
        raise Refusal(RATIO_UNKNOWN, f"no reimbursement ratio for coverage {coverage[:64]!r}", coverage=coverage[:64])
    return fallback


def reimbursement(price_minor: int, ratio_ppm: int) -> int:
    """What the payer pays of one item, in minor units, rounded half up: 0 … ``price_minor``.

    Args:
        price_minor: 1 … 2⁶³−1.
        ratio_ppm: 0 … 1,000,000.

    Raises:
        Refusal: ``flow_amount_invalid`` or ``flow_ratio_invalid``: an argument out of bounds.
    """
    _check_price(price_minor)
    _check_ppm(ratio_ppm)
    return (price_minor * ratio_ppm + PARTS_PER_MILLION // 2) // PARTS_PER_MILLION


def split(items: Sequence[Priced], ratio_of: Callable[[Priced], int]) -> tuple[int, int]:
    """What payer and patient pay of an order, in minor units: ``(reimbursed, patient)``.

    Each item is rounded by itself, and the two shares add up to the sum of the prices exactly.

    Args:
        items: at least one.
        ratio_of: the ratio of an item, parts per million.

    Raises:
        Refusal: ``flow_amount_invalid``: no items, a price out of bounds, or a sum above 2⁶³−1;
            ``flow_ratio_invalid``.
    """
    if not items:
        raise Refusal(AMOUNT_INVALID, "an order has at least one priced item")
    total = reimbursed = 0
    for item in items:
        reimbursed += reimbursement(item.price_minor, ratio_of(item))
        total += item.price_minor
    if total > MAX_AMOUNT:
        raise Refusal(AMOUNT_INVALID, f"the items cost more than {MAX_AMOUNT} minor units together")
    return reimbursed, total - reimbursed


def _check_price(price_minor: int) -> None:
    if not 1 <= price_minor <= MAX_AMOUNT:
        raise Refusal(AMOUNT_INVALID, f"a price is 1 … {MAX_AMOUNT} minor units")


def _check_ppm(ratio_ppm: int) -> None:
    if not 0 <= ratio_ppm <= PARTS_PER_MILLION:
        raise Refusal(RATIO_INVALID, f"a ratio is 0 … {PARTS_PER_MILLION} parts per million")
