"""Twelve real requests with what they refer to, to be changed one element at a time and written out again."""

from __future__ import annotations

import copy
import json
from functools import cache
from pathlib import Path

import pytest

from node.fhir.models import KINDS
from node.fhir.problems import InvalidFhir, Problem
from node.fhir.reading import Batch, load_directory

DATA = Path(__file__).parent / "data"
GONE = object()
"""As a value: the element is taken out."""


@cache
def _lines(kind: str) -> tuple[str, ...]:
    return tuple((DATA / f"{kind}.ndjson").read_text(encoding="utf-8").splitlines())


class Sample:
    """The sample as lists of resources by type."""

    def __init__(self) -> None:
        self.resources = {kind: [json.loads(line) for line in _lines(kind)] for kind in KINDS}

    def change(self, path: str, value, place: int = 0) -> Sample:
        """Sets the element at a path such as ``Claim.item[0].net`` in the resource at ``place`` of its type."""
        steps = path.replace("[", ".").replace("]", "").split(".")
        element = self.resources[steps[0]][place]
        for step in steps[1:-1]:
            element = element[int(step)] if isinstance(element, list) else element.setdefault(step, {})
        last = int(steps[-1]) if isinstance(element, list) else steps[-1]
        if value is GONE:
            del element[last]
        else:
            element[last] = copy.deepcopy(value)
        return self

    def claim_of(self, request: dict) -> dict:
        name = f"urn:uuid:{request['id']}"
        return next(claim for claim in self.resources["Claim"] if claim["prescription"]["reference"] == name)

    def text(self, kind: str) -> str:
        return "".join(json.dumps(each) + "\n" for each in self.resources[kind])

    def write(self, directory: Path) -> Path:
        for kind in KINDS:
            (directory / f"{kind}.ndjson").write_text(self.text(kind), encoding="utf-8")
        return directory

    def load(self, directory: Path) -> Batch:
        return load_directory(self.write(directory))

    def refused(self, directory: Path) -> tuple[Problem, ...]:
        """The faults that reading finds."""
        return refused(self.write(directory))


def refused(directory: Path) -> tuple[Problem, ...]:
    """The faults that reading a directory finds."""
    with pytest.raises(InvalidFhir) as error:
        load_directory(directory)
    return error.value.problems


def where(problems: tuple[Problem, ...]) -> list[tuple[str, str, int, str]]:
    """Code, file, line and path of each fault."""
    return [(each.code, each.file, each.line, each.path) for each in problems]
