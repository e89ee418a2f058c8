"""What a change of the validators would do, from what one node sees."""

from __future__ import annotations

from typing import Any

import pytest

from contracts.validators.calls import ChangeSet
from ledger.errors import InvalidInput
from ledger.keys import SigningKey, key_text
from ledger.types import PublicKey
from ledger.validators import ValidatorSet
from node.seat_forecast import (
    BLOCKS_BEHIND,
    PEER_SILENT_MS,
    VOTES_SILENT_MS,
    Condition,
    Forecast,
    condition_of,
    forecast,
)
from node.seat_forecast import change_between as changed

KEYS = sorted((SigningKey.generate().public for _ in range(10)), key=bytes)
HEIGHT = 1_000


def peer(number: int, height: int | None = HEIGHT, heard: int | None = 500) -> dict[str, Any]:
    return {"key": key_text(KEYS[number]), "height": height, "heard_ms_ago": heard}


def voter(number: int, heard: int | None, lost: int | None = None) -> dict[str, Any]:
    return {"key": key_text(KEYS[number]), "heard_ms_ago": heard, "lost_ms_ago": lost}


def status(*peers: dict[str, Any], voters: tuple[dict[str, Any], ...] = (), **more: Any) -> dict[str, Any]:
    """Of node 0."""
    return {
        "key": key_text(KEYS[0]),
        "chain": {"height": HEIGHT},
        "target_height": HEIGHT,
        "observing": False,
        "peers": list(peers),
        "validators": list(voters),
        "parameters": {"empty_block_ms": 1_000},
        **more,
    }


def sets(*numbers: int) -> ValidatorSet:
    return ValidatorSet(PublicKey(KEYS[number]) for number in numbers)


def predicted(
    document: dict[str, Any],
    before: tuple[int, ...],
    after: tuple[int, ...],
    admitted: tuple[int, ...] | None = None,
    committee: int = 0,
) -> Forecast:
    keys = KEYS if admitted is None else [KEYS[number] for number in admitted]
    return forecast(document, sets(*before), sets(*after), {KEYS[4]: "Hospital E"}, keys, committee)


def codes(found: Forecast) -> list[str]:
    return [warned.code for warned in found.warnings]


def others(*numbers: int) -> dict[str, Any]:
    """Node 0 and these are there."""
    return status(*(peer(number) for number in numbers))


# --- how a node is ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("document", "number", "condition"),
    [
        (status(), 0, Condition.LIVE),
        (status(observing=True), 0, Condition.BEHIND),
        (status(target_height=HEIGHT + BLOCKS_BEHIND + 1), 0, Condition.BEHIND),
        (status(peer(1)), 1, Condition.LIVE),
        (status(peer(1, HEIGHT - BLOCKS_BEHIND)), 1, Condition.LIVE),
        (status(peer(1, HEIGHT - BLOCKS_BEHIND - 1)), 1, Condition.BEHIND),
        (status(peer(1, heard=PEER_SILENT_MS + 1)), 1, Condition.OFFLINE),
        (status(peer(1, None, None)), 1, Condition.OFFLINE),
        (status(), 1, Condition.OFFLINE),
        (status(voters=(voter(1, 500),)), 1, Condition.LIVE),
        (status(voters=(voter(1, None),)), 1, Condition.OFFLINE),
        (status(voters=(voter(1, VOTES_SILENT_MS + 1),)), 1, Condition.OFFLINE),
        (status(voters=(voter(1, 50_000),), parameters={"empty_block_ms": 20_000}), 1, Condition.LIVE),
        # Its connection ended after it was last heard: it voted, and then it died.
        (status(voters=(voter(1, 500, 400),)), 1, Condition.OFFLINE),
        (status(voters=(voter(1, 500, 600),)), 1, Condition.LIVE),
        # What a silent peer voted lately does not make up for its silence.
        (status(peer(1, heard=60_000), voters=(voter(1, 9_000),)), 1, Condition.OFFLINE),
    ],
)
def test_condition_is_what_the_node_that_is_asked_can_know(
    document: dict[str, Any], number: int, condition: Condition
) -> None:
    found, why = condition_of(document, KEYS[number])
    assert found is condition
    assert bool(why) is (condition is not Condition.LIVE)


# --- warnings ---------------------------------------------------------------------------------------------------------


def test_nothing_is_warned_of_when_a_live_node_comes_into_a_live_set() -> None:
    found = predicted(others(1, 2, 3, 4), (0, 1, 2, 3), (0, 1, 2, 3, 4))
    assert (codes(found), found.live, found.quorum, found.max_faulty, found.spare) == ([], 5, 4, 1, 1)
    assert (found.seats[0].change, found.seats[0].organisation) == ("comes", "Hospital E")


def test_offline_newcomer_is_named_with_the_quorum_that_is_left() -> None:
    found = predicted(others(1, 2, 3), (0, 1, 2, 3), (0, 1, 2, 3, 4))
    assert codes(found) == ["added_offline", "none_to_spare"]
    assert "Hospital E" in found.warnings[0].words
    assert (found.live, found.quorum, found.spare) == (4, 4, 0)


def test_newcomer_that_has_to_catch_up_is_warned_of() -> None:
    found = predicted(status(peer(1), peer(2), peer(3), peer(4, 3)), (0, 1, 2, 3), (0, 1, 2, 3, 4))
    assert "added_behind" in codes(found)
    assert found.live == 4


def test_chain_that_would_stop_is_warned_of() -> None:
    # Three of four decide now. With two more that are offline four of six are needed.
    found = predicted(others(1, 2), (0, 1, 2, 3), (0, 1, 2, 3, 4, 5))
    assert codes(found) == ["added_offline", "added_offline", "below_quorum"]
    assert found.spare == -1
    assert "1 more" in found.warnings[-1].words


def test_live_ones_that_leave_count_for_nothing() -> None:
    found = predicted(others(1, 2), (0, 1, 2, 3), (0, 3))
    assert (found.live, found.quorum, codes(found)) == (1, 2, ["below_quorum", "many_leave"])


@pytest.mark.parametrize(("before", "after"), [((0, 1, 2, 3), (0, 1, 2, 3, 4)), ((0, 1), (0, 1, 4))])
def test_last_spare_one_is_warned_of(before: tuple[int, ...], after: tuple[int, ...]) -> None:
    assert "none_to_spare" in codes(predicted(others(*before[1:]), before, after))


def test_removing_the_one_that_is_dead_needs_no_warning() -> None:
    assert codes(predicted(others(1, 2), (0, 1, 2, 3), (0, 1, 2))) == []


@pytest.mark.parametrize(
    ("before", "after", "warned"),
    [
        ((0, 1, 2, 3, 4, 5, 6), (0, 1, 2, 3, 4), False),
        ((0, 1, 2, 3, 4, 5, 6), (0, 1, 2, 3), True),
        ((0, 1, 2, 3, 4, 5, 6), (3, 4, 5, 6, 7, 8, 9), True),
        ((0, 1, 2), (0, 1), False),
        ((0,), (1,), False),
        ((0, 1, 2, 3), (0, 1), True),
    ],
)
def test_more_than_may_be_faulty_should_not_leave_at_once(
    before: tuple[int, ...], after: tuple[int, ...], warned: bool
) -> None:
    found = predicted(others(*range(1, 10)), before, after)
    assert codes(found) == (["many_leave"] if warned else [])


def test_newcomer_without_certificate_is_warned_of() -> None:
    assert codes(predicted(others(1, 2, 3, 4), (0, 1, 2, 3), (0, 1, 2, 3, 4), admitted=(1, 2))) == ["not_admitted"]


def test_quorum_is_that_of_the_committee_where_one_rotates() -> None:
    found = predicted(others(1, 2, 3, 4, 5), tuple(range(6)), tuple(range(7)), committee=4)
    assert (found.quorum, found.max_faulty, found.live, codes(found)) == (3, 1, 6, ["added_offline"])


# --- the change itself ------------------------------------------------------------------------------------------------


def test_set_after_a_change_has_who_came_and_not_who_went() -> None:
    assert changed(sets(0, 1, 2), ChangeSet((KEYS[5],), (KEYS[1],))) == sets(0, 2, 5)
    with pytest.raises(InvalidInput):
        changed(sets(0), ChangeSet((), (KEYS[0],)))
