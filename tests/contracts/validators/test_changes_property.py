"""Any blocks with any changes, against a model that writes down the set of every height as it is decided."""

from __future__ import annotations

from dataclasses import dataclass, field

from hypothesis import given, settings
from hypothesis import strategies as st

from contracts.validators import changes
from tests.contracts.validators.changing import Changing

ADMITTED = 7
numbers = st.integers(0, ADMITTED)
"""One more than are admitted: the last is a stranger."""
change = st.tuples(st.lists(numbers, max_size=3), st.lists(numbers, max_size=3))
blocks = st.lists(st.lists(change, max_size=3), min_size=1, max_size=12)


@dataclass
class Model:
    """Sets by height, as an accountant would keep them.

    Attributes:
        sets: of every height whose set is decided.
        begun: (first height, epoch) of every epoch.
    """

    sets: dict[int, frozenset[int]]
    begun: list[tuple[int, int]] = field(default_factory=lambda: [(1, 0)])

    def code(self, add: list[int], remove: list[int], coming: frozenset[int]) -> str:
        if not add and not remove:
            return changes.CHANGE_EMPTY
        if len({*add, *remove}) < len(add) + len(remove):
            return changes.KEY_REPEATED
        for number in add:
            if number in coming:
                return changes.ALREADY_IN
            if number >= ADMITTED:
                return changes.NOT_ADMITTED
        if any(number not in coming for number in remove):
            return changes.NOT_IN
        return "ok" if coming.union(add).difference(remove) else changes.SET_EMPTY

    def block(self, height: int, wanted: list[tuple[list[int], list[int]]]) -> list[str]:
        coming, codes = self.sets[height + 1], []
        for add, remove in wanted:
            codes.append(self.code(add, remove, coming))
            if codes[-1] == "ok":
                coming = coming.union(add).difference(remove)
        self.sets[height + 2] = coming
        if "ok" in codes:
            self.begun.append((height + 2, self.begun[-1][1] + 1))
        return codes

    def epoch(self, height: int) -> tuple[int, int]:
        """Number and start."""
        return max((number, start) for start, number in self.begun if start <= height)


@settings(max_examples=40, deadline=None)
@given(first=st.integers(1, 4), history=blocks)
def test_every_height_is_decided_by_the_set_of_the_model(
    first: int, history: list[list[tuple[list[int], list[int]]]]
) -> None:
    chain = Changing(first=first, admitted=ADMITTED)
    model = Model({1: frozenset(range(first)), 2: frozenset(range(first))})
    seen: dict[int, object] = {}
    for wanted in history:
        receipts = chain.block(*(chain.proposal(add, remove) for add, remove in wanted))
        codes = model.block(chain.height, wanted)
        assert [receipt.code for receipt in receipts[: len(wanted)]] == codes
        for height, keys in model.sets.items():
            epoch = chain.epoch_at(height)
            assert chain.numbers_at(height) == keys
            assert (epoch.number, epoch.start) == model.epoch(height)
            assert 0 <= epoch.offset < max(1, len(epoch.keys))
            # What was said of a height two blocks before never changes again, the end of its epoch apart.
            said = (epoch.number, epoch.start, epoch.offset, epoch.keys)
            assert seen.setdefault(height, said) == said
    ends = [epoch.end for epoch in chain.view("validators", "epochs", 0, 32).epochs]
    starts = [epoch.start for epoch in chain.view("validators", "epochs", 0, 32).epochs]
    assert ends == [0, *(start - 1 for start in starts[:-1])]
