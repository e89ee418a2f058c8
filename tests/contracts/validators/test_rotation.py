"""Rotating committees on chain: epochs written ahead, the register, emergency removals, salts (DESIGN.md 3)."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise

import pytest

from contracts.validators.records import EpochRecord
from contracts.validators.rotation_calls import Rotation
from tests.contracts.bench import START_MS
from tests.contracts.validators.rotating import Rotating, validator_key


def epochs_of(chain: Rotating) -> list[EpochRecord]:
    """Every epoch that is written, oldest first."""
    found = [chain.epoch(chain.height + 2)]
    while found[-1].start > 1:
        found.append(chain.epoch(found[-1].start - 1))
    return found[::-1]


def test_the_first_committee_is_drawn_by_order_and_caps() -> None:
    chain = Rotating()
    first = chain.epoch()
    assert (first.number, first.start, first.end, first.offset, len(first.keys)) == (0, 1, 4, 0, 4)
    assert first.keys == chain.genesis.validator_set().keys
    assert Counter(chain.group_of[key] for key in first.keys)["operations"] <= 1
    assert set(first.keys) < set(chain.keys)


def test_an_epoch_is_written_two_blocks_before_it_starts_and_never_again() -> None:
    chain = Rotating()
    seen = {0: chain.epoch()}
    for _ in range(60):
        chain.block()
        newest = chain.epoch(chain.height + 2)
        if newest.number not in seen:
            assert newest.start == chain.height + 2
            seen[newest.number] = newest
        for height in range(1, chain.height + 3):
            found = chain.epoch(height)
            assert found == seen[found.number]
    assert len(seen) == 1 + 60 // 4
    lengths = {epoch.end - epoch.start + 1 for epoch in seen.values()}
    assert lengths == {4}


def test_epochs_follow_each_other_without_a_gap() -> None:
    chain = Rotating(epoch_blocks=5)
    chain.blocks(80)
    epochs = epochs_of(chain)
    for before, after in pairwise(epochs):
        assert (after.number, after.start) == (before.number + 1, before.end + 1)
        assert len(set(before.keys) - set(after.keys)) == 1
        assert after.keys == tuple(sorted(after.keys))


def test_everybody_proposes_equally_often_when_epochs_are_shorter_than_the_committee_is_large() -> None:
    chain = Rotating((("all", 9, None),), committee=7, epoch_blocks=4, declared=False)
    chain.blocks(7 * 9 * 4 * 2)
    proposed: Counter[bytes] = Counter()
    seated: Counter[bytes] = Counter()
    for height in range(1, chain.height + 1):
        epoch = chain.epoch(height)
        proposed[epoch.keys[(height - epoch.start + epoch.offset) % 7]] += 1
        seated.update(epoch.keys)
    for key in chain.keys:
        assert abs(proposed[key] - seated[key] / 7) < seated[key] / 7 * 0.5


def test_a_new_candidate_takes_no_seat_until_a_salt_is_set() -> None:
    chain = Rotating(spare=[("regulator", 1)])
    fresh = validator_key("regulator", 100).public
    assert chain.change_set(add=[fresh]) == "ok"
    chain.run_epochs(12)
    assert not any(fresh in epoch.keys for epoch in epochs_of(chain))
    assert chain.set_salt("thrown afterwards") == "ok"
    chain.run_epochs(12)
    assert any(fresh in epoch.keys for epoch in epochs_of(chain))


def test_a_candidate_of_the_salts_own_block_waits_for_the_next_salt() -> None:
    chain = Rotating(spare=[("regulator", 1)])
    fresh = validator_key("regulator", 100).public
    chain.change_set(add=[fresh])
    register = {candidate.key: candidate for candidate in chain.rotation().candidates}
    assert register[fresh].since == chain.height
    salt = chain.rotation().salt
    assert salt is not None
    assert salt.height == 0


@pytest.mark.parametrize("seated", [True, False])
def test_a_removed_candidate_is_gone_with_the_next_epoch(seated: bool) -> None:
    chain = Rotating()
    chain.blocks(1)
    key = next(key for key in chain.keys if (key in chain.epoch().keys) is seated)
    now = chain.epoch()
    assert chain.change_set(remove=[key]) == "ok"
    assert chain.epoch(now.end) == now
    chain.run_epochs(1)
    assert key not in chain.epoch().keys
    assert len(chain.epoch().keys) == 4
    assert key not in {candidate.key for candidate in chain.rotation().candidates}
    chain.run_epochs(20)
    assert not any(key in epoch.keys for epoch in epochs_of(chain) if epoch.number > now.number)


def test_a_removal_is_taken_back_when_the_candidate_still_sits() -> None:
    chain = Rotating(epoch_blocks=8)
    chain.blocks(1)
    order = [candidate for candidate in chain.rotation().candidates if candidate.seated]
    key = order[0].key
    assert chain.change_set(remove=[key]) == "ok"
    assert chain.change_set(remove=[key]) == "validators_not_in"
    assert chain.change_set(add=[key]) == "ok"
    found = next(each for each in chain.rotation().candidates if each.key == key)
    assert (found.leaving, found.since, found.seated) == (False, 0, 1)


def test_an_emergency_removal_ends_the_epoch_two_blocks_later() -> None:
    chain = Rotating(epoch_blocks=20)
    chain.blocks(2)
    before, key = chain.epoch(), chain.epoch().keys[0]
    assert chain.remove_now(key) == "ok"
    removed_at = chain.height
    chain.blocks(3)
    assert chain.epoch(removed_at + 1) == EpochRecord(0, 1, removed_at + 1, 0, before.keys)
    after = chain.epoch(removed_at + 2)
    assert (after.number, after.start, after.end) == (1, removed_at + 2, removed_at + 21)
    assert key not in after.keys
    assert len(set(after.keys) & set(before.keys)) == 3
    assert Counter(chain.group_of[member] for member in after.keys)["operations"] <= 1


@pytest.mark.parametrize("blocks_before", range(2, 12))
def test_epochs_stay_whole_when_an_emergency_falls_on_any_block_of_one(blocks_before: int) -> None:
    chain = Rotating(epoch_blocks=4)
    chain.blocks(blocks_before)
    key = chain.epoch(chain.height + 2).keys[0]
    assert chain.remove_now(key) == "ok"
    decided = chain.height
    chain.run_epochs(6)
    epochs = epochs_of(chain)
    for before, after in pairwise(epochs):
        assert (after.number, after.start) == (before.number + 1, before.end + 1)
        assert len(set(before.keys) - set(after.keys)) <= 1
        assert len(after.keys) == 4
    assert not any(key in epoch.keys for epoch in epochs if epoch.start >= decided + 2)


@pytest.mark.parametrize(
    ("orders", "code"),
    [
        (lambda chain: chain.change_set(), "validators_change_empty"),
        (lambda chain: chain.change_set(add=[chain.keys[0]]), "validators_already_in"),
        (lambda chain: chain.change_set(remove=[b"\x01" + bytes(32)]), "validators_not_in"),
        (lambda chain: chain.change_set(add=[validator_key("regulator", 150).public]), "validators_not_admitted"),
        (lambda chain: chain.change_set(remove=chain.epoch().keys[:2]), "validators_too_many_leave"),
        (lambda chain: chain.remove_now(), "validators_change_empty"),
        (lambda chain: chain.remove_now(*chain.epoch().keys[:2]), "validators_too_many_leave"),
        (lambda chain: chain.remove_now(outsider(chain)), "validators_not_seated"),
        (lambda chain: chain.remove_now(b"\x01" + bytes(32)), "validators_not_in"),
        (lambda chain: (chain.set_salt("one"), chain.set_salt("one"))[1], "validators_salt_same"),
    ],
)
def test_an_order_is_refused_when_it_makes_no_sense(orders, code: str) -> None:  # type: ignore[no-untyped-def]
    chain = Rotating()
    chain.blocks(1)
    before = chain.rotation().candidates
    assert orders(chain) == code
    assert {each.key for each in chain.rotation().candidates} == {each.key for each in before}


def outsider(chain: Rotating) -> bytes:
    return next(key for key in chain.keys if key not in chain.epoch().keys)


def test_removals_are_refused_when_the_caps_would_leave_a_seat_empty() -> None:
    """Three regulators and one platform at most can sit: of five regulators two may go, and not a third."""
    chain = Rotating()
    gone = 0
    for key in chain.keys[:5]:
        code = chain.change_set(remove=[key])
        if gone == 2:
            assert code == "validators_committee_short"
        else:
            assert code == "ok"
            gone += 1
        chain.run_epochs(1)
    chain.run_epochs(10)
    assert all(len(epoch.keys) == 4 for epoch in epochs_of(chain))


def test_an_emergency_is_refused_when_nobody_may_replace() -> None:
    chain = Rotating((("regulator", 3, None), ("operations", 2, 1)))
    chain.blocks(1)
    regulator = next(key for key in chain.epoch().keys if chain.group_of[key] == "regulator")
    assert chain.remove_now(regulator) == "validators_no_replacement"
    chain.run_epochs(3)
    assert len(chain.epoch().keys) == 4


def test_nobody_whose_certificate_has_ended_takes_a_seat_and_the_chain_goes_on() -> None:
    chain = Rotating(until_ms=START_MS + 20)
    chain.blocks(30)
    ended = chain.epoch()
    chain.blocks(40)
    assert chain.epoch().number > ended.number
    assert chain.epoch().keys == ended.keys


def test_a_seat_that_nobody_may_take_stays_when_its_holder_was_to_leave() -> None:
    chain = Rotating(until_ms=START_MS + 20)
    chain.blocks(17)
    assert chain.change_set(remove=[chain.epoch().keys[0]]) == "ok"
    chain.blocks(40)
    assert len(chain.epoch().keys) == 4


def test_a_group_that_genesis_does_not_name_is_refused() -> None:
    chain = Rotating(spare=[("stranger", 1)])
    assert chain.change_set(add=[validator_key("stranger", 100).public]) == "validators_no_group"


def test_the_register_says_who_sits_since_when() -> None:
    chain = Rotating()
    for _ in range(30):
        chain.block()
        coming = chain.epoch(chain.height + 2)
        seats = {each.key: each for each in chain.rotation().candidates if each.seated}
        assert tuple(sorted(seats)) == coming.keys
        for key, seat in seats.items():
            assert key in chain.epoch(seat.seated).keys
            assert seat.seated == 1 or key not in chain.epoch(seat.seated - 1).keys


def test_a_chain_without_rotation_refuses_its_orders() -> None:
    chain = Rotating(rotates=False)
    assert chain.set_salt("any") == "method_unknown"
    assert chain.remove_now(chain.keys[0]) == "method_unknown"
    assert chain.rotation() == Rotation(None, None, ())
    chain.blocks(20)
    assert chain.epoch(chain.height + 2) == EpochRecord(0, 1, 0, 0, tuple(sorted(chain.keys)))
