"""The plain histogram counts as Prometheus reads it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry
from prometheus_client import Histogram as Reference
from prometheus_client.exposition import generate_latest
from prometheus_client.parser import text_string_to_metric_families

from node.observability.histogram import DISK_S, REQUEST_S, STEP_S, WORK_S, Histogram


@given(st.lists(st.floats(min_value=0, max_value=100, allow_nan=False), max_size=50))
def test_histogram_counts_like_the_library_when_anything_is_observed(values: list[float]) -> None:
    registry = CollectorRegistry()
    reference = Reference("x", "x", buckets=STEP_S, registry=registry)
    ours = Histogram(STEP_S)
    for value in values:
        reference.observe(value)
        ours.observe(value)
    families = text_string_to_metric_families(generate_latest(registry).decode())
    buckets = {s.labels["le"]: s.value for f in families for s in f.samples if s.name == "x_bucket"}
    assert dict(ours.cumulative()) == buckets
    assert ours.count == len(values)
    assert ours.sum == pytest.approx(sum(values))


def test_observation_counts_up_to_its_bound_when_it_equals_one() -> None:
    histogram = Histogram((1.0, 2.0))
    for value in (1.0, 1.5, 2.5):
        histogram.observe(value)
    assert histogram.cumulative() == [("1.0", 1), ("2.0", 2), ("+Inf", 3)]


@pytest.mark.parametrize("bounds", [DISK_S, STEP_S, WORK_S, REQUEST_S])
def test_bounds_rise_when_a_histogram_is_made_of_them(bounds: tuple[float, ...]) -> None:
    assert list(bounds) == sorted(set(bounds))
