"""Fusion daemons that are killed, chains that stand still: packets wait, nothing is lost, nothing counts twice."""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path
from statistics import median
from time import monotonic

import pytest
from msgspec.structs import replace

from contracts.flow.answers import FlowQuery, FlowView
from contracts.flow.calls import RequestOrder
from contracts.flow.codes import SUPERVISION_STALE
from node.calling import Caller, CallRefused
from tests.functional.load import until
from tests.functional.supervised import VISIT, Supervised, consortium, visit_kind
from tests.node import traffic as notes

pytestmark = [pytest.mark.functional, pytest.mark.timeout(300)]


async def working(net: Supervised) -> int:
    """Which fusion daemon has delivered more of late."""
    before = await asyncio.gather(*(net.relay(net.fusion(index)) for index in (0, 1)))
    await asyncio.sleep(1.0)
    after = await asyncio.gather(*(net.relay(net.fusion(index)) for index in (0, 1)))
    counts = [
        sum(b["deliveries"] - a["deliveries"] for a, b in zip(x["directions"], y["directions"], strict=True))
        for x, y in zip(before, after, strict=True)
    ]
    return counts.index(max(counts))


async def taken_over(net: Supervised, name: str) -> int:
    report = await net.relay(name)
    assert report is not None
    return sum(direction["taken_over"] for direction in report["directions"])


async def delivered_once(net: Supervised) -> None:
    """Everything sent is answered, each exactly once; also the flow that a worker was filing when it was ended."""

    async def answered() -> bool:
        lane = await net.lane(net.business, "supervision")
        return lane.answered == lane.sent

    await until(answered, "every packet answered")
    sent = (await net.lane(net.business, "supervision")).sent
    assert (await net.lane(net.supervision, "business")).delivered == sent


async def test_other_daemon_carries_on_when_the_relaying_one_is_killed_under_traffic(tmp_path: Path) -> None:
    async with consortium(tmp_path) as net:
        async with net.traffic(workers=3) as load:
            await load.more(20)
            for _ in range(2):
                victim = await working(net)
                other = net.fusion(1 - victim)
                before = await taken_over(net, other)
                await net.net.business.kill(net.fusion(victim))
                begun = monotonic()
                await load.more(1)
                gap = monotonic() - begun
                await load.more(20)
                print(f"killed {net.fusion(victim)}: {gap:.2f} s to the next authorised flow")
                assert gap < 8
                assert await taken_over(net, other) >= before
                await net.net.business.start_one(net.fusion(victim))
                await load.more(20)
        await load.finished()
        slowest = max(load.authorised)
        print(f"{len(load.authorised)} flows, p50 {median(load.authorised):.3f} s, slowest {slowest:.2f} s")


async def test_packets_wait_and_all_are_answered_when_both_daemons_are_dead_for_a_while(tmp_path: Path) -> None:
    async with consortium(tmp_path) as net:
        async with net.traffic(workers=2) as load:
            await load.more(6)
            await asyncio.gather(*(net.net.business.kill(net.fusion(index)) for index in (0, 1)))
            waiting = [await notes.file_note(net.business, net.party().signing) for _ in range(40)]
            lane = await net.lane(net.business, "supervision")
            assert lane.sent - lane.answered >= 40
            await net.net.business.start([net.fusion(0), net.fusion(1)])
            await net.net.business.wait_ready([net.fusion(0), net.fusion(1)])
            await load.more(10)
        load.filed.update(dict.fromkeys(waiting, 0.0))
        await load.finished()
        await delivered_once(net)


async def test_flows_wait_when_the_supervision_chain_has_no_quorum_and_go_on_when_it_has_one_again(
    tmp_path: Path,
) -> None:
    kind = notes.note_kind(max_staleness_ms=6_000)
    async with consortium(tmp_path, kind=kind, supervision_validators=2, fusion_nodes=1) as net:
        hospital = net.party().signing
        done = await notes.file_note(net.business, hospital)
        await net.calm()
        second = net.consortium.supervision.nodes[1].name
        net.net.supervision.signal(second, signal.SIGSTOP)
        waiting = await notes.file_note(net.business, hospital)

        async def stale() -> bool:
            try:
                await notes.deliver_note(net.business, hospital, done)
            except CallRefused as error:
                return error.code == SUPERVISION_STALE
            raise AssertionError("a stage passed")

        await asyncio.sleep(8)
        assert await stale()
        assert (await notes.flow_view(net.business, waiting)).status == "filing"
        net.net.supervision.signal(second, signal.SIGCONT)

        async def authorised() -> bool:
            return (await notes.flow_view(net.business, waiting)).status == "open"

        await until(authorised, "the waiting flow is authorised", 60)
        await net.calm()

        async def fresh() -> bool:
            try:
                await notes.deliver_note(net.business, hospital, done)
            except CallRefused:
                return False
            return True

        await until(fresh, "stages pass again", 30)
        report = await net.relay(net.fusion(0))
        assert report is not None
        assert all(direction["unanswered"] == 0 for direction in report["directions"])


async def test_status_shows_what_waits_when_nobody_relays(tmp_path: Path) -> None:
    async with consortium(tmp_path, fusion_nodes=1) as net:
        await net.calm()
        net.net.supervision.signal(net.consortium.supervision.nodes[0].name, signal.SIGSTOP)
        try:
            await notes.file_note(net.business, net.party().signing)
            await asyncio.sleep(1.5)
            report = await net.relay(net.fusion(0))
        finally:
            net.net.supervision.signal(net.consortium.supervision.nodes[0].name, signal.SIGCONT)
        assert report is not None
        out, back = report["directions"]
        assert (out["from"], out["to"], back["from"]) == ("business", "supervision", "supervision")
        assert out["unanswered"] == 1
        assert out["oldest_ms"] >= 1_000
        assert out["lag_blocks"] >= 1
        assert back["unanswered"] == 0
        await net.calm()


async def test_step_takes_hardly_longer_than_the_finalities_on_its_way(tmp_path: Path) -> None:
    """Request submitted → grant usable, over the sum of the three transactions' own latencies."""
    async with consortium(tmp_path, validators=4, kind=visit_kind(), fusion_nodes=1) as net:
        patient, pharmacy = net.party().signing, bytes(net.party("Pharmacy 1").key)
        caller = Caller(net.business, patient)
        info = await net.business.info()
        steps, own = [], []
        for number in range(15):
            document = notes.note(subject_id="A1", n=number)
            keys = await notes.authority_keys(net.business)
            flow, arguments = notes.filing(info.chain_id, patient, document, keys, kind=VISIT)
            await caller.call("flow", "file", replace(arguments, patient=bytes(patient.public)))

            async def at(status: str, stage: str, flow: bytes = flow) -> FlowView:
                while True:
                    view = await net.business.view("flow", "flow", FlowQuery(flow), FlowView)
                    if any((each.stage, each.status) == (stage, status) for each in view.stages):
                        return view
                    await asyncio.sleep(0.002)

            view = await at("done", "file")
            await net.calm()
            await asyncio.sleep(0.2)
            begun = monotonic()
            await caller.call("flow", "request_order", RequestOrder(view.authorisation, pharmacy, number.to_bytes(32)))
            own.append(monotonic() - begun)
            await at("granted", "order")
            steps.append(monotonic() - begun)
        report = await net.relay(net.fusion(0))
        assert report is not None
        to_supervision, to_business = (direction["finality_ms"] / 1000 for direction in report["directions"])
        total = median(own) + to_supervision + to_business
        print(
            f"step {median(steps) * 1000:.0f} ms over {median(own) * 1000:.0f} + {to_supervision * 1000:.0f} + "
            f"{to_business * 1000:.0f} ms: {median(steps) / total:.2f}"
        )
        packets = sum(direction["delivered_packets"] for direction in report["directions"])
        busy = sum(direction["busy_ms"] for direction in report["directions"])
        print(f"relay {busy / packets:.3f} ms a packet")
        assert median(steps) / total < 2.5
