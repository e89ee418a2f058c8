"""References between resources: ``urn:uuid:ID`` and ``Type/ID``, resolved inside one batch."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import Any, Final

from node.fhir.problems import REFERENCE_UNRESOLVED, Place

_REFERENCE: Final = re.compile(r"(?:urn:uuid:|([A-Z][A-Za-z]{0,63})/)([A-Za-z0-9.-]{1,64})", re.ASCII)


class Index:
    """Ids of what was read, by resource type; and which types have lines that could not be read."""

    __slots__ = ("blind", "ids")

    def __init__(self, kinds: Collection[str]) -> None:
        self.ids: dict[str, dict[str, tuple[str, int]]] = {kind: {} for kind in kinds}
        """Type → id → file and line that it stands in; invalid resources too, once their id is known."""
        self.blind: set[str] = set()
        """Types with a line of unknown id: what does not resolve there is no fault of its own."""

    def resolve(
        self, element: Mapping[str, Any] | None, path: str, allowed: tuple[str, ...], place: Place
    ) -> tuple[str, str] | None:
        """The (type, id) that a ``Reference`` element names.

        Args:
            element: the element, None when it is missing.
            path: its path, for faults.
            allowed: resource types that it may name, the preferred one first.
            place: where faults are noted.

        Returns:
            None when it names nothing: the fault is noted, unless it follows from one noted before.
        """
        path = f"{path}.reference"
        text = element.get("reference") if element else None
        if text is None:
            place.add(path, f"there is no reference to {_either(allowed)}", REFERENCE_UNRESOLVED)
            return None
        match = _REFERENCE.fullmatch(text)
        if match is None:
            why = f"{text[:80]!r} is neither urn:uuid:ID nor Type/ID"
            place.add(path, why, REFERENCE_UNRESOLVED)
            return None
        named, wanted = match[1], match[2]
        for kind in allowed:
            if named in (None, kind) and wanted in self.ids[kind]:
                return kind, wanted
        other = next((kind for kind, ids in self.ids.items() if named in (None, kind) and wanted in ids), None)
        if other is not None or (named is not None and named not in allowed):
            why = f"{text[:120]!r} names a resource of type {other or named}, not {_either(allowed)}"
            place.add(path, why, REFERENCE_UNRESOLVED)
        elif not self.blind.intersection(allowed):
            place.add(path, f"{text[:120]!r} names no {_either(allowed)} of this input", REFERENCE_UNRESOLVED)
        return None


def _either(kinds: tuple[str, ...]) -> str:
    return " or ".join(kinds)
