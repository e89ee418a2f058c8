"""Every stable error code: its JSON-RPC integer, what it means, what to do. One table for code, documents and clients.

Integers and codes are never given another meaning; new ones go to the end of their area. The rows stand in
``node.rpc.codes_*``, by area. A code that is not here travels with ``GENERAL``.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from typing import Final

GENERAL: Final = -32_000
PARSE_ERROR: Final = -32_700
INVALID_REQUEST: Final = -32_600
METHOD_NOT_FOUND: Final = -32_601
INVALID_PARAMS: Final = -32_602
INTERNAL_ERROR: Final = -32_603


@dataclass(frozen=True, slots=True)
class Code:
    """One stable code.

    Attributes:
        code: ``error.data.code``, and in receipts.
        number: ``error.code`` of JSON-RPC.
        meaning: what has happened.
        remedy: what to do.
        area: heading that it stands under in the documents.
    """

    code: str
    number: int
    meaning: str
    remedy: str
    area: str


def rows(area: str, first: int, remedy: str, text: str) -> tuple[Code, ...]:
    """The codes of an area, from lines of ``code | meaning`` or ``code | meaning | remedy``.

    Args:
        area: heading in the documents.
        first: integer of the first line; each line counts one up.
        remedy: where a line says none.
        text: the lines; an empty code keeps the place of one that is not used any more.
    """
    found = []
    for number, line in enumerate(text.strip().splitlines(), start=first):
        code, meaning, *rest = (part.strip() for part in line.split("|"))
        if code:
            found.append(Code(code, number, meaning, rest[0] if rest else remedy, area))
    return tuple(found)


@cache
def table() -> dict[str, Code]:
    """All codes by name, in the order of the documents."""
    from node.rpc import codes_contracts, codes_flow, codes_ledger, codes_node, codes_rpc  # noqa: PLC0415 - a circle

    found: dict[str, Code] = {}
    for area in (
        codes_rpc.CODES, codes_ledger.CODES, codes_node.CODES, codes_contracts.CODES, codes_flow.CODES
    ):  # fmt: skip
        found.update(_checked(area, found))
    return found


def _checked(area: Iterable[Code], known: dict[str, Code]) -> dict[str, Code]:
    fresh: dict[str, Code] = {}
    numbers = {row.number for row in known.values()}
    for row in area:
        assert row.code not in known, f"{row.code} stands twice in the table"
        assert row.code not in fresh, f"{row.code} stands twice in the table"
        assert row.number not in numbers or row.number < 0, f"{row.number} stands twice in the table"
        fresh[row.code] = row
        numbers.add(row.number)
    return fresh


def number_of(code: str) -> int:
    """JSON-RPC integer of a stable code."""
    row = table().get(code)
    return GENERAL if row is None else row.number
