"""What is between two chains shows in the metrics of either: lag, unanswered packets, decisions, rules."""

from __future__ import annotations

import asyncio

from contracts.rulebook.records import ExpressionRule
from node.chain import Chain
from node.observability.sources import ChainSource
from node.regulator import rulebook
from node.regulator.rulebook import RulePlan
from tests.node import traffic
from tests.node.observability.watched import Samples, metrics_of, read, source_of, sources_of, value
from tests.node.two_chains import World, two_chains


def watched(world: World) -> tuple[ChainSource, ChainSource]:
    return source_of(world.business.core(0), "business"), source_of(world.supervision.core(0), "supervision")


def scrape(world: World, *chains: ChainSource) -> Samples:
    relay = world.relays.get(0)
    directions = [] if relay is None else relay.document()["directions"]
    return read(metrics_of(sources_of(*chains, relay=lambda: directions)))


async def test_lanes_clients_and_proofs_show_when_flows_are_carried() -> None:
    async with two_chains() as world:
        chains = watched(world)
        await traffic.define(world)
        await asyncio.gather(*[
            traffic.file_note(world.business.gateway, world.party("City Hospital").signing) for _ in range(3)
        ])  # fmt: skip
        await world.calm()
        await world.until(lambda: not any(way["under_way"] for way in world.relays[0].document()["directions"]), 60)
        samples = scrape(world, *chains)
        for chain, role in (("business", "supervision"), ("supervision", "business")):
            labels = {"chain": chain, "role": role}
            sent = value(samples, "bridge_packets_sent_total", **labels)
            assert sent >= 3
            assert value(samples, "bridge_packets_answered_total", **labels) == sent
            assert value(samples, "bridge_unanswered_packets", **labels) == 0
            assert value(samples, "bridge_oldest_unanswered_seconds", **labels) == 0
            assert value(samples, "bridge_client_frozen", **labels) == 0
            assert value(samples, "bridge_client_height", **labels) > 0
            assert -60 < value(samples, "bridge_client_age_seconds", **labels) < 600
            assert value(samples, "bridge_client_max_staleness_seconds", **labels) > 0
            assert value(samples, "bridge_proof_verification_seconds_count", chain=chain, method="deliver") > 0
            direction = {"source": chain, "destination": role}
            assert value(samples, "relay_connected", **direction) == 1
            assert value(samples, "relay_lag_seconds", **direction) == 0
            assert value(samples, "relay_lag_blocks", **direction) >= 0
            assert value(samples, "relay_packets_total", **direction) >= 3
            assert value(samples, "relay_failures_total", **direction) == 0
        assert value(samples, "supervision_requests", status="authorised") == 3
        assert value(samples, "supervision_decisions_total", status="authorised") == 3


async def test_unanswered_packets_and_relay_lag_grow_when_nobody_relays() -> None:
    async with two_chains() as world:
        chains = watched(world)
        await traffic.define(world)
        await world.kill_relay(0)
        for _ in range(2):
            await traffic.file_note(world.business.gateway, world.party("City Hospital").signing)
        samples = scrape(world, *chains)
        labels = {"chain": "business", "role": "supervision"}
        assert value(samples, "bridge_unanswered_packets", **labels) == 2
        assert value(samples, "bridge_oldest_unanswered_seconds", **labels) > 0
        await world.supervision.stop(0)  # a relay that runs and cannot deliver: no block is made there
        relay = world.start_relay(0)
        await world.until(lambda: relay.document()["directions"][0]["under_way"] > 0, 60)
        first = relay.document()["directions"][0]["oldest_under_way_ms"]
        await world.until(lambda: relay.document()["directions"][0]["oldest_under_way_ms"] > max(first, 1), 60)
        assert value(scrape(world, *chains[:1]), "relay_lag_seconds", source="business") > 0
        await world.supervision.start(0)
        await world.until(lambda: relay.document()["directions"][0]["under_way"] == 0, 60)
        assert value(scrape(world, *chains[:1]), "relay_lag_seconds", source="business") == 0


async def test_rules_and_pending_decisions_show_when_a_rule_refuses_or_holds() -> None:
    async with two_chains() as world:
        chains = watched(world)
        await traffic.define(world)
        officers = [world.officer(index) for index in range(3)]
        expressions = (
            ExpressionRule("no_drug", "'860975' in drugs", "refuse", "drug_banned", ("file",)),
            ExpressionRule("ask_rare", "'1049502' in drugs", "hold", "drug_rare", ("file",)),
        )
        number, digest = await rulebook.propose(officers[0], RulePlan(expressions=expressions))
        assert (await rulebook.approve(officers, number, digest)).done
        await rulebook.activate(officers[1], number)
        key = world.party("City Hospital").signing
        for drug in ("860975", "860975", "1049502", "308136"):
            document = traffic.note(subject_id="A123456789", attributes={"drugs": [drug]})
            await traffic.file_note(world.business.gateway, key, document)
        await world.calm()
        samples = scrape(world, *chains)
        assert value(samples, "supervision_rule_hits_total", rule="no_drug", outcome="refused") == 2
        assert value(samples, "supervision_rule_hits_total", rule="ask_rare", outcome="held") == 1
        assert value(samples, "supervision_pending_decisions", waits_for="officers") == 1
        assert value(samples, "supervision_pending_decisions", waits_for="authority") == 0
        assert value(samples, "supervision_oldest_pending_seconds", waits_for="officers") > 0
        assert value(samples, "supervision_oldest_pending_seconds", waits_for="authority") == 0
        assert value(samples, "supervision_decisions_total", status="refused") == 2


async def test_nothing_of_two_chains_is_said_when_there_is_only_one() -> None:
    async with two_chains(introduce=False) as world:
        samples = scrape(world, watched(world)[0])
        names = {name for name, _ in samples}
        assert not any(name.startswith(("tidegate_bridge_client", "tidegate_supervision")) for name in names)


async def test_stopwatch_is_on_one_chain_only_when_another_has_the_same_contracts() -> None:
    async with two_chains(introduce=False) as world:
        timed, untimed = world.business.core(0), world.business.core(1)
        source_of(timed)

        def methods(chain: Chain) -> object:
            return chain.rules.contracts["bridge"].methods

        assert methods(timed.chain) is not methods(untimed.chain)
        assert methods(untimed.chain) is type(untimed.chain.rules.contracts["bridge"]).methods
