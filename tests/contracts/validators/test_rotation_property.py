"""Thousands of epochs against a model that knows nothing of the register: a ring of names, a queue and a bench."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ledger.encoding import digest, encode
from ledger.errors import InvalidGenesis
from ledger.genesis import format_genesis, parse_genesis
from tests.contracts.validators.rotating import Rotating, rotating_genesis, validator_key


@dataclass
class Model:
    """What DESIGN.md 3 says, with lists: ``bench`` sits, longest first; ``queue`` waits, next one first."""

    chain_id: bytes
    salt: bytes
    seats: int
    changed: int
    groups: dict[bytes, str]
    caps: dict[str, int]
    bench: list[bytes] = field(default_factory=list)
    queue: list[bytes] = field(default_factory=list)
    unsalted: list[bytes] = field(default_factory=list)
    going: list[bytes] = field(default_factory=list)
    came: dict[bytes, int] = field(default_factory=dict)
    steps: int = 0

    def hashed(self, keys: list[bytes]) -> list[bytes]:
        return sorted(keys, key=lambda key: digest(b"tidegate/rotation", self.chain_id, encode((key, self.salt))))

    def begin(self, keys: list[bytes]) -> None:
        for key in self.hashed(keys):
            if len(self.bench) < self.seats and self.fits(key):
                self.bench.append(key)
            else:
                self.queue.append(key)

    def fits(self, key: bytes) -> bool:
        group = self.groups[key]
        return sum(self.groups[other] == group for other in self.bench) < self.caps.get(group, 1_000)

    def rotate(self) -> None:
        old = list(self.bench)
        left: list[bytes] = []
        came: list[bytes] = []
        for key in [*(key for key in old if key in self.going), *(key for key in old if key not in self.going)]:
            if len(left) == self.changed:
                break
            place = self.bench.index(key)
            self.bench.remove(key)
            heir = next((other for other in self.queue if self.fits(other)), None)
            if heir is None:
                self.bench.insert(place, key)
            else:
                self.bench.append(heir)
                self.queue.remove(heir)
                left.append(key)
                came.append(heir)
        self.steps += 1
        self.came.update(dict.fromkeys(came, self.steps))
        self.bench = [key for key in self.bench if key not in came] + self.hashed(came)
        self.queue += self.hashed([key for key in left if key not in self.going])
        self.going = [key for key in self.going if key not in left]

    def resalt(self, salt: bytes) -> None:
        self.salt = salt
        # Of those who came together, the new order says who goes first.
        self.bench = sorted(self.hashed(self.bench), key=lambda key: self.came.get(key, 0))
        self.queue = self.hashed(self.queue + self.unsalted)
        self.unsalted = []

    def remove(self, key: bytes) -> None:
        for place in (self.queue, self.unsalted):
            if key in place:
                place.remove(key)
        if key in self.bench:
            self.going.append(key)


def model_of(chain: Rotating) -> Model:
    rotation = chain.rotation()
    assert rotation.rules is not None
    assert rotation.salt is not None
    rules = rotation.rules
    model = Model(
        chain.genesis.chain_id,
        rotation.salt.value,
        rules.committee,
        rules.seats_changed,
        chain.group_of,
        {group.name: group.seats for group in rules.groups if not group.exempt},
    )
    model.begin(list(chain.keys))
    return model


def check(chain: Rotating, model: Model) -> None:
    keys = chain.epoch(chain.height + 2).keys
    assert keys == tuple(sorted(model.bench))
    seated = Counter(chain.group_of[key] for key in keys)
    assert all(seated[group] <= cap for group, cap in model.caps.items())
    assert len(keys) == model.seats


SHAPES = [
    {"groups": (("all", 9, None),), "committee": 4, "declared": False},
    {"groups": (("regulator", 5, None), ("operations", 2, 1)), "committee": 4},
    {"groups": (("regulator", 6, None), ("p", 4, 1), ("b", 3, 1)), "committee": 7, "seats_changed": 2},
    {"groups": (("regulator", 9, None), ("p", 5, 2), ("b", 3, 1)), "committee": 10, "seats_changed": 3},
]


@pytest.mark.parametrize("shape", SHAPES)
def test_committees_are_those_of_the_model_for_hundreds_of_epochs(shape: dict[str, object]) -> None:
    chain = Rotating(**shape)  # type: ignore[arg-type]
    model = model_of(chain)
    check(chain, model)
    latest: dict[bytes, int] = {}
    for number in range(1, 400):
        chain.run_epochs(1)
        # The epoch in force was decided by the model's step before; the next one is not written yet.
        model.rotate()
        check(chain, model)
        latest.update(dict.fromkeys(chain.epoch().keys, number))
        waits = len(chain.keys) * model.seats
        if number > waits:
            assert all(latest.get(key, 0) > number - waits for key in chain.keys), "somebody waits for ever"


@pytest.mark.parametrize("seed", range(6))
def test_committees_are_those_of_the_model_while_governance_changes_the_register(seed: int) -> None:
    random = Random(seed)
    shape = dict(SHAPES[seed % len(SHAPES)])
    names = [name for name, _, _ in shape["groups"]]  # type: ignore[attr-defined]
    spare = [(name, 4) for name in names]
    chain = Rotating(**shape, spare=spare, epoch_blocks=8)  # type: ignore[arg-type]
    model = model_of(chain)
    spares = [bytes(validator_key(name, 100 + number).public) for name, count in spare for number in range(count)]
    done: Counter[str] = Counter()
    for _ in range(150):
        chain.run_epochs(1)
        model.rotate()
        check(chain, model)
        known = [*model.queue, *model.unsalted, *(key for key in model.bench if key not in model.going)]
        what = random.choice(("add", "remove", "salt", "rest"))
        if what == "add" and (new := [key for key in spares if key not in [*known, *model.going]]):
            key = random.choice(new)
            if chain.change_set(add=[key]) == "ok":
                model.unsalted.append(key)
                done["added"] += 1
        elif what == "remove" and len(known) > model.seats + 1:
            key = random.choice(known)
            code = chain.change_set(remove=[key])
            assert code in ("ok", "validators_committee_short", "validators_too_many_leave")
            if code == "ok":
                model.remove(key)
            done[code] += 1
        elif what == "salt":
            text = str(random.random())
            assert chain.set_salt(text) == "ok"
            salt = chain.rotation().salt
            assert salt is not None
            model.resalt(salt.value)
            done["salted"] += 1
    assert done["added"] > 3
    assert done["ok"] > 3
    assert done["salted"] > 3


@pytest.mark.parametrize("seed", range(4))
def test_caps_and_chain_hold_when_emergencies_come_at_any_height(seed: int) -> None:
    random = Random(1_000 + seed)
    shape = SHAPES[seed % len(SHAPES)]
    names = [name for name, _, _ in shape["groups"]]  # type: ignore[attr-defined]
    chain = Rotating(**shape, spare=[(name, 30) for name in names], epoch_blocks=5)  # type: ignore[arg-type]
    spares = [bytes(validator_key(name, 100 + number).public) for name in names for number in range(30)]
    rules = chain.rotation().rules
    assert rules is not None
    caps = {group.name: group.seats for group in rules.groups if not group.exempt}
    known = chain.epoch()
    removed: dict[bytes, int] = {}
    for _ in range(300):
        what = random.random()
        coming = chain.epoch(chain.height + 2)
        if what < 0.15:
            key = random.choice(coming.keys)
            if chain.remove_now(key) == "ok":
                removed[key] = chain.height + 2
        elif what < 0.25 and spares:
            assert chain.change_set(add=[spares.pop()]) == "ok"
            assert chain.set_salt(str(what)) == "ok"
        else:
            chain.block()
    for height in range(1, chain.height + 3):
        found = chain.epoch(height)
        if found.number != known.number:
            assert (found.number, found.start) == (known.number + 1, height)
            assert len(set(known.keys) - set(found.keys)) <= rules.seats_changed
            known = found
        assert len(found.keys) == rules.committee
        assert found.start <= height <= found.end
        seated = Counter(chain.group_of[key] for key in found.keys)
        assert all(seated[group] <= cap for group, cap in caps.items())
        assert not any(height >= since for key, since in removed.items() if key in found.keys)
    assert removed


groups = st.lists(st.tuples(st.integers(0, 8), st.one_of(st.none(), st.integers(0, 4))), min_size=1, max_size=4).map(
    lambda found: tuple((f"g{number}", count, seats) for number, (count, seats) in enumerate(found))
)


@settings(max_examples=60, deadline=None)
@given(groups, st.integers(4, 12), st.integers(1, 5))
def test_a_genesis_is_refused_exactly_when_its_committee_could_not_sit(
    chosen: tuple[tuple[str, int, int | None], ...], committee: int, changed: int
) -> None:
    faulty = (committee - 1) // 3
    total = sum(count for _, count, _ in chosen)
    if not total:
        return
    possible = sum(count if seats is None else min(count, seats) for _, count, seats in chosen)
    capped = sum(seats for _, _, seats in chosen if seats is not None)
    # A group without organisations takes everybody else: two such are one too many.
    empty = sum(1 for _, count, _ in chosen if not count)
    fits = changed <= faulty and capped <= faulty and possible >= committee and total >= committee and empty <= 1
    if fits:
        genesis = rotating_genesis(chosen, committee=committee, seats_changed=changed)
        assert len(parse_genesis(format_genesis(genesis)).validator_set()) == committee
    else:
        with pytest.raises(InvalidGenesis) as caught:
            rotating_genesis(chosen, committee=committee, seats_changed=changed)
        assert caught.value.code.startswith("rotation_")
