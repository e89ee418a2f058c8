"""CSV as RFC 4180 has it, in UTF-8 with the mark that spreadsheet programs look for; no cell becomes a formula."""

from __future__ import annotations

import csv
from datetime import datetime
from pathlib import Path
from typing import Final

from ledger.errors import InvalidConfig
from node.spreadsheets.table import Amount, Cell, Column, Line

RISKY: Final = ("=", "+", "-", "@", "\t", "\r", "\n", "'")
"""What a text may begin with that spreadsheet programs would read as a formula, and the mark against that itself."""


def csv_text(value: str) -> str:
    """A text cell: with an apostrophe before it where it would be read as a formula (or has one of its own)."""
    return f"'{value}" if value.startswith(RISKY) else value


class CsvWriter:
    """The ``TableWriter`` of one CSV file: the first table alone.

    Args:
        path: of the file; it appears once it is complete.

    Raises:
        InvalidConfig: ``file_unwritable``.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._part = path.with_name(f".{path.name}.part")
        try:
            self._file = self._part.open("w", encoding="utf-8-sig", newline="")
        except OSError as error:
            raise InvalidConfig(f"cannot write {path}: {error.strerror}", code="file_unwritable") from error
        self._writer = csv.writer(self._file)
        self._tables = 0

    def sheet(self, title: str, columns: tuple[Column, ...]) -> None:
        """See ``TableWriter``."""
        del title
        self._tables += 1
        if self._tables == 1:
            self._writer.writerow([csv_text(column.title) for column in columns])

    def line(self, line: Line) -> None:
        """See ``TableWriter``."""
        if self._tables == 1:
            self._writer.writerow([_cell(cell) for cell in line.cells])

    def close(self) -> None:
        """See ``TableWriter``."""
        self._file.close()
        self._part.replace(self._path)

    def abort(self) -> None:
        """See ``TableWriter``."""
        self._file.close()
        self._part.unlink(missing_ok=True)


def _cell(cell: Cell) -> str:
    if cell is None:
        return ""
    if isinstance(cell, Amount):
        return cell.text()
    if isinstance(cell, datetime):
        return f"{cell:%Y-%m-%dT%H:%M:%S}.{cell.microsecond // 1000:03d}Z"
    return csv_text(cell) if isinstance(cell, str) else str(cell)
