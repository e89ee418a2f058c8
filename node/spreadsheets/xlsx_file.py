"""XLSX by xlsxwriter, streamed: text is text, times are dates, totals are formulas with their values beside them."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Any, Final

from ledger.errors import InvalidConfig
from node.spreadsheets.table import Amount, Column, Kind, Line

MAX_ROWS: Final = 1_048_576
"""Rows of a sheet; more go on to the next one."""
MAX_TITLE_CHARS: Final = 31


class XlsxWriter:
    """The ``TableWriter`` of one workbook.

    Args:
        path: of the file; it appears once it is complete.
        max_rows: rows of a sheet.
    """

    def __init__(self, path: Path, *, max_rows: int = MAX_ROWS) -> None:
        import xlsxwriter  # noqa: PLC0415 - only who writes a workbook needs it

        self._path = path
        self._part = path.with_name(f".{path.name}.part")
        try:
            self._part.touch()
        except OSError as error:
            raise InvalidConfig(f"cannot write {path}: {error.strerror}", code="file_unwritable") from error
        options = {"constant_memory": True, "strings_to_formulas": False, "strings_to_urls": False}
        self._book: Any = xlsxwriter.Workbook(str(self._part), {**options, "strings_to_numbers": False})
        self._max_rows = max_rows
        self._title, self._columns, self._number = "", (), 1  # type: tuple[str, tuple[Column, ...], int]
        self._sheet: Any = None
        self._row = 0
        self._formats: dict[tuple[str, bool], Any] = {}

    def sheet(self, title: str, columns: tuple[Column, ...]) -> None:
        """See ``TableWriter``."""
        self._title, self._columns, self._number = title[: MAX_TITLE_CHARS - 4], columns, 1
        self._begin(self._title)

    def _begin(self, title: str) -> None:
        self._sheet, self._row = self._book.add_worksheet(title), 1
        self._sheet.freeze_panes(1, 0)
        heading = self._format("heading", total=True)
        for index, column in enumerate(self._columns):
            self._sheet.set_column(index, index, column.width)
            self._sheet.write_string(0, index, column.title, heading)

    def line(self, line: Line) -> None:
        """See ``TableWriter``."""
        if self._row >= self._max_rows:
            self._number += 1
            self._begin(f"{self._title} {self._number}")
        for index, (column, cell) in enumerate(zip(self._columns, line.cells, strict=True)):
            if cell is not None:
                self._write(index, column, cell, line)
        self._row += 1

    def _write(self, index: int, column: Column, cell: Any, line: Line) -> None:
        row, total = self._row, line.total_of > 0
        if isinstance(cell, datetime):
            self._sheet.write_datetime(row, index, cell.replace(tzinfo=None), self._format("time", total=total))
        elif isinstance(cell, Amount):
            if not cell.fits_a_number:
                self._sheet.write_string(row, index, cell.text(), self._format("right", total=total))
                return
            style = self._format(f"amount {cell.scale}", total=total)
            if column.summed and 0 < line.total_of < row - line.skipped:
                # A sum over several sheets has its value alone.
                self._sheet.write_formula(row, index, _sum(index, line, row, cell.scale), style, str(cell.decimal()))
            else:
                self._sheet.write_number(row, index, cell.decimal(), style)
        elif isinstance(cell, int):
            style = self._format("integer", total=total)
            if column.summed and 0 < line.total_of < row - line.skipped:
                self._sheet.write_formula(row, index, _sum(index, line, row, 0), style, cell)
            else:
                self._sheet.write_number(row, index, cell, style)
        else:
            self._sheet.write_string(row, index, cell, self._format("text", total=total))

    def _format(self, name: str, *, total: bool) -> Any:
        found = self._formats.get((name, total))
        if found is None:
            found = self._formats[name, total] = self._book.add_format(_properties(name, total=total))
        return found

    def close(self) -> None:
        """See ``TableWriter``."""
        self._book.close()
        self._part.replace(self._path)

    def abort(self) -> None:
        """See ``TableWriter``."""
        if self._sheet is None:
            self._begin("empty")
        self._book.close()
        self._part.unlink(missing_ok=True)


def _sum(index: int, line: Line, row: int, scale: int) -> str:
    from xlsxwriter.utility import xl_range, xl_rowcol_to_cell  # noqa: PLC0415 - as above

    first, last = row - line.skipped - line.total_of, row - line.skipped - 1
    summed = xl_range(first, index, last, index)
    if line.by is None:
        return f"=ROUND(SUM({summed}),{scale})"
    same, value = xl_range(first, line.by, last, line.by), xl_rowcol_to_cell(row, line.by)
    return f"=ROUND(SUMIF({same},{value},{summed}),{scale})"


def _properties(name: str, *, total: bool) -> dict[str, Any]:
    found: dict[str, Any] = {"bold": True, "top": 1} if total else {}
    if name == "heading":
        return {"bold": True, "bottom": 1, "text_wrap": True}
    if name == Kind.TIME.value:
        found["num_format"] = "yyyy-mm-dd hh:mm:ss"
    elif name.startswith(Kind.AMOUNT.value):
        scale = int(name.split()[1])
        found["num_format"] = f"#,##0.{'0' * scale}" if scale else "#,##0"
    elif name == "right":
        found["align"] = "right"
    return found
