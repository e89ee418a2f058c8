"""Every seeded bug is noticed: here with the schedule that noticed it last; ``scripts/mutants`` looks for them anew."""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor

import pytest

from tests.mutants import __main__ as command
from tests.mutants.catalogue import MUTANTS
from tests.mutants.hunt import Fate, Limits, kill_again, recorded, report, trial
from tests.mutants.losing import LOSING
from tests.mutants.mutant import Edit, Mutant, PatchError, install, misfits_of, patched_source
from tests.mutants.stalling import STALLING
from tests.mutants.storing import STORING
from tests.mutants.trial import CONTROL
from tests.mutants.trusting import TRUSTING

pytestmark = [pytest.mark.timeout(1_200), pytest.mark.xdist_group("mutants")]
SEEDS = 300
"""Schedules to try when the recorded one does not kill any more."""


@pytest.fixture(scope="module")
def kills():
    """All mutants, two at a time, while the first tests wait."""
    with ThreadPoolExecutor(2) as pool:
        fates: dict[str, Future[Fate]] = {
            name: pool.submit(kill_again, mutant, SEEDS) for name, mutant in MUTANTS.items()
        }
        yield fates
        pool.shutdown(cancel_futures=True)


@pytest.mark.parametrize("name", MUTANTS)
def test_the_mutant_is_killed(name, kills):
    fate = kills[name].result()
    assert fate.by is not None, f"{name} survived: {MUTANTS[name].what}"


def test_the_patches_fit_and_names_are_distinct():
    everyone = [*TRUSTING, *LOSING, *STALLING, *STORING]
    assert len(MUTANTS) == len(everyone) >= 24
    assert [words for mutant in everyone for words in misfits_of(mutant)] == []


def test_at_least_twelve_fall_to_the_simulators_invariants():
    known = recorded()
    assert set(known) == set(MUTANTS)
    assert sum(stage in ("simulator", "node simulator") for stage, _ in known.values()) >= 12


def test_the_product_as_it_is_is_not_killed():
    assert not trial(CONTROL, "simulator", 0, 40)["killed"]
    assert not trial(CONTROL, "scenario")["killed"]


@pytest.mark.parametrize("old", ["no such text", "count"])
def test_a_patch_that_does_not_fit_exactly_once_is_an_error(old):
    mutant = Mutant("m", "w", (Edit("ledger.validators", old, "x"),))
    with pytest.raises(PatchError, match="times in the source"):
        patched_source("ledger.validators", mutant.edits)
    assert len(misfits_of(mutant)) == 1


def test_a_module_that_is_imported_already_cannot_be_patched():
    import ledger.validators

    assert ledger.validators
    with pytest.raises(PatchError, match="imported before"):
        install(MUTANTS["quorum_of_2f_plus_1"])


@pytest.mark.parametrize(("by", "status"), [(None, 1), ("simulator", 0)])
def test_a_survivor_fails_the_command(by, status, monkeypatch, capsys, tmp_path):
    fate = Fate("no_jump", by, 3, "why", 2, ())
    monkeypatch.setattr(command, "control", lambda _stages, _start: [])
    monkeypatch.setattr(command, "hunt", lambda _mutants, _limits, _tell: [fate])
    target = tmp_path / "report.json"
    assert command.main(["no_jump", "--json", str(target)]) == status
    assert target.exists()
    assert ("survived" in capsys.readouterr().err) == bool(status)


def test_the_report_counts_by_stage():
    fates = [Fate("no_jump", "simulator", 3, "", 2, ()), Fate("guard_off", None, 9, "", None, ())]
    found = report(fates)
    assert (found["mutants"], found["killed"]) == (2, 1)
    assert found["by"] == {"simulator": 1, "node simulator": 0, "scenario": 0, "test": 0}
    assert found["survivors"] == ["guard_off"]


def test_stages_that_cannot_see_a_mutant_are_left_out():
    from tests.mutants.hunt import stages_of

    stages = [stage for stage, _ in stages_of(MUTANTS["no_fsync"], Limits(node_seeds=5))]
    assert stages == ["scenario", "test"]
