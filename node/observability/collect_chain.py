"""Metrics of one hosted chain, but for what lies between two chains: read from the node when somebody asks."""

from __future__ import annotations

from heapq import nlargest
from typing import Final

from ledger.keys import key_text
from ledger.types import PublicKey
from node.clock import monotonic_ms
from node.observability import table as m
from node.observability.sink import Sink
from node.observability.sources import ChainSource
from p2p.transport import Channel

MAX_ORGANISATIONS: Final = 16
SILENT_MS: Final = 30_000
SILENT_INTERVALS: Final = 3


def collect_consensus(sink: Sink, source: ChainSource) -> None:
    """Heights, rounds, steps, blocks."""
    name, core, watch = source.name, source.core, source.watch
    chain, driver, header = core.chain, core.driver, core.chain.tip.header
    sink.put(m.HEIGHT, chain.tip.height, name)
    sink.put(m.BLOCK_TIME, header.time_ms / 1000, name)
    sink.put_histogram(m.BLOCK_INTERVAL, watch.intervals, name)
    sink.put(m.MAX_INTERVAL, chain.parameters.empty_block_ms / 1000, name)
    sink.put(m.ROUND, driver.round, name)
    for reason, count in driver.times.rounds.items():
        sink.put(m.ROUNDS, count, name, reason)
    for step, histogram in driver.times.seconds.items():
        sink.put_histogram(m.STEP, histogram, name, step)
    sink.put(m.BLOCK_SIZE, chain.block_bytes, name)
    sink.put(m.BLOCK_TXS, header.transactions_count, name)
    sink.put(m.TXS, watch.transactions, name)
    sink.put(m.REFUSED_TXS, driver.refused_count, name)
    sink.put(m.BLOCKS, watch.blocks, name)
    sink.put(m.SYNCING, core.synchroniser.syncing, name)
    sink.put(m.TARGET, max(core.synchroniser.target_height, chain.tip.height), name)


def collect_validators(sink: Sink, source: ChainSource) -> None:
    """Who decides, who is missing, who did wrong."""
    name, core, watch = source.name, source.core, source.watch
    chain = core.chain
    validators = chain.validators
    sink.put(m.EPOCH, chain.epoch.number, name)
    sink.put(m.VALIDATORS, len(validators), name)
    sink.put(m.QUORUM, validators.quorum, name)
    sink.put(m.SEATED, core.key.public in validators, name)
    sink.put(m.OBSERVING, core.driver.observing and core.key.public in validators, name)
    sink.put(m.MISSING, len(watch.missing), name)
    sink.put(m.SILENT, len(silent_validators(source)), name)
    sink.put(m.LAPSED, len(core.membership.lapsed_validators()), name)
    accused = {item["validator"] for item in core.evidence.document()["latest"]}
    sink.put(m.BYZANTINE, len(accused), name)
    sink.put(m.EVIDENCE, core.driver.evidence_count, name)
    for key in validators.keys:
        labels = (name, key_text(key), core.membership.organisation_of(key) or "")
        sink.put(m.MISSED, watch.missed.get(key, 0), *labels)
        sink.put(m.LAST_SIGNED, watch.last_signed.get(key, 0), *labels)


def silent_validators(source: ChainSource) -> list[PublicKey]:
    """The other validators that were not heard for long, neither by their votes nor by their status.

    A chain that has nothing to do speaks once in its longest block interval.
    """
    core, now = source.core, monotonic_ms()
    silent_ms = max(SILENT_MS, SILENT_INTERVALS * core.chain.parameters.empty_block_ms)
    found: list[PublicKey] = []
    for key in core.chain.validators.keys:
        peer = core.membership.peer_of(key)
        said = None if peer is None else core.synchroniser.last_status(peer)
        times = (core.driver.votes.heard_ms.get(key), None if said is None else said[1])
        if key != core.key.public and all(time is None or now - time > silent_ms for time in times):
            found.append(key)
    return found


def collect_mempool(sink: Sink, source: ChainSource) -> None:
    """What waits for a block, and what did not get that far."""
    name, pool = source.name, source.core.mempool
    oldest = pool.oldest_ms
    sink.put(m.MEMPOOL_SIZE, len(pool), name)
    sink.put(m.MEMPOOL_BYTES, pool.size_bytes, name)
    sink.put(m.MEMPOOL_MAX, pool.limits.max_transactions, name)
    sink.put(m.MEMPOOL_MAX_BYTES, pool.limits.max_bytes, name)
    sink.put(m.MEMPOOL_OLDEST, 0 if oldest is None else (monotonic_ms() - oldest) / 1000, name)
    for code, count in pool.refused.items():
        sink.put(m.MEMPOOL_FAILED, count, name, code)
    for code, count in pool.left.items():
        sink.put(m.MEMPOOL_EVICTED, count, name, code)
    organisations = pool.organisation_bytes
    sink.put(m.MEMPOOL_ORGANISATIONS, len(organisations), name)
    for organisation in nlargest(MAX_ORGANISATIONS, organisations, key=lambda known: organisations[known]):
        sink.put(m.MEMPOOL_ORGANISATION, organisations[organisation], name, organisation)
    sink.put(m.DROPPED_BATCHES, source.core.intake.dropped_batches, name)


def collect_overlay(sink: Sink, source: ChainSource) -> None:
    """Peers and traffic."""
    name, stats, gossip = source.name, source.core.transport.stats(), source.core.gossip.stats
    sink.put(m.PEERS, stats.connected, name)
    for channel in Channel:
        label = channel.name.lower()
        sink.put(m.RECEIVED, stats.bytes_in.get(channel, 0), name, label)
        sink.put(m.SENT, stats.bytes_out.get(channel, 0), name, label)
    sink.put(m.RECEIVED, stats.request_bytes_in, name, "request")
    sink.put(m.SENT, stats.request_bytes_out, name, "request")
    sink.put(m.FRAMES_IN, stats.frames_in, name)
    sink.put(m.FRAMES_OUT, stats.frames_out, name)
    sink.put(m.QUEUED, sum(stats.queue_bytes.values()), name)
    sink.put(m.SLOW_PEERS, stats.slow_peer_drops, name)
    sink.put(m.REFUSED_CONNECTIONS, stats.refused_connections, name)
    sink.put(m.MISBEHAVED, stats.misbehaved_peers, name)
    sink.put(m.RECONNECTS, stats.reconnects, name)
    sink.put(m.DIAL_FAILURES, stats.dial_failures, name)
    sink.put(m.REBUILDS, stats.rebuilds, name)
    for outcome in ("delivered", "duplicates", "pushed", "fetched", "served", "rejected"):
        sink.put(m.GOSSIP, getattr(gossip, outcome), name, outcome)


def collect_storage(sink: Sink, source: ChainSource) -> None:
    """Synced writes, and what is kept."""
    name, core = source.name, source.core
    sink.put_histogram(m.FSYNC, core.chain.write_seconds, name, "blocks")
    sink.put_histogram(m.FSYNC, core.driver.sync_seconds, name, "signer")
    sink.put(m.RETAINED, core.chain.retained_height, name)


def collect_certificates(sink: Sink, source: ChainSource) -> None:
    """How long this node's certificates hold, and whose of the chain end soon."""
    name, watch = source.name, source.core.certificates
    for item in watch.own():
        sink.put(m.CERTIFICATE_EXPIRY, item.expires_ms / 1000, name, item.subject, key_text(item.key))
    own = [item.own for item in watch.expiring()]
    sink.put(m.CERTIFICATES, own.count(True), name, "true")
    sink.put(m.CERTIFICATES, own.count(False), name, "false")


def collect_rpc(sink: Sink, source: ChainSource) -> None:
    """Requests of clients."""
    name, rpc = source.name, source.rpc
    for (method, code), count in rpc.requests.items():
        sink.put(m.RPC_REQUESTS, count, name, method, code)
    for method, histogram in rpc.seconds.items():
        sink.put_histogram(m.RPC_SECONDS, histogram, name, method)
    for code, count in rpc.refused.items():
        sink.put(m.RPC_REFUSED, count, name, code)
    for kind, count in rpc.count_connections().items():
        sink.put(m.RPC_CONNECTIONS, count, name, kind)
    sink.put(m.SUBSCRIPTIONS, source.subscriptions(), name)
    sink.put(m.WAITERS, source.core.gateway.waiting, name)
