"""What a chain's metrics say is what happened on it."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from ledger.errors import InvalidTransaction, Overloaded
from ledger.keys import key_text
from node.clock import monotonic_ms
from node.mempool import MempoolLimits
from node.observability import collect_chain
from node.observability.table import METRICS
from tests.node.cluster import Cluster, running
from tests.node.observability.watched import metrics_of, read, source_of, sources_of, value


async def test_blocks_and_steps_are_counted_when_the_chain_goes_on() -> None:
    cluster = Cluster(2, empty_block_ms=200)
    async with running(cluster):
        core = cluster.core(0)
        metrics = metrics_of(sources_of(source_of(core)))
        await core.gateway.submit_and_wait(cluster.transfer(0, 1, 5))
        await cluster.wait_height(core.chain.tip.height + 4)
        samples = read(metrics)
        height = value(samples, "consensus_height", chain="test")
        assert height >= 4
        blocks = value(samples, "consensus_blocks_total")
        assert 1 <= blocks <= height
        assert value(samples, "consensus_txs_total") == 1
        assert 1 <= value(samples, "consensus_block_interval_seconds_count") <= blocks
        for step in ("proposal", "prepare", "commit", "store"):
            # On a slow machine a round may end without a decision; the block that comes then is not executed again.
            assert 1 <= value(samples, "consensus_step_duration_seconds_count", step=step) <= height + 1, step
        assert value(samples, "consensus_validators") == 2
        assert value(samples, "consensus_quorum") == 2
        assert value(samples, "consensus_missing_validators") == 0
        assert value(samples, "consensus_is_validator") == 1
        assert value(samples, "store_fsync_seconds_count", file="blocks") >= blocks
        assert value(samples, "store_fsync_seconds_count", file="signer") >= blocks
        assert value(samples, "consensus_max_block_interval_seconds") == 0.2
        assert value(samples, "consensus_latest_block_time_seconds") == core.chain.tip.header.time_ms / 1000


async def test_rounds_and_missing_validators_show_when_one_is_down(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(collect_chain, "SILENT_MS", 1_500)
    cluster = Cluster(4, empty_block_ms=100, base_timeout_ms=250)
    async with running(cluster):
        core = cluster.core(0)
        source = source_of(core)
        metrics = metrics_of(sources_of(source))
        await cluster.wait_height(3)
        await cluster.stop(3)
        dead = cluster.members[3]
        before = core.chain.tip.height
        await cluster.wait_height(before + 6, (0, 1, 2), 60)
        await cluster.wait(lambda: bool(collect_chain.silent_validators(source)), 60)
        samples = read(metrics)
        labels = {"validator": key_text(dead.validator.public), "organisation": dead.name}
        assert value(samples, "consensus_missing_validators") == 1
        assert value(samples, "consensus_silent_validators") == 1
        assert value(samples, "consensus_validator_missed_blocks_total", **labels) >= 4
        assert value(samples, "consensus_validator_last_signed_height", **labels) <= before + 1
        assert sum(core.driver.times.rounds.values()) >= 1
        assert value(samples, "consensus_rounds_total", reason="timeout") == core.driver.times.rounds["timeout"]


async def test_refusals_are_counted_by_code_when_transactions_are_not_admitted() -> None:
    async with running(Cluster(1)) as cluster:
        core = cluster.core(0)
        metrics = metrics_of(sources_of(source_of(core)))
        source = cluster.genesis_output(0)
        await core.gateway.submit(cluster.transfer(0, 0, 5, source))
        for _ in range(3):
            with pytest.raises(InvalidTransaction):
                await core.gateway.submit(cluster.transfer(0, 0, 6, source))
        refused = dict(core.mempool.refused)
        assert sum(refused.values()) == 3
        samples = read(metrics)
        for code, count in refused.items():
            assert value(samples, "mempool_failed_txs_total", code=code) == count


async def test_waiting_transactions_show_by_organisation_when_no_block_is_made() -> None:
    cluster = Cluster(2, limits=MempoolLimits(max_transactions=3))
    async with running(cluster, 0):  # no quorum: everything waits
        core = cluster.core(0)
        metrics = metrics_of(sources_of(source_of(core)))
        places = ((0, 0), (0, 1), (1, 0))
        sent = [cluster.transfer(member, 0, 5, cluster.genesis_output(member, n)) for member, n in places]
        for transaction in sent:
            await core.gateway.submit(transaction)
        with pytest.raises(Overloaded):
            await core.gateway.submit(cluster.transfer(1, 0, 5, cluster.genesis_output(1, 5)))
        samples = read(metrics)
        assert value(samples, "mempool_size") == 3
        assert value(samples, "mempool_max_size") == 3
        assert value(samples, "mempool_size_bytes") == sum(transaction.size_bytes for transaction in sent)
        assert value(samples, "mempool_organisations") == 2
        assert value(samples, "mempool_organisation_bytes", organisation="Member 1") == sent[2].size_bytes
        assert value(samples, "mempool_failed_txs_total", code="overloaded") == 1


async def test_traffic_is_told_apart_by_channel_when_nodes_talk() -> None:
    async with running(Cluster(2, empty_block_ms=100)) as cluster:
        core = cluster.core(0)
        metrics = metrics_of(sources_of(source_of(core)))
        await cluster.wait_height(3)
        samples = read(metrics)
        assert value(samples, "p2p_peers") == 1
        for channel in ("vote", "bulk"):
            assert value(samples, "p2p_receive_bytes_total", channel=channel) > 0
            assert value(samples, "p2p_send_bytes_total", channel=channel) > 0
        assert value(samples, "p2p_gossip_items_total", outcome="delivered") > 0


async def test_every_metric_is_exported_when_nothing_has_happened_yet() -> None:
    async with running(Cluster(1)) as cluster:
        metrics = metrics_of(sources_of(source_of(cluster.core(0))))
        text = metrics.exposition("")[0].decode()
        for metric in METRICS.values():
            assert f"# TYPE {metric.name} {metric.kind}" in text


async def test_two_chains_are_told_apart_by_label_when_one_daemon_hosts_both() -> None:
    async with running(Cluster(1, empty_block_ms=100)) as first, running(Cluster(1, empty_block_ms=100_000)) as second:
        await first.wait_height(2)
        metrics = metrics_of(sources_of(source_of(first.core(0), "business"), source_of(second.core(0), "supervision")))
        samples = read(metrics)
        assert value(samples, "consensus_height", chain="business") >= 2
        assert value(samples, "consensus_height", chain="supervision") == second.core(0).chain.tip.height


async def test_the_rest_is_exported_when_one_part_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    async with running(Cluster(1)) as cluster:
        core = cluster.core(0)
        metrics = metrics_of(sources_of(source_of(core)))
        monkeypatch.setattr(core.transport, "stats", lambda: 1 // 0)
        read(metrics)
        samples = read(metrics)
        assert value(samples, "collect_errors_total", part="overlay") == 2
        assert value(samples, "consensus_height") >= 0
        assert not any(name == "tidegate_p2p_peers" for name, _ in samples)


async def test_days_of_certificates_show_when_the_node_has_some() -> None:
    async with running(Cluster(2)) as cluster:
        samples = read(metrics_of(sources_of(source_of(cluster.core(0)))))
        own = [labels for name, labels in samples if name == "tidegate_certificate_expiry_time_seconds"]
        assert own
        assert all(
            value(samples, "certificate_expiry_time_seconds", **dict(labels)) > time.time() + 30 * 86_400
            for labels in own
        )
        assert value(samples, "certificates_expiring", own="true") == 0
        assert value(samples, "certificates_expiring", own="false") == 0
        assert value(samples, "store_retained_height") == 0


async def test_validators_are_not_silent_when_the_chain_has_nothing_to_say(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(collect_chain, "SILENT_MS", 0)
    cluster = Cluster(2, empty_block_ms=60_000)
    async with running(cluster):
        source = source_of(cluster.core(0))
        other = cluster.members[1].validator.public
        source.core.driver.votes.heard_ms[other] = monotonic_ms() - 120_000
        await cluster.wait(lambda: source.core.driver.height > 0)
        assert collect_chain.silent_validators(source) == []
        source.core.driver.votes.heard_ms[other] -= 120_000
        source.core.synchroniser.on_disconnected(cluster.members[1].transport.peer_id)
        assert collect_chain.silent_validators(source) == [other]


async def test_size_of_the_store_is_read_once_a_minute_when_many_ask(tmp_path: Path) -> None:
    async with running(Cluster(1)) as cluster:
        source = source_of(cluster.core(0))
        source.store_dir = tmp_path
        (tmp_path / "a.ldb").write_bytes(b"x" * 1_000)
        metrics = metrics_of(sources_of(source))
        assert value(read(metrics), "store_size_bytes") == 1_000
        (tmp_path / "b.ldb").write_bytes(b"x" * 500)
        assert value(read(metrics), "store_size_bytes") == 1_000
        metrics._sizes.clear()
        (tmp_path / "c.ldb").symlink_to(tmp_path / "gone")  # removed between listing and looking
        assert value(read(metrics), "store_size_bytes") == 1_500
        assert not any(name == "tidegate_collect_errors_total" for name, _ in read(metrics))
