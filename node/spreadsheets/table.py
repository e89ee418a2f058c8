"""Tables for people who calculate: columns, lines, exact amounts; written line by line, however many there are."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from enum import Enum
from typing import Final, Protocol

from ledger.types import MAX_AMOUNT

EXACT_DIGITS: Final = 15
"""Digits that a spreadsheet's number has for sure; longer amounts are written as text, so that none is rounded."""


class Kind(Enum):
    """What a column holds."""

    TEXT = "text"
    INTEGER = "integer"
    AMOUNT = "amount"
    TIME = "time"


@dataclass(frozen=True, slots=True)
class Column:
    """A column: its title, what it holds, whether total lines sum it, and its width in characters."""

    title: str
    kind: Kind = Kind.TEXT
    summed: bool = False
    width: int = 14


@dataclass(frozen=True, slots=True)
class Amount:
    """Minor units and the decimal places of the minor unit."""

    minor: int
    scale: int

    def __post_init__(self) -> None:
        assert -MAX_AMOUNT * 2**32 < self.minor < MAX_AMOUNT * 2**32
        assert 0 <= self.scale <= 18

    def decimal(self) -> Decimal:
        """The exact value in major units."""
        return Decimal(self.minor).scaleb(-self.scale)

    def text(self) -> str:
        """The exact value: digits, a point, no separators."""
        digits = str(abs(self.minor)).rjust(self.scale + 1, "0")
        whole, fraction = (digits[: -self.scale], digits[-self.scale :]) if self.scale else (digits, "")
        return f"{'-' if self.minor < 0 else ''}{whole}{'.' if self.scale else ''}{fraction}"

    @property
    def fits_a_number(self) -> bool:
        """True when a spreadsheet's number holds it exactly."""
        return len(str(abs(self.minor))) <= EXACT_DIGITS


Cell = str | int | Amount | datetime | None


@dataclass(frozen=True, slots=True)
class Line:
    """A line.

    Attributes:
        cells: one for each column; None leaves it empty.
        total_of: of a total line, how many lines above it that it sums; 0: no total.
        skipped: how many lines stand between those and this one.
        by: index of the column that must be the same as here in the lines that are summed; None: all are.
    """

    cells: tuple[Cell, ...]
    total_of: int = 0
    skipped: int = 0
    by: int | None = None


class TableWriter(Protocol):
    """Writes tables into one file; nothing is at its place before ``close``."""

    def sheet(self, title: str, columns: tuple[Column, ...]) -> None:
        """Begins a table; formats with one table write only the first."""
        ...

    def line(self, line: Line) -> None:
        """Writes one line of the table that was begun last."""
        ...

    def close(self) -> None:
        """Puts the finished file in its place."""
        ...

    def abort(self) -> None:
        """Leaves nothing behind."""
        ...


def moment(time_ms: int) -> datetime | None:
    """A block's time, UTC; None for 0."""
    return datetime.fromtimestamp(time_ms / 1000, UTC) if time_ms else None


def day_text(day: int) -> str:
    """A day written ``YYYYMMDD`` as an ISO date; nothing for 0."""
    text = f"{day:08d}"
    return f"{text[:4]}-{text[4:6]}-{text[6:]}" if day else ""
