"""What one simulated schedule came to: the same record at both levels, core and node."""

from __future__ import annotations

import hashlib
from collections import Counter
from dataclasses import dataclass, field


class Violation(AssertionError):
    """An invariant did not hold: a bug of the product until it is proved to be one of the simulator."""


@dataclass
class Outcome:
    """One schedule, run to its end or to its first violation.

    Attributes:
        seed: that picked everything.
        violation: what went wrong, in a sentence, or None.
        situations: how often each situation worth reaching was reached (``round_change``, ``locked_reproposal``, …).
        trace: what happened, a line an event; empty unless asked for.
        heights: decided ones.
        faults: that were let loose: network faults, crashes, clock jumps, Byzantine deeds count one each.
    """

    seed: int
    violation: str | None = None
    situations: Counter[str] = field(default_factory=Counter)
    trace: list[str] = field(default_factory=list)
    heights: int = 0
    faults: int = 0

    @property
    def digest(self) -> str:
        """SHA-256 over the trace: equal for equal runs."""
        return hashlib.sha256("\n".join(self.trace).encode()).hexdigest()
