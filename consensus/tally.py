"""Counting messages of one height: who said what, and how many distinct signers agree.

Nothing here decides anything; transitions ask. Every container is bounded by the number of validators: a signer can
only ever displace what it said itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import Final, Generic, TypeVar

from consensus.messages import Commit, Prepare, RoundChange
from ledger.types import PublicKey

MAX_ROUNDS_PER_SIGNER: Final = 4
"""Rounds of a height for which a signer's PREPAREs, and as many for which its COMMITs, are kept."""

Vote = TypeVar("Vote", Prepare, Commit)
_NOBODY: Final[Mapping[bytes, bytes]] = {}


class Added(Enum):
    """What became of a message that was handed to a tally."""

    NEW = "new"
    REPEATED = "repeated"
    """The same was said before, or something later."""
    CONFLICT = "conflict"
    """Something else was said before in the same place: no honest validator does that."""


class VoteTally(Generic[Vote]):
    """PREPAREs or COMMITs of one height. The first vote of a signer in a round is the one that counts."""

    __slots__ = ("_rounds_of", "_support", "_votes")

    def __init__(self) -> None:
        self._votes: dict[tuple[int, bytes], Vote] = {}
        self._support: dict[tuple[int, bytes], dict[bytes, bytes]] = {}
        self._rounds_of: dict[bytes, list[int]] = {}

    def add(self, vote: Vote, current_round: int) -> Added:
        """Counts ``vote``; beyond its signer's bound, its oldest round other than ``current_round`` is forgotten."""
        place = (vote.round, vote.signer)
        known = self._votes.get(place)
        if known is not None:
            return Added.REPEATED if known.block_id == vote.block_id else Added.CONFLICT
        rounds = self._rounds_of.setdefault(vote.signer, [])
        if len(rounds) >= MAX_ROUNDS_PER_SIGNER:
            oldest = min((r for r in rounds if r != current_round), default=current_round)
            if vote.round < oldest and vote.round != current_round:
                return Added.REPEATED
            self._forget(oldest, vote.signer)
        rounds.append(vote.round)
        self._votes[place] = vote
        self._support.setdefault((vote.round, vote.block_id), {})[vote.signer] = vote.signature
        return Added.NEW

    def first(self, round_: int, signer: bytes) -> Vote | None:
        """The vote of ``signer`` that counts in ``round_``."""
        return self._votes.get((round_, signer))

    def latest_below(self, round_: int, signer: bytes) -> Vote | None:
        """The vote of ``signer`` in the highest round below ``round_`` that is kept."""
        rounds = [known for known in self._rounds_of.get(signer, ()) if known < round_]
        return self._votes[max(rounds), signer] if rounds else None

    def support(self, round_: int, block_id: bytes) -> Mapping[bytes, bytes]:
        """Signer to signature of the votes for ``block_id`` in ``round_``: its length is the count that matters."""
        return self._support.get((round_, block_id), _NOBODY)

    def __len__(self) -> int:
        return len(self._votes)

    def _forget(self, round_: int, signer: bytes) -> None:
        vote = self._votes.pop((round_, signer))
        self._rounds_of[signer].remove(round_)
        support = self._support[round_, vote.block_id]
        del support[signer]
        if not support:
            del self._support[round_, vote.block_id]


class RoundChangeTally:
    """The latest ROUND-CHANGE of each signer at one height."""

    __slots__ = ("_latest",)

    def __init__(self) -> None:
        self._latest: dict[bytes, RoundChange] = {}

    def add(self, message: RoundChange) -> Added:
        """Counts ``message`` in place of its signer's earlier one, unless that was of the same or a later round."""
        known = self._latest.get(message.signer)
        if known is not None and known.round >= message.round:
            if known.round > message.round or _claim(known) == _claim(message):
                return Added.REPEATED
            return Added.CONFLICT
        self._latest[message.signer] = message
        return Added.NEW

    def latest(self, signer: bytes) -> RoundChange | None:
        """The latest one of ``signer``."""
        return self._latest.get(signer)

    def of_round(self, round_: int) -> list[RoundChange]:
        """Those for exactly ``round_``, of distinct signers."""
        return [message for message in self._latest.values() if message.round == round_]


class SeenRounds:
    """The highest round in which each validator was seen at this height, by any message."""

    __slots__ = ("_seen",)

    def __init__(self) -> None:
        self._seen: dict[bytes, int] = {}

    def see(self, signer: bytes, round_: int) -> bool:
        """Notes it; True when that is higher than before."""
        if round_ <= self._seen.get(signer, -1):
            return False
        self._seen[signer] = round_
        return True

    def at_least(self, round_: int) -> int:
        """How many validators were seen at ``round_`` or above."""
        return sum(1 for seen in self._seen.values() if seen >= round_)

    def jump_target(self, round_: int, weak_quorum: int, own: PublicKey | None) -> int | None:
        """The ``weak_quorum``-th highest round among those of others above ``round_``, or None when they are fewer.

        At least one honest validator is there or beyond (QBFT, Algorithm 3; DESIGN.md 3).
        """
        above = sorted((seen for key, seen in self._seen.items() if seen > round_ and key != own), reverse=True)
        return above[weak_quorum - 1] if len(above) >= weak_quorum else None


def _claim(message: RoundChange) -> tuple[int, bytes] | None:
    return None if message.prepared is None else (message.prepared.round, message.prepared.block_id)
