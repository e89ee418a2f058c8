"""Options ``--csv`` and ``--xlsx`` of reports, and the files behind them: complete, or not there."""

from __future__ import annotations

import functools
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Final, TypeVar

import click

from ledger.errors import InvalidInput
from node.spreadsheets.table import Column, Line, TableWriter

F = TypeVar("F", bound=Callable[..., Any])
T = TypeVar("T")
ATTEMPTS: Final = 3
"""How often a chain that moves while it is read is read anew."""


class Files:
    """The files that were asked for.

    Attributes:
        csv: or None.
        xlsx: or None.
    """

    def __init__(self, csv: Path | None, xlsx: Path | None) -> None:
        self.csv, self.xlsx = csv, xlsx

    @property
    def wanted(self) -> list[Path]:
        """Those that there are to be."""
        return [path for path in (self.csv, self.xlsx) if path is not None]

    def _open(self) -> list[TableWriter]:
        found: list[TableWriter] = []
        if self.csv is not None:
            from node.spreadsheets.csv_file import CsvWriter  # noqa: PLC0415 - only where it is asked for

            found.append(CsvWriter(self.csv))
        if self.xlsx is not None:
            from node.spreadsheets.xlsx_file import XlsxWriter  # noqa: PLC0415 - as above

            found.append(XlsxWriter(self.xlsx))
        return found

    async def write(self, work: Callable[[TableWriter], Awaitable[T]]) -> T:
        """Writes the files with ``work``, which is begun anew where the chain moved on meanwhile.

        Raises:
            InvalidConfig: ``file_unwritable``.
            InvalidInput: ``books_moving``, every time.
        """
        for attempt in range(1, ATTEMPTS + 1):
            writers = self._open()
            try:
                result = await work(_Several(writers))
            except BaseException as error:
                for writer in writers:
                    writer.abort()
                if isinstance(error, InvalidInput) and error.code == "books_moving" and attempt < ATTEMPTS:
                    continue
                raise
            for writer in writers:
                writer.close()
            return result
        raise AssertionError


class _Several:
    def __init__(self, writers: list[TableWriter]) -> None:
        self._writers = writers

    def sheet(self, title: str, columns: tuple[Column, ...]) -> None:
        for writer in self._writers:
            writer.sheet(title, columns)

    def line(self, line: Line) -> None:
        for writer in self._writers:
            writer.line(line)

    def close(self) -> None:
        for writer in self._writers:
            writer.close()

    def abort(self) -> None:
        for writer in self._writers:
            writer.abort()


def spreadsheet_options(function: F) -> F:
    """Adds ``--csv`` and ``--xlsx``; the command gets ``files: Files`` in their place."""

    @functools.wraps(function)
    def with_files(*args: Any, csv: Path | None, xlsx: Path | None, **kwargs: Any) -> Any:
        return function(*args, files=Files(csv, xlsx), **kwargs)

    kind = click.Path(path_type=Path, dir_okay=False)
    csv_option = click.option("--csv", type=kind, help="Write the lines to this CSV file.")
    xlsx_option = click.option("--xlsx", type=kind, help="Write the lines and their totals to this XLSX file.")
    wrapped: Any = csv_option(xlsx_option(with_files))
    return wrapped  # type: ignore[no-any-return]
