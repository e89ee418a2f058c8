"""The time parameters of consensus, and how long a round may take (DESIGN.md 3)."""

from __future__ import annotations

import msgspec

from ledger.errors import InvalidInput


class Parameters(msgspec.Struct, frozen=True, kw_only=True):
    """Durations in milliseconds; those that all validators should share come from genesis.

    Attributes:
        base_timeout_ms: length of round 0; each further round doubles it.
        max_timeout_ms: bound of that doubling.
        empty_block_ms: an empty block is made this long after the last one.
        package_wait_ms: how long the oldest transaction may wait for a fuller package; 0: propose at once.
        rebroadcast_ms: how often we say again what we last said.
        silent_after_ms: a proposer not heard of for this long gets the short timer, while a quorum of us is heard.
        silent_timeout_ms: the short timer.
        max_ahead_ms: how far the time of a first proposal may lie ahead of our clock.
        max_behind_ms: how far it may lie behind.
        straggler_interval_ms: a straggler gets a decided block at most this often.
    """

    base_timeout_ms: int = 1_000
    max_timeout_ms: int = 60_000
    empty_block_ms: int = 10_000
    package_wait_ms: int = 0
    rebroadcast_ms: int = 1_000
    silent_after_ms: int = 5_000
    silent_timeout_ms: int = 250
    max_ahead_ms: int = 5_000
    max_behind_ms: int = 60_000
    straggler_interval_ms: int = 1_000

    def __post_init__(self) -> None:
        positive = (
            self.base_timeout_ms,
            self.empty_block_ms,
            self.rebroadcast_ms,
            self.silent_after_ms,
            self.silent_timeout_ms,
            self.straggler_interval_ms,
        )
        if min(positive) <= 0 or self.package_wait_ms < 0 or self.max_timeout_ms < self.base_timeout_ms:
            raise InvalidInput("consensus durations must be positive, and the longest timeout not below the first")


def round_timeout_ms(parameters: Parameters, round_: int) -> int:
    """Base · 2^round, capped. Never computes a large power: a peer may name any round."""
    base, cap = parameters.base_timeout_ms, parameters.max_timeout_ms
    if round_ >= (cap // base).bit_length():
        return cap
    return min(base << round_, cap)


def is_plausible_time(parameters: Parameters, time_ms: int, parent_time_ms: int, wall_ms: int) -> bool:
    """Whether a first proposal's block time agrees with our clock.

    The lowest legal time, one above the parent's, is always plausible in the forward direction: else a chain whose
    parent's time lies ahead of every clock (all were corrected backwards) could not go on.
    """
    latest = max(wall_ms + parameters.max_ahead_ms, parent_time_ms + 1)
    return wall_ms - parameters.max_behind_ms <= time_ms <= latest
