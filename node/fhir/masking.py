"""Masking of direct identifiers: a document for anyone but the authorities (PROTOCOL.md 2.5).

A mask list is data of the flow kind: paths, each one of

* ``Type.element.element``: the element is dropped, in every resource of that type wherever it stands in the document,
  in every element of a list on the way. ``*`` as type means every resource.
* the same with ``:year``: of a date, only the year stays (four digits; anything else is dropped).
* the same with ``:pseudonym``: a list of identifiers becomes one placeholder, which says where the pseudonym belongs.

With an element goes its FHIR sibling ``_element`` (extensions of a primitive, such as the hour of birth).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Final

from contracts.flow.kinds import PRESCRIPTION_MASK
from ledger.errors import InvalidInput
from node.fhir import strict_json

PSEUDONYM_SYSTEM: Final = "urn:tidegate:pseudonym"
"""System of the identifier that stands for all of a patient's identifiers."""
MAX_PATHS: Final = 256
MAX_PATH_CHARACTERS: Final = 128
DEFAULT_MASK: Final = PRESCRIPTION_MASK
"""What the kind ``prescription`` masks: whatever names, locates or numbers the patient. The prescriber's name, the drug
and the coverage stay: pharmacists and pharmacies need them. A patient's extensions go whole, because a maiden name or a
place of birth hides among them."""

_PATH = re.compile(r"(\*|[A-Z][A-Za-z]*)((?:\.[a-z][A-Za-z0-9]*)+)(?::(year|pseudonym))?", re.ASCII)
_YEAR = re.compile(r"[0-9]{4}(?![0-9])", re.ASCII)
_Rule = tuple[tuple[str, ...], str | None]


def check_paths(paths: Sequence[str]) -> None:
    """Checks a mask list before it is stored or used.

    Raises:
        InvalidInput: ``mask_invalid``: too many paths, or one of another form; the text names it.
    """
    _rules(paths)


def mask(document: dict[str, Any], paths: Sequence[str] = DEFAULT_MASK) -> dict[str, Any]:
    """A copy of ``document`` without what ``paths`` name; ``document`` stays as it is.

    Args:
        document: a resource, or a ``Bundle`` of them, as ``strict_json.decode`` gives it.
        paths: see the module; ``DEFAULT_MASK`` when none are given.

    Raises:
        InvalidInput: ``mask_invalid``.
    """
    masked = _masked(document, _rules(paths))
    assert isinstance(masked, dict)
    return masked


def mask_document(document: bytes, paths: Sequence[str] = DEFAULT_MASK) -> bytes:
    """``mask`` on canonical JSON. Raises ``InvalidInput``: ``mask_invalid``, or ``fhir_json_invalid``."""
    try:
        value = strict_json.decode(document)
    except strict_json.InvalidJson as error:
        raise InvalidInput(f"the document: {error}", code="fhir_json_invalid") from error
    if not isinstance(value, dict):
        raise InvalidInput("the document is not a JSON object", code="fhir_json_invalid")
    return strict_json.encode(mask(value, paths))


def _rules(paths: Sequence[str]) -> dict[str, list[_Rule]]:
    if len(paths) > MAX_PATHS:
        raise InvalidInput(f"{len(paths)} paths to mask, at most {MAX_PATHS}", code="mask_invalid")
    rules: dict[str, list[_Rule]] = {}
    for path in paths:
        match = _PATH.fullmatch(path) if len(path) <= MAX_PATH_CHARACTERS else None
        if match is None:
            raise InvalidInput(f"{path[:MAX_PATH_CHARACTERS]!r} is not a path to mask", code="mask_invalid")
        rules.setdefault(match[1], []).append((tuple(match[2][1:].split(".")), match[3]))
    return rules


def _masked(value: Any, rules: dict[str, list[_Rule]]) -> Any:
    if isinstance(value, list):
        return [_masked(item, rules) for item in value]
    if not isinstance(value, dict):
        return value
    copy = {name: _masked(item, rules) for name, item in value.items()}
    kind = value.get("resourceType")
    if isinstance(kind, str):
        for steps, how in (*rules.get("*", ()), *rules.get(kind, ())):
            _apply(copy, steps, how)
    return copy


def _apply(element: Any, steps: tuple[str, ...], how: str | None) -> None:
    if isinstance(element, list):
        for item in element:
            _apply(item, steps, how)
        element[:] = [item for item in element if item != {}]  # FHIR has no empty elements
        return
    if not isinstance(element, dict):
        return
    name, rest = steps[0], steps[1:]
    if rest:
        _apply(element.get(name), rest, how)
        if element.get(name) in ({}, []):
            del element[name]
        return
    element.pop(f"_{name}", None)
    old = element.pop(name, None)
    if how == "pseudonym" and old is not None:
        element[name] = [{"system": PSEUDONYM_SYSTEM, "value": "masked"}]
    elif how == "year" and isinstance(old, str) and (year := _YEAR.match(old)):
        element[name] = year[0]
