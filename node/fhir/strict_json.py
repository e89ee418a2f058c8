"""JSON as this program takes it: one meaning only, exact numbers, and one way to write it.

Duplicate keys, ``NaN`` and ``Infinity``, over-long numbers and bytes that are not UTF-8 are refused. Numbers with a
point or an exponent become ``Decimal``, never ``float``, and are written again digit by digit.
"""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any, Final

import msgspec

MAX_NUMBER_CHARACTERS: Final = 40
"""FHIR asks for 18 significant digits at least; Synthea writes up to 17."""
_encoder = msgspec.json.Encoder(decimal_format="number", order="sorted")


class InvalidJson(ValueError):
    """Text that is not JSON, or not JSON with one meaning; the text says why, without any of the data."""


def decode(data: bytes) -> Any:
    """The value that ``data`` says: dict, list, str, int, Decimal, bool or None.

    Raises:
        InvalidJson: see the module.
    """
    try:
        return _decoder.decode(data.decode())
    except UnicodeDecodeError as error:
        raise InvalidJson(f"not UTF-8 at byte {error.start + 1} of the line") from error
    except json.JSONDecodeError as error:
        raise InvalidJson(f"not JSON: {error.msg} at column {error.colno}") from error
    except RecursionError as error:
        raise InvalidJson("not JSON that can be read: nested too deep") from error


def encode(value: Any) -> bytes:
    """Canonical JSON: keys sorted, no spaces, UTF-8, exact numbers."""
    return _encoder.encode(value)


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for place, name in enumerate(names) if name in names[:place])
        raise InvalidJson(f"the key {twice[:64]!r} comes twice in one object")
    return found


def _number(text: str) -> Decimal:
    if len(text) > MAX_NUMBER_CHARACTERS:
        raise InvalidJson(f"a number of more than {MAX_NUMBER_CHARACTERS} characters")
    try:
        return Decimal(text)
    except ArithmeticError as error:
        raise InvalidJson("a number with an exponent beyond all use") from error


def _integer(text: str) -> int:
    if len(text) > MAX_NUMBER_CHARACTERS:
        raise InvalidJson(f"a number of more than {MAX_NUMBER_CHARACTERS} characters")
    return int(text)


def _constant(text: str) -> Any:
    raise InvalidJson(f"{text} is not a JSON number")


_decoder = json.JSONDecoder(
    object_pairs_hook=_object, parse_float=_number, parse_int=_integer, parse_constant=_constant
)
