"""``[telemetry]``: spans of a daemon, to an OpenTelemetry collector. Loaded only where an endpoint is configured."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Protocol

import structlog

from ledger.errors import InvalidConfig
from node.config_sections import TelemetrySection
from node.core import NodeCore
from node.observability.span_queue import SpanQueue
from node.observability.tracer import ChainTracer, RelayTracer
from node.relay.direction import Direction
from node.status import program_version

log = structlog.get_logger(__name__)


class Relay(Protocol):
    """What is asked of ``node.relay.service.RelayService``."""

    directions: tuple[Direction, Direction]


class Telemetry:
    """See the module.

    Args:
        section: endpoint and ratio.
        chains: (name, node) of each hosted chain.
        relay: of a fusion daemon.
        node: name of the node.
        organisation: that answers for it.

    Raises:
        InvalidConfig: ``telemetry_missing``: the extra ``telemetry`` is not installed.
    """

    def __init__(
        self,
        section: TelemetrySection,
        chains: Sequence[tuple[str, NodeCore]],
        relay: Relay | None,
        *,
        node: str,
        organisation: str,
    ) -> None:
        try:
            from node.observability.span_export import otlp_export  # noqa: PLC0415 - an extra that may not be there
        except ImportError as error:
            raise InvalidConfig(
                "telemetry.otlp_endpoint is set, and the extra is not installed: pip install 'tidegate[telemetry]'",
                code="telemetry_missing",
                key="telemetry.otlp_endpoint",
            ) from error
        export, close = otlp_export(
            section.otlp_endpoint, node=node, organisation=organisation, version=program_version()
        )
        self._queue = SpanQueue(export, close)
        put, ratio = self._queue.put, section.sample_ratio
        self._tracers = [ChainTracer(core, name, node, ratio, put) for name, core in chains]
        if relay is not None:
            self._relays = [RelayTracer(direction, node, ratio, put) for direction in relay.directions]
        log.info("telemetry_on", sample_ratio=ratio)

    def counts(self) -> Mapping[str, int]:
        """Spans by what became of them."""
        return self._queue.counts

    def start(self) -> None:
        """Starts to send."""
        self._queue.start()

    async def stop(self) -> None:
        """Sends what is left, for at most a few seconds."""
        await asyncio.to_thread(self._queue.stop)
