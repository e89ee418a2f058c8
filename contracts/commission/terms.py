"""What an agreement says about a sale: whether it books, as how much, on which accounts. Pure functions.

Both the contract and those who build transactions for it use this page, so they cannot disagree.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from typing import Final

from contracts.codes import Refusal
from contracts.commission import codes
from contracts.commission.amounts import commission_of
from contracts.commission.records import (
    ANY,
    BASE_PREMIUM,
    BASES,
    COMPARISONS,
    CONDITION_EVENT,
    CONDITION_FIELDS,
    CONDITION_KINDS,
    CONDITION_STATE,
    CONDITION_TRIGGER,
    CORRECT,
    PURCHASE,
    ROUNDINGS,
    Agreement,
    Condition,
    MappingRow,
    Sale,
)
from contracts.commission.state import account_lock, claim_asset, clawback_asset
from ledger.errors import InvalidLock, InvalidSignature
from ledger.keys import check_public_key
from ledger.lock import check_name, parse_lock
from ledger.transaction import Output

MAX_ASSET_NAME: Final = 64
_COMPARE: Final[dict[str, Callable[[int, int], bool]]] = {
    "<": operator.lt,
    "<=": operator.le,
    "==": operator.eq,
    ">=": operator.ge,
    ">": operator.gt,
}


@dataclass(frozen=True, slots=True)
class Terms:
    """What a sale books as.

    Attributes:
        base_amount: what the rate applies to, minor units.
        commission: minor units, at least 1.
        row: the mapping row that won.
        output: the pending output.
    """

    base_amount: int
    commission: int
    row: MappingRow
    output: Output


def check_agreement(address: str, agreement: Agreement) -> None:
    """Checks an agreement's form, all that its text alone can tell.

    Raises:
        Refusal: ``commission_agreement_invalid``, or ``commission_name_invalid``.
    """
    platform, insurer = agreement.platform, agreement.insurer
    for name in (agreement.agreement, agreement.currency, platform.organisation, insurer.organisation):
        name_of(name)
    if len(agreement.agreement.encode()) > 64:
        raise _invalid("an agreement's id has at most 64 bytes")
    if platform.organisation == insurer.organisation or platform.key == insurer.key:
        raise _invalid("platform and insurer must be two organisations with two keys")
    try:
        check_public_key(platform.key)
        check_public_key(insurer.key)
        parse_lock(platform.cash)
        parse_lock(insurer.cash)
    except (InvalidLock, InvalidSignature) as error:
        raise _invalid(error.message) from error
    if max(len(clawback_asset(address, agreement.currency)), len(claim_asset(address, agreement.currency))) > 64:
        raise _invalid(f"the name of the claim asset would exceed {MAX_ASSET_NAME} characters: shorten the currency's")
    if ":" in agreement.currency:
        raise _invalid("the currency must be an asset of the assets contract, not of another one")
    if agreement.base not in BASES:
        raise _invalid(f"the base must be one of {', '.join(BASES)}")
    if agreement.rounding not in ROUNDINGS:
        raise _invalid(f"the rounding must be one of {', '.join(ROUNDINGS)}")
    for row in agreement.mapping:
        _check_row(row)
    for condition in agreement.conditions:
        _check_condition(condition)
    triggers = agreement.triggers
    if triggers.schedule_first_ms and not triggers.schedule_every_s:
        raise _invalid("a schedule has a first time and a period in seconds")


def _check_row(row: MappingRow) -> None:
    if row.type not in (ANY, PURCHASE, CORRECT):
        raise _invalid(f"a mapping row is for {PURCHASE}, {CORRECT} or {ANY}, not {row.type!r}")
    for name in (row.seller, row.product, row.channel, row.pending, row.settled, row.clawback):
        name_of(name)
    if len({row.pending, row.settled, row.clawback}) != 3:
        raise _invalid("pending, settled and clawback account of a mapping row must be three accounts")


def _check_condition(condition: Condition) -> None:
    if condition.kind not in CONDITION_KINDS:
        raise _invalid(f"a condition is one of {', '.join(CONDITION_KINDS)}")
    name_of(condition.name)
    if condition.comparison not in COMPARISONS:
        raise _invalid(f"a condition compares with one of {' '.join(COMPARISONS)}")
    if condition.kind == CONDITION_TRIGGER:
        if condition.name not in CONDITION_FIELDS:
            raise _invalid(f"a trigger condition compares one of {', '.join(CONDITION_FIELDS)}")
    elif (condition.comparison, condition.value) != ("==", 0):
        raise _invalid("a state or event condition has no comparison and value; leave them out")


def _invalid(why: str) -> Refusal:
    return Refusal(codes.AGREEMENT_INVALID, f"the agreement cannot be: {why}")


def name_of(text: str) -> str:
    """``text`` when it can be a name; refuses with ``commission_name_invalid``."""
    try:
        return check_name(text)
    except InvalidLock as error:
        raise Refusal(codes.NAME_INVALID, error.message) from error


def check_sale(sale: Sale) -> None:
    """Checks a sale's form.

    Raises:
        Refusal: ``commission_name_invalid`` or ``commission_sale_invalid``.
    """
    for name in (sale.policy, sale.seller, sale.product, sale.channel, sale.policy_state, *sale.events):
        name_of(name)
    if not _is_day(sale.sold_on) or (sale.effective_on and not _is_day(sale.effective_on)):
        raise Refusal(codes.SALE_INVALID, "a sale's dates are days of the calendar, written YYYYMMDD")
    if any(len(value) not in (0, 32) for value in (sale.insured, sale.raw_hash, sale.sealed_hash)):
        raise Refusal(codes.SALE_INVALID, "the pseudonym and the hashes of a sale have 32 bytes, or none")
    if len(set(sale.events)) != len(sale.events):
        raise Refusal(codes.SALE_INVALID, "an event stands twice in the sale; name each once")


def _is_day(day: int) -> bool:
    try:
        date(day // 10_000, day // 100 % 100, day % 100)
    except ValueError:
        return False
    return True


def executes(agreement: Agreement, sale: Sale) -> bool:
    """True when any booking condition holds, or there is none (PROTOCOL.md 1.2)."""
    return not agreement.conditions or any(_holds(condition, sale) for condition in agreement.conditions)


def _holds(condition: Condition, sale: Sale) -> bool:
    if condition.kind == CONDITION_STATE:
        return sale.policy_state == condition.name
    if condition.kind == CONDITION_EVENT:
        return condition.name in sale.events
    field: int = getattr(sale, condition.name)
    if field == 0 and condition.name in ("effective_on", "amount_insured"):
        # Not given: it cannot satisfy a comparison, not even "<".
        return False
    return _COMPARE[condition.comparison](field, condition.value)


def find_row(agreement: Agreement, transaction_type: str, sale: Sale) -> MappingRow | None:
    """The first mapping row that matches, or None."""
    for row in agreement.mapping:
        if (
            row.type in (ANY, transaction_type)
            and row.seller in (ANY, sale.seller)
            and row.product in (ANY, sale.product)
            and row.channel in (ANY, sale.channel)
        ):
            return row
    return None


def base_amount_of(agreement: Agreement, sale: Sale) -> int:
    """What the rate applies to, minor units; 0 when the amount insured is the base and not given."""
    return sale.premium if agreement.base == BASE_PREMIUM else sale.amount_insured


def terms_of(address: str, agreement: Agreement, transaction_type: str, sale: Sale) -> Terms:
    """What ``sale`` books as under ``agreement``.

    Args:
        address: of the contract.
        agreement: the version that holds.
        transaction_type: ``purchase`` or ``correct``.
        sale: of a checked form.

    Raises:
        Refusal: ``commission_condition_unmet``, ``commission_unmapped``, ``commission_base_missing``,
            ``commission_zero``.
    """
    if not executes(agreement, sale):
        raise Refusal(
            codes.CONDITION_UNMET,
            f"policy {sale.policy}: none of the agreement's booking conditions holds yet; book it when one does",
        )
    row = find_row(agreement, transaction_type, sale)
    if row is None:
        raise Refusal(
            codes.UNMAPPED,
            f"the mapping table has no row for {transaction_type}, {sale.seller}, {sale.product}, {sale.channel}; "
            "agree on a version that has one",
        )
    base_amount = base_amount_of(agreement, sale)
    if base_amount == 0:
        raise Refusal(codes.BASE_MISSING, f"policy {sale.policy}: the commission is on the amount insured; give it")
    commission = commission_of(base_amount, agreement.rate_ppm, agreement.rounding)
    if commission == 0:
        raise Refusal(codes.ZERO, f"policy {sale.policy}: the commission rounds to zero; skip it")
    lock = account_lock(address, row.pending)
    return Terms(base_amount, commission, row, Output(claim_asset(address, agreement.currency), commission, lock))
