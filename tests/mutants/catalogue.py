"""The seeded bugs, by what they break. Each must be killed: ``scripts/mutants``."""

from __future__ import annotations

from tests.mutants.losing import LOSING
from tests.mutants.mutant import Mutant
from tests.mutants.stalling import STALLING
from tests.mutants.storing import STORING
from tests.mutants.trusting import TRUSTING

MUTANTS: dict[str, Mutant] = {mutant.name: mutant for mutant in (*TRUSTING, *LOSING, *STALLING, *STORING)}
"""By name; names are distinct (a test sees to it)."""
