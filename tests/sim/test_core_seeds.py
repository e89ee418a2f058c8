"""Level core: seeded schedules without a violation, the same each time, and without any clock or chance of its own."""

from __future__ import annotations

import json
from collections import Counter

import pytest

from tests.sim.__main__ import main
from tests.sim.batch import run_slice
from tests.sim.core.schedule import MIN_FAULTS, MIN_HEIGHTS, run
from tests.sim.regressions import seeds_of

pytestmark = pytest.mark.xdist_group("core_seeds")
SEEDS = 2_000
SLICES = 10
REACHED: Counter[str] = Counter()
MUST_BE_REACHED = {
    "body_fetched",
    "clock_jump",
    "crash_in_recovery",
    "crash_with_prepared_certificate",
    "decided_in_a_later_round",
    "evidence_conflicting_messages",
    "evidence_forgotten_lock",
    "evidence_unjustified_proposal",
    "fetch_for_reproposal",
    "fresh_reproposal",
    "gated_timer",
    "locked_reproposal",
    "message_of_an_old_epoch",
    "observer_signer_state_lost",
    "observer_signer_state_rolled_back",
    "observer_store_behind_signer",
    "reproposal_of_anothers_block",
    "round_change",
    "round_change_with_lock",
    "round_jump",
    "set_change_with_votes",
    "straggler_answered",
    "torn_write",
    "twins",
    "validator_joined",
    "validator_left",
}


@pytest.mark.parametrize("part", range(SLICES))
def test_no_invariant_is_violated_when_anything_goes_wrong(part):
    size = SEEDS // SLICES
    done = run_slice(("core", list(range(part * size, (part + 1) * size))))
    REACHED.update(done.situations)
    assert done.failed == []
    assert done.weak == 0, "a schedule with fewer than three heights or five faults"


def test_every_situation_is_reached_when_the_seeds_have_run():
    if sum(REACHED.values()) == 0:
        REACHED.update(run_slice(("core", list(range(SEEDS // 4)))).situations)
    assert MUST_BE_REACHED - set(REACHED) == set()


@pytest.mark.parametrize("seed", [*range(8), 77, 1_234])
def test_a_replay_is_the_same_to_the_byte_when_the_seed_is(seed):
    once, again, silent = run(seed, trace=True), run(seed, trace=True), run(seed)
    assert once.trace
    assert once.digest == again.digest
    assert (once.heights, once.faults, once.situations) == (silent.heights, silent.faults, silent.situations)


def test_a_schedule_has_three_heights_and_five_faults_when_the_seed_is_any():
    for seed in range(50_000, 50_040):
        outcome = run(seed)
        assert outcome.violation is None, seed
        assert outcome.heights >= MIN_HEIGHTS
        assert outcome.faults >= MIN_FAULTS


@pytest.mark.parametrize("seed", seeds_of("core") or [0])
def test_a_seed_that_failed_once_is_good_for_ever(seed):
    assert run(seed).violation is None


def test_the_command_prints_a_trace_and_fails_when_an_invariant_is_violated(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr("consensus.rounds._say_round_change", lambda turn: None)  # nobody ever says a ROUND-CHANGE
    summary = tmp_path / "summary.json"
    code = main(["--seeds", "20", "--jobs", "1", "--json", str(summary), "--no-regressions"])
    printed = capsys.readouterr().out
    found = json.loads(summary.read_text())
    assert code == 1
    assert found["schedules"] >= 20
    assert found["violations"] == len(found["failed_seeds"]) > 0
    assert f"VIOLATION at seed {found['failed_seeds'][0]}" in printed
    assert "says PREPARE" in printed


def test_the_command_succeeds_when_nothing_is_violated(tmp_path, capsys):
    summary = tmp_path / "summary.json"
    assert main(["--seeds", "30", "--start", "900", "--jobs", "1", "--json", str(summary)]) == 0
    found = json.loads(summary.read_text())
    assert found["violations"] == 0
    assert found["failed_seeds"] == []
    assert found["per_second_per_core"] > 0
    assert found["situations"]["round_change"] > 0
    assert "situations reached" in capsys.readouterr().out
