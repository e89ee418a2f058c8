"""CSV files of any origin: good ones are read as they are, bad ones say which line is at fault."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.errors import InvalidInput
from node.importer import rows as rows_module
from node.importer.rows import MAX_LINE_BYTES, InvalidFile, parse_table, read_table


def refused(data: bytes) -> InvalidFile:
    with pytest.raises(InvalidFile) as caught:
        parse_table(data)
    return caught.value


def problems(data: bytes) -> list[tuple[int, str]]:
    return [(problem.line, problem.code) for problem in parse_table(data).problems]


def test_rows_have_number_and_line_when_read():
    table = parse_table(b"a,b\r\n1,2\r\n\r\n3,4")
    assert table.header == ("a", "b")
    assert [(row.number, row.line, row.cells) for row in table.rows] == [(1, 2, ("1", "2")), (2, 4, ("3", "4"))]
    assert table.problems == ()


def test_byte_order_mark_is_ignored_when_there_is_one():
    assert parse_table(b"\xef\xbb\xbfa,b\n1,2\n").header == ("a", "b")


def test_quoted_line_breaks_and_commas_are_kept_when_there_are_some():
    table = parse_table(b'a,b\n"x,\n""y""",2\n3,4\n')
    assert [(row.line, row.cells) for row in table.rows] == [(2, ('x,\n"y"', "2")), (4, ("3", "4"))]


def test_other_delimiter_is_taken_when_given():
    assert parse_table(b"a;b\n1,5;2\n", ";").rows[0].cells == ("1,5", "2")


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"", "csv_empty"),
        (b"\n\n  \n", "csv_empty"),
        (b"\xef\xbb\xbf", "csv_empty"),
        (b"a,b\n", "csv_no_rows"),
        (b"a,b\n\n\n", "csv_no_rows"),
        (b"a,b,a\n1,2,3\n", "csv_header_duplicate"),
        (b"a,\xff\n1,2\n", "csv_encoding"),
        (b"a,\x00b\n1,2\n", "csv_nul"),
        (b'a,"b\n1,2\n', "csv_malformed"),
        (b",".join(b"c%d" % i for i in range(1_025)) + b"\n1\n", "csv_too_large"),
    ],
)
def test_file_is_refused_when(data: bytes, code: str):
    assert refused(data).code == code


def test_doubled_header_is_named_when_refused():
    error = refused(b"a,b,a\n1,2,3\n")
    assert error.data["line"] == 1
    assert error.data["column"] == "a"
    assert "'a'" in error.message


@pytest.mark.parametrize(
    ("line", "code"),
    [
        (b"\xff\xfe,2", "csv_encoding"),
        (b"1\x00,2", "csv_nul"),
        (b"1", "csv_field_count"),
        (b"1,2,3", "csv_field_count"),
        (b"x" * (MAX_LINE_BYTES + 1), "csv_line_too_long"),
        (b'"1"x,2', "csv_malformed"),
    ],
)
def test_record_is_faulty_and_the_others_good_when_a_line_has(line: bytes, code: str):
    data = b"a,b\n1,2\n" + line + b"\n5,6\n"
    assert problems(data) == [(3, code)]
    assert [(row.number, row.cells) for row in parse_table(data).rows] == [(1, ("1", "2")), (3, ("5", "6"))]


def test_whole_record_is_faulty_when_one_of_its_lines_is():
    data = b'a,b\n"x\n\xff\ny",2\n3,4\n'
    assert problems(data) == [(2, "csv_encoding")] or problems(data) == [(3, "csv_encoding")]
    assert [row.cells for row in parse_table(data).rows] == [("3", "4")]


def test_record_is_faulty_when_a_quote_stays_open():
    assert problems(b'a,b\n1,2\n"3,4\n5,6\n') == [(3, "csv_malformed")]
    many = b'a,b\n"' + b"x\n" * 200 + b'",2\n3,4\n'
    assert [code for _, code in problems(many)] == ["csv_malformed"]


def test_refused_when_there_are_too_many_rows(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(rows_module, "MAX_ROWS", 2)
    assert refused(b"a\n1\n2\n3\n").data["line"] == 4


def test_refused_when_the_file_is_too_large(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(rows_module, "MAX_FILE_BYTES", 3)
    path = tmp_path / "big.csv"
    path.write_bytes(b"a\n1\n")
    with pytest.raises(InvalidFile):
        read_table(path)


def test_refused_when_the_file_cannot_be_read(tmp_path: Path):
    with pytest.raises(InvalidInput) as caught:
        read_table(tmp_path / "none.csv")
    assert caught.value.code == "file_unreadable"
    with pytest.raises(InvalidInput):
        read_table(tmp_path)


CELL = st.text(st.characters(blacklist_categories=("Cs", "Cc")), max_size=8)


@given(st.lists(st.tuples(CELL, CELL), min_size=1, max_size=8))
def test_cells_survive_when_written_by_a_csv_writer(cells: list[tuple[str, str]]):
    file = io.StringIO()
    writer = csv.writer(file)
    writer.writerow(("one", "two"))
    writer.writerows(cells)
    assert [row.cells for row in parse_table(file.getvalue().encode()).rows] == cells


@given(st.binary(max_size=200))
def test_only_our_errors_come_when_the_bytes_are_anything(data: bytes):
    try:
        table = parse_table(data)
    except InvalidFile as error:
        table, line = None, error.data["line"]
    else:
        line = 0
    assert line or (table is not None and (table.rows or table.problems))
