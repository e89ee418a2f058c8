"""Validation against the FHIR models of ``fhir.resources`` (R4B: it has no separate R4 ones, and they accept R4 data).

The library is loaded when the first resource is validated: about a quarter of a second. It coerces on the way in
(``"yes"`` for a boolean, a number for a date) and leaves required codes unchecked, so what it made is compared with
what was written: same JSON types, codes of the required value sets.
"""

from __future__ import annotations

from decimal import Decimal
from functools import cache
from importlib import import_module
from typing import Any, Final

from node.fhir.text import write_path

KINDS: Final = ("Patient", "Practitioner", "Organization", "MedicationRequest", "Claim")
"""The resource types that are read, each after those that it refers to."""
MAX_WORDS: Final = 200
"""Characters of the library's own words in a fault."""
_Fault = tuple[str, str]


def validate(kind: str, resource: dict[str, Any]) -> list[_Fault]:
    """Faults of ``resource`` as a FHIR resource of type ``kind``: (path, why), none when it is valid.

    Args:
        kind: one of ``KINDS``.
        resource: as ``strict_json.decode`` gives it; not changed.
    """
    validation_error, model = _model(kind)
    try:
        found = model.model_validate(resource)
    except validation_error as error:
        return [
            (write_path((kind, *fault["loc"])), _words(fault["msg"]))
            for fault in error.errors(include_url=False, include_context=False, include_input=False)
        ]
    except (LookupError, TypeError, AttributeError, ValueError, ArithmeticError, RecursionError) as error:
        # The library looks models up by the names in the data, and lets what goes wrong there out.
        return [(kind, f"not a FHIR resource: {_words(str(error))}")]
    faults: list[_Fault] = []
    _compare(found, resource, [kind], faults)
    return faults


def _words(text: str) -> str:
    return " ".join(text.removeprefix("Value error, ").split())[:MAX_WORDS]


@cache
def _model(kind: str) -> tuple[type[Any], Any]:
    validation_error: type[Any] = import_module("pydantic").ValidationError
    return validation_error, getattr(import_module(f"fhir.resources.R4B.{kind.lower()}"), kind)


@cache
def _elements(model: Any) -> dict[str, tuple[str, frozenset[str] | None]]:
    """Of each element of a model: the attribute that holds it, and the codes that it may have."""
    elements: dict[str, tuple[str, frozenset[str] | None]] = {}
    for name, field in model.model_fields.items():
        extra = field.json_schema_extra or {}
        codes = extra.get("enum_values")
        elements[field.alias or name] = (name, frozenset(codes) if codes else None)
    return elements


def _compare(made: Any, written: dict[str, Any], steps: list[str | int], faults: list[_Fault]) -> None:
    elements = _elements(made.__class__)
    values = made.__dict__
    for name, item in written.items():
        if name not in elements:
            continue  # resourceType; the model refuses every other unknown name
        attribute, codes = elements[name]
        steps.append(name)
        _compare_value(values.get(attribute), item, codes, steps, faults)
        steps.pop()


def _compare_value(
    made: Any, written: Any, codes: frozenset[str] | None, steps: list[str | int], faults: list[_Fault]
) -> None:
    if isinstance(written, dict):
        if hasattr(made, "__dict__"):
            _compare(made, written, steps, faults)
    elif isinstance(written, list):
        if isinstance(made, list):
            for place, (one, item) in enumerate(zip(made, written, strict=True)):
                steps.append(place)
                _compare_value(one, item, codes, steps, faults)
                steps.pop()
    elif not _same_type(made, written):
        faults.append((write_path(steps), "of another JSON type than this element has"))
    elif codes is not None and written not in codes:
        faults.append((write_path(steps), f"not one of the codes {', '.join(sorted(codes))[:MAX_WORDS]}"))


def _same_type(made: Any, written: Any) -> bool:
    if isinstance(written, bool) or isinstance(made, bool):
        return isinstance(written, bool) and isinstance(made, bool)
    if isinstance(written, int):
        return isinstance(made, int | Decimal)
    if isinstance(written, Decimal):
        return isinstance(made, Decimal)
    if isinstance(written, str):
        return not isinstance(made, int | float | Decimal)
    return True
