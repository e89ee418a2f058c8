"""Spans are sent in batches; whatever the collector does, the node is not hurt and nothing is lost uncounted."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence

import pytest

from node.observability.span_queue import DROPPED, EXPORTED, FAILED, Span, SpanQueue

SPAN = Span("x", 1, 2, 0, 3, 4)
Make = Callable[..., SpanQueue]


@pytest.fixture
def make() -> Iterator[Make]:
    made: list[SpanQueue] = []

    def queue(*arguments: object, **options: object) -> SpanQueue:
        made.append(SpanQueue(*arguments, pause_s=0.01, **options))  # type: ignore[arg-type]
        return made[-1]

    yield queue
    for each in made:
        each.stop()


def counted(queue: SpanQueue) -> int:
    return sum(queue.counts.values())


def wait(what: Callable[[], bool]) -> None:
    gate = threading.Event()
    for _ in range(6_000):
        if what():
            return
        gate.wait(0.01)
    raise AssertionError("it did not come to that")


def test_spans_arrive_once_and_in_order_when_the_collector_works(make: Make) -> None:
    arrived: list[Span] = []
    queue = make(lambda spans: bool(arrived.extend(spans)) or True)
    spans = [Span("x", 1, number, 0, 3, 4) for number in range(1, 2_000)]
    for span in spans:
        queue.put(span)
    queue.start()
    wait(lambda: len(arrived) == len(spans))
    queue.stop()
    assert arrived == spans
    assert queue.counts == {EXPORTED: len(spans), DROPPED: 0, FAILED: 0}


def test_spans_are_dropped_and_counted_when_the_collector_hangs(make: Make) -> None:
    release, entered = threading.Event(), threading.Event()

    def export(_spans: Sequence[Span]) -> bool:
        entered.set()
        release.wait(60)
        return True

    queue = make(export, release.set, max_queued=100)
    queue.start()
    queue.put(SPAN)
    assert entered.wait(60)
    for _ in range(1_000):
        queue.put(SPAN)
    assert queue.counts[DROPPED] == 900
    assert len(queue._spans) == 100
    release.set()
    wait(lambda: queue.counts[EXPORTED] == 101)


def test_spans_count_as_failed_and_later_ones_arrive_when_the_collector_comes_back(make: Make) -> None:
    works = threading.Event()

    def export(_spans: Sequence[Span]) -> bool:
        if not works.is_set():
            raise ConnectionError
        return True

    queue = make(export)
    queue.start()
    queue.put(SPAN)
    wait(lambda: queue.counts[FAILED] == 1)
    works.set()
    queue.put(SPAN)
    wait(lambda: queue.counts[EXPORTED] == 1)


def test_rest_is_sent_when_the_daemon_stops(make: Make) -> None:
    arrived: list[Span] = []
    queue = SpanQueue(lambda spans: bool(arrived.extend(spans)) or True, pause_s=3_600)
    queue.start()
    queue.put(SPAN)
    queue.stop()
    assert arrived == [SPAN]
    assert counted(queue) == 1


def test_stopping_ends_when_the_collector_hangs(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("node.observability.span_queue.FAREWELL_S", 0.05)
    release = threading.Event()
    queue = make(lambda _spans: release.wait(60), release.set)
    queue.start()
    queue.put(SPAN)
    queue.stop()
    assert release.is_set()  # the export that hung was told to end
