"""Rotating committees: who of the registered validators decides the next epoch (DESIGN.md 3; after FISCO's rPBFT).

Pure: candidates in, keys out. Contract ``validators`` keeps the register and writes down what comes out, once; the
genesis file says the rules, and its first committee follows from them.

The order is by hash of chain id, key and a salt that is set after registration, so that nobody can choose a key for its
place. Whoever waited longest since its last seat enters first; those that never had one, by their hash. Without caps
and changes that is a window that moves over the ring of hashes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Annotated, Final

from msgspec import Meta, Struct

from ledger.encoding import Record, digest, encode
from ledger.errors import InvalidGenesis
from ledger.types import MAX_HEIGHT, Hash32
from ledger.validators import MAX_VALIDATORS

MIN_COMMITTEE: Final = 4
"""A smaller one tolerates no faulty member, so that none may be exchanged either."""
MIN_EPOCH_BLOCKS: Final = 4
MAX_EPOCH_BLOCKS: Final = 10_000_000
MAX_GROUPS: Final = 64
SALT_BYTES: Final = 32

Key = Annotated[bytes, Meta(min_length=33, max_length=33)]
Height = Annotated[int, Meta(ge=0, le=MAX_HEIGHT)]
GroupName = Annotated[str, Meta(min_length=1, max_length=128)]


class GroupDoc(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A group of operators in the genesis file.

    Attributes:
        name: of the group.
        organisations: whose validators belong to it; none: everybody whom no other group names.
        seats: at most so many of a committee; without meaning where exempt.
        exempt: True for the regulator: as many seats as there are.
    """

    name: str
    organisations: tuple[str, ...] = ()
    seats: Annotated[int, Meta(ge=0, le=MAX_VALIDATORS)] = 0
    exempt: bool = False


class RotationDoc(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """``rotation`` of the genesis file: the first validators are candidates, of whom a committee decides.

    Attributes:
        committee: seats, at least ``MIN_COMMITTEE``.
        epoch_blocks: heights that a committee decides.
        seats_changed: at most so many seats change hands from one epoch to the next; at most f of the committee.
        groups: of operators; where there are any, every candidate belongs to one.
        salt: 32 bytes in hex; without it, the file's own salt stands in.
    """

    committee: Annotated[int, Meta(ge=MIN_COMMITTEE, le=MAX_VALIDATORS)]
    epoch_blocks: Annotated[int, Meta(ge=MIN_EPOCH_BLOCKS, le=MAX_EPOCH_BLOCKS)]
    seats_changed: Annotated[int, Meta(ge=1, le=MAX_VALIDATORS)] = 1
    groups: tuple[GroupDoc, ...] = ()
    salt: str = ""


class Group(Record, frozen=True):
    """``GroupDoc`` in canonical bytes."""

    name: GroupName
    organisations: Annotated[tuple[GroupName, ...], Meta(max_length=MAX_VALIDATORS)]
    seats: Annotated[int, Meta(ge=0, le=MAX_VALIDATORS)]
    exempt: bool


class RotationRules(Record, frozen=True):
    """``RotationDoc`` in canonical bytes, without its salt, which changes."""

    committee: Annotated[int, Meta(ge=MIN_COMMITTEE, le=MAX_VALIDATORS)]
    epoch_blocks: Annotated[int, Meta(ge=MIN_EPOCH_BLOCKS, le=MAX_EPOCH_BLOCKS)]
    seats_changed: Annotated[int, Meta(ge=1, le=MAX_VALIDATORS)]
    groups: Annotated[tuple[Group, ...], Meta(max_length=MAX_GROUPS)]


class Candidate(Record, frozen=True):
    """A registered validator.

    Attributes:
        key: its node key.
        group: of its operator; empty where the chain has no groups.
        since: height of its registration; 0: in the genesis file.
        seated: first height of the epoch from which on it holds its seat; 0: it has none.
        left: first height without the seat that it had last; 0: it never had one.
        leaving: True once it was removed from the register and still holds a seat.
    """

    key: Key
    group: Annotated[str, Meta(max_length=128)]
    since: Height
    seated: Height
    left: Height
    leaving: bool


class Salt(Record, frozen=True):
    """What the order is hashed with, and the height at which that was set."""

    value: Annotated[bytes, Meta(min_length=16, max_length=SALT_BYTES)]
    height: Height


class Order:
    """The order of candidates under one salt.

    Args:
        chain_id: 32 bytes.
        salt: in force.
    """

    __slots__ = ("_chain_id", "_salt")

    def __init__(self, chain_id: bytes, salt: Salt) -> None:
        self._chain_id = chain_id
        self._salt = salt

    def rank(self, key: bytes) -> Hash32:
        """Place of a key on the ring."""
        return digest(b"tidegate/rotation", self._chain_id, encode((key, self._salt.value)))

    def eligible(self, candidate: Candidate) -> bool:
        """Whether it was registered before the salt was set, and stays."""
        return not candidate.leaving and (candidate.since == 0 or candidate.since < self._salt.height)

    def waiting(self, candidates: Iterable[Candidate]) -> list[Candidate]:
        """Who may enter, next one first; a new salt lets everybody's waiting begin anew."""
        begun = self._salt.height

        def place(candidate: Candidate) -> tuple[int, bytes]:
            return (candidate.left if candidate.left > begun else 0, self.rank(candidate.key))

        return sorted((each for each in candidates if not each.seated and self.eligible(each)), key=place)

    def seated(self, candidates: Iterable[Candidate]) -> list[Candidate]:
        """Who holds a seat, longest first."""
        return sorted((each for each in candidates if each.seated), key=lambda each: (each.seated, self.rank(each.key)))


def rules_of(document: RotationDoc) -> RotationRules:
    """The rules that a genesis file states."""
    groups = tuple(Group(doc.name, doc.organisations, doc.seats, doc.exempt) for doc in document.groups)
    return RotationRules(document.committee, document.epoch_blocks, document.seats_changed, groups)


def group_of(rules: RotationRules, organisation: str) -> str | None:
    """Name of the group that an organisation's validators belong to; empty without groups, None: it is in no group."""
    if not rules.groups:
        return ""
    for group in rules.groups:
        if organisation in group.organisations:
            return group.name
    return next((group.name for group in rules.groups if not group.organisations), None)


def seats_possible(rules: RotationRules, candidates: Iterable[Candidate]) -> int:
    """How many of ``candidates`` the caps let sit at once."""
    count = Counter(each.group for each in candidates)
    caps = _caps(rules)
    return sum(min(number, caps.get(group, number)) for group, number in count.items())


def first_committee(rules: RotationRules, order: Order, candidates: Iterable[Candidate]) -> list[Candidate]:
    """The first committee: in order, as the caps allow; fewer than ``rules.committee`` where there are not enough."""
    caps, taken = _caps(rules), Counter[str]()
    chosen: list[Candidate] = []
    for candidate in order.waiting(candidates):
        if len(chosen) < rules.committee and _fits(caps, taken, candidate.group):
            taken[candidate.group] += 1
            chosen.append(candidate)
    return chosen


def exchanges(
    rules: RotationRules,
    order: Order,
    candidates: Sequence[Candidate],
    may_enter: Callable[[bytes], bool],
    *,
    only_leaving: bool = False,
) -> list[tuple[Candidate, Candidate]]:
    """Who gives up a seat for the next epoch and who takes it: at most ``rules.seats_changed`` pairs.

    Those that were removed go first, then those that have sat longest. A seat for which nobody fits stays as it is, so
    that the committee is never short.

    Args:
        rules: of the chain.
        order: under the salt in force.
        candidates: the whole register.
        may_enter: whether a key may take a seat now (its admission is in force).
        only_leaving: only those that were removed go.
    """
    seats = order.seated(candidates)
    waiting = [each for each in order.waiting(candidates) if may_enter(each.key)]
    caps, taken = _caps(rules), Counter(each.group for each in seats)
    going = [each for each in seats if each.leaving]
    if not only_leaving:
        going += [each for each in seats if not each.leaving]
    changes: list[tuple[Candidate, Candidate]] = []
    for seat in going:
        if len(changes) == rules.seats_changed:
            break
        taken[seat.group] -= 1
        enters = next((each for each in waiting if _fits(caps, taken, each.group)), None)
        if enters is None:
            taken[seat.group] += 1
            continue
        taken[enters.group] += 1
        waiting.remove(enters)
        changes.append((seat, enters))
    return changes


def _caps(rules: RotationRules) -> dict[str, int]:
    """Seats of each group that has a cap."""
    return {group.name: group.seats for group in rules.groups if not group.exempt}


def _fits(caps: Mapping[str, int], taken: Mapping[str, int], group: str) -> bool:
    return group not in caps or taken[group] < caps[group]


def check_rotation(document: RotationDoc, salt: str, chain_id: bytes, validators: Mapping[bytes, str]) -> None:
    """Checks the rules of a genesis file against its validators.

    Args:
        document: the rules.
        salt: of the file, which stands in where the rules have none.
        chain_id: 32 bytes.
        validators: key → organisation of each.

    Raises:
        InvalidGenesis: ``rotation_*``: the text says what does not fit.
    """
    rules = rules_of(document)
    faulty = (rules.committee - 1) // 3
    if rules.committee > len(validators):
        raise _invalid("committee_short", f"a committee of {rules.committee} of only {len(validators)} validators")
    if rules.seats_changed > faulty:
        raise _invalid("seats_changed", f"seats_changed is at most f = {faulty} of a committee of {rules.committee}")
    if document.salt and (len(document.salt) != 2 * SALT_BYTES or not set(document.salt) <= set("0123456789abcdef")):
        raise _invalid("salt", f"the salt is {2 * SALT_BYTES} lower-case hex digits")
    _check_groups(rules, faulty)
    for organisation in validators.values():
        if group_of(rules, organisation) is None:
            raise _invalid("group_missing", f"{organisation!r} is in no group")
    chosen = first_committee(rules, Order(chain_id, first_salt(document, salt)), register_of(rules, validators))
    if len(chosen) < rules.committee:
        raise _invalid(
            "committee_short",
            f"the groups' caps let {len(chosen)} validators sit, and a committee has {rules.committee}",
        )


def _check_groups(rules: RotationRules, faulty: int) -> None:
    if len(rules.groups) > MAX_GROUPS:
        raise _invalid("groups", f"at most {MAX_GROUPS} groups")
    names = [group.name for group in rules.groups]
    organisations = [name for group in rules.groups for name in group.organisations]
    for what, values in (("group", names), ("organisation of a group", organisations)):
        if len(set(values)) != len(values) or not all(0 < len(value) <= 128 for value in values):
            raise _invalid("groups", f"each {what} stands once, with a name of 1 to 128 characters")
    if sum(1 for group in rules.groups if not group.organisations) > 1:
        raise _invalid("groups", "one group at most takes everybody whom no other names")
    capped = sum(group.seats for group in rules.groups if not group.exempt)
    if capped > faulty:
        raise _invalid(
            "groups", f"groups that are not exempt have {capped} seats together; at most f = {faulty} are allowed"
        )


def first_salt(document: RotationDoc, salt: str) -> Salt:
    """What a chain's first order is hashed with."""
    return Salt(bytes.fromhex(document.salt or salt), 0)


def register_of(rules: RotationRules, validators: Mapping[bytes, str]) -> list[Candidate]:
    """The first register: the validators of a genesis file (key → organisation), nobody seated yet."""
    return [Candidate(key, group_of(rules, name) or "", 0, 0, 0, False) for key, name in sorted(validators.items())]


def _invalid(code: str, words: str) -> InvalidGenesis:
    return InvalidGenesis(f"genesis: rotation: {words}", code=f"rotation_{code}")
