"""Entries as people write them, and what is said where they are wrong."""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, date, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.rulebook.fingerprints import fingerprint
from ledger.envelope_document import pseudonym
from ledger.errors import InvalidInput
from ledger.keys import key_text
from node.regulator import rule_entries
from node.regulator.rule_entries import EntryInvalid, EntryReader, FileEntries, read_expiry
from tests.contracts.bridge.kit import key_of

KEY = key_of("a reviewer").public
SUBJECT, FLOW = b"s" * 32, b"f" * 32
SECRET = b"k" * 32
DAY_END = int(datetime(2027, 1, 31, 23, 59, 59, 999_000, UTC).timestamp() * 1000)


@pytest.mark.parametrize(
    ("kind", "given_", "parts"),
    [
        ("reviewer", key_text(KEY), (KEY,)),
        ("reviewer", {"reviewer": KEY.hex()}, (KEY,)),
        ("subject", SUBJECT.hex(), (SUBJECT,)),
        ("subject", {"id_number": "S 1-2"}, (pseudonym("S12", SECRET),)),
        ("subject_drug", {"subject": SUBJECT.hex(), "drug": "860975"}, (SUBJECT, "860975")),
        ("subject_drug", {"drug": "860975", "id_number": "S12"}, (pseudonym("S12", SECRET), "860975")),
        ("pharmacy_subject", {"pharmacy": key_text(KEY), "subject": SUBJECT.hex()}, (KEY, SUBJECT)),
        ("organisation", "City Hospital", ("City Hospital",)),
        ("transaction", {"flow": FLOW.hex()}, ("flow", FLOW)),
        ("transaction", {"order": FLOW.hex()}, ("order", FLOW)),
        ("transaction", {"party": key_text(KEY)}, ("party", KEY)),
        ("value", "860975", ("860975",)),
    ],
)
def test_entry_is_the_fingerprint_when_it_is_written_well(kind: str, given_, parts) -> None:
    made = EntryReader(kind, SECRET).entry(given_)
    assert (made.fingerprint, made.expires_ms) == (fingerprint(kind, *parts), 0)


@pytest.mark.parametrize(
    ("kind", "given_", "column", "why"),
    [
        ("reviewer", "ed25519:12", "reviewer", "64 lower-case hex"),
        ("reviewer", key_text(KEY).upper(), "reviewer", "64 lower-case hex"),
        ("reviewer", {"pharmacy": key_text(KEY)}, "", "not pharmacy"),
        ("subject", "S-12", "subject", "64 lower-case hex"),
        ("subject", SUBJECT.hex()[:-1], "subject", "64 lower-case hex"),
        ("subject", {"subject": SUBJECT.hex(), "id_number": "1"}, "", "not id_number, subject"),
        ("subject", {"id_number": "---"}, "id_number", "ID number"),
        ("subject_drug", SUBJECT.hex(), "", "is a table"),
        ("subject_drug", {"subject": SUBJECT.hex()}, "", "subject+drug"),
        ("subject_drug", {"subject": SUBJECT.hex(), "drug": ""}, "drug", "text is needed"),
        ("subject_drug", {"subject": SUBJECT.hex(), "drug": 5}, "drug", "text is needed"),
        ("subject_drug", {"subject": SUBJECT.hex(), "drug": "a\nb"}, "drug", "cannot be an entry"),
        ("transaction", FLOW.hex(), "", "is a table"),
        ("transaction", {"flow": FLOW.hex(), "party": key_text(KEY)}, "", "flow or order or party"),
        ("value", 5, "", "text or a table"),
        ("value", {}, "", "not nothing"),
        ("value", {"value": "x", "expires": "soon"}, "expires", "2027-01-31"),
        ("value", {"fingerprint": "00"}, "fingerprint", "64 lower-case hex"),
    ],
)
def test_entry_is_refused_with_its_field_when_it_is_wrong(kind: str, given_, column: str, why: str) -> None:
    with pytest.raises(EntryInvalid) as caught:
        EntryReader(kind, SECRET).entry(given_)
    assert caught.value.column == column
    assert why in caught.value.why


def test_id_number_is_refused_and_not_repeated_when_there_is_no_authority_key() -> None:
    with pytest.raises(EntryInvalid) as caught:
        EntryReader("subject").entry({"id_number": "123-45-6789"})
    assert "--authority-home" in caught.value.message
    assert "6789" not in str(caught.value)
    assert "k" * 4 not in repr(EntryReader("subject", SECRET))


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("", 0),
        ("2027-01-31", DAY_END),
        (date(2027, 1, 31), DAY_END),
        ("2027-01-31T23:59:59.999Z", DAY_END),
        ("2027-02-01T00:59:59.999+01:00", DAY_END),
        (datetime(2027, 1, 31, 23, 59, 59, 999_000, UTC), DAY_END),
        ("2027-01-31T23:59:59.999", DAY_END),
    ],
)
def test_expiry_is_the_last_millisecond_when_it_is_a_day_or_a_time(value, expected: int) -> None:
    assert read_expiry(value) == expected


@pytest.mark.parametrize("value", ["1969-12-31", "31.1.2027", 5, True, "2027-13-01"])
def test_expiry_is_refused_when_it_is_no_time_after_1970(value) -> None:
    with pytest.raises(EntryInvalid):
        read_expiry(value)


@given(st.text())
def test_reader_makes_an_entry_or_refuses_it_whatever_the_text_is(text: str) -> None:
    for kind in rule_entries._FIELDS:
        with suppress(EntryInvalid):
            assert len(EntryReader(kind, SECRET).entry(text).fingerprint) == 32


# --- files -----------------------------------------------------------------------------------------------------------


def file_of(directory: Path, content: bytes, kind: str = "value") -> FileEntries:
    path = directory / "entries.csv"
    path.write_bytes(content)
    return FileEntries(path, EntryReader(kind, SECRET))


def test_file_gives_its_entries_twice_when_it_is_good(tmp_path: Path) -> None:
    source = file_of(tmp_path, b'\xef\xbb\xbfvalue,expires\r\n a ,\r\n\r\n"b,""c""",2027-01-31\r\n')
    assert source.check() == []
    assert source.count == 2
    expected = [fingerprint("value", " a "), fingerprint("value", 'b,"c"')]
    for _ in range(2):
        assert [entry.fingerprint for entry in source] == expected
    assert [entry.expires_ms for entry in source] == [0, DAY_END]


def test_fingerprints_are_taken_as_they_are_when_the_file_names_them(tmp_path: Path) -> None:
    source = file_of(tmp_path, b"fingerprint\n" + SUBJECT.hex().encode() + b"\n", "subject_drug")
    assert source.check() == []
    assert [entry.fingerprint for entry in source] == [SUBJECT]


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"", "line 1: the file is empty"),
        (b"value\n", "line 1: there are no entries"),
        (b"value,value\na,b\n", "line 1: a column is there twice"),
        (b"name\na\n", "line 1: an entry of kind value has value or fingerprint"),
        (b"value\na\nb,c\n", "line 3: 2 fields, the header has 1"),
        (b'value\na\n"b\nc\n', "line 3: not CSV"),
        (b"value\na\n\xff\n", "line 3: not UTF-8 at byte 1"),
        (b"value\na\n" + b"x" * 5_000 + b"\n", "line 3: longer than"),
        (b"value,expires\na,never\n", "line 2, column 'expires': write a day"),
        (b"value\n\x07\n", "line 2, column 'value': this cannot be an entry"),
        (b"value\na\rb\n", "line 2: not CSV"),
    ],
)
def test_file_is_refused_with_the_line_when_it_is_wrong(tmp_path: Path, content: bytes, problem: str) -> None:
    (found,) = file_of(tmp_path, content).check()
    assert f"{tmp_path / 'entries.csv'}: {problem}" in found


def test_all_faults_are_told_but_not_a_page_of_them_when_there_are_many(tmp_path: Path) -> None:
    lines = b"".join(b"good\n" if number % 2 else b"a,b\n" for number in range(100))
    problems = file_of(tmp_path, b"value\n" + lines).check()
    assert len(problems) == rule_entries.MAX_PROBLEMS
    assert "line 2:" in problems[0]
    assert "line 4:" in problems[1]


def test_file_that_is_not_there_is_told_and_not_raised(tmp_path: Path) -> None:
    (problem,) = FileEntries(tmp_path / "none.csv", EntryReader("value")).check()
    assert "No such file" in problem


def test_entries_are_not_used_when_the_file_has_changed_since_it_was_checked(tmp_path: Path) -> None:
    source = file_of(tmp_path, b"value\na\nb\n")
    assert source.check() == []
    source.path.write_bytes(b"value\na\nc\n")
    with pytest.raises(InvalidInput) as caught:
        list(source)
    assert caught.value.code == "file_changed"


def test_file_is_refused_when_it_has_too_many_lines(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(rule_entries, "MAX_LINES", 3)
    (problem,) = file_of(tmp_path, b"value\na\nb\nc\n").check()
    assert "line 4: more than 3 lines" in problem
