"""Spans to an OpenTelemetry collector (OTLP over HTTP). The only module that imports OpenTelemetry."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Final

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExportResult
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import SpanContext, SpanKind, TraceFlags
from opentelemetry.trace.status import Status, StatusCode

from node.observability.span_queue import Export, Span

PATH: Final = "/v1/traces"
TIMEOUT_S: Final = 5.0
_SCOPE: Final = InstrumentationScope("tidegate")
_FLAGS: Final = TraceFlags(TraceFlags.SAMPLED)


def otlp_export(endpoint: str, *, node: str, organisation: str, version: str) -> tuple[Export, Callable[[], None]]:
    """What sends spans to ``endpoint``, and what closes it.

    Args:
        endpoint: ``http://HOST:PORT``, of the collector.
        node: name of the node.
        organisation: that answers for it.
        version: of the program.
    """
    # It logs each attempt that fails; whether it works is counted and logged once by ``SpanQueue``.
    logging.getLogger("opentelemetry").setLevel(logging.CRITICAL)
    exporter = OTLPSpanExporter(endpoint=endpoint.rstrip("/") + PATH, timeout=TIMEOUT_S)
    resource = Resource(
        {
            "service.name": "tidegate",
            "service.version": version,
            "service.instance.id": node,
            "tidegate.organisation": organisation,
        }
    )

    def export(spans: Sequence[Span]) -> bool:
        return exporter.export([_readable(span, resource) for span in spans]) is SpanExportResult.SUCCESS

    return export, exporter.shutdown


def _readable(span: Span, resource: Resource) -> ReadableSpan:
    return ReadableSpan(
        name=span.name,
        context=_context(span.trace, span.span),
        parent=_context(span.trace, span.parent) if span.parent else None,
        resource=resource,
        attributes={f"tidegate.{name}": value for name, value in span.attributes.items()},
        kind=SpanKind.INTERNAL,
        status=Status(StatusCode.ERROR if span.failed else StatusCode.OK),
        start_time=span.begun_ns,
        end_time=span.ended_ns,
        instrumentation_scope=_SCOPE,
    )


def _context(trace: int, span: int) -> SpanContext:
    return SpanContext(trace, span, is_remote=False, trace_flags=_FLAGS)
