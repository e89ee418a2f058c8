"""Level node of the simulator: a hundred schedules without a violation, and replays that are equal to the byte."""

import os
import subprocess
import sys
from collections import Counter

import pytest

from tests.sim.node.schedule import run

pytestmark = pytest.mark.xdist_group("node_seeds")
SEEDS = 100
PARTS = 5
WORTH_REACHING = (
    "restart_with_prepared_certificate",
    "imported_block",
    "straggler_push",
    "announcement_ahead",
    "early_block",
    "round_change",
    "observer",
    "crash_point",
    "stopped_by_disk",
    "backup_restored",
    "signs_again",
    "set_changed",
    "two_chains",
    "packet_relayed",
)
_REPLAY = "import sys; from tests.sim.node.schedule import run; print(run(int(sys.argv[1]), trace=True).digest)"

met: Counter[str] = Counter()


@pytest.mark.parametrize("part", range(PARTS))
def test_nothing_is_violated_when_everything_goes_wrong(part):
    for seed in range(part * SEEDS // PARTS, (part + 1) * SEEDS // PARTS):
        outcome = run(seed)
        assert outcome.violation is None, f"seed {seed}: {outcome.violation}"
        assert outcome.heights >= 3, seed
        assert outcome.faults >= 5, seed
        met.update(outcome.situations)
        met["schedule"] += 1


def test_situations_worth_reaching_are_reached():
    if met["schedule"] < SEEDS:
        met.clear()  # asked for alone
        for seed in range(SEEDS):
            met.update(run(seed).situations)
    assert [name for name in WORTH_REACHING if not met[name]] == []


@pytest.mark.parametrize("seed", [4, 15, 32])
def test_replay_is_equal_to_the_byte_when_hashing_and_history_differ(seed):
    here = run(seed, trace=True)
    environment = {**os.environ, "PYTHONHASHSEED": "77"}
    elsewhere = subprocess.run(
        [sys.executable, "-c", _REPLAY, str(seed)], capture_output=True, text=True, check=True, env=environment
    )
    assert len(here.trace) > 100
    assert elsewhere.stdout.strip() == here.digest


def test_trace_changes_nothing_when_it_is_asked_for():
    plain, traced = run(5), run(5, trace=True)
    assert plain.situations == traced.situations
    assert plain.trace == []
