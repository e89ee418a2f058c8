"""The writers: exact amounts, text that stays text, sheets that go on, many lines in little memory."""

from __future__ import annotations

import csv
import tracemalloc
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from openpyxl import load_workbook

from ledger.types import MAX_AMOUNT
from node.spreadsheets.csv_file import RISKY, CsvWriter, csv_text
from node.spreadsheets.table import Amount, Column, Kind, Line, day_text, moment
from node.spreadsheets.xlsx_file import XlsxWriter

COLUMNS = (Column("text"), Column("amount", Kind.AMOUNT, summed=True), Column("when", Kind.TIME))


@given(st.integers(-MAX_AMOUNT, MAX_AMOUNT), st.integers(0, 8))
def test_an_amounts_text_is_exact(minor: int, scale: int) -> None:
    amount = Amount(minor, scale)
    assert Decimal(amount.text()) * 10**scale == minor
    assert Decimal(amount.text()) == amount.decimal()


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.integers(0, MAX_AMOUNT), min_size=1, max_size=6), st.integers(0, 8))
def test_amounts_come_back_exactly_from_both_files(tmp_path: Path, minors: list[int], scale: int) -> None:
    for writer in (CsvWriter(tmp_path / "a.csv"), XlsxWriter(tmp_path / "a.xlsx")):
        writer.sheet("Sheet", COLUMNS)
        for minor in minors:
            writer.line(Line(("x", Amount(minor, scale), None)))
        writer.line(Line(("total", Amount(sum(minors), scale), None), total_of=len(minors)))
        writer.close()
    expected = [*minors, sum(minors)]
    with (tmp_path / "a.csv").open(encoding="utf-8-sig", newline="") as file:
        rows = list(csv.reader(file))[1:]
    assert [Decimal(row[1]).scaleb(scale) for row in rows] == expected
    sheet = load_workbook(tmp_path / "a.xlsx", data_only=True)["Sheet"]
    assert [Decimal(str(row[1].value)).scaleb(scale) for row in list(sheet.iter_rows())[1:]] == expected


@given(st.text(max_size=30))
def test_no_text_of_a_csv_file_begins_like_a_formula(value: str) -> None:
    written = csv_text(value)
    assert not written.startswith(RISKY[:-1])
    assert written in {value, f"'{value}"}
    assert written.removeprefix("'") == value if value.startswith(RISKY) else written == value


def test_lines_that_do_not_fit_go_on_to_the_next_sheet(tmp_path: Path) -> None:
    writer = XlsxWriter(tmp_path / "a.xlsx", max_rows=5)
    writer.sheet("Many", COLUMNS)
    for number in range(10):
        writer.line(Line((f"={number}", Amount(number, 2), moment(1_700_000_000_123))))
    writer.line(Line(("total", Amount(45, 2), None), total_of=10))
    writer.close()
    book = load_workbook(tmp_path / "a.xlsx")
    assert book.sheetnames == ["Many", "Many 2", "Many 3"]
    assert [sheet.max_row for sheet in book] == [5, 5, 4]
    last = list(book["Many 3"].iter_rows())[-1]
    assert last[1].value == 0.45, "a sum over several sheets is a value"
    first = book["Many"]["A2"]
    assert (first.data_type, first.value) == ("s", "=0")
    assert book["Many"]["C2"].value == datetime(2023, 11, 14, 22, 13, 20, 123000, UTC).replace(tzinfo=None)


def test_nothing_is_there_before_the_file_is_complete(tmp_path: Path) -> None:
    for writer, path in (
        (CsvWriter(tmp_path / "a.csv"), tmp_path / "a.csv"),
        (XlsxWriter(tmp_path / "a.xlsx"), tmp_path / "a.xlsx"),
    ):
        writer.sheet("Sheet", COLUMNS)
        writer.line(Line(("x", None, None)))
        assert not path.exists()
        writer.abort()
    assert list(tmp_path.iterdir()) == []


def test_a_csv_file_holds_the_first_table_only(tmp_path: Path) -> None:
    writer = CsvWriter(tmp_path / "a.csv")
    for title in ("First", "Second"):
        writer.sheet(title, COLUMNS)
        writer.line(Line((title, Amount(-1, 2), datetime(2026, 1, 2, 3, 4, 5, 6000, UTC))))
    writer.close()
    assert (tmp_path / "a.csv").read_bytes() == (
        b"\xef\xbb\xbftext,amount,when\r\nFirst,-0.01,2026-01-02T03:04:05.006Z\r\n"
    )


@pytest.mark.parametrize("kind", [CsvWriter, XlsxWriter])
def test_more_lines_take_no_more_memory(tmp_path: Path, kind: type) -> None:
    writer = kind(tmp_path / "many")
    writer.sheet("Many", COLUMNS)
    tracemalloc.start()
    try:
        for number in range(5_000):
            writer.line(Line(("text", Amount(number, 2), None)))
        before, _ = tracemalloc.get_traced_memory()
        for number in range(5_000):
            writer.line(Line(("text", Amount(number, 2), None)))
        after, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
        writer.abort()
    assert after - before < 100_000, "what was written does not stay"


def test_days_are_iso_dates() -> None:
    assert [day_text(20_260_102), day_text(0)] == ["2026-01-02", ""]
