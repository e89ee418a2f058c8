"""The block watch: bounded whatever happens on the chain, and harmless to it."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import structlog

from contracts.messages import REFUSAL, StageRefusal
from contracts.supervision.calls import DECIDED_EVENT, HELD_EVENT, Decided
from ledger.block import Event, Receipt
from ledger.encoding import encode
from ledger.packet import PACKET_EVENT, Packet
from node.observability import chain_watch, harmless
from node.observability.chain_watch import ChainWatch
from tests.node.cluster import Cluster, running
from tests.node.observability.watched import metrics_of, read, source_of, sources_of, value

FLOW = b"f" * 32


@pytest.fixture
async def watch() -> Any:
    async with running(Cluster(1)) as cluster:
        made = ChainWatch(cluster.core(0).chain, lambda: False)
        made._supervision, made._bridge, made._marker = "supervision", "bridge", b"supervision"
        yield made


def decided(status: str, rule: str, attempt: int = 1) -> bytes:
    return encode(Decided(FLOW, "file", attempt, status, "why", rule, 1, b"t" * 32, 0))


def refusal(rule: str, attempt: int = 1, sender: str = "supervision") -> bytes:
    payload = encode(StageRefusal(FLOW, "file", attempt, "why", rule, 1))
    packet = Packet(b"s" * 32, b"d" * 32, 1, sender, "flow", REFUSAL, payload, (), 0, ())
    return encode(packet)


def receipt(*events: tuple[str, str, bytes]) -> Receipt:
    return Receipt(b"x" * 32, "ok", tuple(Event(*event) for event in events), ())


def test_refusal_counts_once_when_a_decision_and_its_packet_say_it(watch: ChainWatch) -> None:
    told = ("supervision", DECIDED_EVENT, decided("refused", "ban"))
    watch._note_decisions(receipt(told, ("bridge", PACKET_EVENT, refusal("ban"))))
    assert watch.rule_hits == {("ban", "refused"): 1}
    watch._note_decisions(receipt(("bridge", PACKET_EVENT, refusal("ban", attempt=2))))
    assert watch.rule_hits == {("ban", "refused"): 2}
    assert watch.decisions == {"refused": 1}


def test_held_request_is_a_hit_when_a_rule_leaves_it_to_officers(watch: ChainWatch) -> None:
    watch._note_decisions(receipt(("supervision", HELD_EVENT, decided("pending", "rare"))))
    assert (watch.rule_hits, watch.decisions) == ({("rare", "held"): 1}, {})


def test_nothing_counts_when_another_contract_pretends(watch: ChainWatch) -> None:
    watch._note_decisions(
        receipt(
            ("flow", DECIDED_EVENT, decided("refused", "ban")),
            ("flow", PACKET_EVENT, refusal("ban")),
            ("bridge", PACKET_EVENT, refusal("ban", sender="flow")),
            ("bridge", PACKET_EVENT, b"\xff no packet"),
        )
    )
    assert (watch.rule_hits, watch.decisions) == ({}, {})


def test_rules_are_bounded_when_there_are_more_than_anybody_reads(watch: ChainWatch) -> None:
    for number in range(chain_watch.MAX_RULES + 50):
        watch._hit(f"rule{number}", "refused")
    assert len(watch.rule_hits) == chain_watch.MAX_RULES + 1
    assert watch.rule_hits[chain_watch.OTHER, "refused"] == 50


async def test_chain_goes_on_when_the_watch_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(harmless, "_said", set())
    monkeypatch.setattr(ChainWatch, "_note_seals", lambda *_: 1 // 0)
    cluster = Cluster(1, empty_block_ms=100)
    with structlog.testing.capture_logs() as lines:
        async with running(cluster):
            source_of(cluster.core(0))
            await cluster.wait_height(cluster.core(0).chain.tip.height + 3)
    failed = [line for line in lines if line["event"] == "watcher_failed"]
    assert [line["watcher"] for line in failed] == ["ChainWatch.on_block"]


async def test_label_stays_one_value_when_a_name_tries_to_break_out() -> None:
    evil = 'a"} 1\ntidegate_ready 0\n# \\ 名'
    async with running(Cluster(1)) as cluster:
        source = source_of(cluster.core(0))
        source.watch._hit(evil, "refused")
        source.rpc.observe(evil, evil, 0.1)
        sources = sources_of(source)
        samples = read(metrics_of(sources))
        assert value(samples, "rpc_requests_total", method=evil, code=evil) == 1
        assert value(samples, "ready") in (0, 1)  # one sample, ours


async def test_codes_are_bounded_when_contracts_refuse_with_ever_new_ones() -> None:
    from node import mempool

    async with running(Cluster(1)) as cluster:
        pool = cluster.core(0).mempool
        for number in range(1_000):
            mempool._count(pool.refused, f"code{number}")
        assert len(pool.refused) == mempool.MAX_COUNTED_CODES + 1
        assert sum(pool.refused.values()) == 1_000


def test_signers_are_bounded_when_validators_come_and_go(watch: ChainWatch) -> None:
    for number in range(chain_watch.MAX_SIGNERS + 10):
        key = number.to_bytes(33, "big")
        certificate = SimpleNamespace(seals=((key, b""),))
        seats = SimpleNamespace(validators=SimpleNamespace(keys=(key, b"m" + key)))
        watch._note_seals(seats, SimpleNamespace(certificate=certificate, height=number))  # type: ignore[arg-type]
    assert len(watch.last_signed) == len(watch.missed) == chain_watch.MAX_SIGNERS
