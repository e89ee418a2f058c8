"""The table of metrics, what docs and deploy say of it, and what Prometheus' own tool says of those."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry, GCCollector, PlatformCollector, ProcessCollector

from node.observability.table import CHAIN, COUNTER, HISTOGRAM, METRICS
from node.observability.table_text import replaced

ROOT = Path(__file__).parents[3]
DASHBOARDS = sorted((ROOT / "deploy" / "grafana").glob("*.json"))
RULES = ROOT / "deploy" / "prometheus" / "alerts.yml"
RUNBOOKS = {"install", "upgrade", "backup", "restore", "key-rotation", "lost-quorum", "lost-node"}
OF_PROMETHEUS = {"up", "ALERTS"}


def expressions(dashboard: Path) -> list[str]:
    """Every query of a dashboard."""
    return [target["expr"] for panel in load(dashboard)["panels"] for target in panel["targets"]]


def load(dashboard: Path) -> Any:
    return json.loads(dashboard.read_text(encoding="utf-8"))


def rules() -> list[dict[str, str]]:
    """Each alert's keys as text, folded lines joined: as the file is written; promtool reads it properly."""
    found = []
    for block in re.split(r"^      - (?=alert:)", RULES.read_text(encoding="utf-8"), flags=re.MULTILINE)[1:]:
        # What is indented deeper belongs to the key above it.
        joined = re.sub(r"\n {10,}", " ", re.split(r"\n\n|\n  - name", block)[0])
        found.append(dict(re.findall(r"^ *([a-z]+): (?:>- )?(.*)$", joined, flags=re.MULTILINE)))
    return found


def named(expression: str) -> set[str]:
    """The metrics in a query, a histogram's parts under its own name."""
    found = set(re.findall(r"\b(?:tidegate|process|python)_[a-z0-9_]+", re.sub(r'"[^"]*"', '""', expression)))
    parts = re.compile(r"_(bucket|sum|count)$")
    return {parts.sub("", name) if parts.sub("", name) in METRICS else name for name in found}


def exported() -> set[str]:
    """What a daemon exports: our table, and what the library says of the process."""
    registry = CollectorRegistry()
    for collector in (ProcessCollector, PlatformCollector, GCCollector):
        collector(registry=registry)
    return {*METRICS, *(sample.name for family in registry.collect() for sample in family.samples)}


def test_names_follow_the_rules_of_prometheus_when_they_are_in_the_table() -> None:
    for metric in METRICS.values():
        assert re.fullmatch(r"tidegate_[a-z][a-z0-9_]*[a-z0-9]", metric.name)
        assert metric.name.endswith("_total") == (metric.kind == COUNTER), metric.name
        assert re.fullmatch(r".+\.", metric.words), metric.name
        assert len(set(metric.labels)) == len(metric.labels) <= 4
        assert CHAIN not in metric.labels or metric.labels[0] == CHAIN
        if metric.kind == HISTOGRAM:
            assert metric.name.endswith("_seconds"), metric.name


def test_docs_say_every_metric_when_the_table_changes() -> None:
    file = ROOT / "docs" / "metrics.md"
    text = file.read_text(encoding="utf-8")
    assert text == replaced(text), "run python -m node.observability.table_text docs/metrics.md"


def test_every_metric_is_exported_when_a_rule_or_dashboard_names_it() -> None:
    known = exported()
    for rule in rules():
        assert named(rule["expr"]) or "up{" in rule["expr"], rule["alert"]
        assert named(rule["expr"]) <= known, rule["alert"]
    assert len(DASHBOARDS) == 4
    for dashboard in DASHBOARDS:
        for expression in expressions(dashboard):
            assert named(expression) <= known, f"{dashboard.name}: {expression}"
            assert named(expression) or any(name in expression for name in OF_PROMETHEUS)


def test_labels_exist_when_a_rule_selects_or_groups_by_them() -> None:
    outside = {"instance", "job", "alertname", "alertstate", "le", "severity"}
    for expression in [rule["expr"] for rule in rules()] + [e for d in DASHBOARDS for e in expressions(d)]:
        known = outside.union(*(METRICS[name].labels for name in named(expression) if name in METRICS))
        plain = re.sub(r'"[^"]*"', '""', expression)
        selected = set(re.findall(r"([a-z_]+)\s*(?:=~|!~|!=|=)\s*\"\"", plain))
        grouped = {
            word.strip()
            for group in re.findall(r"(?:by|on|group_left)\s*\(([^)]*)\)", plain)
            for word in group.split(",")
        }
        assert selected | (grouped - {""}) <= known, expression


def test_every_alert_says_what_to_do_when_it_fires() -> None:
    alerts = rules()
    assert len({rule["alert"] for rule in alerts}) == len(alerts)
    for rule in alerts:
        assert re.fullmatch(r"\{severity: (page|warning|info)\}", rule["labels"]), rule["alert"]
        said = re.fullmatch(
            r"summary: (.+) description: (.+) runbook: docs/runbooks/([a-z-]+)\.md", rule["annotations"]
        )
        assert said is not None, rule["alert"]
        assert said[3] in RUNBOOKS
        assert (ROOT / "docs" / "runbooks" / f"{said[3]}.md").exists()


def test_every_alert_has_a_test_when_there_is_an_alert() -> None:
    tested = (ROOT / "deploy" / "prometheus" / "alerts_test.yml").read_text(encoding="utf-8")
    for rule in rules():
        fires = re.search(rf'name: "{rule["alert"]}:[^"]*"(?:(?!- name:).)*exp_samples:\n', tested, re.DOTALL)
        assert fires, f"no test in which {rule['alert']} fires"


@pytest.mark.parametrize("dashboard", DASHBOARDS, ids=lambda path: path.stem)
def test_panels_lie_beside_each_other_when_a_dashboard_is_shown(dashboard: Path) -> None:
    document = load(dashboard)
    taken: set[tuple[int, int]] = set()
    for panel in document["panels"]:
        place = panel["gridPos"]
        cells = {(place["x"] + x, place["y"] + y) for x in range(place["w"]) for y in range(place["h"])}
        assert place["x"] + place["w"] <= 24
        assert not cells & taken, panel["title"]
        taken |= cells
        assert panel["title"]
        assert panel["description"]
    assert [panel["id"] for panel in document["panels"]] == list(range(1, len(document["panels"]) + 1))
    variables = {variable["name"] for variable in document["templating"]["list"]}
    used = {name for expression in expressions(dashboard) for name in re.findall(r"\$([a-z]+)", expression)}
    assert used <= variables
    assert document["uid"].startswith("tidegate-")


def test_dashboards_have_names_of_their_own_when_they_are_imported_together() -> None:
    documents = [load(dashboard) for dashboard in DASHBOARDS]
    assert len({document["uid"] for document in documents}) == len({d["title"] for d in documents}) == len(DASHBOARDS)
