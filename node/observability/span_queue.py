"""Spans on their way out: a bounded queue, and a thread that gives batches to an exporter. Never waits or raises."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import structlog

log = structlog.get_logger(__name__)

MAX_QUEUED: Final = 4_096
"""Spans that wait; beyond it new ones are dropped and counted."""
BATCH: Final = 512
PAUSE_S: Final = 1.0
"""How long a batch gathers."""
FAREWELL_S: Final = 1.5
"""How long what is left may take when the daemon stops."""
EXPORTED: Final = "exported"
DROPPED: Final = "dropped"
FAILED: Final = "failed"


@dataclass(frozen=True, slots=True)
class Span:
    """One finished span; times in Unix nanoseconds.

    Attributes:
        name: what it is of.
        trace: from ``span_ids.trace_of``.
        span: its id.
        parent: id of the span that it hangs on; 0: none.
        begun_ns: when it began.
        ended_ns: when it ended.
        attributes: facts.
        failed: whether it ended badly.
    """

    name: str
    trace: int
    span: int
    parent: int
    begun_ns: int
    ended_ns: int
    attributes: Mapping[str, str | int | bool] = field(default_factory=dict)
    failed: bool = False


Export = Callable[[Sequence[Span]], bool]
"""Sends spans out and says whether they arrived; may block, may raise."""


class SpanQueue:
    """See the module.

    Args:
        export: called by the thread.
        close: makes an export that is under way end soon.
        max_queued: bound of what waits.
        pause_s: how long a batch gathers.

    Attributes:
        counts: spans by what became of them.
    """

    def __init__(
        self,
        export: Export,
        close: Callable[[], None] = lambda: None,
        *,
        max_queued: int = MAX_QUEUED,
        pause_s: float = PAUSE_S,
    ) -> None:
        self._export = export
        self._close = close
        self._max_queued = max_queued
        self._pause_s = pause_s
        self._spans: deque[Span] = deque()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="telemetry", daemon=True)
        self._failing = False
        self.counts = {EXPORTED: 0, DROPPED: 0, FAILED: 0}

    def start(self) -> None:
        """Starts the thread."""
        self._thread.start()

    def put(self, span: Span) -> None:
        """Hands a span in."""
        if len(self._spans) >= self._max_queued:
            self.counts[DROPPED] += 1
        else:
            self._spans.append(span)

    def stop(self) -> None:
        """Sends what is left, for at most a few seconds, and ends the thread. Blocks."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join(FAREWELL_S)
        self._close()
        self.counts[DROPPED] += len(self._spans)
        self._spans.clear()

    def _run(self) -> None:
        while not self._stopping.wait(self._pause_s):
            self._send()
        self._send()

    def _send(self) -> None:
        while self._spans:
            batch = [self._spans.popleft() for _ in range(min(BATCH, len(self._spans)))]
            try:
                arrived = self._export(batch)
            except Exception:  # noqa: BLE001 - the edge to the exporter: whatever it raises is its own business
                arrived = False
            self.counts[EXPORTED if arrived else FAILED] += len(batch)
            if arrived == self._failing:
                self._failing = not arrived
                log.warning("telemetry_export_failed" if self._failing else "telemetry_export_works")
            if not arrived:
                return
