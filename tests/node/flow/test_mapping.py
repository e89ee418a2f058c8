"""Who acts for a request is the same everywhere, and control classes get their part."""

from __future__ import annotations

from collections import Counter
from hashlib import sha256
from pathlib import Path

import pytest

from ledger.errors import InvalidConfig
from node.consortium.parties import PartyBook, new_party
from node.consortium.plan import HOSPITALS
from node.flow.importer.mapping import CLASSES, choose, choose_hospital, require_roles, share

CAST = [new_party(name, "hospital", name) for name, _ in HOSPITALS]
PROVIDERS = [f"provider {number}" for number in range(8_000)]


def test_the_classes_of_the_default_cast_are_those_of_its_plan():
    assert dict(CLASSES) == {name: kind for name, kind in HOSPITALS if kind != "full"}


def test_a_share_is_the_hash_that_the_documentation_says():
    expected = int.from_bytes(sha256(b"reviewer\x00abc").digest()[:8], "big")
    assert share("reviewer", "abc") == expected


def test_control_classes_get_a_sixteenth_and_a_quarter():
    found = Counter(CLASSES.get(choose_hospital(provider, CAST).name, "full") for provider in PROVIDERS)
    assert 0.05 < found["controlled"] / len(PROVIDERS) < 0.075
    assert 0.23 < found["batch"] / len(PROVIDERS) < 0.27


@pytest.mark.parametrize("count", [1, 2, 3, 7])
def test_any_number_of_hospitals_shares_all_providers(count):
    hospitals = [new_party(f"H{number}", "hospital", "H") for number in range(count)]
    found = Counter(choose_hospital(provider, hospitals).name for provider in PROVIDERS)
    assert set(found) == {party.name for party in hospitals}
    assert max(found.values()) < 1.3 * len(PROVIDERS) / count


def test_a_class_that_nobody_has_leaves_its_part_to_the_others():
    only = [CAST[2]]
    assert {choose_hospital(provider, only).name for provider in PROVIDERS[:50]} == {CAST[2].name}


def test_roles_are_chosen_independently_and_evenly():
    parties = [new_party(f"R{number}", "reviewer", "R") for number in range(4)]
    names = [f"request {number}" for number in range(4_000)]
    found = Counter(choose("reviewer", name, parties).name for name in names)
    assert min(found.values()) > 850
    both = Counter((choose("reviewer", n, parties).name, choose("pharmacy", n, parties).name) for n in names)
    assert len(both) == 16


def test_a_missing_role_is_named():
    book = PartyBook(Path("parties"), CAST)
    with pytest.raises(InvalidConfig) as error:
        require_roles(book, bank=True)
    assert error.value.code == "parties_missing"
    assert "reviewer" in error.value.message
    assert "bank" in error.value.message
    assert "hospital" not in error.value.message
