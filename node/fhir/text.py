"""Strings and shape of a resource, before any model looks at it: what JSON allows and FHIR or this program does not.

Markup in strings would run in someone's browser, control characters on someone's terminal. The one place where FHIR
allows markup, the narrative (``text.div`` of a resource), is never carried.
"""

from __future__ import annotations

import re
from typing import Any, Final

from node.fhir.problems import INVALID, TEXT_REFUSED, TOO_LARGE, Place

MAX_STRING_CHARACTERS: Final = 4_096
MAX_DEPTH: Final = 48
"""Levels of objects and lists in each other."""
_CONTROL = (
    "\\x00-\\x08\\x0b\\x0c\\x0e-\\x1f\\x7f-\\x9f"  # all but tab, line feed and carriage return, as FHIR says
    "\u2028\u2029\u202a-\u202e\u2066-\u2069"  # line separators and direction overrides
    "\ud800-\udfff\ufffe\uffff"  # halves of characters, and no characters
)
_REFUSED = re.compile(f"[{_CONTROL}]|<[A-Za-z/!?]")
_ELEMENT = re.compile(r"_?[A-Za-z][A-Za-z0-9]{0,63}", re.ASCII)


def check_text(resource: dict[str, Any], kind: str, place: Place) -> bool:
    """Notes every string, name and shape of ``resource`` that is refused; whether there was none.

    Args:
        resource: a resource; its narratives are passed over.
        kind: its type, with which paths begin.
        place: where faults are noted.
    """
    before = len(place.problems.found)
    _Walk(kind, place).check_object(resource)
    return len(place.problems.found) == before


def drop_narratives(value: Any) -> None:
    """Takes the narrative out of ``value`` and of every resource inside it."""
    if isinstance(value, list):
        for item in value:
            drop_narratives(item)
    elif isinstance(value, dict):
        if _has_narrative(value):
            del value["text"]
        for item in value.values():
            drop_narratives(item)


def write_path(steps: list[str | int] | tuple[str | int, ...]) -> str:
    """``("Claim", "item", 0, "net")`` as ``Claim.item[0].net``."""
    return "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in steps).removeprefix(".")


def _has_narrative(value: dict[str, Any]) -> bool:
    # One condition for what is passed over here and dropped there, so that nothing unchecked is ever carried.
    return "resourceType" in value and isinstance(value.get("text"), dict)


class _Walk:
    def __init__(self, kind: str, place: Place) -> None:
        self.steps: list[str | int] = [kind]
        self.place = place

    def check_object(self, value: dict[str, Any]) -> None:
        narrative = _has_narrative(value)
        for name, item in value.items():
            if not _ELEMENT.fullmatch(name):
                self.note(f"{name[:64]!a} is no name of a FHIR element", INVALID)
                continue
            if narrative and name == "text":
                continue
            self.steps.append(name)
            if item is None:
                self.note("null stands for nothing in FHIR: leave the element out", INVALID)
            else:
                self.check(item)
            self.steps.pop()

    def check(self, value: Any) -> None:
        if isinstance(value, str):
            if len(value) > MAX_STRING_CHARACTERS:
                self.note(f"a text of {len(value)} characters, at most {MAX_STRING_CHARACTERS}", TOO_LARGE)
            elif match := _REFUSED.search(value):
                self.note(_why_refused(match[0], match.start()), TEXT_REFUSED)
        elif isinstance(value, dict | list):
            if not value:
                self.note("an empty object or list: leave the element out", INVALID)
            elif len(self.steps) > MAX_DEPTH:
                self.note(f"nested deeper than {MAX_DEPTH} levels", TOO_LARGE)
            elif isinstance(value, dict):
                self.check_object(value)
            else:
                for place, item in enumerate(value):
                    self.steps.append(place)
                    self.check(item)
                    self.steps.pop()

    def note(self, why: str, code: str) -> None:
        self.place.add(write_path(self.steps), why, code)


def _why_refused(found: str, place: int) -> str:
    if found[0] == "<":
        return f"markup at character {place + 1}; FHIR allows it in narratives only"
    return f"a control character (U+{ord(found):04X}) at character {place + 1}"
