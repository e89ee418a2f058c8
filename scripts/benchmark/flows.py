"""``scripts/bench --flows``: what supervision costs, on a fresh consortium of real daemons.

Phase 1 takes requests one after the other, so that a step's time is the way of its messages and nothing else; phase 2
takes the others many at a time. The fusion daemons are started anew between the introductions and phase 1, so that
what they say of their deliveries is of flows alone.
"""

from __future__ import annotations

import asyncio
import json
import os
import resource
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import click

from node.client import Client
from node.consortium.bootstrap import Bootstrap
from node.consortium.parties import Party, PartyBook
from node.consortium.plan import ConsortiumPlan, create_consortium
from node.consortium.running import ConsortiumNet
from node.fhir.prescription import Prescription
from node.flow.importer.context import ImportOptions
from node.flow.importer.journal import StateDirectory
from node.flow.importer.planning import Steer
from node.flow.importer.report import DELIVERED, ImportReport
from node.flow.importer.run import ImportRun, load_prescriptions

DATA: Final = Path(__file__).parents[2] / "node" / "demo" / "fhir"
LOW_REQUESTS: Final = 20
READY_S: Final = 60.0
PATIENCE_S: Final = 60.0
PHASE_S: Final = 300.0
"""A phase that takes longer is given up."""
SHOWN: Final = ("file", "review", "order", "settle")
TO_SUPERVISION: Final = "supervision"
TO_BUSINESS: Final = "business"


@dataclass(slots=True)
class Reading:
    """What the daemons say at one moment.

    Attributes:
        at_s: monotonic seconds.
        cpu_s: process → CPU seconds so far; ``client`` is this one.
        heights: chain → height.
        traffic: process → bytes sent.
        rss_mb: the largest process.
        directions: of all relays (``node.relay.direction.Direction.document``).
    """

    at_s: float
    cpu_s: dict[str, float]
    heights: dict[str, int]
    traffic: dict[str, int]
    rss_mb: float
    directions: list[dict[str, Any]]

    def delivered(self, key: str) -> float:
        """Sum of a figure over all relays and both directions."""
        return sum(direction[key] for direction in self.directions)

    def finality_ms(self, to: str) -> float:
        """Submit-to-commit of deliveries to a chain: the relays' medians, by how many deliveries each made."""
        found = [d for d in self.directions if d["to"] == to and d["finality_ms"] is not None]
        count = sum(d["deliveries"] for d in found)
        return sum(d["finality_ms"] * d["deliveries"] for d in found) / count if count else 0.0


class FlowBench:
    """One run on one consortium.

    Args:
        net: running, and introduced to each other.
        directory: for what the imports remember.
    """

    def __init__(self, net: ConsortiumNet, directory: Path) -> None:
        self._net = net
        self._directory = directory

    async def read(self) -> Reading:
        """Asks every daemon once."""
        usage = resource.getrusage(resource.RUSAGE_SELF)
        found = Reading(time.perf_counter(), {"client": usage.ru_utime + usage.ru_stime}, {}, {}, 0.0, [])
        consortium = self._net.consortium
        for network in (consortium.business, consortium.supervision):
            for node in network.nodes:
                async with Client(node.socket) as client:
                    status = await client.status()
                name = network.name if not node.hosted else ""
                label = node.name if node.name in consortium.fusion else f"{name}/{node.name}"
                height = int(status["chain"]["height"])
                found.heights[network.name] = max(height, found.heights.get(network.name, 0))
                if node.hosted:
                    continue  # the same process as a node of the business chain
                found.cpu_s[label] = status["cpu_s"]
                found.traffic[label] = status["traffic"]["bytes_out"]
                found.rss_mb = max(found.rss_mb, status["rss_mb"])
                found.directions += status.get("relay", {}).get("directions", [])
        return found

    async def phase(
        self, name: str, prescriptions: Sequence[Prescription], concurrency: int
    ) -> tuple[ImportReport, Reading, Reading]:
        """Takes requests through all stages; what came of it, and the daemons' figures before and after.

        Raises:
            TimeoutError: not within ``PHASE_S``.
        """
        async with self._net.business_client() as business, asyncio.timeout(PHASE_S):
            before = await self.read()
            with StateDirectory(self._directory / name) as state:
                run = ImportRun(
                    gateway=business,
                    book=self._net.consortium.parties,
                    state=state,
                    options=ImportOptions(concurrency=concurrency, patience_s=PATIENCE_S),
                    steer=_steer(self._net.consortium.parties),
                )
                report = await run.run(prescriptions)
            return report, before, await self.read()


def _steer(book: PartyBook) -> Steer:
    """No officer waits here, so nothing is filed by a hospital whose requests wait for one; half are of a batch."""
    hospitals = {party.name: party for party in book.of_kind("hospital")}
    decided = [hospitals["City Hospital"], hospitals["County Hospital"]]

    def hospital(prescription: Prescription, parties: Sequence[Party]) -> Party:
        del parties
        return decided[sum(prescription.request_id.encode()) % len(decided)]

    return Steer(hospital=hospital)


def low_figures(report: ImportReport, before: Reading, after: Reading) -> dict[str, Any]:
    """Phase 1: each step, and ``review`` against the transactions that it needs."""
    commits = {name: report.commits.get(name, []) for name in ("request_review", "request_order")}
    relays = after.finality_ms(TO_SUPERVISION) + after.finality_ms(TO_BUSINESS)
    path = {name: _p50(values) + relays for name, values in commits.items()}
    steps = {name: percentiles.p50 for name, percentiles in report.latency.items()}
    return {
        "step_ms": {name: steps.get(name, 0.0) for name in SHOWN},
        "step_over_finality": _ratio(steps.get("review", 0.0), path["request_review"]),
        "order_over_finality": _ratio(steps.get("order", 0.0), path["request_order"]),
        "path_ms": {
            "request_review": round(_p50(commits["request_review"]), 2),
            "request_order": round(_p50(commits["request_order"]), 2),
            "delivery_to_supervision": round(after.finality_ms(TO_SUPERVISION), 2),
            "delivery_to_business": round(after.finality_ms(TO_BUSINESS), 2),
        },
        **phase_figures(report, before, after),
    }


def phase_figures(report: ImportReport, before: Reading, after: Reading) -> dict[str, Any]:
    """What a phase cost, whichever it is."""
    flows = len(report.samples.get("total", ()))
    packets = after.delivered("delivered_packets") - before.delivered("delivered_packets")
    busy_ms = after.delivered("busy_ms") - before.delivered("busy_ms")
    cpu = {name: after.cpu_s[name] - before.cpu_s[name] for name in after.cpu_s}
    seconds = report.seconds
    return {
        "requests": len(report.results),
        "outcomes": report.outcomes,
        "failed": report.failures,
        "seconds": round(seconds, 3),
        "flows_per_second": report.flows_per_second,
        "latency_ms": {name: found.document() for name, found in report.latency.items()},
        "commit_ms": {name: _p50(values) for name, values in sorted(report.commits.items())},
        "relay_ms_per_packet": _ratio(busy_ms, packets),
        "relay": {
            "packets": packets,
            "answers": after.delivered("delivered_answers") - before.delivered("delivered_answers"),
            "deliveries": after.delivered("deliveries") - before.delivered("deliveries"),
            "busy_ms": round(busy_ms, 1),
            "failures": after.delivered("failures") - before.delivered("failures"),
            "taken_over": after.delivered("taken_over") - before.delivered("taken_over"),
        },
        "blocks": {name: after.heights[name] - before.heights[name] for name in after.heights},
        "cpu_s": round(sum(cpu.values()), 2),
        "cpu_ms_per_flow": {name: _ratio(1000 * value, flows) for name, value in cpu.items()},
        "cpu_ms_per_flow_total": _ratio(1000 * sum(cpu.values()), flows),
        "cpu_share": round(sum(cpu.values()) / (after.at_s - before.at_s), 2),
        "bytes_per_flow": round(_ratio(sum(after.traffic.values()) - sum(before.traffic.values()), flows)),
        "rss_mb": after.rss_mb,
    }


def _p50(values: Sequence[float]) -> float:
    ordered = sorted(values)
    return round(ordered[len(ordered) // 2], 2) if ordered else 0.0


def _ratio(part: float, whole: float) -> float:
    return round(part / whole, 3) if whole else 0.0


async def run(
    directory: Path, requests: int, concurrency: int, validators: int, supervision_validators: int
) -> dict[str, Any]:
    """The whole measurement; every daemon is stopped when this returns."""
    load_before = os.getloadavg()[0]
    plan = ConsortiumPlan(
        directory=directory / "net",
        validators=validators,
        supervision_validators=supervision_validators,
        log_level="warning",
    )
    await asyncio.to_thread(create_consortium, plan)
    async with ConsortiumNet(plan.directory) as net:
        await net.start(timeout_s=READY_S)
        async with net.business_client() as business, net.supervision_client() as supervision:
            await net.business.wait_ready(timeout_s=READY_S, peers=len(net.consortium.business.nodes) - 1)
            began = time.perf_counter()
            await Bootstrap(net.consortium, business, supervision).run()
            bootstrap_s = time.perf_counter() - began
            prescriptions = (await load_prescriptions(DATA, business))[:requests]
        await net.business.stop(net.consortium.fusion)
        await net.business.start(net.consortium.fusion)
        await net.business.wait_ready(timeout_s=READY_S, peers=len(net.consortium.business.nodes) - 1)
        bench = FlowBench(net, directory)
        few = min(LOW_REQUESTS, max(1, requests // 2))
        low = low_figures(*await bench.phase("low", prescriptions[:few], 1))
        high = phase_figures(*await bench.phase("high", prescriptions[few:], concurrency))
    return {
        "flows_per_second": high["flows_per_second"],
        "step_ms": low.pop("step_ms"),
        "step_over_finality": low.pop("step_over_finality"),
        "relay_ms_per_packet": high["relay_ms_per_packet"],
        "order_over_finality": low.pop("order_over_finality"),
        "path_ms": low.pop("path_ms"),
        "validators": validators,
        "supervision_validators": supervision_validators,
        "fusion_nodes": plan.fusion_nodes,
        "concurrency": concurrency,
        "bootstrap_s": round(bootstrap_s, 2),
        "load_average": {"before": round(load_before, 2), "after": round(os.getloadavg()[0], 2)},
        "low": low,
        "saturated": high,
    }


@click.command()
@click.option("--json", "json_file", type=click.Path(path_type=Path), help="Write the report to this file.")
@click.option("--requests", default=300, show_default=True, type=click.IntRange(2, 473), help="In both phases.")
@click.option("--concurrency", default=32, show_default=True, type=click.IntRange(1, 256), help="Of phase 2.")
@click.option("--validators", default=4, show_default=True, type=click.IntRange(1, 16))
@click.option("--supervision-validators", default=4, show_default=True, type=click.IntRange(1, 16))
def main(json_file: Path | None, requests: int, concurrency: int, validators: int, supervision_validators: int) -> None:
    """Measures supervised flows on a fresh consortium of real daemons on this machine."""
    with tempfile.TemporaryDirectory(prefix="tidegate-bench-") as directory:
        report = asyncio.run(run(Path(directory), requests, concurrency, validators, supervision_validators))
    text = json.dumps(report, indent=2)
    click.echo(text)
    if json_file is not None:
        json_file.write_text(text + "\n", encoding="utf-8")
    outcomes = {**report["low"]["outcomes"], **report["saturated"]["outcomes"]}
    if set(outcomes) != {DELIVERED}:
        raise SystemExit(f"some flows were not delivered: {outcomes}")


if __name__ == "__main__":
    main()
