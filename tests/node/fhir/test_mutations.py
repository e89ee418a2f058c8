"""Documents with elements replaced, dropped or doubled at random: read or refused, never anything else."""

import copy
import json

from hypothesis import given, settings
from hypothesis import strategies as st

from node.fhir.document import read_document
from node.fhir.problems import InvalidFhir
from node.fhir.reading import load_directory
from tests.node.fhir.sample import DATA

DOCUMENT = load_directory(DATA).prescriptions[0].document
VALUES = st.sampled_from(
    [None, True, False, 0, -1, 1, 255, 2**63, 1e300, 0.1, "", " ", "x", "<b>", "\x00", "\ud800", "Patient/1",
     "urn:uuid:", "2017", "USD", [], {}, [None], [[]], [{}], [None, "x"], ["x"], [0], {"reference": "x"},
     {"extension": [{"url": "x"}]}, [{"code": "SS", "system": "x"}], {"coding": [{"code": "x"}]},
     {"resourceType": "Patient"}, [{"resourceType": "Medication", "id": "1"}], [{"resourceType": "Bogus"}]]
)  # fmt: skip


def places(value, path=()):
    """Paths of everything inside a JSON value."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for step, item in items:
        yield (*path, step)
        yield from places(item, (*path, step))


PLACES = sorted(places(json.loads(DOCUMENT)), key=repr)
MUTATION = st.tuples(st.sampled_from(PLACES), st.sampled_from(["replace", "drop", "double", "add"]), VALUES)
NAMES = st.sampled_from(["id", "text", "contained", "extension", "_id", "net", "name", "medicationReference", "use"])


@settings(max_examples=300, deadline=None)
@given(st.lists(st.tuples(MUTATION, NAMES), min_size=1, max_size=3))
def test_document_is_read_or_refused_when_it_is_mutated(mutations):
    value = json.loads(DOCUMENT)
    for (path, how, new), name in mutations:
        element = value
        try:
            for step in path[:-1]:
                element = element[step]
            old = element[path[-1]]
        except (LookupError, TypeError):
            continue  # an earlier mutation took it away
        if how == "replace":
            element[path[-1]] = copy.deepcopy(new)
        elif how == "drop":
            del element[path[-1]]
        elif how == "double" and isinstance(element, list):
            element.append(copy.deepcopy(old))
        elif isinstance(old, dict):
            old[name] = copy.deepcopy(new)
    try:
        found = read_document(json.dumps(value).encode())
    except InvalidFhir as error:
        blamed = {each.file for each in error.problems}
    else:
        blamed = {"document"}
        assert found.id_number
        assert all(1 <= item.price_minor < 2**63 for item in found.items)
        assert read_document(found.document).items == found.items
        read_document(found.masked(), masked=True)
    assert blamed == {"document"}
