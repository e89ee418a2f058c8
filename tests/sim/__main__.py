"""``python -m tests.sim``: runs seeded schedules at one level and says what they reached and what broke.

    --level core|node  --seeds N  --start S  --jobs J  --json FILE

Exit code 1 when an invariant was violated; the seed and a readable trace of the first failures are printed.
"""

from __future__ import annotations

import argparse
import importlib
import json
import multiprocessing
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.sim.batch import Slice, run_slice, slices
from tests.sim.regressions import seeds_of

SHOWN = 3
"""Failures whose trace is printed."""
TRACE_LINES = 400
"""Lines of a trace that are printed: the last ones."""


def simulate(level: str, seeds: range, jobs: int, *, extra: list[int], progress: bool) -> tuple[Slice, float]:
    """Runs everything; returns the sum and the seconds on the wall clock."""
    total, began = Slice(), time.monotonic()
    spoke = began
    work = slices(level, seeds, extra)
    pool: Any = None
    results: Iterator[Slice]
    if jobs > 1:
        pool = multiprocessing.get_context("spawn").Pool(jobs)
        results = pool.imap_unordered(run_slice, work)
    else:
        results = map(run_slice, work)
    try:
        for one in results:
            total.add(one)
            for seed, violation in one.failed if progress else ():
                print(f"violation at seed {seed}: {violation}", file=sys.stderr, flush=True)
            now = time.monotonic()
            if progress and now - spoke >= 5:
                spoke = now
                print(
                    f"{total.schedules} schedules, {len(total.failed)} violations, "
                    f"{total.schedules / max(total.cpu_s, 1e-9):.0f} a second a core",
                    file=sys.stderr,
                    flush=True,
                )
    finally:
        if pool is not None:
            pool.terminate()
    return total, time.monotonic() - began


def report(level: str, total: Slice, wall_s: float) -> dict[str, Any]:
    """Prints the summary; returns what ``--json`` writes."""
    rate = total.schedules / max(total.cpu_s, 1e-9)
    print(f"level {level}: {total.schedules} schedules, {len(total.failed)} violations, {wall_s:.0f} s")
    print(f"  {rate:.0f} schedules a second a core, {total.schedules / max(wall_s, 1e-9):.0f} a second in all")
    count = max(total.schedules, 1)
    print(f"  {total.heights / count:.1f} heights and {total.faults / count:.1f} faults a schedule")
    print("  situations reached:")
    for name, times in sorted(total.situations.items()):
        print(f"    {name:<40} {times:>12}")
    for seed, violation in sorted(total.failed)[:50]:
        print(f"VIOLATION at seed {seed}: {violation}")
    for seed, _ in sorted(total.failed)[:SHOWN]:
        show(level, seed)
    return {
        "level": level,
        "schedules": total.schedules,
        "violations": len(total.failed),
        "failed_seeds": sorted(seed for seed, _ in total.failed),
        "per_second_per_core": round(rate, 1),
        "seconds": round(wall_s, 1),
        "heights": total.heights,
        "faults": total.faults,
        "below_three_heights_or_five_faults": total.weak,
        "situations": dict(sorted(total.situations.items())),
    }


def show(level: str, seed: int) -> None:
    """Runs a seed again and prints what happened in it."""
    outcome = importlib.import_module(f"tests.sim.{level}.schedule").run(seed, trace=True)
    left_out = max(0, len(outcome.trace) - TRACE_LINES)
    print(f"\n--- seed {seed}: {outcome.violation}")
    if left_out:
        print(f"    ({left_out} earlier lines left out: --show {seed} prints all)")
    print("\n".join(outcome.trace[left_out:]))
    print(f"--- again: scripts/simulate --level {level} --show {seed}; keep it: tests/sim/regressions.txt")


def main(arguments: list[str] | None = None) -> int:
    """See the module."""
    parser = argparse.ArgumentParser(prog="scripts/simulate", description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--level", choices=("core", "node"), default="core")
    parser.add_argument("--seeds", type=int, default=2_000, help="how many schedules (2000)")
    parser.add_argument("--start", type=int, default=0, help="first seed (0)")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="worker processes (all cores)")
    parser.add_argument("--json", type=Path, help="where the summary goes")
    parser.add_argument(
        "--show", type=int, metavar="SEED", help="print one schedule's whole trace, and do nothing else"
    )
    parser.add_argument("--no-regressions", action="store_true", help="leave out tests/sim/regressions.txt")
    options = parser.parse_args(arguments)
    if options.seeds < 0 or options.start < 0 or options.jobs < 1:
        parser.error("--seeds and --start are not negative, --jobs is at least 1")
    if options.show is not None:
        outcome = importlib.import_module(f"tests.sim.{options.level}.schedule").run(options.show, trace=True)
        print("\n".join(outcome.trace))
        print(outcome.violation or "no violation")
        return 1 if outcome.violation else 0
    extra = [] if options.no_regressions else seeds_of(options.level)
    wanted = range(options.start, options.start + options.seeds)
    total, wall_s = simulate(options.level, wanted, options.jobs, extra=extra, progress=True)
    summary = report(options.level, total, wall_s)
    if options.json is not None:
        options.json.write_text(json.dumps(summary, indent=1) + "\n", encoding="utf-8")
    return 1 if total.failed else 0


if __name__ == "__main__":
    sys.exit(main())
