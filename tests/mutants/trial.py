"""Tries one mutant, in a process of its own: ``python -m tests.mutants.trial NAME STAGE [START END]``.

Prints one line of JSON: ``{"killed": bool, "after": tries, "seed": seed or null, "how": words}``. Of the product
nothing is imported before the patch is in place.
"""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

from tests.mutants.catalogue import MUTANTS
from tests.mutants.mutant import install

STAGES = ("simulator", "node simulator", "scenario", "test")
CONTROL = "none"
"""Name of the product as it is: whatever kills it proves nothing."""


class Verdict(NamedTuple):
    """What a stage found.

    Attributes:
        killed: something noticed the bug.
        after: schedules, scenarios or test runs that it took, or that were not enough.
        how: the violated invariant, the scenario or the test, in words.
        seed: of the schedule.
    """

    killed: bool
    after: int
    how: str = ""
    seed: int | None = None


def by_simulator(module: str, start: int, end: int) -> Verdict:
    """Schedules until the first violation; a core that raises is noticed as well."""
    run: Callable[[int], Any] = import_module(module).run
    for seed in range(start, end):
        try:
            how = run(seed).violation
        except Exception as error:
            how = f"{type(error).__name__}: {error}"
        if how:
            return Verdict(True, seed - start + 1, str(how).splitlines()[0], seed)
    return Verdict(False, end - start)


def by_scenarios() -> Verdict:
    """The golden scenarios, until one is not followed."""
    runner = import_module("tests.scenarios.runner")
    paths = runner.all_scenarios()
    with tempfile.TemporaryDirectory() as home:
        for count, path in enumerate(paths, 1):
            try:
                runner.play(path, Path(home) / path.stem)
            except Exception as error:
                words = str(error).splitlines() or [type(error).__name__]
                return Verdict(True, count, words[0])
    return Verdict(False, len(paths))


def by_tests(arguments: tuple[str, ...]) -> Verdict:
    """pytest on the named tests, in this process; the first failure is enough."""
    import pytest

    failures: list[str] = []

    class Watch:
        def pytest_runtest_logreport(self, report: Any) -> None:
            if report.failed:
                failures.append(report.nodeid)

    if not arguments:
        return Verdict(False, 0)
    options = ["-x", "-q", "-p", "no:cacheprovider", "--no-header", "--tb=no", "-W", "ignore"]
    with tempfile.TemporaryFile("w") as quiet:
        sys.stdout, kept = quiet, sys.stdout
        try:
            status = pytest.main([*options, *arguments], plugins=[Watch()])
        finally:
            sys.stdout = kept
    if status not in (0, 1):
        raise SystemExit(f"pytest could not run {arguments}: {status}")
    return Verdict(bool(failures), 1, failures[0] if failures else "")


def main(arguments: list[str]) -> None:
    """See the module."""
    name, stage, *numbers = arguments
    tests: tuple[str, ...] = ()
    if name != CONTROL:
        install(MUTANTS[name])
        tests = MUTANTS[name].tests
    start, end = map(int, numbers or (0, 0))
    match stage:
        case "simulator":
            verdict = by_simulator("tests.sim.core.schedule", start, end)
        case "node simulator":
            verdict = by_simulator("tests.sim.node.schedule", start, end)
        case "scenario":
            verdict = by_scenarios()
        case _:
            verdict = by_tests(tests)
    print(json.dumps(verdict._asdict()))


if __name__ == "__main__":
    main(sys.argv[1:])
