"""Observability around nodes of ``tests.node.cluster``, without a daemon."""

from __future__ import annotations

from typing import Any

from prometheus_client.parser import text_string_to_metric_families

from node.core import NodeCore
from node.observability.chain_watch import ChainWatch
from node.observability.health import Health
from node.observability.loop_lag import LoopLag
from node.observability.proof_timer import time_proofs
from node.observability.registry import Metrics
from node.observability.sources import ChainSource, Sources

Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


def source_of(core: NodeCore, name: str = "test") -> ChainSource:
    """A chain's source whose watch hears of blocks from now on."""
    watch = ChainWatch(core.chain, lambda: core.synchroniser.syncing)
    core.listeners.append(watch.on_block)
    return ChainSource(name=name, core=core, watch=watch, proofs=time_proofs(core.chain))


def sources_of(*chains: ChainSource, **more: Any) -> Sources:
    return Sources(node="node0", organisation="Member 0", version="1", chains=chains, **more)


def metrics_of(sources: Sources) -> Metrics:
    return Metrics(sources, Health(sources), LoopLag())


def read(metrics: Metrics) -> Samples:
    """Every sample by name and labels, as a scraper reads it."""
    return parse(metrics.exposition("")[0].decode())


def parse(text: str) -> Samples:
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def value(samples: Samples, name: str, **labels: str) -> float:
    """The one sample of ``name`` that has these labels among its own."""
    wanted = labels.items()
    found = [number for (known, its), number in samples.items() if known == "tidegate_" + name and wanted <= set(its)]
    assert len(found) == 1, f"{len(found)} samples of {name} with {labels}"
    return found[0]
