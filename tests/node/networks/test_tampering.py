"""Files of a ceremony, and plans, changed at random: refused with a typed error, never taken, never a crash."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ledger.errors import TidegateError
from node.networks.blueprint import parse_blueprint
from node.networks.ceremony import Founding, assemble, finish
from node.networks.ceremony_files import founding_document, read_founding
from node.networks.example import BUSINESS_EXAMPLE
from node.networks.rehearsal import rehearse
from tests.node.networks.plans import SEATS, Members

Place = tuple[Any, ...]


@pytest.fixture(scope="module")
def whole() -> Founding:
    held = Members()
    draft = held.draft()
    return assemble(draft, [held.sign(draft, seat) for seat in SEATS])


def leaves(value: Any, at: Place = ()) -> list[Place]:
    """Where every text, number and truth value of a document is."""
    if isinstance(value, dict):
        return [place for key, item in value.items() for place in leaves(item, (*at, key))]
    if isinstance(value, list):
        return [place for index, item in enumerate(value) for place in leaves(item, (*at, index))]
    return [at]


def changed(document: Any, place: Place, data: st.DataObject) -> Any:
    found = copy.deepcopy(document)
    parent = found
    for step in place[:-1]:
        parent = parent[step]
    value = parent[place[-1]]
    if isinstance(value, bool):
        other: Any = not value
    elif isinstance(value, int):
        other = value + data.draw(st.sampled_from([1, -1, 2**60]))
    elif isinstance(value, str) and value:
        index = data.draw(st.integers(0, len(value) - 1))
        letter = data.draw(st.sampled_from("0a{\u00e9 ").filter(lambda c: c != value[index]))
        other = value[:index] + letter + value[index + 1 :]
    else:
        other = data.draw(st.sampled_from(["x", 1, [], {"a": 1}]))
    parent[place[-1]] = other
    return found


def document_of(founding: Founding) -> Any:
    """As it is read from a file."""
    return json.loads(json.dumps(founding_document(founding)))


def write(path: Path, document: Any) -> Path:
    path.write_text(json.dumps(document), encoding="utf-8")
    return path


def test_founding_is_taken_when_nothing_is_changed(whole, tmp_path):
    assert finish(read_founding(write(tmp_path / "f.json", document_of(whole)))).hash == finish(whole).hash


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_founding_is_refused_when_any_value_in_it_is_changed(whole, tmp_path, data):
    document = document_of(whole)
    place = data.draw(st.sampled_from(leaves(document)))
    path = write(tmp_path / "f.json", changed(document, place, data))
    with pytest.raises(TidegateError):
        finish(read_founding(path))


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_founding_is_refused_when_a_part_of_it_is_missing(whole, tmp_path, data):
    document = document_of(whole)
    part = data.draw(st.sampled_from(["proposal", "members", "signatures"]))
    if part != "proposal":
        document[part].pop(data.draw(st.integers(0, 2)))
    else:
        del document[part]
    with pytest.raises(TidegateError):
        finish(read_founding(write(tmp_path / "f.json", document)))


@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_plan_makes_a_network_or_is_refused_in_words_when_a_line_is_changed(data):
    lines = BUSINESS_EXAMPLE.splitlines()
    index = data.draw(st.integers(0, len(lines) - 1))
    line = lines[index]
    at = data.draw(st.integers(0, max(0, len(line) - 1)))
    lines[index] = line[:at] + data.draw(st.text('"={}[]0a,#.\u00e9\n ', max_size=3)) + line[at + 1 :]
    try:
        drafts = rehearse(parse_blueprint("\n".join(lines)))
    except TidegateError:
        return  # in words; anything else would be a crash
    assert drafts["business"].draft().validators
