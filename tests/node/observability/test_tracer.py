"""The tree of spans, from a client's submission to the other chain, as a collector receives it."""

from __future__ import annotations

import asyncio
import contextlib
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from contracts.bridge.records import BUSINESS, SUPERVISION
from ledger.errors import InvalidConfig
from node.config_sections import TelemetrySection
from node.core import NodeCore
from node.observability.span_queue import SpanQueue
from node.observability.telemetry import Telemetry
from node.observability.tracer import origins
from node.relay.service import RelayService
from tests.node import traffic
from tests.node.cluster import Cluster, running
from tests.node.observability.collector import Seen, collecting, until
from tests.node.two_chains import World, two_chains

ROOT = Path(__file__).parents[3]


@contextlib.asynccontextmanager
async def traced(
    url: str, nodes: dict[str, list[tuple[str, NodeCore]]], relay: RelayService | None = None, ratio: int = 1_000
) -> AsyncIterator[dict[str, Telemetry]]:
    """Telemetry around daemons by name, each with the chains that it hosts; the last one has the relay."""
    section = TelemetrySection(otlp_endpoint=url, sample_ratio=ratio)
    found: dict[str, Telemetry] = {}
    for name, chains in nodes.items():
        carried = relay if name == [*nodes][-1] else None
        found[name] = Telemetry(section, chains, carried, node=name, organisation=f"Org of {name}")
        found[name].start()
    try:
        yield found
    finally:
        for telemetry in found.values():
            await telemetry.stop()


def daemons(world: World) -> dict[str, list[tuple[str, NodeCore]]]:
    """Two validators and a fusion daemon of the business chain, the validator of the other one."""
    business, supervision = world.business, world.supervision
    return {
        "b0": [(BUSINESS, business.core(0))],
        "b1": [(BUSINESS, business.core(1))],
        "s0": [(SUPERVISION, supervision.core(0))],
        "fusion": [(BUSINESS, business.core(2)), (SUPERVISION, supervision.core(1))],
    }


def by_name(spans: list[Seen], name: str) -> dict[str, Seen]:
    found = {span.facts["tidegate.node"]: span for span in spans if span.name == name}
    assert len(found) == sum(span.name == name for span in spans), f"a daemon said {name} twice"
    return found


async def test_tree_spans_both_chains_when_a_flow_is_filed() -> None:
    async with two_chains() as world, collecting() as collector:
        await traffic.define(world)
        async with traced(collector.url, daemons(world), world.relays[0]):
            blocks: list[bytes] = []
            core = world.business.core(0)
            core.listeners.append(lambda done: blocks.extend(t.tx_id for t in done.candidate.transactions))
            await traffic.file_note(world.business.gateway, world.party("City Hospital").signing)
            await world.calm()
            filed = blocks[0]
            await until(lambda: len([s for s in collector.of(filed) if s.name == "deliver"]) == 2)
        spans = collector.of(filed)
        (root,) = [span for span in spans if span.name == "transaction"]
        assert (root.parent, root.facts["tidegate.node"], root.failed) == ("", "b0", False)
        assert root.facts["tidegate.transaction"] == filed.hex()
        assert root.resource["service.instance.id"] == "b0"
        assert root.resource["tidegate.organisation"] == "Org of b0"
        assert set(by_name(spans, "admit")) >= {"b0"}
        assert set(by_name(spans, "commit")) == {"b0", "b1", "fusion"}
        (proposer,) = by_name(spans, "propose")
        assert proposer in ("b0", "b1")
        (relay,) = by_name(spans, "relay").values()
        assert relay.facts["tidegate.node"] == "fusion"
        delivered = by_name(spans, "deliver")
        assert set(delivered) == {"s0", "fusion"}
        assert {span.parent for span in delivered.values()} == {relay.span}
        children = [span for span in spans if span.name in ("admit", "propose", "commit", "relay")]
        assert {span.parent for span in children} == {root.span}
        assert {span.facts["tidegate.chain"] for span in delivered.values()} == {SUPERVISION}
        assert all(span.begun_ns <= span.ended_ns for span in spans)
        assert root.begun_ns <= by_name(spans, "commit")["b0"].begun_ns <= root.ended_ns
        assert root.begun_ns <= relay.begun_ns
        assert len({span.span for span in spans}) == len(spans)


async def test_daemons_choose_the_same_transactions_when_only_some_are_traced() -> None:
    cluster = Cluster(2, empty_block_ms=100)
    async with running(cluster), collecting() as collector:
        nodes = {f"n{index}": [("test", cluster.core(index))] for index in (0, 1)}
        async with traced(collector.url, nodes, ratio=400):
            sent = [cluster.transfer(m, 1 - m, 5, cluster.genesis_output(m, n)) for m in (0, 1) for n in range(10)]
            await asyncio.gather(*[
                cluster.core(index % 2).gateway.submit_and_wait(transaction) for index, transaction in enumerate(sent)
            ])  # fmt: skip
            for index in (0, 1):
                place = cluster.core(index).chain
                await cluster.wait(lambda place=place: all(place.store.find_transaction(t.tx_id) for t in sent))
        names = {t.tx_id.hex()[:32] for t in sent if int.from_bytes(t.tx_id[-8:], "big") % 1_000 < 400}
        for node in ("n0", "n1"):
            committed = {s.trace for s in collector.spans if s.name == "commit" and s.facts["tidegate.node"] == node}
            assert committed == names


async def test_root_says_why_when_a_transaction_never_gets_into_a_block() -> None:
    cluster = Cluster(2)
    async with running(cluster, 0), collecting() as collector:  # no quorum
        core = cluster.core(0)
        async with traced(collector.url, {"n0": [("test", core)]}):
            transaction = cluster.transfer(0, 1, 5)
            await core.gateway.submit(transaction)
            core.mempool.drop(transaction.tx_id, "expired")
            await until(lambda: any(span.name == "transaction" for span in collector.spans))
        (root,) = [span for span in collector.spans if span.name == "transaction"]
        assert (root.failed, root.facts["tidegate.code"]) == (True, "expired")


async def test_chain_goes_on_and_failures_are_counted_when_nobody_collects() -> None:
    async with collecting() as gone:
        url = gone.url
    cluster = Cluster(1, empty_block_ms=100)
    async with running(cluster):
        core = cluster.core(0)
        async with traced(url, {"n0": [("test", core)]}) as found:
            outcome = await core.gateway.submit_and_wait(cluster.transfer(0, 0, 5))
            assert outcome.status == "committed"
        counts = found["n0"].counts()
        assert counts["exported"] == 0
        assert counts["failed"] + counts["dropped"] >= 3


async def test_chain_goes_on_when_the_collector_answers_with_errors() -> None:
    cluster = Cluster(1, empty_block_ms=100)
    async with running(cluster), collecting() as collector:
        collector.status = 500
        core = cluster.core(0)
        async with traced(collector.url, {"n0": [("test", core)]}) as found:
            await core.gateway.submit_and_wait(cluster.transfer(0, 0, 5))
        assert found["n0"].counts()["exported"] == 0
        assert collector.spans == []


async def test_oldest_open_transaction_is_forgotten_when_too_many_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    from node.observability import tracer

    monkeypatch.setattr(tracer, "MAX_OPEN", 2)
    cluster = Cluster(2)
    async with running(cluster, 0):
        core = cluster.core(0)
        queue = SpanQueue(lambda _: True)
        made = tracer.ChainTracer(core, "test", "n0", 1_000, queue.put)
        for number in range(5):
            await core.gateway.submit(cluster.transfer(0, 1, 5, cluster.genesis_output(0, number)))
        assert len(made._open) == 2


def test_nothing_of_telemetry_or_metrics_is_loaded_when_it_is_off() -> None:
    # libp2p loads the metrics library itself.
    heavy = ("opentelemetry", "node.observability.registry", "node.observability.sink", "node.observability.tracer")
    code = f"import sys, node.app; print([n for n in sys.modules if n.startswith({heavy})])"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


async def test_error_says_what_to_install_when_the_extra_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "node.observability.span_export", None)
    section = TelemetrySection(otlp_endpoint="http://127.0.0.1:4318")
    with pytest.raises(InvalidConfig) as caught:
        Telemetry(section, [], None, node="n0", organisation="Member 0")
    assert (caught.value.code, caught.value.data["key"]) == ("telemetry_missing", "telemetry.otlp_endpoint")
    assert "tidegate[telemetry]" in caught.value.message


async def test_origins_are_none_when_a_delivery_does_not_decode() -> None:
    assert origins(b"\xff", 1_000) == []
    assert origins(b"", 1_000) == []
