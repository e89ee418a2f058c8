"""Faults of FHIR input: each with its file, line, path and code; up to twenty are collected into one error."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from ledger.errors import InvalidInput

MAX_PROBLEMS: Final = 20
"""Reading stops at this many: whoever has twenty faults has the same one in every line."""

INVALID: Final = "fhir_invalid"
JSON_INVALID: Final = "fhir_json_invalid"
TYPE_WRONG: Final = "fhir_type_wrong"
REFERENCE_UNRESOLVED: Final = "fhir_reference_unresolved"
DUPLICATE_ID: Final = "fhir_duplicate_id"
TOO_LARGE: Final = "fhir_too_large"
TEXT_REFUSED: Final = "fhir_text_refused"
AMOUNT_INVALID: Final = "fhir_amount_invalid"
SUBJECT_MISSING: Final = "fhir_subject_missing"
SUBJECT_DIFFERS: Final = "fhir_subject_differs"
CLAIM_MISSING: Final = "fhir_claim_missing"
CLAIM_DUPLICATE: Final = "fhir_claim_duplicate"
COVERAGE_UNKNOWN: Final = "fhir_coverage_unknown"
DRUG_MISSING: Final = "fhir_drug_missing"
UNREADABLE: Final = "file_unreadable"


@dataclass(frozen=True, slots=True)
class Problem:
    """One fault.

    Attributes:
        file: name of the file inside its directory; empty for the directory as a whole.
        line: physical line, from 1; 0 for a file as a whole.
        path: element, such as ``Claim.item[0].net.value``; empty for a whole line.
        why: in words; never with the ID number of anyone.
        code: stable code of the kind of fault.
    """

    file: str
    line: int
    path: str
    why: str
    code: str

    def __str__(self) -> str:
        line = f"line {self.line}" if self.line else ""
        where = ", ".join(part for part in (self.file, line, self.path) if part)
        return f"{where}: {self.why}" if where else self.why


class InvalidFhir(InvalidInput):
    """Input that was refused whole: all the faults that were found, the first one's code, file, line and path.

    Args:
        problems: at least one. ``data["problems"]`` has them as objects for JSON.
    """

    code = INVALID

    def __init__(self, *problems: Problem) -> None:
        first = problems[0]
        text = str(first)
        if len(problems) > 1:
            stopped = " or more" if len(problems) >= MAX_PROBLEMS else ""
            text = "\n".join((f"{len(problems)}{stopped} faults:", *(f"  {problem}" for problem in problems)))
        super().__init__(
            text,
            code=first.code,
            file=first.file,
            line=first.line,
            path=first.path,
            problems=[
                {"file": each.file, "line": each.line, "path": each.path, "code": each.code, "why": each.why}
                for each in problems
            ],
        )
        self.problems = problems


class Problems:
    """Collects faults, and ends the reading when there are ``MAX_PROBLEMS``."""

    __slots__ = ("found",)

    def __init__(self) -> None:
        self.found: list[Problem] = []

    def add(self, problem: Problem) -> None:
        """Notes ``problem``. Raises ``InvalidFhir`` when it was the last one wanted."""
        self.found.append(problem)
        if len(self.found) >= MAX_PROBLEMS:
            raise InvalidFhir(*self.found)

    def raise_found(self) -> None:
        """Raises ``InvalidFhir`` when any fault was noted."""
        if self.found:
            raise InvalidFhir(*self.found)


@dataclass(frozen=True, slots=True)
class Place:
    """A line of a file, where faults of one resource are noted.

    Attributes:
        problems: where they are collected.
        file: name of the file.
        line: physical line, from 1.
    """

    problems: Problems
    file: str
    line: int

    def add(self, path: str, why: str, code: str = INVALID) -> None:
        """Notes a fault of the element at ``path``. Raises ``InvalidFhir`` as ``Problems.add``."""
        self.problems.add(Problem(self.file, self.line, path, why, code))
