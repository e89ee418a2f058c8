"""Versions against a naive model that copies whole lists: any order of drafts, activations and rollbacks."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from contracts.codes import Refusal
from contracts.rulebook import drafts, entries, lineage
from contracts.rulebook.calls import Activate, DraftArguments
from contracts.rulebook.lineage import MAX_RANGES, Lineage
from contracts.rulebook.records import Item
from tests.contracts.bench import ALICE, START_MS
from tests.contracts.rulebook.book import Book, entry, facts, listed

NAMES = ("a_list", "b_list")
PARTIES = [b"\x01" + bytes([number]) * 32 for number in range(4)]
ENTRIES = [entry("transaction", "party", party) for party in PARTIES]
SOON = START_MS + 60
changes = st.lists(
    st.tuples(
        st.sampled_from(NAMES),
        st.dictionaries(st.sampled_from(ENTRIES), st.sampled_from([0, 0, SOON]), min_size=1, max_size=3),
        st.booleans(),
    ),
    max_size=3,
)
Model = dict[str, dict[bytes, int]]


class Versions(RuleBasedStateMachine):
    """What the chain says, against dictionaries."""

    @initialize()
    def begin(self) -> None:
        self.book = Book()
        self.models: dict[int, Model] = {0: {}}
        self.approved: dict[int, int] = {}
        self.activated: list[int] = [0]
        self.steps: list[tuple[int, int]] = []
        first = self.book.propose(lists=[listed(name, "transaction", effect="hold", reason=name) for name in NAMES])
        self.models[first] = {name: {} for name in NAMES}
        self.book.agree(first)
        self.approved[first] = 0
        self.activate(0, 0)

    @precondition(lambda self: len(self.book.status().drafts) < 2)
    @rule(data=st.data(), staged=changes)
    def propose(self, data: Any, staged: Any) -> None:
        bases = [version for version in self.book.status().kept if version]
        base = data.draw(st.sampled_from(bases))
        draft = self.book.propose(base)
        model = {name: dict(rows) for name, rows in self.models[base].items()}
        for index, (name, rows, present) in enumerate(staged):
            self.book.stage(draft, index, name, rows if present else list(rows), present)
            for key, expires in rows.items():
                if present:
                    model[name][key] = expires
                else:
                    model[name].pop(key, None)
        self.models[draft] = model
        if data.draw(st.booleans()):
            self.book.agree(draft)
            self.approved[draft] = base

    @precondition(lambda self: self.approved)
    @rule(pick=st.integers(0, 5), ahead=st.integers(0, 3))
    def activate(self, pick: int, ahead: int) -> None:
        draft = sorted(self.approved)[pick % len(self.approved)]
        inclusion = self.book.height + 1
        height = inclusion + 1 + ahead
        code = self.book.call("activate", Activate(draft, height)).code
        last = self.steps[-1] if self.steps else (0, 0)
        fits = self.approved[draft] == last[1] and height > last[0]
        assert (code == "ok") == fits, (code, self.steps, height)
        if fits:
            self.steps.append((height, draft))
            self.activated.append(draft)
            del self.approved[draft]

    @rule(pick=st.integers(0, 20), ahead=st.integers(0, 2))
    def roll_back(self, pick: int, ahead: int) -> None:
        kept = [0, *self.book.status().kept]
        targets = [version for version in self.activated if version in kept]
        version = targets[pick % len(targets)]
        height = self.book.height + 1 + ahead
        before = [step for step in self.steps if step[0] < height]
        if before == self.steps and (before[-1][1] if before else 0) == version:
            return
        assert self.book.rollback(version, height=height if ahead else 0).done
        self.steps = [*before, (height, version)]

    @precondition(lambda self: self.book.status().drafts)
    @rule(pick=st.integers(0, 5))
    def abandon(self, pick: int) -> None:
        numbers = self.book.status().drafts
        draft = numbers[pick % len(numbers)]
        self.book.done("abandon", DraftArguments(draft), ALICE)
        self.approved.pop(draft, None)

    @invariant()
    def says_the_same_as_the_model(self) -> None:
        if not hasattr(self, "steps"):
            return
        status = self.book.status()
        in_force = ([version for height, version in self.steps if height <= self.book.height + 1] or [0])[-1]
        assert status.in_force == in_force
        time_ms = START_MS + self.book.height + 1
        for version in {*status.kept, *status.drafts}:
            model = self.models[version]
            for party, key in zip(PARTIES, ENTRIES, strict=True):
                hit = next((name for name in NAMES if _counts(model.get(name, {}).get(key), time_ms)), "")
                asked = facts(parties=(party,), order=b"")
                assert self.book.try_out(version, asked).reason == hit, (version, key.hex())
                if version == in_force:
                    assert self.book.ask(asked).reason == hit
            counts = [count.entries for count in self.book.version(version).version.counts]
            assert counts == [len(model[name]) for name in NAMES]


def _counts(expires: int | None, time_ms: int) -> bool:
    return expires is not None and (not expires or time_ms <= expires)


@pytest.mark.parametrize(("kept", "items"), [(32, 64), (3, 2)])
def test_versions_are_as_in_the_model_when_anything_happens(
    kept: int, items: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    # With few kept versions and short histories, dropping what nobody sees happens all the time.
    monkeypatch.setattr(drafts, "MAX_KEPT", kept)
    monkeypatch.setattr(entries, "MAX_ITEMS", items)
    run_state_machine_as_test(
        Versions,
        settings=settings(
            max_examples=25, stateful_step_count=40, deadline=None, suppress_health_check=list(HealthCheck)
        ),
    )


# --- lineages ---------------------------------------------------------------------------------------------------------


@given(st.lists(st.tuples(st.integers(0, 40), st.booleans()), max_size=40))
def test_lineage_is_the_set_of_bases_when_versions_branch(made: list[tuple[int, bool]]) -> None:
    lineages, sets, empty = {0: lineage.EMPTY}, {0: frozenset[int]()}, set[int]()
    for number, (pick, has_none) in enumerate(made, 1):
        base = pick % number
        lineages[number] = lineages[base].followed_by(number, empty.__contains__)
        sets[number] = sets[base] | {number}
        if has_none:
            empty.add(number)
    for number, found in lineages.items():
        seen = {other for other in range(len(made) + 2) if other in lineage.parse(found.data)}
        # What never has entries may stand in any lineage; everything else must be a base.
        assert sets[number] <= seen <= sets[number] | empty


def test_lineage_is_refused_when_it_has_branched_too_often() -> None:
    found = Lineage(b"".join(number.to_bytes(4, "big") * 2 for number in range(1, 2 * MAX_RANGES, 2)))
    assert 2 * MAX_RANGES - 1 in found
    assert 2 * MAX_RANGES - 2 not in found
    followed = found.followed_by(2 * MAX_RANGES, lambda _: False)
    assert len(followed.data) == len(found.data)
    with pytest.raises(Refusal) as caught:
        found.followed_by(2 * MAX_RANGES + 1, lambda _: False)
    assert caught.value.code == "rules_history_full"


# --- histories of entries ---------------------------------------------------------------------------------------------


def test_history_of_an_entry_stays_bounded_when_every_version_changes_it() -> None:
    book = Book()
    version = book.adopt(lists=[listed("values", "value")])
    changed = entry("value", "x")
    for number in range(entries.MAX_ITEMS + drafts.MAX_KEPT):
        draft = book.propose(version)
        book.stage(draft, 0, "values", [changed], present=not number % 2)
        book.agree(draft)
        book.activate(draft)
        version = draft
    history = book.view("rules", "entry", version, "values", changed).history
    assert len(history) <= entries.MAX_ITEMS
    for kept in book.status().kept:
        assert book.view("rules", "entry", kept, "values", changed).listed == (not kept % 2)


def test_newest_of_the_lineage_counts_when_later_versions_stand_beside_it() -> None:
    items = (Item(1, True, 0), Item(3, False, 0), Item(4, True, 0))
    beside = Lineage(b"".join(number.to_bytes(4, "big") * 2 for number in (1, 3, 5)))
    assert entries.visible(items, beside) == items[1]
    assert entries.visible(items, lineage.EMPTY) is None
