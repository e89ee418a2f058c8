"""Where collectors put what they read: one family a metric, samples of all hosted chains in it.

The only modules that import ``prometheus_client`` are this one and ``registry``; the daemon loads them when metrics are
served.
"""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily

from node.observability.histogram import Histogram
from node.observability.table import COUNTER, GAUGE, METRICS, Metric

Family = CounterMetricFamily | GaugeMetricFamily | HistogramMetricFamily


class Sink:
    """One collection."""

    __slots__ = ("_families",)

    def __init__(self) -> None:
        self._families: dict[str, Family] = {name: _family(metric) for name, metric in METRICS.items()}

    def put(self, metric: Metric, value: float, *labels: str) -> None:
        """Adds a sample of a counter or gauge."""
        family = self._families[metric.name]
        assert not isinstance(family, HistogramMetricFamily)
        family.add_metric(labels, value)

    def put_histogram(self, metric: Metric, histogram: Histogram, *labels: str) -> None:
        """Adds a histogram."""
        family = self._families[metric.name]
        assert isinstance(family, HistogramMetricFamily)
        family.add_metric(labels, histogram.cumulative(), histogram.sum)

    def families(self) -> Iterator[Family]:
        """All of them, those without samples too: what is exported does not depend on what has happened."""
        yield from self._families.values()


def _family(metric: Metric) -> Family:
    if metric.kind == COUNTER:
        return CounterMetricFamily(metric.name.removesuffix("_total"), metric.words, labels=metric.labels)
    if metric.kind == GAUGE:
        return GaugeMetricFamily(metric.name, metric.words, labels=metric.labels)
    return HistogramMetricFamily(metric.name, metric.words, labels=metric.labels)
