"""Metrics of what lies between two chains, and of supervision: read from the committed state and from the relay."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from contracts.bridge.records import ROLES, ClientList, LaneView, NoQuery, RoleQuery
from contracts.supervision.answers import Counters, Nothing, PageQuery, RequestsPage
from ledger.encoding import Record, encode
from node.clock import wall_ms
from node.observability import table as m
from node.observability.sink import Sink
from node.observability.sources import ChainSource

R = TypeVar("R", bound=Record)
STATUSES = ("waiting", "pending", "authorised", "granted", "refused", "expired", "late")
WAITS_FOR = {"waiting": "authority", "pending": "officers"}


def collect_bridge(sink: Sink, source: ChainSource) -> None:
    """Light clients and lanes of this chain's bridge, where it has one."""
    name, bridge = source.name, source.core.chain.rules.address_of("bridge")
    for method, histogram in source.proofs.items():
        sink.put_histogram(m.PROOF_SECONDS, histogram, name, method)
    if not bridge:
        return
    now = wall_ms()
    for client in _ask(source, bridge, "clients", NoQuery(), ClientList).clients:
        role = client.role
        assert role in ROLES
        lane = _ask(source, bridge, "lane", RoleQuery(role), LaneView)
        unanswered = lane.sent - lane.answered
        known_ms = lane.known_ms or client.state.latest.time_ms
        sink.put(m.CLIENT_HEIGHT, client.state.latest.height, name, role)
        sink.put(m.CLIENT_AGE, (now - known_ms) / 1000, name, role)
        sink.put(m.CLIENT_MAX_AGE, client.max_staleness_ms / 1000, name, role)
        sink.put(m.CLIENT_FROZEN, client.state.frozen, name, role)
        sink.put(m.PACKETS_SENT, lane.sent, name, role)
        sink.put(m.PACKETS_ANSWERED, lane.answered, name, role)
        sink.put(m.PACKETS_RECEIVED, lane.delivered, name, role)
        sink.put(m.UNANSWERED, unanswered, name, role)
        sink.put(m.OLDEST_UNANSWERED, (now - lane.oldest_ms) / 1000 if unanswered else 0, name, role)


def collect_relay(sink: Sink, direction: Mapping[str, Any]) -> None:
    """One direction of this daemon's relay, as ``node.status`` has it."""
    labels = (direction["from"], direction["to"])
    sink.put(m.RELAY_CONNECTED, direction["connected"], *labels)
    if direction["connected"]:
        sink.put(m.RELAY_LAG_BLOCKS, direction["lag_blocks"], *labels)
    sink.put(m.RELAY_LAG, direction["oldest_under_way_ms"] / 1000, *labels)
    for metric, key, unit in (
        (m.RELAY_UNDER_WAY, "under_way", 1),
        (m.RELAY_DELIVERIES, "deliveries", 1),
        (m.RELAY_PACKETS, "delivered_packets", 1),
        (m.RELAY_ANSWERS, "delivered_answers", 1),
        (m.RELAY_HEADERS, "followed_headers", 1),
        (m.RELAY_FAILURES, "failures", 1),
        (m.RELAY_TAKEN_OVER, "taken_over", 1),
        (m.RELAY_BUSY, "busy_ms", 1000),
    ):
        sink.put(metric, direction[key] / unit, *labels)


def collect_supervision(sink: Sink, source: ChainSource) -> None:
    """Requests, decisions, rules; of a supervision chain."""
    name, address = source.name, source.core.chain.rules.address_of("supervision")
    if not address:
        return
    totals = _ask(source, address, "counters", Nothing(), Counters)
    for status in STATUSES:
        sink.put(m.REQUESTS, getattr(totals, status), name, status)
    now = wall_ms()
    for status, waits_for in WAITS_FOR.items():
        page = _ask(source, address, status, PageQuery(0, 1), RequestsPage)
        sink.put(m.PENDING, getattr(totals, status), name, waits_for)
        oldest = (now - page.requests[0].received_ms) / 1000 if page.requests else 0
        sink.put(m.OLDEST_PENDING, oldest, name, waits_for)
    sink.put(m.DISCLOSURES, totals.disclosures, name)
    for (rule, outcome), count in source.watch.rule_hits.items():
        sink.put(m.RULE_HITS, count, name, rule, outcome)
    for status, count in source.watch.decisions.items():
        sink.put(m.DECISIONS, count, name, status)


def _ask(source: ChainSource, contract: str, name: str, arguments: Record, kind: type[R]) -> R:
    answer = source.core.gateway.run_view(contract, name, encode(arguments))
    assert isinstance(answer, kind)
    return answer
