"""Messages of the next height that arrived early: a small, bounded part of them."""

from __future__ import annotations

from collections import deque
from typing import Final

import msgspec

from consensus.verified import VerifiedMessage, VerifiedProposal

MAX_VOTES_PER_SIGNER: Final = 6
"""Early votes and round changes kept of one signer: the newest."""
MAX_PROPOSALS: Final = 4
"""Early proposals kept in all, at most one of a signer: those of the lowest rounds."""


class EarlyMessage(msgspec.Struct, frozen=True, gc=False):
    """A verified message and its Unix time of arrival."""

    message: VerifiedMessage
    wall_ms: int


class EarlyMessages:
    """What arrived for one future height."""

    __slots__ = ("_proposals", "_votes")

    def __init__(self) -> None:
        self._votes: dict[bytes, deque[EarlyMessage]] = {}
        self._proposals: dict[bytes, EarlyMessage] = {}

    def add(self, message: VerifiedMessage, wall_ms: int) -> None:
        """Keeps ``message`` within the bounds above. A signer can displace only its own messages."""
        early = EarlyMessage(message, wall_ms)
        signer = message.message.signer
        if not isinstance(message, VerifiedProposal):
            self._votes.setdefault(signer, deque(maxlen=MAX_VOTES_PER_SIGNER)).append(early)
            return
        self._proposals.setdefault(signer, early)
        if len(self._proposals) > MAX_PROPOSALS:
            del self._proposals[max(self._proposals, key=lambda key: self._proposals[key].message.message.round)]

    def take(self) -> list[EarlyMessage]:
        """All of them, proposals of low rounds first, and forgets them."""
        proposals = sorted(self._proposals.values(), key=lambda early: early.message.message.round)
        found = [*proposals, *(early for votes in self._votes.values() for early in votes)]
        self._votes.clear()
        self._proposals.clear()
        return found

    def __len__(self) -> int:
        return len(self._proposals) + sum(map(len, self._votes.values()))
