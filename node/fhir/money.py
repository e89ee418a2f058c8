"""Prices of a claim: from FHIR ``Money`` to whole minor units, exactly or not at all.

Price of an item: its net, else the claim's total (PROTOCOL.md 2). A claim's total is one sum for all of its items, so
it stands in for a price only once:

* every item has a net: the nets are the prices, whatever the total says;
* no item has a net (as in every claim of Synthea, with one item each): the claim is one priced item, at its total;
* some have one and others not: refused. With the total as the price of those others the nets would be counted twice,
  and what is left of the total after the nets is a price that nobody stated.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from types import MappingProxyType
from typing import Any, Final

from ledger.types import MAX_AMOUNT
from node.fhir.prescription import Item
from node.fhir.problems import AMOUNT_INVALID, TOO_LARGE, Place

CURRENCY_SCALES: Final[Mapping[str, int]] = MappingProxyType({"CNY": 2, "EUR": 2, "JPY": 0, "USD": 2})
"""Decimal places of the minor unit of the currencies that an import takes unless told otherwise."""
MAX_ITEMS: Final = 256
"""Items of one claim."""
MAX_DESCRIPTION: Final = 256
_MAX_EXPONENT: Final = 20


@dataclass(frozen=True, slots=True)
class Prices:
    """What a claim asks for.

    Attributes:
        items: at least one.
        total_minor: the claim's total, or the items' sum where it has none.
        currency: ISO 4217 code, the same in every amount of the claim.
    """

    items: tuple[Item, ...]
    total_minor: int
    currency: str


def read_prices(claim: dict[str, Any], drug_code: str, scales: Mapping[str, int], place: Place) -> Prices | None:
    """The priced items of a valid ``Claim``, or None when faults were noted at ``place``.

    Args:
        claim: the resource.
        drug_code: of the prescription.
        scales: currencies that there is an asset for, with the decimal places of its minor unit.
        place: where faults are noted.
    """
    before = len(place.problems.found)
    entries = claim.get("item", [])
    if len(entries) > MAX_ITEMS:
        place.add("Claim.item", f"{len(entries)} items, at most {MAX_ITEMS}", TOO_LARGE)
        return None
    currencies: dict[str, str] = {}
    total = _read_money(claim["total"], "Claim.total", scales, currencies, place) if "total" in claim else None
    nets = [
        _read_money(entry["net"], f"Claim.item[{index}].net", scales, currencies, place)
        for index, entry in enumerate(entries)
        if "net" in entry
    ]
    _check_one_currency(currencies, place)
    if nets and len(nets) < len(entries):
        unpriced = next(index for index, entry in enumerate(entries) if "net" not in entry)
        place.add(f"Claim.item[{unpriced}].net", "other items of this claim have a net, this one has none",
                  AMOUNT_INVALID)  # fmt: skip
    elif not nets and "total" not in claim:
        place.add("Claim.total", "neither the items nor the claim say an amount", AMOUNT_INVALID)
    elif sum(net or 0 for net in nets) > MAX_AMOUNT:
        place.add("Claim.item", f"the items cost more than {MAX_AMOUNT} minor units together", AMOUNT_INVALID)
    if len(place.problems.found) > before:
        return None
    (currency,) = set(currencies.values())
    amounts = [amount for amount in (nets or [total]) if amount is not None]
    items = tuple(
        Item(entries[index]["sequence"] if entries else 1, _describe(entries, index), drug_code, amount)
        for index, amount in enumerate(amounts)
    )
    return Prices(items, sum(amounts) if total is None else total, currency)


def read_minor_units(value: object, scale: int) -> int:
    """A JSON number of major units as minor units, 1 … 2⁶³−1.

    Args:
        value: int or Decimal as written: ``1.50`` has two decimals, and so does ``1.00``.
        scale: decimal places of the minor unit.

    Raises:
        ValueError: not a number, negative, zero, more decimals than the currency, too much; the text says which.
    """
    if isinstance(value, bool) or not isinstance(value, int | Decimal):
        raise ValueError("not a number")  # noqa: TRY004 - the data is wrong, not the call
    number = Decimal(value)
    if number.is_signed() and number:
        raise ValueError("a negative amount")
    if not number:
        raise ValueError("an amount of zero")
    exponent = number.as_tuple().exponent
    assert isinstance(exponent, int)  # JSON has no NaN and no Infinity
    if -exponent > scale:
        raise ValueError(f"{-exponent} decimals, the currency has {scale}")
    # The size is looked at before the power of ten is computed: 1e999999 is four bytes of JSON.
    if number.adjusted() > _MAX_EXPONENT or (units := int(number.scaleb(scale))) > MAX_AMOUNT:
        raise ValueError(f"more than {MAX_AMOUNT} minor units")
    return units


def _read_money(
    money: dict[str, Any], path: str, scales: Mapping[str, int], currencies: dict[str, str], place: Place
) -> int | None:
    currency = money.get("currency")
    if currency is None:
        place.add(f"{path}.currency", "an amount without currency", AMOUNT_INVALID)
        return None
    currencies[f"{path}.currency"] = currency
    if currency not in scales:
        known = ", ".join(sorted(scales)) or "none"
        place.add(f"{path}.currency", f"there is no asset for {currency[:8]!r}; there is for: {known}", AMOUNT_INVALID)
        return None
    try:
        return read_minor_units(money.get("value"), scales[currency])
    except ValueError as error:
        place.add(f"{path}.value", str(error), AMOUNT_INVALID)
        return None


def _check_one_currency(currencies: dict[str, str], place: Place) -> None:
    first = next(iter(currencies.values()), None)
    for path, currency in currencies.items():
        if currency != first:
            place.add(path, f"{currency[:8]!r}, other amounts of this claim are in {first!r}", AMOUNT_INVALID)


def _describe(entries: list[dict[str, Any]], index: int) -> str:
    if not entries:
        return ""
    concept = entries[index].get("productOrService", {})
    coding = concept.get("coding", [{}])[0]
    return str(concept.get("text") or coding.get("display") or coding.get("code") or "")[:MAX_DESCRIPTION]
