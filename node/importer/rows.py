"""Reading a CSV file of any origin into records, each with its line, and every fault with the line that it is on.

The file's bytes are split into lines first, so that a fault (wrong bytes, too long, NUL) has a line number, and only
then parsed (RFC 4180, the ``csv`` module in its strict mode). Nothing here knows what the columns mean.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from ledger.errors import InvalidInput

MAX_FILE_BYTES: Final = 256 * 1024 * 1024
MAX_LINE_BYTES: Final = 32 * 1024
MAX_ROWS: Final = 1_000_000
MAX_COLUMNS: Final = 1_024
MAX_RECORD_LINES: Final = 64
"""Lines that one record with line breaks inside quotes may span; beyond it a quote was left open."""
_BYTE_ORDER_MARK = "\N{ZERO WIDTH NO-BREAK SPACE}"


@dataclass(frozen=True, slots=True)
class Problem:
    """A fault of the file.

    Attributes:
        line: physical line, from 1.
        column: name of the column, or empty where the whole line is at fault.
        why: in words.
        code: stable code of the kind of fault.
    """

    line: int
    column: str
    why: str
    code: str

    def __str__(self) -> str:
        where = f"line {self.line}, column {self.column!r}" if self.column else f"line {self.line}"
        return f"{where}: {self.why}"


@dataclass(frozen=True, slots=True)
class Row:
    """A record of the file.

    Attributes:
        number: among the records, from 1, faulty ones counted.
        line: physical line that it begins on.
        cells: as many as the header has.
    """

    number: int
    line: int
    cells: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Table:
    """A file's header, its records, and its faulty records."""

    header: tuple[str, ...]
    rows: tuple[Row, ...]
    problems: tuple[Problem, ...]


class InvalidFile(InvalidInput):
    """A file that cannot be imported: where its first fault is, and how many more there are.

    Args:
        problem: the first fault; its code becomes the error's.
        *more: the others.
    """

    code = "csv_invalid"

    def __init__(self, problem: Problem, *more: Problem) -> None:
        rest = f" (and {len(more)} more faults)" if more else ""
        super().__init__(
            f"{problem}{rest}", code=problem.code, line=problem.line, column=problem.column, more=len(more)
        )
        self.problems = (problem, *more)


def read_table(path: Path, delimiter: str = ",") -> Table:
    """The records of the CSV file at ``path``.

    Args:
        path: the file.
        delimiter: one character between fields.

    Raises:
        InvalidFile: empty, no header, a doubled or empty column name, no records, or too large. Faulty records are
            in ``Table.problems``.
        InvalidInput: ``file_unreadable``.
    """
    try:
        if path.stat().st_size > MAX_FILE_BYTES:
            raise InvalidFile(_file_problem(f"the file is larger than {MAX_FILE_BYTES} bytes", "csv_too_large"))
        data = path.read_bytes()
    except OSError as error:
        raise InvalidInput(f"cannot read {path}: {error.strerror}", code="file_unreadable") from error
    return parse_table(data, delimiter)


def parse_table(data: bytes, delimiter: str = ",") -> Table:
    """The records in a CSV file's bytes. Raises ``InvalidFile`` as ``read_table``."""
    lines = _Lines(data)
    if not any(text.strip() for text in lines.texts):
        raise InvalidFile(_file_problem("the file is empty", "csv_empty"))
    records = _records(lines, delimiter)
    header = _header(next(records))
    rows: list[Row] = []
    problems: list[Problem] = []
    number = 0
    for record in records:
        number += 1
        if number > MAX_ROWS:
            raise InvalidFile(Problem(record.line, "", f"more than {MAX_ROWS} records", "csv_too_large"))
        if record.problem is not None:
            problems.append(record.problem)
        elif len(record.cells) != len(header):
            why = f"{len(record.cells)} fields, the header has {len(header)}"
            problems.append(Problem(record.line, "", why, "csv_field_count"))
        else:
            rows.append(Row(number, record.line, tuple(record.cells)))
    if number == 0:
        raise InvalidFile(_file_problem("there is a header and no record below it", "csv_no_rows"))
    return Table(header, tuple(rows), tuple(problems))


@dataclass(frozen=True, slots=True)
class _Record:
    line: int
    cells: Sequence[str]
    problem: Problem | None


class _Lines:
    """The lines of a file as text, handed out one by one, and which of them are faulty."""

    def __init__(self, data: bytes) -> None:
        self.taken = 0
        self.faults: dict[int, Problem] = {}
        self.texts = [self._text(number, raw) for number, raw in enumerate(data.splitlines(keepends=True), 1)]

    def _text(self, number: int, raw: bytes) -> str:
        if len(raw) > MAX_LINE_BYTES:
            self._fault(number, f"longer than {MAX_LINE_BYTES} bytes", "csv_line_too_long")
            return "\n"
        if b"\x00" in raw:
            self._fault(number, "a NUL byte", "csv_nul")
            raw = raw.replace(b"\x00", b"")
        try:
            text = raw.decode()
        except UnicodeDecodeError as error:
            self._fault(number, f"not UTF-8 at byte {error.start + 1} of the line", "csv_encoding")
            # Kept with marks in place of the wrong bytes, so that quotes still pair up.
            text = raw.decode(errors="replace")
        return text.removeprefix(_BYTE_ORDER_MARK) if number == 1 else text

    def _fault(self, number: int, why: str, code: str) -> None:
        self.faults[number] = Problem(number, "", why, code)

    def __iter__(self) -> _Lines:
        return self

    def __next__(self) -> str:
        if self.taken == len(self.texts):
            raise StopIteration
        self.taken += 1
        return self.texts[self.taken - 1]


def _records(lines: _Lines, delimiter: str) -> Iterator[_Record]:
    reader = csv.reader(lines, delimiter=delimiter, strict=True)
    while True:
        first = lines.taken + 1
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            yield _Record(first, (), Problem(first, "", f"not CSV: {error}", "csv_malformed"))
            continue
        faults = [lines.faults[number] for number in range(first, lines.taken + 1) if number in lines.faults]
        if faults:
            yield _Record(first, (), faults[0])
        elif lines.taken - first >= MAX_RECORD_LINES:
            why = f"a record of {lines.taken - first + 1} lines; a quote was probably left open"
            yield _Record(first, (), Problem(first, "", why, "csv_malformed"))
        elif cells:
            yield _Record(first, cells, None)


def _header(record: _Record) -> tuple[str, ...]:
    if record.problem is not None:
        raise InvalidFile(record.problem)
    names = tuple(cell.strip() for cell in record.cells)
    if len(names) > MAX_COLUMNS:
        raise InvalidFile(Problem(record.line, "", f"more than {MAX_COLUMNS} columns", "csv_too_large"))
    for place, name in enumerate(names):
        if name in names[:place]:
            raise InvalidFile(Problem(record.line, name, "the header has this column twice", "csv_header_duplicate"))
    return names


def _file_problem(why: str, code: str) -> Problem:
    return Problem(1, "", why, code)
