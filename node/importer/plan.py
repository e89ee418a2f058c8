"""From a file's records to sales: the whole file is validated before anything of it is booked."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from typing import Final, TypeVar

from contracts.codes import Refusal
from contracts.commission import codes
from contracts.commission.records import ANY, PURCHASE, Agreement, Sale
from contracts.commission.terms import check_sale, terms_of
from ledger.errors import InvalidInput
from node.importer.amounts import read_amount
from node.importer.rows import InvalidFile, Problem, Row, Table

T = TypeVar("T")

MAX_FILE_NAME: Final = 96
"""Bytes of a file's name inside a policy number; a longer one is cut and told apart by its hash."""
_RESERVED: Final = str.maketrans(dict.fromkeys("(),\"'\\", "_"))


@dataclass(frozen=True, slots=True)
class Columns:
    """Which column says what; None where the file does not say it.

    Attributes:
        premium: premium in major units.
        policy: policy number; None numbers policies by file name and record.
        amount_insured: amount insured in major units.
        sold_on: day of the sale, ``YYYY-MM-DD`` or ``YYYYMMDD``.
    """

    premium: str
    policy: str | None = None
    amount_insured: str | None = None
    sold_on: str | None = None


@dataclass(frozen=True, slots=True)
class Common:
    """What every sale of the file has in common.

    Attributes:
        file_name: of the file, without its directory.
        seller: of the sales.
        product: of the sales.
        channel: of the sales.
        sold_on: ``YYYYMMDD`` where no column says it.
        scale: decimal places of the minor unit.
    """

    file_name: str
    seller: str
    product: str
    channel: str
    sold_on: int
    scale: int


@dataclass(frozen=True, slots=True)
class PlannedSale:
    """A sale to book, the line that it comes from, and the commission that it will book as (minor units)."""

    line: int
    sale: Sale
    commission: int


@dataclass(frozen=True, slots=True)
class ImportPlan:
    """A validated file.

    Attributes:
        sales: to book, in the file's order.
        zero: records whose commission rounds to zero; they are not booked.
        skipped: faulty records, only where they may be skipped.
    """

    sales: tuple[PlannedSale, ...]
    zero: int
    skipped: tuple[Problem, ...]


def default_common(agreement: Agreement, file_name: str) -> Common:
    """What a file's sales have in common unless told otherwise: the agreement's first mapping row where it names it."""
    row = agreement.mapping[0]
    return Common(
        file_name=file_name,
        seller=agreement.platform.organisation if row.seller == ANY else row.seller,
        product="insurance" if row.product == ANY else row.product,
        channel="online" if row.channel == ANY else row.channel,
        sold_on=int(datetime.now(UTC).strftime("%Y%m%d")),
        scale=agreement.scale,
    )


def plan_import(
    table: Table, agreement: Agreement, address: str, columns: Columns, common: Common, *, skip_invalid: bool = False
) -> ImportPlan:
    """What of ``table`` will be booked under ``agreement``.

    Args:
        table: the file's records.
        agreement: the version in force.
        address: of the commission contract.
        columns: which column says what.
        common: the rest.
        skip_invalid: leave faulty records out instead of refusing the file.

    Raises:
        InvalidFile: a column is missing, or (unless skipped) any record is faulty; every fault is named.
    """
    reader = _SaleReader(table.header, columns, common, agreement.rounding)
    problems = list(table.problems)
    planned: list[PlannedSale] = []
    zero = 0
    for row in table.rows:
        try:
            sale = reader.sale(row)
            if sale is None:
                zero += 1
                continue
            terms = terms_of(address, agreement, PURCHASE, sale)
        except InvalidFile as error:
            problems.extend(error.problems)
        except Refusal as error:
            if error.code == codes.ZERO:
                zero += 1
            else:
                problems.append(Problem(row.line, "", error.message, error.code))
        else:
            planned.append(PlannedSale(row.line, sale, terms.commission))
    problems.sort(key=lambda problem: problem.line)
    if problems and not skip_invalid:
        raise InvalidFile(problems[0], *problems[1:])
    return ImportPlan(tuple(planned), zero, tuple(problems))


class _SaleReader:
    """Reads sales out of records, and remembers which policies the file has had already."""

    def __init__(self, header: tuple[str, ...], columns: Columns, common: Common, rounding: str) -> None:
        self._columns = columns
        self._common = common
        self._rounding = rounding
        self._places = {name: _place(header, name) for name in _named(columns)}
        self._prefix = _file_prefix(common.file_name)
        self._policies: dict[str, int] = {}

    def sale(self, row: Row) -> Sale | None:
        """The sale of a record; None when its premium rounds to nothing. Raises ``InvalidFile``, ``Refusal``."""
        columns, common = self._columns, self._common
        policy = self._policy(row)
        premium = self._amount(row, columns.premium)
        insured = 0 if columns.amount_insured is None else self._amount(row, columns.amount_insured)
        sold_on = common.sold_on if columns.sold_on is None else self._cell(row, columns.sold_on, _day)
        if premium == 0:
            return None
        sale = Sale(
            policy=policy,
            seller=common.seller,
            product=common.product,
            channel=common.channel,
            premium=premium,
            amount_insured=insured,
            sold_on=sold_on,
            raw_hash=sha256("\x1f".join(row.cells).encode()).digest(),
        )
        check_sale(sale)
        return sale

    def _policy(self, row: Row) -> str:
        column = self._columns.policy
        if column is None:
            return f"{self._prefix}:{row.number}"
        policy = self._cell(row, column, lambda text: text)
        before = self._policies.setdefault(policy, row.line)
        if not policy or before != row.line:
            why = f"policy {policy!r} stands on line {before} already" if policy else "there is no policy number"
            code = "policy_duplicate" if policy else "policy_missing"
            raise InvalidFile(Problem(row.line, column, why, code))
        return policy

    def _amount(self, row: Row, column: str) -> int:
        return self._cell(row, column, lambda text: read_amount(text, self._common.scale, self._rounding))

    def _cell(self, row: Row, column: str, read: Callable[[str], T]) -> T:
        try:
            return read(row.cells[self._places[column]].strip())
        except InvalidInput as error:
            raise InvalidFile(Problem(row.line, column, error.message, error.code)) from error


def _named(columns: Columns) -> Iterable[str]:
    names = (columns.premium, columns.policy, columns.amount_insured, columns.sold_on)
    return [name for name in names if name is not None]


def _place(header: tuple[str, ...], name: str) -> int:
    if name not in header:
        there = ", ".join(header)[:400]
        raise InvalidFile(Problem(1, name, f"there is no such column; there are: {there}", "csv_column_missing"))
    return header.index(name)


def _day(text: str) -> int:
    try:
        return int(datetime.strptime(text.replace("-", ""), "%Y%m%d").replace(tzinfo=UTC).strftime("%Y%m%d"))
    except ValueError as error:
        raise InvalidInput(f"{text[:20]!r} is not a day (YYYY-MM-DD)", code="day_invalid") from error


def _file_prefix(name: str) -> str:
    printable = "".join(c if c.isprintable() else "_" for c in name.translate(_RESERVED))
    clean = unicodedata.normalize("NFC", printable).strip()
    if clean == name and len(name.encode()) <= MAX_FILE_NAME:
        return name
    # Two names must not become one: what had to be changed is told apart by the hash of the name as it was.
    kept = clean.encode()[: MAX_FILE_NAME - 17].decode(errors="ignore").strip()
    return f"{kept}-{sha256(name.encode(errors='surrogateescape')).hexdigest()[:16]}"
