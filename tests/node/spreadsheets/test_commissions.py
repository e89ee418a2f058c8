"""`tidegate commission report` as files: every booking, running totals, and sums that are the chain's own books."""

from __future__ import annotations

import asyncio
import csv
from collections.abc import Iterator
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from openpyxl import load_workbook

from contracts.commission.answers import Books
from ledger.errors import InvalidInput
from node.cli.spreadsheet_files import Files
from node.services.books import CommissionBooks
from node.spreadsheets.commissions import BOOKING_COLUMNS, write_commissions
from tests.node.cli.commission_kit import Desk, desk
from tests.node.services.members import B, C

NAME = "b-c"
PROPOSE = ("commission", "propose", "--agreement", NAME, "--insurer", C, "--rate", "3%", "--product", "*",
           "--channel", "*", "--seller", "*", "--trigger-count", "3", "--insurer-cash", "account(C cash)")  # fmt: skip
POLICIES = ("P1", "=1+1", "+1+1", "-2", "@SUM A1", "保单 7")
PREMIUMS = ("3000", "4000.01", "2000.33", "100", "99999.99", "0.67")


@pytest.fixture(scope="module")
def at(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    """Six bookings: two requests, one of them settled, one booking cancelled after that."""
    with desk(tmp_path_factory.mktemp("desk")) as found:
        found.run(*PROPOSE)
        found.run("commission", "sign", "--agreement", NAME, "--yes", by=C)
        for _ in range(5):
            asyncio.run(found.world.chain.make_block())
        for number, (policy, premium) in enumerate(zip(POLICIES, PREMIUMS, strict=True)):
            command = ("commission", "book", "--agreement", NAME, "--policy", policy, "--premium", premium)
            found.run(*command, "--product", f"={number}", "--seller", B, "--channel", "online")
            if number == 2:
                found.run("commission", "settle", "--agreement", NAME, "--pay", "--timeout", "20", by=C)
        found.run("commission", "cancel", "--agreement", NAME, "--policy", "P1")
        yield found


@pytest.fixture(scope="module")
def files(at: Desk) -> tuple[Path, Path]:
    paths = at.directory / "books.csv", at.directory / "books.xlsx"
    shown = at.json("commission", "report", "--csv", str(paths[0]), "--xlsx", str(paths[1]))
    assert shown["files"] == [str(path) for path in paths]
    return paths


def said(at: Desk) -> dict[str, Any]:
    (books,) = at.json("commission", "report")["books"]
    return books


def minor(value: object) -> int:
    """An amount as it stands in a file, in minor units, exactly."""
    scaled = Decimal(str(value)) * 100
    assert scaled == int(scaled)
    return int(scaled)


def csv_lines(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        return list(csv.DictReader(file))


def sheet_lines(path: Path, sheet: str) -> list[dict[str, Any]]:
    rows = list(load_workbook(path, data_only=True)[sheet].iter_rows(values_only=True))
    return [dict(zip(rows[0], row, strict=True)) for row in rows[1:]]


@pytest.mark.parametrize("form", ["csv", "xlsx"])
def test_lines_sum_to_what_the_chain_says(at: Desk, files: tuple[Path, Path], form: str) -> None:
    lines: list[dict[str, Any]] = csv_lines(files[0]) if form == "csv" else sheet_lines(files[1], "Bookings")  # type: ignore[assignment]
    books = said(at)
    bookings = [line for line in lines if line["line"] == "booking"]
    (total,) = [line for line in lines if line["line"] == "total"]
    for column, field in (
        ("commission", "booked"),
        ("pending", "pending"),
        ("settled", "settled"),
        ("cancelled", "cancelled"),
    ):
        assert sum(minor(line[column]) for line in bookings) == books[field] == minor(total[column]), column
    running = 0
    for line in bookings:
        running += minor(line["commission"])
        assert minor(line["running commission"]) == running
    assert len(bookings) == books["booked_count"] == int(total["number"])
    assert books["cancelled"] > 0
    assert books["settled"] > 0


def test_settlements_sum_to_what_was_paid(at: Desk, files: tuple[Path, Path]) -> None:
    lines = sheet_lines(files[1], "Settlements")
    books = said(at)
    assert [line["line"] for line in lines] == ["settled", "open", "total"]
    assert sum(minor(line["paid"]) for line in lines[:-1]) == books["paid"] == minor(lines[-1]["paid"])
    assert minor(lines[-2]["running paid"]) == books["paid"]
    assert isinstance(lines[0]["settled at (UTC)"], datetime)
    assert lines[1]["settled at (UTC)"] is None
    (line,) = sheet_lines(files[1], "Books")
    assert (minor(line["booked"]), minor(line["paid"]), line["reconciles"]) == (books["booked"], books["paid"], "yes")


def test_no_text_becomes_a_formula(files: tuple[Path, Path]) -> None:
    book = load_workbook(files[1])
    formulas = [
        (sheet.title, cell.coordinate, cell.value)
        for sheet in book
        for row in sheet.iter_rows()
        for cell in row
        if cell.data_type == "f"
    ]
    assert all(value.startswith("=ROUND(SUM(") for _, _, value in formulas)
    assert {title for title, _, _ in formulas} == {"Bookings", "Settlements"}
    policies = [row["policy"] for row in sheet_lines(files[1], "Bookings") if row["line"] == "booking"]
    assert tuple(policies) == POLICIES
    for line in csv_lines(files[0]):
        assert not line["policy"].startswith(("=", "+", "-", "@"))
        assert not line["product"].startswith("=")
    quoted = [line["policy"].removeprefix("'") for line in csv_lines(files[0]) if line["line"] == "booking"]
    assert tuple(quoted) == POLICIES


def test_times_are_dates_and_hashes_are_text(files: tuple[Path, Path]) -> None:
    first = sheet_lines(files[1], "Bookings")[0]
    assert isinstance(first["booked at (UTC)"], datetime)
    assert date.fromisoformat(first["sold on"])
    assert len(first["record"]) == 64
    line = csv_lines(files[0])[0]
    assert datetime.fromisoformat(line["booked at (UTC)"]).tzinfo is not None
    assert line["record"] == first["record"]


def test_a_file_that_cannot_be_written_is_named(at: Desk) -> None:
    output = at.run("commission", "report", "--csv", str(at.directory / "no" / "where.csv"), code=78).output
    assert "cannot write" in output


class Moving(CommissionBooks):
    """Books that say another sum than their lines, so often."""

    def __init__(self, inner: CommissionBooks, times: int) -> None:
        self._inner, self.times = inner, times

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    async def agreement_view(self, agreement: str, version: int = 0) -> Any:
        return await self._inner.agreement_view(agreement, version)

    def bookings(self, agreement: str, status: str = "any") -> Any:
        return self._inner.bookings(agreement, status)

    def requests(self, agreement: str, status: str = "any") -> Any:
        return self._inner.requests(agreement, status)

    async def books(self, agreement: str) -> Books:
        from msgspec.structs import replace

        found = await self._inner.books(agreement)
        self.times -= 1
        return replace(found, booked=found.booked + 1) if self.times >= 0 else found


@pytest.mark.parametrize(("times", "works"), [(1, True), (2, True), (3, False)])
def test_a_chain_that_moves_is_read_anew_and_nothing_wrong_is_written(
    at: Desk, tmp_path: Path, times: int, works: bool
) -> None:
    books = Moving(at.world.books, times)
    files = Files(tmp_path / "b.csv", tmp_path / "b.xlsx")
    if works:
        sums = asyncio.run(files.write(lambda writer: write_commissions(books, [NAME], writer)))
        assert sums[NAME].bookings == len(POLICIES)
        assert len(csv_lines(tmp_path / "b.csv")) == len(POLICIES) + 1
    else:
        with pytest.raises(InvalidInput) as error:
            asyncio.run(files.write(lambda writer: write_commissions(books, [NAME], writer)))
        assert error.value.code == "books_moving"
    assert sorted(path.name for path in tmp_path.iterdir()) == (["b.csv", "b.xlsx"] if works else [])


def test_every_column_has_its_place() -> None:
    titles = [column.title for column in BOOKING_COLUMNS]
    assert len(set(titles)) == len(titles)
