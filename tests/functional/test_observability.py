"""What an operator sees of real daemons: metrics of two chains, readiness, one form of log, traces across processes."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from node.network_file import NetworkNode
from node.observability.table import METRICS
from tests.functional.daemons import log_lines, wait_logged
from tests.functional.load import until
from tests.functional.supervised import Supervised, consortium
from tests.node import traffic as notes
from tests.node.observability.collector import Collector, collecting
from tests.node.observability.watched import Samples, parse, value

pytestmark = [pytest.mark.functional, pytest.mark.timeout(300)]

ROOT = Path(__file__).parents[2]
PROMTOOL = ROOT / "scripts" / "promtool"
ONLY_WHEN_IT_HAPPENS = {
    "tidegate_clock_offset_seconds",  # needs blocks of two other validators
    "tidegate_collect_errors_total",
    "tidegate_mempool_evicted_txs_total",
    "tidegate_mempool_failed_txs_total",
    "tidegate_mempool_organisation_bytes",
    "tidegate_rpc_refused_total",
    "tidegate_supervision_rule_hits_total",
}
"""Metrics without a sample while what they count has not happened."""


def daemons(net: Supervised) -> list[NetworkNode]:
    nodes = [*net.consortium.business.nodes, *net.consortium.supervision.nodes]
    return [node for node in nodes if not node.hosted]


async def url_of(node: NetworkNode) -> str:
    line = await wait_logged(node, "metrics_listening")
    return f"http://{line['host']}:{line['port']}"


async def get(url: str) -> tuple[int, str]:
    async with aiohttp.ClientSession() as session, session.get(url) as reply:
        return reply.status, await reply.text()


async def ready(node: NetworkNode) -> list[str]:
    """Codes of the reasons why it is not; none when it is."""
    status, text = await get(await url_of(node) + "/readyz")
    reasons = json.loads(text)
    assert status == (503 if reasons else 200)
    return [reason["code"] for reason in reasons]


async def scraped(nodes: list[NetworkNode]) -> dict[str, tuple[str, Samples]]:
    """The text that each daemon serves, and the samples in it."""
    found = {}
    for node in nodes:
        status, text = await get(await url_of(node) + "/metrics")
        assert status == 200
        found[node.organisation] = (text, parse(text))
    return found


async def test_operator_sees_both_chains_when_flows_go_from_one_to_the_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with collecting() as collector:
        monkeypatch.setenv("TIDEGATE_METRICS__LISTEN", "127.0.0.1:0")
        monkeypatch.setenv("TIDEGATE_TELEMETRY__OTLP_ENDPOINT", collector.url)
        monkeypatch.setenv("TIDEGATE_TELEMETRY__SAMPLE_RATIO", "1000")
        async with consortium(tmp_path, fusion_nodes=1) as net:
            nodes = daemons(net)
            for node in nodes:
                await until(lambda node=node: _is_ready(node), f"{node.organisation} is ready", 60)
                assert await get(await url_of(node) + "/livez") == (200, "[]\n")
            for _ in range(2):
                await notes.file_note(net.business, net.party("City Hospital").signing)
            await net.calm()
            seen = await scraped(nodes)
            # Spans go out in batches: they are waited for.
            business = [net.consortium.business.nodes[0]]
            await until(lambda: _exported(business), "spans are exported", 60)
            check_exposition(seen)
            check_numbers(seen, net)
            await check_tree(collector)
            check_logs(nodes)
            await check_lost_quorum(net)


async def _exported(nodes: list[NetworkNode]) -> bool:
    ((_, samples),) = (await scraped(nodes)).values()
    return value(samples, "telemetry_spans_total", outcome="exported") > 0


async def _is_ready(node: NetworkNode) -> bool:
    return not await ready(node)


def check_exposition(seen: dict[str, tuple[str, Samples]]) -> None:
    """Every metric is exported by every daemon, and has a value at one of them."""
    with_values: set[str] = set()
    for text, samples in seen.values():
        for metric in METRICS.values():
            assert f"# TYPE {metric.name} {metric.kind}" in text
        with_values |= {re.sub(r"_(bucket|sum|count)$", "", name) for name, _ in samples}
        with_values |= {name for name, _ in samples}
        done = subprocess.run([PROMTOOL, "check", "metrics"], input=text, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
    assert METRICS.keys() - with_values <= ONLY_WHEN_IT_HAPPENS


def check_numbers(seen: dict[str, tuple[str, Samples]], net: Supervised) -> None:
    business = net.consortium.business
    fusion = seen[business.node(net.fusion(0)).organisation][1]
    first = seen[business.nodes[0].organisation][1]
    for chain, other in (("business", "supervision"), ("supervision", "business")):
        assert value(fusion, "consensus_height", chain=chain) > 0
        assert value(fusion, "relay_connected", source=chain, destination=other) == 1
        assert value(fusion, "bridge_unanswered_packets", chain=chain, role=other) == 0
        assert value(fusion, "bridge_proof_verification_seconds_count", chain=chain, method="deliver") > 0
    assert value(fusion, "relay_packets_total", source="business") >= 2
    assert value(first, "consensus_is_validator", chain="business") == 1
    assert value(first, "store_disk_free_bytes") > 0
    assert value(first, "store_size_bytes", chain="business") > 0
    assert value(first, "store_fsync_seconds_count", chain="business", file="signer") > 0
    assert value(first, "loop_lag_seconds_count") > 0
    assert value(first, "telemetry_spans_total", outcome="dropped") == 0
    assert value(first, "rpc_requests_total", method="tx.submit_and_wait", code="ok") >= 2
    assert value(first, "rpc_request_duration_seconds_count", method="tx.submit_and_wait") >= 2
    assert sum(number for (name, _), number in first.items() if name == "tidegate_rpc_connections") >= 1
    supervision = seen[net.consortium.supervision.nodes[0].organisation][1]
    assert value(supervision, "supervision_requests", status="authorised") == 2
    assert value(supervision, "supervision_decisions_total", status="authorised") == 2
    assert value(supervision, "supervision_pending_decisions", waits_for="officers") == 0


async def check_tree(collector: Collector) -> None:
    """Spans of several processes are one tree, from the submission to the other chain."""
    everything = {"transaction", "admit", "propose", "commit", "relay", "deliver"}

    def names(trace: str) -> set[str]:
        return {span.name for span in collector.spans if span.trace == trace}

    async def complete() -> str | None:
        traces = {span.trace for span in collector.spans if span.name == "relay"}
        return next((trace for trace in sorted(traces) if names(trace) == everything), None)

    trace = await until(complete, "every span of a filing has arrived", 60)
    spans = [span for span in collector.spans if span.trace == trace]
    (root,) = [span for span in spans if span.name == "transaction"]
    (relay,) = [span for span in spans if span.name == "relay"]
    assert root.parent == ""
    assert root.facts["tidegate.transaction"].startswith(trace)
    assert {span.parent for span in spans if span.name in ("admit", "propose", "commit", "relay")} == {root.span}
    delivered = [span for span in spans if span.name == "deliver"]
    assert {span.parent for span in delivered} == {relay.span}
    assert {span.facts["tidegate.chain"] for span in delivered} == {relay.facts["tidegate.destination"]}
    assert root.resource["tidegate.organisation"] != relay.resource["tidegate.organisation"]
    assert len({span.resource["service.instance.id"] for span in spans if span.name == "commit"}) >= 2


def check_logs(nodes: list[NetworkNode]) -> None:
    """Every line of every daemon is a JSON object that says when, where, and what as a constant."""
    for node in nodes:
        raw = (node.home / "log" / "node.log").read_text(encoding="utf-8").splitlines()
        lines: list[dict[str, Any]] = log_lines(node)
        assert len(lines) == len([line for line in raw if line.strip()]), (
            f"{node.organisation} wrote lines of other form"
        )
        names = {line["node"] for line in lines}
        assert len(names) == 1, f"{node.organisation} calls itself {names}"
        for line in lines:
            assert line["chain"] in ("business", "supervision"), line
            assert re.fullmatch(r"[a-z][a-z0-9_]*", line["event"]), line
            assert line["timestamp"]
            assert line["level"]


async def check_lost_quorum(net: Supervised) -> None:
    """One of two validators is killed: the other lives, and says why it is not ready."""
    left, lost = net.consortium.business.nodes[:2]
    await net.net.business.kill(lost.name)

    async def says_so() -> bool:
        return "no_quorum" in await ready(left)

    await until(says_so, "the validator that is left is not ready", 60)
    assert await get(await url_of(left) + "/livez") == (200, "[]\n")
    samples = (await scraped([left]))[left.organisation][1]
    assert value(samples, "ready") == 0
