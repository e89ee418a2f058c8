"""Hunts the mutants: simulator first, then node simulator, scenarios and named tests, each trial a process."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from typing import Any, Final

from tests.mutants.catalogue import MUTANTS
from tests.mutants.mutant import ROOT, Mutant, source_path
from tests.mutants.trial import CONTROL, STAGES

TRIAL_SECONDS: Final = 600
"""A trial that takes longer is no kill, it is an error of the hunt."""


KILLERS: Final = ROOT / "tests" / "mutants" / "killers.json"


class HuntError(Exception):
    """A trial that came to no verdict."""


@dataclass(frozen=True)
class Limits:
    """How far to look, per stage.

    Attributes:
        core_seeds: schedules at level core.
        node_seeds: schedules at level node; 0: that level is left out.
        start: first seed.
        jobs: trials at a time.
    """

    core_seeds: int = 3_000
    node_seeds: int = 200
    start: int = 0
    jobs: int = 2


@dataclass(frozen=True)
class Fate:
    """What became of a mutant.

    Attributes:
        name: of the mutant.
        by: the stage that killed it, or None: it survived.
        after: schedules, scenarios or test runs of that stage; of a survivor, all that were tried.
        how: the violation, scenario or test.
        seed: of the schedule, where it was one.
        passed: stages that it got through before.
    """

    name: str
    by: str | None
    after: int
    how: str
    seed: int | None
    passed: tuple[str, ...]


def trial(name: str, stage: str, start: int = 0, end: int = 0) -> dict[str, Any]:
    """One trial (see ``tests.mutants.trial``).

    Raises:
        HuntError: the process did not print a verdict: the patch does not fit, or it ran too long.
    """
    command = [sys.executable, "-m", "tests.mutants.trial", name, stage, str(start), str(end)]
    try:
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=TRIAL_SECONDS, check=False)
    except subprocess.TimeoutExpired as error:
        raise HuntError(f"{name} took more than {TRIAL_SECONDS} s at stage {stage}") from error
    lines = done.stdout.strip().splitlines()
    if done.returncode or not lines:
        raise HuntError(f"{name} could not be tried at stage {stage}:\n{done.stdout[-1000:]}\n{done.stderr[-3000:]}")
    found: dict[str, Any] = json.loads(lines[-1])
    return found


@cache
def is_noticed_anyway(stage: str, seed: int) -> bool:
    """Whether the product as it is fails that schedule too: then it proves nothing about any mutant."""
    return bool(trial(CONTROL, stage, seed, seed + 1)["killed"])


def search(name: str, stage: str, start: int, end: int) -> dict[str, Any]:
    """A trial whose kill means something: what fails without the mutant as well is passed over."""
    place = start
    while True:
        found = trial(name, stage, place, end)
        found["after"] += place - start
        seed = found["seed"]
        if not found["killed"] or seed is None or not is_noticed_anyway(stage, seed):
            return found
        if seed + 1 >= end:
            return {"killed": False, "after": end - start, "how": "", "seed": None}
        place = seed + 1


def recorded() -> dict[str, list[Any]]:
    """What killed whom last: name to (stage, seed or null), written by ``scripts/mutants --record``."""
    known: dict[str, list[Any]] = json.loads(KILLERS.read_text(encoding="utf-8"))
    return known


def record(fates: list[Fate]) -> None:
    """Writes ``killers.json`` anew, for the mutants that were hunted."""
    known = recorded() if KILLERS.exists() else {}
    known |= {fate.name: [fate.by, fate.seed] for fate in fates if fate.by is not None}
    lines = [f"  {json.dumps(name)}: {json.dumps(known[name])}" for name in MUTANTS if name in known]
    KILLERS.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")


def kill_again(mutant: Mutant, seeds: int) -> Fate:
    """As ``hunt_one``, but first with what killed it last: seconds instead of minutes for all of them together.

    Args:
        mutant: to kill.
        seeds: schedules of the core simulator when the recorded one kills no more, since the simulator has changed.
    """
    stage, seed = recorded().get(mutant.name, [None, None])
    if stage is not None:
        found = trial(mutant.name, stage, seed or 0, (seed or 0) + 1)
        if found["killed"]:
            return Fate(mutant.name, stage, 1, found["how"], found["seed"], ())
    return hunt_one(mutant, Limits(core_seeds=seeds, node_seeds=0))


def stages_of(mutant: Mutant, limits: Limits) -> list[tuple[str, int]]:
    """(stage, seeds) in the order of the hunt, without those that cannot see the mutant."""
    seeds = {"simulator": limits.core_seeds if mutant.core else 0, "node simulator": limits.node_seeds * mutant.node}
    found = [(stage, seeds.get(stage, 0)) for stage in STAGES]
    return [(stage, count) for stage, count in found if count or stage in ("scenario", "test")]


def hunt_one(mutant: Mutant, limits: Limits) -> Fate:
    """Tries the stages until one kills."""
    passed: list[str] = []
    tried = 0
    for stage, seeds in stages_of(mutant, limits):
        found = search(mutant.name, stage, limits.start, limits.start + seeds)
        if found["killed"]:
            return Fate(mutant.name, stage, found["after"], found["how"], found["seed"], tuple(passed))
        tried += found["after"]
        passed.append(stage)
    return Fate(mutant.name, None, tried, "", None, tuple(passed))


def hunt(mutants: Iterable[Mutant], limits: Limits, tell: Callable[[Fate], None] = lambda _fate: None) -> list[Fate]:
    """All of them, ``limits.jobs`` at a time; ``tell`` hears of each in order."""
    fates = []
    with ThreadPoolExecutor(limits.jobs) as pool:
        for fate in pool.map(lambda mutant: hunt_one(mutant, limits), mutants):
            fates.append(fate)
            tell(fate)
    return fates


def control(stages: Iterable[tuple[str, int]], start: int = 0) -> list[str]:
    """What is noticed although nothing is wrong: then no kill at that stage proves anything. Empty: all is well."""
    found = []
    for stage, seeds in stages:
        verdict = trial(CONTROL, stage, start, start + seeds)
        if verdict["killed"]:
            found.append(f"{stage}: {verdict['how']} (seed {verdict['seed']})")
    return found


def report(fates: list[Fate]) -> dict[str, Any]:
    """The JSON report: counts, and the fate of each."""
    by = Counter(fate.by for fate in fates if fate.by is not None)
    return {
        "mutants": len(fates),
        "killed": sum(by.values()),
        "by": {stage: by[stage] for stage in STAGES},
        "survivors": [fate.name for fate in fates if fate.by is None],
        "details": [
            {
                "mutant": fate.name,
                "what": MUTANTS[fate.name].what,
                "modules": sorted(
                    {str(source_path(edit.module).relative_to(ROOT)) for edit in MUTANTS[fate.name].edits}
                ),
                "killed_by": fate.by,
                "after": fate.after,
                "seed": fate.seed,
                "how": fate.how,
            }
            for fate in fates
        ],
    }
