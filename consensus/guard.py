"""The double-sign guard: at one (height, round, kind) this key signs one thing, whatever happens (DESIGN.md 3)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from consensus.records import SignedVote
from ledger.certificate import VoteKind
from ledger.errors import LocalMisuse

MAX_VOTES_PER_KIND: Final = 16
"""Remembered signatures of a kind. What is older than the oldest of them is refused without looking."""


class DoubleSignRefusedError(LocalMisuse):
    """A signature was asked for that conflicts, or may conflict, with one given earlier; ``data`` names the vote."""

    code = "double_sign_refused"


class Guard:
    """What has been signed. Records are made durable by the caller before a signature leaves.

    Signatures of a kind are asked for with growing (height, round); the newest ``MAX_VOTES_PER_KIND`` are remembered,
    and everything at or below the newest forgotten one is refused.
    """

    __slots__ = ("_floors", "_signed")

    def __init__(self, records: Iterable[SignedVote] = ()) -> None:
        self._signed: dict[VoteKind, dict[tuple[int, int], SignedVote]] = {kind: {} for kind in VoteKind}
        self._floors: dict[VoteKind, tuple[int, int]] = dict.fromkeys(VoteKind, (-1, -1))
        ordered = sorted(records, key=lambda vote: (vote.height, vote.round))
        for record in ordered:
            self.remember(record)
        if ordered:
            # Forgotten votes leave no trace in the log; we had reached this round, and never sign below it again.
            reached = (ordered[-1].height, ordered[-1].round - 1)
            self._floors = dict.fromkeys(VoteKind, reached)

    def signature(self, kind: VoteKind, height: int, round_: int, signed: bytes) -> bytes | None:
        """The signature given earlier for exactly this, or None when nothing stands against giving one now.

        Raises:
            DoubleSignRefusedError: something else was signed there, or that is too long ago to know.
        """
        record = self._signed[kind].get((height, round_))
        if record is not None and record.signed == signed:
            return record.signature
        if record is not None or (height, round_) <= self._floors[kind]:
            raise DoubleSignRefusedError(
                f"a different {kind.name} of height {height}, round {round_} was, or may have been, signed",
                kind=kind,
                height=height,
                round=round_,
            )
        return None

    def knows(self, kind: VoteKind, height: int, round_: int, signed: bytes) -> bool:
        """Whether we signed this ourselves, as far as remembered; forgotten ones count as known."""
        record = self._signed[kind].get((height, round_))
        if record is None:
            return (height, round_) <= self._floors[kind]
        return record.signed == signed

    def has_signed(self, kind: VoteKind, height: int, round_: int) -> bool:
        """Whether something of this kind was, or may have been, signed there."""
        return (height, round_) in self._signed[kind] or (height, round_) <= self._floors[kind]

    def remember(self, record: SignedVote) -> None:
        """Adds a signature; the caller makes the record durable before it leaves.

        Raises:
            DoubleSignRefusedError: it conflicts with an earlier one.
        """
        kind = VoteKind(record.kind)
        if self.signature(kind, record.height, record.round, record.signed) is not None:
            return
        votes = self._signed[kind]
        votes[record.height, record.round] = record
        if len(votes) > MAX_VOTES_PER_KIND:
            oldest = min(votes)
            del votes[oldest]
            self._floors[kind] = max(self._floors[kind], oldest)

    def prune(self, height: int) -> None:
        """Forgets the votes below ``height``, and refuses any from now on."""
        floor = (height, -1)
        for kind, votes in self._signed.items():
            self._floors[kind] = max(self._floors[kind], floor)
            for place in [place for place in votes if place < floor]:
                del votes[place]

    def records(self) -> list[SignedVote]:
        """Everything remembered, by kind and place."""
        return [record for votes in self._signed.values() for _, record in sorted(votes.items())]

    @property
    def height(self) -> int:
        """Highest height with a remembered signature, or −1."""
        return max((place[0] for votes in self._signed.values() for place in votes), default=-1)
