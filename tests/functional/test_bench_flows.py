"""``scripts/bench --flows`` as it is called: a short run, the shape of its report, and figures that can be."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from node.flow.importer.report import ImportReport, RequestResult
from scripts.benchmark.flows import Reading, low_figures, phase_figures

pytestmark = pytest.mark.timeout(300)

BENCH = Path(__file__).parents[2] / "scripts" / "bench"
STEPS = {"file", "review", "order", "settle"}
PROCESSES = 4 + 4 + 2 + 1


@pytest.mark.functional
def test_flows_are_reported_when_few_are_measured(tmp_path: Path) -> None:
    path = tmp_path / "flows.json"
    done = subprocess.run(
        [BENCH, "--flows", "--json", path, "--requests", "8", "--concurrency", "4"],
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads(path.read_text())
    assert found == json.loads(done.stdout)
    assert found["flows_per_second"] > 0
    assert set(found["step_ms"]) == STEPS
    assert all(value > 0 for value in found["step_ms"].values())
    assert found["relay_ms_per_packet"] > 0
    for phase in ("low", "saturated"):
        assert found[phase]["outcomes"] == {"delivered": 4}
        # A flow asks five times (file, review, opinion, order, settle), and what it is told is a packet too; a relay
        # that was overtaken counts none, and what the introductions sent is not in here.
        assert found[phase]["relay"]["packets"] == pytest.approx(4 * 5 * 2, abs=4)
        assert len(found[phase]["cpu_ms_per_flow"]) == PROCESSES
        assert all(value > 0 for value in found[phase]["blocks"].values())
    path_ms = found["path_ms"]
    needed = path_ms["request_review"] + path_ms["delivery_to_supervision"] + path_ms["delivery_to_business"]
    assert found["step_over_finality"] == pytest.approx(found["step_ms"]["review"] / needed, rel=0.02)
    # The step cannot be shorter than its transactions by much, nor should anybody wait beside them.
    assert 0.5 < found["step_over_finality"] < 3


def test_bench_refuses_more_requests_than_there_are_when_it_is_asked_for_them() -> None:
    done = subprocess.run([BENCH, "--flows", "--requests", "474"], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "474" in done.stderr


def direction(to: str, finality_ms: float | None, deliveries: int, packets: int = 0, busy_ms: float = 0.0) -> dict:
    return {
        "to": to,
        "finality_ms": finality_ms,
        "deliveries": deliveries,
        "delivered_packets": packets,
        "delivered_answers": packets,
        "busy_ms": busy_ms,
        "failures": 0,
        "taken_over": 0,
    }


def reading(at_s: float, cpu_s: float, directions: list[dict]) -> Reading:
    return Reading(at_s, {"client": cpu_s}, {"business": round(at_s)}, {"client": 0}, 100.0, directions)


def report(steps: dict[str, list[float]], commits: dict[str, list[float]], seconds: float = 10.0) -> ImportReport:
    count = len(steps["total"])
    results = [RequestResult(str(number), str(number), bytes(32), "delivered") for number in range(count)]
    return ImportReport(results=results, seconds=seconds, samples=steps, commits=commits)


def test_finality_is_weighted_by_deliveries_when_relays_took_turns() -> None:
    found = reading(
        0, 0, [direction("business", 100.0, 30), direction("business", 200.0, 10), direction("supervision", None, 0)]
    )
    assert found.finality_ms("business") == 125.0
    assert found.finality_ms("supervision") == 0.0


def test_step_is_divided_by_the_transactions_on_its_path() -> None:
    after = reading(20, 4, [direction("business", 30.0, 5, 10, 40.0), direction("supervision", 50.0, 5, 10, 60.0)])
    before = reading(0, 1, [direction("business", None, 0), direction("supervision", None, 0)])
    steps = {"review": [110.0, 120.0, 130.0], "order": [100.0], "total": [1000.0, 1000.0]}
    found = low_figures(report(steps, {"request_review": [10.0, 20.0, 30.0]}), before, after)
    assert found["step_over_finality"] == 1.2
    assert found["order_over_finality"] == 1.25
    assert found["step_ms"] == {"file": 0.0, "review": 120.0, "order": 100.0, "settle": 0.0}
    assert found["relay_ms_per_packet"] == 5.0


def test_only_what_the_phase_used_counts_when_there_was_something_before() -> None:
    before = reading(10, 5, [direction("business", 1.0, 7, 40, 1_000.0)])
    after = reading(30, 9, [direction("business", 1.0, 9, 50, 1_020.0)])
    found = phase_figures(report({"total": [1.0] * 8}, {}, seconds=4.0), before, after)
    assert found["relay_ms_per_packet"] == 2.0
    assert found["relay"]["packets"] == 10
    assert found["blocks"] == {"business": 20}
    assert found["cpu_ms_per_flow_total"] == 500.0
    assert found["cpu_share"] == 0.2
    assert found["flows_per_second"] == 2.0


def test_no_figure_is_invented_when_nothing_was_delivered() -> None:
    empty = reading(1, 0, [direction("business", None, 0)])
    found = phase_figures(ImportReport(), reading(0, 0, [direction("business", None, 0)]), empty)
    assert found["relay_ms_per_packet"] == 0.0
    assert found["cpu_ms_per_flow_total"] == 0.0
