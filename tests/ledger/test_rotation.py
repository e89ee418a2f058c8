"""Rules of rotating committees in genesis files, groups of operators, and the order of candidates."""

from __future__ import annotations

import json
from typing import Any

import pytest

from ledger.errors import InvalidGenesis
from ledger.genesis import Genesis, format_genesis, parse_genesis
from ledger.rotation import Candidate, GroupDoc, Order, RotationDoc, RotationRules, Salt, group_of, rules_of
from tests.contracts.validators.rotating import rotating_genesis

CHAIN_ID = b"\x05" * 32


def refused(genesis: Genesis, **rules: Any) -> str:
    """Code with which the genesis file is refused once its rules are changed."""
    document = json.loads(format_genesis(genesis))
    document["rotation"] |= rules
    with pytest.raises(InvalidGenesis) as caught:
        parse_genesis(json.dumps(document).encode())
    return caught.value.code


def group(name: str, *organisations: str, **more: Any) -> dict[str, Any]:
    return {"name": name, "organisations": list(organisations), **more}


def test_a_file_with_rotation_says_the_same_when_it_is_read_again() -> None:
    genesis = rotating_genesis()
    again = parse_genesis(format_genesis(genesis))
    assert again == genesis
    assert (again.hash, again.validator_set()) == (genesis.hash, genesis.validator_set())
    assert len(again.registered()) == 7
    assert len(again.validator_set()) == 4


def test_a_file_without_rotation_does_not_mention_it() -> None:
    genesis = rotating_genesis(rotates=False)
    assert b"rotation" not in format_genesis(genesis)
    assert genesis.validator_set() == genesis.registered()


def test_the_rules_are_part_of_the_hash() -> None:
    hashes = {rotating_genesis(epoch_blocks=blocks).hash for blocks in (4, 5, 6)}
    hashes |= {rotating_genesis(salt=f"{number:064x}").hash for number in (1, 2)}
    assert len(hashes) == 5


def test_the_salt_orders_the_first_committee() -> None:
    found = {rotating_genesis(salt=f"{number:064x}").validator_set().keys for number in range(12)}
    assert len(found) > 6


@pytest.mark.parametrize(
    ("rules", "code"),
    [
        ({"committee": 8}, "rotation_committee_short"),
        ({"committee": 3}, "genesis_invalid"),
        ({"epoch_blocks": 3}, "genesis_invalid"),
        ({"seats_changed": 0}, "genesis_invalid"),
        ({"seats_changed": 2}, "rotation_seats_changed"),
        ({"salt": "12"}, "rotation_salt"),
        ({"salt": "Z" * 64}, "rotation_salt"),
        ({"groups": [group("all", seats=2)]}, "rotation_groups"),
        ({"groups": [group("all", seats=1)]}, "rotation_committee_short"),
        ({"groups": [group("a", exempt=True), group("b", exempt=True)]}, "rotation_groups"),
        ({"groups": [group("a", "x", exempt=True), group("a", exempt=True)]}, "rotation_groups"),
        ({"groups": [group("a", "x", exempt=True), group("b", "x", seats=1)]}, "rotation_groups"),
        ({"groups": [group("", exempt=True)]}, "rotation_groups"),
        ({"groups": [group("a", "regulator 0", exempt=True)]}, "rotation_group_missing"),
        ({"unknown": 1}, "genesis_invalid"),
    ],
)
def test_rules_are_refused_when_no_committee_could_follow_them(rules: dict[str, Any], code: str) -> None:
    assert refused(rotating_genesis(), **rules) == code


def test_rules_are_refused_when_nothing_writes_epochs_down() -> None:
    document = json.loads(format_genesis(rotating_genesis()))
    document["contracts"] = [each for each in document["contracts"] if each["kind"] != "validators"]
    with pytest.raises(InvalidGenesis):
        parse_genesis(json.dumps(document).encode())


def test_an_organisation_belongs_to_the_group_that_names_it_or_takes_the_rest() -> None:
    named = GroupDoc(name="operations", organisations=("P", "B"), seats=1)
    rest = GroupDoc(name="regulator", exempt=True)

    def rules(*groups: GroupDoc) -> RotationRules:
        return rules_of(RotationDoc(committee=4, epoch_blocks=4, groups=groups))

    assert [group_of(rules(rest, named), name) for name in ("P", "B", "Office")] == [
        "operations",
        "operations",
        "regulator",
    ]
    assert group_of(rules(named), "Office") is None
    assert group_of(rules(), "Office") == ""


def test_only_who_registered_before_the_salt_is_in_the_order() -> None:
    order = Order(CHAIN_ID, Salt(b"s" * 32, 10))

    def candidate(number: int, since: int, **more: Any) -> Candidate:
        fields = {"seated": 0, "left": 0, "leaving": False, **more}
        return Candidate(bytes([1, number]) + bytes(31), "", since, **fields)

    found = [
        candidate(0, 0),
        candidate(1, 9),
        candidate(2, 10),
        candidate(3, 11),
        candidate(4, 3, left=12),
        candidate(5, 3, left=9),
        candidate(6, 3, seated=4),
        candidate(7, 3, seated=2, leaving=True),
    ]
    waiting = order.waiting(found)
    assert {each.key[1] for each in waiting} == {0, 1, 4, 5}
    assert waiting[-1].key[1] == 4, "it left after the salt was set, so it waits behind the others"
    assert [each.key[1] for each in order.seated(found)] == [7, 6]


def test_the_order_differs_with_chain_and_salt() -> None:
    keys = [bytes([1, number]) + bytes(31) for number in range(8)]

    def ranked(chain: bytes, salt: bytes) -> list[bytes]:
        return sorted(keys, key=Order(chain, Salt(salt, 0)).rank)

    orders = [ranked(CHAIN_ID, b"s" * 32), ranked(CHAIN_ID, b"t" * 32), ranked(b"\x06" * 32, b"s" * 32)]
    assert len({tuple(order) for order in orders}) == 3
