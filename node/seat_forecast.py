"""What a change of the validators will do: the set that follows, and whether those who are there can go on deciding.

Made from what one node says of the others (``node.status``): it hears its peers every second, and validators that are
no peers of it whenever they vote. A node that is partitioned away sees the others as offline; ask another one then.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from contracts.validators.calls import ChangeSet
from ledger.keys import key_text
from ledger.types import PublicKey
from ledger.validators import ValidatorSet

PEER_SILENT_MS: Final = 10_000
"""A peer says its height every second; one that has not for so long is not there, whatever its connection says."""
VOTES_SILENT_MS: Final = 10_000
"""A validator that is no peer is heard when it votes, which an idle chain has it do every ``empty_block_ms``: three
times that is patience enough, and this at least."""
BLOCKS_BEHIND: Final = 10
"""A node so many blocks below the one that is asked still has to catch up."""


class Condition(StrEnum):
    """How a node is, as the one that is asked sees it."""

    LIVE = "live"
    BEHIND = "behind"
    OFFLINE = "offline"


@dataclass(frozen=True, slots=True)
class Seat:
    """A validator of the set before or after a change.

    Attributes:
        key: its signing key.
        organisation: who answers for it, or None where nobody is admitted with it.
        change: ``comes``, ``goes`` or ``stays``.
        condition: how it is.
        why: words about that; empty for one that is live.
    """

    key: PublicKey
    organisation: str | None
    change: str
    condition: Condition
    why: str

    @property
    def name(self) -> str:
        """Organisation and key, as people tell them apart."""
        return f"{self.organisation or 'nobody admitted'} ({key_text(self.key)[:24]})"


@dataclass(frozen=True, slots=True)
class Warned:
    """A reason to think again; ``code`` is stable."""

    code: str
    words: str


@dataclass(frozen=True, slots=True)
class Forecast:
    """What follows from a change.

    Attributes:
        before: the set that it changes.
        after: the set that follows.
        seats: everybody in either, those who come first.
        live: how many of ``after`` can vote now.
        quorum: how many have to: of ``after``, or of a committee drawn from it.
        max_faulty: how many may be faulty, likewise.
        warnings: empty when nothing speaks against it.
    """

    before: ValidatorSet
    after: ValidatorSet
    seats: tuple[Seat, ...]
    live: int
    quorum: int
    max_faulty: int
    warnings: tuple[Warned, ...]

    @property
    def spare(self) -> int:
        """How many more may fail before the chain stops; below 0: it stops at once, until so many come back."""
        return self.live - self.quorum


def forecast(
    status: Mapping[str, Any],
    before: ValidatorSet,
    after: ValidatorSet,
    organisations: Mapping[bytes, str],
    admitted: Collection[bytes],
    committee: int = 0,
) -> Forecast:
    """The forecast, as the node with this status sees the others.

    Args:
        status: its ``node.status`` document.
        before: the set in force, or coming.
        after: what the change makes of it.
        organisations: by key, as far as they are known.
        admitted: of the keys that come: those with a certificate in force as a validator with a node.
        committee: where a committee of so many rotates among them; 0: all of them decide.
    """
    everybody = sorted({*before.keys, *after.keys}, key=lambda key: (key in before, key not in after, key))
    seats = tuple(_seat(status, key, before, after, organisations) for key in everybody)
    sitting = [seat for seat in seats if seat.change != "goes"]
    live = sum(seat.condition is Condition.LIVE for seat in sitting)
    found: list[Warned] = []
    for seat in sitting:
        if seat.change != "comes":
            continue
        if seat.key not in admitted:
            found.append(
                Warned("not_admitted", f"{seat.name} has no certificate in force as a validator with a node: refused")
            )
        if seat.condition is Condition.OFFLINE:
            found.append(Warned("added_offline", f"{seat.name} comes into the set and is offline: {seat.why}"))
        elif seat.condition is Condition.BEHIND:
            found.append(Warned("added_behind", f"{seat.name} comes into the set and is not synced: {seat.why}"))
    size = committee or len(after)
    quorum, max_faulty = (2 * size - 1) // 3 + 1, (size - 1) // 3
    found += _of_numbers(before, after, live, quorum)
    return Forecast(before, after, seats, live, quorum, max_faulty, tuple(found))


def change_between(before: ValidatorSet, change: ChangeSet) -> ValidatorSet:
    """The set after a change. Raises ``InvalidInput`` when nobody, or too many, would be in it."""
    keys = {PublicKey(key) for key in (*before.keys, *change.add)} - set(change.remove)
    return ValidatorSet(sorted(keys))


def _of_numbers(before: ValidatorSet, after: ValidatorSet, live: int, quorum: int) -> Sequence[Warned]:
    found: list[Warned] = []
    away = len(after) - live
    if live < quorum:
        found.append(
            Warned(
                "below_quorum",
                f"{live} of {len(after)} would be live and {quorum} are needed: the chain stops, "
                f"and cannot even take this back, until {quorum - live} more come back",
            )
        )
    elif live == quorum and away:
        found.append(
            Warned("none_to_spare", f"with {away} of {len(after)} offline, the chain stops when one more fails")
        )
    leaving = sum(key not in after for key in before.keys)
    if leaving > max(1, before.max_faulty):
        found.append(
            Warned(
                "many_leave",
                f"{leaving} of {len(before)} leave at once, more than the {before.max_faulty} that may be faulty: "
                "those who stay could have more faulty ones among them than the new set bears; better in several steps",
            )
        )
    return found


def _seat(
    status: Mapping[str, Any],
    key: PublicKey,
    before: ValidatorSet,
    after: ValidatorSet,
    organisations: Mapping[bytes, str],
) -> Seat:
    change = "stays" if key in before and key in after else "comes" if key in after else "goes"
    condition, why = condition_of(status, key)
    return Seat(key, organisations.get(key), change, condition, why)


def condition_of(status: Mapping[str, Any], key: bytes) -> tuple[Condition, str]:
    """How the node of ``key`` is, and in words why it is not live, by another node's (or its own) status document."""
    text = key_text(key)
    height = (status.get("chain") or {}).get("height", 0)
    if status.get("key") == text:
        if status.get("observing"):
            return Condition.BEHIND, "it only observes: it does not know what it has signed"
        behind = status.get("target_height", height) - height
        return (Condition.BEHIND, f"{behind} blocks behind") if behind > BLOCKS_BEHIND else (Condition.LIVE, "")
    peer = next((peer for peer in status.get("peers") or () if peer.get("key") == text), None)
    if peer is not None and peer.get("heard_ms_ago") is not None and peer["heard_ms_ago"] <= PEER_SILENT_MS:
        behind = height - peer["height"]
        return (Condition.BEHIND, f"{behind} blocks behind") if behind > BLOCKS_BEHIND else (Condition.LIVE, "")
    voter = next((voter for voter in status.get("validators") or () if voter.get("key") == text), None)
    heard = None if voter is None else voter.get("heard_ms_ago")
    lost = None if voter is None else voter.get("lost_ms_ago")
    patience_ms = max(VOTES_SILENT_MS, 3 * (status.get("parameters") or {}).get("empty_block_ms", 0))
    if peer is not None:
        return Condition.OFFLINE, "connected, but silent"
    if heard is None:
        return Condition.OFFLINE, "not connected"
    if heard <= patience_ms and (lost is None or heard < lost):
        return Condition.LIVE, ""
    return Condition.OFFLINE, f"last heard {heard // 1000} s ago"
