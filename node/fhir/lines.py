"""Files of FHIR's Bulk Data form: which there are in a directory, and their lines, one at a time and bounded."""

from __future__ import annotations

import gzip
import re
import zlib
from collections.abc import Iterator
from io import BufferedReader
from pathlib import Path
from typing import Final

from ledger.errors import InvalidInput
from node.fhir.models import KINDS
from node.fhir.problems import UNREADABLE

MAX_LINE_BYTES: Final = 1024 * 1024
MAX_FILE_BYTES: Final = 4 * 1024 * 1024 * 1024
"""Unpacked. A small packed file can hold much more."""
MAX_FILES: Final = 4_096
_SUFFIXES: Final = (".ndjson", ".ndjson.gz")
_MARK: Final = b"\xef\xbb\xbf"
_CHUNK: Final = 64 * 1024


def list_files(directory: Path) -> list[Path]:
    """The ``*.ndjson`` and ``*.ndjson.gz`` files of ``directory``, by name.

    Raises:
        InvalidInput: ``file_unreadable``: no such directory, not a directory, no such file in it, or too many.
    """
    try:
        files = sorted(each for each in directory.iterdir() if each.name.endswith(_SUFFIXES) and each.is_file())
    except OSError as error:
        raise InvalidInput(f"cannot read {directory}: {error.strerror}", code=UNREADABLE) from error
    if not files:
        raise InvalidInput(f"there is no *.ndjson or *.ndjson.gz file in {directory}", code=UNREADABLE)
    if len(files) > MAX_FILES:
        raise InvalidInput(f"{len(files)} files in {directory}, at most {MAX_FILES}", code=UNREADABLE)
    return files


def named_kind(name: str) -> str | None:
    """The resource type that a file is named for: ``Claim.ndjson``, ``Claim.000.ndjson``, ``1.Claim.ndjson.gz``."""
    return next((part for part in re.split(r"[._-]", name) if part in KINDS), None)


def read_lines(path: Path) -> Iterator[tuple[int, bytes | None]]:
    """Number, from 1, and bytes of each line of a file that is not blank; None for one longer than 1 MiB.

    No more than one line is held, however long.

    Raises:
        InvalidInput: ``file_unreadable``: the file cannot be read or unpacked, or is larger than 4 GiB unpacked.
    """
    try:
        with _open(path) as file:
            yield from _split(file, path)
    except (OSError, EOFError, zlib.error) as error:
        why = getattr(error, "strerror", None) or "not a whole gzip file"
        raise InvalidInput(f"cannot read {path.name}: {why}", code=UNREADABLE) from error


def _open(path: Path) -> gzip.GzipFile | BufferedReader:
    return gzip.open(path, "rb") if path.name.endswith(".gz") else path.open("rb")


def _split(file: gzip.GzipFile | BufferedReader, path: Path) -> Iterator[tuple[int, bytes | None]]:
    number = size = 0
    while raw := file.readline(MAX_LINE_BYTES + 2):
        number += 1
        size += len(raw)
        line: bytes | None = raw.removeprefix(_MARK).strip(b" \t\r\n") if number == 1 else raw.strip(b" \t\r\n")
        if len(raw) > MAX_LINE_BYTES and not raw.endswith(b"\n"):
            line = None
            while (rest := file.readline(_CHUNK)) and size <= MAX_FILE_BYTES:
                size += len(rest)
                if rest.endswith(b"\n"):
                    break
        if size > MAX_FILE_BYTES:
            raise InvalidInput(f"{path.name} is larger than {MAX_FILE_BYTES} bytes", code=UNREADABLE)
        if line is None or len(line) > MAX_LINE_BYTES:
            yield number, None
        elif line:
            yield number, line
