"""One seeded schedule at level core: the cluster, its faults, its end."""

from __future__ import annotations

from tests.sim.outcome import Outcome


def run(seed: int, *, trace: bool = False) -> Outcome:
    """Runs the schedule that ``seed`` picks.

    Args:
        seed: picks everything: the number of validators, the faults, every delay.
        trace: whether to keep a readable line for each event (slow).
    """
    raise NotImplementedError
