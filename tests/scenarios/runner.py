"""Plays a scenario, line by line, and says at which line the validators did something else."""

from __future__ import annotations

import importlib
from pathlib import Path

from tests.scenarios.language import Scenario, ScenarioError, parse
from tests.scenarios.stage import Stage

FOLDER = Path(__file__).parent

for _phrases in ("actions", "forging", "expectations"):  # they register their phrases
    importlib.import_module(f"tests.scenarios.{_phrases}")


def all_scenarios() -> list[Path]:
    """The files, by name."""
    return sorted(FOLDER.glob("*.txt"))


def play(path: Path, home: Path) -> Scenario:
    """Plays the scenario of ``path``; ``home`` is an empty directory for the logs.

    Raises:
        ScenarioError: with file and line, when an expectation or an invariant does not hold.
    """
    scenario = parse(path)
    stage = Stage(home)
    for line, text, action, arguments in scenario.statements:
        try:
            action(stage, **arguments)
        except (ScenarioError, AssertionError) as error:
            raise ScenarioError(f"{path.name}:{line}: {text}: {error}") from error
    for player in stage.players.values():
        if player.alive:
            player.crash()
    return scenario
