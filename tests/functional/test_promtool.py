"""What Prometheus itself says of the rules and of the dashboards' queries: promtool, built where it is missing."""

import json
import re
import subprocess
from pathlib import Path

import pytest

pytestmark = [pytest.mark.functional, pytest.mark.timeout(1_500)]

ROOT = Path(__file__).parents[2]
RULES = ROOT / "deploy" / "prometheus"
DASHBOARDS = sorted((ROOT / "deploy" / "grafana").glob("*.json"))


def run(*arguments: str) -> None:
    done = subprocess.run(
        [ROOT / "scripts" / "promtool", *arguments],
        cwd=RULES,
        capture_output=True,
        text=True,
        timeout=1_400,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_promtool_accepts_configuration_and_rules_and_their_tests_pass():
    run("check", "config", "prometheus.yml")
    run("check", "rules", "alerts.yml")
    run("test", "rules", "alerts_test.yml")


def test_promtool_understands_every_query_of_the_dashboards(tmp_path):
    queries = [
        target["expr"]
        for dashboard in DASHBOARDS
        for panel in json.loads(dashboard.read_text(encoding="utf-8"))["panels"]
        for target in panel["targets"]
    ]
    plain = [re.sub(r"\$(chain|instance)", ".*", query).replace("$__rate_interval", "5m") for query in queries]
    rules = [{"record": f"x:{index}", "expr": text} for index, text in enumerate(plain)]
    assert rules
    file = tmp_path / "rules.yml"
    file.write_text(json.dumps({"groups": [{"name": "x", "rules": rules}]}), encoding="utf-8")
    run("check", "rules", str(file))
