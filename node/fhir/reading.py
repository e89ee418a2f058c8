"""Reading a directory of FHIR Bulk Data files into prescriptions: all of it is checked, then all of it is given.

Types are read in the order in which they refer to each other, so every reference is resolved as it is met and no
resource is looked at twice. What stays in memory of a resource is its canonical JSON.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from ledger.errors import InvalidInput
from node.fhir import strict_json
from node.fhir.assembly import Assembly
from node.fhir.lines import MAX_LINE_BYTES, list_files, named_kind, read_lines
from node.fhir.models import KINDS
from node.fhir.money import CURRENCY_SCALES
from node.fhir.prescription import Prescription
from node.fhir.problems import (
    INVALID,
    JSON_INVALID,
    TOO_LARGE,
    TYPE_WRONG,
    UNREADABLE,
    InvalidFhir,
    Place,
    Problem,
    Problems,
)

MAX_RESOURCES: Final = 1_000_000
"""Resources of one type in one directory."""
PROGRESS_LINES: Final = 500
_ANY_KIND = re.compile(rb'"resourceType"\s*:\s*"(?:' + "|".join(KINDS).encode() + rb')"')
Progress = Callable[[str, int], None]
"""Called with a file's name and how many of its lines were read: every ``PROGRESS_LINES``, and at its end."""


@dataclass(frozen=True, slots=True)
class Batch:
    """All that a directory holds, checked.

    Attributes:
        prescriptions: in the order of the requests: files by name, then lines.
        counts: resources read, by type; ``ignored``: lines of files of other types, and claims that are neither for a
            prescription nor of a pharmacy.
    """

    prescriptions: tuple[Prescription, ...]
    counts: Mapping[str, int]


def load_directory(
    path: Path, progress: Progress | None = None, *, scales: Mapping[str, int] = CURRENCY_SCALES
) -> Batch:
    """The prescriptions of the ``*.ndjson`` and ``*.ndjson.gz`` files of a directory.

    A file is named for the type of its lines (``Claim.ndjson``, ``Claim.000.ndjson``), or has the type of its first
    line. Files of types other than the five of ``KINDS`` are ignored, with a count of their lines.

    Args:
        path: the directory.
        progress: told how far reading is.
        scales: currencies that there is an asset for, with the decimal places of its minor unit; others are refused.

    Raises:
        InvalidFhir: up to 20 faults, each with file, line and path. Nothing is given of a batch that has one.
        InvalidInput: ``file_unreadable``.
    """
    problems = Problems()
    assembly = Assembly(problems, scales)
    files: dict[str, list[Path]] = {kind: [] for kind in KINDS}
    ignored = 0
    found = list_files(path)
    for file in found:
        kind = named_kind(file.name) or _first_kind(file)
        if kind in KINDS:
            files[kind].append(file)
        else:
            ignored += _skim(file, kind, problems)
    for kind, paths in files.items():
        for file in paths:
            _read_file(kind, file, assembly, progress)
    prescriptions = assembly.finish()
    if not prescriptions:
        raise InvalidFhir(Problem("", 0, "", f"there is no MedicationRequest in {path.name!r}", INVALID))
    return Batch(tuple(prescriptions), {**assembly.counts, "ignored": ignored + assembly.claims_ignored})


def _read_file(kind: str, file: Path, assembly: Assembly, progress: Progress | None) -> None:
    number = 0
    for number, line in _lines(file, assembly.problems):
        place = Place(assembly.problems, file.name, number)
        if assembly.counts[kind] >= MAX_RESOURCES:
            place.add("", f"more than {MAX_RESOURCES} resources of type {kind}", TOO_LARGE)
            return
        if line is None:
            assembly.index.blind.add(kind)
            place.add("", f"a line of more than {MAX_LINE_BYTES} bytes", TOO_LARGE)
            continue
        try:
            resource = strict_json.decode(line)
        except strict_json.InvalidJson as error:
            assembly.index.blind.add(kind)
            place.add("", str(error), JSON_INVALID)
            continue
        assembly.take(kind, resource, place)
        if progress is not None and number % PROGRESS_LINES == 0:
            progress(file.name, number)
    if progress is not None:
        progress(file.name, number)


def _lines(file: Path, problems: Problems) -> Iterator[tuple[int, bytes | None]]:
    try:
        yield from read_lines(file)
    except InvalidInput as error:
        if isinstance(error, InvalidFhir):
            raise
        problems.add(Problem(file.name, 0, "", error.message, UNREADABLE))
        problems.raise_found()  # what follows would be faults of what could not be read


def _first_kind(file: Path) -> str | None:
    """Type of the first line of a file that is not named for one; None when it cannot be told."""
    for _, line in read_lines(file):
        return _kind_of(line) if line is not None else None
    return None


def _kind_of(line: bytes) -> str | None:
    try:
        resource = strict_json.decode(line)
    except strict_json.InvalidJson:
        return None
    kind = resource.get("resourceType") if isinstance(resource, dict) else None
    return kind if isinstance(kind, str) else None


def _skim(file: Path, kind: str | None, problems: Problems) -> int:
    """Lines of a file of another type; lines of the five types among them are noted, because nobody would read them."""
    count = 0
    for number, line in _lines(file, problems):
        count += 1
        if count == 1 and kind is None:
            Place(problems, file.name, number).add(
                "", "neither the file's name nor this line says a type", JSON_INVALID
            )
        if line is not None and _ANY_KIND.search(line) and (inner := _kind_of(line)) in KINDS:
            why = f"{inner!r} in a file that begins with {kind or 'something else'!r}: one type a file"
            Place(problems, file.name, number).add("resourceType", why, TYPE_WRONG)
    return count
