"""Entries of lists as people write them, in a rule file or a CSV file of any length, each turned into its fingerprint.

A CSV file is read line by line, so its length costs no memory: once to check it whole before anything is sent, and once
to send it. What a list is made of stays with whoever has the file; the chain only sees fingerprints.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

from contracts.rulebook.calls import Entry
from contracts.rulebook.fingerprints import FLOW, ORDER, PARTY, fingerprint
from contracts.rulebook.records import (
    ORGANISATION,
    PHARMACY_SUBJECT,
    REVIEWER,
    SUBJECT,
    SUBJECT_DRUG,
    TRANSACTION,
    VALUE,
)
from ledger.envelope_document import pseudonym
from ledger.errors import InvalidInput
from ledger.keys import check_public_key, parse_key
from ledger.types import Hash32

MAX_LINE_BYTES: Final = 4_096
MAX_LINES: Final = 5_000_000
MAX_PROBLEMS: Final = 20
"""Faults that are reported at once."""
ENTRIES_INVALID: Final = "rules_entries_invalid"
FILE_CHANGED: Final = "file_changed"

_SUBJECT_ID: Final = "id_number"
_PHARMACY: Final = "pharmacy"
_DRUG: Final = "drug"
_EXPIRES: Final = "expires"
_FINGERPRINT: Final = "fingerprint"
_FIELDS: Final[dict[str, tuple[tuple[str, ...], ...]]] = {
    REVIEWER: ((REVIEWER,),),
    SUBJECT: ((SUBJECT,), (_SUBJECT_ID,)),
    SUBJECT_DRUG: ((SUBJECT, _DRUG), (_SUBJECT_ID, _DRUG)),
    PHARMACY_SUBJECT: ((_PHARMACY, SUBJECT), (_PHARMACY, _SUBJECT_ID)),
    ORGANISATION: ((ORGANISATION,),),
    TRANSACTION: ((FLOW,), (ORDER,), (PARTY,)),
    VALUE: ((VALUE,),),
}
"""What an entry of each kind of list is written with; ``fingerprint`` and ``expires`` beside."""
_KEYS: Final = frozenset({REVIEWER, _PHARMACY, PARTY})
_HASHES: Final = frozenset({SUBJECT, FLOW, ORDER})


class EntryInvalid(InvalidInput):
    """An entry that is none; ``column`` names the field at fault. Never quotes an ID number."""

    code = ENTRIES_INVALID

    def __init__(self, column: str, why: str) -> None:
        super().__init__(f"{column}: {why}" if column else why, column=column)
        self.column = column
        self.why = why


@dataclass(frozen=True, slots=True)
class EntryReader:
    """Turns what people write into entries.

    Attributes:
        kind: of the list.
        pseudonym_key: 32 secret bytes of the authorities, where ``id_number`` may be used; None elsewhere.
    """

    kind: str
    pseudonym_key: bytes | None = field(default=None, repr=False)

    def shape(self, names: frozenset[str]) -> tuple[str, ...]:
        """The fields that an entry of these names is made of, ``expires`` apart.

        Raises:
            EntryInvalid: they are no entry of this kind.
        """
        given = names - {_EXPIRES}
        for fields in (*_FIELDS[self.kind], (_FINGERPRINT,)):
            if given == frozenset(fields):
                return fields
        known = " or ".join("+".join(fields) for fields in (*_FIELDS[self.kind], (_FINGERPRINT,)))
        raise EntryInvalid("", f"an entry of kind {self.kind} has {known}, and perhaps expires; not {_shown(given)}")

    def entry(self, given: Any) -> Entry:
        """An entry as it stands in a rule file: text, where one field is enough, or a table.

        Raises:
            EntryInvalid: it is none.
        """
        if isinstance(given, str):
            first = _FIELDS[self.kind][0]
            if len(first) > 1 or self.kind == TRANSACTION:
                raise EntryInvalid("", f"an entry of kind {self.kind} is a table such as {{{first[0]} = …}}")
            given = {first[0]: given}
        if not isinstance(given, Mapping):
            raise EntryInvalid("", "an entry is text or a table")
        return self.made(self.shape(frozenset(given)), given)

    def made(self, shape: tuple[str, ...], given: Mapping[str, Any]) -> Entry:
        """The entry of these fields; ``shape`` is what ``self.shape`` said of their names."""
        parts: list[bytes | str] = [] if self.kind != TRANSACTION else [shape[0]]
        for name in shape:
            value = given[name]
            if not isinstance(value, str) or not value:
                raise EntryInvalid(name, "text is needed")
            parts.append(self._part(name, value))
        expires_ms = read_expiry(given.get(_EXPIRES, ""))
        if shape[0] == _FINGERPRINT:
            return Entry(bytes(parts[-1]) if isinstance(parts[-1], bytes) else b"", expires_ms)
        try:
            return Entry(fingerprint(self.kind, *parts), expires_ms)
        except InvalidInput as error:
            raise EntryInvalid(shape[-1], "this cannot be an entry of the list") from error

    def _part(self, name: str, value: str) -> bytes | str:
        if name in _KEYS:
            return _key(name, value)
        if name in _HASHES or name == _FINGERPRINT:
            return _hash(name, value)
        if name != _SUBJECT_ID:
            return value
        if self.pseudonym_key is None:
            raise EntryInvalid(name, "an ID number becomes a pseudonym with an authority's key: give --authority-home")
        try:
            return Hash32(pseudonym(value, self.pseudonym_key))
        except InvalidInput as error:
            raise EntryInvalid(name, error.message) from None


class FileEntries:
    """The entries in a CSV file whose header names the fields; gone through as often as needed.

    Args:
        path: UTF-8, a header line, one entry a line.
        reader: of the list's kind.
    """

    def __init__(self, path: Path, reader: EntryReader) -> None:
        self.path = path
        self._reader = reader
        self._checked: bytes | None = None
        self.count = 0

    def check(self) -> list[str]:
        """Reads the whole file and says what is wrong with it, each with its line: at most 20 faults."""
        problems: list[str] = []
        seen, self.count = sha256(), 0
        for line, found in self._entries():
            if isinstance(found, Entry):
                seen.update(found.fingerprint + found.expires_ms.to_bytes(8, "big"))
                self.count += 1
                continue
            problems.append(f"{self.path}: line {line}{_in_column(found)}: {found.why}")
            if len(problems) == MAX_PROBLEMS:
                break
        if not self.count and not problems:
            problems.append(f"{self.path}: line 1: there are no entries below the header")
        self._checked = seen.digest()
        return problems

    def __iter__(self) -> Iterator[Entry]:
        """The entries in the order of the file.

        Raises:
            EntryInvalid: an entry is none.
            InvalidInput: ``file_changed``: it is not what was checked any more.
        """
        seen = sha256()
        for line, found in self._entries():
            if not isinstance(found, Entry):
                raise EntryInvalid("", f"{self.path}: line {line}{_in_column(found)}: {found.why}")
            seen.update(found.fingerprint + found.expires_ms.to_bytes(8, "big"))
            yield found
        if self._checked is not None and seen.digest() != self._checked:
            raise InvalidInput(f"{self.path} was changed while it was being read", code=FILE_CHANGED)

    def _entries(self) -> Iterator[tuple[int, Entry | EntryInvalid]]:
        """(line, entry or what is wrong with it); a header that is wrong ends it."""
        rows = self._rows()
        line, header = next(rows, (1, EntryInvalid("", "the file is empty")))
        if isinstance(header, EntryInvalid):
            yield line, header
            return
        names = [name.strip() for name in header]
        if len(set(names)) != len(names):
            yield line, EntryInvalid("", "a column is there twice")
            return
        try:
            shape = self._reader.shape(frozenset(names))
        except EntryInvalid as error:
            yield line, error
            return
        for line, cells in rows:
            if isinstance(cells, EntryInvalid):
                yield line, cells
            elif len(cells) != len(names):
                yield line, EntryInvalid("", f"{len(cells)} fields, the header has {len(names)}")
            else:
                try:
                    yield line, self._reader.made(shape, dict(zip(names, cells, strict=True)))
                except EntryInvalid as error:
                    yield line, error

    def _rows(self) -> Iterator[tuple[int, list[str] | EntryInvalid]]:
        try:
            with self.path.open("rb") as file:
                number = 0
                while raw := file.readline(MAX_LINE_BYTES + 1):
                    number += 1
                    if number > MAX_LINES:
                        yield number, EntryInvalid("", f"more than {MAX_LINES} lines")
                        return
                    if len(raw) > MAX_LINE_BYTES:
                        yield number, EntryInvalid("", f"longer than {MAX_LINE_BYTES} bytes")
                        return
                    row = _cells(raw, first=number == 1)
                    if row is not None:
                        yield number, row
        except OSError as error:
            yield 1, EntryInvalid("", f"cannot be read: {error.strerror}")


def _cells(raw: bytes, *, first: bool) -> list[str] | EntryInvalid | None:
    """Fields of one line; None of an empty one."""
    try:
        text = raw.decode("utf-8-sig" if first else "utf-8").rstrip("\r\n")
        if not text.strip():
            return None
        # An entry is one line: a quote that is left open is the fault of its line, and not of the file's end.
        (cells,) = csv.reader([text], strict=True)
    except UnicodeDecodeError as error:
        return EntryInvalid("", f"not UTF-8 at byte {error.start + 1}")
    except csv.Error as error:
        return EntryInvalid("", f"not CSV: {error}")
    except ValueError:
        return EntryInvalid("", "not CSV: a line break within the line")
    return cells


def read_expiry(value: Any) -> int:
    """Last millisecond of a time, or of the day, as people write it; 0 for nothing.

    Args:
        value: ``2027-01-31``, ``2027-01-31T12:00:00Z``, or a TOML date or time.

    Raises:
        EntryInvalid: neither.
    """
    if value == "":
        return 0
    if isinstance(value, str):
        try:
            value = date.fromisoformat(value) if len(value) == len("2027-01-31") else datetime.fromisoformat(value)
        except ValueError:
            raise EntryInvalid(_EXPIRES, "write a day (2027-01-31) or a time (2027-01-31T12:00:00Z)") from None
    if isinstance(value, datetime):
        moment = value if value.tzinfo is not None else value.replace(tzinfo=UTC)
    elif isinstance(value, date):
        moment = datetime.combine(value, time(23, 59, 59, 999_000), UTC)
    else:
        raise EntryInvalid(_EXPIRES, "write a day (2027-01-31) or a time (2027-01-31T12:00:00Z)")
    found = round(moment.timestamp() * 1000)
    if found <= 0:
        raise EntryInvalid(_EXPIRES, "that is before 1970")
    return found


def _key(name: str, value: str) -> bytes:
    try:
        return parse_key(value) if value.startswith("ed25519:") else check_public_key(bytes.fromhex(value))
    except (InvalidInput, ValueError):
        raise EntryInvalid(name, "a key is written ed25519: and 64 lower-case hex digits") from None


def _hash(name: str, value: str) -> bytes:
    try:
        found = bytes.fromhex(value)
    except ValueError:
        found = b""
    if len(found) != 32 or found.hex() != value:
        raise EntryInvalid(name, "64 lower-case hex digits are needed")
    return found


def _in_column(error: EntryInvalid) -> str:
    return f", column {error.column!r}" if error.column else ""


def _shown(names: frozenset[str]) -> str:
    return ", ".join(sorted(names)) or "nothing"
