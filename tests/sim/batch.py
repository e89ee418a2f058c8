"""A batch of schedules in one worker process, and what it came to."""

from __future__ import annotations

import gc
import importlib
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

SLICE = {"core": 250, "node": 5}
"""Schedules that a worker takes at a time."""


@dataclass
class Slice:
    """What one worker's share came to.

    Attributes:
        schedules: how many were run.
        cpu_s: processor seconds that they took.
        failed: (seed, violation).
        situations: see ``Outcome``.
        weak: seeds with fewer than three heights or five faults, and no violation.
    """

    schedules: int = 0
    cpu_s: float = 0.0
    failed: list[tuple[int, str]] = field(default_factory=list)
    situations: Counter[str] = field(default_factory=Counter)
    heights: int = 0
    faults: int = 0
    weak: int = 0

    def add(self, other: Slice) -> None:
        """Counts ``other`` in."""
        self.schedules += other.schedules
        self.cpu_s += other.cpu_s
        self.failed += other.failed
        self.situations.update(other.situations)
        self.heights += other.heights
        self.faults += other.faults
        self.weak += other.weak


def run_slice(work: tuple[str, list[int]]) -> Slice:
    """Runs some seeds, in a worker."""
    level, seeds = work
    run = importlib.import_module(f"tests.sim.{level}.schedule").run
    done = Slice()
    collecting = gc.isenabled()
    gc.disable()  # a schedule frees what it made; the collector would look at every message again and again
    start_s = time.process_time()
    for seed in seeds:
        outcome = run(seed)
        done.schedules += 1
        done.situations.update(outcome.situations)
        done.heights += outcome.heights
        done.faults += outcome.faults
        if outcome.violation is not None:
            done.failed.append((seed, outcome.violation))
        elif outcome.heights < 3 or outcome.faults < 5:
            done.weak += 1
    done.cpu_s = time.process_time() - start_s
    gc.collect()
    if collecting:
        gc.enable()
    return done


def slices(level: str, seeds: range, extra: list[int]) -> Iterator[tuple[str, list[int]]]:
    """The work in shares: first the seeds that failed in the past, then the ones asked for."""
    if extra:
        yield level, extra
    size = SLICE[level]
    for first in range(seeds.start, seeds.stop, size):
        yield level, list(range(first, min(first + size, seeds.stop)))
