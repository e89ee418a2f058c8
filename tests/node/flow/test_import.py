"""Imports into two real chains: everything delivered, killed anywhere and resumed, refused, held, suspended."""

from __future__ import annotations

import asyncio
import dataclasses
from collections import Counter

import pytest

from contracts.decisions import ControlFlow
from contracts.flow.amounts import reimbursement
from contracts.flow.answers import FlowQuery, FlowsPage, FlowsQuery, FlowView
from contracts.messages import RESUME, STAGES, SUSPEND, Control
from ledger.errors import InvalidConfig, InvalidEnvelope, InvalidInput, RpcUnavailable
from ledger.keys import key_text
from node.flow.client import FlowClient
from node.flow.importer import driving
from node.flow.importer import report as r
from node.flow.importer.journal import StateDirectory
from node.flow.importer.planning import Steer
from node.flow.importer.run import ImportRun
from node.regulator import participants
from tests.node.flow.imports import all_to, book_of, import_and_kill, import_once, make_run, sample
from tests.node.two_chains import two_chains

RATIOS = {"medicare": 800_000, "medicaid": 900_000, "private": 700_000, "dual_eligible": 900_000, "no_insurance": 0}
METHODS = (
    "admit_patient",
    "file",
    "request_review",
    "release",
    "opinion",
    "request_order",
    "place",
    "fulfil",
    "transfer",
    "settle",
    "deliver",
)


def flows_of(world) -> list[FlowView]:
    query = FlowsQuery("", "", b"", newest=False, after=0, limit=100)
    return list(world.view(world.business, "flow", "flows", query, FlowsPage).flows)


def full(world) -> Steer:
    return Steer(hospital=all_to(world, "City Hospital"))


async def control(world, flow: bytes, counter: int, action: str) -> None:
    """Both officers say the same."""
    for index in range(2):
        await world.officer(index).call("supervision", "control", ControlFlow(Control(flow, counter, action, "test")))
    wanted = action == SUSPEND

    def arrived():
        return world.view(world.business, "flow", "flow", FlowQuery(flow), FlowView).suspended == wanted

    await world.until(arrived)


async def test_every_request_is_delivered_and_the_books_close(tmp_path):
    async with two_chains() as world:
        told: dict[bytes, list[str]] = {}
        report = await import_once(
            world, tmp_path / "state", sample(), on_stage=lambda flow, stage: told.setdefault(flow, []).append(stage)
        )
        assert report.outcomes == {r.DELIVERED: 12}
        assert report.counts == dict.fromkeys(
            ("filed", "authorised", "reviewed", "ordered", "settled", "delivered"), 12
        )
        assert report.tokens == {"order": 12, "pres": 12}
        prices = [(each.coverage, item.price_minor) for each in sample() for item in each.items]
        reimbursed = sum(reimbursement(price, RATIOS[coverage]) for coverage, price in prices)
        total = sum(price for _, price in prices)
        assert report.money == {
            "claims_total": total, "reimbursed": reimbursed, "paid_by_patients": total - reimbursed
        }  # fmt: skip
        shown = flows_of(world)
        assert Counter(flow.status for flow in shown) == {"closed": 12}
        assert {result.flow for result in report.results} == {flow.flow for flow in shown}
        assert all(stages == list(STAGES) for stages in told.values())
        assert set(report.latency) == {*r.STEPS, "total"}
        assert all(value.count == 12 for value in report.latency.values())
        for flow in shown:
            paid = await world.business.gateway.unspent(f"key({key_text(flow.patient)})", asset="USD")
            assert paid == [], "a patient got exactly what it had to pay"

        again = await import_once(world, tmp_path / "state", sample())
        assert (again.already, again.resumed, again.patients) == (12, 0, 0)
        assert again.money == report.money
        assert again.counts == report.counts
        assert len(flows_of(world)) == 12


@pytest.mark.parametrize("after", [True, False], ids=["after", "before"])
async def test_nothing_is_done_twice_when_it_is_killed_at_every_step(tmp_path, after):
    async with two_chains() as world:
        requests = sample()[:3]
        reached = [
            method
            for method in METHODS
            if await import_and_kill(world, tmp_path / "state", requests, method, after=after)
        ]
        assert set(reached) >= {"file", "release", "opinion", "place", "settle", "deliver"}, reached
        report = await import_once(world, tmp_path / "state", requests)
        assert report.outcomes == {r.DELIVERED: 3}
        shown = flows_of(world)
        assert [flow.status for flow in shown] == ["closed"] * 3
        assert all(stage.attempt == 1 for flow in shown for stage in flow.stages)
        paid = await world.business.gateway.unspent(f"key({key_text(world.party('Payer').key)})", asset="USD")
        assert sum(item.output.amount for item in paid) == 8 * 1_000_000_00 - report.money["reimbursed"]


async def test_nothing_is_filed_twice_when_the_journal_lost_what_came_after_the_plan(tmp_path):
    async with two_chains() as world:
        await import_once(world, tmp_path / "state", sample()[:2])
        path = tmp_path / "state" / "journal.ndjson"
        kept = [line for line in path.read_text().splitlines() if '"plan"' in line or '"journal"' in line]
        path.write_text("\n".join(kept) + "\n")
        again = await import_once(world, tmp_path / "state", sample()[:2])
        assert again.outcomes == {r.DELIVERED: 2}
        assert again.resumed == 2
        assert again.counts["settled"] == 2
        assert again.money["claims_total"] > 0
        assert len(flows_of(world)) == 2


async def test_a_held_flow_waits_for_an_officer_and_goes_on_when_he_has_decided(tmp_path):
    async with two_chains() as world:
        steer = Steer(hospital=all_to(world, "Private Clinic"))
        report = await import_once(world, tmp_path / "state", sample()[:1], steer=steer, patience_s=0.5)
        (result,) = report.results
        assert (result.outcome, result.stage) == (r.WAITING, "file")
        assert len(flows_of(world)) == 1
        assert report.counts["authorised"] == 0


async def test_a_flow_is_suspended_mid_way_and_delivered_when_it_is_resumed(tmp_path):
    async with two_chains() as world:

        async def suspend(flow, stage):
            if stage == "review":
                await control(world, flow, 1, SUSPEND)

        requests = sample()[:1]
        report = await import_once(
            world, tmp_path / "state", requests, steer=full(world), on_stage=suspend, patience_s=4
        )
        (result,) = report.results
        assert (result.outcome, result.stage, result.code) == (r.SUSPENDED, "review", "test")
        await control(world, result.flow, 2, RESUME)
        report = await import_once(world, tmp_path / "state", requests, steer=full(world))
        assert report.outcomes == {r.DELIVERED: 1}
        assert (report.resumed, len(flows_of(world))) == (1, 1)


async def test_a_suspended_reviewer_is_refused_with_its_code_and_not_asked_again(tmp_path):
    async with two_chains() as world:
        await participants.suspend(world.officer(), world.party("Reviewer 1").key, "licence ended")
        steer = Steer(hospital=all_to(world, "City Hospital"), reviewer=all_to(world, "Reviewer 1"))
        report = await import_once(world, tmp_path / "state", sample()[:1], steer=steer)
        (result,) = report.results
        assert (result.outcome, result.stage) == (r.REFUSED, "review")
        assert report.reasons == {result.code: 1}
        assert result.code
        again = await import_once(world, tmp_path / "state", sample()[:1], steer=steer)
        assert (again.already, again.outcomes) == (1, {r.REFUSED: 1})
        other = Steer(hospital=all_to(world, "City Hospital"), reviewer=all_to(world, "Reviewer 2"))
        last = await import_once(world, tmp_path / "state", sample()[:1], steer=other, retry_refused=True)
        assert last.outcomes == {r.DELIVERED: 1}
        assert len(flows_of(world)) == 1


async def test_an_opinion_that_rejects_ends_the_flow(tmp_path):
    async with two_chains() as world:
        steer = Steer(hospital=all_to(world, "City Hospital"), approve=lambda prescription: False)
        report = await import_once(world, tmp_path / "state", sample()[:1], steer=steer)
        assert report.outcomes == {r.REJECTED: 1}
        assert [flow.status for flow in flows_of(world)] == ["rejected"]
        assert report.money["claims_total"] == 0


async def test_flows_wait_while_no_relay_runs_and_go_on_when_one_does(tmp_path):
    async with two_chains() as world:
        killed = asyncio.Event()

        async def kill(flow, stage):
            if stage == "file" and not killed.is_set():
                killed.set()
                await world.kill_relay(0)

        with StateDirectory(tmp_path / "state") as state:
            run = asyncio.create_task(make_run(world, state, steer=full(world), on_stage=kill).run(sample()[:4]))
            await asyncio.wait_for(killed.wait(), 30)
            await asyncio.sleep(0.2)
            assert not run.done()
            world.start_relay(0)
            report = await asyncio.wait_for(run, 60)
        assert report.outcomes == {r.DELIVERED: 4}


class FlakyGateway:
    """A node whose every third answer to a question is lost."""

    def __init__(self, inner) -> None:
        self._inner = inner
        self.asked = 0

    def __getattr__(self, name):
        return getattr(self._inner, name)

    async def view(self, *question):
        self.asked += 1
        if self.asked > 12 and self.asked % 3 == 0:
            raise RpcUnavailable("the connection broke", sent=True)
        return await self._inner.view(*question)


async def test_lost_connections_are_tried_again(tmp_path, monkeypatch):
    monkeypatch.setattr(driving, "BACKOFF_S", 0.01)
    async with two_chains() as world:
        gateway = FlakyGateway(world.business.gateway)
        report = await import_once(world, tmp_path / "state", sample()[:4], steer=full(world), gateway=gateway)
        assert gateway.asked > 20
        assert report.outcomes == {r.DELIVERED: 4}
        assert all(stage.attempt == 1 for flow in flows_of(world) for stage in flow.stages)


async def test_a_node_that_stays_away_leaves_the_flow_for_a_later_run(tmp_path, monkeypatch):
    monkeypatch.setattr(driving, "BACKOFF_S", 0.01)
    monkeypatch.setattr(driving, "LOST_S", 0.05)
    async with two_chains() as world:

        class Gone(FlakyGateway):
            async def view(self, *question):
                if question[1] == "sealed":
                    raise RpcUnavailable("gone", sent=False)
                return await self._inner.view(*question)

        gateway = Gone(world.business.gateway)
        report = await import_once(world, tmp_path / "state", sample()[:1], steer=full(world), gateway=gateway)
        assert report.failures == {"rpc_unavailable": 1}
        report = await import_once(world, tmp_path / "state", sample()[:1], steer=full(world))
        assert report.outcomes == {r.DELIVERED: 1}


async def test_patients_with_money_of_their_own_need_no_bank(tmp_path):
    async with two_chains() as world:
        report = await import_once(world, tmp_path / "state", sample()[:1], steer=full(world), funding=False)
        (result,) = report.results
        assert (result.outcome, result.stage, result.code) == (r.FAILED, "settle", "purse_empty")
        report = await import_once(world, tmp_path / "state", sample()[:1], steer=full(world))
        assert report.outcomes == {r.DELIVERED: 1}


async def test_nothing_is_sent_when_a_request_has_changed_since(tmp_path):
    async with two_chains() as world:
        requests = sample()[:2]
        await import_once(world, tmp_path / "state", requests[:1], steer=full(world))
        changed = dataclasses.replace(requests[0], resources=requests[1].resources)
        with pytest.raises(InvalidInput) as error:
            await import_once(world, tmp_path / "state", [changed, requests[1]], steer=full(world))
        assert error.value.code == "import_document_changed"
        assert len(flows_of(world)) == 1


async def test_a_request_keeps_its_hospital_whoever_has_come_since(tmp_path):
    async with two_chains() as world:
        await import_and_kill(world, tmp_path / "state", sample()[:1], "request_review", after=False)
        before = flows_of(world)[0].filer
        other = next(n for n in ("City Hospital", "County Hospital") if world.party(n).key != before)
        steer = Steer(hospital=all_to(world, other))
        report = await import_once(world, tmp_path / "state", sample()[:1], steer=steer)
        assert report.outcomes == {r.DELIVERED: 1}
        assert [flow.filer for flow in flows_of(world)] == [before]


async def test_a_missing_role_is_refused_before_anything_is_sent(tmp_path):
    async with two_chains(introduce=False) as world:
        book = book_of(world)
        del book._parties["Payer"]
        with StateDirectory(tmp_path / "state") as state, pytest.raises(InvalidConfig) as error:
            await ImportRun(gateway=world.business.gateway, book=book, state=state).run(sample()[:1])
        assert error.value.code == "parties_missing"


async def test_a_pharmacy_cannot_open_an_order_that_is_not_for_it(tmp_path):
    async with two_chains() as world:
        steer = Steer(hospital=all_to(world, "City Hospital"), pharmacy=all_to(world, "Pharmacy 1"))
        report = await import_once(world, tmp_path / "state", sample()[:1], steer=steer)
        flow = report.results[0].flow
        async with FlowClient(world.business.gateway) as client:
            order = await client.open_order(world.party("Pharmacy 1").sealing, flow)
            assert flow.hex().encode() in order.body
            assert sample()[0].id_number.encode() not in order.body
            with pytest.raises(InvalidEnvelope) as error:
                await client.open_order(world.party("Pharmacy 2").sealing, flow)
            assert error.value.code == "envelope_not_for_us"
